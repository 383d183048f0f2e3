"""Decoder of JPEG, PNG, BMP, GIF, WebP and JPEG 2000, by Pillow; what Pillow would rescale or cut, by imagecodecs."""

import io
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images import jpeg, jpeg2000
from tasks.images.decode import DecodePolicy, Frame, LastOpened, plain, reason
from tasks.images.kinds import File
from tasks.images.window import bounds, to_grey

FORMATS = (
    "PNG",
    "JPEG",
    "BMP",
    "GIF",
    "WEBP",
    "JPEG2000",
)  # Pillow would open dozens, by their bytes; JPEG makes MPO where there is more
ANIMATED = ("GIF", "WEBP", "PNG")
KEPT = 1 << 27  # bytes of an animation's frames that are kept, and of animations that were opened last
ORIENTATION = 274  # the EXIF and TIFF tag
UNSHOWABLE = ("LAB",)  # Pillow converts it to RGB only with a colour profile
# pixels that a byte of a file can hold: deflate gives 1,032 times its bytes, of 8 pixels each at the most; a code of
# LZW (12 bits) stands for up to 3,839; WebP may hold one colour in any size, which no film is
DENSEST = {"PNG": 8256, "GIF": 2560, "WEBP": 2560}
BLANK = 1 << 24  # pixels of an image that is read however few bytes it has
MORE = "hold further images behind the first (MPO: a preview, a gain map, another view), which are not shown"
NO_END = "are GIFs without an end mark: perhaps images of theirs are missing"
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


def list_frames(path: File, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:
    """The one frame of a raster file, or the frames of an animation; raises DataError."""
    from PIL import Image

    deep, animated, exif, count, flags, revision = False, False, 1, 1, (), 1
    wide, high = 0, 0
    try:
        with Image.open(_where(path), formats=FORMATS) as image:
            scaled = image.format == "JPEG2000" and not jpeg2000.require_meaning(path).plain
            deep, tagged = _png(path) if image.format == "PNG" else (False, True)
            revision = 2 if _spread_key(image) is not None and image.mode != "1" else 1
            wide, high = image.size
            exif = int(image.getexif().get(ORIENTATION, 1) or 1) if tagged and not scaled else 1
            count = int(getattr(image, "n_frames", 1))
            animated = count > 1 and image.format in ANIMATED
            flags = (MORE,) if count > 1 and not animated else ()
            if animated and image.format == "PNG" and not deep:
                held, promised = _controls(path), count - bool(getattr(image, "default_image", False))
                if promised > held:
                    raise DataError(f"its header promises {promised} images, the file holds {held} (cut?)")
            if image.format in ("JPEG", "MPO"):
                jpeg.require_room(path, *image.size)
            elif image.format in DENSEST:
                _require_room(path, *image.size, DENSEST[image.format])
            flags += (NO_END,) if image.format == "GIF" and not _ended(path) else ()
    except (*BAD, Image.DecompressionBombError) as error:
        with path.open("rb") as file:
            head = file.read(12)
        scaled = head.startswith((jpeg2000.BOXED, jpeg2000.BARE)) and not jpeg2000.header(path).plain
        if head.startswith(b"\xff\xd8") and isinstance(error, Image.UnidentifiedImageError):
            return [_lossless(path, policy)]
        if not scaled or isinstance(error, Image.DecompressionBombError):
            raise DataError(f"cannot be opened ({reason(error, path)})") from error
    if scaled:
        header = jpeg2000.header(path)
        jpeg2000.require_readable(header)
        stored = partial(jpeg2000.stored, path, header.premultiplied)
        return [_other(policy, stored, max(header.bits), wide=header.wide)]
    if deep and animated:
        raise DataError("an animated PNG of 16 bits is not read")
    if deep:
        return [_other(policy, partial(_deep, path), 16, wide=True, exif=exif, revision=1, size=(wide, high))]
    orientation = exif if 1 <= exif <= 8 else 1
    turn = 1 if policy.exif == "ignore" else orientation
    columns = {"exif_orientation": str(orientation)}
    return [
        Frame(
            read=partial(_read, path, index, turn, last_opened if animated else None),
            number=index + 1,
            columns=columns | ({"frame": str(index + 1)} if animated else {}),
            exif=orientation,
            revision=1 if animated else revision,
            flags=flags,
            shape=(wide, high) if turn >= 5 else (high, wide),
        )
        for index in range(count if animated else 1)
    ]


def _where(path: File) -> Any:
    """What Pillow opens: the path, or the bytes of an image that lies inside another file."""
    return path if isinstance(path, Path) else path.open("rb")


class _Animation:
    """An animation in memory, whose frames rest on those before them: each is composed once, in whatever order asked.

    Frames that are passed on the way are kept while they fit into KEPT; one that is gone costs a new beginning.
    """

    def __init__(self, path: File) -> None:
        self._data = path.read_bytes()
        self._kept: dict[int, np.ndarray] = {}
        self.held = len(self._data)
        self._begin()

    def _begin(self) -> None:
        from PIL import Image

        self._image = Image.open(io.BytesIO(self._data), formats=FORMATS)
        self._next = 0

    def frame(self, index: int) -> np.ndarray:
        """One frame in grey or RGB, which is not to be written into."""
        if index in self._kept:
            return self._kept[index]
        if index < self._next:
            self._begin()  # Pillow goes back in GIF and WebP by the same way, and in PNG with an error
        while True:
            at = self._next
            self._image.seek(at)
            self._image.load()
            self._next = at + 1
            if at in self._kept:
                continue
            if at != index and self.held >= KEPT:
                continue
            values = np.asarray(_shown(self._image))
            if self.held + values.nbytes <= KEPT:
                values.flags.writeable = False
                self._kept[at] = values
                self.held += values.nbytes
            if at == index:
                return values


class _Animations:
    """The animations that were opened last, as many as fit into KEPT: a table may name frames of several in turn."""

    def __init__(self) -> None:
        self._opened: dict[File, _Animation] = {}

    def frame(self, path: File, index: int) -> np.ndarray:
        """One frame of one file in grey or RGB, which is not to be written into."""
        animation = self._opened.pop(path, None) or _Animation(path)
        while self._opened and animation.held + sum(one.held for one in self._opened.values()) > KEPT:
            del self._opened[next(iter(self._opened))]
        found = animation.frame(index)
        self._opened[path] = animation  # not where it could not be read: the next frame begins anew
        return found


def _png(path: File) -> tuple[bool, bool]:
    """Whether a PNG holds 16 bits per channel, and whether it may hold EXIF.

    Pillow cuts 16 bits to 8 where there is colour, and decodes the whole file when it looks for EXIF
    behind the pixels; walking over the chunks costs neither.
    """
    deep = False
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return False, False
        for name, start in _chunks(file):
            deep |= name == b"IHDR" and start[8:9] == b"\x10"
            if name == b"eXIf" or start.startswith((b"Raw profile type", b"XML:com.adobe.xmp")):
                return deep, True
    return deep, False


def _chunks(file: Any) -> Iterator[tuple[bytes, bytes]]:
    """The names of a PNG's chunks behind its mark, each with its first 24 bytes; none of pixels."""
    while len(head := file.read(8)) == 8:
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        start = file.read(min(size, 24)) if name != b"IDAT" else b""
        yield name, start
        file.seek(size - len(start) + 4, 1)


def _spread_key(image: Any) -> int | None:
    """The transparent grey of a PNG of 1, 2 or 4 bits among the 256 greys to which Pillow spreads it; None of others.

    Pillow leaves it as it is stored; newer ones spread that of 1 bit. To be asked before the pixels are loaded.
    """
    key = image.info.get("transparency")
    packing = str(image.tile[0][3]) if image.format == "PNG" and image.tile else ""
    if not isinstance(key, int) or packing not in ("1", "L;2", "L;4"):
        return None
    return 255 * bool(key) if packing == "1" else key * {"L;2": 85, "L;4": 17}[packing]


def _require_room(path: File, width: int, height: int, densest: int) -> None:
    """Raises DataError where a large image has more pixels than its file's bytes can hold."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
    if width * height > max(BLANK, densest * size):
        raise DataError(f"its header promises {width} x {height} pixels, which its {size} bytes cannot hold (cut?)")


def _controls(path: File) -> int:
    """How many images of an animation a PNG holds (fcTL chunks)."""
    with path.open("rb") as file:
        file.seek(8)
        return sum(name == b"fcTL" for name, _ in _chunks(file))


def _ended(path: File) -> bool:
    """Whether a GIF ends with its trailer, but for padding."""
    with path.open("rb") as file:
        file.seek(max(file.seek(0, 2) - 4096, 0))
        return file.read().rstrip(b"\0\r\n ").endswith(b";")


def _lossless(path: File, policy: DecodePolicy) -> Frame:
    """The frame of a JPEG that Pillow cannot open."""
    from PIL import Image

    found = jpeg.frame_header(path)
    if found.components != 1:
        raise DataError(f"a lossless or {found.bits}-bit JPEG with {found.components} components is not read")
    if found.width * found.height > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise DataError(f"its header promises {found.width} x {found.height} pixels")
    return _other(policy, partial(jpeg.stored, path), found.bits, wide=found.bits > 8)


def _other(
    policy: DecodePolicy,
    stored: Callable[[], np.ndarray],
    bits: int,
    *,
    wide: bool,
    exif: int = 1,
    revision: int = 2,
    size: tuple[int, int] | None = None,
) -> Frame:
    """A frame whose stored numbers are read by another library than Pillow."""
    orientation = exif if 1 <= exif <= 8 else 1
    turn = 1 if policy.exif == "ignore" else orientation
    return Frame(
        read=partial(_shown_numbers, stored, policy, turn, bits),
        columns={"exif_orientation": str(orientation)},
        exif=orientation,
        wide=wide,
        windowed=wide,
        stored=stored if wide else None,
        revision=revision,
        shape=size and (size if turn >= 5 else size[::-1]),
    )


def _shown_numbers(stored: Callable[[], np.ndarray], policy: DecodePolicy, orientation: int, bits: int) -> np.ndarray:
    """Wide numbers under the window; fewer bits than 8 with their greatest number as white."""
    values = opaque(stored(), 2**bits - 1)
    if bits > 8 or values.dtype.kind == "i":
        values = windowed(values, policy)
    elif bits < 8:
        values = np.rint(values * 255.0 / (2**bits - 1)).astype(np.uint8)
    return plain(turned(values, orientation))


def _deep(path: File) -> np.ndarray:
    import imagecodecs

    try:
        return imagecodecs.png_decode(path.read_bytes())
    except imagecodecs.PngError as error:
        raise ValueError(str(error)) from error


def _read(path: File, index: int, orientation: int, last_opened: LastOpened | None) -> np.ndarray:
    """8-bit pixels; the frames of an animation are read from one opened file, since each rests on those before it."""
    from PIL import Image

    try:
        if last_opened is not None:
            return plain(turned(last_opened.get("animations", _Animations).frame(path, index), orientation))
        with Image.open(_where(path), formats=FORMATS) as image:
            key = _spread_key(image)
            image.load()
            if key is not None:
                image.info["transparency"] = key
            return plain(turned(np.asarray(_shown(image)), orientation))
    except (*BAD, MemoryError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be decoded ({reason(error, path)})") from error


def _shown(image: Any) -> Any:
    """A Pillow image in grey or RGB: palettes applied, over black where it is transparent."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode in UNSHOWABLE:
        raise DataError(f"its colours ({image.mode}) cannot be shown without a profile")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        from PIL import Image

        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    if image.mode == "P" and image.format == "PNG" and 3 * image.getextrema()[1] + 3 > len(image.palette.palette):
        raise DataError(f"it holds the number {image.getextrema()[1]}, which its palette has no colour for")
    return image.convert("L" if image.mode == "1" else "RGB")


def opaque(values: np.ndarray, top: int) -> np.ndarray:
    """Values [h, w, channels] without their alpha channel: composited over black, in the same number type.

    `top` is the alpha that is opaque.
    """
    if values.ndim == 2 or values.shape[2] in (1, 3):
        return values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    alpha, colour = values[..., -1:], values[..., :-1]
    if (alpha != top).any():
        blended = colour * (alpha / top)
        colour = blended.astype(values.dtype) if values.dtype.kind == "f" else np.rint(blended).astype(values.dtype)
    return colour[..., 0] if colour.shape[2] == 1 else colour


def windowed(values: np.ndarray, policy: DecodePolicy) -> np.ndarray:
    """uint8 under the window that the user chose; raises DataError where numbers are not finite."""
    if values.dtype.kind not in "iuf":
        raise DataError(f"its numbers ({values.dtype}) are no grey values")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("it holds NaN or infinite values")
    return to_grey(values, *bounds(values, policy.range or "file", policy.intercept))
