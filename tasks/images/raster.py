"""Decoder of JPEG, PNG, BMP, GIF, WebP, JPEG 2000 and portable maps, through Pillow; 16-bit PNG through imagecodecs."""

import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.decode import DecodePolicy, Frame, LastOpened, plain, reason
from tasks.images.kinds import File
from tasks.images.window import bounds, to_grey

ORIENTATION = 274  # the EXIF and TIFF tag
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
UNSHOWABLE = ("LAB",)  # Pillow converts it to RGB only with a colour profile
BAD = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, struct.error, RuntimeError)


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """The stored array as EXIF orientation 1 to 8 wants it shown (Exif 2.32, tag 0x0112).

    >>> turned(np.array([[1, 2], [3, 4]]), 6)
    array([[3, 1],
           [4, 2]])
    """
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def list_frames(path: File, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:  # noqa: ARG001 - one frame, read once
    """The one frame of a raster file, or the frames of an animation; raises DataError."""
    from PIL import Image

    try:
        with Image.open(_where(path)) as image:
            deep, tagged = _png(path) if image.format == "PNG" else (False, True)
            found = int(image.getexif().get(ORIENTATION, 1) or 1) if tagged else 1
            wide = image.mode in WIDE_MODES or deep
            count = int(getattr(image, "n_frames", 1)) if image.format in ("GIF", "WEBP") else 1
    except (*BAD, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be opened ({reason(error, path)})") from error
    orientation = found if 1 <= found <= 8 else 1
    read = partial(_read, path, policy, 1 if policy.exif == "ignore" else orientation, wide)
    columns = {"exif_orientation": str(orientation)}
    many = count > 1
    return [
        Frame(
            read=partial(read, index),
            number=index + 1,
            columns=columns | ({"frame": str(index + 1)} if many else {}),
            exif=orientation,
            wide=wide,
            windowed=wide,
        )
        for index in range(count)
    ]


def _where(path: File) -> Any:
    """What Pillow opens: the path, or the bytes of an image that lies inside another file."""
    return path if isinstance(path, Path) else path.open("rb")


def _png(path: File) -> tuple[bool, bool]:
    """Whether a PNG holds 16 bits per channel, and whether it may hold EXIF.

    Pillow cuts 16 bits to 8 where there is colour, and decodes the whole file when it looks for EXIF
    behind the pixels; walking over the chunks costs neither.
    """
    deep = False
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return False, False
        while len(head := file.read(8)) == 8:
            size, name = int.from_bytes(head[:4], "big"), head[4:]
            start = file.read(min(size, 24)) if name != b"IDAT" else b""
            deep |= name == b"IHDR" and start[8:9] == b"\x10"
            if name == b"eXIf" or start.startswith((b"Raw profile type", b"XML:com.adobe.xmp")):
                return deep, True
            file.seek(size - len(start) + 4, 1)
    return deep, False


def stored(path: File, index: int) -> np.ndarray:
    """The values as the file holds them: uint8 after palette and alpha, else the wide numbers."""
    from PIL import Image

    try:
        with Image.open(_where(path)) as image:
            if image.format == "PNG" and _png(path)[0]:
                return _opaque(_deep(path))
            if index:
                image.seek(index)
            image.load()
            return np.asarray(_shown(image))
    except (*BAD, MemoryError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be decoded ({reason(error, path)})") from error


def _deep(path: File) -> np.ndarray:
    import imagecodecs

    try:
        return imagecodecs.png_decode(path.read_bytes())
    except imagecodecs.PngError as error:
        raise ValueError(str(error)) from error


def _shown(image: Any) -> Any:
    if image.mode in ("L", "RGB", *WIDE_MODES) and "transparency" not in image.info:
        return image
    if image.mode in UNSHOWABLE:
        raise DataError(f"its colours ({image.mode}) cannot be shown without a profile")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        from PIL import Image

        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _opaque(values: np.ndarray) -> np.ndarray:
    """Without its alpha channel: composited over black, in the same number type."""
    if values.ndim == 2 or values.shape[2] in (1, 3):
        return values.reshape(values.shape[:2]) if values.ndim == 3 and values.shape[2] == 1 else values
    top = np.iinfo(values.dtype).max
    alpha = values[..., -1:]
    colour = values[..., :-1]
    if (alpha != top).any():
        colour = np.rint(colour * (alpha / top)).astype(values.dtype)
    return colour[..., 0] if colour.shape[2] == 1 else colour


def _read(path: File, policy: DecodePolicy, orientation: int, wide: bool, index: int) -> np.ndarray:
    values = stored(path, index)
    if wide:
        values = windowed(values, policy)
    return plain(turned(values, orientation))


def windowed(values: np.ndarray, policy: DecodePolicy) -> np.ndarray:
    """uint8 under the window that the user chose; raises DataError where numbers are not finite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("it holds NaN or infinite values")
    if values.dtype == np.int32 and values.min() >= 0 and values.max() <= 65535:
        values = values.astype(np.uint16)  # Pillow widens 16-bit maps to 32 bits
    return to_grey(values, *bounds(values, policy.range or "file", policy.intercept))
