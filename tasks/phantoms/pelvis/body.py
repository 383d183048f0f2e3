"""Bones of a pelvis along the beam: those of both sides, sacrum and spine."""

import math
from functools import lru_cache, partial

import numpy as np

from tasks._base import Mask
from tasks.phantoms.grid import Pose, looked_up
from tasks.phantoms.pelvis.patient import Pelvis
from tasks.phantoms.pelvis.soft_tissue import bladder
from tasks.phantoms.radiograph import bordered
from tasks.phantoms.shapes import bell, chord, inside

# Outline of the right half's iliac wing about WING, from the joint with the sacrum over the crest to the notch.
WING = (0.47, -0.32)
_OUTLINE = np.array([
    (0.215, -0.22), (0.20, -0.42), (0.235, -0.60), (0.36, -0.72), (0.52, -0.755), (0.68, -0.68), (0.785, -0.52),
    (0.80, -0.42), (0.74, -0.34), (0.725, -0.24), (0.70, -0.10), (0.66, 0.02), (0.52, 0.10), (0.40, 0.08),
    (0.345, -0.03), (0.30, -0.11),
])  # fmt: skip


@lru_cache(maxsize=1)
def _radii() -> np.ndarray:
    """How far out the wing's outline lies about its middle, smoothed [720], once around from the patient's right."""
    arm = _OUTLINE - np.array(WING)
    angle, far = np.arctan2(arm[:, 1], arm[:, 0]), np.hypot(*arm.T)
    at = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    radius = np.interp(at, angle[np.argsort(angle)], far[np.argsort(angle)], period=2 * np.pi)
    window = np.hanning(41) / np.hanning(41).sum()
    return np.convolve(np.concatenate([radius[-20:], radius, radius[:20]]), window, "valid").astype(np.float32)


def _along(x: np.ndarray, y: np.ndarray, ends: tuple[float, ...], bow: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance from the line between two points (bent by `bow`), and where along it: 0 … 1 inside."""
    ax, ay, bx, by = ends
    dx, dy = bx - ax, by - ay
    long = math.hypot(dx, dy)
    x, y = x - ax, y - ay
    t = x * (dx / long**2) + y * (dy / long**2)
    off = x * (dy / long) - y * (dx / long)
    if bow:
        off -= (4 * bow) * t * (1 - t)
    over = np.maximum(np.abs(t - 0.5) - 0.5, 0) * long
    return np.square(off) + np.square(over), t


def _tube(squared: np.ndarray, radius: float, cortex: float) -> np.ndarray:
    """Bone along a beam at a squared distance from a tube's axis: spongy within, compact at its edges."""
    q = squared * (1 / radius**2)
    return chord(q) - cortex * chord(q * 1.25)


def _wing(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The iliac bone: thin in the middle of its wing, thick along the crest and above the hip."""
    v = y - WING[1]
    u = x * (1 / p.wide) - WING[0] + p.flare * np.minimum(np.maximum(v, -0.5), 0)
    v *= 1 + (v < 0) * (1 / p.wing - 1)
    turn = (np.arctan2(v, u) + np.float32(np.pi)) * np.float32(0.5 / np.pi)
    d = np.sqrt(np.square(u) + np.square(v)) - looked_up(_radii(), turn)
    within = inside(d, 0.014)
    body = within * (0.30 + 0.55 * np.exp((np.square(u - 0.04) + np.square(v - 0.32)) * -25))
    return body + 0.26 * bell((d + 0.018) * 50) + 0.22 * bell((u + 0.16 - 0.35 * v) * 50) * within


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
        np.maximum(bone, weight * _tube(_along(x, y, ends, bow)[0], radius, p.cortex), out=bone)
    return bone * inside(0.016 - x, 0.012)


def _femur(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Head in its socket, neck, both trochanters and the shaft."""
    hx, hy = 0.565 * p.wide, 0.10
    tx, ty = hx + p.neck, hy + p.drop
    u, v = x - tx, y - ty
    squared = np.square(x - hx) + np.square(y - hy)
    round_ = squared * (1 / p.head**2)
    head = 1.15 * chord(round_) - (0.35 * p.cortex) * chord(round_ * 1.12)
    neck = _tube(_along(x, y, (hx, hy, tx - 0.02, ty))[0], 0.74 * p.head, 0.6 * p.cortex)
    great = chord(np.square((u - 0.035) * (1 / 0.085)) + np.square((v + 0.005) * (1 / 0.135))) * 0.85
    small = chord(np.square((u + 0.075) * (1 / 0.05)) + np.square((v - 0.20) * (1 / 0.065))) * 0.45
    far, along = _along(x, y, (tx, ty + 0.05, tx - 0.06, 1.7))
    q = far / np.square(p.shaft + (0.45 * p.shaft) * np.exp(np.maximum(along, 0) * -10))
    shaft = 1.25 * chord(q) - (1.2 * p.cortex) * chord(q * (1 / 0.45))
    shaft *= np.minimum(np.maximum(along * (1 / 0.07), 0), 1)
    for other in (neck, great, small, shaft):
        np.maximum(head, other, out=head)
    socket = 0.30 * bell((np.sqrt(squared) - p.head - 0.022) * 100)
    return head + socket * inside(y - hy - 0.02 - 0.25 * (hx - x), 0.05)


def _sacrum(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sacrum with its holes, and coccyx."""
    side = np.abs(x) * (1 / p.sacrum)
    t = np.minimum(np.maximum((y + 0.60) * (1 / 0.60), 0), 1)
    half = 0.215 * (1 - t**1.5) ** 0.8 + 0.035
    d = np.maximum(side - half, np.maximum(-0.59 + 0.22 * side - y, y + 0.03))
    bone = inside(d, 0.014) * 0.50 + 0.07 * bell((d + 0.014) * (1 / 0.014))
    k = np.minimum(np.maximum(np.rint((y + 0.45) * (1 / 0.11)), 0), 3)  # the nearest of four pairs of holes
    across, down = side - 0.105 + 0.014 * k, y + 0.45 - 0.11 * k
    bone -= 0.22 * chord(np.square(across * (1 / 0.022)) + np.square(down / (0.028 - 0.003 * k)))
    k = np.minimum(np.maximum(np.rint((y + 0.395) * (1 / 0.11)), 0), 3)  # and of four lines between
    bone += 0.10 * bell((y + 0.395 - 0.11 * k) * (1 / 0.008)) * inside(side - 0.085 + 0.012 * k, 0.02)
    return np.maximum(bone, 0) + 0.30 * chord(np.square(x * (1 / 0.03)) + np.square((y - 0.03) * (1 / 0.085)))


def _lumbar(p: Pelvis, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The lowest lumbar vertebrae: bodies, plates, processes and pedicles."""
    above, pitch, side = y + 0.58, p.lumbar, np.abs(x)
    r = above * (1 / pitch)
    r = (r - np.floor(r) - 0.5) * pitch
    high = np.abs(r)
    bone = 0.62 * chord(np.square(np.square(x * (1 / 0.155)))) * inside(high - 0.40 * pitch, 0.02)
    bone += 0.20 * bell((high - 0.39 * pitch) * 100) * inside(side - 0.15, 0.02)
    bone += 0.28 * chord(np.square((r + 0.02) * (1 / 0.028))) * inside(side - 0.27, 0.04) * (side > 0.14)
    bone += 0.32 * chord(np.square(x * (1 / 0.022)) + np.square((r - 0.06) * (1 / 0.06)))
    bone += 0.22 * chord(np.square((side - 0.10) * (1 / 0.024)) + np.square((r + 0.03) * (1 / 0.038)))
    return bone * inside(above, 0.02)


# Each bone is drawn only where it can be; its box: left, right, top and bottom.
BONES = {
    "iliac wings": (-1.0, 1.0, -0.85, 0.18),
    "pubis and ischium": (-0.7, 0.7, 0.0, 0.65),
    "femora": (-1.4, 1.4, -0.13, 1.5),
    "sacrum": (-0.3, 0.3, -0.63, 0.13),
    "lumbar spine": (-0.32, 0.32, -1.4, -0.56),
}


def _drawn(p: Pelvis, pose: Pose, name: str) -> tuple[tuple[slice, slice], np.ndarray]:
    """One of the BONES along the beam, in the part of the picture that holds it."""
    draw = {"iliac wings": _wing, "pubis and ischium": _ring, "femora": _femur, "sacrum": _sacrum}.get(name, _lumbar)
    front = name not in ("sacrum", "lumbar spine")  # moves against the sacrum when the patient is turned
    left, right, top, bottom = BONES[name]
    at = pose.box(left + front * p.yaw, right + front * p.yaw, top, bottom)
    x, y = pose.grid(at)
    return at, draw(p, np.abs(x - p.yaw) if front else x, y)


def path(p: Pelvis, pose: Pose, tissue: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """The integral of attenuation along the beam through each grid point; both arrays lie on the grid."""
    bone = np.zeros_like(tissue)
    for name, under in zip(BONES, (0, 0, 0.35, 0.5, 0.5), strict=True):  # what lies over a bone adds a part
        at, shadow = _drawn(p, pose, name)
        part = bone[at]
        np.maximum(part, under * part + shadow, out=part)
    tissue = tissue + 0.010 * texture * (tissue > 0.1)
    return 2.5 * tissue + (1.25 * p.density) * bone * (1 + 0.05 * texture)


SEEN = 0.1  # of bone along the beam, from which a mask counts it


def regions(p: Pelvis, size: int) -> dict[str, Mask]:
    """Masks [size, size] of what is drawn, by the shapes that draw it; an empty bladder has none."""
    there = [*BONES, *(["bladder"] if p.bladder else [])]
    return {name: partial(_region, p, name, size) for name in there} | bordered(p.border, size)


def _region(p: Pelvis, name: str, size: int) -> np.ndarray:
    at, shape = bladder(p, p.pose(size)) if name == "bladder" else _drawn(p, p.pose(size), name)
    out = np.zeros((size, size), bool)
    out[at] = shape > (0 if name == "bladder" else SEEN)
    return out
