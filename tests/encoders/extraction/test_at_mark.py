"""The token under a mark, and the probe that chooses between marks."""

import numpy as np
import pytest

import encoders
import probes
from encoders import Card, EncoderError, Input, Site, View
from encoders.extraction.at_mark import WHOLE, frame, matrix
from probes import FeatureSet, ProbeError

SQUASH = Input(
    size=(64, 64), resize="squash", crop=None, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear",
    backend="pillow",
)  # fmt: skip


def shaped(**fields: object) -> Input:
    from dataclasses import replace

    return replace(SQUASH, **fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("spec", "shape", "box"),
    [
        (SQUASH, (100, 50), WHOLE),
        (shaped(resize="shortest", crop="center", edge=64), (100, 50), (0.25, 0.0, 0.75, 1.0)),
        (shaped(resize="shortest", crop="center", edge=80), (100, 100), (0.1, 0.1, 0.9, 0.9)),
        (shaped(resize="pad"), (100, 50), (0.0, -0.5, 1.0, 1.5)),
    ],
)
def test_a_grid_lies_in_the_image_as_its_preprocessing_put_it(
    spec: Input, shape: tuple[int, int], box: tuple[float, ...]
) -> None:
    assert frame(spec, *shape) == pytest.approx(box)


def test_preprocessing_of_ones_own_has_no_known_frame() -> None:
    with pytest.raises(EncoderError, match="function of its own"):
        frame(None, 10, 10)


def test_weights_are_bilinear_between_the_four_nearest_tokens() -> None:
    site = Site(width=1, grid=(4, 4), prefix=1, cls=True)
    (row,) = matrix(site, WHOLE, (40, 40), [(15.0, 25.0)])  # the centre of column 1, row 2
    assert row.argmax() == 1 + 2 * 4 + 1
    assert row.max() == 1.0
    (row,) = matrix(site, WHOLE, (40, 40), [(20.0, 20.0)])  # where four cells meet
    assert sorted(row[row > 0]) == [0.25] * 4
    (row,) = matrix(site, WHOLE, (40, 40), [(0.0, 0.0)])
    assert row[1] == 1.0
    (row,) = matrix(site, WHOLE, (40, 40), [(33.3, 21.7)])
    assert row.sum() == pytest.approx(1.0)
    grid = row[1:].reshape(4, 4)
    centres = np.arange(4) * 10 + 5
    assert (grid.sum(0) @ centres, grid.sum(1) @ centres) == pytest.approx((33.3, 21.7), abs=1e-4)


def test_the_view_that_sees_a_mark_most_finely_is_read() -> None:
    whole, right = View(grid=(4, 4)), View(grid=(4, 4), box=(0.0, 0.5, 1.0, 1.0))
    site = Site(width=1, grid=(4, 4), views=(whole, right))
    left_mark, right_mark = matrix(site, WHOLE, (80, 80), [(10.0, 10.0), (70.0, 10.0)])
    assert left_mark[:16].sum() == pytest.approx(1.0)
    assert right_mark[16:].sum() == pytest.approx(1.0)


def test_a_mark_beyond_the_crop_is_refused() -> None:
    site = Site(width=1, grid=(4, 4))
    box = frame(shaped(resize="shortest", crop="center", edge=64), 100, 50)
    with pytest.raises(EncoderError, match=r"a mark at \(25, 5\) of an image of 50 x 100 pixels lies outside.*crop"):
        matrix(site, box, (100, 50), [(25.0, 5.0)])
    with pytest.raises(EncoderError, match=r"a mark at \(999, 5\) lies outside its image of 50 x 100 pixels"):
        matrix(site, box, (100, 50), [(999.0, 5.0)])


def mosaic(images: object) -> dict[str, np.ndarray]:
    """Tokens that say which cell of an 8 x 8 grid they are of, and how bright it is."""
    found = []
    for image in images:  # pyright: ignore[reportGeneralTypeIssues]
        h, w = image.shape[0] // 8, image.shape[1] // 8
        bright = image[: 8 * h, : 8 * w].reshape(8, h, 8, w).mean((1, 3))
        rows, columns = np.mgrid[:8, :8]
        found.append(np.stack([bright, rows, columns], axis=2).reshape(64, 3))
    return {"final": np.stack(found)}


CARD = Card(name="mosaic", licence="none", sites={"final": Site(width=3, grid=(8, 8))}, input=SQUASH)


def test_each_image_is_read_under_its_own_marks() -> None:
    encoder = encoders.from_function(CARD, mosaic)
    images = [np.random.default_rng(i).integers(0, 256, (80, 160), dtype=np.uint8) for i in range(3)]
    marks = [[(10.0 + 20 * i, 5.0), (150.0, 75.0 - 10 * i)] for i in range(3)]  # cell centres
    got = encoders.encode(encoder, images, {"final": ["at-mark", "mean"]}, marks)
    assert got["final/mean"].shape == (3, 3)
    under = got["final/at-mark"].reshape(3, 2, 3)
    for i in range(3):
        assert under[i, 0, 1:] == pytest.approx([0, i])
        assert under[i, 1, 1:] == pytest.approx([7 - i, 7])
        assert under[i, 0, 0] == pytest.approx(images[i][:10, 20 * i : 20 * i + 20].mean(), rel=1e-5)
    assert encoders.points(CARD, marks=2)[-1] == ("final", "at-mark", 6)
    assert "at-mark" not in [readout for _, readout, _ in encoders.points(CARD)]


def test_an_encoder_that_prepares_images_its_own_way_is_not_offered_marks() -> None:
    from dataclasses import replace

    own = replace(CARD, input=None)
    assert encoders.points(own, marks=2) == encoders.points(own)


def test_images_without_equally_many_marks_are_refused() -> None:
    encoder = encoders.from_function(CARD, mosaic)
    images = [np.zeros((80, 80), np.uint8)] * 2
    with pytest.raises(EncoderError, match=r"same number of marks.*\[1, 2\] marks for 2 of 2"):
        encoders.encode(encoder, images, {"final": ["at-mark"]}, [[(1.0, 1.0)], [(1.0, 1.0), (2.0, 2.0)]])
    with pytest.raises(EncoderError, match=r"\[\] marks for 0 of 2"):
        encoders.encode(encoder, images, {"final": ["at-mark"]})


# the choice


def chosen(signal: float, *, seed: int = 0, n: int = 150, d: int = 24, common: float = 3.0) -> float:
    """Held-out accuracy where the right mark's token is shifted by `signal` along one direction."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    tokens = rng.normal(size=(n, 3, d)) + common * rng.normal(size=(n, 1, d))
    tokens[np.arange(n), y, 0] += signal
    given = FeatureSet(
        x=tokens.reshape(n, -1).astype(np.float32), y=y, groups=np.arange(n), ids=[str(i) for i in range(n)],
        classes=("red", "green", "blue"),
    )  # fmt: skip
    folds = np.stack([rng.permutation(np.arange(n) % 5) for _ in range(3)])
    told = probes.load("marks")(given, folds, rng)
    assert told.score.shape == (3, n, 3)
    return float((told.predicted == y).mean())


def test_a_direction_that_ranks_the_marks_is_found_whatever_the_images_share() -> None:
    assert chosen(3.0) > 0.85
    assert chosen(3.0, common=30.0) > 0.85


def test_no_choice_is_found_where_there_is_none() -> None:
    assert np.mean([chosen(0.0, seed=s) for s in range(8)]) == pytest.approx(1 / 3, abs=0.05)


def test_choosing_needs_classes_and_a_token_for_each() -> None:
    rng = np.random.default_rng(0)
    fields = {"groups": np.arange(20), "ids": [str(i) for i in range(20)]}
    folds = np.arange(20)[None] % 5
    numbers = FeatureSet(x=rng.normal(size=(20, 6)), y=rng.normal(size=20), classes=None, **fields)
    with pytest.raises(ProbeError, match="needs classes, not a number"):
        probes.load("marks")(numbers, folds, rng)
    wide = FeatureSet(x=rng.normal(size=(20, 7)), y=np.arange(20) % 3, classes=("a", "b", "c"), **fields)
    with pytest.raises(ProbeError, match="a width of 7 is none; use the readout at-mark"):
        probes.load("marks")(wide, folds, rng)
