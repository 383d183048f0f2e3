"""Does the chest film show a child or an adult: proportions of heart, rib cage and ribs.

After MedBLINK's description: a child's heart is larger against the thorax, the thoracic cage is rounder and its
ribs lie more level.
"""

from functools import partial

from tasks._base import Task
from tasks._labels import labelled_items
from tasks.phantoms.chest import child

WORDS = {
    "child": ("paediatric", "pediatric", "children", "infant"),
    "adult": ("adults", "grown-up"),
}
BENCHMARK_WORDS = {
    "child": ("pediatric", "paediatric", "pediatric patient", "a child"),
    "adult": ("adult patient", "an adult"),
}
YES = {"child": ("pediatric", "paediatric", "child"), "adult": ("adult",)}


TASK = Task(
    name="age",
    question="Does the chest film show a child or an adult?",
    classes=child.CLASSES,
    version=1,
    items=partial(
        labelled_items,
        task="age",
        default="age",
        words=WORDS,
        medblink=("age_estimation",),
        benchmark_words=BENCHMARK_WORDS,
        yes=YES,
    ),
    phantoms=child.source,
)
