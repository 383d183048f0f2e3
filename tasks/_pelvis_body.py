"""What an X-ray beam meets in a pelvis: bones of both sides, sacrum, spine, soft tissue and gas; all pixelwise."""

from functools import lru_cache

import numpy as np

from tasks._pelvis_patient import Pelvis
from tasks._phantom import bell, chord, inside, noise

# Outline of the right half's iliac wing about WING, from the joint with the sacrum over the crest to the notch.
WING = (0.47, -0.32)
_OUTLINE = np.array([
    (0.215, -0.22), (0.20, -0.42), (0.235, -0.60), (0.36, -0.72), (0.52, -0.755), (0.68, -0.68), (0.785, -0.52),
    (0.80, -0.42), (0.74, -0.34), (0.725, -0.24), (0.70, -0.10), (0.66, 0.02), (0.52, 0.10), (0.40, 0.08),
    (0.345, -0.03), (0.30, -0.11),
])  # fmt: skip


@lru_cache(maxsize=1)
def _radii() -> tuple[np.ndarray, np.ndarray]:
    """The wing's outline about its middle: angles [720] and how far out it lies, smoothed."""
    arm = _OUTLINE - np.array(WING)
    angle, far = np.arctan2(arm[:, 1], arm[:, 0]), np.hypot(*arm.T)
    at = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    radius = np.interp(at, angle[np.argsort(angle)], far[np.argsort(angle)], period=2 * np.pi)
    window = np.hanning(41) / np.hanning(41).sum()
    return at, np.convolve(np.concatenate([radius[-20:], radius, radius[:20]]), window, "valid")


def _along(x: np.ndarray, y: np.ndarray, ends: tuple[float, ...], bow: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every pixel from the line between two points (bent by `bow`), and where along it: 0 … 1 inside."""
    ax, ay, bx, by = ends
    dx, dy = bx - ax, by - ay
    long = float(np.hypot(dx, dy))
    t = ((x - ax) * dx + (y - ay) * dy) / np.float32(long * long)
    off = ((x - ax) * dy - (y - ay) * dx) / np.float32(long) - 4 * np.float32(bow) * t * (1 - t)
    over = np.maximum(np.abs(t - 0.5) - 0.5, 0) * np.float32(long)
    return np.hypot(off, over), t


def _tube(distance: np.ndarray, radius: float, cortex: float) -> np.ndarray:
    """Bone along a beam that passes a tube's axis at `distance`: spongy within, compact at its edges."""
    q = (distance / np.float32(radius)) ** 2
    return chord(q) - np.float32(cortex) * chord(q / np.float32(0.8))


def _wing(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The iliac bone: thin in the middle of its wing, thick along the crest and above the hip."""
    v = y - WING[1]
    u = x / np.float32(p.wide) - WING[0] + np.float32(p.flare) * np.clip(v, -0.5, 0)
    v = np.where(v < 0, v / np.float32(p.wing), v)
    at, radius = _radii()
    turn = ((np.arctan2(v, u) + np.pi) * np.float32(360 / np.pi)).astype(np.int32) % len(at)
    d = np.hypot(u, v) - radius.astype(np.float32)[turn]
    body = inside(d, 0.014) * (0.30 + 0.55 * np.exp(-((u - 0.04) ** 2 + (v - 0.32) ** 2) / 0.04))
    return body + 0.26 * bell((d + 0.018) / 0.020) + 0.22 * bell((u + 0.16 - 0.35 * v) / 0.02) * inside(d, 0.02)


def _ring(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pubis and ischium around the obturator foramen, up to the symphysis."""
    low, wide = 0.30 + p.tilt, p.wide
    bone = np.zeros_like(x)
    for ends, radius, weight, bow in (
        ((0.50 * wide, 0.09, 0.085, low), 0.056, 0.95, -0.02),  # upper branch of the pubis
        ((0.075, low, 0.07, low + 0.10), 0.062, 1.0, 0.0),  # its body, beside the symphysis
        ((0.095, low + 0.11, 0.30 + p.arch, low + 0.27), 0.046, 0.9, 0.02),  # lower branch
        ((0.47 * wide, 0.14, 0.39 * wide + p.arch, low + 0.20), 0.082, 1.0, 0.02),  # ischium
    ):
        far, _ = _along(x, y, ends, bow)
        bone = np.maximum(bone, weight * _tube(far, radius, p.cortex))
    return bone * inside(0.016 - x, 0.012)


def _femur(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Head in its socket, neck, both trochanters and the shaft."""
    hx, hy = 0.565 * p.wide, 0.10
    tx, ty = hx + p.neck, hy + p.drop
    round_ = ((x - hx) ** 2 + (y - hy) ** 2) / np.float32(p.head**2)
    head = 1.15 * chord(round_) - np.float32(0.35 * p.cortex) * chord(round_ * 1.12)
    neck = 1.0 * _tube(_along(x, y, (hx, hy, tx - 0.02, ty))[0], 0.74 * p.head, 0.6 * p.cortex)
    great = chord(((x - tx - 0.035) / 0.085) ** 2 + ((y - ty + 0.005) / 0.135) ** 2) * 0.85
    small = chord(((x - tx + 0.075) / 0.05) ** 2 + ((y - ty - 0.20) / 0.065) ** 2) * 0.45
    far, along = _along(x, y, (tx, ty + 0.05, tx - 0.06, 1.7))
    radius = np.float32(p.shaft) * (1 + 0.45 * np.exp(-np.clip(along, 0, 1) / 0.10))
    q = (far / radius) ** 2
    shaft = (1.25 * chord(q) - np.float32(1.2 * p.cortex) * chord(q / np.float32(0.45))) * np.clip(along / 0.07, 0, 1)
    gap = np.sqrt(round_) * np.float32(p.head)
    socket = 0.30 * bell((gap - p.head - 0.022) / 0.010) * inside(y - hy - 0.02 - 0.25 * (hx - x), 0.05)
    return np.maximum.reduce([head, neck, great, small, np.clip(shaft, 0, None)]) + socket


def _sacrum(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sacrum with its holes, coccyx, and the lowest lumbar vertebrae."""
    side = np.abs(x) / np.float32(p.sacrum)
    t = np.clip((y + 0.60) / np.float32(0.60), 0, 1)
    half = 0.215 * (1 - t**1.5) ** 0.8 + 0.035
    d = np.maximum(side - half, np.maximum(-0.59 + 0.22 * side - y, y + 0.03))
    bone = inside(d, 0.014) * 0.50 + 0.07 * bell((d + 0.014) / 0.014)
    for k in range(4):
        hole = ((side - 0.105 + 0.014 * k) / 0.022) ** 2 + ((y + 0.45 - 0.11 * k) / (0.028 - 0.003 * k)) ** 2
        bone -= 0.22 * chord(hole)
        bone += 0.10 * bell((y + 0.395 - 0.11 * k) / 0.008) * inside(side - 0.085 + 0.012 * k, 0.02)
    bone = np.clip(bone, 0, None) + 0.30 * chord((x / 0.03) ** 2 + ((y - 0.03) / 0.085) ** 2)
    above = y + 0.58
    pitch = np.float32(p.lumbar)
    r = (above / pitch - np.floor(above / pitch) - 0.5) * pitch
    up = inside(above, 0.02)
    body = 0.62 * chord((x / 0.155) ** 4) * inside(np.abs(r) - 0.40 * pitch, 0.02)
    plate = 0.20 * bell((np.abs(r) - 0.39 * pitch) / 0.010) * inside(np.abs(x) - 0.15, 0.02)
    wings = 0.28 * chord(((r + 0.02) / 0.028) ** 2) * inside(np.abs(x) - 0.27, 0.04)
    spike = 0.32 * chord((x / 0.022) ** 2 + ((r - 0.06) / 0.06) ** 2)
    eyes = 0.22 * chord(((np.abs(x) - 0.10) / 0.024) ** 2 + ((r + 0.03) / 0.038) ** 2)
    return bone + up * (body + plate + wings * (np.abs(x) > 0.14) + spike + eyes)


def _soft(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tissue along the beam: the trunk from the waist to the hips, and two thighs."""
    rise = np.clip((y + 1.1) / np.float32(1.3), 0, 1)
    half = p.waist + (p.hip - p.waist) * rise * rise * (3 - 2 * rise)
    trunk = 1.05 * chord((np.abs(x) / half) ** 3)
    between = np.float32(p.gap) * np.clip((y - 0.66) / 0.40, 0, 1.5) ** 0.7
    side = (np.abs(x) - (between + half) / 2) / ((half - between) / 2)
    thigh = 0.92 * chord(np.abs(side) ** 2.6)
    share = np.clip((y - 0.52) / 0.3, 0, 1)
    return trunk + share * (thigh - trunk)


def gas(p: Pelvis, rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Air in loops of bowel along the beam: in both flanks, across the middle, and in the rectum."""
    size = x.shape[0]
    ripple = noise(rng, size, (10, 20))
    out = np.zeros_like(x)
    homes = ((-0.58, -0.45), (-0.50, -0.68), (0.60, -0.50), (0.48, -0.72), (0.25, -0.30), (-0.2, -0.72), (0.1, -0.05),
             (0.0, 0.05), (-0.3, -0.25))  # fmt: skip
    for hx, hy in homes:
        cx, cy, rx = hx + rng.normal(0, 0.06), hy + rng.normal(0, 0.06), rng.uniform(0.05, 0.13)
        ry, full = rx * rng.uniform(0.5, 0.95), rng.uniform(0.4, 1.0) * (rng.uniform() < 0.75 * p.gas)
        if full:
            q = ((x - np.float32(cx)) / np.float32(rx)) ** 2 + ((y - np.float32(cy)) / np.float32(ry)) ** 2
            out = np.maximum(out, np.float32(full) * chord(q * (1 + 0.25 * ripple)))
    return out


def path(p: Pelvis, x: np.ndarray, y: np.ndarray, air: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """The integral of attenuation along each beam; all arguments are pixelwise."""
    tissue = _soft(p, x, y)
    front = x - np.float32(p.yaw)  # what lies in front moves against the sacrum when the patient is turned
    side = np.abs(front)
    bone = np.zeros_like(x)
    low, high = float(y.min()), float(y.max())
    if low < 0.12:  # each bone is drawn only where it can be
        bone = np.maximum(bone, _wing(p, side, y))
    if high > 0.0:
        bone = np.maximum(bone, _ring(p, side, y))
    if high > -0.1:
        bone = np.maximum(bone, 0.35 * bone + _femur(p, side, y))
    if low < 0.15:
        bone = np.maximum(bone, 0.5 * bone + _sacrum(p, x, y))
    if p.bladder:
        tissue = tissue + 0.06 * chord((front / p.bladder) ** 2 + ((y - 0.14) / (0.62 * p.bladder)) ** 2)
    tissue = tissue - 0.16 * air * (tissue > 0.3) + 0.010 * texture * (tissue > 0.1)
    return 2.5 * np.clip(tissue, 0, None) + np.float32(1.25 * p.density) * bone * (1 + 0.05 * texture)
