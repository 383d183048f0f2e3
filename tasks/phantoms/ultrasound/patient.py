"""Parameters of an ultrasound image: probe, gain, layers and inclusions.

Beam coordinates are the depth along the beam from the probe's surface, in half image widths, and the place
across the field, from -1 at one edge to 1 at the other. Image coordinates are in half image widths from
the centre, x to the right and y down.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One image of one patient; lengths in half image widths, levels in dB, angles in radians."""

    bow: float  # radius of the probe's surface, 0 where it is flat
    half: float  # half the field's angle, or half its width under a flat probe
    tilt: float  # of the field about the centre of the probe's curve
    dx: float
    top: float  # where the middle of the probe's surface lies
    span: float  # depth of the deepest sample
    millimetres: float  # of tissue in one half image width
    skin: float  # ends of the layers, as shares of the span
    fat: float
    fascia: float
    slope: float
    wave: float
    ripple: float
    phase: float
    fat_level: float
    muscle_level: float
    deep_level: float
    line_level: float  # of the surfaces between layers
    stripes: float  # of muscle fibres
    patches: float  # deviation of the slow variation of tissue
    strands: float  # deviation of what runs along the skin
    streak: float  # how much shorter across than along
    attenuation: float  # there and back, dB per half width
    compensated: float  # share of the attenuation that the time gain makes up for
    gain: float
    knob_1: float  # errors of the time gain at five depths
    knob_2: float
    knob_3: float
    knob_4: float
    knob_5: float
    contact: float  # how much beams lose at the surface
    range: float  # dynamic range shown
    hiss: float  # level of the receiver's noise before the time gain
    focus: float  # where beams are narrowest, as a share of the span
    wide: float  # width of a beam far from its focus, in samples


def _probe(rng: np.random.Generator) -> dict[str, float]:
    """Flat, convex or small-footed probe, so that the field fits the image."""
    u, kind = rng.uniform, rng.uniform()
    dx = u(-0.06, 0.06)
    if kind < 0.35:
        top = u(-0.97, -0.78)
        return {"bow": 0.0, "half": u(0.68, 0.92), "tilt": 0.0, "dx": dx, "top": top, "span": u(1.45, 0.95 - top)}
    small = kind < 0.55
    bow, half, tilt = (
        (u(0.04, 0.1), u(0.6, 0.78), u(-0.1, 0.1)) if small else (u(0.25, 0.6), u(0.5, 0.68), u(-0.08, 0.08))
    )
    rise = bow * (1 - np.cos(half + abs(tilt)))
    top = -0.97 + rise + u(0, 0.08)
    span = min(0.96 - top, 1.12 / float(np.sin(half)) - bow)
    return {"bow": bow, "half": half, "tilt": tilt, "dx": dx, "top": float(top), "span": span * u(0.93, 1.0)}


def draw(rng: np.random.Generator) -> Scan:
    """An image at random."""
    probe = _probe(rng)
    u, z = rng.uniform, rng.normal
    knobs = {f"knob_{k}": float(np.clip(z(0, 5), -10, 10)) for k in range(1, 6)}
    skin, fat = u(0.012, 0.03), u(0.08, 0.32)
    return Scan(
        **probe,
        **knobs,
        millimetres=u(18, 90),
        skin=skin,
        fat=fat,
        fascia=fat + u(0.08, 0.4),
        slope=float(z(0, 0.025)),
        wave=u(0.005, 0.03),
        ripple=u(2, 5),
        phase=u(0, 6.28),
        fat_level=u(-9, 7),
        muscle_level=u(-9, 7),
        deep_level=u(-9, 7),
        line_level=u(2, 13),
        stripes=u(0, 9),
        patches=u(1, 3),
        strands=u(0.5, 4.5),
        streak=u(0.2, 0.6),
        attenuation=u(14, 34),
        compensated=u(0.9, 1.1),
        gain=u(-4, 5),
        contact=u(0, 7),
        range=u(46, 60),
        hiss=u(-62, -46),
        focus=u(0.2, 0.8),
        wide=u(1.2, 2.4),
    )


def beam(p: Scan, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth along the beam and place across the field of image points; exact, and the inverse of `place`."""
    if not p.bow:
        return y - np.float32(p.top), (x - np.float32(p.dx)) / np.float32(p.half)
    across, down = x - np.float32(p.dx), y - np.float32(p.top - p.bow)
    far = np.sqrt(across * across + down * down)
    return far - np.float32(p.bow), (np.arctan2(across, down) - np.float32(p.tilt)) / np.float32(p.half)


def place(p: Scan, depth: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image coordinates of points given by depth and place across the field."""
    if not p.bow:
        return p.dx + across * p.half, p.top + depth
    angle, far = across * p.half + p.tilt, p.bow + depth
    return p.dx + far * np.sin(angle), p.top - p.bow + far * np.cos(angle)
