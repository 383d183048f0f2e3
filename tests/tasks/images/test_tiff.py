"""TIFF pages: orientation, ranges, inverted greys, reduced copies."""

from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided
from tests.tasks.images.helpers import exif, picture, read


def test_a_float_tiff_in_another_channel_count_is_refused_in_words(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"a\.tif: .*5 channels whose meaning is not said"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_same_tag_in_a_tiff_has_the_same_effect(tmp_path: Path, orientation: int) -> None:
    import tifffile
    from PIL import Image, ImageOps

    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", picture(), extratags=[tag], photometric="minisblack")
    counterpart = exif(tmp_path / "a.png", picture(), orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(counterpart)))
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), expected)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", exif="ignore"), picture())


def test_a_float_tiff_needs_a_range_and_nan_is_refused(tmp_path: Path) -> None:
    import tifffile

    values = picture().astype(np.float32) / 255
    tifffile.imwrite(tmp_path / "a.tif", values)
    with pytest.raises(Undecided, match="a decision is needed"):
        read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif", window="full"), picture())
    tifffile.imwrite(tmp_path / "b.tif", values * 3)
    with pytest.raises(Undecided, match="full means 0 to 1"):
        read(tmp_path / "b.tif", window="full")
    values[3, 3] = np.nan
    tifffile.imwrite(tmp_path / "c.tif", values)
    with pytest.raises(DataError, match=r"c\.tif: .*NaN"):
        read(tmp_path / "c.tif", window="minmax")


def test_white_is_zero_tiffs_are_inverted(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", 255 - picture(), photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), picture())
    tifffile.imwrite(tmp_path / "b.tif", 65535 - picture().astype(np.uint16) * 257, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "b.tif", window="full"), picture())


def test_pages_of_a_tiff_are_images_of_one_group_and_reduced_copies_are_none(tmp_path: Path) -> None:
    import tifffile

    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(picture(seed=1), subfiletype=0)
        tiff.write(picture(seed=1)[::2, ::2], subfiletype=1)
        tiff.write(picture(seed=2), subfiletype=0)
    rows = tasks.open_source(str(tmp_path / "a.tif")).rows
    assert len(rows) == 2
    assert len({r.group for r in rows}) == 1
    assert len({r.id for r in rows}) == len({r.picture.identity for r in rows}) == 2
    for row, seed in zip(rows, (1, 2), strict=True):
        np.testing.assert_array_equal(row.picture.read(), picture(seed=seed))
