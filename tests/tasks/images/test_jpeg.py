"""JPEG files that Pillow cannot open: of 12 bits, lossless, JPEG-LS; and JPEGs that hold more than one image."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided
from tests.tasks.images.documented import documents
from tests.tasks.images.helpers import colour, picture, read, save, wide, windowed

DEEP = (wide() // 4 * 4).clip(0, 4095)
TWELVE = imagecodecs.jpeg8_encode(DEEP, bitspersample=12, level=95)
KINDS = {
    "12 bits": (TWELVE, imagecodecs.jpeg8_decode(TWELVE)),
    "lossless": (imagecodecs.jpeg8_encode(DEEP, bitspersample=16, lossless=True), DEEP),
    "JPEG-LS": (imagecodecs.jpegls_encode(DEEP), DEEP),
}


@documents("JPEG: 12 bits", "JPEG: lossless, and JPEG-LS")
@pytest.mark.parametrize("name", KINDS)
def test_grey_of_more_than_8_bits_is_its_stored_numbers(tmp_path: Path, name: str) -> None:
    data, stored = KINDS[name]
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(Undecided, match=rf"the first {stored.min()} to {stored.max()}\)"):
        read(path)
    np.testing.assert_array_equal(read(path, window="1500/2000"), windowed(stored.astype(float), 1500, 2000))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"a\.jpg: cannot be decoded \(the JPEG has no end: cut"):
        read(path, window="full")


@documents("JPEG: lossless colour")
def test_lossless_files_of_8_bits_and_colour(tmp_path: Path) -> None:
    path = tmp_path / "a.jls"
    for data in (imagecodecs.jpeg8_encode(picture(), lossless=True), imagecodecs.jpegls_encode(picture())):
        path.write_bytes(data)
        np.testing.assert_array_equal(read(path), picture())
    deep = imagecodecs.jpeg8_encode(colour().astype(np.uint16), bitspersample=16, lossless=True)
    for data in (deep, imagecodecs.jpegls_encode(colour())):
        path.write_bytes(data)
        with pytest.raises(DataError, match="JPEG with 3 components is not read"):
            read(path)


@documents("JPEG: several images (MPO)")
def test_further_images_behind_a_jpeg_are_said(tmp_path: Path) -> None:
    from PIL import Image

    first, second = Image.fromarray(colour()), Image.fromarray(colour()[::-1])
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    source = tasks.open_source(str(tmp_path / "a.jpg"))
    assert len(source.rows) == 1
    with Image.open(tmp_path / "a.jpg") as image:
        np.testing.assert_array_equal(source.rows[0].picture.read(), np.asarray(image))
    assert any("1 of 1 images hold further images behind the first (MPO" in w for w in source.warnings)
    first.save(tmp_path / "b.jpg")
    assert not any("MPO" in w for w in tasks.open_source(str(tmp_path / "b.jpg")).warnings)


@documents("JPEG: a header that promises more pixels than its bytes can hold")
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_too_short_for_its_pixels_is_refused_at_once(tmp_path: Path, progressive: bool) -> None:
    flat = np.full((2048, 2048), 128, np.uint8)  # as short as a code gets
    path = save(flat, tmp_path / "a.jpg", progressive=progressive, optimize=True)
    np.testing.assert_array_equal(read(path), flat)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 9000, 9000)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"promises 9000 x 9000 pixels, which its \d+ bytes cannot hold"):
        read(path)
