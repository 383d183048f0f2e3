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
    asks=(
        "How many wisdom teeth does this panoramic film show?",
        "Count the third molars on this dental film: how many are there?",
        "What is the number of third molars in this panoramic image?",
        "How many of the four wisdom teeth can be seen on this panoramic film?",
    ),
    wordings=(
        ("none", "one", "two", "three", "four"),
        ("no third molar", "one third molar", "two third molars", "three third molars", "four third molars"),
    ),
    facts=(
        "There are 0 third molars on this film.",
        "There is 1 third molar on this film.",
        "There are 2 third molars on this film.",
        "There are 3 third molars on this film.",
        "There are 4 third molars on this film.",
    ),
    classes=film.CLASSES,
    version=1,
    items=partial(labelled_items, task="teeth", default="count", words=WORDS, medblink=("morphology_quantification",)),
    phantoms=film.source,
)
