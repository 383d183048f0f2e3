"""Is the image shown as a positive or as a negative?"""

import hashlib
from collections.abc import Iterator

import numpy as np

import tasks
from tasks import Item, Picture, Source, Task


def items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:
    """Every image twice, as it is and inverted; both copies stay in the image's group."""
    del rng, column  # nothing is drawn, and the answers are made here
    for row in source.rows:
        inverted = Picture(
            read=lambda row=row: 255 - row.picture.read(),
            identity=hashlib.sha256(f"negative 1 {row.picture.identity}".encode()).hexdigest(),
        )
        yield Item(id=f"{row.id}:positive", group=row.group, label="positive", picture=row.picture)
        yield Item(id=f"{row.id}:negative", group=row.group, label="negative", picture=inverted)


TASK = Task(
    name="negative",
    question="Is the image shown as a positive or as a negative?",
    classes=("positive", "negative"),
    version=1,
    items=items,
    phantoms=tasks.load("orientation").phantoms,
)
