"""Chest films with a mark in each quarter of the picture, shown as taken, mirrored, turned or both.

One mark is red, three are blue, at places that the flips exchange with one another. So the picture's four marks
are the same whatever the answer, and where the red one lies in the picture says nothing of where it lies in the
patient: for that one must see which way up the chest is, and on which side the heart's apex, the aortic arch and
the gastric bubble are. The heart lies clearly to the left here, as otherwise no answer could be read.
"""

from dataclasses import asdict, replace
from functools import partial

import numpy as np

from tasks._base import Mark, Mask, Source
from tasks.marks import draw as drawing
from tasks.phantoms.chest.body import regions
from tasks.phantoms.chest.film import render
from tasks.phantoms.chest.patient import Chest, draw
from tasks.phantoms.source import balanced
from tasks.phantoms.source import source as _source

VERSION = 1
CODE = 707
CLASSES = ("upper left", "upper right", "lower left", "lower right")
VIEWS = ("as taken", "mirrored", "turned", "turned and mirrored")


def patient(seed: int, i: int) -> Chest:
    """Patient number i of a seed, whose heart and stomach show the left side."""
    rng = np.random.default_rng([seed, i, CODE])
    p = draw(rng)
    return replace(p, heart_left=max(p.heart_left, 0.1), bubble=p.bubble or float(rng.uniform(0.07, 0.15)))


def corners(seed: int, i: int, size: int) -> np.ndarray:
    """Pixels [2, 2, 2] (lower, right in the picture; column, row) of the four marks; flips exchange them."""
    rng = np.random.default_rng([seed, i, CODE, 3])
    far = np.rint(rng.uniform((0.34, 0.30), (0.52, 0.42)) * size / 2)
    sign = np.array([[(-1, -1), (1, -1)], [(-1, 1), (1, 1)]])
    return np.where(sign < 0, size // 2 - 1 - far, size - size // 2 + far)


def place(seed: int, i: int, quarter: int, view: int, size: int) -> Mark:
    """The red mark, in a quarter of the patient, as it lies in a view: pixels of the picture."""
    low, right = quarter // 2, quarter % 2
    column = (1 - right) ^ (view in (1, 2))  # the patient's left is the picture's right, unless it is turned
    x, y = corners(seed, i, size)[low ^ (view >= 2), column]
    return Mark(name="red", x=float(x), y=float(y))


def film(seed: int, i: int, quarter: int, view: int, size: int = 224) -> np.ndarray:
    """Film number i of a seed in one of the VIEWS, with its marks, uint8 [size, size, 3]."""
    image = render(patient(seed, i), np.random.default_rng([seed, i, CODE, 1]), size)
    red, blue = place(seed, i, quarter, view, size), _blue(seed, i, quarter, view, size)
    return drawing.draw(np.repeat(_shown(image, view)[:, :, None], 3, axis=2), [red, *blue])


def _shown(image: np.ndarray, view: int) -> np.ndarray:
    """An image as taken in one of the VIEWS."""
    return image[:: -1 if view >= 2 else 1, :: -1 if view in (1, 2) else 1]


def _blue(seed: int, i: int, quarter: int, view: int, size: int) -> list[Mark]:
    """The blue marks, in the three other quarters."""
    red = place(seed, i, quarter, view, size)
    others = [(float(x), float(y)) for x, y in corners(seed, i, size).reshape(-1, 2) if (x, y) != (red.x, red.y)]
    return [Mark(name="blue", x=x, y=y) for x, y in others]


def _regions(seed: int, i: int, quarter: int, view: int, size: int) -> dict[str, Mask]:
    """Both colours of marks, and the organs as the view shows them."""
    organs = regions(patient(seed, i), size)
    red, blue = place(seed, i, quarter, view, size), _blue(seed, i, quarter, view, size)
    return {
        "red mark": partial(drawing.covered, [red], size, size),
        "blue marks": partial(drawing.covered, blue, size, size),
        **{name: partial(_seen, mask, view) for name, mask in organs.items()},
    }


def _seen(mask: Mask, view: int) -> np.ndarray:
    return np.ascontiguousarray(_shown(mask(), view))


def source(n: int, seed: int, size: int = 224) -> Source:
    """Films of n patients; the 16 pairs of a quarter and a view come equally often.

    Column `quarter` is where the red mark lies in the patient, `shown` how the film is shown; `marks` holds
    the red mark only.

    Raises:
        DataError: n is below 1.
    """
    kinds = balanced(n, 16, seed, CODE)

    def build(i: int) -> tuple:
        quarter, view = divmod(int(kinds[i]), 4)
        columns = {"quarter": CLASSES[quarter], "shown": VIEWS[view], **asdict(patient(seed, i))}
        marks = (place(seed, i, quarter, view, size),)
        return partial(film, seed, i, quarter, view, size), columns, marks, _regions(seed, i, quarter, view, size)

    return _source("chest-marks", n, build, version=VERSION, seed=seed, size=size)
