"""An axial slice of the abdomen in Hounsfield units, before or after contrast medium, at the kidneys' level.

Left alone, enhancement is a question for a histogram: more bright pixels. Here the bowel's contents pay
for it. Whatever Hounsfield values vessels and organs would have had under the other answer are poured
into the bowel (dilute oral contrast, water or food, the denser lower), so that for one and the same
patient both answers have the same multiset of values, and only *where* they are tells the answer.
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

# Tissues in the order of the tables below.
(AIR, TABLE, SKIN, FAT, MUSCLE, CORTEX, MARROW, CANAL, WALL, GAS, BILE, LIVER, SPLEEN, KIDNEY, PYRAMID, AORTA,
 CAVA, PORTAL, PANCREAS, TWIG, FILLING) = range(21)  # fmt: skip


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
    spleen: float
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
    return Abdomen(
        turn=float(np.clip(z(0, 0.05), -0.15, 0.15)),
        field=u(17.5, 21.0),
        dx=float(np.clip(z(0, 0.04), -0.1, 0.1)),
        dy=float(np.clip(z(-0.06, 0.04), -0.16, 0.04)),
        wide=u(0.88, 1.06),
        deep=u(0.88, 1.08),
        fat=u(0.5, 2.0),
        belly=u(0.0, 1.4),
        wall=u(0.9, 1.7),
        liver=u(0.72, 1.0),
        liver_low=u(-1.0, 1.2),
        spleen=u(0.5, 1.0) if u() < 0.6 else 0.0,
        kidney=u(0.88, 1.1),
        kidney_y=float(z(0, 0.4)),
        aorta=u(0.85, 1.3),
        aorta_x=float(z(0.7, 0.35)),
        aorta_y=float(z(0.1, 0.3)),
        bile=u(0.8, 1.5) if u() < 0.7 else 0.0,
        table_gap=u(0.1, 0.6),
        table_curve=u(0.006, 0.016),
        marrow=u(140, 260),
        liver_hu=u(48, 66),
        blood_hu=u(36, 46),
        phase=u(0, 1),
        dose=u(0.85, 1.15),
        grain=u(5, 14),
        blur=u(0.55, 0.85),
        calcified=u(0.2, 0.6) if u() < 0.35 else 0.0,
        gas=u(0.2, 0.8),
    )


def hounsfield(p: Abdomen) -> np.ndarray:
    """HU of each tissue [2, 21]: plain, enhanced. Rises after contrast follow the phase and the dose."""
    t, plain = p.phase, np.zeros(21, np.float32)
    plain[[AIR, TABLE, SKIN, FAT, MUSCLE, CORTEX, MARROW, CANAL]] = (-1000, 120, 10, -102, 56, 650, p.marrow, 28)
    plain[[WALL, GAS, BILE, LIVER, SPLEEN, KIDNEY, PYRAMID]] = (48, -950, 8, p.liver_hu, 48, 34, 30)
    plain[[AORTA, CAVA, PORTAL, PANCREAS, TWIG]] = (p.blood_hu,) * 3 + (42, p.blood_hu)
    full = plain.copy()
    for tissue, early, late in (
        (AORTA, 290, 130), (CAVA, 60, 105), (PORTAL, 100, 140), (TWIG, 110, 120), (KIDNEY, 150, 150),
        (PYRAMID, 45, 120), (LIVER, 14, 52), (SPLEEN, 70, 72), (PANCREAS, 62, 45),
    ):  # fmt: skip
        full[tissue] += p.dose * (early + t * (late - early))
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
    rx, ry = 14.2 + p.fat, 9.6 + 0.6 * p.fat
    front = np.clip(-k.y / ry, 0, 1)
    q = (np.abs(k.x) / rx) ** 2.3 + (np.abs(k.y) / (ry + p.belly * front)) ** 2.3
    radius = np.float32(np.sqrt(rx * ry)) * (q ** np.float32(1 / 2.3) - 1)
    x, y = k.straight
    back = ry * p.deep + p.table_gap
    depth = y - back + np.float32(p.table_curve) * x**2
    on = (np.abs(x) < 20) & (radius > 0)
    tissue[on & ((np.abs(depth) < 0.16) | (np.abs(depth - 2.6 + 0.006 * x**2) < 0.13))] = TABLE
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
    """Liver with its vessels, gallbladder, spleen, pancreas and kidneys."""
    p, tissue = k.p, k.tissue
    at, q = k.level(-9.6, -1.6 + p.liver_low, 5.0 * p.liver, 6.6 * p.liver, -0.12)
    near, r = k.level(-6.2, 1.4 + p.liver_low, 2.6, 3.0)
    keep = (q < 1) & cavity[at]
    tissue[at][keep] = LIVER
    tissue[near][(r < 1) & (tissue[near] == LIVER)] = FAT
    for _ in range(7):
        x, y = -9.8 + rng.normal(0, 1.6), -2.2 + p.liver_low + rng.normal(0, 2.3)
        spot, r = k.level(x, y, rng.uniform(0.2, 0.55), rng.uniform(0.15, 0.3), rng.uniform(0, 3.1))
        tissue[spot][(r < 1) & (tissue[spot] == LIVER)] = TWIG
    if p.bile:
        k.paint(WALL, -5.9, -4.3, 1.12 * p.bile + 0.15, 1.5 * p.bile + 0.15, 0.5)
        k.paint(BILE, -5.9, -4.3, 1.12 * p.bile, 1.5 * p.bile, 0.5)
    if p.spleen:
        at, q = k.level(11.6, 1.9, 1.9 * p.spleen, 4.0 * p.spleen, 0.35)
        tissue[at][(q < 1) & cavity[at]] = SPLEEN
    k.paint(PANCREAS, -2.3, -2.2, 1.5, 1.2, 0.6)
    k.paint(PANCREAS, 1.2, -3.1, 2.6, 0.75, -0.25)
    for side in (-1, 1):
        _kidney(k, side, p.kidney_y + side * -0.3, rng)


def _kidney(k: _Canvas, side: int, dy: float, rng: np.random.Generator) -> None:
    """Cortex, pyramids, and the sinus with its fat and vein, opening to the middle and the front."""
    s, x, y = k.p.kidney, side * 6.5, 2.5 + dy
    k.paint(KIDNEY, x, y, 2.45 * s, 3.0 * s, side * 0.35)
    for angle in np.linspace(-1.9, 1.9, 6) + rng.normal(0, 0.08, 6):
        turn = (0 if side > 0 else np.pi) + side * angle
        px, py = x + 1.25 * s * np.cos(turn), y + 1.7 * s * np.sin(turn)
        k.paint(PYRAMID, px, py, 0.62 * s, 0.5 * s, turn)
    k.paint(FAT, x - side * 1.1 * s, y - 0.35 * s, 1.35 * s, 0.95 * s, side * 0.35)
    k.paint(CAVA, x - side * 2.1 * s, y - 0.75 * s, 1.5 * s, 0.26, side * 0.35)


def _vessels(k: _Canvas, rng: np.random.Generator) -> None:
    """Aorta with its plaques, cava, mesenteric vessels and their twigs in the fat."""
    p = k.p
    for _ in range(16):
        x, y = rng.uniform(-5, 8), rng.uniform(-6.5, 0.0)
        at, q = k.level(x, y, rng.uniform(0.18, 0.7), rng.uniform(0.13, 0.24), rng.uniform(0, 3.1))
        k.tissue[at][(q < 1) & (k.tissue[at] == FAT)] = TWIG
    k.paint(CAVA, -1.9, 0.4, 1.25, rng.uniform(0.65, 1.05), 0.2)
    k.paint(PORTAL, -0.7, -2.6, 0.7, 0.62)
    k.paint(AORTA, 0.8, -1.9, 0.42, 0.42)
    k.paint(AORTA, p.aorta_x, p.aorta_y, p.aorta, p.aorta)
    if p.calcified:
        for turn in rng.uniform(0, 6.3, 3):
            x, y = p.aorta_x + p.aorta * np.cos(turn), p.aorta_y + p.aorta * np.sin(turn)
            k.paint(CORTEX, x, y, 0.14, p.calcified, turn)


# Where loops lie: x, y, radii; colon first, then stomach, then small bowel.
_LOOPS = (
    (-9.4, 3.9, 1.7, 1.6), (10.6, 2.0, 1.6, 1.7), (-7.0, -6.4, 2.4, 1.5), (-2.6, -7.3, 2.6, 1.5),
    (7.6, -5.4, 3.5, 2.5), (2.4, -6.6, 2.8, 1.8), (-3.9, -0.9, 1.2, 1.2),
    (10.9, -2.2, 2.0, 2.0), (7.4, -1.7, 2.0, 1.5), (4.4, -2.9, 1.8, 1.5), (4.2, -0.3, 1.6, 1.2), (-1.2, -4.8, 2.3, 1.3),
    (-4.6, -6.4, 1.5, 1.2),
)  # fmt: skip


def _bowel(k: _Canvas, cavity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Loops with walls, gas above and filling below; gives how low each filling pixel lies in its loop."""
    low = np.zeros((k.size, k.size), np.float32)
    for number, (x, y, rx, ry) in enumerate(_LOOPS, 1):
        x, y = x + rng.normal(0, 0.35), y + rng.normal(0, 0.3)
        grow, turn = rng.uniform(0.9, 1.15), rng.normal(0, 0.3)
        at, q = k.level(x, y, rx * grow, ry * grow, turn)
        free = cavity[at] & np.isin(k.tissue[at], (FAT, FILLING, WALL, GAS, TWIG))
        edge = 1 - 0.22 / min(rx, ry)
        k.tissue[at][(q < 1) & free] = WALL
        content = (q < edge**2) & free
        k.tissue[at][content] = FILLING
        k.loop[at][content] = number
        depth = (k.y[at] - np.float32(y)) / np.float32(ry * grow)
        low[at][content] = depth[content]
        if rng.uniform() < k.p.gas:
            k.tissue[at][content & (depth < rng.uniform(-0.75, 0.1))] = GAS
    return low


def _filled(
    k: _Canvas, hu: np.ndarray, low: np.ndarray, matched: bool, rng: np.random.Generator
) -> list[np.ndarray]:
    """HU of the slice [size, size] before and after contrast, the bowel filled.

    Filled with what the organs would be under the other answer, the rest with food and drink. The sorted
    values go to the loops in a random order, in each the denser below.
    """
    where = np.flatnonzero(k.tissue == FILLING)
    changed = k.tissue[(hu[0] != hu[1])[k.tissue]]
    loops = len(_LOOPS) + 1
    drink = rng.choice(np.float32([12, 25, 40, 60, 110, 190]), size=loops)
    rank = rng.permutation(loops).astype(np.float32)
    wave = 0.12 * noise(rng, k.size, (6, 12, 24)).ravel()[where]
    loop = k.loop.ravel()[where]
    kept = drink[loop][rng.permutation(len(where))[len(changed) :]]
    order = np.lexsort((low.ravel()[where] + wave, rank[loop]))
    both = []
    for answer in (0, 1):
        image = hu[answer][k.tissue]
        image.ravel()[where] = drink[loop]
        if matched:
            image.ravel()[where[order]] = np.sort(np.concatenate([hu[1 - answer][changed], kept]))
        both.append(image)
    return both


def _fit(tissue: np.ndarray, hu: np.ndarray) -> np.ndarray:
    """The two tables with the largest organs left unenhanced where the bowel has no room to pay for them."""
    count = np.bincount(tissue.ravel(), minlength=21)
    changed, hu = hu[0] != hu[1], hu.copy()
    for organ in (LIVER, SPLEEN, PANCREAS, PYRAMID, KIDNEY):
        if count[changed].sum() <= count[FILLING]:
            break
        hu[:, organ], changed[organ] = hu[0, organ] + 8, False
    return hu


def render(p: Abdomen, rng: np.random.Generator, enhanced: bool, size: int = 224, matched: bool = True) -> np.ndarray:
    """The slice in Hounsfield units, float32 [size, size], before or after contrast.

    Everything but the answer comes from `p` and `rng`: the same two give the same patient, noise
    included. Without `matched` the bowel is filled regardless of the answer and the histogram tells it.
    """
    k = _Canvas(p, rng, size)
    cavity = _trunk(k)
    _bones(k, rng)
    _organs(k, cavity, rng)
    _vessels(k, rng)
    low = _bowel(k, cavity, rng)
    hu = _fit(k.tissue, hounsfield(p))
    filled = _filled(k, hu, low, matched, rng)
    texture = 5 * noise(rng, size, (14, 28, 56), 0.9)
    grain = smooth(rng.standard_normal((size, size), np.float32), 0.6 * size / 224)
    grain *= np.float32(p.grain * 2.1)
    both = [smooth(image + texture, p.blur * size / 224) + grain for image in filled]
    return _levelled(both[int(enhanced)], both[1 - int(enhanced)]) if matched else both[int(enhanced)]


def _levelled(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The image with its values moved, in their order, to the mean of its own and the other's order statistics.

    Both answers then hold exactly the same values. What blur does to the edges of vessels and of bowel is
    all that is left to level, so that values move by little.
    """
    differ = np.flatnonzero(image.ravel() != other.ravel())
    mine, theirs = image.ravel()[differ], np.sort(other.ravel()[differ])
    order = np.argsort(mine, kind="stable")
    out = image.copy()
    out.ravel()[differ[order]] = (mine[order] + theirs) / 2
    return out


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
