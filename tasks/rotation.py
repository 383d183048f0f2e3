"""By how many quarter turns is the image turned? Asked of its central square, whose shape betrays nothing."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from tasks._base import Item, Source, Task
from tasks._turns import as_stored, copies, films, turned_once, turned_thrice, turned_twice

TURNS = {
    "0°": ("0", as_stored),
    "90°": ("90", turned_once),
    "180°": ("180", turned_twice),
    "270°": ("270", turned_thrice),
}


def items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001
    """The central square of each image under all four quarter turns; nothing is drawn at random."""
    return copies(source, TURNS, square=True)


TASK = Task(
    name="rotation",
    question="How far is the image turned counter-clockwise?",
    asks=(
        "By what angle has this image been turned counter-clockwise?",
        "By how many degrees is this image rotated to the left?",
        "How many degrees counter-clockwise was this image turned?",
        "What is the counter-clockwise rotation of this image?",
    ),
    wordings=(
        ("0 degrees", "90 degrees", "180 degrees", "270 degrees"),
        ("not turned", "a quarter turn", "half a turn", "three quarter turns"),
    ),
    facts=(
        "This image is not turned: 0°.",
        "This image is turned counter-clockwise by 90°.",
        "This image is turned counter-clockwise by 180°.",
        "This image is turned counter-clockwise by 270°.",
    ),
    classes=tuple(TURNS),
    version=1,
    items=items,
    phantoms=partial(films, turns=len(TURNS)),
    makes_answers=True,
)
