"""Which of three coloured marks is nearest to the camera, in an endoscopic view."""

from functools import partial

from tasks._base import Task
from tasks._labels import dot_words, labelled_items
from tasks.phantoms.lumen import view

WORDS = {"red": ("r",), "green": ("g",), "blue": ("b",)}


TASK = Task(
    name="depth",
    question="Which marker is nearest to the camera: the red, the green or the blue one?",
    asks=(
        "Which marker is closest to the camera?",
        "Which of the three coloured markers lies nearest to the endoscope's tip?",
        "Of the red, the green and the blue marker, which is at the smallest distance from the camera?",
        "Which marker lies least deep in this endoscopic view?",
    ),
    wordings=(("the red one", "the green one", "the blue one"), ("red marker", "green marker", "blue marker")),
    facts=(
        "The red marker is the nearest to the camera.",
        "The green marker is the nearest to the camera.",
        "The blue marker is the nearest to the camera.",
    ),
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
