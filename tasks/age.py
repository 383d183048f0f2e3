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
    asks=(
        "Is the patient on this chest film a child or an adult?",
        "Whose chest is on this film?",
        "Was this chest film taken of a child or of an adult?",
        "To which age group does the patient on this chest film belong?",
    ),
    wordings=(("a child", "an adult"), ("a paediatric patient", "an adult patient")),
    facts=("This chest film shows a child.", "This chest film shows an adult."),
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
