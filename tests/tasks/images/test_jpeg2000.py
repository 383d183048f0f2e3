"""JPEG 2000: the stored numbers, whatever their bits and sign."""

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from tasks import DataError, Undecided
from tasks.images.decode import DecodePolicy, LastOpened, list_frames
from tasks.images.jpeg2000 import RGB, Header, require_readable
from tests.tasks.images.documented import documents
from tests.tasks.images.helpers import colour, picture, read, save, wide, windowed

DEEP = (wide() // 4 * 4).clip(0, 4095)


def jp2(path: Path, values: np.ndarray, *, alpha: bool = False, **extra: Any) -> Path:
    """A lossless file; with `alpha` a box says that the last component is one."""
    data = imagecodecs.jpeg2k_encode(values, codecformat=path.suffix[1:], level=0, **extra)
    if alpha:
        n = values.shape[2]
        entries = b"".join(struct.pack(">HHH", k, k == n - 1, 0 if k == n - 1 else k + 1) for k in range(n))
        box = struct.pack(">I4sH", 10 + len(entries), b"cdef", n) + entries
        at = data.index(b"jp2h") - 4
        (size,) = struct.unpack(">I", data[at : at + 4])
        data = data[:at] + struct.pack(">I", size + len(box)) + data[at + 4 : at + size] + box + data[at + size :]
    path.write_bytes(data)
    return path


@documents("JPEG 2000: 8 bits", "JPEG 2000: fewer than 8 bits")
def test_up_to_8_bits(tmp_path: Path) -> None:
    for name, values in (("a.jp2", picture()), ("b.j2k", picture()), ("c.jp2", colour())):
        np.testing.assert_array_equal(read(jp2(tmp_path / name, values)), values)
    for bits in (1, 4, 7):
        values = picture() >> (8 - bits)
        found = read(jp2(tmp_path / "d.jp2", values, bitspersample=bits))
        np.testing.assert_array_equal(found, np.rint(values * 255.0 / (2**bits - 1)).astype(np.uint8))


@documents("JPEG 2000: more than 8 bits, or signed")
@pytest.mark.parametrize(
    ("name", "values", "extra"),
    [
        ("a.j2k", DEEP, {"bitspersample": 12}),
        ("a.jp2", DEEP, {}),
        ("a.jp2", DEEP.astype(np.int16) - 1024, {}),
        ("a.jp2", (picture().astype(np.int16) - 128).astype(np.int8), {}),
        ("a.jp2", colour().astype(np.uint16) * 16, {}),
    ],
)
def test_stored_numbers_under_a_window(tmp_path: Path, name: str, values: np.ndarray, extra: dict[str, Any]) -> None:
    path = jp2(tmp_path / name, values, **extra)
    with pytest.raises(Undecided, match=rf"the first {values.min()} to {values.max()}\)"):
        read(path)
    np.testing.assert_array_equal(read(path, window="900/1600"), windowed(values.astype(float), 900, 1600))


@documents("JPEG 2000: alpha")
def test_alpha_lies_over_black(tmp_path: Path) -> None:
    alpha = picture()[::-1].astype(np.uint16) * 16
    deep = np.dstack([colour().astype(np.uint16) * 16, alpha])
    expected = windowed(np.rint(deep[..., :3] * (alpha[..., None] / 4095)), 2000, 4000)
    np.testing.assert_array_equal(
        read(jp2(tmp_path / "a.jp2", deep, alpha=True, bitspersample=12), window="2000/4000"), expected
    )
    shallow = (deep >> 4).astype(np.uint8)
    found = read(jp2(tmp_path / "b.jp2", shallow, alpha=True))
    assert np.abs(found - shallow[..., :3] * (shallow[..., 3:] / 255)).max() <= 1


@documents("JPEG 2000: components without a meaning, more than 16 bits, or cut")
def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    four = np.dstack([colour().astype(np.uint16) * 16, DEEP])
    with pytest.raises(DataError, match="4 components whose meaning is not said"):
        read(jp2(tmp_path / "a.j2k", four), window="full")
    with pytest.raises(DataError, match="bits is read only where all its samples have 8 bits"):
        read(jp2(tmp_path / "a.jp2", DEEP.astype(np.int32)), window="full")
    noise = np.random.default_rng(0).integers(0, 4095, (64, 64)).astype(np.uint16)
    path = jp2(tmp_path / "c.jp2", noise)
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DataError, match=r"c\.jp2: cannot be (opened|decoded)"):
            read(path, window="full")
    path = save(picture(), tmp_path / "d.jp2")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"d\.jp2: cannot be decoded"):
        read(path)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"palette": True}, "with a palette"),
        ({"subsampled": True}, "with subsampled components"),
        ({"bits": (12, 12, 8)}, "with components of different bits"),
        ({"space": 18}, r"its colours \(space 18"),
        ({"bits": (12, 12)}, "2 components whose meaning is not said"),
    ],
)
def test_headers_of_wide_files_that_have_no_one_meaning(odd: dict[str, Any], message: str) -> None:
    plain: dict[str, Any] = {"width": 9, "height": 9, "bits": (12, 12, 12), "signed": False, "subsampled": False}
    plain |= {"alpha": False, "space": 16, "palette": False}
    require_readable(Header(**plain))
    with pytest.raises(DataError, match=message):
        require_readable(Header(**(plain | odd)))


def test_a_header_that_promises_too_many_pixels_is_refused_at_once(tmp_path: Path) -> None:
    path = jp2(tmp_path / "a.j2k", DEEP)
    data = bytearray(path.read_bytes())
    data[8:16] = struct.pack(">II", 400_000, 400_000)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"promises 400000 x 400000 pixels|DecompressionBomb"):
        read(path, window="full")


def boxed(path: Path, values: np.ndarray, *inner: bytes, space: int = RGB) -> Path:
    """A lossless file whose header box ends with these boxes, and whose colour space is another."""
    data = imagecodecs.jpeg2k_encode(values, codecformat="jp2", level=0, mct=False)
    at = data.index(b"jp2h") - 4
    (size,) = struct.unpack(">I", data[at : at + 4])
    parts = [data[at + 4 : at + size], *(struct.pack(">I", len(box) + 4) + box for box in inner)]
    data = data[:at] + struct.pack(">I", size + sum(map(len, parts[1:]))) + b"".join(parts) + data[at + size :]
    colr = data.index(b"colr") + 7
    path.write_bytes(data[:colr] + struct.pack(">I", space) + data[colr + 4 :])
    return path


def channels(*entries: tuple[int, int, int]) -> bytes:
    return b"cdef" + struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHH", *entry) for entry in entries)


@documents("JPEG 2000: components in another order, or multiplied with alpha already")
@pytest.mark.parametrize("scale", [1, 16])
def test_components_are_what_their_definition_says(tmp_path: Path, scale: int) -> None:
    rgb, window = colour().astype(np.uint8 if scale == 1 else np.uint16) * scale, {"window": "2000/4000"}
    choice: dict[str, Any] = {} if scale == 1 else window
    shown = colour() if scale == 1 else windowed(rgb.astype(float), 2000, 4000)
    swapped = boxed(tmp_path / "a.jp2", rgb[..., ::-1], channels((0, 0, 3), (1, 0, 2), (2, 0, 1)))
    np.testing.assert_array_equal(read(swapped, **choice), shown)
    assert list_frames(swapped, DecodePolicy(), LastOpened())[0].revision == 2
    same = boxed(tmp_path / "b.jp2", rgb, channels((0, 0, 1), (1, 0, 2), (2, 0, 3)))
    np.testing.assert_array_equal(read(same, **choice), shown)
    grey = np.dstack([rgb[..., 0], np.full_like(rgb[..., 0], 9)])
    done = boxed(tmp_path / "c.jp2", grey, channels((0, 0, 1), (1, 2, 0)), space=17)
    np.testing.assert_array_equal(read(done, **choice), shown[..., 0])


def test_components_of_8_bits_without_a_meaning_are_refused(tmp_path: Path) -> None:
    for values in (colour()[..., :2], np.dstack([colour(), picture()])):
        with pytest.raises(DataError, match=f"it holds {values.shape[2]} components whose meaning is not said"):
            read(boxed(tmp_path / "a.jp2", values))
    with pytest.raises(DataError, match=r"its colours \(space 14 of JPEG 2000\) cannot be shown"):
        read(boxed(tmp_path / "b.jp2", colour(), space=14))
    table = b"pclr" + struct.pack(">HB", 256, 3) + b"\7\7\7" + bytes(range(256)) * 3
    for order, odd in (((0, 1, 2), False), ((2, 1, 0), True)):
        path = boxed(tmp_path / "c.jp2", picture(), table, b"cmap" + b"".join(bytes((0, 0, 1, k)) for k in order))
        if odd:
            with pytest.raises(DataError, match="whose palette is taken in another order"):
                read(path)
        else:
            assert read(path).shape == (40, 56, 3)
