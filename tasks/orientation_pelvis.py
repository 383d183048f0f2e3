"""Is a pelvic film upright, or turned by 180 degrees?"""

from collections.abc import Iterator

import numpy as np

from tasks._base import Item, Source, Task
from tasks._labels import benchmark_items
from tasks._turns import copies
from tasks.orientation import BENCHMARK_WORDS, TURNS, YES


def items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001
    """Each image as it is and turned by 180 degrees; nothing is drawn at random.

    MedBLINK's pelvic images are asked as they are, with the benchmark's own answers.
    """
    if source.benchmark == "medblink":
        asked = ("imaging_orientation_pelvic",)
        return benchmark_items(source, asked, BENCHMARK_WORDS, task="orientation-pelvis", yes=YES)
    return copies(source, TURNS)


def _films(n: int, seed: int) -> Source:
    """Phantom pelvic films for about `n` items, two from each film."""
    from tasks.phantoms.pelvis.film import source

    return source(max(1, n // len(TURNS)), seed)


TASK = Task(
    name="orientation-pelvis",
    question="Is the pelvic film upright or upside down?",
    asks=(
        "Which way up is this pelvic film?",
        "How does this film of the pelvis stand?",
        "Is the spine at the top or at the bottom of this pelvic film?",
        "Has this pelvic film been turned upside down?",
    ),
    wordings=(("the right way up", "turned upside down"), ("not turned", "turned by 180 degrees")),
    facts=("This film is upright.", "This film is upside down."),
    classes=tuple(TURNS),
    version=1,
    items=items,
    phantoms=_films,
    makes_answers=True,
)
