"""Chord lengths of a chest along the beams of an X-ray tube; every function is pixelwise."""

import numpy as np

from tasks._chest_patient import Chest
from tasks._phantom import bell, chord, inside


def _lungs(p: Chest, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Half-width of an adult's rib cage and of this one by height, air along the beam, depth below the diaphragm."""
    t = np.clip((y - p.apex) / np.float32(0.62), 0, 1)
    rise = np.sqrt(np.clip(1 - (1 - t) ** 2, 0, None))
    taper = 1 + 0.08 * np.clip(y, -0.3, 1)
    outer = adult = 0.31 + (p.width - 0.31) * rise**0.85 * taper
    if p.round:
        outer = adult + np.float32(p.round) * (_circle(p, y) - adult)
    side = np.abs(x)
    inner = 0.31 - 0.21 * rise
    air = chord((side / outer) ** 2.4) * inside(inner - side, 0.05) * inside(side - outer, 0.012)
    air *= inside(p.apex - y, 0.03)
    left = (x > 0).astype(np.float32)
    centre = np.float32(-0.40) + np.float32(0.83) * left
    top = np.float32(p.right_dome) + np.float32(p.left_drop) * left
    flat = np.clip(np.abs(x - centre) / 0.42, 0, 1.2)
    below = y - top - 0.30 * flat**2.3
    air *= inside(below, 0.014) + 0.16 * np.exp(-np.clip(below, 0, 1) / 0.07) * (below > 0)
    return adult, outer, air * 0.62, below


def _circle(p: Chest, y: np.ndarray) -> np.ndarray:
    """Half-width of a rib cage that is round from its apex to below the diaphragm."""
    low = p.right_dome + 0.34
    middle, radius = (p.apex + low) / 2, (low - p.apex) / 2
    return 0.31 + np.float32(p.width * 1.05 - 0.31) * chord(((y - middle) / np.float32(radius)) ** 2) ** 0.8


def _heart(p: Chest, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blood and muscle along the beam: heart with great vessels, and the thinner upper mediastinum."""
    long, short = p.heart * p.width * 0.98, p.heart * p.width * 0.70
    cx, cy = p.heart_left + p.yaw, p.right_dome - 0.13
    c, s = float(np.cos(p.heart_tilt)), float(np.sin(p.heart_tilt))
    a, b = (c * (x - cx) + s * (y - cy)) / long, (c * (y - cy) - s * (x - cx)) / short
    heart = chord(a * a + b * b)
    shift = p.heart_left - 0.115 + p.yaw
    for ox, oy, rx, ry, depth in (
        (-0.09, 0.02, 0.17, 0.22, 0.8),  # right atrium
        (0.13, -0.28, 0.10, 0.13, 0.6),  # pulmonary trunk
        (0.02, -0.26, 0.14, 0.20, 0.6),  # root of the aorta
    ):
        q = ((x - shift - ox) / rx) ** 2 + ((y - cy - oy) / ry) ** 2
        heart = np.maximum(heart, depth * chord(q))
    arch = chord(((x - p.yaw - 0.095) / p.knob) ** 2 + ((y + 0.33) / (p.knob * 1.15)) ** 2)
    heart = np.maximum(heart, 0.75 * arch)
    band = np.float32(0.125) + 0.03 * np.clip(-0.45 - y, 0, 1)
    upper = 0.55 * chord(((x - p.yaw + 0.012) / band) ** 2)
    aorta = 0.30 * chord(((x - p.yaw - 0.10 + 0.07 * np.clip(y, 0, 1)) / 0.07) ** 2) * inside(-0.3 - y, 0.1)
    return heart, np.maximum(upper, 0.4 * chord(((x - p.yaw) / 0.11) ** 2)) + aorta


def _airway(p: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Air in the trachea and both main bronchi along the beam."""
    x = x - p.yaw
    trachea = chord(((x + 0.012) / 0.042) ** 2) * inside(y + 0.2, 0.06)
    left = chord(((y + 0.21 - 0.75 * (x + 0.012)) / 0.036) ** 2) * inside(np.abs(x - 0.075) - 0.085, 0.05)
    right = chord(((y + 0.21 + 1.3 * (x + 0.012)) / 0.05) ** 2) * inside(np.abs(x + 0.06) - 0.06, 0.05)
    return 0.16 * np.maximum(trachea, np.maximum(left, right) * 0.8)


def _shell(distance: np.ndarray, radius: float, marrow: float = 0.78) -> np.ndarray:
    """Cortical bone along a beam that passes a tube's axis at `distance`: brighter at its edges."""
    q = (distance / np.float32(radius)) ** 2
    return chord(q) - np.float32(0.8 * marrow) * chord(q / np.float32(marrow**2))


def _ribs(p: Chest, x: np.ndarray, y: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Ten pairs of ribs that run around the chest: level near the spine, steep in front."""
    reach = np.clip(np.abs(x) / (outer + 0.035), 0, 1)
    angle = np.arcsin(np.minimum(reach, 0.999))
    wall = 1 / np.clip(np.sqrt(1 - reach**2), 0.42, 1)
    fall = p.rib_drop * (0.20 * (angle / 1.571) ** 1.8 - 0.05 * np.sin(2 * angle))
    bone = np.zeros_like(x)
    start, edge = p.apex + 0.06, inside(reach - 0.985, 0.03)
    for drop, radius, weight in (
        (fall, 0.031, inside(0.05 - np.abs(x), 0.03)),
        (fall + p.rib_drop * 0.36 * (1 - angle / 1.571) ** 0.9, 0.036, 0.62 * inside(0.36 - np.abs(x), 0.16)),
    ):
        g = (y - start - drop) / np.float32(p.ribs)
        k = np.clip(np.rint(g), 0, 9)
        bone += _shell((g - k) * np.float32(p.ribs), radius) * weight * wall
    return bone * edge


def _girdle(p: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Clavicles, shoulder blades and the heads of the humeri."""
    side = np.abs(x - p.yaw)
    course = -0.60 - 0.17 * side + 0.045 * np.sin(7.5 * side - 0.6) - p.clavicle * x
    bone = 1.15 * _shell(y - course, 0.034, 0.7) * inside(np.abs(side - 0.43) - 0.36, 0.03)
    a = p.scapula - side + 0.12 * (y + 0.6)
    b = -0.66 - y + 0.1 * (side - p.scapula)
    c = 0.85 * (side - p.scapula - 0.27) + 0.40 * (y + 0.62)
    d = np.maximum(np.maximum(a, b), c)
    bone += 0.28 * inside(d, 0.012) + 0.30 * bell((d + 0.015) / 0.014)
    spine = np.abs(y + 0.58 + 0.12 * (side - p.scapula))
    bone += 0.35 * _shell(spine, 0.025) * inside(np.abs(side - p.scapula - 0.18) - 0.16, 0.03)
    head = ((side - p.scapula - 0.36) / 0.105) ** 2 + ((y + 0.60) / 0.115) ** 2
    shaft = _shell(side - p.scapula - 0.40 - 0.10 * (y + 0.6), 0.055, 0.7) * inside(-0.56 - y, 0.06)
    return bone + 0.9 * np.maximum(chord(head) - 0.45 * chord(head * 1.3), shaft)


def _spine(p: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Vertebral bodies with discs, pedicles and spinous processes."""
    x = x - np.float32(p.scoliosis) * np.sin(3 * y)
    pitch = p.ribs * 0.98
    r = (y / pitch - np.rint(y / pitch)) * np.float32(pitch)
    half = 0.070 + 0.012 * y
    body = np.clip(chord((x / half) ** 4), 0, 1) * (0.55 + 0.45 * inside(np.abs(r) - 0.40 * pitch, 0.02))
    plate = 0.18 * bell((np.abs(r) - 0.40 * pitch) / 0.010) * (np.abs(x) < half)
    eyes = chord(((np.abs(x) - 0.62 * half) / 0.016) ** 2 + ((r + 0.2 * pitch) / 0.026) ** 2)
    spike = chord((x / 0.013) ** 2 + ((r - 0.25 * pitch) / 0.035) ** 2)
    return body + plate + 0.25 * eyes + 0.3 * spike


def _soft(p: Chest, x: np.ndarray, y: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Tissue along the beam if the lungs were full of it: trunk, neck, shoulders and breasts."""
    side = np.abs(x)
    trunk = outer + p.wall + 0.16 * np.clip(y - 0.1, 0, 1)
    arms = 0.30 + 1.9 * np.clip(y + 0.97, 0, None) ** 0.8
    half = np.where(
        y < -0.2,
        np.maximum(np.minimum(arms, 1.12), 0.24),
        np.maximum(trunk, 1.12 - 0.85 * np.clip(y + 0.2, 0, None) ** 1.4),
    )
    half = np.maximum(half, np.minimum(trunk, np.maximum(arms, 0.24)))
    body = chord((side / half) ** 3) * (0.86 + 0.16 * np.clip(y, -1, 1))
    if p.breast:
        q = ((side - 0.42) / 0.27) ** 2 + ((y - 0.34) / 0.24) ** 2
        body = body + np.float32(p.breast) * chord(q) * (1 + 0.3 * np.clip(y - 0.3, 0, 1))
    return body


def path(p: Chest, x: np.ndarray, y: np.ndarray, blood: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """The integral of attenuation along each beam; all arguments are pixelwise."""
    adult, outer, air, below = _lungs(p, x, y)
    heart, middle = _heart(p, x, y)
    lung = np.clip(air - 0.55 * heart - 0.5 * middle, 0, None)
    lung *= 0.86 + 0.05 * texture - np.minimum(0.28 * blood, 0.6)
    tissue = _soft(p, x, y, adult) - lung - _airway(p, x, y)
    if p.bubble:
        top = p.right_dome + p.left_drop + 0.05
        q = ((x - 0.40) / (p.bubble * 1.15)) ** 2 + ((y - top - p.bubble * 0.6) / (p.bubble * 0.6)) ** 2
        tissue -= 0.30 * chord(q) * inside(-below, 0.02)
    tissue += 0.10 * heart + 0.06 * middle + 0.012 * texture
    bone = 0.26 * _ribs(p, x, y, outer) + 0.26 * _girdle(p, x, y) + 0.22 * _spine(p, x, y)
    return 2.6 * np.clip(tissue, 0, None) + 1.15 * p.bone * np.clip(bone, 0, None)
