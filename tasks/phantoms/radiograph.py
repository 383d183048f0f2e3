"""Radiographs: how the patient lies before the film, how it is exposed, and how it is developed."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from tasks._base import Mask
from tasks.phantoms.grid import Pose
from tasks.phantoms.noise import grain
from tasks.phantoms.shapes import inside


@dataclass(frozen=True, kw_only=True)
class Radiograph:
    """A patient's place and one exposure; lengths in half image widths, angles in radians."""

    turn: float  # of the patient in the image plane
    scale: float
    dx: float
    dy: float
    yaw: float  # of the patient about the long axis: what lies in front moves against the spine
    exposure: float
    contrast: float
    scatter: float
    grain: float
    border: float  # width of the collimator's shadow, 0 where the field is open

    def pose(self, side: int) -> Pose:
        """How the patient lies on a grid of `side` points."""
        return Pose(side=side, turn=self.turn, scale=self.scale, dx=self.dx, dy=self.dy)


def grids(p: Radiograph, size: int) -> tuple[Pose, Pose]:
    """The grids on which soft tissue and bone are drawn for a film of `size` pixels."""
    return p.pose(-(-size // 2)), p.pose(-(-5 * size // 7))


def optical_depth(p: Radiograph, path: np.ndarray) -> np.ndarray:
    """What a film sees of an integral of attenuation, after Beer and Lambert's law, with scatter."""
    return -np.log(np.exp(-path) + np.float32(p.scatter))


def printed(p: Radiograph, film: np.ndarray, rng: np.random.Generator, steep: float, middle: float) -> np.ndarray:
    """Grey values, uint8, of an optical depth [size, size], which is used up: with grain, on the film's curve."""
    film += (film * (4 / 3 * p.grain) + 1.6 * p.grain) * grain(rng, len(film), 0.6)
    return developed(film, steep * p.contrast, middle - p.exposure, p.border)


def developed(film: np.ndarray, contrast: float, middle: float, border: float) -> np.ndarray:
    """Grey values, uint8, of a film [size, size] after its characteristic curve; `film` is used up.

    `border` is the width of the collimator's shadow, 0 where the field is open.
    """
    film -= np.float32(middle)
    film *= np.float32(-contrast)
    np.exp(film, out=film)
    film += 1
    np.divide(np.float32(255), film, out=film)
    if border:
        shadow = rim(len(film), border)
        film *= shadow
        film *= shadow[:, None]
    film += np.float32(0.5)
    return film.astype(np.uint8)


def bordered(border: float, size: int) -> dict[str, Mask]:
    """The region "frame border" of a film whose dark border is that wide; none without one."""
    return {"frame border": partial(_border, size, border)} if border else {}


def _border(size: int, border: float) -> np.ndarray:
    line = rim(size, border)
    return line * line[:, None] < 0.5


def rim(size: int, border: float) -> np.ndarray:
    """1 within the collimated field along one axis [size], 0 beyond it."""
    line = np.abs(np.linspace(-1, 1, size, dtype=np.float32))
    return inside(line - np.float32(1 - border), 0.02)
