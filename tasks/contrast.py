"""Is the slice enhanced by contrast medium: a CT slice of one patient before or after the injection."""

from collections.abc import Iterator

import numpy as np

from tasks import _abdomen
from tasks._answers import answers
from tasks._base import Item, Source, Task
from tasks._benchmarks import benchmark_items

WORDS = {
    "plain": ("0", "no", "false", "pre", "plain", "native", "unenhanced", "non-contrast"),
    "enhanced": ("1", "yes", "true", "post", "enhanced", "contrast"),
}

TOLD = {
    "plain": ("no contrast", "without contrast", "non-contrast", "noncontrast", "unenhanced", "pre-contrast"),
    "enhanced": ("contrast", "with contrast", "contrast-enhanced", "contrast enhanced", "post-contrast"),
}
YES = {
    "plain": ("without contrast", "without intravenous contrast", "no contrast", "non-contrast", "noncontrast",
              "unenhanced", "pre-contrast"),
    "enhanced": ("contrast", "enhance", "post-contrast", "with contrast"),
}  # fmt: skip


def _items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001 - nothing is drawn
    """One item per image, its answer read from `column` (by default `contrast`), or MedBLINK's own."""
    if source.benchmark == "medblink":
        yield from benchmark_items(source, ("image_enhancement_detection",), TOLD, task="contrast", yes=YES)
        return
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
