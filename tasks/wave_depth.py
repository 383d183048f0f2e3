"""Which of three coloured marks lies nearest to the skin, in an ultrasound image."""

from collections.abc import Iterator

import numpy as np

from tasks import _ultrasound
from tasks._answers import answers
from tasks._base import Item, Source, Task

WORDS = {"red": ("r",), "green": ("g",), "blue": ("b",)}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image with its marks already drawn, its answer read from `column` (by default `nearest`)."""
    said = answers(source, column or "nearest", WORDS, task="wave-depth")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


TASK = Task(
    name="wave-depth",
    question="Which marker is closest to the skin: the red, the green or the blue one?",
    classes=_ultrasound.COLOURS,
    version=1,
    items=_items,
    phantoms=_ultrasound.source,
)
