"""A pelvic radiograph: bones, soft tissue and gas projected through Beer and Lambert's law onto film.

Bones are bright, gas dark; the patient's left is at the image's right. Nothing in a film depends on any
question asked of it.
"""

from dataclasses import asdict
from functools import partial

import numpy as np

from tasks._base import Source
from tasks.phantoms.grid import resized
from tasks.phantoms.noise import piece
from tasks.phantoms.pelvis.body import path, regions
from tasks.phantoms.pelvis.patient import Pelvis, draw
from tasks.phantoms.pelvis.soft_tissue import soft
from tasks.phantoms.radiograph import grids, optical_depth, printed
from tasks.phantoms.source import source as _source

VERSION = 2
CODE = 808


def render(p: Pelvis, rng: np.random.Generator, size: int = 224) -> np.ndarray:
    """The film of a patient, uint8 [size, size]; `rng` gives bowel gas, texture and grain."""
    coarse, pose = grids(p, size)
    tissue = resized(soft(p, coarse, rng), pose.side)
    beam = path(p, pose, tissue, piece(rng, pose.side, (7, 14, 28, 56), 0.8))
    return printed(p, resized(optical_depth(p, beam), size, blur=1.0), rng, 1.9, 2.3)


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
        p = patient(seed, i)
        return partial(film, seed, i, size), asdict(p), (), regions(p, size)

    return _source("pelvis", n, build, version=VERSION, seed=seed, size=size)
