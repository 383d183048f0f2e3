"""Bones of a panoramic film: jaws, sinuses and what else the beam crosses."""

import numpy as np

from tasks.phantoms.grid import Pose
from tasks.phantoms.panorama.patient import Film, line
from tasks.phantoms.shapes import bell, inside


def _rod(
    x: np.ndarray, y: np.ndarray, a: tuple[float, float], b: tuple[float, float], r: tuple[float, float]
) -> np.ndarray:
    """Signed distance to a rod from a to b whose radius goes from r[0] to r[1]."""
    ax, ay, bx, by = *a, *b
    along = ((x - ax) * np.float32(bx - ax) + (y - ay) * np.float32(by - ay)) / np.float32(
        (bx - ax) ** 2 + (by - ay) ** 2
    )
    along = np.clip(along, 0, 1)
    dx, dy = x - np.float32(ax) - along * np.float32(bx - ax), y - np.float32(ay) - along * np.float32(by - ay)
    return np.sqrt(dx * dx + dy * dy) - np.float32(r[0]) - along * np.float32(r[1] - r[0])


def _joined(a: np.ndarray, b: np.ndarray, round_: float = 0.05) -> np.ndarray:
    """The union of two signed distances with a rounded seam."""
    h = np.clip(np.float32(round_) - np.abs(a - b), 0, None)
    return np.minimum(a, b) - h * h * np.float32(0.25 / round_)


def _mandible(p: Film, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance to the mandible; x is the distance from the midline."""
    crest = line(p, x) + np.float32(p.open / 2 + 9.5 * p.tall) - np.float32(1.2) * np.clip(x - 0.58, 0, None) ** 1.5
    lower = p.chin - np.float32(p.chin - p.angle - 0.1) * np.clip(x / np.float32(p.ramus), 0, 1.2) ** 3
    body = np.maximum(np.maximum(crest - y, y - lower), x - np.float32(p.ramus - 0.03))
    back, t = p.ramus - p.thick, p.thick
    ramus = _rod(x, y, (back - 0.03, p.angle - 0.06), (back + 0.02, p.head + 0.30), (t + 0.02, t - 0.02))
    neck = _rod(x, y, (back + 0.05, p.head + 0.28), (back + 0.085, p.head + 0.06), (0.075, 0.05))
    head = np.sqrt(((x - back - 0.085) / 1.5) ** 2 + (y - p.head - 0.02) ** 2) - np.float32(0.056)
    coronoid = _rod(x, y, (back - 0.02, p.head + 0.28), (back - 0.085, p.head + 0.10), (0.07, 0.016))
    return _joined(_joined(body, ramus, 0.12), _joined(_joined(neck, head, 0.03), coronoid, 0.06), 0.08)


def _maxilla(p: Film, x: np.ndarray, y: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Attenuation of the upper jaw, hard palate, sinuses, nose, cheek bones and orbits."""
    crest = line(p, x) - np.float32(p.open / 2 + 9.5 * p.tall)
    roof = np.float32(-0.80)
    out = (
        0.34
        * inside(y - crest, 0.02)
        * inside(x - 0.66 + 0.25 * np.clip(crest - y - 0.2, 0, 1), 0.05)
        * inside(roof - y, 0.3)
    )
    floor = p.bite - np.float32(21.5 * p.tall)
    rx, ry = 0.19 * p.sinus, 0.15 * p.sinus
    cave = np.sqrt(((x - 0.40) / rx) ** 2 + ((y - floor + ry * 0.8 + 0.05 * (x - 0.4)) / ry) ** 2) - 1
    out += -0.20 * inside(cave * np.float32(ry), 0.02) + 0.14 * bell(cave * np.float32(ry / 0.012))
    nose = np.sqrt((x / 0.15) ** 2 + ((y - floor + 0.19) / 0.19) ** 2) - 1
    out += -0.22 * inside(nose * np.float32(0.15), 0.03) + 0.12 * bell(nose * np.float32(0.15 / 0.012))
    out += 0.26 * bell(side / np.float32(0.014)) * inside(np.abs(y - floor + 0.19) - 0.19, 0.03)
    out += 0.20 * bell((np.abs(side) - 0.085) / 0.032) * inside(np.abs(y - floor + 0.10) - 0.10, 0.05)
    palate = y - floor - 0.03 + 0.05 * x
    out += 0.30 * bell(palate / np.float32(0.014)) * inside(x - 0.62, 0.04)
    arch = y - floor + 0.28 - 0.22 * np.clip(x - 0.45, 0, 1)
    out += 0.26 * bell(arch / np.float32(0.022)) * inside(np.abs(x - 0.75) - 0.28, 0.05)
    cheek = np.sqrt(((x - 0.58) / 0.09) ** 2 + ((y - floor + 0.22) / 0.13) ** 2) - 1
    out += 0.16 * inside(cheek * np.float32(0.09), 0.04) + 0.10 * bell(cheek * np.float32(0.09 / 0.012))
    orbit = np.sqrt(((x - 0.42) / 0.27) ** 2 + ((y - floor + 0.66) / 0.28) ** 2) - 1
    return out - 0.16 * inside(orbit * np.float32(0.27), 0.04) + 0.24 * bell(orbit * np.float32(0.27 / 0.016))


def jaws(p: Film, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Attenuation of the bones of both jaws, and of everything else but teeth, on the grid of a pose."""
    side, y = pose.grid()
    side -= np.float32(p.yaw) * (1 - side * side)
    x = np.abs(side)
    gap = _mandible(p, x, y)
    inner = inside(gap, 0.014)
    border = inside(0.5 - y, 0.2) * np.float32(0.16) + np.float32(0.13)
    bone = inner * (np.float32(0.42) - 0.14 * np.minimum(np.maximum(x - 0.4, 0), 1))
    bone += border * bell((gap + 0.014) * (1 / 0.013))
    at = _rows(pose, 0.1, 0.95)
    bone[at] += _canal(p, x[at], y[at]) * inner[at]
    at = _rows(pose, -1.4, p.bite + 0.1)
    bone[at] += _maxilla(p, x[at], y[at], side[at])
    bone *= np.float32(p.density)
    return bone, _rest(p, pose, side, x, y)


def _rows(pose: Pose, top: float, bottom: float) -> slice:
    """The rows of a grid that hold all between two heights of the head."""
    return pose.box(-1.3, 1.3, top, bottom)[0]


def _canal(p: Film, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The canal of the mandible: dark between two bright walls."""
    middle = 0.44 * p.chin + 0.56 * (p.bite + 10 * p.tall) + 0.02
    canal = y - np.float32(middle) + 0.42 * np.square(np.maximum(x - 0.35, 0))
    walls = bell((np.abs(canal) - 0.022) * 100) * np.float32(0.09) - bell(canal * (1 / 0.018)) * np.float32(0.08)
    return walls * inside(np.abs(x - 0.52) - 0.22, 0.05)


def _rest(p: Film, pose: Pose, side: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Soft tissue and air, the spine's shadow, the other side's ghost, the neck's own spine and the hyoid bone."""
    out = np.float32(p.spine) * bell(side * (1 / 0.17)) * (0.5 + 0.35 * np.minimum(np.maximum(y + 0.3, 0), 1))
    out += np.float32(p.ghost) * bell((x - 0.62) * (1 / 0.28)) * bell((y + 0.02) * (1 / 0.22))
    out += 0.32 + 0.12 * bell((y - 0.15) * (1 / 0.45)) * inside(x - 0.8, 0.2)
    out -= 0.22 * inside(np.float32(p.chin + 0.05) - y + 0.12 * x, 0.12)
    at = _rows(pose, -0.52, 1.4)
    u, v = x[at], y[at]
    out[at] += 0.42 * inside(0.965 - u + 0.03 * np.sin(13 * v), 0.03) * inside(-0.45 - v, 0.1)  # the neck's own spine
    at = _rows(pose, -0.5, 0.65)
    u, v = x[at], y[at]
    air = bell((u - 0.72 - 0.20 * (v - 0.1)) * (1 / 0.055)) * inside(np.abs(v - 0.1) - 0.42, 0.12)
    under = bell((v + np.float32(17.5 * p.tall - p.bite) + np.float32(p.smile) * u * u) * 20) * inside(u - 0.6, 0.1)
    out[at] -= np.float32(p.airway) * (0.6 * air + 0.4 * under)
    at = _rows(pose, 0.7, 1.0)
    out[at] += 0.25 * inside(_rod(x[at], y[at], (0.60, 0.90), (0.80, 0.80), (0.022, 0.012)), 0.02)
    at = _rows(pose, -0.22, 1.4)
    u, v = x[at], y[at]
    back = inside(np.float32(p.head + 0.12) + 0.5 * np.square(u - 0.98) - v, 0.2)
    out[at] -= 0.20 * back * inside(0.99 - u, 0.06) * inside(-v, 0.4)
    return out
