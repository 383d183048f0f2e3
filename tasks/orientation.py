"""Is the image upright, or turned by 180 degrees?"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from tasks._base import Item, Source, Task
from tasks._labels import benchmark_items
from tasks._turns import as_stored, copies, films, turned_twice

TURNS = {"upright": ("0", as_stored), "upside down": ("180", turned_twice)}
BENCHMARK_WORDS = {
    "upright": ("right side up", "right-side up", "correctly oriented", "normal"),
    "upside down": ("upside-down", "flipped", "inverted", "rotated by 180 degrees"),
}
YES = {
    "upside down": ("upside down", "upside-down", "flipped", "inverted", "rotated"),
    "upright": ("upright", "right side up", "right-side up", "correctly oriented"),
}


def items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001
    """Each image as it is and turned by 180 degrees; nothing is drawn at random.

    MedBLINK's images are asked as they are, with the benchmark's own answers.
    """
    if source.benchmark == "medblink":
        return benchmark_items(source, ("imaging_orientation_*",), BENCHMARK_WORDS, task="orientation", yes=YES)
    return copies(source, TURNS)


TASK = Task(
    name="orientation",
    question="Is the image upright or upside down?",
    asks=(
        "Which way up is this image?",
        "How does this film stand?",
        "Is the top of the body at the top or at the bottom of this image?",
        "Has this image been turned upside down?",
    ),
    wordings=(("the right way up", "turned upside down"), ("not turned", "turned by 180 degrees")),
    facts=("This image is upright.", "This image is upside down."),
    classes=tuple(TURNS),
    version=1,
    items=items,
    phantoms=partial(films, turns=len(TURNS)),
    makes_answers=True,
)
