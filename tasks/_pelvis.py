"""A pelvic radiograph: bones, soft tissue and gas projected through Beer and Lambert's law onto film.

Bones are bright, gas dark; the patient's left is at the image's right. Nothing in a film depends on any
question asked of it.
"""

from dataclasses import asdict
from functools import partial

import numpy as np

from tasks._base import Source
from tasks._pelvis_body import gas, path
from tasks._pelvis_patient import Pelvis, draw
from tasks._phantom import bands, inside, noise, posed, smooth
from tasks._phantom import source as _source

VERSION = 1
CODE = 808


def render(p: Pelvis, rng: np.random.Generator, size: int = 224) -> np.ndarray:
    """The film of a patient, uint8 [size, size]; `rng` gives bowel gas, texture and grain."""
    x, y = posed(size, p.turn, p.scale, p.dx, p.dy)
    air = gas(p, rng, x, y)
    texture = noise(rng, size, (7, 14, 28, 56), 0.8)
    grain = smooth(rng.standard_normal((size, size), np.float32), 0.6)
    film = np.empty((size, size), np.float32)
    for rows in bands(size):
        film[rows] = -np.log(np.exp(-path(p, x[rows], y[rows], air[rows], texture[rows])) + np.float32(p.scatter))
    film = smooth(film, 0.7 * size / 224)
    film += np.float32(p.grain * 4) * grain * (0.4 + film / 3)
    shown = 255 / (1 + np.exp(-1.9 * p.contrast * (film - 2.3 + p.exposure)))
    if p.border:
        line = np.abs(np.linspace(-1, 1, size, dtype=np.float32))
        shown *= inside(np.maximum(line[:, None], line) - 1 + p.border, 0.02)
    return np.clip(shown + np.float32(0.5), 0, 255).astype(np.uint8)


def patient(seed: int, i: int) -> Pelvis:
    """Patient number i of a seed."""
    return draw(np.random.default_rng([seed, i, CODE]))


def film(seed: int, i: int, size: int = 224) -> np.ndarray:
    """The film of patient number i of a seed, uint8 [size, size]."""
    return render(patient(seed, i), np.random.default_rng([seed, i, CODE, 1]), size)


def source(n: int, seed: int, size: int = 224) -> Source:
    """Pelvic films of n patients; columns hold what was drawn.

    Raises:
        DataError: n is below 1.
    """

    def build(i: int) -> tuple:
        return partial(film, seed, i, size), asdict(patient(seed, i)), ()

    return _source("pelvis", n, build, version=VERSION, seed=seed, size=size)
