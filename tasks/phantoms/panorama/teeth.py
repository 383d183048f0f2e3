"""Teeth of a panoramic film: the shadow of enamel, dentine, pulp, roots, the gap around them and what dentists left."""

import numpy as np

from tasks.phantoms.panorama.patient import Film, Teeth
from tasks.phantoms.shapes import bell, chord, inside


def pixels(p: Film, x: np.ndarray, y: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of points of the head in an image of `size` pixels."""
    c, s = np.cos(p.turn) * p.scale, np.sin(p.turn) * p.scale
    x = x + p.yaw * (1 - x * x)
    column, row = c * x - s * y + p.dx, s * x + c * y + p.dy
    return (column + 1) * size / 2 - 0.5, (row + 1) * size / 2 - 0.5


def _local(p: Film, t: Teeth, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows [n, h, w] around the teeth, and the first row and column of each [n, 2].

    The windows hold the place across in half widths of the tooth, and along it, 0 at the tip and 1 at the
    roots' end.
    """
    lean = t.lean * t.side
    axis_x, axis_y = np.sin(lean), np.cos(lean) * np.where(t.upper, -1.0, 1.0)
    column, row = pixels(p, t.x + axis_x * t.length / 2, t.y + axis_y * t.length / 2, size)
    ends = np.array([t.length * (np.abs(part) + 0.06) + t.width for part in (axis_y, axis_x)]).max(1)
    reach = np.ceil((ends * p.scale / 2 + 0.02) * size / 2).astype(int)
    first = np.stack([row, column], 1).round().astype(int) - reach
    unit = 2 / size / p.scale
    down, right = (np.arange(2 * r + 1) for r in reach)
    dy = ((down + (first[:, :1] - row[:, None])) * unit).astype(np.float32)[:, :, None]
    dx = ((right + (first[:, 1:] - column[:, None])) * unit).astype(np.float32)[:, None, :]
    turn = np.float32(p.turn)
    dx, dy = dx + turn * dy, dy - turn * dx
    ax, ay = axis_x[:, None, None].astype(np.float32), axis_y[:, None, None].astype(np.float32)
    along = (dx * ax + dy * ay) / t.length[:, None, None].astype(np.float32) + np.float32(0.5)
    across = (dx * ay - dy * ax) / (t.width / 2)[:, None, None].astype(np.float32)
    return across, along, first


def _column(values: np.ndarray) -> np.ndarray:
    """Values [n] as float32 [n, 1, 1]."""
    return values[:, None, None].astype(np.float32)


def _outline(t: Teeth, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each place lies across its root or crown, -1 … 1 inside, and its signed distance (half widths)."""
    crown, molar = _column(t.crown), t.kind[:, None, None] == 2
    end = _column(np.where(t.roots > 0, t.crown + (1 - t.crown) * t.roots, t.crown * 1.05))
    below, over = np.clip((v - crown) / (1 - crown), 0, 1.2), v / crown
    bulge = _column(np.where(t.kind == 0, 0.12, 0.04))
    belly = np.float32(0.98) - 0.2 * np.square(np.clip(over - 0.45, 0, 1)) - bulge * np.clip(0.3 - over, 0, 1)
    taper = _column(np.where(t.kind == 2, 0.12, 0.62))
    half = np.where(v < crown, belly, np.float32(0.92) - taper * below * np.sqrt(below))
    fork = molar & (below > 0.28)
    slim = np.float32(0.44) - np.float32(0.26) * below
    half = np.where(fork, slim, half)
    at = np.where(fork, np.abs(u) - np.float32(0.46) - np.float32(0.10) * below, u) / half
    cusps = np.where(molar, np.float32(0.035) * np.abs(np.sin(3 * u)), np.float32(0.05) * u * u)
    ends = np.maximum(cusps - v, v - end + np.float32(0.05) * at * at) * _column(2 * t.length / t.width)
    return at, np.maximum((np.abs(at) - 1) * half, ends)


def _dense(p: Film, t: Teeth, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Attenuation and body of each tooth in its window [n, h, w], and where the windows begin [n, 2]."""
    u, v, first = _local(p, t, size)
    at, far = _outline(t, u, v)
    far *= _column(t.width / 2 * p.scale * size / 2)  # pixels
    body = np.clip(np.float32(0.5) - far / np.float32(1.3), 0, 1)
    crown = v / _column(t.crown)
    round_ = chord(np.minimum(at * at, 1) * np.float32(0.8))
    shell = np.clip(np.maximum(np.abs(at) * 2.4 - 1.35, 1.0 - crown * 2.4), 0, 1)
    shell *= inside(crown - np.float32(0.95), 0.2)
    pulp = bell(at / np.where(crown < 1.3, np.float32(0.30), np.float32(0.22))) * inside(np.abs(v - 0.56) - 0.33, 0.1)
    dense = np.float32(0.5) * round_ + np.float32(0.42) * shell - np.float32(0.24) * pulp
    metal = _column(t.metal)
    if metal.any():
        dense += (metal > 0) * inside(crown - metal * np.float32(0.9), 0.15) * np.float32(0.9)
    if t.canal.any():
        dense += _column(t.canal * 0.5) * bell(at / np.float32(0.18)) * inside(np.abs(v - 0.6) - 0.3, 0.05)
    gap = bell((far - np.float32(1.2)) / np.float32(0.9)) * inside(np.float32(1.1) - crown, 0.2)
    return body * dense - np.float32(0.10) * gap, body, first


def shadows(p: Film, t: Teeth, there: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Attenuation that teeth add, and the place they take from bone, float32 [size, size] each."""
    dense, taken = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    upright = np.flatnonzero(there & (np.abs(t.lean) < 0.3))
    few = [*np.split(upright, range(9, len(upright), 9)), np.flatnonzero(there & (np.abs(t.lean) >= 0.3))]
    for some in few:  # in narrow windows, and few enough to stay in the processor's cache
        if len(some):
            windows, body, first = _dense(p, Teeth(**{name: value[some] for name, value in vars(t).items()}), size)
            _lay(dense, windows, first)
            _lay(taken, body, first)
    return dense, taken


def _lay(out: np.ndarray, windows: np.ndarray, first: np.ndarray) -> None:
    """Add the windows to the image where they lie; what leaves it is cut off."""
    h, w = windows.shape[1:]
    for window, (row, column) in zip(windows, first.tolist(), strict=True):
        top, left = max(-row, 0), max(-column, 0)
        target = out[row + top : max(row + h, 0), column + left : max(column + w, 0)]
        target += window[top : top + target.shape[0], left : left + target.shape[1]]
