"""Where in the patient does a mark lie, on a film that may be mirrored or turned.

What MedBLINK's task of this name asks is not known here to the letter, so this is a question of our own that
needs the anatomy: the red mark's quarter of the chest from the patient's point of view.
"""

from collections.abc import Iterator

import numpy as np

from tasks import _chest_marks
from tasks._answers import answers
from tasks._base import Item, Source, Task
from tasks._benchmarks import benchmark_items

WORDS = {name: (name.replace(" ", "-"), name.replace(" ", "_")) for name in _chest_marks.CLASSES}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image with its marks already drawn, its answer read from `column` (by default `quarter`).

    MedBLINK's images keep the benchmark's own questions and answers.
    """
    if source.benchmark == "medblink":
        yield from benchmark_items(source, ("relative_position",), WORDS, task="relative-position")
        return
    said = answers(source, column or "quarter", WORDS, task="relative-position")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


TASK = Task(
    name="relative-position",
    question="In which quarter of the patient's chest does the red mark lie, left being the patient's own left?",
    classes=_chest_marks.CLASSES,
    version=1,
    items=_items,
    phantoms=_chest_marks.source,
)
