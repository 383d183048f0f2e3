"""An axial slice of the abdomen in Hounsfield units, before or after contrast medium, at the kidneys' level.

Left alone, enhancement is a question for a histogram: more bright pixels, more strong edges. Here every
structure that enhances has a double of the same pixels in the bowel, in its own bed of fat, which holds
the values that the structure would have under the other answer (dilute oral contrast, or water). For one
and the same patient the two answers are the same picture with two sets of congruent shapes exchanged:
values, edges and steps are the same, and only *where* the bright ones lie tells the answer.
"""

from dataclasses import dataclass, fields
from functools import partial

import numpy as np

from tasks._base import Source
from tasks._phantom import balanced, noise, posed, smooth
from tasks._phantom import source as _source

VERSION = 1
CODE = 202
CLASSES = ("plain", "enhanced")

# Tissues in the order of the tables below; DOUBLE is added to a tissue's number in its double.
(AIR, TABLE, SKIN, FAT, MUSCLE, CORTEX, MARROW, CANAL, WALL, GAS, BILE, LIVER, PANCREAS, FILLING,
 KIDNEY, PYRAMID, AORTA, CAVA, PORTAL, TWIG) = range(20)  # fmt: skip
ENHANCING = (KIDNEY, PYRAMID, AORTA, CAVA, PORTAL, TWIG)
DOUBLE = 32
HALO = 0.42  # cm of fat around whatever enhances: more than blur and an edge filter reach


@dataclass(frozen=True, kw_only=True)
class Abdomen:
    """One patient on the table; lengths in cm of a medium-sized body, angles in radians."""

    turn: float
    field: float  # half the field of view, cm
    dx: float
    dy: float
    wide: float  # body size across and front to back, 1 = medium
    deep: float
    fat: float  # subcutaneous, at the flank
    belly: float  # extra subcutaneous fat in front
    wall: float  # muscle
    liver: float
    liver_low: float
    kidney: float
    kidney_y: float
    aorta: float  # radius
    aorta_x: float
    aorta_y: float
    bile: float
    table_gap: float
    table_curve: float
    marrow: float  # HU
    liver_hu: float
    blood_hu: float
    phase: float  # 0 late arterial … 1 portal venous; what it would be if enhanced
    dose: float
    grain: float  # HU
    blur: float  # pixels at 224
    calcified: float
    gas: float  # how full of gas the bowel is


def draw(rng: np.random.Generator) -> Abdomen:
    """A patient at random."""
    u, z = rng.uniform, rng.normal
    wide, fat = u(0.88, 1.06), u(0.5, 2.0)
    return Abdomen(
        turn=float(np.clip(z(0, 0.05), -0.15, 0.15)),
        field=wide * (14.2 + fat) * u(1.02, 1.2),
        dx=float(np.clip(z(0, 0.04), -0.1, 0.1)),
        dy=float(np.clip(z(-0.06, 0.04), -0.16, 0.04)),
        wide=wide,
        deep=u(0.88, 1.08),
        fat=fat,
        belly=u(0.0, 1.4),
        wall=u(0.9, 1.7),
        liver=u(0.72, 1.0),
        liver_low=u(-1.0, 1.2),
        kidney=u(0.8, 0.95),
        kidney_y=u(-0.3, 0.5),
        aorta=u(0.85, 1.2),
        aorta_x=u(0.2, 1.1),
        aorta_y=u(-0.2, 0.3),
        bile=u(0.8, 1.5) if u() < 0.7 else 0.0,
        table_gap=u(0.1, 0.6),
        table_curve=u(0.006, 0.016),
        marrow=u(140, 260),
        liver_hu=u(50, 78),
        blood_hu=u(36, 46),
        phase=u(0, 1),
        dose=u(0.85, 1.15),
        grain=u(5, 14),
        blur=u(0.55, 0.85),
        calcified=u(0.2, 0.6) if u() < 0.35 else 0.0,
        gas=u(0.2, 0.8),
    )


def hounsfield(p: Abdomen) -> np.ndarray:
    """HU of each tissue [2, 64]: plain, enhanced; doubles have the other answer's values.

    What rises follows the phase and the dose: the arteries first, then kidneys and veins.
    """
    t, plain = p.phase, np.zeros(2 * DOUBLE, np.float32)
    plain[[AIR, TABLE, SKIN, FAT, MUSCLE, CORTEX, MARROW, CANAL]] = (-1000, 220, 10, -102, 56, 650, p.marrow, 28)
    plain[[WALL, GAS, BILE, LIVER, PANCREAS]] = (48, -950, 8, p.liver_hu, 44)
    plain[[KIDNEY, PYRAMID, AORTA, CAVA, PORTAL, TWIG]] = (34, 30) + (p.blood_hu,) * 4
    full = plain.copy()
    for tissue, early, late in (
        (AORTA, 260, 130), (CAVA, 80, 110), (PORTAL, 100, 140), (TWIG, 110, 120), (KIDNEY, 145, 150),
        (PYRAMID, 110, 135),
    ):  # fmt: skip
        full[tissue] += p.dose * (early + t * (late - early))
    plain[DOUBLE:], full[DOUBLE:] = full[:DOUBLE], plain[:DOUBLE]
    return np.stack([plain, full])


class _Canvas:
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

    def box(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """The part of the image that holds everything within `reach` cm of a point."""
        column, row = _pixel(self.p, self.size, x, y)
        half = (reach + 0.9) * 1.08 * self.size / (2 * self.p.field)
        low, high = (lambda v: max(int(v - half), 0)), (lambda v: max(int(v + half) + 2, 0))
        return slice(low(row), high(row)), slice(low(column), high(column))

    def level(self, x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> tuple[tuple, np.ndarray]:
        """A box and, in it, the squared radius of an ellipse: 1 on its edge."""
        at = self.box(x, y, max(rx, ry))
        u, v = self.x[at] - np.float32(x), self.y[at] - np.float32(y)
        if turn:
            c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
            u, v = c * u + s * v, c * v - s * u
        return at, (u / np.float32(rx)) ** 2 + (v / np.float32(ry)) ** 2

    def paint(self, tissue: int, x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> None:
        """An ellipse of one tissue."""
        at, q = self.level(x, y, rx, ry, turn)
        self.tissue[at][q < 1] = tissue


def _trunk(k: _Canvas) -> np.ndarray:
    """Skin, fat, muscle, the cavity's fat and the table; gives the cavity's mask."""
    p, tissue = k.p, k.tissue
    rx, ry = 14.2 + p.fat, 10.0 + 0.6 * p.fat
    front = np.clip(-k.y / ry, 0, 1)
    q = (np.abs(k.x) / rx) ** 2.3 + (np.abs(k.y) / (ry + p.belly * front)) ** 2.3
    radius = np.float32(np.sqrt(rx * ry)) * (q ** np.float32(1 / 2.3) - 1)
    x, y = k.straight
    back = ry * p.deep + p.table_gap
    depth = y - back + np.float32(p.table_curve) * x**2
    on = (np.abs(x) < 20) & (radius > 0)
    tissue[on & ((np.abs(depth) < 0.2) | (np.abs(depth - 2.6 + 0.006 * x**2) < 0.18))] = TABLE
    tissue[radius < 0] = SKIN
    tissue[radius < -0.18] = FAT
    muscle = -p.fat - p.belly * front * 0.7
    tissue[radius < muscle] = MUSCLE
    line = (radius > muscle - p.wall * 0.55) & (radius < muscle - p.wall * 0.45) & (np.abs(k.x) > 5.5) & (k.y < 4)
    tissue[line] = FAT
    thick = p.wall * (1 - 0.35 * front)
    cavity = (radius < muscle - thick) & (k.y < 5.6 - 0.012 * k.x**2)
    tissue[cavity] = FAT
    for side in (-1, 1):
        k.paint(FAT, side * 9.3, 7.0, 2.6, 0.35, side * -0.3)
    return cavity


def _bones(k: _Canvas, rng: np.random.Generator) -> None:
    """The vertebra with its arch, canal and processes, psoas and back muscles, and ribs in the flanks."""
    for side in (-1, 1):
        k.paint(FAT, side * 3.6, 7.0, 3.35, 2.55)
        k.paint(MUSCLE, side * 3.6, 6.9, 3.1, 2.3)
        k.paint(MUSCLE, side * 3.4, 3.4, 1.6, 2.2, side * 0.35)
        k.paint(MUSCLE, side * 7.2, 5.2, 2.1, 1.2, side * 0.45)
        k.paint(CORTEX, side * 3.0, 5.0, 1.9, 0.36, side * 0.25)
        k.paint(CORTEX, side * 1.55, 6.1, 0.75, 1.0, side * 0.5)
    k.paint(CORTEX, 0, 7.6, 0.55, 1.7)
    k.paint(MARROW, 0, 7.7, 0.25, 1.2)
    k.paint(CORTEX, 0, 3.1, 2.45, 1.85)
    k.paint(MARROW, 0, 3.05, 2.2, 1.6)
    k.paint(CORTEX, 0, 5.4, 1.55, 1.25)
    k.paint(CANAL, 0, 5.3, 1.05, 0.85)
    p = k.p
    for angle in (0.30, 0.62, -0.10, 2.84, 2.52, 3.24):
        turn = angle + rng.normal(0, 0.06)
        reach = 1 - 0.5 * p.wall / 14
        x, y = 13.9 * reach * np.cos(turn), 9.3 * reach * np.sin(turn)
        tangent = float(np.arctan2(9.3 * np.cos(turn), -13.9 * np.sin(turn)))
        k.paint(CORTEX, x, y, 0.95, 0.42, tangent)
        k.paint(MARROW, x, y, 0.65, 0.18, tangent)


def _organs(k: _Canvas, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Liver, with veins that stay as they are, gallbladder and pancreas."""
    p, tissue = k.p, k.tissue
    at, q = k.level(-10.0, -1.6 + p.liver_low, 4.4 * p.liver, 6.6 * p.liver, -0.12)
    near, r = k.level(-6.0, 1.6 + p.liver_low, 2.6, 3.0)
    tissue[at][(q < 1) & cavity[at]] = LIVER
    tissue[near][(r < 1) & (tissue[near] == LIVER)] = FAT
    for _ in range(5):
        x, y = -10.0 + rng.normal(0, 1.4), -2.2 + p.liver_low + rng.normal(0, 2.3)
        spot, r = k.level(x, y, rng.uniform(0.2, 0.6), rng.uniform(0.15, 0.28), rng.uniform(0, 3.1))
        tissue[spot][(r < 1) & (tissue[spot] == LIVER)] = PANCREAS
    if p.bile:
        k.paint(WALL, -5.8, -3.4, 0.95 * p.bile + 0.15, 1.3 * p.bile + 0.15, 0.5)
        k.paint(BILE, -5.8, -3.4, 0.95 * p.bile, 1.3 * p.bile, 0.5)
    k.paint(PANCREAS, -3.4, -1.9, 1.2, 1.0, 0.6)


# Loops of bowel that no answer touches: x, y, radii; colon first, then small bowel.
_LOOPS = (
    (-9.6, 3.9, 1.7, 1.6), (11.0, 2.2, 1.6, 1.8), (-7.2, -6.2, 2.2, 1.4), (-3.6, -7.0, 2.2, 1.3),
    (4.0, -7.0, 2.4, 1.3), (7.6, -6.2, 2.6, 1.6), (10.6, -2.4, 1.9, 2.2), (7.4, -2.6, 2.0, 1.6), (4.2, -3.6, 1.8, 1.6),
    (4.3, -1.1, 1.5, 1.1), (1.4, -5.4, 2.3, 1.5), (-1.8, -5.0, 1.9, 1.4),
)  # fmt: skip


def _bowel(k: _Canvas, cavity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Loops with walls, gas above and filling below; gives the filling's HU per loop."""
    for number, (x, y, rx, ry) in enumerate(_LOOPS, 1):
        x, y = x + rng.normal(0, 0.35), y + rng.normal(0, 0.3)
        grow, turn = rng.uniform(0.85, 1.1), rng.normal(0, 0.3)
        at, q = k.level(x, y, rx * grow, ry * grow, turn)
        free = cavity[at] & np.isin(k.tissue[at], (FAT, FILLING, WALL, GAS))
        edge = 1 - 0.22 / min(rx, ry)
        k.tissue[at][(q < 1) & free] = WALL
        content = (q < edge**2) & free
        k.tissue[at][content] = FILLING
        k.loop[at][content] = number
        if rng.uniform() < k.p.gas:
            depth = (k.y[at] - np.float32(y)) / np.float32(ry * grow)
            k.tissue[at][content & (depth < rng.uniform(-0.75, 0.1))] = GAS
    return rng.choice(np.float32([8, 15, 25, 40, 60, 120, 190]), size=len(_LOOPS) + 1)


Part = tuple[int, float, float, float, float, float]  # tissue, x, y, radii, turn


def _shapes(p: Abdomen, shrink: float, rng: np.random.Generator) -> list[tuple[tuple[float, float], list[Part]]]:
    """What enhances, largest first: where its double should lie, and its parts."""
    out = []
    for side, home in ((1, (7.8, -4.2)), (-1, (1.2, -6.0))):
        s, x, y = p.kidney * shrink, side * 6.5, 2.9 + p.kidney_y - side * 0.25
        rx, ry = 2.15 * s * rng.uniform(0.9, 1.1), 2.75 * s * rng.uniform(0.9, 1.1)
        parts: list[Part] = [(KIDNEY, x, y, rx, ry, side * 0.35)]
        for angle in np.linspace(-1.6, 1.6, 4) + rng.normal(0, 0.15, 4):
            turn = (0 if side > 0 else np.pi) + side * angle
            px, py = x + 0.5 * rx * np.cos(turn), y + 0.55 * ry * np.sin(turn)
            parts.append((PYRAMID, px, py, 0.27 * rx, 0.17 * ry, turn))
        depth, high = rng.uniform(0.75, 1.0), rng.uniform(0.18, 0.34)
        parts.append((FAT, x - side * depth * rx, y - 0.2 * ry, 0.55 * rx, high * ry, side * 0.35))
        out.append((home, parts))
    parts = [(AORTA, p.aorta_x, p.aorta_y, p.aorta, p.aorta, 0.0)]
    for turn in rng.uniform(0, 6.3, 3) if p.calcified else ():
        x, y = p.aorta_x + p.aorta * np.cos(turn), p.aorta_y + p.aorta * np.sin(turn)
        parts.append((CORTEX, x, y, 0.14, p.calcified, turn))
    out.append(((-3.8, -6.4), parts))
    out.append(((-7.0, -6.2), [(CAVA, p.aorta_x - p.aorta - 1.75, 0.4, 1.15, rng.uniform(0.65, 0.95), 0.2)]))
    out.append(((4.2, -1.6), [(PORTAL, p.aorta_x - 1.6, -2.3, 0.68, 0.6, 0.0)]))
    above = p.aorta_y - p.aorta - 1.05
    out.append(((3.4, -2.4), [(AORTA, p.aorta_x + 0.2, above, 0.42, 0.42, 0.0)]))
    for _ in range(9):
        x, y, rx, ry = rng.uniform(-4, 8), rng.uniform(-6.5, -1), rng.uniform(0.2, 0.55), rng.uniform(0.15, 0.24)
        out.append(((rng.uniform(-4, 9), rng.uniform(-6.5, 0)), [(TWIG, x, y, rx, ry, rng.uniform(0, 3.1))]))
    return out


def _patch(k: _Canvas, parts: list[Part]) -> tuple[tuple[slice, slice], np.ndarray]:
    """A box of the image and the shape in it: tissue numbers, FAT for its bed, 0 elsewhere."""
    tissue, x, y, rx, ry, turn = parts[0]
    at, q = k.level(x, y, max(rx, ry) + HALO + 0.4, max(rx, ry) + HALO + 0.4)
    out = np.zeros(q.shape, np.uint8)
    for grow in (HALO, 0.0):
        for tissue, x, y, rx, ry, turn in parts:
            u, v = k.x[at] - np.float32(x), k.y[at] - np.float32(y)
            c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
            q = ((c * u + s * v) / np.float32(rx + grow)) ** 2 + ((c * v - s * u) / np.float32(ry + grow)) ** 2
            if not (grow and tissue == FAT):
                out[q < 1] = FAT if grow else tissue
            else:
                out[(q < 1) & (out > 0)] = FAT
    return at, out


def _stamp(k: _Canvas, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Paint what enhances and the double of each; kidneys shrink until every double finds room.

    Twigs are painted only where both find room.
    """
    free = cavity & np.isin(k.tissue, (FAT, WALL, FILLING, GAS, BILE, PANCREAS))
    before = k.tissue
    for shrink in 0.93 ** np.arange(12):
        k.tissue, taken = before.copy(), ~free
        shapes = [(home, parts[0][0] == TWIG, *_patch(k, parts)) for home, parts in _shapes(k.p, shrink, rng)]
        for _, twig, at, patch in shapes:
            if not twig:
                _press(k.tissue, taken, at, patch)
        if all(_double(k, taken, *shape, rng=rng) for shape in shapes):
            return


def _double(
    k: _Canvas,
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
    double[np.isin(double, ENHANCING)] += DOUBLE
    if twig:
        if (taken[at] & (patch > 0)).any():
            return True
        taken[at][patch > 0] = True
    spot = _room(k, taken, double > 0, home, rng)
    if spot is None:
        return twig
    _press(k.tissue, taken, spot, double)
    if twig:
        _press(k.tissue, taken, at, patch)
    return True


def _press(tissue: np.ndarray, taken: np.ndarray, at: tuple[slice, slice], patch: np.ndarray) -> None:
    """Put a shape into the slice and its place out of reach of others."""
    tissue[at][patch > 0] = patch[patch > 0]
    taken[at][patch > 0] = True


def _room(
    k: _Canvas, taken: np.ndarray, mask: np.ndarray, home: tuple[float, float], rng: np.random.Generator
) -> tuple[slice, slice] | None:
    """Where near `home` a mask fits without touching what is taken; looked for ever further away."""
    h, w = mask.shape
    for reach in np.repeat((0.3, 0.8, 1.5, 2.5, 4.0, 6.0), 24):
        x, y = home[0] + rng.uniform(-reach, reach), home[1] + rng.uniform(-reach, reach)
        column, row = _pixel(k.p, k.size, x, y)
        top, left = round(row - h / 2), round(column - w / 2)
        if top < 0 or left < 0 or top + h > k.size or left + w > k.size:
            continue
        spot = slice(top, top + h), slice(left, left + w)
        if not (taken[spot] & mask).any():
            return spot
    return None


def paint(p: Abdomen, rng: np.random.Generator, size: int) -> tuple[_Canvas, np.ndarray]:
    """The slice in tissue numbers, and the HU of each loop's filling."""
    k = _Canvas(p, rng, size)
    cavity = _trunk(k)
    _bones(k, rng)
    _organs(k, cavity, rng)
    drinks = _bowel(k, cavity, rng)
    _stamp(k, cavity, rng)
    return k, drinks


def render(p: Abdomen, rng: np.random.Generator, enhanced: bool, size: int = 224, matched: bool = True) -> np.ndarray:
    """The slice in Hounsfield units, float32 [size, size], before or after contrast.

    Everything but the answer comes from `p` and `rng`: the same two give the same patient, noise
    included. Without `matched` the doubles hold water under either answer and the histogram tells it.
    """
    k, drinks = paint(p, rng, size)
    hu = hounsfield(p)
    if not matched:
        hu[:, DOUBLE:] = hu[1, DOUBLE:]
    out = hu[int(enhanced)][k.tissue]
    filling = k.tissue == FILLING
    out[filling] = drinks[k.loop[filling]]
    out += 5 * noise(rng, size, (14, 28, 56), 0.9)
    grain = smooth(rng.standard_normal((size, size), np.float32), 0.6 * size / 224)
    return smooth(out, p.blur * size / 224) + np.float32(p.grain * 2.1) * grain


def window(hu: np.ndarray, centre: float = 40.0, width: float = 400.0) -> np.ndarray:
    """Hounsfield units as grey values, uint8; the default is the soft-tissue window."""
    grey = (hu - np.float32(centre - width / 2)) * np.float32(255 / width)
    return np.clip(grey + np.float32(0.5), 0, 255).astype(np.uint8)


def patient(seed: int, i: int) -> Abdomen:
    """Patient number i of a seed."""
    return draw(np.random.default_rng([seed, i, CODE]))


def scan(seed: int, i: int, enhanced: bool, size: int = 224, matched: bool = True) -> np.ndarray:
    """The windowed slice of patient number i of a seed, uint8 [size, size]."""
    rng = np.random.default_rng([seed, i, CODE, 1])
    return window(render(patient(seed, i), rng, enhanced, size, matched))


def source(n: int, seed: int, size: int = 224, matched: bool = True) -> Source:
    """Slices of n patients, half of them (rounded) after contrast; columns hold what was drawn.

    Column `contrast` is "plain" or "enhanced"; `aorta_column` and `aorta_row` are where the aorta's
    centre lies in the image, `muscle_column` and `muscle_row` where the left back muscle's does.

    Raises:
        DataError: n is below 1.
    """
    answers = balanced(n, 2, seed, CODE)

    def build(i: int) -> tuple:
        p, enhanced = patient(seed, i), bool(answers[i])
        columns = {"contrast": CLASSES[enhanced], **{f.name: getattr(p, f.name) for f in fields(p)}}
        columns.update(landmarks(p, size))
        return partial(scan, seed, i, enhanced, size, matched), columns, ()

    return _source("abdomen", n, build, version=VERSION, seed=seed, size=size, matched=matched)


def landmarks(p: Abdomen, size: int) -> dict[str, float]:
    """Pixel positions of the aorta's centre and of the left back muscle's."""
    at = {"aorta": (p.aorta_x, p.aorta_y), "muscle": (3.6, 6.9)}
    spots = {name: _pixel(p, size, *xy) for name, xy in at.items()}
    return {f"{name}_{axis}": spot[j] for name, spot in spots.items() for j, axis in enumerate(("column", "row"))}


def _pixel(p: Abdomen, size: int, x: float, y: float) -> tuple[float, float]:
    """Where a point of the body lies in the image: column, row."""
    x, y = x * p.wide / p.field, y * p.deep / p.field
    c, s = np.cos(p.turn), np.sin(p.turn)
    return (
        float((c * x - s * y + p.dx + 1) * size / 2 - 0.5),
        float((s * x + c * y + p.dy + 1) * size / 2 - 0.5),
    )
