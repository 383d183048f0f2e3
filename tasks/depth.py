"""Which of three coloured marks is nearest to the camera, in an endoscopic view."""

from functools import partial

from tasks._base import Task
from tasks._labels import dot_words, labelled_items
from tasks.phantoms.lumen import view

WORDS = {"red": ("r",), "green": ("g",), "blue": ("b",)}


TASK = Task(
    name="depth",
    question="Which marker is nearest to the camera: the red, the green or the blue one?",
    classes=view.COLOURS,
    version=1,
    items=partial(
        labelled_items,
        task="depth",
        default="nearest",
        words=WORDS,
        medblink=("visual_depth_estimation",),
        benchmark_words=dot_words(view.COLOURS),
    ),
    phantoms=view.source,
)
