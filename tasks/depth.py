"""Which of three coloured marks is nearest to the camera, in an endoscopic view."""

from collections.abc import Iterator

import numpy as np

from tasks import _lumen
from tasks._answers import answers
from tasks._base import Item, Source, Task
from tasks._benchmarks import benchmark_items, dot_words

WORDS = {"red": ("r",), "green": ("g",), "blue": ("b",)}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image with its marks already drawn, its answer read from `column` (by default `nearest`).

    MedBLINK's images keep the benchmark's own answers.
    """
    if source.benchmark == "medblink":
        yield from benchmark_items(source, ("visual_depth_estimation",), dot_words(_lumen.COLOURS), task="depth")
        return
    said = answers(source, column or "nearest", WORDS, task="depth")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


TASK = Task(
    name="depth",
    question="Which marker is nearest to the camera: the red, the green or the blue one?",
    classes=_lumen.COLOURS,
    version=1,
    items=_items,
    phantoms=_lumen.source,
)
