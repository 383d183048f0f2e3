"""Where in the patient does a mark lie, on a film that may be mirrored or turned.

What MedBLINK's task of this name asks is not known here to the letter, so this is a question of our own that
needs the anatomy: the red mark's quarter of the chest from the patient's point of view.
"""

from functools import partial

from tasks._base import Task
from tasks._labels import labelled_items
from tasks.phantoms.chest import marked

WORDS = {name: (name.replace(" ", "-"), name.replace(" ", "_")) for name in marked.CLASSES}


TASK = Task(
    name="relative-position",
    question="In which quarter of the patient's chest does the red mark lie, left being the patient's own left?",
    asks=(
        "Where in the patient's chest is the red mark, seen from the patient's own side?",
        "Which quarter of the chest holds the red mark, left meaning the patient's left?",
        "In which part of the patient's chest is the red mark placed?",
        "The red mark lies in which quarter of the patient's chest, from the patient's point of view?",
    ),
    wordings=(
        ("the upper left quarter", "the upper right quarter", "the lower left quarter", "the lower right quarter"),
        ("left side, above", "right side, above", "left side, below", "right side, below"),
    ),
    facts=(
        "The red mark lies in the upper left quarter of the patient's chest.",
        "The red mark lies in the upper right quarter of the patient's chest.",
        "The red mark lies in the lower left quarter of the patient's chest.",
        "The red mark lies in the lower right quarter of the patient's chest.",
    ),
    classes=marked.CLASSES,
    version=1,
    items=partial(
        labelled_items, task="relative-position", default="quarter", words=WORDS, medblink=("relative_position",)
    ),
    phantoms=marked.source,
)
