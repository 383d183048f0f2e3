"""Does the chest film show a child or an adult: proportions of heart, rib cage and ribs.

After MedBLINK's description: a child's heart is larger against the thorax, the thoracic cage is rounder and its
ribs lie more level.
"""

from collections.abc import Iterator

import numpy as np

from tasks import _chest_child
from tasks._answers import answers
from tasks._base import Item, Source, Task
from tasks._benchmarks import benchmark_items

WORDS = {
    "child": ("paediatric", "pediatric", "children", "infant"),
    "adult": ("adults", "grown-up"),
}
TOLD = {"child": ("pediatric", "paediatric", "pediatric patient", "a child"), "adult": ("adult patient", "an adult")}
YES = {"child": ("pediatric", "paediatric", "child"), "adult": ("adult",)}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image, its answer read from `column` (by default `age`), or MedBLINK's own."""
    if source.benchmark == "medblink":
        yield from benchmark_items(source, ("age_estimation",), TOLD, task="age", yes=YES)
        return
    said = answers(source, column or "age", WORDS, task="age")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


TASK = Task(
    name="age",
    question="Does the chest film show a child or an adult?",
    classes=_chest_child.CLASSES,
    version=1,
    items=_items,
    phantoms=_chest_child.source,
)
