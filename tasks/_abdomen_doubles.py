"""What enhances, painted as shapes in beds of fat, and the congruent double of each in the bowel."""

import numpy as np

from tasks import _abdomen_patient as t
from tasks._abdomen_body import Canvas, pixel
from tasks._abdomen_patient import DOUBLE, ENHANCING, HALO, Abdomen, Length

_ENHANCES = np.isin(np.arange(2 * DOUBLE), ENHANCING)
_YIELDS = np.isin(np.arange(2 * DOUBLE), (t.FAT, t.WALL, t.FILLING, t.GAS, t.BILE, t.PANCREAS))
Part = tuple[int, Length, Length, Length, Length, Length]  # tissue, x, y, radii, turn


def _shapes(p: Abdomen, shrink: float, rng: np.random.Generator) -> list[tuple[tuple[float, float], list[Part]]]:
    """What enhances, largest first: where its double should lie, and its parts."""
    out = []
    for side, home in ((1, (7.8, -4.4)), (-1, (1.2, -6.6))):
        s, x, y = p.kidney * shrink, side * 6.5, 2.9 + p.kidney_y - side * 0.25
        rx, ry = 2.15 * s * rng.uniform(0.9, 1.1), 2.75 * s * rng.uniform(0.9, 1.1)
        parts: list[Part] = [(t.KIDNEY, x, y, rx, ry, side * 0.35)]
        for angle in np.linspace(-1.6, 1.6, 4) + rng.normal(0, 0.15, 4):
            turn = (0 if side > 0 else np.pi) + side * angle
            px, py = x + 0.5 * rx * np.cos(turn), y + 0.55 * ry * np.sin(turn)
            parts.append((t.PYRAMID, px, py, 0.27 * rx, 0.17 * ry, turn))
        depth, high = rng.uniform(0.75, 1.0), rng.uniform(0.18, 0.34)
        parts.append((t.FAT, x - side * depth * rx, y - 0.2 * ry, 0.55 * rx, high * ry, side * 0.35))
        out.append((home, parts))
    parts = [(t.AORTA, p.aorta_x, p.aorta_y, p.aorta, p.aorta, 0.0)]
    for turn in rng.uniform(0, 6.3, 3) if p.calcified else ():
        x, y = p.aorta_x + p.aorta * np.cos(turn), p.aorta_y + p.aorta * np.sin(turn)
        parts.append((t.CORTEX, x, y, 0.14, p.calcified, turn))
    out.append(((-3.8, -6.4), parts))
    out.append(((-7.0, -6.2), [(t.CAVA, p.aorta_x - p.aorta - 2.1, 0.4, 1.15, rng.uniform(0.65, 0.95), 0.2)]))
    above = p.aorta_y - p.aorta - 1.4
    out.append(((4.2, -1.6), [(t.PORTAL, p.aorta_x - 1.9, above + 0.2, 0.68, 0.6, 0.0)]))
    out.append(((3.4, -2.4), [(t.AORTA, p.aorta_x + 0.2, above, 0.42, 0.42, 0.0)]))
    for _ in range(9):
        x, y, rx, ry = rng.uniform(-4, 8), rng.uniform(-6.5, -1), rng.uniform(0.2, 0.55), rng.uniform(0.15, 0.24)
        out.append(((rng.uniform(-4, 9), rng.uniform(-6.5, 0)), [(t.TWIG, x, y, rx, ry, rng.uniform(0, 3.1))]))
    return out


def _patch(k: Canvas, parts: list[Part]) -> tuple[tuple[slice, slice], np.ndarray]:
    """A box of the image and the shape in it: tissue numbers, t.FAT for its bed, 0 elsewhere."""
    tissue, x, y, rx, ry, turn = parts[0]
    at, q = k.level(x, y, max(rx, ry) + HALO + 0.4, max(rx, ry) + HALO + 0.4)
    out = np.zeros(q.shape, np.uint8)
    for grow in (HALO, 0.0):
        for tissue, x, y, rx, ry, turn in parts:
            u, v = k.x[at] - np.float32(x), k.y[at] - np.float32(y)
            c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
            q = ((c * u + s * v) / np.float32(rx + grow)) ** 2 + ((c * v - s * u) / np.float32(ry + grow)) ** 2
            if not (grow and tissue == t.FAT):
                out[q < 1] = t.FAT if grow else tissue
            else:
                out[(q < 1) & (out > 0)] = t.FAT
    rows, columns = np.flatnonzero(out.any(1)), np.flatnonzero(out.any(0))
    top, left = at[0].start, at[1].start
    tight = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return (slice(top + rows[0], top + rows[-1] + 1), slice(left + columns[0], left + columns[-1] + 1)), out[tight]


def stamp(k: Canvas, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Paint what enhances and the double of each; kidneys shrink until every double finds room.

    Twigs are painted only where both find room.
    """
    free = cavity & _YIELDS[k.tissue]
    before = k.tissue
    for shrink in 0.93 ** np.arange(12):
        k.tissue, taken = before.copy(), ~free
        shapes = [(home, parts[0][0] == t.TWIG, *_patch(k, parts)) for home, parts in _shapes(k.p, shrink, rng)]
        for _, twig, at, patch in shapes:
            if not twig:
                _press(k.tissue, taken, at, patch)
        if all(_double(k, taken, *shape, rng=rng) for shape in shapes):
            return


def _double(
    k: Canvas,
    taken: np.ndarray,
    home: tuple[float, float],
    twig: bool,
    at: tuple[slice, slice],
    patch: np.ndarray,
    *,
    rng: np.random.Generator,
) -> bool:
    """Paint the double of a shape, transposed and perhaps flipped (and a twig itself); False without room."""
    double = np.ascontiguousarray(patch.T[:, :: 1 - 2 * int(rng.integers(2))])
    double[_ENHANCES[double]] += DOUBLE
    if twig:
        if (taken[at] & (patch > 0)).any():
            return True
        taken[at][patch > 0] = True
    spot = _room(k, taken, double > 0, home, not twig, rng)
    if spot is None:
        return twig
    _press(k.tissue, taken, spot, double)
    if twig:
        _press(k.tissue, taken, at, patch)
    return True


def _press(tissue: np.ndarray, taken: np.ndarray, at: tuple[slice, slice], patch: np.ndarray) -> None:
    """Put a shape into the slice and its place out of reach of others; its bed spares what enhances."""
    put = (patch > 0) & ~((patch == t.FAT) & _ENHANCES[tissue[at]])
    tissue[at][put] = patch[put]
    taken[at][put] = True


def _room(
    k: Canvas, taken: np.ndarray, mask: np.ndarray, home: tuple[float, float], far: bool, rng: np.random.Generator
) -> tuple[slice, slice] | None:
    """Where near `home` a mask fits without touching what is taken; with `far`, where it fits at all."""
    h, w = mask.shape
    for reach in np.repeat((0.3, 0.8, 1.5, 2.5), 16):
        x, y = home[0] + rng.uniform(-reach, reach), home[1] + rng.uniform(-reach, reach)
        column, row = pixel(k.p, k.size, x, y)
        spot = _clear(taken, mask, round(row - h / 2), round(column - w / 2))
        if spot is not None:
            return spot
    if not far:
        return None
    total = np.zeros((taken.shape[0] + 1, taken.shape[1] + 1), np.int32)
    total[1:, 1:] = taken.cumsum(0).cumsum(1)
    top, left, high, wide = h // 4, w // 4, h - 2 * (h // 4), w - 2 * (w // 4)  # the box that every mask fills
    held = total[high:, wide:] - total[:-high, wide:] - total[high:, :-wide] + total[:-high, :-wide]
    for row, column in rng.permutation(np.argwhere(held == 0)):
        spot = _clear(taken, mask, int(row) - top, int(column) - left)
        if spot is not None:
            return spot
    return None


def _clear(taken: np.ndarray, mask: np.ndarray, top: int, left: int) -> tuple[slice, slice] | None:
    """The box at (top, left) where it lies inside the image and a mask touches nothing there."""
    (h, w), (high, wide) = mask.shape, taken.shape
    if not (0 <= top <= high - h and 0 <= left <= wide - w):
        return None
    spot = slice(top, top + h), slice(left, left + w)
    return None if (taken[spot] & mask).any() else spot
