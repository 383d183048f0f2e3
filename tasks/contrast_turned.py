"""Is the slice enhanced by contrast medium, however it lies: supine or prone, seen from below or from above?

Which of the four ways a slice lies is drawn at random and tells nothing of the answer. A thumbnail has to know where
the vessels lie in each of them; whoever has learnt what an enhanced vessel looks like need not.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from tasks import contrast
from tasks._base import Item, Picture, Source, Task
from tasks._labels import labelled_items
from tasks._turns import Turn, as_stored, mirrored, turned, turned_twice
from tasks.images.decode import digest

WAYS: dict[str, Turn] = {"supine": as_stored, "mirrored": mirrored, "prone": turned_twice, "prone mirrored": np.flipud}


def items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:
    """Each slice once, in one of four ways, each way about equally often for each answer."""
    found = list(labelled_items(source, rng, column, task="contrast-turned", default="contrast", words=contrast.WORDS))
    way = np.empty(len(found), dtype=int)
    for answer in dict.fromkeys(item.label for item in found):
        mine = [i for i, item in enumerate(found) if item.label == answer]
        way[mine] = rng.permutation(len(mine)) % len(WAYS)
    names = list(WAYS)
    for item, k in zip(found, way, strict=True):
        turn = WAYS[names[k]]
        picture = Picture(
            read=partial(_turned, item.picture.read, turn),
            identity=partial(_identity, item.picture, names[k]),
        )
        evidence = {name: partial(_turned, mask, turn) for name, mask in item.evidence.items()}
        yield Item(id=item.id, group=item.group, label=item.label, picture=picture, evidence=evidence)


def _turned(read: Callable[[], np.ndarray], turn: Turn) -> np.ndarray:
    return turned(read(), turn)


def _identity(picture: Picture, name: str) -> str | None:
    base = picture.identity
    return None if base is None else digest("lies", "1", base, name)


TASK = Task(
    name="contrast-turned",
    question="Is this CT slice, however it lies, enhanced by intravenous contrast medium?",
    asks=contrast.TASK.asks,
    wordings=contrast.TASK.wordings,
    facts=contrast.TASK.facts,
    classes=contrast.TASK.classes,
    version=1,
    items=items,
    phantoms=contrast.TASK.phantoms,
)
