"""An axial slice of the abdomen in Hounsfield units, before or after contrast medium, at the kidneys' level.

Left alone, enhancement is a question for a histogram: more bright pixels, more strong edges. Here every
structure that enhances has a double of the same pixels in the bowel, in its own bed of fat, which holds
the values that the structure would have under the other answer (dilute oral contrast, or water). For one
and the same patient the two answers are the same picture with two sets of congruent shapes exchanged:
values, edges and steps are the same, and only *where* the bright ones lie tells the answer.
"""

from dataclasses import fields
from functools import partial

import numpy as np

from tasks._base import Source
from tasks.phantoms.abdomen import patient as t
from tasks.phantoms.abdomen.body import Canvas, bones, bowel, organs, pixel, trunk
from tasks.phantoms.abdomen.doubles import stamp
from tasks.phantoms.abdomen.patient import DOUBLE, FILLING, Abdomen, draw, hounsfield
from tasks.phantoms.blur import smeared
from tasks.phantoms.noise import grain, piece
from tasks.phantoms.source import balanced
from tasks.phantoms.source import source as _source

VERSION = 4
CODE = 202
CLASSES = ("plain", "enhanced")
TISSUES = {
    "vessels": (t.AORTA, t.CAVA, t.PORTAL, t.TWIG),
    "kidneys": (t.KIDNEY, t.PYRAMID),
    "liver": (t.LIVER,),
    "spleen": (t.SPLEEN,),
    "doubles": tuple(t.DOUBLE + tissue for tissue in t.ENHANCING),
}


def paint(p: Abdomen, rng: np.random.Generator, size: int) -> tuple[Canvas, np.ndarray]:
    """The slice in tissue numbers, and the HU of each loop's filling."""
    k = Canvas(p, rng, size)
    cavity, well_inside = trunk(k)
    bones(k, rng)
    organs(k)
    drinks = bowel(k, cavity, rng)
    stamp(k, cavity, well_inside, rng)
    return k, drinks


def render(p: Abdomen, rng: np.random.Generator, enhanced: bool, size: int = 224, matched: bool = True) -> np.ndarray:
    """The slice in Hounsfield units, float32 [size, size], before or after contrast.

    Everything but the answer comes from `p` and `rng`: the same two give the same patient, noise
    included. Without `matched` the doubles hold water under either answer and the histogram tells it.
    """
    k, drinks = paint(p, rng, size)
    hu = hounsfield(p)
    if not matched:
        hu[:, DOUBLE:] = hu[1, DOUBLE:]
    out = hu[int(enhanced)].take(k.tissue)
    filling = k.tissue == FILLING
    out[filling] = drinks[k.loop[filling]]
    out += np.float32(5) * piece(rng, size, (14, 28, 56), 0.9)
    out = smeared(out, 1 - (p.blur * size / 224) ** 2)
    out += np.float32(p.grain * 2.1) * grain(rng, size, 0.6 * size / 224)
    return out


def window(hu: np.ndarray, centre: float = 40.0, width: float = 400.0) -> np.ndarray:
    """Hounsfield units as grey values, uint8; the default is the soft-tissue window."""
    grey = (hu - np.float32(centre - width / 2)) * np.float32(255 / width)
    return np.clip(grey + np.float32(0.5), 0, 255).astype(np.uint8)


def patient(seed: int, i: int) -> Abdomen:
    """Patient number i of a seed."""
    return draw(np.random.default_rng([seed, i, CODE]))


def scan(seed: int, i: int, enhanced: bool, size: int = 224, matched: bool = True) -> np.ndarray:
    """The windowed slice of patient number i of a seed, uint8 [size, size]."""
    rng = np.random.default_rng([seed, i, CODE, 1])
    return window(render(patient(seed, i), rng, enhanced, size, matched))


def region(seed: int, i: int, name: str, size: int = 224) -> np.ndarray:
    """Where one of the TISSUES lies in the slice of patient number i of a seed, bool [size, size]."""
    k, _ = paint(patient(seed, i), np.random.default_rng([seed, i, CODE, 1]), size)
    return np.isin(k.tissue, TISSUES[name])


def source(n: int, seed: int, size: int = 224, matched: bool = True) -> Source:
    """Slices of n patients, half of them (rounded) after contrast; columns hold what was drawn.

    Column `contrast` is "plain" or "enhanced"; `aorta_column` and `aorta_row` are where the aorta's
    centre lies in the image, `muscle_column` and `muscle_row` where the left back muscle's does.

    Raises:
        DataError: n is below 1.
    """
    answers = balanced(n, 2, seed, CODE)

    def build(i: int) -> tuple:
        p, enhanced = patient(seed, i), bool(answers[i])
        columns = {"contrast": CLASSES[enhanced], **{f.name: getattr(p, f.name) for f in fields(p)}}
        columns.update(landmarks(p, size))
        where = {name: partial(region, seed, i, name, size) for name in TISSUES}
        return partial(scan, seed, i, enhanced, size, matched), columns, (), where

    return _source("abdomen", n, build, version=VERSION, seed=seed, size=size, matched=matched)


def landmarks(p: Abdomen, size: int) -> dict[str, float]:
    """Pixel positions of the aorta's centre and of the left back muscle's."""
    at = {"aorta": (p.aorta_x, p.aorta_y), "muscle": (3.6, 6.9)}
    spots = {name: pixel(p, size, *xy) for name, xy in at.items()}
    return {f"{name}_{axis}": spot[j] for name, spot in spots.items() for j, axis in enumerate(("column", "row"))}
