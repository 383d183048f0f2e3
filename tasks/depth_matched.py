"""Which of three coloured marks is nearest to the camera, where the light around the marks does not tell."""

from collections.abc import Iterator

import numpy as np

from tasks import _lumen_matched
from tasks._answers import answers
from tasks._base import Item, Source, Task
from tasks._lumen import COLOURS
from tasks.depth import WORDS


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image with its marks already drawn, its answer read from `column` (by default `nearest`)."""
    said = answers(source, column or "nearest", WORDS, task="depth-matched")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


TASK = Task(
    name="depth-matched",
    question="Which marker is nearest to the camera: the red, the green or the blue one?",
    classes=COLOURS,
    version=1,
    items=_items,
    phantoms=_lumen_matched.source,
)
