"""Where the evidence for an answer lies, as a manifest says it: boxes in pixels, or a mask file, for each image."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from tasks._base import DataError, Mask, Picture, is_volume
from tasks.images.decode import DecodePolicy, Frame, LastOpened
from tasks.images.kinds import SUFFIXES, File, suffix
from tasks.images.raster import turned
from tasks.sources.files import Names, is_there
from tasks.sources.frames import SourceFrame
from tasks.sources.remote import frames_of
from tasks.sources.table import no_column
from tasks.sources.values import is_missing, number

Box = tuple[float, float, float, float]  # x0, y0, x1, y1
ROUNDING = 1.0  # pixels by which a box may leave its image, as rounding makes it
LOSSY = (".jpg", ".jpeg", ".jfif")
FORM = "a box is x0 y0 x1 y1 in pixels (several with ;), or the cell names a mask file"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The column that holds boxes or mask files, or the four of x, y, width and height; `name` is the region's."""

    name: str
    columns: tuple[str, ...]

    def cell(self, one: SourceFrame) -> str:
        """What a row says, empty where it says nothing; of four columns the box that they make."""
        cells = [one.file.columns.get(column, "").strip() for column in self.columns]
        if all(map(is_missing, cells)):
            return ""
        if len(cells) == 1:
            return cells[0]
        values = [number(cell, exponents=True) for cell in cells]
        x, y, w, h = (math.nan if value is None else value for value in values)
        if math.isnan(x + y + w + h):
            said = ", ".join(f"{c} = {v!r}" for c, v in zip(self.columns, cells, strict=True))
            raise DataError(f"{said}: all four are numbers with a point (1.5), in pixels, or all four are empty")
        return f"{x:.10g} {y:.10g} {x + w:.10g} {y + h:.10g}"


def asked(spec: str, columns: Sequence[str], source: str) -> Columns:
    """The column of that name, or the four whose names `spec` gives with commas between.

    >>> asked("box_x,box_y,box_w,box_h", ["file", "box_x", "box_y", "box_w", "box_h"], "mine").name
    'box'

    Raises:
        DataError: a column is not there, or there are neither one nor four.
    """
    if spec in columns:
        return Columns(name=spec, columns=(spec,))
    named = tuple(part.strip() for part in spec.split(","))
    if len(named) not in (1, 4):
        raise DataError(f"--evidence {spec}: name one column, or four: x,y,width,height of a box")
    for one in named:
        if one not in columns:
            raise no_column(one, columns, source, "--evidence:")
    return Columns(name=os.path.commonprefix(named).rstrip("_-. [(") or spec, columns=named)  # noqa: RUF071


def regions(
    found: Sequence[SourceFrame],
    pictures: Sequence[Picture],
    columns: Columns,
    *,
    names: Names,
    policy: DecodePolicy,
    name: str,
) -> tuple[list[dict[str, Mask]], list[str]]:
    """For each image its region, {} where its row says nothing, and a sentence about how many do not.

    `names` finds mask files, `name` is the source's. What headers tell is checked here, the
    rest where a mask is read. Raises DataError, which names row and value, for what is neither a box inside its image
    nor a mask of its size.
    """
    out, wrong = [], []
    reader = _Reader(names=names, policy=DecodePolicy(exif=policy.exif, window="minmax", volumes=policy.volumes))
    for one, picture in zip(found, pictures, strict=True):
        place = f"{name}: {one.file.place or one.file.name}"
        try:
            cell = columns.cell(one)
            place += f": {columns.name} = {cell!r}"
            mask = reader.region(cell, one, picture, place) if cell else None
        except DataError as error:
            wrong.append(f"{place}: {error}")
            continue
        out.append({} if mask is None else {columns.name: mask})
    if wrong:
        raise DataError(wrong[0] + (f"; and {len(wrong) - 1} more such cells" if len(wrong) > 1 else ""))
    bare = sum(not regions for regions in out)
    if bare == len(out):
        raise DataError(f"--evidence {columns.name}: no row of {name} has a value there; {FORM}")
    said = f"{bare} of {len(out)} {policy.noun} have no {columns.name}, so no evidence is known in them"
    return out, ([said] if bare else []) + [f"{columns.name}: {note}" for note in names.notes]


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads the cells of one source; a file that holds many slices is listed once for all of them."""

    names: Names
    policy: DecodePolicy
    opened: LastOpened = field(default_factory=LastOpened)
    listed: tuple[LastOpened, LastOpened] = field(default_factory=lambda: (LastOpened(), LastOpened()))

    def region(self, cell: str, one: SourceFrame, picture: Picture, where: str) -> Mask | None:
        """What a cell says, checked as far as headers tell; None for a slice in which a mask of many is empty."""
        found, shape = boxes(cell), one.frame.shape
        if found is None:
            frame, many = self._frame(cell, one)
            if None not in (frame.shape, shape):
                _same_size(frame.shape, shape)
            if many and not _numbers(frame, self.policy).any():
                return None
            return partial(_from_file, frame, self.policy, shape, picture, where)
        if self.policy.volumes:
            raise DataError("a box has no depth; of a volume give a mask file")
        if shape is not None:
            drawn(found, shape)
        return partial(_from_boxes, found, shape, picture, where)

    def _frame(self, cell: str, one: SourceFrame) -> tuple[Frame, bool]:
        """The frame of the mask file that belongs to an image, and whether it is one of several."""
        named = self.names.named(cell)
        path = named.path
        if isinstance(path, Path) and not is_there(path):
            raise DataError(f"no such file{named.missing}; {FORM}")
        if suffix(cell) in LOSSY:
            raise DataError("a JPEG is no exact mask, as its edges ring: save it as PNG, zero where no evidence is")
        if SUFFIXES.get(suffix(cell)) == "nifti" != SUFFIXES.get(suffix(one.file.path.name)):
            raise DataError("a NIfTI mask lies in the patient's axes and fits NIfTI images alone; save it as PNG")
        frames = self._list(0, path)
        if len(frames) == 1:
            return frames[0], False
        images = self._list(1, one.file.path)
        if len(images) != len(frames):
            raise DataError(f"it holds {len(frames)} masks and {one.file.name} {len(images)} images")
        return frames[one.frame.number - 1], True

    def _list(self, which: int, path: File) -> list[Frame]:
        return self.listed[which].get(path, partial(frames_of, path, self.policy, self.opened))


def boxes(cell: str) -> list[Box] | None:
    """The boxes that a cell writes; None where it is the name of a file. Raises DataError.

    >>> boxes("[10, 20, 30, 40]; 1 2 3.5 4")
    [(10.0, 20.0, 30.0, 40.0), (1.0, 2.0, 3.5, 4.0)]
    >>> boxes("masks/3.png") is None
    True
    """
    parts = [re.split(r"[\s,]+", part.strip(" \t[](){}")) for part in cell.split(";") if part.strip()]
    numbers = [[number(text, exponents=True) for text in part] for part in parts]
    if not any(value is not None for part in numbers for value in part) or suffix(cell) in SUFFIXES:
        return None
    out = []
    for part in numbers:
        known = [value for value in part if value is not None]
        if len(part) != 4 or len(known) != 4:
            raise DataError(f"it is no four numbers: {FORM}")
        x0, y0, x1, y1 = known
        if x1 <= x0 or y1 <= y0:
            axis = "x" if x1 <= x0 else "y"
            raise DataError(f"{axis}1 must be larger than {axis}0: {FORM}")
        out.append((x0, y0, x1, y1))
    return out


def drawn(boxes: Sequence[Box], shape: tuple[int, ...]) -> np.ndarray:
    """The pixels that boxes touch, bool [h, w]; a pixel's left edge is its column, its right one the next.

    Raises:
        DataError: a box leaves the image by more than a pixel.
    """
    h, w = shape
    out = np.zeros((h, w), bool)
    for x0, y0, x1, y1 in boxes:
        outside = x0 >= w or y0 >= h or x1 <= 0 or y1 <= 0
        if outside or min(x0, y0) < -ROUNDING or x1 > w + ROUNDING or y1 > h + ROUNDING:
            raise DataError(f"the box leaves its image, which is {w} x {h} pixels; x is 0 to {w}, y is 0 to {h}")
        out[max(math.floor(y0), 0) : math.ceil(y1), max(math.floor(x0), 0) : math.ceil(x1)] = True
    return out


def _from_boxes(boxes: Sequence[Box], shape: tuple[int, ...] | None, picture: Picture, where: str) -> np.ndarray:
    try:
        return drawn(boxes, shape or picture.read().shape[:2])
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _from_file(
    frame: Frame, policy: DecodePolicy, shape: tuple[int, ...] | None, picture: Picture, where: str
) -> np.ndarray:
    """Where the numbers of a mask file are not zero; they are never put under a window."""
    try:
        values = _numbers(frame, policy)
        if shape is None:
            image = picture.read()
            shape = image.shape if is_volume(image) else image.shape[:2]
        _same_size(values.shape, shape)
        if not values.any():
            raise DataError("the mask is empty: every pixel is zero; leave the cell empty where there is no evidence")
        return values
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _numbers(frame: Frame, policy: DecodePolicy) -> np.ndarray:
    """Where a mask is not zero: as it is stored, of colours any channel, and nowhere where it is transparent."""
    if frame.stored is None:
        values = frame.read()  # of 8 bits, on which no window acts
        return (values != 0).any(-1) if values.ndim == 3 and not is_volume(values) else values != 0
    values = frame.stored()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("the mask holds numbers that are not finite")
    found = values != 0
    if values.ndim == 3 and not (policy.volumes and is_volume(values)):
        found = found[..., :-1].any(-1) & found[..., -1] if values.shape[2] in (2, 4) else found.any(-1)
    return np.ascontiguousarray(turned(found, 1 if policy.exif == "ignore" else frame.exif))


def _same_size(mask: tuple[int, ...] | None, image: tuple[int, ...] | None) -> None:
    if mask != image:
        sizes = [" x ".join(map(str, reversed(shape or ()))) for shape in (mask, image)]
        raise DataError(f"the mask has {sizes[0]} pixels and its image {sizes[1]}; a mask lies on the image as shown")
