"""How many third molars are there, on a panoramic dental film."""

from functools import partial

from tasks._base import Task
from tasks._labels import labelled_items
from tasks.phantoms.panorama import film

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
    classes=film.CLASSES,
    version=1,
    items=partial(labelled_items, task="teeth", default="count", words=WORDS, medblink=("morphology_quantification",)),
    phantoms=film.source,
)
