"""Which of three coloured marks is nearest to the camera, where the light around the marks does not tell."""

from functools import partial

from tasks._base import Task
from tasks._labels import labelled_items
from tasks.depth import WORDS
from tasks.phantoms.lumen import matched
from tasks.phantoms.lumen.view import COLOURS

TASK = Task(
    name="depth-matched",
    question="Which marker is nearest to the camera: the red, the green or the blue one?",
    classes=COLOURS,
    version=1,
    items=partial(labelled_items, task="depth-matched", default="nearest", words=WORDS),
    phantoms=matched.source,
)
