"""How many third molars are there, on a panoramic dental film."""

from functools import partial

from tasks import _panorama
from tasks._answers import told_items
from tasks._base import Task

WORDS = {
    "0": ("zero", "none"),
    "1": ("one",),
    "2": ("two",),
    "3": ("three",),
    "4": ("four",),
}


TASK = Task(
    name="teeth",
    question="How many third molars (wisdom teeth) are there on this panoramic film?",
    classes=_panorama.CLASSES,
    version=1,
    items=partial(told_items, task="teeth", default="count", words=WORDS, medblink=("morphology_quantification",)),
    phantoms=_panorama.source,
)
