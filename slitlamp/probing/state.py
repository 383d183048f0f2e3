"""What a probing run holds: its cells, the encoders it asks, what is filled and measured, and the keys of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cache
import probes
from encoders.extraction.readouts import AT_MARK
from encoders.extraction.volumes import flat_only
from plugins import UserFunction
from probes.solvers.inner_folds import CLASSES_ONLY, classes_only
from probes.stats.credit import LOWLEVEL, PIXELS
from slitlamp.encoding.encoder import StoredEncoder, described_device, reads_volumes, stored_encoders
from slitlamp.encoding.fill import FeatureTable
from slitlamp.errors import UsageError
from slitlamp.keys import code_digest, digest
from slitlamp.log import say
from slitlamp.probing.cells import Cells, cells_in, plan_key, plan_material
from slitlamp.probing.device import begin_on_device, probe_device
from slitlamp.probing.order import ListOrder
from slitlamp.probing.workers import Job
from slitlamp.questions import Opened, Question, ask
from slitlamp.reports.listing import named_elsewhere
from slitlamp.reports.text import question_line
from slitlamp.settings import Settings
from tasks import DataError

CONTROLS = (LOWLEVEL, PIXELS)  # encoders that every run asks
TWINS = 5  # untrained draws, where --twins names no number and they can matter
CHOICE = "marks"  # the probe that reads nothing but the tokens under marks


class Role(StrEnum):
    """What a cell is measured for."""

    ENCODER = "encoder"
    UNTRAINED = "untrained"
    CONTROL = "control"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number: a question put to an encoder, or to the order of its list, at a site and readout, by a probe."""

    question: Question
    encoder: Any  # a StoredEncoder, or the ListOrder of a control
    role: Role
    site: str
    readout: str
    level: Literal["full", "screen"]  # screen: the closed-form map
    nested: bool
    pooled: bool = False  # what silence excludes is asked with the images of --pool

    @property
    def tag(self) -> tuple[Any, ...]:
        """What tells this cell from every other of the run."""
        return (self.question.name, self.encoder.spec, self.role, self.name, self.level, self.nested, self.pooled)

    @property
    def name(self) -> str:
        """The dataset that holds the features."""
        return f"{self.site}/{self.readout}"


@dataclass(frozen=True, kw_only=True)
class QuestionCells:
    """The cells of one question: those of the encoders, and what they are compared with.

    `untrained` holds the cells of the untrained draws by the encoder's spec.
    """

    encoder: Sequence[Cell]
    control: Sequence[Cell]
    untrained: Mapping[str, Sequence[Cell]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunEncoders:
    """The encoders that were asked for, the untrained draws of each by its spec, and the controls of every table."""

    asked: Sequence[StoredEncoder]
    untrained: Mapping[str, Sequence[StoredEncoder]]
    controls: Sequence[StoredEncoder]

    @property
    def all(self) -> list[StoredEncoder]:
        """All of them, in the order in which they are encoded."""
        return [*self.asked, *(draw for draws in self.untrained.values() for draw in draws), *self.controls]


@dataclass(kw_only=True)
class Run:
    """What a run gathers: encoders, feature tables, measurements by cell, seconds and failures."""

    settings: Settings
    store: cache.Store
    cells: Cells
    filled: dict[tuple[str, str], FeatureTable | ListOrder] = field(default_factory=dict)
    pools: dict[tuple[str, str], FeatureTable] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    plan_keys: dict[str, str] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    keys: dict[tuple[Any, ...], str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    encoded: int = 0
    skip: dict[tuple[str, str], str] = field(default_factory=dict)  # encoders that failed before, by question
    failed: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)

    @cached_property
    def encoders(self) -> RunEncoders:
        """Encoders asked for, untrained draws of each, and the controls, which compute without torch."""
        settings = self.settings
        asked = stored_encoders(settings.encoder, self.store)
        device = asked[0].device

        def encoder(spec: str, device: str = device, dtype: str = settings.encoder.dtype) -> StoredEncoder:
            return StoredEncoder(spec=spec, settings=settings.encoder, store=self.store, device=device, dtype=dtype)

        draws = TWINS if settings.encoder.twins is None else settings.encoder.twins
        networks = [e.spec for e in asked if e.spec not in CONTROLS and not e.source.startswith("random:")]
        return RunEncoders(
            asked=asked,
            untrained={
                spec: [encoder(f"random:{spec}" + (f"#{draw}" if draw else "")) for draw in range(draws)]
                for spec in networks
            },
            controls=[encoder(spec, "cpu", "float32") for spec in CONTROLS],
        )

    def measurement(self, cell: Cell) -> Any:
        """The finished measurement of a cell."""
        return self.measured[self.key(cell)]

    def finished(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those of several cells that could be measured."""
        return [cell for cell in cells if self.key(cell) in self.measured]

    def plan(self, question: Question) -> Any:
        """Folds, permuted labels and rules of a question, made once for all encoders."""
        if question.name not in self.plans:
            settings = self.settings
            self.plans[question.name] = probes.plan(
                question.y,
                question.groups,
                classes=question.classes,
                seed=settings.probe.seed,
                folds=settings.probe.folds,
                repeats=settings.probe.repeats,
                permutations=settings.probe.permutations,
                copies=question.copies,
            )
        return self.plans[question.name]

    def plan_key(self, question: Question) -> str:
        """The name of a question's plan; see `cells.plan_key`."""
        if question.name not in self.plan_keys:
            self.plan_keys[question.name] = plan_key(self._plan_material(question))
        return self.plan_keys[question.name]

    def save_plan(self, question: Question) -> None:
        """Write what a question's plan is made of beside the cells."""
        self.cells.save_plan(self.plan_key(question), self._plan_material(question))

    def _plan_material(self, question: Question) -> dict[str, Any]:
        s = self.settings.probe
        asked = {"seed": s.seed, "folds": s.folds, "repeats": s.repeats, "permutations": s.permutations}
        return plan_material(self.plan(question), question.ids, question.groups, question.copies, asked)

    def key(self, cell: Cell) -> str:
        """Everything that a measurement rests on, as one digest."""
        known = self.keys.get(cell.tag)
        if known is not None:
            return known
        settings = self.settings
        material = {
            "space": self.filled[cell.question.name, cell.encoder.spec].space.digest,
            "dataset": cell.name,
            "data": cell.question.data_key,
            "seed": settings.probe.seed,
            "folds": settings.probe.folds,
            "repeats": settings.probe.repeats,
            "permutations": settings.probe.permutations,
            "probe": self.probe_key,
            "level": cell.level,
            "nested": cell.nested,
            "pool": self._pool_key(cell),
            "detect": detects(cell),
            "code": code_digest(str(Path(probes.__file__).parent)),
        }
        self.keys[cell.tag] = digest(material)
        return self.keys[cell.tag]

    @cached_property
    def probe_key(self) -> str | None:
        """The name of the probe, or a digest of what the user's own is made of."""
        probe = probes.load(self.settings.probe.probe) if self.settings.probe.probe else None
        return probe.file.digest() if isinstance(probe, UserFunction) else self.settings.probe.probe

    def _pool_key(self, cell: Cell) -> str | None:
        found = self.pools.get((cell.question.name, cell.encoder.spec))
        if not cell.pooled or found is None:
            return None
        return digest(list(found.contents))

    def job(self, cell: Cell) -> Job:
        """Arrays and settings for a worker."""
        question = cell.question
        plan = self.plan(question)
        x = self.filled[question.name, cell.encoder.spec].read(cell.name)
        pool = self.pools.get((question.name, cell.encoder.spec)) if cell.pooled else None
        return Job(
            key=self.key(cell),
            features=question.features(x),
            plan=plan,
            probe=None
            if self.settings.probe.probe == CHOICE and cell.readout != AT_MARK.name
            else self.settings.probe.probe,
            level=cell.level,
            seed=self.settings.probe.seed,
            pool=pool.read(cell.name) if pool is not None else None,
            detect=detects(cell),
            nested=cell.nested,
            device=probe_device(self.settings.probe.probe_device, *x.shape),
            optional=cell.role is not Role.ENCODER,
        )


def detects(cell: Cell) -> bool:
    """Whether a cell is asked what its silence excludes: those of encoders, with the pool where there is one."""
    return cell.role is Role.ENCODER and cell.level == "full" and cell.pooled == (cell.question.pool is not None)


def start(
    settings: Settings,
    *,
    share: bool = False,
    kept: dict[Any, list[Question]] | None = None,
    opened: Opened | None = None,
) -> tuple[Run, list[Question]]:
    """Open the store and put the questions; nothing is encoded yet. With `share` cells lie in the store too.

    `kept` holds the questions of the last call, which are taken again where the same are put, and `opened` its source.
    """
    for flag, names in (("probe", (settings.probe.probe,)), ("task", settings.source.task)):
        for name in names:
            elsewhere = named_elsewhere(name, flag) if name else ""
            if elsewhere:
                raise UsageError(f"--{flag} {name}: {elsewhere}".rstrip("; "))
    if settings.probe.probe is not None:
        probes.load(settings.probe.probe)  # an unknown name is refused before anything is computed
    begin_on_device(settings.probe.probe_device)
    store = cache.Store(cache.default_root())
    asked = stored_encoders(settings.encoder, store)
    if settings.source.volumes and not any(reads_volumes(one.source) is not False for one in asked):
        raise flat_only(asked[0].spec)  # before anything is decoded or fetched
    home = store.root if settings.output.out is None else Path(settings.output.out)
    mine = settings.output.out is None
    shared = store.inside("cells") if share or mine else None
    cells = cells_in(home, shared=shared if share else None, spare=mine)
    run = Run(settings=settings, store=store, cells=cells)
    say(f"device: {described_device(asked[0].device)}; features in {store.root}")
    try:
        questions = _asked(settings, store, {} if kept is None else kept, opened)
    except DataError as error:
        if settings.source.limit is None:
            raise
        raise DataError(f"{error} (with --limit {settings.source.limit})") from None
    for question in questions:
        say(question_line(question.facts))
        for warning in question.warnings:
            say(f"warning: {question.name}: {warning}")
        try:
            run.plan(question)  # fewer groups than folds, one class only: said before hours of encoding
        except probes.ProbeError as error:
            raise probes.ProbeError(_too_little(settings, question, str(error))) from None
        if settings.probe.probe in CLASSES_ONLY and run.plan(question).number:
            raise classes_only(str(settings.probe.probe))
    return run, questions


def _asked(
    settings: Settings, store: cache.Store, kept: dict[Any, list[Question]], opened: Opened | None
) -> list[Question]:
    if settings.source not in kept:
        found = ask(settings.source, store, opened)
        kept.clear()  # their images need not lie in memory any longer
        kept[settings.source] = found
    return kept[settings.source]


def _too_little(settings: Settings, question: Question, why: str) -> str:
    """What a question lacks, with the flag that made it so small where one did."""
    source = settings.source
    if source.limit is None and source.data is not None:
        return why
    flag = f"--items {source.items}" if source.limit is None else f"--limit {source.limit}"
    counts = f"{len(question.ids)} items in {len(set(question.groups))} groups"
    return f"{flag} leaves too little for {question.name}, {counts} ({why}); a greater number has more"
