"""Which tissue lies under the coloured mark, in a section stained with haematoxylin and eosin."""

from collections.abc import Iterator

import numpy as np

from tasks import _tissue
from tasks._answers import answers
from tasks._base import Item, Source, Task
from tasks._benchmarks import benchmark_items

WORDS = {
    "epithelium": ("epithelial", "squamous epithelium"),
    "stroma": ("lamina propria", "connective tissue", "submucosa"),
    "muscle": ("muscularis", "smooth muscle", "muscularis propria"),
    "fat": ("adipose", "adipose tissue"),
}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image with its mark already drawn, its answer read from `column` (by default `tissue`).

    MedBLINK's images keep the benchmark's own answers.
    """
    if source.benchmark == "medblink":
        yield from benchmark_items(source, ("histology_structure",), WORDS, task="histology")
        return
    said = answers(source, column or "tissue", WORDS, task="histology")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


TASK = Task(
    name="histology",
    question="Which tissue lies under the marker: epithelium, stroma, muscle or fat?",
    classes=_tissue.CLASSES,
    version=1,
    items=_items,
    phantoms=_tissue.source,
)
