"""A chest radiograph: a parametric body projected through Beer and Lambert's law onto film.

Organs are ellipsoids, tubes and shells whose chord lengths along the beam are known in closed form; the
film sees -log(exp(-∫ mu ds) + scatter) through its characteristic curve. Bones are bright, lungs dark,
and the patient's left is at the image's right. Nothing in a film depends on any question asked of it.
"""

from dataclasses import asdict
from functools import partial

import numpy as np

from tasks._base import Source
from tasks.phantoms.chest.body import path, regions, soft
from tasks.phantoms.chest.patient import Chest, draw
from tasks.phantoms.chest.vessels import vessels
from tasks.phantoms.grid import resized
from tasks.phantoms.noise import piece
from tasks.phantoms.radiograph import grids, optical_depth, printed
from tasks.phantoms.source import source as _source

VERSION = 3
CODE = 101

_GLYPHS = {"L": ("1000",) * 6 + ("1111",), "R": ("1110", "1001", "1001", "1110", "1100", "1010", "1001")}


def glyph(letter: str, unit: int) -> np.ndarray:
    """The letter R or L, bool [7 unit, 4 unit]."""
    lines = np.array([[int(v) for v in line] for line in _GLYPHS[letter]], bool)
    return np.kron(lines, np.ones((unit, unit), bool))


def letters(size: int) -> np.ndarray:
    """Lead letters in the upper corners, bool [size, size]: R at the patient's right (image left) and L at the left."""
    unit, out = max(size // 112, 1), np.zeros((size, size), bool)
    for letter, left in (("R", round(0.07 * size)), ("L", size - round(0.07 * size) - 4 * unit)):
        big, top = glyph(letter, unit), round(0.10 * size)
        out[top : top + big.shape[0], left : left + big.shape[1]] = big
    return out


def exposed(p: Chest, rng: np.random.Generator, size: int = 224) -> np.ndarray:
    """What reaches the film, as optical depth [size, size], before grain."""
    coarse, pose = grids(p, size)
    cloud = piece(rng, pose.side, (7, 14, 28, 56), 0.8)
    tissue, filled = (resized(part, pose.side) for part in soft(p, coarse))
    beam = path(p, pose, tissue=tissue, filled=filled, blood=vessels(p, rng, pose), texture=cloud)
    return resized(optical_depth(p, beam), size, blur=0.5)


def render(p: Chest, rng: np.random.Generator, size: int = 224, letter: bool = False) -> np.ndarray:
    """The film of a patient, uint8 [size, size]; `rng` gives vessels, texture and grain."""
    out = printed(p, exposed(p, rng, size), rng, 2.0, 1.45)
    if letter:
        out[letters(size)] = 247
    return out


def patient(seed: int, i: int) -> Chest:
    """Patient number i of a seed."""
    return draw(np.random.default_rng([seed, i, CODE]))


def film(seed: int, i: int, size: int = 224, letter: bool = False) -> np.ndarray:
    """The film of patient number i of a seed, uint8 [size, size]."""
    return render(patient(seed, i), np.random.default_rng([seed, i, CODE, 1]), size, letter)


def source(n: int, seed: int, size: int = 224, letter: bool = False) -> Source:
    """Chest films of n patients; columns hold what was drawn. `letter` adds R and L in lead.

    Raises:
        DataError: n is below 1.
    """

    def build(i: int) -> tuple:
        p = patient(seed, i)
        lead = {"lead letter": partial(letters, size)} if letter else {}
        return partial(film, seed, i, size, letter), asdict(p), (), {**regions(p, size), **lead}

    return _source("chest", n, build, version=VERSION, seed=seed, size=size, letter=letter)
