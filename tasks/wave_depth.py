"""Which of three coloured marks lies nearest to the skin, in an ultrasound image."""

from collections.abc import Iterator

import numpy as np

from tasks._base import DataError, Item, Source, Task
from tasks._labels import dot_words, labelled_items
from tasks.phantoms.ultrasound import scan

WORDS = {"red": ("r",), "green": ("g",), "blue": ("b",)}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:
    """One item per image with its marks already drawn; MedBLINK's keep the benchmark's own answers."""
    asked = (_asked(source),) if source.benchmark == "medblink" else ()
    words = dot_words(scan.COLOURS)
    yield from labelled_items(
        source, rng, column, task="wave-depth", default="nearest", words=WORDS, medblink=asked, benchmark_words=words
    )


def _asked(source: Source) -> str:
    """The benchmark's name for this task, which its paper does not tell: the one that speaks of ultrasound.

    Raises:
        DataError: none does, or more than one.
    """
    there = sorted({row.columns.get("task", "") for row in source.rows} - {""})
    meant = [name for name in there if "wave" in name.lower() or "ultrasound" in name.lower()]
    if len(meant) != 1:
        found = f"{' and '.join(meant)} do" if meant else "none does"
        raise DataError(
            f"task wave-depth needs one task of {source.name} whose name holds 'wave' or 'ultrasound'; {found}; "
            f"its tasks are {', '.join(there) or 'not named'}"
        )
    return meant[0]


TASK = Task(
    name="wave-depth",
    question="Which marker is closest to the skin: the red, the green or the blue one?",
    asks=(
        "Which marker lies nearest to the skin?",
        "Which of the three coloured markers is the least deep below the skin?",
        "Of the red, the green and the blue marker, which is at the smallest depth?",
        "Which marker is nearest to the ultrasound probe?",
    ),
    wordings=(("the red one", "the green one", "the blue one"), ("red marker", "green marker", "blue marker")),
    facts=(
        "The red marker is the closest to the skin.",
        "The green marker is the closest to the skin.",
        "The blue marker is the closest to the skin.",
    ),
    classes=scan.COLOURS,
    version=1,
    items=_items,
    phantoms=scan.source,
)
