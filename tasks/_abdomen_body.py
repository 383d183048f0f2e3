"""Tissue numbers of an axial slice, painted from the back to the front: everything that no answer touches."""

import numpy as np

from tasks import _abdomen_patient as t
from tasks._abdomen_patient import Abdomen, Length
from tasks._phantom import noise, posed


class Canvas:
    """Tissue numbers and bowel loops of one slice, painted from the back to the front."""

    def __init__(self, p: Abdomen, rng: np.random.Generator, size: int) -> None:
        x, y = posed(size, p.turn, 1.0, p.dx, p.dy)
        sway = 0.22 * noise(rng, size, (7, 12)), 0.22 * noise(rng, size, (7, 12))
        self.x = x * np.float32(p.field / p.wide) + sway[0]
        self.y = y * np.float32(p.field / p.deep) + sway[1]
        self.straight = x * np.float32(p.field), y * np.float32(p.field)
        self.tissue = np.zeros((size, size), np.uint8)
        self.loop = np.zeros((size, size), np.uint8)
        self.p, self.size = p, size

    def box(self, x: Length, y: Length, reach: Length) -> tuple[slice, slice]:
        """The part of the image that holds everything within `reach` cm of a point."""
        column, row = pixel(self.p, self.size, x, y)
        half = (reach + 0.9) * 1.08 * self.size / (2 * self.p.field)
        low, high = (lambda v: max(int(v - half), 0)), (lambda v: max(int(v + half) + 2, 0))
        return slice(low(row), high(row)), slice(low(column), high(column))

    def level(self, x: Length, y: Length, rx: Length, ry: Length, turn: Length = 0.0) -> tuple[tuple, np.ndarray]:
        """A box and, in it, the squared radius of an ellipse: 1 on its edge."""
        at = self.box(x, y, max(rx, ry))
        u, v = self.x[at] - np.float32(x), self.y[at] - np.float32(y)
        if turn:
            c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
            u, v = c * u + s * v, c * v - s * u
        return at, (u / np.float32(rx)) ** 2 + (v / np.float32(ry)) ** 2

    def paint(self, tissue: int, x: Length, y: Length, rx: Length, ry: Length, turn: Length = 0.0) -> None:
        """An ellipse of one tissue."""
        at, q = self.level(x, y, rx, ry, turn)
        self.tissue[at][q < 1] = tissue


def trunk(k: Canvas) -> np.ndarray:
    """Skin, fat, muscle, the cavity's fat and the table; gives the cavity's mask."""
    p, tissue = k.p, k.tissue
    rx, ry = 14.2 + p.fat, 10.5 + 0.6 * p.fat
    front = np.clip(-k.y / ry, 0, 1)
    q = (np.abs(k.x) / rx) ** 2.3 + (np.abs(k.y) / (ry + p.belly * front)) ** 2.3
    radius = np.float32(np.sqrt(rx * ry)) * (q ** np.float32(1 / 2.3) - 1)
    x, y = k.straight
    back = ry * p.deep + p.table_gap
    depth = y - back + np.float32(p.table_curve) * x**2
    on = (np.abs(x) < 20) & (radius > 0)
    tissue[on & ((np.abs(depth) < 0.2) | (np.abs(depth - 2.6 + 0.006 * x**2) < 0.18))] = t.TABLE
    tissue[radius < 0] = t.SKIN
    tissue[radius < -0.18] = t.FAT
    muscle = -p.fat - p.belly * front * 0.7
    tissue[radius < muscle] = t.MUSCLE
    line = (radius > muscle - p.wall * 0.55) & (radius < muscle - p.wall * 0.45) & (np.abs(k.x) > 5.5) & (k.y < 4)
    tissue[line] = t.FAT
    thick = p.wall * (1 - 0.35 * front)
    cavity = (radius < muscle - thick) & (k.y < 5.6 - 0.012 * k.x**2)
    tissue[cavity] = t.FAT
    for side in (-1, 1):
        k.paint(t.FAT, side * 9.3, 7.0, 2.6, 0.35, side * -0.3)
    return cavity


def bones(k: Canvas, rng: np.random.Generator) -> None:
    """The vertebra with its arch, canal and processes, psoas and back muscles, and ribs in the flanks."""
    for side in (-1, 1):
        k.paint(t.FAT, side * 3.6, 7.0, 3.35, 2.55)
        k.paint(t.MUSCLE, side * 3.6, 6.9, 3.1, 2.3)
        k.paint(t.MUSCLE, side * 3.4, 3.4, 1.6, 2.2, side * 0.35)
        k.paint(t.MUSCLE, side * 7.2, 5.2, 2.1, 1.2, side * 0.45)
        k.paint(t.CORTEX, side * 3.0, 5.0, 1.9, 0.36, side * 0.25)
        k.paint(t.CORTEX, side * 1.55, 6.1, 0.75, 1.0, side * 0.5)
    k.paint(t.CORTEX, 0, 7.6, 0.55, 1.7)
    k.paint(t.MARROW, 0, 7.7, 0.25, 1.2)
    k.paint(t.CORTEX, 0, 3.1, 2.45, 1.85)
    k.paint(t.MARROW, 0, 3.05, 2.2, 1.6)
    k.paint(t.CORTEX, 0, 5.4, 1.55, 1.25)
    k.paint(t.CANAL, 0, 5.3, 1.05, 0.85)
    p = k.p
    for angle in (0.30, 0.62, -0.10, 2.84, 2.52, 3.24):
        turn = angle + rng.normal(0, 0.06)
        reach = 1 - 0.5 * p.wall / 14
        x, y = 13.9 * reach * np.cos(turn), 9.3 * reach * np.sin(turn)
        tangent = float(np.arctan2(9.3 * np.cos(turn), -13.9 * np.sin(turn)))
        k.paint(t.CORTEX, x, y, 0.95, 0.42, tangent)
        k.paint(t.MARROW, x, y, 0.65, 0.18, tangent)


def organs(k: Canvas, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Liver, with veins that stay as they are, gallbladder and pancreas."""
    p, tissue = k.p, k.tissue
    at, q = k.level(-10.0, -1.6 + p.liver_low, 4.4 * p.liver, 6.6 * p.liver, -0.12)
    near, r = k.level(-6.0, 1.6 + p.liver_low, 2.6, 3.0)
    tissue[at][(q < 1) & cavity[at]] = t.LIVER
    tissue[near][(r < 1) & (tissue[near] == t.LIVER)] = t.FAT
    for _ in range(5):
        x, y = -10.0 + rng.normal(0, 1.4), -2.2 + p.liver_low + rng.normal(0, 2.3)
        spot, r = k.level(x, y, rng.uniform(0.2, 0.6), rng.uniform(0.15, 0.28), rng.uniform(0, 3.1))
        tissue[spot][(r < 1) & (tissue[spot] == t.LIVER)] = t.PANCREAS
    if p.bile:
        k.paint(t.WALL, -5.8, -3.4, 0.95 * p.bile + 0.15, 1.3 * p.bile + 0.15, 0.5)
        k.paint(t.BILE, -5.8, -3.4, 0.95 * p.bile, 1.3 * p.bile, 0.5)
    k.paint(t.PANCREAS, -3.4, -1.9, 1.2, 1.0, 0.6)


_SOFT = np.isin(np.arange(2 * t.DOUBLE), (t.FAT, t.FILLING, t.WALL, t.GAS))
# Loops of bowel that no answer touches: x, y, radii; colon first, then small bowel.
_LOOPS = (
    (-9.6, 3.9, 1.7, 1.6), (11.0, 2.2, 1.6, 1.8), (-7.2, -6.2, 2.2, 1.4), (-3.6, -7.0, 2.2, 1.3),
    (4.0, -7.0, 2.4, 1.3), (7.6, -6.2, 2.6, 1.6), (10.6, -2.4, 1.9, 2.2), (7.4, -2.6, 2.0, 1.6), (4.2, -3.6, 1.8, 1.6),
    (4.3, -1.1, 1.5, 1.1), (1.4, -5.4, 2.3, 1.5), (-1.8, -5.0, 1.9, 1.4),
)  # fmt: skip


def bowel(k: Canvas, cavity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Loops with walls, gas above and filling below; gives the filling's HU per loop."""
    for number, (x, y, rx, ry) in enumerate(_LOOPS, 1):
        x, y = x + rng.normal(0, 0.35), y + rng.normal(0, 0.3)
        grow, turn = rng.uniform(0.85, 1.1), rng.normal(0, 0.3)
        at, q = k.level(x, y, rx * grow, ry * grow, turn)
        free = cavity[at] & _SOFT[k.tissue[at]]
        edge = 1 - 0.22 / min(rx, ry)
        k.tissue[at][(q < 1) & free] = t.WALL
        content = (q < edge**2) & free
        k.tissue[at][content] = t.FILLING
        k.loop[at][content] = number
        if rng.uniform() < k.p.gas:
            depth = (k.y[at] - np.float32(y)) / np.float32(ry * grow)
            k.tissue[at][content & (depth < rng.uniform(-0.75, 0.1))] = t.GAS
    return rng.choice(np.array([8, 15, 25, 40, 60, 120, 190], np.float32), size=len(_LOOPS) + 1)


def pixel(p: Abdomen, size: int, x: Length, y: Length) -> tuple[float, float]:
    """Where a point of the body lies in the image: column, row."""
    x, y = x * p.wide / p.field, y * p.deep / p.field
    c, s = np.cos(p.turn), np.sin(p.turn)
    return (
        float((c * x - s * y + p.dx + 1) * size / 2 - 0.5),
        float((s * x + c * y + p.dy + 1) * size / 2 - 0.5),
    )
