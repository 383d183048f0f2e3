"""What the command about a model's failures is asked for, beside the settings of every run."""

from dataclasses import dataclass

from plugins import hint
from slitlamp.answers.settings import CHOICE_FORMATS
from slitlamp.commands import Command
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag, check_bounds, unused_flags

FLAGS_OF_RUN = (
    "task", "data", "label", "classes", "not_missing", "group", "image_column", "window", "intercept", "exif",
    "unreadable", "copies", "spelling", "pool", "items", "limit", "take_groups", "draw", "seed", "twins", "weights",
    "other_weights", "image_size", "offline", "device", "dtype", "batch_size", "folds", "repeats", "permutations",
    "probe_device", "jobs", "out", "replace", "dry_run", "json", "debug",
)  # fmt: skip
CAUSAL = ("auto", "on", "off")


@dataclass(frozen=True, kw_only=True)
class DiagnoseSettings:
    """Which model is followed, what it is held against, and how its answers are had."""

    model: str = _flag(
        "",
        "the model that is followed: a whole multimodal one, or a contrastive one whose images are compared with texts",
        metavar="NAME",
    )
    reference: str | None = _flag(
        None,
        "another encoder that shows whether the answer can be read at all (omitted: the best of thumbnails, untrained "
        "draws of the tower and its own earlier points, chosen inside the training folds)",
        metavar="NAME",
    )
    external: tuple[str, ...] = _flag(
        (),
        "other images of the same classes, on which probes are trained that see none of the items: a folder or a "
        "manifest with the columns of --data, or a task whose phantoms are taken; TASK=SOURCE for one of several tasks",
        metavar="SOURCE",
    )
    reference_accuracy: float | None = _flag(
        None, "accuracy that others reach on these items (readers, a published model), as a share", metavar="SHARE"
    )
    prompt: tuple[str, ...] = _flag(
        (),
        "texts that stand for the classes of a contrastive model, CLASS=TEXT each, or a TOML file of lists by class "
        "(omitted: captions made of the classes' names and wordings)",
        metavar="CLASS=TEXT",
    )
    answers: str | None = _flag(
        None, "answers of the model that were made elsewhere, in place of asking it: a file, see `answers import`",
        metavar="FILE",
    )  # fmt: skip
    question: tuple[str, ...] = _flag(
        (), "the question in your own words, and further paraphrases (omitted: the task's)", metavar="TEXT"
    )
    options: tuple[str, ...] = _flag(
        (), "the options in your own words, in the order of the classes (omitted: the classes)", metavar="TEXT"
    )
    format: str = _flag("plain", "the prompt with which the model is asked", choices=CHOICE_FORMATS)
    paraphrases: int | None = _flag(
        None, "put the question in N ways of saying it at most (omitted: all; METHOD asks five)", metavar="N"
    )
    wordings: int = _flag(1, "word the options in N ways at most; the first are the classes' names", metavar="N")
    information: bool = _flag(
        False,
        "what is kept through the connector besides accuracy: usable information in bits, description length, "
        "neighbours, patches got back with their map",
    )
    causal: str = _flag(
        "auto",
        "erase, exchange and steer what the connector hands on, and see whether the answers follow (auto: where the "
        "model answers)",
        choices=CAUSAL,
    )


def check(settings: Settings, own: DiagnoseSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    unused_flags(settings)
    if not own.model:
        raise UsageError("--model NAME is needed: a multimodal model, or a contrastive one such as phantom-clip")
    share = own.reference_accuracy
    if share is not None and not 0 < share <= 1:
        raise UsageError(f"--reference-accuracy {share:g}: must be a share above 0, at most 1, e.g. 0.96")
    for flag, value in (("paraphrases", own.paraphrases), ("wordings", own.wordings)):
        if value is not None and value < 1:
            raise UsageError(f"--{flag} {value}: must be at least 1")
    if own.reference == own.model:
        raise UsageError(f"--reference {own.reference} is the model itself; name another encoder")
    if own.causal not in CAUSAL:
        raise UsageError(f"--causal {own.causal}: {hint(own.causal, CAUSAL)}there are {', '.join(CAUSAL)}")


COMMAND = Command(
    name="diagnose",
    about="where along a multimodal model a fact is lost: tower, connector, alignment with text, language model",
    own=DiagnoseSettings,
    flags=FLAGS_OF_RUN,
    default=Settings.of(out=""),
    check=check,
    home="slitlamp.diagnosis.run.diagnose",
    of_answers=True,
    asks=lambda _, own: (own.model, *([own.reference] if own.reference else [])),
    unpriced="the probes, and of a whole model its layers, its answers and the edits at its connector",
    words=lambda own: (own.model,),
)
