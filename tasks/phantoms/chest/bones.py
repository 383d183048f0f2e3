"""Bones of a chest along the beam: every function is pixelwise, most of each stands in tables."""

from functools import lru_cache

import numpy as np

from tasks.phantoms.chest.patient import Chest
from tasks.phantoms.grid import looked_up
from tasks.phantoms.shapes import bell, chord, inside


@lru_cache(maxsize=4)
def _shell(marrow: float) -> np.ndarray:
    """Cortical bone along a beam, by its distance from the middle of a tube, 0 … 1: brighter at its edges."""
    q = np.square(np.linspace(0, 1, 512, dtype=np.float32))
    return chord(q) - np.float32(0.8 * marrow) * chord(q * np.float32(1 / marrow**2))


@lru_cache(maxsize=1)
def _rib() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By the share of the way to the side: how far a rib falls behind and in front, and bone along the beam."""
    reach = np.linspace(0, 1, 1024, dtype=np.float32)
    angle = np.arcsin(reach) / np.float32(np.pi / 2)
    fall = 0.20 * angle**1.8 - 0.05 * np.sin(np.float32(np.pi) * angle)
    wall = inside(reach - 0.985, 0.03) / np.maximum(np.sqrt(1 - reach**2), 0.42)
    return fall, fall + 0.36 * (1 - angle) ** 0.9, wall * (np.arange(1024) < 1023)


def ribs(p: Chest, x: np.ndarray, y: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Ten pairs of ribs that run around the chest: level near the spine, steep in front."""
    side = np.abs(x)
    reach = side / (outer + 0.035)
    behind, front, wall = _rib()
    height = (y - (p.apex + 0.06)) * (1 / p.ribs)
    line = np.linspace(0, 1, 256, dtype=np.float32)
    bone = np.zeros_like(x)
    for drop, radius, weight in (
        (behind, 0.031, inside(0.05 - line, 0.03)),
        (front, 0.036, 0.62 * inside(0.36 - line, 0.16)),
    ):
        g = height - looked_up(drop * np.float32(p.rib_drop / p.ribs), reach)
        g -= np.minimum(np.maximum(np.rint(g), 0), 9)
        bone += looked_up(_shell(0.78), np.abs(g) * (p.ribs / radius)) * looked_up(weight, side)
    return bone * looked_up(wall, reach)


def girdle(p: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Clavicles, shoulder blades and the heads of the humeri."""
    side = np.abs(x - p.yaw)
    far = side - p.scapula
    course = np.abs(y + 0.60 + 0.17 * side - 0.045 * np.sin(7.5 * side - 0.6) + p.clavicle * x)
    bone = 1.15 * looked_up(_shell(0.7), course * (1 / 0.034)) * inside(np.abs(side - 0.43) - 0.36, 0.03)
    d = np.maximum(0.12 * (y + 0.6) - far, -0.66 - y + 0.1 * far)
    d = np.maximum(d, 0.85 * far + 0.40 * y + 0.0185)
    bone += 0.28 * inside(d, 0.012) + 0.30 * bell((d + 0.015) * (1 / 0.014))
    spine = np.abs(y + 0.58 + 0.12 * far)
    bone += 0.35 * looked_up(_shell(0.78), spine * (1 / 0.025)) * inside(np.abs(far - 0.18) - 0.16, 0.03)
    head = np.square((far - 0.36) * (1 / 0.105)) + np.square((y + 0.60) * (1 / 0.115))
    shaft = looked_up(_shell(0.7), np.abs(far - 0.10 * y - 0.46) * (1 / 0.055)) * inside(-0.56 - y, 0.06)
    bone += 0.9 * np.maximum(chord(head) - 0.45 * chord(head * 1.3), shaft)
    return np.maximum(bone, 0, out=bone)


@lru_cache(maxsize=1)
def _vertebra() -> np.ndarray:
    """Body, discs, pedicles and spinous process [128, 128]: one vertebra high, half of two wide."""
    x, r = np.linspace(0, 2, 128, dtype=np.float32), np.linspace(-0.5, 0.5, 128, dtype=np.float32)[:, None]
    body = chord(x**4) * (0.55 + 0.45 * inside(np.abs(r) - 0.40, 0.16))
    plate = 0.18 * bell((np.abs(r) - 0.40) / 0.08) * (x < 1)
    eyes = chord(((x - 0.62) / 0.23) ** 2 + ((r + 0.2) / 0.21) ** 2)
    spike = chord((x / 0.19) ** 2 + ((r - 0.25) / 0.28) ** 2)
    return body + plate + 0.25 * eyes + 0.3 * spike


def spine(p: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Vertebrae from the neck to the lower edge, widening downwards."""
    x = np.abs(x - p.scoliosis * np.sin(3 * y)) / (0.070 + 0.012 * y)
    r = y * (1 / (p.ribs * 0.98))
    r -= np.floor(r - 0.5) + 0.5  # 0 … 1 from disc to disc
    row, column = (r * 128).astype(np.intp), np.minimum(x * 64, 127).astype(np.intp)
    return _vertebra().take(row * 128 + column, mode="clip")
