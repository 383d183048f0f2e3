"""Parameters of a section of a hollow organ's wall: the patient, and how it was cut and stained."""

from dataclasses import dataclass

import numpy as np

from tasks.phantoms.noise import piece
from tasks.phantoms.shapes import axes

EPITHELIUM, STROMA, MUSCLE, FAT, LUMEN = range(5)
CLASSES = ("epithelium", "stroma", "muscle", "fat")


@dataclass(frozen=True, kw_only=True)
class Wall:
    """One field of view; lengths in half image widths unless said, angles in radians."""

    turn: float  # which way the wall runs
    lumen: float  # where the surface lies, along the wall's normal
    epithelium: float  # thicknesses
    stroma: float
    muscle: float
    pegs: float  # how far the epithelium reaches into the stroma
    peg_pitch: float
    peg_phase: float
    sway: float  # how much the borders wander
    zoom: float  # size of cells
    crowd: float  # of lymphocytes in the stroma
    swirl: float  # how much collagen wanders
    clefts: float
    vessels: int
    haematoxylin: float  # strengths of the stains
    eosin: float
    hue_h: float  # how far the stains' colours are off
    hue_e: float
    ground: float  # white of the slide
    warmth: float
    blur: float  # pixels at 224
    grain: float


def draw(rng: np.random.Generator) -> Wall:
    """A field of view at random."""
    u = rng.uniform
    thick = u(0.36, 0.5), u(0.36, 0.6), u(0.36, 0.6)
    spare = 2.1 - sum(thick)  # for fat and lumen
    return Wall(
        turn=u(0, 6.283),
        lumen=-1.05 + spare * u(0.1, 0.42),
        epithelium=thick[0],
        stroma=thick[1],
        muscle=thick[2],
        pegs=u(0.02, 0.09),
        peg_pitch=u(9, 18),
        peg_phase=u(0, 6.28),
        sway=u(0.02, 0.05),
        zoom=u(0.9, 1.3),
        crowd=u(0.0, 0.5),
        swirl=u(0.05, 0.14),
        clefts=u(0.0, 1.0),
        vessels=int(rng.integers(0, 4)),
        haematoxylin=u(0.75, 1.3),
        eosin=u(0.7, 1.3),
        hue_h=u(-0.08, 0.08),
        hue_e=u(-0.07, 0.07),
        ground=u(0.90, 0.99),
        warmth=u(-0.02, 0.03),
        blur=u(0.4, 0.8),
        grain=u(0.004, 0.02),
    )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where everything lies: per pixel [size, size] the way along the wall's normal and the wall, and the layer."""

    across: np.ndarray  # from lumen to fat
    along: np.ndarray
    wander: np.ndarray
    labels: np.ndarray  # uint8, the exact layer of every pixel


def plan(p: Wall, rng: np.random.Generator, size: int) -> Plan:
    """The layers of a field; `labels` holds EPITHELIUM … LUMEN for every pixel."""
    x, y = axes(size)
    c, s = np.float32(np.cos(p.turn)), np.float32(np.sin(p.turn))
    across, along = c * x + s * y, c * y - s * x
    wander = piece(rng, size, (4, 8, 15), 0.7)
    bent = across + np.float32(p.sway) * wander
    pegs = np.float32(p.pegs) * np.sin(np.float32(p.peg_pitch) * along + np.float32(p.peg_phase) + wander)
    depth = bent - np.float32(p.lumen)
    pegs += np.float32(p.epithelium)
    labels = (depth > pegs).astype(np.uint8)
    for edge in np.float32(p.epithelium + p.stroma), np.float32(p.epithelium + p.stroma + p.muscle):
        labels += depth > edge
    labels[depth < 0] = LUMEN
    return Plan(across=depth, along=along, wander=wander, labels=labels)


def interior(labels: np.ndarray, reach: int) -> np.ndarray:
    """The layer in which all of a square of 2 reach + 1 pixels lies, uint8 [h - 2 reach, w - 2 reach]; 255 where mixed.

    Element (0, 0) is the square about pixel (reach, reach).
    """
    least = most = labels
    for axis in (0, 1):
        side, have = 2 * reach + 1, 1  # the window so far, doubled until it is `side` pixels long
        while have < side:
            step = min(have, side - have)
            least, most = (
                pick(*(a[step:], a[:-step]) if axis == 0 else (a[:, step:], a[:, :-step]))
                for pick, a in ((np.minimum, least), (np.maximum, most))
            )
            have += step
    return np.where(least == most, most, np.uint8(255))
