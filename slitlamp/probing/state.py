"""What a probing run holds: its cells, the encoders it asks, what is filled and measured, and the keys of both."""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from functools import cache as once
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cache
import encoders
import probes
from encoders.extraction.volumes import flat_only
from plugins import UserFunction
from slitlamp.errors import UsageError
from slitlamp.features.encoder import StoredEncoder, reads_volumes, resolve_device
from slitlamp.features.fill import FeatureTable
from slitlamp.keys import digest
from slitlamp.log import say
from slitlamp.probing.cells import Cells
from slitlamp.probing.workers import Job, spare_threads
from slitlamp.questions import Question, ask
from slitlamp.settings import Options

CONTROLS = ("lowlevel", "pixels")
CHOICE = "marks"  # the probe that reads nothing but the tokens under marks


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number: a question put to an encoder at a site and readout, by a probe, with true or exchanged labels."""

    question: Question
    eye: StoredEncoder
    role: str  # encoder, twin, control or shuffled
    site: str
    readout: str
    level: Literal["full", "screen"]  # screen: the closed-form map
    nested: bool
    pooled: bool = False  # measured with unlabelled images, for the limit of detection

    @property
    def tag(self) -> tuple[Any, ...]:
        """What tells this cell from every other of the run."""
        return (self.question.name, self.eye.spec, self.role, self.name, self.level, self.nested, self.pooled)

    @property
    def name(self) -> str:
        """The dataset that holds the features."""
        return f"{self.site}/{self.readout}"


@dataclass(kw_only=True)
class Run:
    """What a run gathers: eyes, filled stores, measurements by cell, seconds and failures."""

    options: Options
    store: cache.Store
    cells: Cells
    filled: dict[tuple[str, str], FeatureTable] = field(default_factory=dict)
    pools: dict[tuple[str, str], FeatureTable] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    keys: dict[tuple[Any, ...], str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    eyes: tuple[list[StoredEncoder], dict[str, list[StoredEncoder]], list[StoredEncoder]] | None = None
    encoded: int = 0
    failed: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)

    def measurement(self, cell: Cell) -> Any:
        """The finished measurement of a cell."""
        return self.measured[self.key(cell)]

    def plan(self, question: Question) -> Any:
        """Folds, exchanged labels and rules of a question, made once for all encoders."""
        if question.name not in self.plans:
            options = self.options
            self.plans[question.name] = probes.plan(
                question.y,
                question.groups,
                classes=question.classes,
                seed=options.seed,
                folds=options.folds,
                repeats=options.repeats,
                permutations=options.permutations,
                copies=question.copies,
            )
        return self.plans[question.name]

    def key(self, cell: Cell) -> str:
        """Everything that a measurement rests on, as one digest."""
        known = self.keys.get(cell.tag)
        if known is not None:
            return known
        options = self.options
        material = {
            "space": self.filled[cell.question.name, cell.eye.spec].space.digest,
            "dataset": cell.name,
            "data": cell.question.data_key,
            "seed": options.seed,
            "folds": options.folds,
            "repeats": options.repeats,
            "permutations": options.permutations,
            "probe": self.probe_key,
            "level": cell.level,
            "nested": cell.nested,
            "shuffled": cell.role == "shuffled",
            "pool": self._pool_key(cell),
            "code": _code_of_probes(),
        }
        self.keys[cell.tag] = digest(material)
        return self.keys[cell.tag]

    @cached_property
    def probe_key(self) -> str | None:
        """The name of the probe, or a digest of what the user's own is made of."""
        probe = probes.load(self.options.probe) if self.options.probe else None
        return probe.file.digest() if isinstance(probe, UserFunction) else self.options.probe

    def _pool_key(self, cell: Cell) -> str | None:
        found = self.pools.get((cell.question.name, cell.eye.spec))
        if not cell.pooled or found is None:
            return None
        return digest(list(found.contents))

    def job(self, cell: Cell) -> Job:
        """Arrays and settings for a worker."""
        question = cell.question
        plan = self.plan(question)
        y = question.y
        if cell.role == "shuffled":
            y = plan.permuted[0]
            plan = dataclasses.replace(plan, y=y)
        x = self.filled[question.name, cell.eye.spec].read(cell.name)
        pool = self.pools.get((question.name, cell.eye.spec)) if cell.pooled else None
        given = probes.FeatureSet(x=x, y=y, groups=question.groups, ids=question.ids, classes=question.classes)
        return Job(
            key=self.key(cell),
            features=given,
            plan=plan,
            probe=None if self.options.probe == CHOICE and cell.readout != "at-mark" else self.options.probe,
            level=cell.level,
            seed=self.options.seed,
            pool=pool.read(cell.name) if pool is not None else None,
            pool_groups=question.pool.groups if pool is not None and question.pool is not None else None,
            detect=pool is not None,
            nested=cell.nested,
        )


@once
def _code_of_probes() -> str:
    """A digest of the statistics' own source: another code, another cell."""
    whole = hashlib.sha256()
    home = Path(probes.__file__).parent
    for path in sorted(home.rglob("*.py")):
        whole.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def start(options: Options) -> tuple[Run, list[Question]]:
    """Open the store and put the questions; nothing is encoded yet."""
    spare_threads()
    if options.probe is not None:
        probes.load(options.probe)  # an unknown name is refused before anything is computed
    for spec in options.encoder:
        encoders.card(spec, weights=options.weights)
    if options.volumes and not any(reads_volumes(spec) is not False for spec in options.encoder):
        raise flat_only(options.encoder[0])  # before anything is decoded or fetched
    if options.weights is not None and len(options.encoder) > 1:
        raise UsageError(
            f"--weights {options.weights} can stand for one encoder, not for {' and '.join(options.encoder)}: "
            "give one --encoder, and the others in runs of their own"
        )
    store = cache.Store(cache.default_root())
    run = Run(
        options=options, store=store, cells=Cells(folder=Path(options.out) / "cells", types=_types(), leave=("plan",))
    )
    questions = ask(options, store)
    for question in questions:
        for warning in question.warnings:
            say(f"warning: {question.name}: {warning}")
        run.plan(question)  # fewer groups than folds, one class only: said before hours of encoding
    return run, questions


@once
def _types() -> dict[str, type]:
    from probes.stats import detection, measurement, permutation, scores

    kinds = [probes.Predictions, probes.Estimate, measurement.Measurement, permutation.Null, scores.Scored]
    return {kind.__name__: kind for kind in [*kinds, detection.Limit]}


def eyes(run: Run) -> tuple[list[StoredEncoder], dict[str, list[StoredEncoder]], list[StoredEncoder]]:
    """Encoders asked for, the untrained twins of each, and the controls that every table shows."""
    if run.eyes is not None:
        return run.eyes
    options = run.options
    device = resolve_device(options.device)

    def eye(spec: str, kind: str, dtype: str) -> StoredEncoder:
        return StoredEncoder(spec=spec, options=options, store=run.store, device=kind, dtype=dtype)

    asked = [eye(spec, device, options.dtype) for spec in dict.fromkeys(options.encoder)]
    twins = {
        e.spec: [
            eye(f"random:{e.spec}" + (f"#{draw}" if draw else ""), device, options.dtype)
            for draw in range(options.twins)
        ]
        for e in asked
        if e.spec not in CONTROLS and not e.spec.startswith("random:")
    }
    controls = [eye(spec, "cpu", "float32") for spec in CONTROLS]  # they compute without torch
    run.eyes = (asked, twins, controls)
    return run.eyes
