"""What the command about attribution is asked for, beside the settings of every run."""

from dataclasses import dataclass

from plugins import hint
from slitlamp.commands import Command
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag, check_bounds, unused_flags

FLAGS_OF_RUN = (
    "encoder", "task", "data", "label", "classes", "number", "not_missing", "group", "evidence", "image_column",
    "window", "intercept", "exif", "unreadable", "copies", "spelling", "limit", "seed", "site", "readout", "weights",
    "other_weights", "image_size", "offline", "device", "batch_size", "probe", "folds", "repeats", "permutations",
    "out", "replace", "dry_run", "json", "debug",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AttributionSettings:
    """What is explained, of which images, and by which methods."""

    items: tuple[str, ...] = _flag(
        (),
        "images to explain, by id or file (omitted: --count of them, of all answers and of different groups)",
        metavar="ID",
    )
    count: int = _flag(12, "images to explain where none is named; a trial needs 6 that are independent", metavar="N")
    method: tuple[str, ...] = _flag((), "methods (omitted: every one that the encoder has)", metavar="NAME")
    pair: tuple[str, ...] = _flag(
        (), "explain the similarity of two images, by id or file, instead of a probe's answer", metavar="IMAGE"
    )
    text: tuple[str, ...] = _flag(
        (),
        "explain the similarity to a text (or to the first less that to the second) in the joint space, instead of a "
        "probe's answer",
        metavar="TEXT",
    )
    thumbnails: bool = _flag(False, "show your own images under the maps (phantoms are always shown)")


def check(settings: Settings, own: AttributionSettings) -> None:
    """Raises UsageError where flags do not fit together, UnknownName for a method that is none."""
    from probes import attribution

    check_bounds(settings)
    unused_flags(settings)
    for flag, given in (("--site", settings.encoder.site), ("--readout", settings.encoder.readout)):
        if len(given) > 1:
            raise UsageError(f"{flag} {' '.join(given)}: one at a time; a map is of one number")
    for name in own.method:
        attribution.find(name)
    if own.count < 1:
        raise UsageError(f"--count {own.count}: must be at least 1")
    _one_question(settings, own)
    known = ("ridge", "linear")
    if settings.probe.probe is not None and settings.probe.probe not in known:
        raise UsageError(
            f"--probe {settings.probe.probe}: {hint(settings.probe.probe, known)}a hyperplane is explained, that of "
            "ridge or linear"
        )


def _one_question(settings: Settings, own: AttributionSettings) -> None:
    if own.pair and own.text:
        raise UsageError("--pair and --text are two questions: ask one at a time")
    if own.pair and len(own.pair) != 2:
        raise UsageError(f"--pair takes two images, not {len(own.pair)}")
    if len(own.text) > 2:
        raise UsageError(f"--text takes one text, or two whose similarities are compared, not {len(own.text)}")
    if any(not text.strip() for text in own.text):
        raise UsageError("--text has an empty text; give words, in quotes")
    twice = [text for text in own.text if own.text.count(text) > 1]
    if twice:
        raise UsageError(f"--text names {twice[0]!r} twice: the similarity to it less itself is 0")
    if own.pair and own.items:
        raise UsageError("--items has nothing to act on: --pair names the images")
    if own.thumbnails and settings.source.data is None:
        raise UsageError("--thumbnails has nothing to act on: phantoms are always shown")
    if own.pair or own.text:
        probing = [f for f in ("probe", "folds", "repeats", "permutations") if settings.flag(f) is not None]
        if probing:
            raise UsageError(f"--{probing[0]} has nothing to act on: no probe answers where a similarity is explained")


COMMAND = Command(
    name="attribution",
    about="which pixels an answer rests on, and whether that map may be believed",
    own=AttributionSettings,
    flags=FLAGS_OF_RUN,
    default=Settings.of(out=""),
    check=check,
    home="slitlamp.attribution.run.attribute",
    of_answers=True,
    asks=lambda settings, _: settings.encoder.encoder,
    unpriced="the probes, and the maps of each method with their trials",
)
