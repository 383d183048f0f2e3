"""Parameters of a panoramic dental film: the patient, and how the film was taken."""

from dataclasses import dataclass

import numpy as np

PLACES = ("upper_right", "upper_left", "lower_right", "lower_left")  # of third molars; patient's right at x < 0
WIDTHS = np.array([(8.5, 6.6, 7.6, 7.0, 6.8, 10.2, 9.8, 9.0), (5.4, 5.9, 6.9, 7.1, 7.2, 11.2, 10.6, 10.2)])  # mm
LENGTHS = np.array([(23, 22, 26, 21, 21, 20, 19.5, 17), (21, 22, 25, 22, 22, 21, 20, 17.5)])  # mm
CROWNS = np.array([(0.44, 0.42, 0.39, 0.38, 0.37, 0.37, 0.37, 0.42), (0.42, 0.42, 0.42, 0.38, 0.37, 0.36, 0.36, 0.42)])


@dataclass(frozen=True, kw_only=True)
class Film:
    """One patient and one exposure; lengths in half image widths unless said, angles in radians."""

    turn: float  # of the head in the image plane
    scale: float
    dx: float
    dy: float
    yaw: float  # makes one side wider than the other
    tooth: float  # half widths per millimetre across
    tall: float  # the same along a tooth
    bite: float  # height of the line where the teeth meet
    smile: float  # how much that line rises to the sides
    open: float  # distance between upper and lower teeth
    chin: float  # height of the lower border of the mandible
    angle: float  # height of its angle
    ramus: float  # how far its back border stands from the midline
    thick: float  # half width of the ramus
    head: float  # height of the condyles
    sinus: float  # size of the maxillary sinuses
    spine: float  # shadow of the vertebrae
    ghost: float  # blurred shadow of the other side
    airway: float
    density: float  # of bone
    grit: float  # of trabeculae
    exposure: float
    contrast: float
    blur: float  # pixels at 224
    grain: float
    border: float  # width of the film's unexposed rim, 0 where there is none
    losses: float  # teeth missing by chance


def draw(rng: np.random.Generator) -> Film:
    """A patient and an exposure at random."""
    u, z = rng.uniform, rng.normal
    tooth = u(0.0102, 0.0116)
    return Film(
        turn=float(np.clip(z(0, 0.02), -0.06, 0.06)),
        scale=u(0.92, 1.04),
        dx=float(np.clip(z(0, 0.02), -0.05, 0.05)),
        dy=float(np.clip(z(0, 0.03), -0.07, 0.07)),
        yaw=float(np.clip(z(0, 0.025), -0.06, 0.06)),
        tooth=tooth,
        tall=tooth * u(1.45, 1.8),
        bite=u(0.0, 0.1),
        smile=u(0.02, 0.4),
        open=u(0.0, 0.05),
        chin=u(0.78, 0.9),
        angle=u(0.40, 0.58),
        ramus=u(0.89, 0.95),
        thick=u(0.105, 0.135),
        head=u(-0.72, -0.56),
        sinus=u(0.8, 1.25),
        spine=u(0.0, 0.55),
        ghost=u(0.0, 0.25),
        airway=u(0.0, 0.4),
        density=u(0.85, 1.15),
        grit=u(0.03, 0.07),
        exposure=float(np.clip(z(0, 0.2), -0.45, 0.45)),
        contrast=u(0.85, 1.2),
        blur=u(0.4, 0.8),
        grain=u(0.006, 0.022),
        border=u(0.02, 0.08) if u() < 0.3 else 0.0,
        losses=u(0.0, 5.0),
    )


@dataclass(frozen=True, kw_only=True)
class Teeth:
    """32 places for teeth [32]: quadrants as in PLACES, each from the middle outwards, third molars last."""

    x: np.ndarray  # of the middle of the chewing edge, before the head is posed
    y: np.ndarray
    lean: np.ndarray  # angle from upright, positive where the crown leans to the midline
    width: np.ndarray  # half widths
    length: np.ndarray
    crown: np.ndarray  # share of the length
    roots: np.ndarray  # share of the roots that has grown
    upper: np.ndarray  # bool
    side: np.ndarray  # -1 patient's right, 1 left
    kind: np.ndarray  # 0 incisor or canine, 1 premolar, 2 molar
    metal: np.ndarray  # filling, 0 … 1 of the crown
    canal: np.ndarray  # bool: root filled


def line(p: Film, x: np.ndarray) -> np.ndarray:
    """Height of the line where the teeth meet."""
    return p.bite - p.smile * x * x


def erupt(p: Film, rng: np.random.Generator) -> Teeth:
    """Where all 32 teeth would be, what they are like, and how third molars lie, present or not."""
    upper, side, nth = np.repeat([1, 1, 0, 0], 8) > 0, np.tile(np.repeat([-1.0, 1.0], 8), 2), np.tile(np.arange(8), 4)
    row = 1 - upper.astype(int)
    width = WIDTHS[row, nth] * p.tooth * rng.uniform(0.94, 1.06, 32)
    length = LENGTHS[row, nth] * p.tall * rng.uniform(0.93, 1.07, 32)
    ends = np.cumsum(width.reshape(4, 8) * rng.uniform(1.0, 1.05, (4, 8)), 1)
    x = (ends - width.reshape(4, 8) / 2).ravel()
    third, mode = nth == 7, rng.choice(5, 32, p=[0.4, 0.25, 0.1, 0.15, 0.1])  # up, leaning, lying, deep, germ
    lean = rng.normal(0, 0.05, 32) + np.where(upper, 0.05, 0.02) * (nth - 2) / 3
    lean = np.where(third & (mode == 1), rng.uniform(0.35, 0.8, 32) * np.where(upper, -0.7, 1), lean)
    lean = np.where(third & (mode == 2) & ~upper, rng.uniform(1.15, 1.5, 32), lean)
    deep = np.where(
        third, rng.uniform(0.0, 0.03, 32) + 0.06 * (mode == 1) + 0.14 * (mode >= 2), rng.normal(0, 0.008, 32)
    )
    x = x + np.where(third, 0.02 + 0.035 * (np.abs(lean) > 0.3), 0)
    away = np.where(upper, -1, 1) * (p.open / 2 + deep)
    return Teeth(
        x=side * x,
        y=line(p, x) + away,
        lean=lean,
        width=width,
        length=length,
        crown=CROWNS[row, nth],
        roots=np.where(third, np.where(mode == 4, 0.0, rng.uniform(0.5, 1, 32)), 1.0),
        upper=upper,
        side=side,
        kind=np.array([0, 0, 0, 1, 1, 2, 2, 2])[nth],
        metal=np.where((rng.uniform(0, 1, 32) < 0.16) & ~third & (nth > 2), rng.uniform(0.3, 1, 32), 0),
        canal=(rng.uniform(0, 1, 32) < 0.06) & ~third,
    )


def present(p: Film, teeth: Teeth, count: int, rng: np.random.Generator, matched: bool) -> np.ndarray:
    """Which of the 32 teeth are there, bool: `count` third molars, and others missing at random.

    Matched, others of about the area of the third molars are missing besides, so that the area of all
    teeth does not go with the count.
    """
    area = teeth.width * teeth.length * (teeth.crown + (1 - teeth.crown) * 0.75 * teeth.roots)
    there = np.ones(32, bool)
    third = np.arange(7, 32, 8)
    there[third] = rng.permutation(4) < count
    others = rng.permutation(np.flatnonzero(np.arange(32) % 8 != 7))
    budget = p.losses * area[others].mean() + (area[third][there[third]].sum() if matched else 0)
    gone = np.cumsum(area[others]) - area[others] / 2 < budget
    there[others[gone]] = False
    return there
