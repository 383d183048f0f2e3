"""What a map may be coloured by: the answer, the group, and every nuisance that the source or the image knows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import tasks
from plugins import hint
from slitlamp.encoding.fill import encode_missing
from slitlamp.errors import UsageError
from slitlamp.pairs.spaces import stored
from slitlamp.questions import Question
from slitlamp.settings import Settings
from tasks import DataError, label
from tasks.sources.files import natural

if TYPE_CHECKING:
    from cache import Store

ANSWER, GROUP = "answer", "group"
CLASSES = 12  # of a nuisance, the most frequent; an item of another counts as unknown
LEAST = 10  # groups that a class of a nuisance must have
FEW = 10  # distinct numbers that are classes
FACTS = ("image size", "aspect", "brightness", "contrast", "sharpness", "detail", "JPEG blocks")
Kind = Literal["answer", "group", "nuisance"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Colouring:
    """A value of each of n items.

    `values` are int64 [n] places in `classes`, -1 where nothing is known, or float64 [n] with NaN where `classes` is
    None. `origin` says who knows it: the task, the manifest, the image or its file.
    """

    name: str
    kind: Kind
    values: np.ndarray
    classes: tuple[str, ...] | None
    origin: str

    @property
    def known(self) -> np.ndarray:
        """Whether each item has a value, bool [n]."""
        return np.isfinite(self.values) if self.classes is None else self.values >= 0


def colourings(
    settings: Settings, question: Question, asked: Sequence[str], store: "Store"
) -> tuple[list[Colouring], list[str]]:
    """The answer first, then the group, then nuisances; and sentences on columns that cannot be coloured by.

    Raises:
        UsageError: something in `asked` is not known, with the nearest name. DataError: a column in `asked` has no
        usable values.
    """
    answer = Colouring(name=ANSWER, kind="answer", values=question.y, classes=question.classes, origin="task")
    names, group = np.unique(question.groups, return_inverse=True)
    groups = Colouring(name=GROUP, kind="group", values=group.ravel().astype(np.int64),
                       classes=tuple(str(name) for name in names), origin="manifest")  # fmt: skip
    found = {ANSWER: answer, GROUP: groups}
    whole = _whole_columns(question)
    facts = _image_facts(settings, question, store) | _file_facts(settings, question)
    leave = {settings.source.label, settings.source.group} - set(asked)
    unusable: dict[str, list[str]] = {}
    for name, texts in whole.items():
        if name in leave or (asked and name not in asked):
            continue
        read = _column(question, name, texts, asked=name in asked)
        if isinstance(read, str):
            unusable.setdefault(read, []).append(name)
        else:
            found[name if name not in found else f"{name} (column)"] = read
    for name, values in facts.items():
        known = name if name not in found else f"{name} (image)"
        read = _fact(name, values, question)
        if read is not None:
            found[known] = replace(read, name=known)
        elif known in asked:
            raise DataError(f"--colour {known}: it is the same for all images")
    for name in asked:
        if name not in found and name not in whole:
            known = list(dict.fromkeys([*found, *whole, *facts]))
            raise UsageError(f"--colour {name}: {hint(name, known)}there are {', '.join(known)}")
    if GROUP in asked and len(names) == len(question.ids):
        raise DataError("--colour group: every image is alone in its group; --group COLUMN says which belong together")
    chosen = [found[name] for name in asked] if asked else _once([*found.values()], unusable)
    said = [f"{', '.join(names)} ({why})" for why, names in unusable.items()]
    return chosen, [f"not coloured by {'; '.join(said)}"] if said else []


def _once(found: Sequence[Colouring], unusable: dict[str, list[str]]) -> list[Colouring]:
    """The colourings without nuisances that say the same of every item as one before them, which are noted."""
    kept: list[Colouring] = []
    names: dict[bytes, str] = {}
    for one in found:
        what = one.values.astype(np.float64)
        if one.classes is not None:  # numbered as they come, whatever they are called
            _, first, code = np.unique(one.values, return_index=True, return_inverse=True)
            what = np.where(one.known, np.argsort(np.argsort(first))[code.ravel()], -1).astype(np.float64)
        same = names.setdefault(what.tobytes(), one.name)
        if same != one.name and one.kind == "nuisance":
            unusable.setdefault(f"the same as {same}", []).append(one.name)
        else:
            kept.append(one)
    return kept


def _whole_columns(question: Question) -> dict[str, list[str]]:
    """What each column says of each item: of the row that the item is, or is a copy of."""
    rows = {row.id: row for row in question.source.rows}
    own = [rows.get(name) or rows.get(name.rpartition(":")[0]) for name in question.ids]
    names = dict.fromkeys(column for row in rows.values() for column in row.columns)
    return {name: ["" if row is None else row.columns.get(name, "").strip() for row in own] for name in names}


def _column(question: Question, name: str, texts: Sequence[str], *, asked: bool) -> Colouring | str:
    """A column of the manifest, or why it is not coloured by; DataError where it was asked for."""
    items = tuple(
        tasks.Row(id=known, group=str(group), picture=picture, columns={name: text})
        for known, group, picture, text in zip(
            question.ids, question.groups, question.pictures.pictures, texts, strict=True
        )
    )
    source = replace(question.source, rows=items)
    try:
        read = label.read(source, name, label.Reading(spelling="keep"))
    except DataError as error:
        if asked:
            raise
        return "no value" if not any(texts) else str(error).split(":")[0][:80]
    answers = {row.id: value for row, value in read.rows}
    found = _values(name, "nuisance", [answers.get(known) for known in question.ids], question.groups, "manifest")
    if isinstance(found, str) and asked:
        raise DataError(f"--colour {name}: {found}")
    return found


def _values(
    name: str, kind: Kind, values: Sequence[str | float | None], groups: np.ndarray, origin: str
) -> Colouring | str:
    """Numbers or classes as a colouring, or why they are none."""
    known = [v for v in values if v is not None]
    distinct = len(set(known))
    if distinct < 2:
        return "one value"
    if 2 * len(known) < len(values):
        return "unknown of most images"
    if all(isinstance(v, float) for v in known):
        numbers = np.array([np.nan if v is None else float(v) for v in values])
        return Colouring(name=name, kind=kind, values=numbers, classes=None, origin=origin)
    holders: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for value, group in zip(values, groups, strict=True):
        if value is not None:
            holders.setdefault(str(value), set()).add(str(group))
            counts[str(value)] += 1
    usual = [value for value, _ in counts.most_common() if len(holders[value]) >= LEAST][:CLASSES]
    if len(usual) < 2 or 2 * sum(counts[value] for value in usual) < len(values):
        return "a value for almost every image" if distinct > CLASSES else f"fewer than {LEAST} groups in a class"
    classes = tuple(sorted(usual, key=natural))
    codes = {value: k for k, value in enumerate(classes)}
    return Colouring(
        name=name, kind=kind, classes=classes, origin=origin,
        values=np.array([codes.get(str(v), -1) if v is not None else -1 for v in values], np.int64),
    )  # fmt: skip


def _fact(name: str, values: Sequence[str | float | None], question: Question) -> Colouring | None:
    """A fact of images or files; None where it is the same for all of them."""
    numbers = [v for v in values if isinstance(v, float)]
    if numbers and len({f"{v:.6g}" for v in numbers}) <= FEW:
        values = [v if v is None else f"{v:.4g}" for v in values]
    found = _values(name, "nuisance", values, question.groups, "image")
    return None if isinstance(found, str) else found


def _image_facts(settings: Settings, question: Question, store: "Store") -> dict[str, list[str | float | None]]:
    """What the control `lowlevel` measures of each image, by names that are understood."""
    encoder = stored("lowlevel", settings.but(site=(), readout=()), store)
    from encoders.lowlevel import NAMES

    (site, readout, width), *_ = encoder.points(0)
    table = encode_missing(encoder, replace(question.pictures, marks=()), [(site, readout, width)],
                           question.source.policy)  # fmt: skip
    x = dict(zip(NAMES, table.read(f"{site}/{readout}").astype(np.float64).T, strict=True))
    mean = np.mean([x[f"{c} mean"] for c in ("red", "green", "blue")], axis=0)
    spread = np.mean([x[f"{c} sd"] for c in ("red", "green", "blue")], axis=0)
    size = np.round(np.exp(x["log area"]))
    columns = (size, np.exp(x["aspect"]), mean, spread, x["edges above 16"], x["step entropy"], x["blockiness"])
    return {name: [float(v) for v in column] for name, column in zip(FACTS, columns, strict=True)}


def _file_facts(settings: Settings, question: Question) -> dict[str, list[str | float | None]]:
    """Format, quality of a JPEG and bytes per pixel of the files that images lie in, where they lie in files."""
    spec = settings.source.data
    if spec is None or question.source.benchmark or settings.source.volumes:
        return {}
    try:
        listed = tasks.files_of(spec, settings.source.image_column)[0]
    except DataError:
        return {}
    known: dict[str, tuple[str, float | None, float]] = {}
    for file in listed:
        path = Path(str(file.path))
        if path.is_file() and tasks.item_id(file.name) not in known:
            suffix = path.suffix.lower().lstrip(".").replace("jpeg", "jpg").replace("tiff", "tif")
            known[tasks.item_id(file.name)] = suffix, _quality(path) if suffix == "jpg" else None, path.stat().st_size
    own = [known.get(name) or known.get(name.rpartition(":")[0]) for name in question.ids]
    return {
        "file format": [None if one is None else one[0] for one in own],
        "JPEG quality": [None if one is None else one[1] for one in own],
        "bytes of the file": [None if one is None else float(one[2]) for one in own],
    }


STANDARD = 57.625  # mean of the luminance table in Annex K of the JPEG standard, which quality 50 is


def _quality(path: Path) -> float | None:
    """About the quality that the IJG library would have needed for a JPEG's first table, from its mean."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            tables: Mapping[int, Iterable[int]] = getattr(image, "quantization", {})
    except OSError:
        return None
    if 0 not in tables:
        return None
    scale = 100 * float(np.mean(list(tables[0]))) / STANDARD
    return float(round(100 - scale / 2 if scale <= 100 else 5000 / scale))
