"""What a run is asked for: frozen settings, with the command line that repeats them."""

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hub.objects import is_url, scrubbed, shown
from slitlamp.errors import UsageError
from slitlamp.log import say


def _flag(default: Any, text: str, **extra: Any) -> Any:
    """A field with its help text and argparse details in its metadata."""
    meta = {"help": text, **extra}
    if isinstance(default, tuple):
        return field(default_factory=lambda: default, metadata=meta)
    return field(default=default, metadata=meta)


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What is asked, of which images, and how files are read."""

    task: tuple[str, ...] = _flag(
        (),
        "questions to put; `python -m experiments.list tasks` names them (omitted: orientation, or label with --label)",
        metavar="NAME",
    )
    data: str | None = _flag(
        None,
        "images: a folder, a CSV/Parquet manifest, a DICOM tree, a NIfTI file, webdataset tars (a-{000..010}.tar), "
        "each also at s3://, gs:// or https://; hf://datasets/OWNER/NAME; or a benchmark (medblink, mediconfusion, "
        "mmvp, mmvp-vlm, blink; NAME:PATH for a local copy); omitted: built-in phantoms",
        metavar="SOURCE",
    )
    label: str | None = _flag(None, "column of the manifest that holds the answer", metavar="COLUMN")
    classes: bool = _flag(False, "the values of --label are classes, also where they look like numbers")
    number: bool = _flag(False, "the values of --label are numbers, also where they take few values")
    not_missing: tuple[str, ...] = _flag(
        (), "words of --label that look like a mark of a missing answer and are an answer (none)", metavar="WORD"
    )
    group: str | None = _flag(None, "column that may not be split over folds (patient, sequence)", metavar="COLUMN")
    evidence: str | None = _flag(
        None,
        "column with where the evidence lies: a box `x0 y0 x1 y1` in pixels (several with ;), or a mask file; or four "
        "columns x,y,width,height",
        metavar="COLUMN",
    )
    volumes: bool = _flag(
        False,
        "make one item of each NIfTI file (each time point) or DICOM series, not of each slice; the encoder must read "
        "volumes: radfm, or a file of your own",
    )
    image_column: str | None = _flag(
        None, "column that holds the image files (omitted: found by its name)", metavar="COLUMN"
    )
    window: str | None = _flag(
        None,
        "grey window: a name (soft, lung, bone …), CENTRE/WIDTH, full, minmax, or file",
        metavar="WINDOW",
    )
    intercept: float = _flag(
        0.0,
        "added to stored values of 16-bit images before windowing (-1024 where value = HU + 1024)",
        metavar="NUMBER",
    )
    exif: str | None = _flag(None, "what to do with EXIF orientation", choices=("apply", "ignore"))
    unreadable: float = _flag(0.05, "largest share of unreadable images that a run accepts", metavar="SHARE")
    copies: str = _flag(
        "refuse",
        "what to do where copies of one image lie in more than one group: refuse, unite the groups, or warn and go on",
        choices=("refuse", "unite", "warn"),
    )
    spelling: str = _flag(
        "refuse",
        "what to do where answers or groups differ only in spelling (P7, p7): refuse, unite them, or keep them apart",
        choices=("refuse", "unite", "keep"),
    )
    pool: str | None = _flag(
        None,
        "20 or more unlabelled images of the same kind, from other groups, along whose mixtures differences are "
        "planted (omitted: the images of --data, a fold at a time)",
        metavar="SOURCE",
    )
    items: int = _flag(200, "how many phantom items to make when --data is omitted", metavar="N")
    limit: int | None = _flag(None, "use only N images (marked `limited` in every record)", metavar="N")
    take_groups: int | None = _flag(
        None,
        "use N groups, drawn at random (patients, where --group names them): a point of a learning curve",
        metavar="N",
    )
    draw: int = _flag(
        0, "which draw of --take-groups; the groups of a draw are among those of the same draw of more", metavar="D"
    )
    seed: int = _flag(0, "seed of every random choice", metavar="N")
    offline: bool = _flag(False, "never ask a hub")


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which encoders are asked, where they are read, and how they compute."""

    encoder: tuple[str, ...] = _flag(
        ("phantom-clip",),
        "encoders to ask; `python -m experiments.list encoders` names them; LABEL=NAME gives one another name in "
        "tables and figures, so that two checkpoints of one network can be asked",
        metavar="NAME",
    )
    site: tuple[str, ...] = _flag(
        (),
        "sites to read, of every encoder that has them (omitted: all); an ending * matches a family, e.g. block.*",
        metavar="SITE",
    )
    readout: tuple[str, ...] = _flag(
        (), "readouts, at every site that has them (omitted: all the site has)", metavar="READOUT"
    )
    twins: int | None = _flag(
        None,
        "untrained draws of the network, from 3 on a bound for those that were not drawn, which what is credited to "
        "learning must surpass (omitted: 5, encoded only where the controls of the image alone are surpassed)",
        metavar="N",
    )
    weights: tuple[str, ...] = _flag(
        (),
        "local weights in the library's own format, instead of the hub: a PATH, or NAME=PATH for each of several "
        "encoders",
        metavar="PATH",
    )
    other_weights: bool = _flag(
        False,
        "take weights that are not those of the encoder's card (a fine-tuned or another network): shown everywhere as "
        "'NAME (other weights)'",
    )
    image_size: int | None = _flag(
        None,
        "side in pixels of the images that the networks see, in place of their own (omitted: as the card says); "
        "`python -m experiments.list encoders` says which can",
        metavar="N",
    )
    offline: bool = _flag(False, "never ask a hub")
    device: str = _flag(
        "auto",
        "cpu, cuda:0, mps …; auto is CUDA where there is one, else Apple's mps, else cpu; recorded",
        metavar="DEVICE",
    )
    dtype: str = _flag("float32", "compute type of the encoder", choices=("float32", "bfloat16", "float16"))
    compile: bool = _flag(
        False,
        "compile the networks with torch before they encode: minutes once, then more images a second (on a GPU above "
        "all); features are held against the plain network's, and kept apart from them",
    )
    batch_size: int = _flag(16, "images per forward pass (volumes go one by one)", metavar="N")


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """How the answers are probed, and how sure one may be."""

    probe: str | None = _flag(
        None,
        "probe of the headline (omitted: ridge below 200 groups, nested logistic from there on)",
        metavar="NAME",
    )
    folds: int | None = _flag(None, "outer folds (omitted: 10, or 5 below 100 groups)", metavar="K")
    repeats: int | None = _flag(None, "repeats of the folds (omitted: 5, fewer as the data grow)", metavar="R")
    permutations: int | None = _flag(None, "label permutations (omitted: 1999; 499 from 20,000 items)", metavar="B")
    reference: str | None = _flag(
        None,
        "what the loss of a point is measured against: pixels, untrained, another encoder, or a SITE/READOUT of its "
        "own (omitted: the best of these before the point, chosen inside the training folds)",
        metavar="NAME",
    )
    seed: int = _flag(0, "seed of every random choice", metavar="N")
    probe_device: str = _flag(
        "auto",
        "where the probe's linear algebra is computed, in float64: cpu, cuda:0 …, or torch-cpu (a GPU's code without "
        "one); auto is CUDA where there is one and features are so large that it pays, else cpu; recorded",
        metavar="DEVICE",
    )
    jobs: int | None = _flag(None, "processes that probe (omitted: one per core)", metavar="N")


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """What is written and printed; none of it can change a number."""

    out: str | None = _flag(
        None,
        "folder for cells, tables and figures (omitted: one of its own under runs/, named by encoder, task and a "
        "digest of the command); one that holds another run is refused",
        metavar="DIR",
    )
    replace: bool = _flag(False, "write over what another run left in --out")
    config: str | None = _flag(None, "TOML file whose keys are these flags; flags win", metavar="FILE.toml")
    dry_run: bool = _flag(False, "say what there is to do, how long it takes and what is missing, and stop")
    json: bool = _flag(False, "print one JSON document instead of the table")
    table: str = _flag(
        "summary",
        "what is printed: a line for each question and encoder, or the full map of all points as well (it lies in "
        "table.csv either way)",
        choices=("summary", "full"),
    )
    debug: bool = _flag(False, "show the traceback of an error")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a run was asked for, in four parts; what is not here cannot change a result.

    `seed` and `offline` are one flag each, and stand in every part that needs them.
    """

    encoder: EncoderSettings = EncoderSettings()
    source: SourceSettings = SourceSettings()
    probe: ProbeSettings = ProbeSettings()
    output: OutputSettings = OutputSettings()

    @classmethod
    def of(cls, **flags: Any) -> "Settings":
        """The settings that flags name, the others at their defaults."""
        return cls().but(**flags)

    def but(self, **flags: Any) -> "Settings":
        """These settings with other values for the flags that are named."""
        strange = set(flags) - set(FLAGS)
        if strange:
            raise TypeError(f"no flag {sorted(strange)[0]!r}")
        parts = {}
        for part in fields(self):
            old = getattr(self, part.name)
            known = {entry.name for entry in fields(old)}
            parts[part.name] = replace(old, **{k: v for k, v in flags.items() if k in known})
        return replace(self, **parts)

    def flag(self, name: str) -> Any:
        """The value of one flag."""
        return getattr(getattr(self, PART_OF[name]), name)


PART_OF = {entry.name: part.name for part in fields(Settings) for entry in fields(part.type)}  # type: ignore[arg-type]
FLAGS: dict[str, "Field[Any]"] = {
    entry.name: entry
    for part in fields(Settings)
    for entry in fields(part.type)  # type: ignore[arg-type]
}


WHOLE_PATH = re.compile(r"(?P<before>(?:[^/\\~]*[=:])?)(?P<path>[/~].*|[A-Za-z]:[\\/].*)", re.DOTALL)
UNSAID = ("out", "replace", "json", "table", "debug", "dry_run", "config", "jobs")  # flags that change no number
OF_FILES = ("group", "evidence", "image_column", "window", "intercept", "exif", "copies", "spelling", "unreadable")

OF_MAPS = ("evidence",)  # flags that only a command which draws maps acts on


def unused_flags(settings: Settings) -> None:
    """Refuses flags that would have nothing to act on: those of files without any, and --items beside --data."""
    default = Settings()
    given = [name for name in OF_FILES if settings.flag(name) != default.flag(name)]
    if given and settings.source.data is None and settings.source.pool is None:
        raise UsageError(
            f"--{given[0].replace('_', '-')} {settings.flag(given[0])} has nothing to act on: the built-in phantoms "
            "are no files; give --data SOURCE"
        )
    if settings.source.data is not None and settings.source.items != default.source.items:
        raise UsageError(
            f"--items {settings.source.items} makes phantoms, and --data has its own images; --limit N takes some"
        )


def unused_of_maps(given: Mapping[str, Any], command: str) -> None:
    """Refuses flags of maps where a command draws none."""
    idle = [name for name in OF_MAPS if given.get(name) is not None]
    if idle:
        raise UsageError(f"{idle[0]} has nothing to act on in {command}: it says where maps of attribution are to lie")


LEAST = {
    "items": 2,
    "folds": 2,
    "repeats": 1,
    "permutations": 19,
    "batch_size": 1,
    "image_size": 1,
    "limit": 1,
    "seed": 0,
    "jobs": 1,
    "twins": 0,
    "take_groups": 2,
    "draw": 0,
}


def check_bounds(settings: Settings) -> None:
    """Raises UsageError where a number of the settings is too small, or no share."""
    for name, least in LEAST.items():
        value = settings.flag(name)
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least {least}")
    if not 0 <= settings.source.unreadable <= 1:
        raise UsageError(f"--unreadable {settings.source.unreadable}: must be a share from 0 to 1")


def each_once(settings: Settings) -> Settings:
    """The settings with every name of a list once; what was given twice is said."""
    values: dict[str, Any] = {}
    for name in FLAGS:
        given = settings.flag(name)
        if isinstance(given, tuple) and len(set(given)) < len(given):
            twice = dict.fromkeys(one for one in given if given.count(one) > 1)
            say(f"--{name.replace('_', '-')} {' '.join(twice)} is given more than once; it is taken once")
            values[name] = tuple(dict.fromkeys(given))
    return settings.but(**values)


def checked(settings: Settings) -> Settings:
    """The settings, once all of them fit together, each name once; raises UsageError in one line."""
    settings = each_once(settings)
    check_bounds(settings)
    unused_flags(settings)
    if settings.source.draw and settings.source.take_groups is None:
        raise UsageError(
            f"--draw {settings.source.draw} has nothing to act on: --take-groups N says how many are drawn"
        )
    if settings.source.volumes and settings.source.data is None:
        raise UsageError("--volumes needs --data SOURCE (NIfTI files or DICOM series): the built-in phantoms are flat")
    return settings


def portable(text: str) -> str:
    """What tables and files call a thing that is given by its path: as it was typed, of a whole path the last part.

    Where a folder lies is the machine's affair, and may name a hospital, a person or a user. `NAME=PATH` and
    `random:PATH` keep what stands before the path; an address (`s3://…`) is shown without credentials.

    >>> portable("/"), portable("films/manifest.csv"), portable("a = /b, or not"), portable("random:/tmp#1")
    ('/', 'films/manifest.csv', 'a = /b, or not', 'random:tmp#1')
    >>> portable("https://me:secret@host/a.csv?sig=0a1b"), portable("/films/a-{0..1}.tar")
    ('https://host/a.csv', 'a-{0..1}.tar')
    """
    if is_url(text):
        return shown(text)
    found = WHOLE_PATH.fullmatch(text)
    if found is not None and "{" in text:  # shards whose names it stands for
        return found["before"] + Path(found["path"]).name
    if found is None or not os.path.exists(Path(found["path"]).expanduser()):  # noqa: PTH110  False of any odd text
        name, _, draw = text.rpartition("#")  # of an untrained encoder
        return f"{portable(name)}#{draw}" if name and draw.isdigit() else text
    return found["before"] + (Path(found["path"]).name or found["path"])


_SHORTENED: dict[str, None] = {}  # what stands for whole paths in the lines that were made


def line_of(words: Iterable[str]) -> str:
    """Words as a line for a shell, paths as `portable` has them."""
    given = list(words)
    shown = [portable(word) for word in given]
    _SHORTENED.update(dict.fromkeys(short for short, word in zip(shown, given, strict=True) if short != word))
    return shlex.join(shown)


def told_of_paths() -> str:
    """A sentence about the whole paths that lines have shortened since the last call; empty where there were none."""
    names = [*_SHORTENED]
    _SHORTENED.clear()
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"note: of whole paths tables and files hold the last part alone ({', '.join(names[:3])}{more}), so that none "
        "names your folders; typed relative, a path stays whole, and the line that repeats the run runs as it is"
    )


def command_line(settings: Settings, command: str, *, whole: bool = False) -> str:
    """The line that repeats a run: flags that differ from their defaults, but not where output went.

    Paths are as they were typed, of a whole path (`/data/films`) the last part, unless `whole` asks for all of it.
    """
    default = Settings()
    words = ["python", "-m", f"experiments.{command}"]
    for name in FLAGS:
        value = settings.flag(name)
        always = name == "encoder"
        if name in UNSAID or (value == default.flag(name) and not always):
            continue
        words.append("--" + name.replace("_", "-"))
        if not isinstance(value, bool):
            words.extend(
                value if isinstance(value, tuple) else [f"{value:g}" if isinstance(value, float) else str(value)]
            )
    return shlex.join(map(scrubbed, words)) if whole else line_of(words)


def folder_of_its_own(command: str, encoders: tuple[str, ...], task: tuple[str, ...], line: str) -> str:
    """`runs/COMMAND/ENCODER-TASK-DIGEST`, where a run is written that names no folder.

    The digest is that of the `line` that repeats the run: the same question goes to the same folder, another elsewhere.
    """
    names = [re.sub(r"[^\w.+-]+", "-", Path(one).stem if one.endswith(".py") else one) for one in (*encoders, *task)]
    shown = "-".join(name.strip("-.")[:24] for name in names)[:64]
    digest = hashlib.sha256(line.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"runs/{command}/{shown}-{digest}"


def with_folder(settings: Settings, command: str) -> Settings:
    """The settings with an output folder: the one that is named, or one of the run's own."""
    if settings.output.out is not None:
        return settings
    source = settings.source
    asked = source.task or ((source.label,) if source.label else ("orientation",))
    line = command_line(settings, command, whole=True)  # two folders of one name are two sources
    return settings.but(out=folder_of_its_own(command, settings.encoder.encoder, asked, line))
