"""Parameters of a chest radiograph: the patient, and how the film was taken."""

from dataclasses import dataclass

import numpy as np

from tasks.phantoms.radiograph import Radiograph


@dataclass(frozen=True, kw_only=True)
class Chest(Radiograph):
    """One patient and one exposure; lengths in half image widths, angles in radians."""

    width: float  # of the thorax
    apex: float
    right_dome: float  # height of the right diaphragm; y points down
    left_drop: float  # how much lower the left one stands
    heart: float  # cardiothoracic ratio, about
    heart_left: float  # how far the heart's centre lies to the patient's left
    heart_tilt: float
    knob: float  # radius of the aortic arch
    bubble: float  # size of the gastric bubble, 0 where there is none
    ribs: float  # distance from rib to rib
    rib_drop: float
    clavicle: float
    scapula: float  # how far the blades stand from the midline
    scoliosis: float
    wall: float  # thickness of the soft tissue beside the ribs
    breast: float  # 0 where there is no shadow
    vessels: float
    bone: float = 1.0  # density of all bones
    round: float = 0.0  # how circular the rib cage is: 0 as in adults, 1 a circle


def draw(rng: np.random.Generator) -> Chest:
    """A patient and an exposure at random."""
    u, z = rng.uniform, rng.normal
    return Chest(
        turn=float(np.clip(z(0, 0.035), -0.1, 0.1)),
        scale=u(0.88, 1.08),
        dx=float(np.clip(z(0, 0.03), -0.08, 0.08)),
        dy=float(np.clip(z(0, 0.03), -0.08, 0.08)),
        yaw=float(np.clip(z(0, 0.022), -0.06, 0.06)),
        width=u(0.69, 0.80),
        apex=u(-0.78, -0.68),
        right_dome=u(0.34, 0.52),
        left_drop=float(np.clip(z(0.05, 0.025), -0.02, 0.12)),
        heart=float(np.clip(z(0.48, 0.05), 0.38, 0.62)),
        heart_left=float(np.clip(z(0.115, 0.045), 0.0, 0.2)),
        heart_tilt=u(0.45, 0.85),
        knob=u(0.065, 0.105),
        bubble=u(0.07, 0.15) if u() < 0.7 else 0.0,
        ribs=u(0.118, 0.142),
        rib_drop=u(0.8, 1.25),
        clavicle=u(-0.05, 0.05),
        scapula=u(0.58, 0.72),
        scoliosis=float(z(0, 0.012)),
        wall=u(0.07, 0.2),
        breast=u(0.05, 0.16) if u() < 0.45 else 0.0,
        vessels=u(0.7, 1.4),
        exposure=float(np.clip(z(0, 0.12), -0.3, 0.3)),
        contrast=u(0.85, 1.2),
        scatter=u(0.015, 0.05),
        grain=u(0.004, 0.02),
        border=u(0.02, 0.12) if u() < 0.25 else 0.0,
    )
