"""JPEG, PNG and other raster files are decoded to the pixels that an independent reading of them gives."""

from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided
from tests.tasks.images.helpers import colour, exif, picture, read, save


def test_grey_that_is_stored_as_colour_is_grey_and_nearly_grey_stays_colour(tmp_path: Path) -> None:
    grey = np.repeat(picture()[..., None], 3, axis=2)
    assert read(save(grey, tmp_path / "a.png")).shape == (40, 56)
    grey[17, 23, 2] ^= 1
    np.testing.assert_array_equal(read(save(grey, tmp_path / "b.png")), grey)


def test_a_jpeg_is_what_libjpeg_says(tmp_path: Path) -> None:
    import imagecodecs

    path = save(colour(), tmp_path / "a.jpg", quality=90)
    expected = imagecodecs.jpeg8_decode(path.read_bytes())
    assert np.abs(read(path).astype(int) - expected).max() <= 1


def test_palettes_and_single_bits_become_the_colours_they_mean(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "p.png"
    Image.fromarray(colour()).quantize(16).save(path)
    np.testing.assert_array_equal(read(path), np.asarray(Image.open(path).convert("RGB")))
    bits = picture() > 80
    np.testing.assert_array_equal(read(save(bits, tmp_path / "b.png")), bits * np.uint8(255))
    np.testing.assert_array_equal(read(save(bits, tmp_path / "b.tif")), bits * np.uint8(255))


def test_transparency_lies_over_black_and_full_opacity_changes_nothing(tmp_path: Path) -> None:
    rgba = np.dstack([colour(), np.full((40, 56), 255, np.uint8)])
    np.testing.assert_array_equal(read(save(rgba, tmp_path / "a.png")), colour())
    rgba[:20, :, 3] = 0
    rgba[20:30, :, 3] = 128
    found = read(save(rgba, tmp_path / "b.png")).astype(int)
    assert not found[:20].any()
    assert np.abs(found[20:30] - colour()[20:30] * (128 / 255)).max() <= 1
    np.testing.assert_array_equal(found[30:], colour()[30:])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    flat = np.zeros((16, 16, 3), np.uint8)
    flat[:, :8], flat[:, 8:] = (250, 10, 10), (10, 10, 250)
    found = read(save(flat, tmp_path / "a.jpg", "CMYK", quality=95)).astype(int)
    assert found.shape == (16, 16, 3)
    assert np.abs(found - flat).max() < 30


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation_is_applied_as_pillow_applies_it(tmp_path: Path, name: str, orientation: int) -> None:
    from PIL import Image, ImageOps

    path = exif(tmp_path / name, picture(), orientation)
    np.testing.assert_array_equal(read(path), np.asarray(ImageOps.exif_transpose(Image.open(path))))
    np.testing.assert_array_equal(read(path, exif="ignore"), np.asarray(Image.open(path)))
    (row,) = tasks.open_source(str(path)).rows
    assert row.columns["exif_orientation"] == str(orientation)


def test_16_bit_colour_png_is_not_cut_to_8_bits_unasked(tmp_path: Path) -> None:
    import imagecodecs

    deep = colour().astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    with pytest.raises(Undecided):
        read(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", window="full"), colour())


def test_a_png_with_a_broken_checksum_is_refused(tmp_path: Path) -> None:
    path = save(picture(), tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    where = data.index(b"IDAT") + 12
    data[where] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
        read(path)
