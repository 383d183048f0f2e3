"""Which tissue lies under the coloured mark, in a section stained with haematoxylin and eosin."""

from functools import partial

from tasks import _tissue
from tasks._answers import told_items
from tasks._base import Task

WORDS = {
    "epithelium": ("epithelial", "squamous epithelium"),
    "stroma": ("lamina propria", "connective tissue", "submucosa"),
    "muscle": ("muscularis", "smooth muscle", "muscularis propria"),
    "fat": ("adipose", "adipose tissue"),
}


TASK = Task(
    name="histology",
    question="Which tissue lies under the marker: epithelium, stroma, muscle or fat?",
    classes=_tissue.CLASSES,
    version=1,
    items=partial(told_items, task="histology", default="tissue", words=WORDS, medblink=("histology_structure",)),
    phantoms=_tissue.source,
)
