"""Which of three coloured marks is nearest to the camera, in an endoscopic view."""

from functools import partial

from tasks import _lumen
from tasks._answers import told_items
from tasks._base import Task
from tasks._benchmarks import dot_words

WORDS = {"red": ("r",), "green": ("g",), "blue": ("b",)}


TASK = Task(
    name="depth",
    question="Which marker is nearest to the camera: the red, the green or the blue one?",
    classes=_lumen.COLOURS,
    version=1,
    items=partial(
        told_items,
        task="depth",
        default="nearest",
        words=WORDS,
        medblink=("visual_depth_estimation",),
        told=dot_words(_lumen.COLOURS),
    ),
    phantoms=_lumen.source,
)
