"""What enhances, painted as shapes in beds of fat, and the congruent double of each in stomach and bowel."""

import math
from dataclasses import dataclass, replace

import numpy as np

from tasks import _abdomen_patient as t
from tasks._abdomen_body import Box, Canvas, pixel
from tasks._abdomen_patient import DOUBLE, ENHANCING, HALO, Abdomen, Length

_ENHANCES = np.isin(np.arange(2 * DOUBLE), ENHANCING)
_YIELDS = np.isin(np.arange(2 * DOUBLE), (t.FAT, t.WALL, t.FILLING, t.GAS, t.BILE, t.PANCREAS))
Part = tuple[int, Length, Length, Length, Length, Length]  # tissue, x, y, radii, turn


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What enhances: its parts, where its double should lie, and whether it is left out where that finds no room."""

    parts: list[Part]
    home: tuple[float, float]
    spare: bool = False
    walled: bool = False  # follows the wall of the cavity, and gives way to the kidneys

    def shrunk(self, share: float) -> "Shape":
        """The shape at a share of its size, its middle where it was; it keeps within its outline."""
        _, x, y, *_ = self.parts[0]
        parts = [
            (tissue, x + (px - x) * share, y + (py - y) * share, rx * share, ry * share, turn)
            for tissue, px, py, rx, ry, turn in self.parts
        ]
        return replace(self, parts=parts)


def _kidney(p: Abdomen, side: int, rng: np.random.Generator) -> list[Part]:
    x, y = side * 6.3, 3.1 + p.kidney_y - side * 0.25
    rx, ry = 2.15 * p.kidney * (0.9 + 0.2 * rng.random()), 2.75 * p.kidney * (0.9 + 0.2 * rng.random())
    parts: list[Part] = [(t.KIDNEY, x, y, rx, ry, side * 0.35)]
    for nth in (-1.6, -0.53, 0.53, 1.6):
        turn = (0 if side > 0 else math.pi) + side * (nth + 0.15 * rng.standard_normal())
        px, py = x + 0.5 * rx * math.cos(turn), y + 0.55 * ry * math.sin(turn)
        parts.append((t.PYRAMID, px, py, 0.27 * rx, 0.17 * ry, turn))
    depth, high = 0.75 + 0.25 * rng.random(), 0.18 + 0.16 * rng.random()
    return [*parts, (t.FAT, x - side * depth * rx, y - 0.2 * ry, 0.55 * rx, high * ry, side * 0.35)]


def _liver(p: Abdomen, rng: np.random.Generator) -> list[Part]:
    x, y = -13.1 + 2.6 * p.liver, -1.7 + p.liver_low
    parts: list[Part] = [(t.LIVER, x, y, 2.6 * p.liver, 4.1 * p.liver, -0.1)]
    for right, low, rx, ry, turn in rng.random((4, 5)).tolist():  # veins
        at = x + p.liver * (1.6 * right - 0.8), y + p.liver * (5.0 * low - 2.5)
        parts.append((t.PORTAL, *at, 0.18 + 0.3 * rx, 0.14 + 0.1 * ry, 3 * turn))
    return parts


def _shapes(p: Abdomen, rng: np.random.Generator) -> list[Shape]:
    """What enhances, in the order in which doubles are placed."""
    aorta: list[Part] = [(t.AORTA, p.aorta_x, p.aorta_y, p.aorta, p.aorta, 0.0)]
    for turn in (6.3 * rng.random(3)).tolist() if p.calcified else ():
        x, y = p.aorta_x + p.aorta * math.cos(turn), p.aorta_y + p.aorta * math.sin(turn)
        aorta.append((t.CORTEX, x, y, 0.14, p.calcified, turn))
    above = p.aorta_y - p.aorta - 1.4
    out = [
        Shape(parts=aorta, home=(-8.2, -5.4)),
        Shape(parts=[(t.CAVA, p.aorta_x - p.aorta - 2.1, 0.4, 1.1, 0.65 + 0.3 * rng.random(), 0.2)], home=(8.0, -6.6)),
        Shape(parts=[(t.PORTAL, p.aorta_x - 1.9, above + 0.2, 0.68, 0.6, 0.0)], home=(5.4, -1.4)),
        Shape(parts=[(t.AORTA, p.aorta_x + 0.2, above, 0.42, 0.42, 0.0)], home=(4.4, -1.6)),
        Shape(parts=_liver(p, rng), home=(3.0, -5.8), walled=True),
        Shape(parts=_kidney(p, 1, rng), home=(7.4, -3.0)),
        Shape(parts=_kidney(p, -1, rng), home=(-3.8, -6.4)),
        Shape(parts=[(t.SPLEEN, 13.0 - 1.8 * p.spleen, -0.6, 1.8 * p.spleen, 3.2 * p.spleen, 0.15)],
              home=(-3.0, -3.2), walled=True),
    ]  # fmt: skip
    for x, y, rx, ry, turn, left, up in rng.random((3, 7)).tolist():
        twig = (t.TWIG, 12 * x - 4, 5.5 * y - 6.5, 0.2 + 0.35 * rx, 0.15 + 0.1 * ry, 3 * turn)
        out.append(Shape(parts=[twig], home=(13 * left - 4, 6.5 * up - 6.5), spare=True))
    return out


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
    bed = math.ceil(HALO * k.size / (2 * k.p.field))
    top, left = at[0].start + int(rows[0]), at[1].start + int(columns[0])
    out = _bedded(out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], bed)
    return _inside(k.size, top - bed, left - bed, out)


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
    for shape in _shapes(k.p, rng):
        at, patch = _patch(k, shape, allowed)
        made.append((shape, at, patch))
        if not shape.spare:  # keeps its place before any double looks for one
            taken[at] |= patch > t.FAT
            allowed[at] &= patch == 0
    for shape, at, patch in made:
        if shape.spare and (taken[at] & (patch > 0)).any():
            continue
        core = np.zeros_like(taken)
        core[at] = patch > t.FAT
        taken |= core
        if not _paired(k, taken, shape, at, patch, core=core, rng=rng) and shape.spare:
            taken ^= core


def _paired(
    k: Canvas,
    taken: np.ndarray,
    shape: Shape,
    at: Box,
    patch: np.ndarray,
    *,
    core: np.ndarray,
    rng: np.random.Generator,
) -> bool:
    """Paint a shape and its double, transposed and perhaps flipped, as large as there is room; False without any."""
    flip = 1 - 2 * int(rng.integers(2))
    cover = np.stack(np.nonzero(patch.T[:, ::flip])) - np.array([[patch.shape[1]], [patch.shape[0]]]) / 2
    for shrink in _SHRINKS[: 1 if shape.spare else None]:
        places = _places(k, taken, cover * shrink, shape.home, rng)
        if not places:
            continue
        if shrink < 1:
            at, patch = _patch(k, shape.shrunk(shrink), core)
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
_SPREAD = np.repeat(np.array([0.4, 1.2, 3.0, 6.0], np.float32), (16, 48, 96, 128))  # cm from home


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
