"""Records: one published number each, with everything that is needed to make it again."""

import dataclasses
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from slitlamp.reports.spreadsheet import as_csv as table_csv

SCHEMA = 3


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row of every table. None where a value was not computed; nothing is invented.

    `p_from` says whether `p_value` is a "permutation" p or comes from the spread over "folds"; `p_adjusted` has the
    search over all points, encoders and questions of the command paid for. `simultaneous_*` is an interval wide enough
    to hold for all points of the encoder's map at once, and so for the highest. `limit` is the weakest strength
    (accuracy, or concordance) that an absent excludes; `size_open` says that the interval of a present touches chance.

    `loss` is how much less the point reads than `reference`, which is the one that inner folds chose most often;
    `loss_low` and `loss_high` hold for all points of the map at once, and `loss_state` is material, reads less, kept or
    open.

    Of a number `r2_scores` is R2 of its normal scores and `r2_number` that of the number itself, as ridge trained on it
    reads it.

    `control_*` are scores of the controls on the same folds (of thumbnails the hardest to surpass, of untrained draws
    the mean); each control is a full record of its own with `role` "control". `control_shuffled*` are mean and range of
    refits to permuted labels. `seconds` is None here because records are the same bytes on every run: what a
    cell took stands in `timing.json`. `screened` marks a closed-form ridge where the headline is nested;
    `cell` and `plan_key` name the measurement and the folds, answers and permuted labels it rests on, both in `cells/`
    (see `slitlamp.runs`). `map_cell` is the same point by closed-form ridge, as the screened points beside it are read,
    where its own probe is another.
    `nested` is the nested score beside a fixed-penalty headline. `depth` is the share of an
    encoder's blocks (or stages) that lie up to and with this one; None for other sites. `probe_device` is where the
    linear algebra of the cell was computed, which a run that finds it finished does not compute anew.
    """

    experiment: str
    role: str
    encoder: str
    weights: str
    task: str
    source: str
    site: str
    readout: str
    depth: float | None
    probe: str
    screened: bool
    n_items: int
    n_groups: int
    n_classes: int | None
    metric: str
    score: float
    low: float | None
    high: float | None
    confidence: float
    chance: float
    p_value: float | None
    p_from: str
    p_adjusted: float | None
    mde: float | None
    limit: float | None
    simultaneous_low: float | None
    simultaneous_high: float | None
    margin: float
    verdict: str
    credit: str | None
    size_open: bool
    loss: float | None
    loss_low: float | None
    loss_high: float | None
    loss_state: str | None
    reference: str | None
    reason: str
    nested: float | None
    nested_low: float | None
    nested_high: float | None
    control_shuffled: float | None
    control_shuffled_low: float | None
    control_shuffled_high: float | None
    control_order: float | None
    control_pixels: float | None
    control_lowlevel: float | None
    control_random: float | None
    seed: int
    folds: int
    repeats: int
    permutations: int
    device: str
    dtype: str
    seconds: float | None
    features_key: str
    data_key: str
    cell: str
    plan_key: str
    code_version: str
    command: str
    limited: bool
    r2_scores: float | None = None
    r2_number: float | None = None
    map_cell: str | None = None
    probe_device: str | None = None


def best_of(records: Sequence[Record]) -> Record:
    """The record that every table, figure and sentence calls the best: the highest score of those that are present.

    Where none is present it is the highest of all; of equal scores the first.
    """
    present = [r for r in records if r.verdict == "present"]
    return max(present or records, key=lambda r: r.score)


@cache
def code_version() -> str:
    """The version with the commit it runs from, and `+dirty` where the tree differs from it."""
    try:
        base = version("slitlamp")
    except PackageNotFoundError:
        base = "0"
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return base
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return base
    return f"{base}+{head}{'.dirty' if dirty else ''}"


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout.strip()


def rounded(value: Any) -> Any:
    """Floats at ten significant digits: enough for any use, and the same text wherever sums are reordered."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value


def paid_p(r: Record) -> float | None:
    """P with the search over points, encoders and questions of its command paid for; of a control its own."""
    return r.p_value if r.p_adjusted is None else r.p_adjusted


def document(
    experiment: str,
    records: Sequence[Record],
    verdicts: Sequence[dict],
    files: Sequence[str],
    questions: Sequence[Mapping[str, Any]] = (),
    comparisons: Sequence[Mapping[str, Any]] = (),
) -> dict:
    """The JSON document of a run.

    `comparisons` are paired differences between its encoders, `questions` say who was asked, with which answers, and
    what was left out.
    """
    return {
        "schema": SCHEMA,
        "experiment": experiment,
        "questions": rounded([dict(question) for question in questions]),
        "records": [rounded(dataclasses.asdict(r)) for r in records],
        "verdicts": rounded(list(verdicts)),
        "comparisons": rounded([dict(row) for row in comparisons]),
        "files": list(files),
    }


def as_json(value: Any) -> bytes:
    """Readable JSON with a final newline."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a byte of a name that is no UTF-8 is JSON's own \\udcXX


def as_csv(records: Sequence[Record]) -> bytes:
    """All records as one CSV table; a missing value is an empty field."""
    names = [f.name for f in dataclasses.fields(Record)]
    return table_csv([rounded(dataclasses.asdict(record)) for record in records], names)
