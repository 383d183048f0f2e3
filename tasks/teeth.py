"""How many third molars are there, on a panoramic dental film."""

from collections.abc import Iterator

import numpy as np

from tasks import _panorama
from tasks._answers import answers
from tasks._base import Item, Source, Task
from tasks._benchmarks import benchmark_items

WORDS = {
    "0": ("zero", "none"),
    "1": ("one",),
    "2": ("two",),
    "3": ("three",),
    "4": ("four",),
}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image, its answer read from `column` (by default `count`), or MedBLINK's own."""
    if source.benchmark == "medblink":
        yield from benchmark_items(source, ("morphology_quantification",), WORDS, task="teeth")
        return
    said = answers(source, column or "count", WORDS, task="teeth")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


TASK = Task(
    name="teeth",
    question="How many third molars (wisdom teeth) are there on this panoramic film?",
    classes=_panorama.CLASSES,
    version=1,
    items=_items,
    phantoms=_panorama.source,
)
