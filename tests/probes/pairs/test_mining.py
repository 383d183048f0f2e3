"""Mined pairs are exactly those of the float64 definition, whatever the spectrum, the threshold and the machine."""

from collections.abc import Iterator

import numpy as np
import pytest

from probes import ProbeError
from probes.pairs import mining
from probes.pairs.mining import Box, Filter, Miner, Space, Tally, at_quantile, cosine_space, csls, inverse_root

Pairs = set[tuple[int, int]]


def bank(n: int, d: int, seed: int, cone: float = 1.3, power: float = 0.8) -> np.ndarray:
    """Embeddings with a power-law spectrum and a common offset, as those of trained encoders have."""
    rng = np.random.default_rng([n, d, seed])
    x = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -power
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    mean = rng.normal(size=d)
    return (x + cone * mean / np.linalg.norm(mean)).astype(np.float32)


def mined(miner: Miner) -> tuple[Pairs, Tally, list[mining.Hits]]:
    tally = Tally()
    hits = [h for strip in miner.strips for h in miner.strip(*strip, tally)]
    return {(int(i), int(j)) for h in hits for i, j in zip(h.first, h.second, strict=True)}, tally, hits


def every_pair(first: Space, second: Space) -> Iterator[tuple[int, int, float, float]]:
    """The definition, by NumPy alone."""
    i, j = np.triu_indices(len(first), 1)
    both = []
    for space in (first, second):
        unit = space.unit.astype(np.float64)
        both.append(space.scale * np.einsum("nd,nd->n", unit[i], unit[j]) + space.offset[i] + space.offset[j])
    yield from zip(i.tolist(), j.tolist(), *(s.tolist() for s in both), strict=True)


def by_definition(first: Space, second: Space, box: Box) -> Pairs:
    if box.strict:
        return {(i, j) for i, j, a, b in every_pair(first, second) if a > box.at_least and b < box.at_most}
    return {(i, j) for i, j, a, b in every_pair(first, second) if a >= box.at_least and b <= box.at_most}


@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("n", "d", "cone", "power", "shares"),
    [
        (1500, 48, 1.3, 0.8, (0.995, 0.6)),
        (700, 3, 0.0, 0.0, (0.99, 0.5)),
        (600, 200, 5.0, 0.2, (0.9, 0.9)),
        (300, 130, 0.0, 0.0, (0.0, 1.0)),
        (2, 5, 1.0, 1.0, (0.0, 1.0)),
    ],
)
def test_every_pair_of_the_definition_is_mined_and_no_other(
    kind: str, n: int, d: int, cone: float, power: float, shares: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(mining, "_number_type", lambda _device: getattr(torch, kind))
    monkeypatch.setattr(mining, "COLUMNS", 512)
    first = cosine_space(bank(n, d, 0, cone, power), "a")
    second = cosine_space(bank(n, d + 7, 1, cone, power), "b")
    for one in (first, csls(first)):
        # between two pairs: on one of them the order of a sum would decide
        box = Box(at_least=at_quantile(one, shares[0]) - 1e-9, at_most=at_quantile(second, shares[1]) + 1e-9)
        wanted = by_definition(one, second, box)
        found, tally, hits = mined(Miner(first=one, second=second, box=box))
        assert found == wanted
        assert len(wanted) == tally.found
        assert tally.pairs == n * (n - 1) // 2
        a = np.concatenate([h.a for h in hits]) if hits else np.empty(0)
        assert not len(a) or a.min() >= box.at_least - 1e-12


def test_a_device_gives_the_same_pairs_as_the_compiled_scan() -> None:
    first, second = cosine_space(bank(900, 40, 0), "a"), cosine_space(bank(900, 50, 1), "b")
    box = Box(at_least=at_quantile(first, 0.99) - 1e-9, at_most=at_quantile(second, 0.5) + 1e-9)
    miner = Miner(first=first, second=second, box=box)
    object.__setattr__(miner, "screen", Screened(miner.screen))
    assert mined(miner)[0] == by_definition(first, second, box)


class Screened:
    """A screen that takes the path of a GPU."""

    def __init__(self, screen: mining.Screen) -> None:
        self.screen = screen

    def candidates(self, start: int, stop: int, column: int, end: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        block = self.screen.left[start:stop] @ self.screen.right[column:end].T
        return self.screen._on_device(block, start, stop, column)


def test_equal_to_a_threshold_is_in_unless_the_rule_is_strict() -> None:
    """Vectors whose products are exact: cosines 1, 0.5 and 0 stand on the thresholds."""
    h = np.array([[1, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.float32) / 2
    space = cosine_space(h, "a")
    assert [v for *_, v, _ in every_pair(space, space)] == [0.5, 0, 0, 0.5, -0.5, 0]
    for low, high, strict, count in [
        (0.5, 0.5, False, 2),
        (0.5, 0.5, True, 0),
        (0.0, 0.0, False, 3),
        (-0.5, 0.5, True, 3),
    ]:
        assert (
            len(mined(Miner(first=space, second=space, box=Box(at_least=low, at_most=high, strict=strict)))[0]) == count
        )


def test_the_pairs_depend_on_neither_order_nor_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = bank(1300, 30, 0), bank(1300, 20, 1)
    order = np.random.default_rng(0).permutation(1300)
    found = []
    for rows, columns, places in [(1024, 4096, None), (100, 333, None), (1024, 4096, order)]:
        monkeypatch.setattr(mining, "ROWS", rows)
        monkeypatch.setattr(mining, "COLUMNS", columns)
        place = np.arange(1300) if places is None else places
        first, second = cosine_space(x[place], "a"), cosine_space(y[place], "b")
        box = Box(at_least=at_quantile(first, 0.99), at_most=at_quantile(second, 0.5))
        found.append(
            {
                tuple(sorted((int(place[i]), int(place[j]))))
                for i, j in mined(Miner(first=first, second=second, box=box))[0]
            }
        )
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 1000


def test_many_candidates_are_handed_over_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "CANDIDATES", 1200)
    first, second = cosine_space(bank(1100, 20, 0), "a"), cosine_space(bank(1100, 20, 1), "b")
    box = Box(at_least=-1.0, at_most=1.0)
    miner = Miner(first=first, second=second, box=box)
    parts = [len(h) for strip in miner.strips for h in miner.strip(*strip, Tally())]
    assert sum(parts) == 1100 * 1099 // 2
    assert max(parts) <= 1200


def test_filters_leave_pairs_out_and_count_them() -> None:
    space = cosine_space(bank(400, 10, 0), "a")
    group, label = np.arange(400) // 4, np.arange(400) % 2
    box = Box(at_least=-1.0, at_most=1.0)
    filters = [Filter(name="group", codes=group), Filter(name="label", codes=label)]
    found, tally, _ = mined(Miner(first=space, second=space, box=box, filters=filters))
    wanted = {(i, j) for i, j, *_ in every_pair(space, space) if group[i] != group[j] and label[i] != label[j]}
    assert found == wanted
    assert tally.removed == {"group": 100 * 6, "label": 400 * 399 // 2 - len(wanted) - 600}


@pytest.mark.parametrize("share", [0.0, 0.37, 0.5, 0.999, 1.0])
def test_a_quantile_is_the_order_statistic_of_all_pairs(share: float) -> None:
    for space in (cosine_space(bank(150, 40, 3), "a"), csls(cosine_space(bank(150, 40, 3), "a"))):
        values = np.sort([a for _, _, a, _ in every_pair(space, space)])
        rank = max(int(np.ceil(share * len(values))), 1) - 1
        assert at_quantile(space, share) == pytest.approx(values[rank], abs=1e-12)


def test_centred_cosines_do_not_see_a_common_offset_and_raw_ones_do() -> None:
    """METHOD 5.2: a cone changes every raw cosine; centred quantiles stay."""
    plain, shifted = bank(500, 60, 0, cone=0.0), bank(500, 60, 0, cone=3.0)
    raw = [at_quantile(cosine_space(x, "a"), 0.999) for x in (plain, shifted)]
    centred = [at_quantile(cosine_space(x, "a", centre=True), 0.999) for x in (plain, shifted)]
    assert raw[1] > 0.9 > raw[0]
    assert centred[0] == pytest.approx(centred[1], abs=0.02)


def test_csls_and_whitening_follow_their_formulas() -> None:
    x = bank(200, 30, 0)
    space = cosine_space(x, "a")
    cosine = space.unit.astype(float) @ space.unit.astype(float).T
    off = cosine - 3 * np.eye(200)
    r = np.sort(off, axis=1)[:, -10:].mean(axis=1)
    i, j = np.triu_indices(200, 1)
    assert csls(space).similarities(i, j) == pytest.approx(2 * cosine[i, j] - r[i] - r[j], abs=1e-9)
    covariance = np.cov(x.T.astype(float))
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / 30 * np.eye(30)
    root = inverse_root(x)
    assert root @ shrunk @ root == pytest.approx(np.eye(30), abs=1e-8)
    white = cosine_space(x, "a", whiten=True)
    rows = (x.astype(float) - x.mean(axis=0, dtype=float)) @ root
    assert white.unit == pytest.approx(rows / np.linalg.norm(rows, axis=1, keepdims=True), abs=1e-6)


def test_exact_copies_have_themselves_as_neighbours_of_each_other_alone() -> None:
    """The image itself is left out of CSLS by its place, so that a twin is a neighbour and the image is not."""
    x = bank(60, 12, 0)
    twins = cosine_space(np.concatenate([x, x]), "a")
    nearest = csls(twins, 1)
    assert nearest.offset == pytest.approx(-np.ones(120), abs=1e-6)


def test_rows_without_a_direction_are_named_and_counted() -> None:
    x = bank(5, 4, 0)
    x[1], x[3, 2] = 0, np.nan
    names = [f"img{k}" for k in range(5)]
    with pytest.raises(
        ProbeError, match=r"a: 1 of 5 hold NaN or infinite values \(img3\) and 1 of 5 are all zero.*img1"
    ):
        cosine_space(x, "a", names=names)
    with pytest.raises(ProbeError, match="one image makes no pair"):
        Miner(first=cosine_space(x[:1], "a"), second=cosine_space(x[:1], "a"), box=Box(at_least=0.0, at_most=0.0))
    with pytest.raises(ProbeError, match="5 images in one space and 4"):
        Miner(
            first=cosine_space(bank(5, 4, 0), "a"),
            second=cosine_space(bank(4, 4, 0), "a"),
            box=Box(at_least=0.0, at_most=0.0),
        )


@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
def test_no_pair_is_lost_where_the_bound_is_tight(kind: str) -> None:
    """The two images of a pair share what the leading directions leave out: Cauchy-Schwarz is an equality there."""
    import torch

    rng = np.random.default_rng(4)
    lead, rest = rng.normal(size=(300, 2, 16)), rng.normal(size=(300, 1, 100))
    rest *= 4 / np.linalg.norm(rest, axis=2, keepdims=True)
    lead *= 4 / np.linalg.norm(lead, axis=2, keepdims=True)
    x = np.concatenate([3 * lead, np.broadcast_to(rest, (300, 2, 100))], axis=2).reshape(600, 116).astype(np.float32)
    space = cosine_space(x, "a")
    pairs = space.similarities(np.arange(0, 600, 2), np.arange(1, 600, 2))
    turned = mining._turned(space)
    for share in (0.2, 0.5, 0.8):
        box = Box(at_least=float(np.quantile(pairs, share)) - 1e-9, at_most=1.0)
        miner = Miner(first=space, second=space, box=box)
        bound = mining._bound(turned, 16, box.at_least, getattr(torch, kind), "cpu", None)
        object.__setattr__(miner, "screen", bound)
        assert mined(miner)[0] == by_definition(space, space, box)


def test_a_pair_that_is_the_threshold_is_in_to_the_last_digit() -> None:
    """Thresholds are similarities of pairs: where sums in another order differ, the ordered one decides."""
    space = cosine_space(bank(120, 300, 7), "a")
    i, j = np.triu_indices(120, 1)
    for k in np.random.default_rng(0).permutation(len(i))[:60]:
        at = float(space.similarities(i[k : k + 1], j[k : k + 1])[0])
        for box in (Box(at_least=at, at_most=1.0), Box(at_least=-1.0, at_most=at)):
            assert (int(i[k]), int(j[k])) in mined(Miner(first=space, second=space, box=box))[0]
        strict = Box(at_least=at, at_most=1.0, strict=True)
        assert (int(i[k]), int(j[k])) not in mined(Miner(first=space, second=space, box=strict))[0]


def test_a_pair_reaches_its_own_quantile() -> None:
    from probes.pairs.yields import quantiles

    space = cosine_space(bank(40, 8, 0), "a")
    values = np.sort(space.similarities(*np.triu_indices(40, 1)))
    assert quantiles(space, values) == pytest.approx(np.arange(1, 781) / 780)


def test_the_plane_counts_in_the_box_what_is_mined_from_it() -> None:
    from probes.pairs.yields import plane

    first, second = cosine_space(bank(200, 12, 0), "a"), cosine_space(bank(200, 12, 1), "b")
    box = Box(at_least=at_quantile(first, 0.9), at_most=at_quantile(second, 0.5))
    filters = [Filter(name="group", codes=np.arange(200) // 20)]
    for chosen in ((), filters):
        found = plane(first, second, box, chosen, corner=(0.9, 0.5))
        assert found.exact
        assert found.inside == mined(Miner(first=first, second=second, box=box, filters=chosen))[1].found
    assert found.counts.sum() == found.pairs
    x, y = found.corners
    at = int(np.abs(x - found.corner[0]).argmin()), int(np.abs(y - found.corner[1]).argmin())
    without = mined(Miner(first=first, second=second, box=box))[1].found
    assert found.yields[at] == pytest.approx(without, abs=2)
