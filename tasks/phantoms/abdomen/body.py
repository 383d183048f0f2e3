"""Tissue numbers of an axial slice, painted from the back to the front: everything that no answer touches."""

import math
from functools import lru_cache

import numpy as np

from tasks.phantoms.abdomen import patient as t
from tasks.phantoms.abdomen.patient import Abdomen, Length
from tasks.phantoms.grid import Pose, resized
from tasks.phantoms.noise import piece

Box = tuple[slice, slice]


class Canvas:
    """Tissue numbers and bowel loops of one slice, painted from the back to the front.

    `x` and `y` are a medium-sized body's coordinates in cm, x to the patient's left, y to the back, swaying.
    """

    def __init__(self, p: Abdomen, rng: np.random.Generator, size: int) -> None:
        self.p, self.size = p, size
        self.pose = Pose(side=size, turn=float(p.turn), scale=1.0, dx=p.dx, dy=p.dy)
        self.x, self.y = self.pose.grid()
        self.x *= p.field / p.wide
        self.y *= p.field / p.deep
        self.x += np.float32(0.22) * piece(rng, size, (7, 12))
        self.y += np.float32(0.22) * piece(rng, size, (7, 12))
        self.tissue = np.zeros((size, size), np.uint8)
        self.loop = np.zeros((size, size), np.uint8)

    def box(self, x: Length, y: Length, reach: Length) -> Box:
        """The part of the image that holds everything within `reach` cm of a point."""
        column, row = pixel(self.p, self.size, x, y)
        half = (reach + 0.9) * 1.08 * self.size / (2 * self.p.field)
        low, high = (lambda v: max(int(v - half), 0)), (lambda v: max(int(v + half) + 2, 0))
        return slice(low(row), high(row)), slice(low(column), high(column))

    def level(self, at: Box, x: Length, y: Length, rx: Length, ry: Length, turn: Length = 0.0) -> np.ndarray:
        """In a box, the squared radius of an ellipse: 1 on its edge."""
        c, s, u, v = math.cos(turn), math.sin(turn), self.x[at], self.y[at]
        if turn:
            across = u * (c / rx) + v * (s / rx) - (c * x + s * y) / rx
            along = v * (c / ry) - u * (s / ry) - (c * y - s * x) / ry
        else:
            across, along = u * (1 / rx) - x / rx, v * (1 / ry) - y / ry
        across *= across
        along *= along
        across += along
        return across

    def paint(self, tissue: int, x: Length, y: Length, rx: Length, ry: Length, turn: Length = 0.0) -> None:
        """An ellipse of one tissue."""
        at = self.box(x, y, max(rx, ry))
        self.tissue[at][self.level(at, x, y, rx, ry, turn) < 1] = tissue


def trunk(k: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Skin, fat, muscle, the cavity's fat and the table; gives masks of the cavity and of what is well inside."""
    p = k.p
    rx, ry = 14.2 + p.fat, 10.5 + 0.6 * p.fat
    x, y = k.x[::2, ::2], k.y[::2, ::2]  # distance from the skin is smooth: half the points hold it
    front = np.minimum(np.maximum(y * (-1 / ry), 0), 1)
    q = (np.abs(x) / rx) ** 2.3 + (np.abs(y) / (ry + p.belly * front)) ** 2.3
    skin = math.sqrt(rx * ry) * (q ** (1 / 2.3) - 1)
    skin = resized(skin, k.size)
    front = np.minimum(np.maximum(k.y * (-1 / ry), 0), 1)
    muscle = skin + (p.belly * 0.7) * front + p.fat
    hollow = muscle - (p.wall * 0.35) * front + p.wall
    low = k.pose.box(-2.0, 2.0, 5.2 * p.deep / p.field, 2.0)[0]
    hollow[low] = np.maximum(hollow[low], k.y[low] - 5.6 + 0.012 * np.square(k.x[low]))
    cavity = hollow < 0
    line = np.abs(muscle + p.wall * 0.5) < p.wall * 0.05
    line &= np.abs(k.x) > 5.5
    line &= k.y < 4
    _table(k, skin, (10.5 + 0.6 * p.fat) * p.deep + p.table_gap)
    for mask, step in ((skin < 0, t.SKIN), (skin < -0.18, 1), (muscle < 0, 1), (cavity | line, -1)):
        k.tissue += mask * np.array(step, np.int8).view(np.uint8)  # skin, fat and muscle have numbers in a row
    for side in (-1, 1):
        k.paint(t.FAT, side * 9.3, 7.0, 2.6, 0.35, side * -0.3)
    return cavity, hollow < -t.HALO


def _table(k: Canvas, radius: np.ndarray, back: Length) -> None:
    """The two surfaces of the table behind the patient."""
    at = k.pose.box(-2.0, 2.0, (back - 1) / k.p.field, 3.0)
    x, y = (v * k.p.field for v in k.pose.grid(at))
    bend = np.square(x)
    depth = y - back + k.p.table_curve * bend
    on = (np.abs(depth) < 0.2) | (np.abs(depth - 2.6 + 0.006 * bend) < 0.18)
    on &= (np.abs(x) < 20) & (radius[at] > 0)
    k.tissue[at][on] = t.TABLE


_FINE, _LEFT, _TOP = 12, -9.6, 0.6  # points per cm of the map of the back, and where it begins


@lru_cache(maxsize=1)
def _back() -> np.ndarray:
    """Tissues of psoas, back muscles and vertebra with its arch, canal and processes [120, 230]; 0 elsewhere."""
    x, y = np.arange(230) / _FINE + _LEFT, (np.arange(120) / _FINE + _TOP)[:, None]
    out = np.zeros((120, 230), np.uint8)
    both = []
    for side in (-1, 1):
        both += [
            (t.FAT, side * 3.6, 7.0, 3.35, 2.55, 0.0), (t.MUSCLE, side * 3.6, 6.9, 3.1, 2.3, 0.0),
            (t.MUSCLE, side * 3.4, 3.4, 1.6, 2.2, side * 0.35), (t.MUSCLE, side * 7.2, 5.2, 2.1, 1.2, side * 0.45),
            (t.CORTEX, side * 3.0, 5.0, 1.9, 0.36, side * 0.25), (t.CORTEX, side * 1.55, 6.1, 0.75, 1.0, side * 0.5),
        ]  # fmt: skip
    middle = [
        (t.CORTEX, 0, 7.6, 0.55, 1.7, 0.0), (t.MARROW, 0, 7.7, 0.25, 1.2, 0.0),
        (t.CORTEX, 0, 3.1, 2.45, 1.85, 0.0), (t.MARROW, 0, 3.05, 2.2, 1.6, 0.0),
        (t.CORTEX, 0, 5.4, 1.55, 1.25, 0.0), (t.CANAL, 0, 5.3, 1.05, 0.85, 0.0),
    ]  # fmt: skip
    for tissue, cx, cy, rx, ry, turn in both + middle:
        c, s, u, v = math.cos(turn), math.sin(turn), x - cx, y - cy
        out[((c * u + s * v) / rx) ** 2 + ((c * v - s * u) / ry) ** 2 < 1] = tissue
    return out


def bones(k: Canvas, rng: np.random.Generator) -> None:
    """The vertebra, psoas and back muscles, and ribs in the flanks."""
    p = k.p
    at = k.pose.box(*(v * p.wide / p.field for v in (-9.6, 9.4)), *(v * p.deep / p.field for v in (0.7, 10.4)))
    column = ((k.x[at] - _LEFT) * _FINE + 0.5).astype(np.intp)
    row = ((k.y[at] - _TOP) * _FINE + 0.5).astype(np.intp)
    inner = (column >= 0) & (column < 230) & (row >= 0) & (row < 120)
    found = _back().take(row * 230 + column, mode="clip") * inner
    np.copyto(k.tissue[at], found, where=found > 0)
    for angle in (0.30, 0.62, -0.10, 2.84, 2.52, 3.24):
        turn, reach = angle + 0.06 * rng.standard_normal(), 1 - 0.5 * p.wall / 14
        c, s = math.cos(turn), math.sin(turn)
        x, y = 13.9 * reach * c, 9.3 * reach * s
        box = k.box(x, y, 0.95)
        q = k.level(box, x, y, 0.95, 0.42, math.atan2(9.3 * c, -13.9 * s))
        k.tissue[box][q < 1] = t.CORTEX
        k.tissue[box][q < 0.3] = t.MARROW


def organs(k: Canvas) -> None:
    """Gallbladder and pancreas."""
    if k.p.bile:
        k.paint(t.WALL, -4.9, -3.4, 0.95 * k.p.bile + 0.15, 1.3 * k.p.bile + 0.15, 0.5)
        k.paint(t.BILE, -4.9, -3.4, 0.95 * k.p.bile, 1.3 * k.p.bile, 0.5)
    k.paint(t.PANCREAS, -3.4, -1.9, 1.2, 1.0, 0.6)


_SOFT = np.isin(np.arange(2 * t.DOUBLE), (t.FAT, t.FILLING, t.WALL, t.GAS))
# Loops of bowel that no answer touches: x, y, radii; colon first, then small bowel.
_LOOPS = (
    (-9.6, 4.2, 1.6, 1.4), (11.0, 3.6, 1.5, 1.4), (-7.2, -6.4, 2.2, 1.4), (-3.6, -7.2, 2.2, 1.3),
    (7.6, -6.4, 2.6, 1.6), (7.4, -2.4, 2.0, 1.6), (4.3, -1.1, 1.5, 1.1), (1.4, -5.4, 2.3, 1.5), (-1.8, -4.6, 1.9, 1.4),
)  # fmt: skip


def bowel(k: Canvas, cavity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Loops with walls, gas above and filling below; gives the filling's HU per loop."""
    for number, (x, y, rx, ry) in enumerate(_LOOPS, 1):
        x, y = x + 0.35 * rng.standard_normal(), y + 0.3 * rng.standard_normal()
        grow, turn = 0.85 + 0.25 * rng.random(), 0.3 * rng.standard_normal()
        at = k.box(x, y, max(rx, ry) * grow)
        q, tissue = k.level(at, x, y, rx * grow, ry * grow, turn), k.tissue[at]
        free = cavity[at] & _SOFT[tissue]
        content = free & (q < (1 - 0.22 / min(rx, ry)) ** 2)
        free &= q < 1
        tissue[free] = t.WALL
        tissue[content] = t.FILLING
        k.loop[at][content] = number
        if rng.random() < k.p.gas:
            surface = y + ry * grow * (0.85 * rng.random() - 0.75)
            tissue[content & (k.y[at] < surface)] = t.GAS
    return rng.choice(np.array([8, 15, 25, 40, 60, 120, 190], np.float32), size=len(_LOOPS) + 1)


def pixel(p: Abdomen, size: int, x: Length, y: Length) -> tuple[float, float]:
    """Where a point of the body lies in the image: column, row."""
    x, y = x * p.wide / p.field, y * p.deep / p.field
    c, s = math.cos(p.turn), math.sin(p.turn)
    return (
        float((c * x - s * y + p.dx + 1) * size / 2 - 0.5),
        float((s * x + c * y + p.dy + 1) * size / 2 - 0.5),
    )
