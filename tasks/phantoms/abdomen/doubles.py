"""Structures that enhance, painted in beds of fat, and the congruent double of each in stomach and bowel."""

import math

import numpy as np

from tasks.phantoms.abdomen import patient as t
from tasks.phantoms.abdomen.body import Box, Canvas, pixel
from tasks.phantoms.abdomen.patient import DOUBLE, ENHANCING, HALO
from tasks.phantoms.abdomen.shapes import Shape, shapes

_ENHANCES = np.isin(np.arange(2 * DOUBLE), ENHANCING)
_YIELDS = np.isin(np.arange(2 * DOUBLE), (t.FAT, t.WALL, t.FILLING, t.GAS, t.BILE, t.PANCREAS))


def _patch(k: Canvas, shape: Shape, allowed: np.ndarray) -> tuple[Box, np.ndarray]:
    """A box of the image and the shape in it: tissue numbers, t.FAT for its bed, 0 elsewhere."""
    _, x, y, rx, ry, _ = shape.parts[0]
    at = k.box(x, y, max(rx, ry) + 0.3)
    out = np.zeros(k.x[at].shape, np.uint8)
    for tissue, *ellipse in shape.parts:
        put = k.level(at, *ellipse) < 1
        if tissue in (t.FAT, t.PORTAL) and len(shape.parts) > 1:
            put &= out > 0
        np.copyto(out, tissue, where=put, casting="unsafe")
    if shape.walled:
        out *= allowed[at]
    rows, columns = np.flatnonzero(out.any(1)), np.flatnonzero(out.any(0))
    core = out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _placed(k, core, at[0].start + int(rows[0]), at[1].start + int(columns[0]))


def _placed(k: Canvas, core: np.ndarray, top: int, left: int) -> tuple[Box, np.ndarray]:
    """The box of the image and, in it, a shape whose core begins at (top, left), with its bed."""
    bed = math.ceil(HALO * k.size / (2 * k.p.field))
    return _inside(k.size, top - bed, left - bed, _bedded(core, bed))


def _shrunk(k: Canvas, at: Box, patch: np.ndarray, share: float) -> tuple[Box, np.ndarray]:
    """The shape at a share of its size, about its middle: the nearest of its pixels."""
    core = patch * (patch > t.FAT)
    h, w = (max(round(n * share), 1) for n in core.shape)
    rows, columns = (
        ((np.arange(n) + 0.5) / share).astype(int).clip(0, m - 1) for n, m in zip((h, w), core.shape, strict=True)
    )
    core = core[rows[:, None], columns]
    top, left = at[0].start + (patch.shape[0] - h) // 2, at[1].start + (patch.shape[1] - w) // 2
    rows, columns = np.flatnonzero(core.any(1)), np.flatnonzero(core.any(0))
    inner = core[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _placed(k, inner, top + int(rows[0]), left + int(columns[0]))


def _inside(size: int, top: int, left: int, patch: np.ndarray) -> tuple[Box, np.ndarray]:
    """The box and what of a patch lies in the image."""
    bottom, right = top + patch.shape[0], left + patch.shape[1]
    at = slice(max(top, 0), min(bottom, size)), slice(max(left, 0), min(right, size))
    return at, patch[at[0].start - top : at[0].stop - top, at[1].start - left : at[1].stop - left]


def _bedded(core: np.ndarray, bed: int) -> np.ndarray:
    """A shape with t.FAT up to `bed` pixels around it, in both directions; its edges grow by as much."""
    h, w = core.shape
    near = np.zeros((h + 2 * bed, w + 2 * bed), bool)
    near[bed:-bed, bed:-bed] = core > 0
    for axis in (0, 1):  # doubling steps reach any distance in few
        done = 0
        while done < bed:
            step = min(done + 1, bed - done)
            a = near if axis == 0 else near.T
            grown = a.copy()
            grown[step:] |= a[:-step]
            grown[:-step] |= a[step:]
            near = grown if axis == 0 else grown.T
            done += step
    out = near * np.uint8(t.FAT)
    middle = out[bed:-bed, bed:-bed]
    np.copyto(middle, core, where=core > 0)
    return np.ascontiguousarray(out)


def stamp(k: Canvas, cavity: np.ndarray, well_inside: np.ndarray, rng: np.random.Generator) -> None:
    """Paint what enhances and the double of each, congruent with it; a shape shrinks until its double finds room.

    Twigs are painted only where both find room.
    """
    taken = ~(cavity & _YIELDS[k.tissue])
    allowed, made = well_inside & ~taken, []
    for shape in shapes(k.p, rng):
        at, patch = _patch(k, shape, allowed)
        made.append((shape, at, patch))
        if not shape.spare:  # keeps its place before any double looks for one
            taken[at] |= patch > t.FAT
            allowed[at] &= patch == 0
    for shape, at, patch in made:
        if shape.spare and (taken[at] & (patch > 0)).any():
            continue
        core = patch > t.FAT
        taken[at] |= core
        if not _paired(k, taken, shape, at, patch, rng=rng) and shape.spare:
            taken[at] ^= core


def _paired(
    k: Canvas,
    taken: np.ndarray,
    shape: Shape,
    at: Box,
    patch: np.ndarray,
    *,
    rng: np.random.Generator,
) -> bool:
    """Paint a shape and its double, transposed and perhaps flipped, as large as there is room; False without any."""
    flip = 1 - 2 * int(rng.integers(2))
    cover = np.stack(np.nonzero(patch.T[:, ::flip])) - np.array([[patch.shape[1]], [patch.shape[0]]]) / 2
    cover, whole = cover[:, :: max(cover.shape[1] // 250, 1)], (at, patch)
    for shrink in _SHRINKS[: 1 if shape.spare else None]:
        places = _places(k, taken, cover * shrink, shape.home, rng)
        if not places:
            continue
        if shrink < 1:
            at, patch = _shrunk(k, *whole, shrink)
        double = np.ascontiguousarray(patch.T[:, ::flip])
        double[_ENHANCES[double]] += DOUBLE
        for row, column in places:
            spot = _clear(taken, double > 0, row - double.shape[0] // 2, column - double.shape[1] // 2)
            if spot is not None:
                _press(k.tissue, taken, at, patch)
                _press(k.tissue, taken, spot, double)
                return True
    return False


_SHRINKS = tuple((0.93 ** np.arange(28)).tolist())
_SPREAD = np.repeat(np.array([0.4, 1.2, 3.0, 6.0], np.float32), (12, 36, 72, 96))  # cm from home


def _places(
    k: Canvas, taken: np.ndarray, cover: np.ndarray, home: tuple[float, float], rng: np.random.Generator
) -> list[list[int]]:
    """Rows and columns, near `home` first, about which a shape's pixels [2, n] seem to meet nothing that is taken."""
    column, row = pixel(k.p, k.size, *home)
    shift = (rng.random((2, len(_SPREAD)), np.float32) * 2 - 1) * (_SPREAD * np.float32(k.size / (2 * k.p.field)))
    edge = np.ceil(np.abs(cover).max(1)).astype(np.intp)[:, None] + 1
    places = np.rint(shift + np.array([[row], [column]], np.float32)).astype(np.intp)
    places = np.minimum(np.maximum(places, edge), k.size - 1 - edge)
    near, flat = np.rint(cover).astype(np.intp), taken.ravel()
    near, at = near[0] * k.size + near[1], places[0] * k.size + places[1]
    left = np.arange(len(at))
    for most in (24, 250):  # few of its pixels leave few places
        left = left[~flat.take(at[left][:, None] + near[:: max(len(near) // most, 1)]).any(1)]
    return places.T[left].tolist()


def _clear(taken: np.ndarray, mask: np.ndarray, top: int, left: int) -> Box | None:
    """The box at (top, left) where it lies inside the image and a mask touches nothing there."""
    (h, w), (high, wide) = mask.shape, taken.shape
    if not (0 <= top <= high - h and 0 <= left <= wide - w):
        return None
    spot = slice(top, top + h), slice(left, left + w)
    return None if (taken[spot] & mask).any() else spot


def _press(tissue: np.ndarray, taken: np.ndarray, at: Box, patch: np.ndarray) -> None:
    """Put a shape into the slice and out of reach of others; its bed spares what enhances and other doubles."""
    there = tissue[at]
    put = (patch > 0) & ~((patch == t.FAT) & (_ENHANCES[there] | (there >= DOUBLE)))
    np.copyto(there, patch, where=put)
    taken[at] |= put & (patch != t.FAT)
