"""Is the image as it was taken, or are left and right exchanged?"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from tasks._base import Item, Source, Task
from tasks._turns import as_stored, copies, films, mirrored

TURNS = {"as taken": ("0", as_stored), "mirrored": ("mirror", mirrored)}


def items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001
    """Each image as it is and mirrored; nothing is drawn at random."""
    return copies(source, TURNS)


TASK = Task(
    name="mirror",
    question="Are left and right exchanged?",
    asks=(
        "Has this image been mirrored from left to right?",
        "Is this image as it was taken, or is it its mirror image?",
        "Was this image flipped horizontally?",
        "Which side of the image is which: as it was taken, or exchanged?",
    ),
    wordings=(("not mirrored", "mirrored from left to right"), ("left and right in place", "left and right exchanged")),
    facts=("This image is as it was taken.", "This image is mirrored."),
    classes=tuple(TURNS),
    version=1,
    items=items,
    phantoms=partial(films, turns=len(TURNS)),
    makes_answers=True,
)
