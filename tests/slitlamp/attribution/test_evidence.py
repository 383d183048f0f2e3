"""A mask laid on an encoder's prepared image covers what the encoder sees of it, however the image is prepared."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import encoders
import slitlamp
from encoders import EncoderError, Input
from encoders.extraction.images import transform
from experiments import linear_probe
from slitlamp.attribution.evidence import in_frame
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, checked
from slitlamp.sources import list_source
from tasks import DataError

SQUASH = Input(
    size=(64, 64), resize="squash", crop=None, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear",
    backend="pillow",
)  # fmt: skip
SPECS = {
    "squash": SQUASH,
    "squash to an oblong": replace(SQUASH, size=(48, 96)),
    "shortest": replace(SQUASH, resize="shortest", crop="center", edge=64),
    "shortest, cropped closer": replace(SQUASH, resize="shortest", crop="center", edge=80),
    "shortest, uncropped": replace(SQUASH, resize="shortest"),
    "none, cropped": replace(SQUASH, resize="none", crop="center"),
    "none": replace(SQUASH, resize="none"),
    "pad": replace(SQUASH, resize="pad"),
    "longest": replace(SQUASH, resize="longest"),
}
SHAPES = [(100, 100), (90, 161), (200, 120), (40, 50)]


def padded(image: np.ndarray) -> np.ndarray:
    side, (h, w) = max(image.shape), image.shape
    out = np.zeros((side, side), np.uint8)
    out[(side - h) // 2 : (side - h) // 2 + h, (side - w) // 2 : (side - w) // 2 + w] = image
    return out


def seen(spec: Input, image: np.ndarray) -> np.ndarray:
    """A grey image as the preprocessing of that description shows it, 0 to 1."""
    if spec.resize in ("pad", "longest"):
        image, spec = padded(image), SQUASH
    return transform(spec)(image)[0]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """What two maps of shares have in common, of what either has."""
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


def middle(shape: tuple[int, int]) -> np.ndarray:
    """A region off the centre that every crop here keeps."""
    (h, w), side = shape, min(shape)
    out = np.zeros(shape, bool)
    out[h // 2 - side // 4 : h // 2 + side // 8, w // 2 - side // 8 : w // 2 + side // 3] = True
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SPECS)
def test_a_mask_lies_where_the_encoder_sees_a_bright_region(name: str, shape: tuple[int, int]) -> None:
    mask, spec = middle(shape), SPECS[name]
    bright = seen(spec, np.where(mask, np.uint8(255), np.uint8(0)))
    there = in_frame(mask, spec, bright.shape, shape)
    assert (there.dtype, there.shape) == (np.float32, bright.shape)
    assert 0 <= there.min() <= there.max() <= 1
    assert overlap(there, bright) > 0.9
    assert overlap(in_frame(mask[::-1, ::-1], spec, bright.shape), bright) < 0.9  # a mask in another place is seen


def test_shares_are_areas_and_what_is_cropped_away_is_lost() -> None:
    whole = np.ones((200, 100), bool)
    np.testing.assert_allclose(in_frame(whole, SPECS["shortest"], (64, 64)), 1, atol=1e-6)
    edges = whole.copy()
    edges[50:150] = False
    assert in_frame(edges, SPECS["shortest"], (64, 64)).max() < 1e-5
    bars = in_frame(whole, SPECS["pad"], (64, 64))
    assert (bars.sum(0) > 1e-3).sum() == 32  # half of the padded square
    half = np.zeros((128, 128), bool)
    half[:, ::2] = True
    np.testing.assert_allclose(in_frame(half, SQUASH, (64, 64)), 0.5)


@pytest.mark.parametrize("name", ["phantom-clip", "random:timm:resnet18"])
def test_real_preprocessing_agrees(name: str) -> None:
    encoder, shape = encoders.load(name, device="cpu"), (150, 221)
    mask = middle(shape)
    dark, light, bright = (
        np.asarray(encoder.preprocess(image))[0]
        for image in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), np.uint8(255) * mask)
    )
    share = np.clip((bright - dark) / (light - dark), 0, 1)
    assert overlap(in_frame(mask, encoder, bright.shape, shape), share) > 0.9


@pytest.mark.parametrize(
    ("spec", "shape", "image", "error", "words"),
    [
        (None, (9, 9), (9, 9), EncoderError, "the encoder prepares images by a function of its own"),
        (replace(SQUASH, resize="tiles"), (9, 9), (9, 9), EncoderError, "the encoder cuts images into tiles"),
        (replace(SQUASH, resize="native"), (9, 9), (9, 9), EncoderError, r"a rule of its own \(native\).*known are"),
        (SQUASH, (9, 9), (9, 8), DataError, "a mask of 9 x 9 does not lie on an image of 9 x 8"),
        (SQUASH, (4, 9, 9), (9, 9), DataError, "a mask of 4 x 9 x 9 does not lie on an image of 9 x 9"),
        (SQUASH, (4, 9, 9), (4, 9, 9), EncoderError, "reads a volume"),
    ],
)
def test_what_cannot_be_laid_on_a_map_is_refused_in_one_line(
    spec: Input | None, shape: tuple[int, ...], image: tuple[int, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        in_frame(np.ones(shape, bool), spec, (64, 64), image)
    assert "\n" not in str(caught.value)


def test_the_flag_is_of_the_data_alone_and_of_commands_that_draw_maps(tmp_path: Path) -> None:
    for name in ("data", "pool"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / name / "a.png")
        (tmp_path / name / "manifest.csv").write_text("file,box\na.png,1 2 3 4\n")
    asked = Settings.of(data=str(tmp_path / "data"), pool=str(tmp_path / "pool"), evidence="box")
    (row,), (other,) = (list_source(asked.source, str(tmp_path / name)).rows for name in ("data", "pool"))
    assert row.regions["box"]().sum() == 4
    assert not other.regions
    with pytest.raises(UsageError, match="--evidence box has nothing to act on: the built-in phantoms are no files"):
        checked(Settings.of(evidence="box"))
    with pytest.raises(UsageError, match="evidence has nothing to act on in probe"):
        slitlamp.probe(data=str(tmp_path / "data"), evidence="box")
    assert "evidence" not in str(inspect.signature(slitlamp.probe))
    assert linear_probe.main(["--data", str(tmp_path / "data"), "--evidence", "box"]) == 2
