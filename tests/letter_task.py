"""Chest films as taken or mirrored, with a lead letter that betrays which, or that says nothing of it.

A planted truth for maps of attribution: where the letter betrays the answer a probe reads the letter, and where it does
not, heart and stomach. Two files beside this one hold the two tasks, as a user's own: `letter_betrays.py` and
`letter_independent.py`.
"""

import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from tasks import Item, Mask, Picture, Row, Source, Task
from tasks.phantoms.chest import film

CLASSES = ("as taken", "mirrored")
UNIT = 5  # pixels of a letter's stroke, large enough for encoders that see 128 pixels
WHITE = 247


def letter(right: bool, size: int = 224) -> np.ndarray:
    """Where the letter lies, bool [size, size]: an L in the upper corner of the picture, on either side."""
    shape = film.glyph("L", UNIT)
    top, left = round(0.08 * size), round(0.05 * size)
    left = size - left - shape.shape[1] if right else left
    out = np.zeros((size, size), bool)
    out[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    return out


def shown(image: np.ndarray, mirrored: bool) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1] if mirrored else image)


def lettered(row: Row, mirrored: bool, right: bool) -> np.ndarray:
    image = shown(row.picture.read(), mirrored)
    image[letter(right)] = WHITE
    return image


def region(mask: Mask, mirrored: bool) -> np.ndarray:
    return shown(mask(), mirrored)


def items(source: Source, rng: np.random.Generator, column: str | None, *, betrays: bool) -> Iterator[Item]:
    """Every film as taken and mirrored; the letter lies at the right of mirrored films, or of half the patients."""
    del column  # the answers are made here
    of_patient = rng.permutation(np.arange(len(source.rows)) % 2 == 1)
    for row, side in zip(source.rows, of_patient.tolist(), strict=True):
        for mirrored, label in enumerate(CLASSES):
            right = bool(mirrored) if betrays else bool(side)
            made = f"letter 1 {row.picture.identity} {mirrored} {right}"
            yield Item(
                id=f"{row.id}:{label.replace(' ', '-')}",
                group=row.group,
                label=label,
                picture=Picture(
                    read=partial(lettered, row, bool(mirrored), right),
                    identity=hashlib.sha256(made.encode()).hexdigest(),
                ),
                evidence={
                    "lead letter": partial(letter, right),
                    **{name: partial(region, mask, bool(mirrored)) for name, mask in row.regions.items()},
                },
            )


def phantoms(n: int, seed: int) -> Source:
    """Films of n / 2 patients without letters of their own."""
    return film.source(max(1, n // 2), seed)


def task(*, betrays: bool) -> Task:
    """The task whose letter betrays the answer, or its twin."""
    return Task(
        name="letter-betrays" if betrays else "letter-independent",
        question="Are left and right exchanged?",
        classes=CLASSES,
        version=1,
        items=partial(items, betrays=betrays),
        phantoms=phantoms,
        makes_answers=True,
    )
