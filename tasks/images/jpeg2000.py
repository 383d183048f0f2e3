"""Headers and stored numbers of JPEG 2000 files whose samples are not 8 bits, which Pillow rescales.

Format: ITU-T T.800, annex A.5.1 (SIZ) and annex I (boxes of a JP2 file).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.kinds import File

BOXED = b"\0\0\0\x0cjP  "
BARE = b"\xff\x4f\xff\x51"
RGB = 16  # the enumerated colour space


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

    @property
    def plain(self) -> bool:
        """Whether all samples are unsigned and 8 bits."""
        return set(self.bits) == {8} and not self.signed

    @property
    def wide(self) -> bool:
        """Whether its numbers need a window."""
        return self.signed or max(self.bits) > 8


def header(path: File) -> Header:
    """Read it; raises DataError where the file is cut before it."""
    space: int | None = None
    alpha = palette = False
    with path.open("rb") as file:
        if file.read(8) == BOXED:
            for name, data in _boxes(file):
                if name == b"colr" and data[:1] == b"\1" and space is None:
                    space = int.from_bytes(data[3:7], "big")
                alpha |= name == b"cdef" and any(data[at : at + 2] != b"\0\0" for at in range(4, len(data), 6))
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
        alpha=alpha,
        space=space,
        palette=palette,
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


def stored(path: File) -> np.ndarray:
    """The numbers as the file holds them, [h, w] or [h, w, channels], in the least type that takes them.

    Raises ValueError where the code stream is cut or damaged.
    """
    import imagecodecs

    try:
        return imagecodecs.jpeg2k_decode(path.read_bytes())
    except imagecodecs.Jpeg2kError as error:
        raise ValueError(str(error)) from error
