"""Which of three coloured marks is nearest to the camera, where the light around the marks does not tell."""

from functools import partial

from tasks._base import Task
from tasks._labels import labelled_items
from tasks.depth import TASK as DEPTH
from tasks.depth import WORDS
from tasks.phantoms.lumen import matched
from tasks.phantoms.lumen.view import COLOURS

TASK = Task(
    name="depth-matched",
    question=DEPTH.question,
    asks=DEPTH.asks,
    wordings=DEPTH.wordings,
    facts=DEPTH.facts,
    classes=COLOURS,
    version=1,
    items=partial(labelled_items, task="depth-matched", default="nearest", words=WORDS),
    phantoms=matched.source,
)
