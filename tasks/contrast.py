"""Is the slice enhanced by contrast medium: a CT slice of one patient before or after the injection."""

from collections.abc import Iterator

import numpy as np

from tasks import _abdomen
from tasks._answers import answers
from tasks._base import Item, Source, Task

WORDS = {
    "plain": ("0", "no", "false", "pre", "plain", "native", "unenhanced", "non-contrast"),
    "enhanced": ("1", "yes", "true", "post", "enhanced", "contrast"),
}


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image, its answer read from `column` (by default `contrast`)."""
    said = answers(source, column or "contrast", WORDS, task="contrast")
    for row, label in zip(source.rows, said, strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


TASK = Task(
    name="contrast",
    question="Is this CT slice enhanced by intravenous contrast medium?",
    classes=_abdomen.CLASSES,
    version=1,
    items=_items,
    phantoms=_abdomen.source,
)
