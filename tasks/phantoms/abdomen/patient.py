"""Parameters of a patient in an abdominal slice, and the Hounsfield units of each tissue before and after contrast."""

from dataclasses import dataclass

import numpy as np

Length = float | int
# Tissues in the order of the tables below; DOUBLE is added to a tissue's number in its double.
(AIR, TABLE, SKIN, FAT, MUSCLE, CORTEX, MARROW, CANAL, WALL, GAS, BILE, PANCREAS, FILLING,
 KIDNEY, PYRAMID, AORTA, CAVA, PORTAL, TWIG, LIVER, SPLEEN) = range(21)  # fmt: skip
ENHANCING = (KIDNEY, PYRAMID, AORTA, CAVA, PORTAL, TWIG, LIVER, SPLEEN)
DOUBLE = 32
HALO = 0.45  # cm of fat around whatever enhances: about what blur and an edge filter reach


@dataclass(frozen=True, kw_only=True)
class Abdomen:
    """One patient on the table; lengths in cm of a medium-sized body, angles in radians."""

    turn: Length
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
    spleen_hu: float
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
        wall=u(0.8, 1.5),
        liver=u(0.75, 1.0),
        liver_low=u(-1.0, 0.6),
        spleen=u(0.75, 1.0),
        kidney=u(0.72, 0.86),
        kidney_y=u(-0.3, 0.5),
        aorta=u(0.85, 1.2),
        aorta_x=u(0.2, 1.1),
        aorta_y=u(-0.4, 0.0),
        bile=u(0.8, 1.5) if u() < 0.7 else 0.0,
        table_gap=u(0.1, 0.6),
        table_curve=u(0.006, 0.016),
        marrow=u(140, 260),
        liver_hu=u(50, 68),
        spleen_hu=u(44, 54),
        blood_hu=u(36, 46),
        phase=u(0, 1),
        dose=u(0.85, 1.15),
        grain=u(5, 14),
        blur=u(0.5, 0.76),
        calcified=u(0.2, 0.6) if u() < 0.35 else 0.0,
        gas=u(0.2, 0.8),
    )


def hounsfield(p: Abdomen) -> np.ndarray:
    """HU of each tissue [2, 64]: plain, enhanced; doubles have the other answer's values.

    What rises follows the phase and the dose: arteries, kidneys and spleen first, then veins and liver.
    """
    t, plain = p.phase, np.zeros(2 * DOUBLE, np.float32)
    plain[[AIR, TABLE, SKIN, FAT, MUSCLE, CORTEX, MARROW, CANAL]] = (-1000, 220, 10, -102, 56, 650, p.marrow, 28)
    plain[[WALL, GAS, BILE, PANCREAS, LIVER, SPLEEN]] = (48, -950, 8, 44, p.liver_hu, p.spleen_hu)
    plain[[KIDNEY, PYRAMID, AORTA, CAVA, PORTAL, TWIG]] = (34, 30) + (p.blood_hu,) * 4
    full = plain.copy()
    for tissue, early, late in (
        (AORTA, 260, 130), (CAVA, 80, 110), (PORTAL, 100, 140), (TWIG, 110, 120), (KIDNEY, 145, 150),
        (PYRAMID, 110, 135), (LIVER, 25, 55), (SPLEEN, 85, 72),
    ):  # fmt: skip
        full[tissue] += p.dose * (early + t * (late - early))
    plain[DOUBLE:], full[DOUBLE:] = full[:DOUBLE], plain[:DOUBLE]
    return np.stack([plain, full])
