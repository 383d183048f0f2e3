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
    classes=marked.CLASSES,
    version=1,
    items=partial(
        labelled_items, task="relative-position", default="quarter", words=WORDS, medblink=("relative_position",)
    ),
    phantoms=marked.source,
)
