"""A small run, gathered, and claims made of it under other names, encoders and tasks."""

import atexit
import dataclasses
import itertools
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import slitlamp
from slitlamp.paper.gathered import Claim, Gathered, gather
from slitlamp.reports.result import CommandResult
from tests.undrawn import no_figures


@cache
def folder() -> Path:
    home = Path(tempfile.mkdtemp(prefix="slitlamp-paper-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        no_figures(patch)
        slitlamp.probe("pixels", ["orientation"], items=24, permutations=19, out=home / "run")
    return home / "run"


@cache
def gathered() -> Gathered:
    return gather([folder()])


def claim(encoder: str, task: str, score: float | None = 0.8, verdict: str = "present", run: Any = None) -> Claim:
    base = gathered().claims[0]
    said = dict(base.verdict) | {
        "task": task, "encoder": encoder, "verdict": verdict, "score": score, "best": base.verdict["best"],
        "low": None if score is None else score - 0.1, "high": None if score is None else min(1.0, score + 0.1),
    }  # fmt: skip
    best = dataclasses.replace(base.best, encoder=encoder, task=task, verdict=verdict, limit=0.62, loss=-0.03)
    return Claim(run=run or other(encoder, task), task=task, encoder=encoder, verdict=said, best=best)


def other(encoder: str, task: str, name: str = "run", settings: Mapping[str, Any] | None = None) -> Any:
    """The run with its encoder and task under other names: a StoredRun as far as a report asks."""
    base = gathered().claims[0].run
    own = [
        dataclasses.replace(r, task=task, encoder=encoder if r.role == "encoder" else r.encoder) for r in base.records
    ]
    question = base.questions["orientation"]
    return SimpleNamespace(
        folder=base.folder, name=name, settings=settings or {}, records=tuple(own), questions={task: question},
        measurement=base.measurement, command=base.command,
    )  # fmt: skip


def of(claims: Iterable[Claim], compared: CommandResult | None = None) -> Gathered:
    held = list(claims)
    runs = list({id(one.run): one.run for one in held}.values())
    return Gathered(runs=runs, others=(), claims=held, failed=(), compared=compared)


def compared(names: Sequence[str], task: str, groups: Sequence[str]) -> CommandResult:
    """A comparison of encoders as `slitlamp.comparison` gives it."""
    ranking = [
        {"task": task, "over": "encoder", "at": "best point", "name": name, "score": 0.8, "low": 0.7, "high": 0.9,
         "p_best": 0.5, "rank_low": 1, "rank_high": 2, "group": group}
        for name, group in zip(names, groups, strict=True)
    ]  # fmt: skip
    comparisons = [
        {"task": task, "over": "encoder", "at": "best point", "a": a, "b": b, "score_a": 0.8, "score_b": 0.85,
         "difference": -0.05, "low": -0.1, "high": 0.004, "simultaneous_low": -0.12, "simultaneous_high": 0.02,
         "p": 0.2, "p_holm": 0.00001, "q_bh": 0.3, "paired": True, "n_items": 24, "n_groups": 12,
         "says": "not told apart"}
        for a, b in itertools.pairwise(names)
    ]  # fmt: skip
    curve = [
        {"task": task, "encoder": names[0], "at": "best point", "groups": n, "items": 2 * n, "draws": 3, "score": 0.7,
         "low": 0.6, "high": 0.8, "draws_sd": 0.01, "mde": 0.7, "limit": None, "rising": None}
        for n in (6, 12)
    ]  # fmt: skip
    variation = [
        {"task": task, "encoder": names[0], "at": "best point", "over": "seed", "runs": 3, "mean": 0.7, "sd": 0.01,
         "se_patients": 0.05}
    ]  # fmt: skip
    tables = {"comparisons": comparisons, "ranking": ranking, "curve": curve, "variation": variation}
    return CommandResult(experiment="compare", tables=tables)


def predictions(classes: int, n: int, *, honest: bool, seed: int = 0) -> Any:
    """Held-out predictions whose probabilities are right, or too sure, of groups of four."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), (5, n))
    label = np.array([rng.choice(classes, p=row) for row in p[0]])
    p = np.broadcast_to(p[0], p.shape)
    told = p if honest else p**4 / (p**4).sum(axis=-1, keepdims=True)
    return SimpleNamespace(label=label, predicted=told.argmax(-1), probability=told, groups=np.arange(n) // 4)
