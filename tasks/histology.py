"""Which tissue lies under the coloured mark, in a section stained with haematoxylin and eosin."""

from functools import partial

from tasks._base import Task
from tasks._labels import labelled_items
from tasks.phantoms.tissue import section

WORDS = {
    "epithelium": ("epithelial", "squamous epithelium"),
    "stroma": ("lamina propria", "connective tissue", "submucosa"),
    "muscle": ("muscularis", "smooth muscle", "muscularis propria"),
    "fat": ("adipose", "adipose tissue"),
}


TASK = Task(
    name="histology",
    question="Which tissue lies under the marker: epithelium, stroma, muscle or fat?",
    classes=section.CLASSES,
    version=1,
    items=partial(labelled_items, task="histology", default="tissue", words=WORDS, medblink=("histology_structure",)),
    phantoms=section.source,
)
