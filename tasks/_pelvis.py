"""A pelvic radiograph: bones, soft tissue and gas projected through Beer and Lambert's law onto film.

Bones are bright, gas dark; the patient's left is at the image's right. Nothing in a film depends on any
question asked of it.
"""

from dataclasses import asdict, replace
from functools import partial

import numpy as np

from tasks._bank import piece
from tasks._base import Source
from tasks._pelvis_body import path
from tasks._pelvis_patient import Pelvis, draw
from tasks._pelvis_soft import soft
from tasks._phantom import source as _source
from tasks._phantom_grid import Pose, developed, grain, resized

VERSION = 2
CODE = 808


def render(p: Pelvis, rng: np.random.Generator, size: int = 224) -> np.ndarray:
    """The film of a patient, uint8 [size, size]; `rng` gives bowel gas, texture and grain."""
    coarse = Pose(side=-(-size // 2), turn=p.turn, scale=p.scale, dx=p.dx, dy=p.dy)
    pose = replace(coarse, side=-(-5 * size // 7))
    tissue = resized(soft(p, coarse, rng), pose.side)
    beam = np.exp(-path(p, pose, tissue, piece(rng, pose.side, (7, 14, 28, 56), 0.8)))
    film = resized(-np.log(beam + np.float32(p.scatter)), size, blur=1.0)
    film += (film * (4 / 3 * p.grain) + 1.6 * p.grain) * grain(rng, size, 0.6)
    return developed(film, 1.9 * p.contrast, 2.3 - p.exposure, p.border)


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
