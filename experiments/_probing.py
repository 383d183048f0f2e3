"""A probing run: questions, eyes and cells; what is finished is loaded, what is missing is measured."""

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache as once
from pathlib import Path
from typing import Any

import cache
import encoders
import probes
from encoders._base import EncoderError
from experiments._cells import Cells
from experiments._exit import DONE, ENCODER, PARTIAL, UsageError, say
from experiments._features import Eye, Filled, digest, fill, resolve_device, space_of
from experiments._options import Options
from experiments._questions import Question, ask
from experiments._workers import Job, run_jobs, workers

CONTROLS = ("lowlevel", "pixels")
CHOICE = "marks"  # the probe that reads nothing but the tokens under marks
COMPANION_UP_TO = 400  # items: beyond, the companion is measured at the headline sites only


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number: a question put to an encoder at a site and readout, by a probe, with true or exchanged labels."""

    question: Question
    eye: Eye
    role: str  # encoder, twin, control or shuffled
    site: str
    readout: str
    level: str  # full, or screen for the closed-form map
    companion: bool
    pooled: bool = False  # measured with unlabelled images, for the limit of detection

    @property
    def tag(self) -> tuple[Any, ...]:
        """What tells this cell from every other of the run."""
        return (self.question.name, self.eye.spec, self.role, self.name, self.level, self.companion, self.pooled)

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
    filled: dict[tuple[str, str], Filled] = field(default_factory=dict)
    pools: dict[tuple[str, str], Filled] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    keys: dict[tuple[Any, ...], str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    eyes: tuple[list[Eye], dict[str, Eye], list[Eye]] | None = None
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
            "probe": _probe_key(options.probe),
            "level": cell.level,
            "companion": cell.companion,
            "shuffled": cell.role == "shuffled",
            "pool": self._pool_key(cell),
            "code": _code_of_probes(),
        }
        self.keys[cell.tag] = digest(material)
        return self.keys[cell.tag]

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
            companion=cell.companion,
        )


@once
def _code_of_probes() -> str:
    """A digest of the statistics' own source: another code, another cell."""
    whole = hashlib.sha256()
    for path in sorted(Path(probes.__file__).parent.glob("*.py")):
        whole.update(path.name.encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def _probe_key(name: str | None) -> str | None:
    if name is None or not name.endswith(".py"):
        return name
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def start(options: Options) -> tuple[Run, list[Question]]:
    """Open the store and put the questions; nothing is encoded yet."""
    if options.probe is not None:
        probes.load(options.probe)  # an unknown name is refused before anything is computed
    for spec in options.encoder:
        encoders.card(spec, weights=options.weights)
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
    from probes import _detection, _measure, _statistics

    kinds = [probes.Predictions, probes.Estimate, _measure.Measurement, _statistics.Null, _statistics.Scored]
    return {kind.__name__: kind for kind in [*kinds, _detection.Limit]}


def eyes(run: Run) -> tuple[list[Eye], dict[str, Eye], list[Eye]]:
    """Encoders asked for, the untrained twin of each, and the controls that every table shows."""
    if run.eyes is not None:
        return run.eyes
    options = run.options
    device = resolve_device(options.device)

    def eye(spec: str, kind: str) -> Eye:
        return Eye(
            spec=spec,
            options=options,
            store=run.store,
            device=kind,
            dtype=options.dtype if kind == device else "float32",
        )

    asked = [eye(spec, device) for spec in dict.fromkeys(options.encoder)]
    twins = {
        e.spec: eye(f"random:{e.spec}", device)
        for e in asked
        if e.spec not in CONTROLS and not e.spec.startswith("random:")
    }
    controls = [eye(spec, "cpu") for spec in CONTROLS]
    run.eyes = (asked, twins, controls)
    return run.eyes


def headline_sites(points: Sequence[tuple[str, str, int]]) -> set[str]:
    """The sites at which a model's later stages read: the last block or stage, final, pooled, joint."""
    sites = list(dict.fromkeys(site for site, _, _ in points))
    inner = [s for s in sites if s.startswith(("block.", "stage."))]
    return {s for s in sites if s not in inner} | set(inner[-1:])


def points_of(eye: Eye, question: Question, *, asked: bool = False) -> list[tuple[str, str, int]]:
    """Where an encoder is read for a question; a control at its vector, and under the marks where there are any.

    A control that is `asked` for by name keeps to the sites and readouts of the command line too.
    """
    choice = eye.options.probe == CHOICE
    marks = 0 if eye.spec in question.unmarked else question.pictures.marked
    if choice and set(question.names_of_marks) != set(question.classes or ()):
        have = ", ".join(question.names_of_marks) or "none"
        raise UsageError(
            f"--probe {CHOICE} chooses between the marks of an image, one for each answer "
            f"({', '.join(question.classes or ())}); {question.source.name} carries marks: {have}"
        )
    if eye.spec in CONTROLS:
        every = eye.points(marks) if asked else encoders.points(eye.card, marks)
        wanted = ("at-mark",) if choice and asked else ("vector", "at-mark")
        return [point for point in every if point[1] in wanted]
    points = eye.points(marks)
    if choice and not any(readout == "at-mark" for _, readout, _ in points):
        raise UsageError(
            f"--probe {CHOICE} reads tokens under marks; {eye.spec} has no grid of tokens whose place in the image is "
            "known (an encoder of your own tells it by the Input of its CARD)"
        )
    return [point for point in points if point[1] == "at-mark"] if choice else points


def cells_of(run: Run, question: Question, eye: Eye, role: str) -> list[Cell]:
    """The cells of one encoder for one question, in the encoder's order."""
    plan = run.plan(question)
    points = points_of(eye, question, asked=role == "encoder")
    wide = plan.headline == "linear"  # from 200 groups on the nested probe is the headline
    headline = headline_sites(points)
    cells = []
    for site, readout, _ in points:
        top = site in headline
        full = role != "shuffled" and (top or not wide)
        companion = role == "encoder" and not wide and (top or len(question.ids) <= COMPANION_UP_TO)
        cells.append(
            Cell(question=question, eye=eye, role=role, site=site, readout=readout,
                 level="full" if full else "screen", companion=companion)
        )  # fmt: skip
        if role == "control" and wide:
            # screened cells are compared with a control measured the same way
            cells.append(dataclasses.replace(cells[-1], level="screen", companion=False))
    return cells


def fill_all(run: Run, question: Question, who: Sequence[Eye]) -> list[Eye]:
    """Encode what is missing for each eye; one that fails is named and left out, the others go on."""
    ready = []
    for eye in who:
        try:
            filled = _filled(run, question, eye)
        except EncoderError as error:
            if len(who) == 1 or eye.spec in CONTROLS:
                raise
            line = f"{eye.spec}: {' '.join(str(error).split())}"
            if line not in run.failed:
                run.failed.append(line)
                say(f"error: {line}")
            continue
        run.filled[question.name, eye.spec] = filled
        run.encoded += filled.encoded
        ready.append(eye)
    return ready


def _filled(run: Run, question: Question, eye: Eye) -> Filled:
    """The features of one eye; where its crop leaves a mark out, all but those under marks, which it is told."""
    try:
        return fill(eye, question.pictures, points_of(eye, question), question.source.policy)
    except encoders.UnseenMarkError as error:
        if run.options.probe == CHOICE or "at-mark" in run.options.readout:
            raise
        question.unmarked.add(eye.spec)
        line = f"warning: {eye.spec} is not read under the marks: {error}"
        if line not in run.noted:
            run.noted.append(line)
            say(line)
        return fill(eye, question.pictures, points_of(eye, question), question.source.policy)


def _fill_twin(run: Run, question: Question, twin: Eye) -> bool:
    """Encode with the untrained network; an encoder that is no network has none, which every verdict then says."""
    spec = twin.spec.removeprefix("random:")
    if (question.name, spec) not in run.filled:
        return False
    try:
        fill_all(run, question, [twin])
    except (EncoderError, encoders.UnknownName) as error:
        line = f"warning: no untrained twin beside {spec}: {' '.join(str(error).split())}"
        if line not in run.noted:
            run.noted.append(line)
            say(line)
        return False
    return True


def measure_all(run: Run, cells: Sequence[Cell], what: str) -> None:
    """Load finished cells and measure the rest; each is written as soon as it is done."""
    todo: dict[str, Cell] = {}
    for cell in cells:
        key = run.key(cell)
        if key in run.measured or key in todo:
            continue
        known = run.cells.load(key, plan=run.plan(cell.question))
        if known is None:
            todo[key] = cell
        else:
            run.measured[key] = known
    jobs: Iterator[Job] = (run.job(cell) for cell in todo.values())
    for key, measurement, seconds in run_jobs(jobs, len(todo), run.options.jobs or workers(), what):
        cell = todo[key]
        run.cells.save(key, measurement, cell.question.classes)
        run.measured[key] = measurement
        run.seconds[key] = seconds


def could_be_absent(m: Any) -> bool:
    """Whether only a limit of detection stands between this cell and a claim of absence."""
    return m.limit is None and not m.leak and m.state != "present" and m.upper < m.plan.chance + m.plan.margin


def probe_question(run: Run, question: Question) -> tuple[list[Cell], dict[str, list[Cell]], list[Cell]]:
    """Measure one question for all encoders: returns (encoder cells, twin cells by spec, control cells)."""
    asked, twins, controls = eyes(run)
    asked = fill_all(run, question, asked)
    if not asked:
        raise EncoderError("; ".join(run.failed))
    labels = [eye.label for eye in asked]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise UsageError(f"two encoders are called {twice[0]}: give their CARDs names of their own")
    fill_all(run, question, controls)
    twins = {spec: twin for spec, twin in twins.items() if _fill_twin(run, question, twin)}
    own = [c for eye in asked for c in cells_of(run, question, eye, "encoder")]
    shuffled = [dataclasses.replace(c, role="shuffled", level="screen", companion=False) for c in own]
    twin = {e.spec: cells_of(run, question, twins[e.spec], "twin") for e in asked if e.spec in twins}
    basic = [c for eye in controls for c in cells_of(run, question, eye, "control")]
    everything = [*own, *basic, *(c for group in twin.values() for c in group), *shuffled]
    measure_all(run, everything, f"probing {question.name}")
    pool = question.pool
    doubtful = [c for c in own if c.level == "full" and could_be_absent(run.measurement(c))]
    if pool is not None and pool.pictures.marked != question.pictures.marked:
        doubtful = [c for c in doubtful if c.readout != "at-mark"]  # a pool without marks has no token under them
    if doubtful and pool is not None:
        for spec in dict.fromkeys(c.eye.spec for c in doubtful):
            eye = next(e for e in asked if e.spec == spec)
            names = {c.name for c in doubtful if c.eye.spec == spec}
            points = [p for p in points_of(eye, question) if f"{p[0]}/{p[1]}" in names]
            try:
                run.pools[question.name, spec] = fill(eye, pool.pictures, points, pool.source.policy)
            except encoders.UnseenMarkError:  # a mark of the pool alone: its cells stay without a limit of detection
                doubtful = [c for c in doubtful if c.eye.spec != spec or c.readout != "at-mark"]
                points = [p for p in points if p[1] != "at-mark"]
                run.pools[question.name, spec] = fill(eye, pool.pictures, points, pool.source.policy)
        again = [dataclasses.replace(c, pooled=True) for c in doubtful]
        measure_all(run, again, f"limits of detection, {question.name}")
        replaced = {old.tag: new for old, new in zip(doubtful, again, strict=True)}
        own = [replaced.get(c.tag, c) for c in own]
    return own, {**twin, "shuffled": shuffled}, basic


def run(options: Options, experiment: str) -> int:
    """The whole run: measure, judge, write and print; returns the exit code."""
    from experiments._judging import judge
    from experiments._output import deliver

    began = time.perf_counter()
    state, questions = start(options)
    records, verdicts = [], []
    for question in questions:
        own, beside, basic = probe_question(state, question)
        found, said = judge(state, question, own, beside, basic, experiment)
        records += found
        verdicts += said
    deliver(state, options, experiment, records, verdicts, time.perf_counter() - began)
    if state.failed:
        return PARTIAL if records else ENCODER
    return DONE


def plan_of(options: Options) -> dict[str, Any]:
    """What a run would do: cells, images to encode, bytes; nothing is encoded or probed.

    None where only loading the encoder would tell.
    """
    state, questions = start(options)
    rows = []
    for question in questions:
        contents = question.pictures.known()
        for eye in _everyone(state):
            row = {
                "task": question.name,
                "source": question.source.name,
                "items": len(question.ids),
                "groups": state.plan(question).n_groups,
                "probe": options.probe or state.plan(question).headline,
                "encoder": eye.spec,
                "points": None,
                "images_to_encode": None,
                "bytes_to_store": None,
            }
            if eye.remembered is not None:
                points = points_of(eye, question)
                widths = {f"{site}/{readout}": width for site, readout, width in points}
                todo = len(question.ids)
                if contents is not None:
                    todo = len(space_of(eye, question.source.policy).missing(contents, list(widths), verify=False))
                row |= {
                    "points": len(points),
                    "images_to_encode": todo,
                    "bytes_to_store": 2 * todo * sum(widths.values()),
                }
            rows.append(row)
    return {"experiment": "linear_probe", "plan": rows, "limited": options.limit is not None, "out": options.out}


def _everyone(state: Run) -> list[Eye]:
    asked, twins, controls = eyes(state)
    return [*asked, *twins.values(), *controls]
