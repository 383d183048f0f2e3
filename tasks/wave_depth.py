"""Which of three coloured marks lies nearest to the skin, in an ultrasound image."""

from collections.abc import Iterator

import numpy as np

from tasks import _ultrasound
from tasks._answers import answers
from tasks._base import DataError, Item, Source, Task
from tasks._benchmarks import benchmark_items, dot_words

WORDS = {"red": ("r",), "green": ("g",), "blue": ("b",)}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image with its marks already drawn, its answer read from `column` (by default `nearest`).

    MedBLINK's images keep the benchmark's own answers.
    """
    if source.benchmark == "medblink":
        words = dot_words(_ultrasound.COLOURS)
        yield from benchmark_items(source, (_asked(source),), words, task="wave-depth")
        return
    said = answers(source, column or "nearest", WORDS, task="wave-depth")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


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
    classes=_ultrasound.COLOURS,
    version=1,
    items=_items,
    phantoms=_ultrasound.source,
)
