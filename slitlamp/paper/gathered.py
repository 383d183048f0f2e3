"""What a report is made of: the runs that were named, and every claim that their records make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slitlamp.errors import UsageError
from slitlamp.records import Record, best_of
from slitlamp.reports.result import CommandResult
from slitlamp.runs import GRID, StoredRun, open_runs, read_document


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Other:
    """A run of another command (maps, attribution, pairs, prompts, a comparison): its folder and its document."""

    folder: Path
    document: Mapping[str, Any]

    @property
    def experiment(self) -> str:
        """The command that left it."""
        return str(self.document["experiment"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """Everything that a report shows: probing runs with their claims, other runs, and what was compared.

    `failed` are lines of grids whose cells could not be computed; `compared` the comparison of the runs, None where
    there is nothing to compare.
    """

    runs: Sequence[StoredRun]
    others: Sequence[Other]
    claims: Sequence[Claim]
    failed: Sequence[str]
    compared: CommandResult | None = None


def gather(folders: Sequence[str | Path]) -> Gathered:
    """The runs of several folders, of any command, in the order in which they are named.

    Raises:
        UsageError: no folder is named, one is named twice, or one holds no whole run of this version.
    """
    if not folders:
        raise UsageError("no run is named; give the folders of runs, as --out named them or as they lie under runs/")
    homes = [Path(one).resolve() for one in folders]
    twice = [str(given) for k, given in enumerate(folders) if homes[k] in homes[:k]]
    if twice:
        raise UsageError(f"{twice[0]} is named twice")
    runs: list[StoredRun] = []
    others: list[Other] = []
    failed: list[str] = []
    for one in folders:
        document = read_document(Path(one))
        if document["experiment"] in ("linear_probe", GRID):
            runs += open_runs([one])
            failed += document.get("failed", ())
        else:
            others.append(Other(folder=Path(one), document=document))
    return Gathered(runs=runs, others=others, claims=[claim for run in runs for claim in claims_of(run)], failed=failed)


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
