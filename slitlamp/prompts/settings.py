"""What an audit of visual prompts is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slitlamp.errors import UsageError
from slitlamp.settings import FLAGS, UNSAID, Settings, each_once, folder_of_its_own, line_of, unused_flags

NAME = "visual_prompts"


KEPT = ("encoder", "task", "data", "label", "group", "image_column", "window", "intercept", "exif", "unreadable",
        "copies", "spelling", "items", "site", "readout", "seed", "device", "dtype", "batch_size", "limit", "weights",
        "other_weights", "image_size", "offline", "out", "replace", "dry_run", "json",
        "debug")  # fmt: skip


SIZES = (0.009, 0.018)


DEFAULT = Settings.of(task=("depth",))
OF_ENCODERS = (
    "encoder",
    "sizes",
    "site",
    "readout",
    "weights",
    "other_weights",
    "image_size",
    "device",
    "dtype",
    "batch_size",
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an audit is asked for: the settings of all runs, and those of audits alone.

    `sizes` are radii of marks besides their own, as shares of the shorter side; `answers` a CSV of a model's answers,
    audited instead of an encoder's; `images` writes every picture, `details` prints every responder in full.
    """

    settings: Settings
    sizes: tuple[float, ...] = SIZES
    answers: str | None = None
    images: bool = False
    details: bool = False

    @property
    def out(self) -> Path:
        """The folder that the audit is written to: one of its own where none is named."""
        if self.settings.output.out is not None:
            return Path(self.settings.output.out)
        who = (Path(self.answers).stem,) if self.answers else self.settings.encoder.encoder
        return Path(folder_of_its_own(NAME, who, self.settings.source.task, command_line(self)))


def command_line(asked: Asked) -> str:
    """The line that repeats the run, but not where output went."""
    default, words = DEFAULT, ["python", "-m", f"experiments.{NAME}"]
    for name in (name for name in FLAGS if name in KEPT and name not in UNSAID):
        value = asked.settings.flag(name)
        if value == default.flag(name) and not (name == "task" or (name == "encoder" and asked.answers is None)):
            continue
        words.append("--" + name.replace("_", "-"))
        if not isinstance(value, bool):
            words += [str(v) for v in (value if isinstance(value, tuple) else (value,))]
    if asked.answers is not None:
        words += ["--answers", asked.answers]
    elif asked.sizes != SIZES:
        words += ["--sizes", *(f"{s:g}" for s in asked.sizes)]
    return line_of(words)


def asked_for(given: dict[str, Any]) -> Asked:
    """An audit of the flags that were given; raises UsageError in one line where they do not fit."""
    own = {name: given[name] for name in ("sizes", "answers", "images", "details") if name in given}
    flags = {name: value for name, value in given.items() if name not in own}
    if isinstance(flags.get("task"), str):
        flags["task"] = (flags["task"],)
    asked = Asked(settings=each_once(DEFAULT.but(**flags)), **own)
    settings = asked.settings
    if len(settings.source.task) != 1:
        raise UsageError(f"--task {' '.join(settings.source.task)}: one question at a time is audited")
    for name, least in {"items": 10, "batch_size": 1, "image_size": 1, "seed": 0, "limit": 10}.items():
        value = settings.flag(name)
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least {least}")
    if not 0 <= settings.source.unreadable <= 1:
        raise UsageError(f"--unreadable {settings.source.unreadable}: must be a share from 0 to 1")
    if not settings.source.task[0].startswith("orientation") or not asked.answers:
        unused_flags(settings)  # a file of answers about turns names its own items
    if len(set(asked.sizes)) < len(asked.sizes):
        raise UsageError(f"--sizes {' '.join(f'{s:g}' for s in asked.sizes)}: one of them is given twice")
    for size in asked.sizes:
        if not 0.004 <= size <= 0.1:
            raise UsageError(f"--sizes {size:g}: a radius is a share of the shorter side from 0.004 to 0.1")
    clashing = [name for name in OF_ENCODERS if name in given]
    if asked.answers and clashing:
        clash = "--" + clashing[0].replace("_", "-")
        raise UsageError(f"--answers audits what a model said; {clash} asks an encoder: give one of the two")
    return asked
