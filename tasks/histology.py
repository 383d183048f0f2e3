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
    asks=(
        "What tissue does the marker point at?",
        "Which kind of tissue is under the coloured marker?",
        "The marker lies on which tissue?",
        "Which tissue of this stained section is marked?",
    ),
    wordings=(
        ("epithelial tissue", "connective tissue", "muscle tissue", "fatty tissue"),
        ("an epithelium", "the stroma", "a muscle layer", "adipose tissue"),
    ),
    facts=(
        "The marker lies on epithelium.",
        "The marker lies on stroma.",
        "The marker lies on muscle.",
        "The marker lies on fat.",
    ),
    classes=section.CLASSES,
    version=1,
    items=partial(labelled_items, task="histology", default="tissue", words=WORDS, medblink=("histology_structure",)),
    phantoms=section.source,
)
