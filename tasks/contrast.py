"""Is the slice enhanced by contrast medium: a CT slice of one patient before or after the injection."""

from functools import partial

from tasks._base import Task
from tasks._labels import labelled_items
from tasks.phantoms.abdomen import axial

WORDS = {
    "plain": ("0", "no", "false", "pre", "plain", "native", "unenhanced", "non-contrast"),
    "enhanced": ("1", "yes", "true", "post", "enhanced", "contrast"),
}

BENCHMARK_WORDS = {
    "plain": ("no contrast", "without contrast", "non-contrast", "noncontrast", "unenhanced", "pre-contrast"),
    "enhanced": ("contrast", "with contrast", "contrast-enhanced", "contrast enhanced", "post-contrast"),
}
YES = {
    "plain": ("without contrast", "without intravenous contrast", "no contrast", "non-contrast", "noncontrast",
              "unenhanced", "pre-contrast"),
    "enhanced": ("contrast", "enhance", "post-contrast", "with contrast"),
}  # fmt: skip


TASK = Task(
    name="contrast",
    question="Is this CT slice enhanced by intravenous contrast medium?",
    asks=(
        "Was contrast medium given for this CT slice?",
        "Are the vessels of this CT slice enhanced?",
        "Is this a plain or an enhanced CT slice?",
        "Was this slice taken with or without intravenous contrast medium?",
    ),
    wordings=(("without contrast medium", "with contrast medium"), ("not enhanced", "enhanced by contrast medium")),
    facts=("This CT slice is plain.", "This CT slice is enhanced."),
    classes=axial.CLASSES,
    version=1,
    items=partial(
        labelled_items,
        task="contrast",
        default="contrast",
        words=WORDS,
        medblink=("image_enhancement_detection",),
        benchmark_words=BENCHMARK_WORDS,
        yes=YES,
    ),
    phantoms=axial.source,
)
