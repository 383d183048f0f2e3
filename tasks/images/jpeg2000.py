"""Headers and stored numbers of JPEG 2000 files whose samples are not 8 bits, which Pillow rescales.

Format: ITU-T T.800, annex A.5.1 (SIZ) and annex I (boxes of a JP2 file).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.kinds import File

BOXED = b"\0\0\0\x0cjP  "
BARE = b"\xff\x4f\xff\x51"
CMYK, RGB, GREY, YCC = 12, 16, 17, 18  # the enumerated colour spaces that are shown
ALPHA = (1, 2)  # types of channels: opacity, and opacity with which the colours are multiplied already


@dataclass(frozen=True)
class Header:
    """What a JPEG 2000 file says of its samples."""

    width: int
    height: int
    bits: tuple[int, ...]  # of each component
    signed: bool
    subsampled: bool
    alpha: bool
    space: int | None  # enumerated colour space, where one is named
    palette: bool
    mapped: bool = False  # the columns of its palette are taken in another order
    reordered: bool = False  # its components are not red, green and blue in this order
    premultiplied: bool = False  # its colours are multiplied with alpha already

    @property
    def plain(self) -> bool:
        """Whether all samples are unsigned and 8 bits, and mean what Pillow takes them for."""
        return set(self.bits) == {8} and not (self.signed or self.reordered or self.premultiplied)

    @property
    def wide(self) -> bool:
        """Whether its numbers need a window."""
        return self.signed or max(self.bits) > 8


def header(path: File) -> Header:
    """Read it; raises DataError where the file is cut before it."""
    space: int | None = None
    palette = mapped = False
    channels: list[tuple[int, ...]] = []  # of each the component, its type, and the colour that it is
    with path.open("rb") as file:
        if file.read(8) == BOXED:
            for name, data in _boxes(file):
                if name == b"colr" and data[:1] == b"\1" and space is None:
                    space = int.from_bytes(data[3:7], "big")
                if name == b"cdef":
                    channels += struct.iter_unpack(">HHH", data[2 : 2 + len(data[2:]) // 6 * 6])
                if name == b"cmap":
                    columns = struct.iter_unpack(">HBB", data[: len(data) // 4 * 4])
                    mapped = any(column != (0, 1, k) for k, column in enumerate(columns))
                palette |= name == b"pclr"
        else:
            file.seek(0)
        head = file.read(40 + 3 * 16384)
    count = int.from_bytes(head[40:42], "big")
    parts = head[42 : 42 + 3 * count]
    if not head.startswith(BARE) or not count or len(parts) < 3 * count:
        raise DataError("cannot be opened (its header is cut or none of JPEG 2000)")
    right, low, left, top = (int.from_bytes(head[at : at + 4], "big") for at in (8, 12, 16, 20))
    return Header(
        width=right - left,
        height=low - top,
        bits=tuple((part & 0x7F) + 1 for part in parts[::3]),
        signed=any(part & 0x80 for part in parts[::3]),
        subsampled=any(step != 1 for step in parts[1::3] + parts[2::3]),
        alpha=any(kind in ALPHA for _, kind, _ in channels),
        space=space,
        palette=palette,
        mapped=mapped,
        reordered=any(not kind and colour != at + 1 for at, kind, colour in channels),
        premultiplied=any(kind == ALPHA[1] for _, kind, _ in channels),
    )


def _boxes(file: Any) -> Iterator[tuple[bytes, bytes]]:
    """Boxes up to the code stream, at which the file then stands; those of the header box are opened."""
    file.seek(0)
    while len(head := file.read(8)) == 8:
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if size == 1:
            size = int.from_bytes(file.read(8), "big") - 8
        if name == b"jp2c":
            return
        if name != b"jp2h":  # whose boxes follow one by one
            if size < 8:
                return
            yield name, file.read(min(size - 8, 4096))
            file.seek(max(0, size - 8 - 4096), 1)


def require_readable(found: Header) -> None:
    """Raises DataError where the numbers of a file that is not of plain 8 bits have no one meaning as an image."""
    from PIL import Image

    if found.width * found.height > 2 * (Image.MAX_IMAGE_PIXELS or 0):  # the rule that Pillow has for all formats
        raise DataError(f"its header promises {found.width} x {found.height} pixels")
    many = len(found.bits)
    odd = (
        "a palette" * found.palette
        or "subsampled components" * found.subsampled
        or "components of different bits" * (len(set(found.bits)) > 1)
        or f"{max(found.bits)} bits" * (max(found.bits) > 16)
    )
    if odd:
        raise DataError(f"a JPEG 2000 file with {odd} is read only where all its samples have 8 bits")
    if many not in ((2, 4) if found.alpha else (1, 3)):
        raise DataError(f"it holds {many} components whose meaning is not said")
    if many > 2 and found.space not in (None, RGB):
        raise DataError(f"its colours (space {found.space} of JPEG 2000) cannot be shown")


def require_meaning(path: File) -> Header:
    """The header of a file; raises DataError where Pillow would guess what its components mean."""
    found = header(path)
    many = len(found.bits)
    if found.mapped:
        raise DataError("a JPEG 2000 file whose palette is taken in another order of its columns is not read")
    if found.plain and not found.palette:
        if many not in ((2, 4) if found.alpha else (1, 3)) and (many, found.space) != (4, CMYK):
            raise DataError(f"it holds {many} components whose meaning is not said")
        if found.space not in (None, CMYK, RGB, GREY, YCC):
            raise DataError(f"its colours (space {found.space} of JPEG 2000) cannot be shown")
    return found


def stored(path: File, premultiplied: bool = False) -> np.ndarray:
    """The numbers as the file holds them, [h, w] or [h, w, channels], in the least type that takes them.

    Alpha with which the colours are multiplied already (`premultiplied`) is left out: that is how they lie over black.
    Raises ValueError where the code stream is cut or damaged.
    """
    import imagecodecs

    try:
        values = imagecodecs.jpeg2k_decode(path.read_bytes())
    except imagecodecs.Jpeg2kError as error:
        raise ValueError(str(error)) from error
    if not premultiplied:
        return values
    return values[..., 0] if values.shape[2] == 2 else values[..., :-1]
