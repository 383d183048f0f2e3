"""Parameters of a pelvic radiograph: the patient, and how the film was taken."""

from dataclasses import dataclass

import numpy as np

from tasks.phantoms.radiograph import Radiograph


@dataclass(frozen=True, kw_only=True)
class Pelvis(Radiograph):
    """One patient and one exposure; lengths in half image widths, angles in radians."""

    tilt: float  # of the pelvis about the axis through both hips: how open the obturator foramina are
    wide: float  # breadth of the ring
    wing: float  # height of the iliac wings
    flare: float  # how far out the crests lean
    arch: float  # half-width of the pubic arch
    head: float  # radius of the femoral heads
    neck: float  # length of the femoral necks
    drop: float  # how far below the head's centre the neck meets the shaft
    shaft: float  # half-width of the femurs
    cortex: float  # thickness of cortical bone
    density: float  # of all bone
    sacrum: float  # breadth of the sacrum
    lumbar: float  # height of a lumbar vertebra
    hip: float  # half-width of the soft tissue at the hips
    waist: float
    gap: float  # half-width between the thighs at the lower edge
    bladder: float  # size, 0 where it is empty
    gas: float  # how full of gas the bowel is


def draw(rng: np.random.Generator) -> Pelvis:
    """A patient and an exposure at random."""
    u, z = rng.uniform, rng.normal
    return Pelvis(
        turn=float(np.clip(z(0, 0.035), -0.1, 0.1)),
        scale=u(0.88, 1.06),
        dx=float(np.clip(z(0, 0.03), -0.08, 0.08)),
        dy=float(np.clip(z(0, 0.04), -0.1, 0.1)),
        yaw=float(np.clip(z(0, 0.02), -0.05, 0.05)),
        tilt=u(-0.05, 0.06),
        wide=u(0.93, 1.07),
        wing=u(0.92, 1.1),
        flare=u(-0.03, 0.06),
        arch=u(0.0, 0.07),
        head=u(0.112, 0.132),
        neck=u(0.18, 0.24),
        drop=u(0.09, 0.19),
        shaft=u(0.075, 0.098),
        cortex=u(0.55, 0.75),
        density=u(0.75, 1.2),
        sacrum=u(0.9, 1.1),
        lumbar=u(0.22, 0.26),
        hip=u(0.97, 1.3),
        waist=u(0.78, 1.1),
        gap=u(0.02, 0.16),
        bladder=u(0.16, 0.26) if u() < 0.6 else 0.0,
        gas=u(0.2, 1.0),
        exposure=float(np.clip(z(0, 0.12), -0.3, 0.3)),
        contrast=u(0.85, 1.2),
        scatter=u(0.01, 0.03),
        grain=u(0.004, 0.018),
        border=u(0.02, 0.12) if u() < 0.25 else 0.0,
    )
