"""Every kind of file is decoded to the pixels that an independent reading of it gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided, UnknownName
from tests.paths import SHARED
from tests.tasks.images.helpers import colour, picture, read, save, wide, windowed


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.pgm", "a.gif", "a.webp", "a.jp2"])
def test_a_grey_image_comes_back_bit_for_bit_from_every_lossless_format(tmp_path: Path, name: str) -> None:
    extra: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
    found = read(save(picture(), tmp_path / name, **extra))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, picture())


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp"])
def test_colours_come_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    extra: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
    np.testing.assert_array_equal(read(save(colour(), tmp_path / name, **extra)), colour())


def test_a_truncated_file_raises_and_is_not_half_read(tmp_path: Path) -> None:
    for name, cut in (("a.jpg", 0.6), ("a.png", 0.6), ("a.tif", 0.6), ("b.jpg", 0.97)):
        path = save(picture(200, 200), tmp_path / name)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
        with pytest.raises(DataError, match=rf"{name}: (cannot be|page 1 promises .* \(cut\?\))") as caught:
            read(path, unreadable_limit=0.9)
        assert str(tmp_path) not in str(caught.value)


def test_a_file_that_is_no_image_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "fake.png").write_text("not an image")
    with pytest.raises(DataError, match=r"1 of 1 images cannot be read: fake\.png: cannot be opened"):
        read(tmp_path / "fake.png")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bit_files_wait_for_a_window_and_then_keep_their_greys(tmp_path: Path, name: str) -> None:
    path = save(wide(), tmp_path / name)
    low, high = wide().min(), wide().max()
    with pytest.raises(Undecided, match=rf"{low} to {high}.*--window 40/400 --intercept -1024.*full.*minmax"):
        read(path)
    hu = wide().astype(float) - 1024
    np.testing.assert_array_equal(read(path, window="40/400", intercept=-1024.0), windowed(hu, 40, 400))
    np.testing.assert_array_equal(read(path, window="lung", intercept=-1024.0), windowed(hu, -600, 1500))
    np.testing.assert_array_equal(read(path, window="full"), np.rint(wide() / 65535 * 255).astype(np.uint8))
    stretched = read(path, window="minmax")
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert len(np.unique(stretched)) == len(np.unique(wide()))


def test_a_window_that_nobody_knows_or_needs_is_refused(tmp_path: Path) -> None:
    save(picture(), tmp_path / "a.png")
    with pytest.raises(UnknownName, match="no window 'sotf'; did you mean soft"):
        read(tmp_path / "a.png", window="sotf")
    with pytest.raises(DataError, match="--window soft has nothing to act on"):
        read(tmp_path / "a.png", window="soft")
    with pytest.raises(DataError, match="--intercept -1024 has nothing to act on"):
        read(tmp_path / "a.png", intercept=-1024.0)


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip("the shared images are not on this machine (SLITLAMP_SHARED)")
    return path


def test_real_ct_as_16_bit_png_and_as_dicom_equals_the_8_bit_images_shipped_with_it() -> None:
    folder = shared("ct_contrast")
    shown = tasks.open_source(str(folder), group="group")
    deep = tasks.open_source(str(folder), group="group", image_column="hu16", window="40/400", intercept=-1024.0)
    assert len(deep.rows) == len(shown.rows) == 61
    pairs = {}
    for a, b, name in zip(shown.rows, deep.rows, _names(folder), strict=True):
        pairs[name] = a.picture.read().astype(int)
        assert np.abs(pairs[name] - b.picture.read()).max() <= 1
        assert a.group == b.group
    found = 0
    for path in sorted((folder / "dicom").iterdir()):
        if path.stem in pairs:
            assert np.abs(read(path).astype(int) - pairs[path.stem]).max() <= 1
            found += 1
    assert found >= 3


def _names(folder: Path) -> list[str]:
    import csv

    with (folder / "manifest.csv").open() as file:
        return [Path(line["file"]).stem for line in csv.DictReader(file)]


def test_real_ct_patients_have_the_same_group_in_manifest_and_dicom() -> None:
    folder = shared("ct_contrast")
    manifest = {r.group for r in tasks.open_source(str(folder), group="group").rows}
    tree = tasks.open_source(str(folder / "dicom"))
    assert len(manifest) == 36
    assert len({r.group for r in tree.rows} & manifest) >= 3
