"""V-information, online codes, neighbours and reconstruction against closed forms and computation by hand."""

from typing import Any

import numpy as np
import pytest

import probes
from probes.stages import information
from probes.stages.information import (
    Streamed,
    codelength,
    difference,
    overlap,
    reconstruction,
    v_information,
    v_information_of,
)  # fmt: skip


def plan_of(y: np.ndarray, repeats: int = 1, seed: int = 0) -> probes.Plan:
    return probes.plan(y, np.arange(len(y)), classes=("a", "b"), permutations=99, repeats=repeats, seed=seed)


def test_bits_of_known_probabilities() -> None:
    y = np.array([0, 0, 0, 1] * 25)
    plan = plan_of(y, 2)
    p = np.full((2, 100, 2), [0.9, 0.1])
    got = v_information(p, plan)
    held = [np.bincount(y[f != k], minlength=2) / (f != k).sum() for f in plan.folds for k in range(10)]
    assert np.allclose(held, [0.75, 0.25], atol=0.01)
    assert got.pvi[y == 0] == pytest.approx(np.log2(0.9 / 0.75), abs=0.02)
    assert got.pvi[y == 1] == pytest.approx(np.log2(0.1 / 0.25), abs=0.05)
    assert got.bits == pytest.approx(got.pvi.mean())
    assert got.low is not None
    assert got.high is not None
    assert got.low < got.bits < got.high
    same = difference(got, got, plan)
    assert (same.score, same.p) == (0.0, 1.0)
    sure = v_information(np.eye(2)[y][None].repeat(2, axis=0), plan)
    assert difference(sure, got, plan).low > 0  # type: ignore[operator]
    assert np.isfinite(v_information(np.eye(2)[1 - y][None].repeat(2, axis=0), plan).bits)  # surely wrong costs 13 bits


def test_information_grows_with_what_is_there_and_is_nothing_where_nothing_is() -> None:
    rng = np.random.default_rng(1)
    y = rng.permutation(np.arange(150) % 2)
    plan, found = plan_of(y), []
    for strength in (0.0, 1.5, 3.5):
        x = rng.standard_normal((150, 6)) + strength * (y[:, None] - 0.5) * np.eye(6)[0]
        given = probes.FeatureSet(x=x, y=y, groups=np.arange(150), ids=[str(i) for i in range(150)], classes=("a", "b"))
        p = probes.load("linear")(given, plan.folds, np.random.default_rng(0)).probability
        ridge = probes.load("ridge")(given, plan.folds, np.random.default_rng(0)).score
        assert p is not None
        pair = v_information(p, plan).bits, v_information_of(ridge[..., 1:] - ridge[..., :1], plan).bits
        assert pair[0] == pytest.approx(pair[1], abs=0.1)
        found.append(pair[0])
    assert found[0] < 0.02
    assert found[1] < found[2]
    assert 0.5 < found[2] < exact(3.5) + 0.1


def exact(distance: float) -> float:
    """Mutual information in bits of a class and a Gaussian this far apart."""
    x = np.linspace(-12, 12, 20001)
    a, b = (np.exp(-0.5 * (x - m) ** 2) / np.sqrt(2 * np.pi) + 1e-300 for m in (-distance / 2, distance / 2))
    return float(np.sum((a * np.log2(2 * a / (a + b)) + b * np.log2(2 * b / (a + b))) / 2) * (x[1] - x[0]))


def test_a_code_is_short_where_the_answer_is_read_and_not_where_labels_are_exchanged() -> None:
    rng = np.random.default_rng(2)
    y = rng.permutation(np.arange(100) % 2)
    x = rng.standard_normal((100, 4))
    easy = codelength(x + 4.0 * (y[:, None] - 0.5) * np.eye(4)[0], plan_of(y), orders=2)
    none = codelength(x, plan_of(y), orders=1)
    assert easy.uniform == none.uniform == 100
    assert easy.bits < 0.7 * easy.uniform < 0.95 * none.bits
    assert easy.control > 0.97 * easy.uniform
    assert none.bits > 0.97 * none.uniform
    assert easy.compression == pytest.approx(easy.uniform / easy.bits)
    assert easy.orders[0] != easy.orders[1]


def test_a_block_is_coded_once_by_what_came_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def coder(*given: Any) -> np.ndarray:
        seen.append(int(given[3].sum()))
        return np.full((96, 2), 0.25)

    monkeypatch.setattr(information, "_coder", coder)
    y = np.arange(96) % 2
    got = codelength(np.zeros((96, 1)), plan_of(y), orders=1)
    assert seen == [6, 12, 24, 48] * 2  # and once more for exchanged labels
    assert got.bits == 6 * 1 + 90 * 2  # the first sixteenth uniformly, each other item once at two bits


def test_neighbours_by_hand_with_twins_and_groups() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 6))
    x[1] = x[0]  # a twin is a neighbour, the item itself never
    z = x @ rng.standard_normal((6, 4))
    got = overlap(x, z, 3, np.arange(40))

    def near(v: np.ndarray, i: int, group: np.ndarray) -> set[int]:
        far = np.square(v - v[i]).sum(axis=1)
        far[group == group[i]] = np.inf
        return set(np.argsort(far, kind="stable")[:3].tolist())

    alone, pairs = np.arange(40), np.arange(40) // 2
    assert 1 in near(x, 0, alone)
    by_hand = [len(near(x, i, alone) & near(z, i, alone)) / 3 for i in range(40)]
    assert np.allclose(got.each, by_hand)
    assert got.value == pytest.approx(np.mean(by_hand))
    assert got.chance == pytest.approx(3 / 39)
    grouped = overlap(x, z, 3, pairs)
    assert np.allclose(grouped.each, [len(near(x, i, pairs) & near(z, i, pairs)) / 3 for i in range(40)])
    assert grouped.chance == pytest.approx(3 / 38)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert overlap(x, x @ turn, 3, alone).value == 1
    many = rng.standard_normal((200, 20))
    noise = overlap(many, rng.standard_normal((200, 20)), 5, np.arange(200))
    assert noise.low is not None
    assert noise.low < noise.chance < noise.value + 0.02
    assert noise.projected > 3 * noise.chance  # a map without any purpose keeps more than none at all
    with pytest.raises(probes.ProbeError, match="neighbours are asked for"):
        overlap(x, z, 40, alone)


def test_streamed_sums_are_the_regression_and_held_out_by_group() -> None:
    rng = np.random.default_rng(4)
    mix = rng.standard_normal((5, 8))
    place = rng.standard_normal((6, 8))  # what each position has in common is no information about the image
    images = []
    for i in range(24):
        y = place + rng.standard_normal((6, 8))
        x = np.concatenate([y[:, :5] @ mix[:, :5], rng.standard_normal((6, 1))], axis=1)
        images.append((x, y, i // 2))
    got = reconstruction(lambda: iter(images), folds=4, penalty=1e-9)
    wrong, spread = np.zeros(6), np.zeros(6)
    for x, y, group in images:
        train = [one for one in images if one[2] % 4 != group % 4]
        middle, mean = (np.mean([t[side] for t in train], axis=0) for side in (0, 1))  # at each position
        a, b = (np.concatenate([t[side] - m for t in train]) for side, m in ((0, middle), (1, mean)))
        w = np.linalg.lstsq(a, b, rcond=None)[0]
        wrong += np.square(y - mean - (x - middle) @ w).sum(axis=1)
        spread += np.square(y - mean).sum(axis=1)
    assert np.allclose(got.per_patch, wrong / spread, rtol=1e-5)
    assert got.error == pytest.approx(wrong.sum() / spread.sum())
    assert len(got.each) == 24
    assert got.map((2, 3)).shape == (2, 3)
    assert got.map((2, 3))[1, 0] == got.per_patch[3]
    lossless = [(y @ (mix.T @ mix + np.eye(8)), y, g) for _, y, g in images]
    assert reconstruction(lambda: iter(lossless), folds=4).error < 1e-6
    alone = [(x, y, None) for x, y, _ in images]
    assert reconstruction(lambda: iter(alone), folds=4).error == pytest.approx(got.error, rel=0.1)
    where = 30 * rng.standard_normal((2, 6, 8))  # what all images have at a place says nothing of any of them
    moved = [(x + where[0], y + where[1], g) for x, y, g in lossless]
    assert reconstruction(lambda: iter(moved), folds=4).error < 1e-6
    few = [(np.concatenate([x, rng.standard_normal((6, 90))], axis=1), y, g) for x, y, g in images]
    assert (
        reconstruction(lambda: iter(few), folds=4).error
        < 1.02
        < reconstruction(lambda: iter(few), folds=4, penalty=1e-6).error
    )
    noise = [(rng.standard_normal((6, 8)), y, g) for _, y, g in images]
    assert reconstruction(lambda: iter(noise), folds=4).error > 0.95
    hole = [(np.where(np.arange(6)[:, None] == 2, 0, x), y, g) for x, y, g in lossless]
    per = reconstruction(lambda: iter(hole), folds=4).per_patch
    assert per.argmax() == 2
    with pytest.raises(probes.ProbeError, match="grid of 2 x 2"):
        got.map((2, 2))
    with pytest.raises(probes.ProbeError, match="tokens of another shape"):
        reconstruction(lambda: iter([*images, (np.ones((3, 6)), np.ones((3, 8)), 1)]))
    with pytest.raises(probes.ProbeError, match="no images"):
        reconstruction(lambda: iter([]))
    sums = Streamed(2)
    sums.add(*images[0])
    with pytest.raises(probes.ProbeError, match="one fold"):
        sums.without(0)


def test_numbers_have_no_classes() -> None:
    plan = probes.plan(np.random.default_rng(0).standard_normal(40), np.arange(40), permutations=9, repeats=1)
    for call in (lambda: v_information(np.ones((1, 40, 1)), plan), lambda: codelength(np.ones((40, 2)), plan)):
        with pytest.raises(probes.ProbeError, match="target is a number"):
            call()
