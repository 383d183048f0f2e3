"""Decoder of TIFF, through tifffile: pages, and the slices of a stack that lies behind one page.

What the file says of itself is held against what it holds before anything is built: its chain of directories, the
place of every strip, and the count of planes that a description promises (ImageJ, OME, tifffile's own, MetaMorph
STK, Zeiss LSM). tifffile leaves the stored orientation alone, so that the policy can decide.
"""

import logging
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.decode import DecodePolicy, Frame, LastOpened, plain
from tasks.images.raster import ORIENTATION, opaque, turned, windowed

REDUCED, MASK = 1, 4  # bits of NewSubfileType: a smaller copy of another page, a transparency mask of one
ASSOCIATED, UNASSOCIATED = 1, 2  # kinds of alpha: already multiplied with the colour, or not
MINISWHITE, MINISBLACK, COLOUR, PALETTE, YCBCR = 0, 1, 2, 3, 6  # photometric interpretations that are shown
COLOURS = {4: "a transparency mask", 5: "CMYK", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32803: "a colour filter array"}
JPEG = 7  # a compression whose YCbCr comes back as RGB
TOLD = {270: "description", 320: "palette"}  # tags without which an image would be told or shown otherwise
LARGEST = 2**32  # bytes of one image
SUSPECT, RATIO = 2**28, 5000  # bytes of an image above which this is the most that compression is believed to save
AXES = {"C": "channel", "Z": "slice", "T": "time"}
CHANNEL = "are one channel each of an image that holds several (column channel)"
SLIDES = ("svs", "ndpi", "scn", "bif", "qpi", "philips", "avs")  # makers whose smaller levels are pages like others
SLIDE = "are whole slides, shown at full size: thumbnails, smaller levels, labels and macro photographs are left out"
BELOW = "hold further images in directories below their pages, which are not shown"
CALIBRATED = "carry an ImageJ calibration of their values, which is not applied: a window acts on the stored numbers"


@dataclass(frozen=True)
class Promise:
    """What a description says that the file holds; the columns of its planes are made only once it is believed."""

    name: str
    count: int
    columns: Callable[[], list[dict[str, str]]]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Where one image lies: its page, the slice of it, and the bytes between it and the page's own pixels."""

    page: int
    offset: int  # of the page's directory in the file
    level: int | None = None  # of a page that is itself a stack (ImageDepth)
    behind: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file in tifffile, whose log is silent: what it would mend, drop or zero is refused here."""
    import tifffile
    from tifffile.tifffile import logger

    lost: list[str] = []
    log = logger()

    def keep(record: logging.LogRecord) -> bool:
        lost.extend(name for tag, name in TOLD.items() if f"TiffTag {tag} @" in record.getMessage())
        return False

    log.addFilter(keep)
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff
    finally:
        log.removeFilter(keep)
    if lost:
        raise DataError(f"its {lost[0]} lies beyond the end of the file (cut?)")


def list_frames(path: Path, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:
    """One frame per plane of every page that is neither a reduced copy nor a mask; raises DataError."""
    _check_chain(path)
    with _opened(path) as tiff:
        pages = list(tiff.pages)
        shown = [page for page in pages if _shown(page)]
        if not shown:
            raise DataError("the TIFF holds no page that is no reduced copy")
        for page in shown:
            _check_size(page, tiff.filehandle.size)
        slide = any(getattr(tiff, f"is_{maker}") for maker in SLIDES)
        if slide:
            whole = {page.index for page in tiff.series[0].levels[0].pages if page is not None}
            shown = [page for page in shown if page.index in whole]
        planes = _of_pages(shown) if slide else _planes(tiff, path, pages, shown)
        found = {SLIDE: slide, BELOW: not slide and _full_below(tiff, shown), CALIBRATED: _calibrated(tiff)}
        flags = tuple(flag for flag, holds in found.items() if holds)
        facts = {p.offset: (_orientation(p), _wide(p), _revision(p)) for p in shown}
    masked = any(int(p.subfiletype) & MASK for p in pages)
    frames = []
    for number, plane in enumerate(planes, 1):
        orientation, wide, revision = facts[plane.offset]
        columns = {"exif_orientation": str(orientation)} | ({"frame": str(number)} if len(planes) > 1 else {})
        frames.append(
            Frame(
                read=partial(_read, path, plane, policy, last_opened),
                number=number,
                columns=columns | dict(plane.columns),
                exif=orientation,
                wide=wide,
                windowed=wide,
                stored=partial(_numbers, path, plane, last_opened) if wide else None,
                revision=2 if masked else revision,
                flags=(*flags, *((CHANNEL,) if "channel" in plane.columns else ())),
            )
        )
    return frames


# ---- what the file says, held against what it holds


def _check_chain(path: Path) -> None:
    """Raises DataError where the chain of directories comes back to an earlier one, is cut, or leaves the file."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        ndpi = not big and path.suffix.lower() == ".ndpi"  # classic TIFF with offsets of 64 bits
        count_size, tag_size = (8, 20) if big else (2, 12)
        offset_size = 8 if big or ndpi else 4
        offset = int.from_bytes(head[8:16] if big else head[4 : 4 + offset_size], "little" if order == "<" else "big")
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise DataError(f"its directories run in a circle: page {len(seen)} names an earlier one as the next")
            seen.add(offset)
            file.seek(offset)
            try:
                (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(count_size))
                file.seek(offset + count_size + count * tag_size if count <= size else size)
                (offset,) = struct.unpack(order + ("Q" if offset_size == 8 else "I"), file.read(offset_size))
            except struct.error:
                raise DataError(f"its directory of page {len(seen)} lies beyond the end of the file (cut?)") from None
            if not count:
                raise DataError(f"its directory of page {len(seen)} is empty")
        if not seen:
            raise DataError("the TIFF holds no page")


def _check_size(page: Any, size: int) -> None:
    """Raises DataError where a page has no pixels, or fewer bytes of them in the file than it says."""
    if not page.shape or 0 in page.shape:
        raise DataError(f"page {page.index + 1} is {page.imagewidth} pixels wide and {page.imagelength} high")
    if page.dtype is None or not isinstance(page.bitspersample, int):
        raise DataError(f"page {page.index + 1} holds numbers of {page.bitspersample} bits, which are not read")
    offsets, counts = np.array(page.dataoffsets, np.uint64), np.array(page.databytecounts, np.uint64)
    promised = prod(page.shape) * page.bitspersample // 8
    plain_bytes = int(page.compression) == 1 and not page.is_subsampled
    if plain_bytes and page.is_contiguous:
        held = size - int(offsets[0])
    elif not len(offsets) or len(offsets) != len(counts) or len(offsets) < prod(page.chunked):
        raise DataError(f"page {page.index + 1} does not say where its pixels lie")
    elif not (offsets.all() and counts.all()):
        empty = int(((offsets == 0) | (counts == 0)).sum())
        raise DataError(f"page {page.index + 1} leaves {empty} of its {len(offsets)} strips or tiles empty")
    else:
        end = int((offsets + counts).max())
        if end > size:
            raise DataError(f"the pixels of page {page.index + 1} end at byte {end} of a file of {size} (cut?)")
        held = int(counts.sum())
    if (plain_bytes and promised > held) or (promised > SUSPECT and promised > RATIO * held):
        raise DataError(f"page {page.index + 1} promises {promised} bytes of pixels and the file holds {held} (cut?)")
    if promised > LARGEST:
        raise DataError(f"page {page.index + 1} promises {promised / 2**30:.3g} GiB; an image may take 4 GiB")


def _planes(tiff: Any, path: Path, pages: Sequence[Any], shown: Sequence[Any]) -> list[Plane]:
    """The planes of the pages in their order, and of a stack that lies behind one page; raises DataError."""
    if any(page.is_shaped for page in shown):
        return _shaped(tiff, shown)
    promise = _lsm(tiff) or _stk(tiff) or _ome(tiff, path, pages) or _imagej(tiff, shown)
    held = sum(page.imagedepth for page in shown)
    if promise is None or held > promise.count:
        return _of_pages(shown)
    if held == promise.count:
        return _of_pages(shown, promise.columns())
    if len(shown) == 1 or (shown[0].is_final and _end(shown[0], promise.count) <= shown[1].offset):
        return [*_behind(tiff, shown[0], promise), *_of_pages(shown[1:])]
    raise DataError(f"its {promise.name} promises {promise.count} images and the file holds {held} (cut?)")


def _of_pages(pages: Sequence[Any], columns: Sequence[Mapping[str, str]] | None = None) -> list[Plane]:
    """The planes of pages, with their columns where these are known."""
    planes = [(p, level if p.imagedepth > 1 else None) for p in pages for level in range(p.imagedepth)]
    named = columns or [{}] * len(planes)
    return [
        Plane(
            page=page.index,
            offset=page.offset,
            level=level,
            columns=({} if level is None else {"slice": str(level + 1)}) | dict(own),
        )
        for (page, level), own in zip(planes, named, strict=True)
    ]


def _behind(tiff: Any, page: Any, promise: Promise) -> list[Plane]:
    """The planes that lie one behind the other from the page's own pixels on; raises DataError."""
    each = _end(page, 1) - int(page.dataoffsets[0])
    if not page.is_final or page.imagedepth > 1:
        raise DataError(f"its {promise.name} promises {promise.count} images and the file holds one packed page")
    if _end(page, promise.count) > tiff.filehandle.size:
        held = (tiff.filehandle.size - int(page.dataoffsets[0])) // each
        raise DataError(f"its {promise.name} promises {promise.count} images and the file has room for {held} (cut?)")
    return [
        Plane(page=page.index, offset=page.offset, behind=k * each, columns=columns)
        for k, columns in enumerate(promise.columns())
    ]


def _end(page: Any, count: int) -> int:
    """The byte behind that many planes, of which the page's own pixels are the first."""
    return int(page.dataoffsets[0]) + count * prod(page.shape) * np.dtype(page.dtype).itemsize


# ---- what descriptions promise


def _along(name: str, axes: Sequence[tuple[str, int]]) -> Promise:
    """The promise of planes along axes, slowest first; an axis of one, or without a name, makes no column."""
    lengths = [n for _, n in axes]
    return Promise(name, prod(lengths), partial(_columns, axes))


def _columns(axes: Sequence[tuple[str, int]]) -> list[dict[str, str]]:
    return [
        {name: str(at + 1) for (name, n), at in zip(axes, place, strict=True) if name and n > 1}
        for place in product(*(range(n) for _, n in axes))
    ]


def _shaped(tiff: Any, shown: Sequence[Any]) -> list[Plane]:
    """Planes of a file that tifffile wrote: each series begins with a page that describes its shape."""
    from tifffile.tifffile import shaped_description_metadata

    planes: list[Plane] = []
    at = 0
    while at < len(shown):
        page = shown[at]
        following = next((k for k in range(at + 1, len(shown)) if shown[k].is_shaped), len(shown))
        own, at = shown[at:following], following
        facts = shaped_description_metadata(page.shaped_description) if page.is_shaped else {}
        shape = tuple(int(n) for n in facts.get("shape", page.shape))
        thick, own_shape = [n for n in shape if n != 1], [n for n in page.shape if n != 1]
        if min(shape, default=1) < 1 or thick[len(thick) - len(own_shape) :] != own_shape:  # of another image
            if len(thick) - (shape[-1] in (3, 4)) > 2:
                raise DataError(f"its description promises a stack of the shape {shape}, its page has {page.shape}")
            shape = page.shape
        pages = prod(shape) // prod(page.shape)
        promise = _along("description", _leading(shape, str(facts.get("axes", "")), pages * page.imagedepth))
        held = sum(p.imagedepth for p in own)
        if held >= promise.count:
            planes += _of_pages(own, promise.columns() if held == promise.count else None)
        elif len(own) == 1:
            planes += _behind(tiff, page, promise)
        else:
            raise DataError(f"its description promises {promise.count} images and the file holds {held} (cut?)")
    return planes


def _leading(shape: Sequence[int], letters: str, count: int) -> list[tuple[str, int]]:
    """The first axes of a shape, as far as they count the planes."""
    for k in range(len(shape) + 1):
        if prod(shape[:k]) == count:
            named = letters if len(letters) == len(shape) else "?" * len(shape)
            return [(AXES.get(letter.upper(), ""), n) for letter, n in zip(named[:k], shape[:k], strict=True)]
    return [("", count)]


def _size(facts: Mapping[str, Any], key: str) -> int:
    """A length that a description names: 1 where it is left out or makes no sense."""
    try:
        return max(int(facts.get(key, 1)), 1)
    except (TypeError, ValueError):
        return 1


def _imagej(tiff: Any, shown: Sequence[Any]) -> Promise | None:
    """The promise of an ImageJ description: T slowest, C fastest, unless it says another order."""
    facts = tiff.imagej_metadata if tiff.is_imagej else None
    if not facts:
        return None
    size = {"T": _size(facts, "frames"), "Z": _size(facts, "slices"), "C": _size(facts, "channels")}
    if size["C"] == shown[0].samplesperpixel:
        size["C"] = 1  # the channels are the samples of each pixel
    order = str(facts.get("order", "czt")).upper()[::-1]
    axes = [(AXES[a], size[a]) for a in (order if sorted(order) == ["C", "T", "Z"] else "TZC")]
    count, images = prod(size.values()), _size(facts, "images")
    if images > count and len(shown) != count:
        axes = [("", images // count), *axes] if images % count == 0 else [("", images)]
    return _along("ImageJ description", axes)


def _full_below(tiff: Any, shown: Sequence[Any]) -> bool:
    """Whether the first page has images below it (SubIFDs) that are no smaller copies of it."""
    import tifffile

    first = shown[0]
    for offset in first.subifds or ():
        tiff.filehandle.seek(offset)
        page = tifffile.TiffPage(tiff, (first.index, 0))
        smaller = page.imagewidth < first.imagewidth and page.imagelength < first.imagelength
        if _shown(page) and not smaller:
            return True
    return False


def _calibrated(tiff: Any) -> bool:
    facts = (tiff.imagej_metadata if tiff.is_imagej else None) or {}
    return "c0" in facts and (facts["c0"], facts.get("c1", 1)) != (0, 1)


def _stk(tiff: Any) -> Promise | None:
    facts = tiff.stk_metadata if tiff.is_stk else None
    return _along("MetaMorph description", [("", _size(facts, "NumberPlanes"))]) if facts else None


def _lsm(tiff: Any) -> Promise | None:
    facts = tiff.lsm_metadata if tiff.is_lsm else None
    if not facts:
        return None
    places = _size(facts, "DimensionM") * _size(facts, "DimensionP")
    axes = [("", places), ("time", _size(facts, "DimensionTime")), ("slice", _size(facts, "DimensionZ"))]
    return _along("LSM description", axes)


def _ome(tiff: Any, path: Path, pages: Sequence[Any]) -> Promise | None:
    """The promise of an OME description for this file of those that it may name (OME-TIFF specification, TiffData).

    Its count is that of the planes in this file, reduced copies apart.
    """
    from xml.etree import ElementTree

    text = tiff.ome_metadata if tiff.is_ome else None
    if text is None:
        return None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError("its OME description defines entities, which are not followed")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities there is nothing to expand
    except ElementTree.ParseError as error:
        raise DataError(f"its OME description cannot be read ({error})") from None
    files = {u.get("FileName", "").lower() for u in root.iter() if _tag(u) == "UUID"}
    blocks: list[tuple[int, int, int, list[tuple[str, int]]]] = []  # first directory, first plane, count, axes
    end = 0
    for pixels in (e for e in root.iter() if _tag(e) == "Pixels"):
        samples = next((_size(e.attrib, "SamplesPerPixel") for e in pixels if _tag(e) == "Channel"), 1)
        order = [a for a in reversed(pixels.get("DimensionOrder", "XYCZT")) if a in AXES]
        lengths = {a: _size(pixels.attrib, f"Size{a}") // (samples if a == "C" else 1) or 1 for a in order}
        axes = [(AXES[a], lengths[a]) for a in order]
        whole = prod(lengths.values())
        parts = [e for e in pixels if _tag(e) == "TiffData"]
        for part in parts:
            uuid = next((u for u in part if _tag(u) == "UUID"), None)
            known = uuid is None or len(files) < 2 or uuid.text == root.get("UUID")
            if not known and uuid is not None and uuid.get("FileName", "").lower() != path.name.lower():
                continue  # it lies in another file
            at = int(part.get("IFD", 0))
            count = int(part.get("PlaneCount", 1 if "IFD" in part.attrib else whole))
            start = 0
            for a in order:
                start = start * lengths[a] + int(part.get(f"First{a}", 0))
            blocks.append((at, start, count, axes))
            end = max(end, at + count)
        if not parts:
            blocks.append((end, 0, whole, axes))
            end += whole
    if any(page.imagedepth > 1 for page in pages):  # whose slices are counted there
        return _along("OME description", [("", sum(prod(n for _, n in axes) for *_, axes in blocks))])
    if end > len(pages) > 1 or (end > 1 and len(pages) == 1):
        return _along("OME description", blocks[0][3] if len(blocks) == 1 and blocks[0][0] == 0 else [("", end)])
    return (
        Promise("OME description", len([*filter(_shown, pages)]), partial(_ome_columns, pages, blocks)) if end else None
    )


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _ome_columns(pages: Sequence[Any], blocks: Sequence[tuple[int, int, int, Any]]) -> list[dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for at, start, count, axes in blocks:
        for k in range(count):
            lengths = [n for _, n in axes]
            if start + k < prod(lengths):
                place = np.unravel_index(start + k, lengths)
                found[at + k] = {name: str(int(i) + 1) for (name, n), i in zip(axes, place, strict=True) if n > 1}
    return [found.get(page.index, {}) for page in pages if _shown(page)]


# ---- pixels


def _shown(page: Any) -> bool:
    return not int(page.subfiletype) & (REDUCED | MASK)


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    value = int(tag.value) if tag is not None else 1
    return value if 1 <= value <= 8 else 1


def _wide(page: Any) -> bool:
    return int(page.photometric) != PALETTE and (page.dtype.kind not in "bu" or page.dtype.itemsize > 1)


def _revision(page: Any) -> int:
    """2 for pages that were shown otherwise before: 32-bit integers, and palettes of 8 bits."""
    small = int(page.photometric) == PALETTE and page.colormap is not None and int(page.colormap.max()) < 256
    return 2 if small or page.dtype.kind + str(page.dtype.itemsize) == "i4" else 1


def _page(tiff: Any, plane: Plane) -> Any:
    import tifffile

    if tiff.is_lsm:  # whose strips tifffile mends when it goes through all pages
        return tiff.pages[plane.page].aspage()
    if plane.page == 0:
        return tiff.pages.first
    tiff.filehandle.seek(plane.offset)
    return tifffile.TiffPage(tiff, plane.page)


def _values(tiff: Any, page: Any, plane: Plane, last_opened: LastOpened) -> np.ndarray:
    """The numbers of one plane as the file holds them: [h, w], [h, w, channels] or [channels, h, w]."""
    if plane.level is not None:  # one slice after another of a page that is read as a whole
        whole = last_opened.get(("tiff", str(tiff.filehandle.path), plane.offset), page.asarray)
        return whole.take(plane.level, axis=page.axes.index("Z"))
    if not plane.behind:
        return page.asarray()
    tiff.filehandle.seek(int(page.dataoffsets[0]) + plane.behind)
    values = tiff.filehandle.read_array(tiff.byteorder + page.dtype.char, prod(page.shape))
    return values.reshape(page.shape).astype(page.dtype)


def _numbers(path: Path, plane: Plane, last_opened: LastOpened) -> np.ndarray:
    with _opened(path) as tiff:
        return _values(tiff, _page(tiff, plane), plane, last_opened)


def _read(path: Path, plane: Plane, policy: DecodePolicy, last_opened: LastOpened) -> np.ndarray:
    with _opened(path) as tiff:
        page = _page(tiff, plane)
        values = _values(tiff, page, plane, last_opened)
        orientation = 1 if policy.exif == "ignore" else _orientation(page)
        return plain(turned(_grey_or_rgb(page, values, policy), orientation))


def _grey_or_rgb(page: Any, values: np.ndarray, policy: DecodePolicy) -> np.ndarray:
    """uint8 [h, w] or [h, w, 3] as the page's photometric interpretation means it; raises DataError."""
    meaning = int(page.photometric)
    if 262 not in page.tags and int(page.compression) != 6:
        raise DataError("it does not say what its numbers mean (no photometric interpretation)")
    if meaning == YCBCR and int(page.compression) == JPEG:
        meaning = COLOUR
    if meaning not in (MINISWHITE, MINISBLACK, COLOUR, PALETTE):
        name = COLOURS.get(meaning, "YCbCr" if meaning == YCBCR else f"photometric interpretation {meaning}")
        raise DataError(f"its colours ({name}) cannot be shown without a profile")
    axes = page.axes.replace("Z", "")
    if axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    elif axes not in ("YX", "YXS"):
        raise DataError(f"its axes {page.axes} are not those of one image")
    if meaning == PALETTE:
        if values.ndim != 2 or page.colormap is None:
            raise DataError("its palette has no colours for its values")
        colours = np.moveaxis(page.colormap, 0, -1)
        return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)[values]
    bits = page.bitspersample
    values = _without_alpha(page, values, 3 if meaning == COLOUR else 1)
    if _wide(page):
        values = windowed(values, policy)
    elif values.dtype == bool:
        values = values.astype(np.uint8) * np.uint8(255)
    elif bits < 8:
        values = np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
    return np.uint8(255) - values if meaning == MINISWHITE else values


def _without_alpha(page: Any, values: np.ndarray, channels: int) -> np.ndarray:
    if values.ndim == 2:
        return values
    extra = tuple(int(e) for e in page.extrasamples)
    if values.shape[2] == channels + 1 and extra == (UNASSOCIATED,):
        return opaque(values, 1 if values.dtype.kind == "f" else 2**page.bitspersample - 1)
    if values.shape[2] == channels + 1 and extra == (ASSOCIATED,):
        values = values[..., :-1]
    elif values.shape[2] != channels:
        raise DataError(f"it holds {values.shape[2]} channels whose meaning is not said")
    return values[..., 0] if channels == 1 else values
