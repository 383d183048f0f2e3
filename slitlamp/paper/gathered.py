"""What a report is made of: the runs that were named, and every claim that their records make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from slitlamp.errors import UsageError
from slitlamp.probing.state import CONTROLS
from slitlamp.records import Record, best_of
from slitlamp.reports.result import CommandResult
from slitlamp.reports.table import BLIND, blind_throughout, shown_p
from slitlamp.runs import DOCUMENTS, GRID, StoredRun, distinct_names, flags_of, open_runs, read_document

NOT_YET = "not computed yet"
REPORT = "report"  # the experiment whose folder is a report itself


@dataclass(frozen=True, kw_only=True, eq=False)
class Claim:
    """What one run says of one encoder and question: the verdict in words, and the record of its best point."""

    run: StoredRun
    task: str
    encoder: str
    verdict: Mapping[str, Any]
    best: Record

    @property
    def records(self) -> list[Record]:
        """The points of the encoder."""
        return [r for r in self.run.records if (r.role, r.task, r.encoder) == ("encoder", self.task, self.encoder)]

    @property
    def question(self) -> Mapping[str, Any]:
        """Who was asked: see `slitlamp.questions.facts_of`."""
        return self.run.questions[self.task]

    @property
    def control(self) -> bool:
        """Whether the encoder is a control itself, which computes what it gives from the pixels."""
        return self.encoder in CONTROLS

    @property
    def limit(self) -> float | None:
        """The strength from which on differences are excluded at every point; None of what is not absent."""
        known = [r.limit for r in (*self.records, self.best) if r.limit is not None]
        return max(known, default=None) if self.verdict["verdict"] == "absent" else None

    @property
    def blind(self) -> bool:
        """Whether its features are blind to the question by construction."""
        return blind_throughout(self.records)

    @property
    def said(self) -> str:
        """The verdict as people read it: what is blind by construction is not called undecided."""
        return BLIND if self.blind else self.verdict["verdict"]

    @property
    def nested(self) -> bool:
        """Whether `score` is that of a point chosen inside the training folds, or of the only point there is."""
        return self.verdict["score"] is not None

    @property
    def score(self) -> float:
        """What the encoder reads: nested where it could be, else the score of the highest point."""
        return self.verdict["score"] if self.nested else self.best.score

    @property
    def ends(self) -> tuple[float, float] | None:
        """The interval of `score`; of the highest point that which holds for all points. None of what has none."""
        names = ("low", "high") if self.nested else ("highest_low", "highest_high")
        low, high = (self.verdict[name] for name in names)
        return None if low is None or high is None or self.blind else (low, high)

    @property
    def p(self) -> float | None:
        """P with the search over points, encoders and questions of its command paid for; None of what is blind."""
        return shown_p(self.best)

    @property
    def refitted(self) -> bool:
        """Whether every point of its command was refitted to permuted labels, so that one maximum pays for all."""
        return all(r.p_from == "permutation" for r in self.run.records if r.role == "encoder")

    @property
    def synthetic(self) -> bool:
        """Whether its images or weights are made by this project."""
        return any(line.startswith("Synthetic:") for line in self.verdict["sentences"])

    @cached_property
    def flags(self) -> Mapping[str, tuple[str, ...]]:
        """The flags of its command, each with its values."""
        return flags_of(self.best.command)

    @cached_property
    def material(self) -> Mapping[str, Any] | None:
        """What its folds and permuted labels are made of; None where that does not lie in the run any more."""
        try:
            return self.run.material(self.best.plan_key)
        except UsageError:
            return None

    @cached_property
    def measured(self) -> Any:
        """The measurement of its best point, a `probes.Measurement`; None where its cell or its folds are not there."""
        try:
            return self.run.measurement(self.best)
        except UsageError:
            return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Other:
    """A run of another command (maps, attribution, pairs, prompts, a comparison): its folder and its document."""

    folder: Path
    document: Mapping[str, Any]

    @property
    def experiment(self) -> str:
        """The command that left it."""
        return str(self.document["experiment"])

    @property
    def synthetic(self) -> bool:
        """Whether images or weights are made by this project."""
        return any(line.startswith("Synthetic:") for line in self.document["notes"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """Everything that a report shows: probing runs with their claims, other runs, and what was compared.

    `failed` are lines of grids whose cells could not be computed, or not yet; `compared` the comparison of the runs,
    None where there is nothing to compare.
    """

    runs: Sequence[StoredRun]
    others: Sequence[Other]
    claims: Sequence[Claim]
    failed: Sequence[str]
    compared: CommandResult | None = None

    def label(self, claim: Claim) -> str:
        """What a claim is called: question and encoder, and the run where there are several."""
        where = f" ({claim.run.name})" if len(self.runs) > 1 else ""
        return f"{claim.task} · {claim.encoder}{where}"


def gather(folders: Sequence[str | Path]) -> Gathered:
    """The runs of several folders, of any command, in the order in which they are named.

    Raises:
        UsageError: no folder is named, one is named twice or is a report, or one holds no whole run of this version.
    """
    if not folders:
        raise UsageError("no run is named; give the folders of runs, as --out named them or as they lie under runs/")
    homes = [_home(one).resolve() for one in folders]
    twice = [str(given) for k, given in enumerate(folders) if homes[k] in homes[:k]]
    if twice:
        raise UsageError(f"{twice[0]} is named twice")
    runs: list[StoredRun] = []
    others: list[Other] = []
    failed: list[str] = []
    for one in folders:
        document = read_document(Path(one))
        if document["experiment"] in ("linear_probe", GRID):
            found = _whole(one)
            _each_once(one, runs, found)
            runs += found
            failed += _failures(document)
        elif document["experiment"] == REPORT:
            raise UsageError(f"{one} is a report; name the runs that it was made of: {document.get('command', '')}")
        else:
            others.append(Other(folder=_home(one), document=document))
    runs = _told_apart(runs)
    return Gathered(runs=runs, others=others, claims=[claim for run in runs for claim in claims_of(run)], failed=failed)


def _home(folder: str | Path) -> Path:
    """Where a run lies, as it was given; its document may be named instead of its folder."""
    path = Path(folder)
    return path.parent if path.name in DOCUMENTS else path


def _whole(folder: str | Path) -> list[StoredRun]:
    """The runs of a folder, once what a report needs of them is there."""
    try:
        found = open_runs([_home(folder)])
        for run in found:
            claims_of(run)
            _ = [run.questions[claim["task"]]["groups"] for claim in run.verdicts]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{folder} is not whole ({type(error).__name__}: {' '.join(str(error).split())[:80]}); repeat the command "
            "that wrote it"
        ) from None
    return found


def _each_once(given: str | Path, before: Sequence[StoredRun], found: Sequence[StoredRun]) -> None:
    known = {run.folder.resolve() for run in before}
    twice = [run for run in found if run.folder.resolve() in known]
    if twice:
        raise UsageError(f"{given} holds the run {twice[0].name}, which is named already: name the grid, or its runs")


def _failures(document: Mapping[str, Any]) -> list[str]:
    """Lines on what a grid lacks: cells that failed, and runs that are not computed yet."""
    lines = [str(line) for line in document.get("failed", ())]
    for run in document.get("runs", ()):
        if run["status"] == "pending":
            lines.append(f"{run['name']}: {NOT_YET}")
        elif run["status"] == "failed" and not any(run["name"] in line for line in lines):
            lines.append(f"{run['name']}: {run.get('error') or 'failed'}")
    return lines


def _told_apart(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The runs, those of one name with the folders around them."""
    return [replace(run, name=name) for run, name in zip(runs, distinct_names(runs), strict=True)]


def claims_of(run: StoredRun) -> list[Claim]:
    """One claim for each verdict of a run."""
    found = []
    for verdict in run.verdicts:
        own = [r for r in run.records if r.role == "encoder"]
        mine = [r for r in own if (r.task, r.encoder) == (verdict["task"], verdict["encoder"])]
        found.append(
            Claim(run=run, task=verdict["task"], encoder=verdict["encoder"], verdict=verdict, best=best_of(mine))
        )
    return found
