"""Every kind of file is decoded to the pixels that an independent reading of it gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided, UnknownName
from tests.paths import SHARED
from tests.tasks.images.documented import documents
from tests.tasks.images.helpers import colour, picture, read, save, wide, windowed


@documents("PNG, GIF, WebP, BMP: 8 bits")
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


@documents("PNG, GIF, WebP, BMP, JPEG: cut short")
def test_a_truncated_file_raises_and_is_not_half_read(tmp_path: Path) -> None:
    names = ["a.jpg", "a.png", "a.tif", "a.gif", "a.bmp", "a.webp", "a.jp2", "a.pgm"]
    for name, cut in [*((name, 0.6) for name in names), ("b.jpg", 0.97), ("b.gif", 0.97), ("b.bmp", 0.97)]:
        path = save(picture(200, 200), tmp_path / name)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
        with pytest.raises(DataError, match=rf"{name}: (cannot be|.*promises .* \(cut\?\))") as caught:
            read(path, unreadable_limit=0.9)
        assert str(tmp_path) not in str(caught.value)


@documents("ICO, TGA, AVIF, HEIC, JPEG XL, JPEG XR, PSD and other formats")
def test_formats_that_are_not_read_are_counted_and_never_opened_under_another_name(tmp_path: Path) -> None:
    import imagecodecs

    for name in ("a.ico", "b.tga"):
        save(picture(), tmp_path / name)
    (tmp_path / "c.avif").write_bytes(imagecodecs.avif_encode(picture()))
    (tmp_path / "d.jxl").write_bytes(imagecodecs.jpegxl_encode(picture()))
    save(picture(), tmp_path / "e.png")
    source = tasks.open_source(str(tmp_path))
    assert len(source.rows) == 1
    assert "files that are no images were passed over: 1 .avif, 1 .ico, 1 .jxl, 1 .tga" in source.warnings
    (tmp_path / "b.tga").rename(tmp_path / "f.png")
    for name, message in (("d.jxl", "not an image of a known kind"), ("f.png", "cannot be opened")):
        with pytest.raises(DataError, match=f"{name}: {message}"):
            read(tmp_path / name)


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


def test_whatever_a_decoder_raises_makes_one_file_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.images import raster

    for k in range(30):
        save(picture(seed=k), tmp_path / f"{k}.png")
    true = raster.list_frames

    def odd(path: Path, *rest: Any) -> Any:
        if path.name == "7.png":
            raise ZeroDivisionError("a decoder with a fault")
        return true(path, *rest)

    monkeypatch.setattr(raster, "list_frames", odd)
    source = tasks.open_source(str(tmp_path))
    assert len(source.rows) == 29
    assert [why for _, why in source.unreadable] == [
        "7.png: cannot be opened (ZeroDivisionError: a decoder with a fault)"
    ]
    monkeypatch.setattr(raster, "_shown", lambda _: 1 / 0)
    with pytest.raises(DataError, match=r"0\.png: cannot be decoded \(ZeroDivisionError"):
        source.rows[0].picture.read()


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.dcm", "x.nii", "x.pgm"])
def test_only_regular_files_are_opened(tmp_path: Path, name: str) -> None:
    import os

    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: a pipe, socket or device, which is no regular file"):
        read(tmp_path / name)


def test_a_wide_image_that_cannot_be_read_does_not_end_the_question_for_a_window(tmp_path: Path) -> None:
    for k in range(3):
        save(wide(), tmp_path / f"{k}.png")
    data = bytearray((tmp_path / "0.png").read_bytes())
    data[data.index(b"IDAT") + 12] ^= 0xFF
    (tmp_path / "0.png").write_bytes(data)
    with pytest.raises(
        Undecided, match=rf"3 images hold more than 8 bits \(the first {wide().min()} to {wide().max()}\)"
    ):
        tasks.open_source(str(tmp_path))


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


def test_a_panic_of_a_library_is_one_unreadable_file_and_an_interrupt_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.images import raster

    class Panic(BaseException):
        """What pyo3 raises for a library in Rust: no Exception."""

    def fail(error: type[BaseException]) -> Any:
        def shown(_: Any) -> Any:
            raise error("index out of bounds")

        return shown

    save(picture(), tmp_path / "a\x1b\n.png")
    (row,) = tasks.open_source(str(tmp_path)).rows
    monkeypatch.setattr(raster, "_shown", fail(Panic))
    with pytest.raises(DataError, match=r"cannot be decoded \(Panic: index out of bounds\)"):
        row.picture.read()
    monkeypatch.setattr(raster, "_shown", fail(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        row.picture.read()
    (tmp_path / "a\x1b\n.png").write_bytes(b"no image")
    with pytest.raises(DataError) as refused:
        tasks.open_source(str(tmp_path))
    assert str(tmp_path) not in str(refused.value)
