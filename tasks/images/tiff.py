"""Decoder of TIFF pages, through tifffile, which leaves the stored orientation alone, so that the policy can decide."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.decode import DecodePolicy, Frame, LastOpened, plain, reason
from tasks.images.kinds import File, kind
from tasks.images.raster import BAD, ORIENTATION, stored, turned, windowed

ASSOCIATED, UNASSOCIATED = 1, 2  # kinds of alpha: already multiplied with the colour, or not


def list_frames(path: Path, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:  # noqa: ARG001 - pages open fast
    """One frame per page that is no reduced copy of another; raises DataError."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            pages = [(i, p) for i, p in enumerate(tiff.pages) if not _reduced(p)]
            facts = [(i, _orientation(p), _wide(p)) for i, p in pages]
    except (*BAD, tifffile.TiffFileError) as error:
        raise DataError(f"cannot be opened ({reason(error, path)})") from error
    if not facts:
        raise DataError("the TIFF holds no page")
    return [
        Frame(
            read=partial(_read, path, index, policy),
            number=number,
            columns={"exif_orientation": str(orientation)} | ({"frame": str(number)} if len(facts) > 1 else {}),
            exif=orientation,
            wide=wide,
            windowed=wide,
        )
        for number, (index, orientation, wide) in enumerate(facts, 1)
    ]


def _reduced(page: Any) -> bool:
    return bool(getattr(page.keyframe, "is_reduced", False))


def _orientation(page: Any) -> int:
    tag = page.aspage().tags.get(ORIENTATION)
    value = int(tag.value) if tag is not None else 1
    return value if 1 <= value <= 8 else 1


def _wide(page: Any) -> bool:
    key = page.keyframe
    if key.photometric is not None and key.photometric.name == "PALETTE":
        return False
    return np.dtype(key.dtype).kind not in "bu" or np.dtype(key.dtype).itemsize > 1


def _read(path: Path, index: int, policy: DecodePolicy) -> np.ndarray:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[index].aspage()
            values = page.asarray()
            orientation = 1 if policy.exif == "ignore" else _orientation(page)
            shown = _shown(page, values, policy)
    except (*BAD, tifffile.TiffFileError) as error:
        raise DataError(f"cannot be decoded ({reason(error, path)})") from error
    return plain(turned(shown, orientation))


def _shown(page: Any, values: np.ndarray, policy: DecodePolicy) -> np.ndarray:
    meaning = page.photometric.name if page.photometric is not None else "MINISBLACK"
    if meaning == "PALETTE":
        return (np.moveaxis(page.colormap, 0, -1)[values] >> 8).astype(np.uint8)
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    elif page.axes not in ("YX", "YXS"):
        raise DataError(f"its axes {page.axes} are not those of one image")
    values = _opaque(page, values, 1 if meaning.startswith("MINIS") else 3)
    if _wide(page):
        values = windowed(values, policy)
    elif values.dtype == bool:
        values = values.astype(np.uint8) * np.uint8(255)
    elif page.bitspersample < 8:
        top = 2**page.bitspersample - 1
        values = np.rint(values * (255 / top)).astype(np.uint8)
    if meaning == "MINISWHITE":
        return np.uint8(255) - values
    if meaning in ("MINISBLACK", "RGB") or (meaning == "YCBCR" and page.compression.name == "JPEG"):
        return values
    raise DataError(f"its colours ({meaning}) cannot be shown without a profile")


def _opaque(page: Any, values: np.ndarray, channels: int) -> np.ndarray:
    if values.ndim == 2:
        return values
    extra = tuple(int(e) for e in page.extrasamples)
    if values.shape[2] == channels + 1 and extra == (UNASSOCIATED,):
        alpha = values[..., -1:] / np.iinfo(values.dtype).max
        values = np.rint(values[..., :-1] * alpha).astype(values.dtype)
    elif values.shape[2] == channels + 1 and extra == (ASSOCIATED,):
        values = values[..., :-1]
    elif values.shape[2] != channels:
        raise DataError(f"it holds {values.shape[2]} channels whose meaning is not said")
    return values[..., 0] if channels == 1 else values


def stored_range(path: File, number: int) -> tuple[float, float]:
    """The least and the greatest stored value of one image, for a message that asks for a window."""
    if kind(path) != "tiff" or not isinstance(path, Path):
        values = stored(path, number - 1)
    else:
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            values = [p for p in tiff.pages if not _reduced(p)][number - 1].asarray()
    return float(values.min()), float(values.max())
