"""What an audit of visual prompts is asked for."""

from dataclasses import dataclass, fields
from pathlib import Path

from slitlamp.settings import Options

NAME = "visual_prompts"


KEPT = ("encoder", "task", "data", "label", "group", "image_column", "window", "intercept", "exif", "unreadable",
        "copies", "items", "site", "readout", "seed", "device", "dtype", "batch_size", "limit", "weights", "offline",
        "out", "json", "debug")  # fmt: skip


SIZES = (0.009, 0.018)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The command line: what all experiments know, and what only this one does."""

    options: Options
    sizes: tuple[float, ...]
    answers: str | None
    images: bool
    details: bool

    @property
    def out(self) -> Path:
        """The folder that the audit is written to."""
        return Path(self.options.out or f"runs/{NAME}")


def command_line(asked: Asked) -> str:
    """The line that repeats the run, but not where output went."""
    import shlex

    default, words = Options(task=("depth",)), ["python", "-m", f"experiments.{NAME}"]
    for name in (f.name for f in fields(Options) if f.name in KEPT and f.name not in ("out", "json", "debug")):
        value = getattr(asked.options, name)
        if value == getattr(default, name) and not (name == "task" or (name == "encoder" and asked.answers is None)):
            continue
        words.append("--" + name.replace("_", "-"))
        if not isinstance(value, bool):
            words += [str(v) for v in (value if isinstance(value, tuple) else (value,))]
    if asked.answers is not None:
        words += ["--answers", asked.answers]
    elif asked.sizes != SIZES:
        words += ["--sizes", *(f"{s:g}" for s in asked.sizes)]
    return shlex.join(words)
