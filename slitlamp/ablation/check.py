"""What a grid has to do, found before the first hour is spent: its units, what of them is known, and what is wrong.

A unit is one run, task and encoder. Every image is read, every encoder loaded and every site looked up once.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cache
from encoders import EncoderError, points
from encoders.extraction.readouts import AT_MARK
from encoders.extraction.volumes import flat_only
from hub.errors import HubError
from plugins import UserFileError
from probes import ProbeError
from slitlamp.ablation.grid import Grid, GridRun, labels_of, narrowed, tasks_of
from slitlamp.encoding.encoder import StoredEncoder, check_points
from slitlamp.encoding.fill import FeatureTable, pace_key, space_of
from slitlamp.errors import one_line, said_of
from slitlamp.keys import digest
from slitlamp.log import progress, say
from slitlamp.probing.judge import REFERENCES
from slitlamp.probing.order import order_of
from slitlamp.probing.pace import kind_of, seconds_of
from slitlamp.probing.points import cells_of, points_of
from slitlamp.probing.run import check_names, choose_points, maps_of
from slitlamp.probing.state import CHOICE, Cell, Role, Run, detects, start
from slitlamp.questions import Opened, Question
from slitlamp.settings import Settings, portable
from tasks import DataError

DONE = "units"  # the memo of the store that names finished units


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One run, task and encoder of a grid: what is to be measured, and what is known.

    `settings` ask this alone; `cells` are the names of its cells, those of the controls among them, with what each is
    expected to take in seconds (None where nothing like it was measured here). `images` are those to encode, for the
    controls too, with the seconds of each likewise, and `stored` the bytes of one image and which images by dataset to
    be filled; all under names that tell what units have in common.
    `untrained` counts the cells of untrained draws, which are asked where that can matter. `key` names the unit in the
    store once it is finished, None where its images were never seen. `problem` is why it cannot be answered, and
    `missing` that its encoder could not be loaded.
    """

    run: GridRun
    task: str
    encoder: str
    settings: Settings
    question: str = ""
    label: str = ""
    items: int | None = None
    groups: int | None = None
    points: int = 0
    cells: Mapping[str, float | None] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    images: Mapping[str, float | None] = field(default_factory=dict)
    stored: Mapping[str, tuple[int, frozenset[str]]] = field(default_factory=dict)
    untrained: int = 0
    key: str | None = None
    finished: bool = False
    problem: str = ""
    missing: bool = False

    @property
    def who(self) -> str:
        """The encoder as tables and files have it."""
        return portable(self.label or self.encoder)

    @property
    def name(self) -> str:
        """The unit in words."""
        return f"{self.question or self.task}, {self.who}"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The units of a grid, and lines about what was left out."""

    units: Sequence[Unit]
    notes: Sequence[str]


def check(grid: Grid, *, fetch: bool = True, opened: Opened | None = None) -> Checked:
    """Every unit of a grid with what it takes; one that cannot be answered says why.

    Without `fetch` no hub is asked: weights that are not on this machine are a problem that says so. `opened`
    holds a source that is not opened again.

    Raises:
        UsageError, UnknownName: what no repetition mends, a name that is none, or a site that is nowhere.
    """
    units: list[Unit] = []
    notes: list[str] = []
    refused: dict[str, str] = {}  # encoders that cannot be loaded, loaded no more
    pace = _Pace()
    opened = {} if opened is None else opened
    with progress(len(grid.runs), "looking at what is asked") as bar:
        for run in grid.runs:
            units += _units_of_run(run, notes, refused, pace, opened, fetch=fetch)
            bar.update()
    return Checked(units=units, notes=list(dict.fromkeys(notes)))


class _Pace:
    """What the store knows of how long things take, asked once for each kind."""

    def __init__(self) -> None:
        self._memo = cache.Store(cache.default_root()).memo("pace")
        self._known: dict[str, Any] = {}

    def of(self, key: str) -> Any:
        """What is known under a key, empty where nothing is."""
        if key not in self._known:
            self._known[key] = self._memo.get_many([key]).get(key, {})
        return self._known[key]

    def of_cell(self, state: Run, cell: Cell) -> float | None:
        """Seconds that a cell is expected to take; None where nothing like it was measured here."""
        plan, probe = state.plan(cell.question), state.settings.probe.probe
        if probe == CHOICE and cell.readout != AT_MARK.name:
            probe = None
        kind = kind_of(
            probe or plan.headline, cell.level, len(plan.permuted), plan.repeats,
            nested=cell.nested, detect=detects(cell),
        )  # fmt: skip
        return seconds_of(self.of(kind), len(cell.question.ids), _width(cell))


def _width(cell: Cell) -> int:
    """How many features a cell reads."""
    return next((width for site, readout, width in points(cell.encoder.card, cell.question.pictures.marked)
                 if f"{site}/{readout}" == cell.name), 1)  # fmt: skip


def _units_of_run(
    run: GridRun, notes: list[str], refused: dict[str, str], pace: _Pace, opened: Opened, *, fetch: bool
) -> list[Unit]:
    """The units of one run, in the order of its tasks and encoders."""
    asked = run.settings.but(out=None) if fetch else run.settings.but(out=None, offline=True)
    problems: dict[str, str] = {}
    questions: dict[str, Question] = {}
    state: Run | None = None
    for task in tasks_of(asked):
        try:
            begun, (question,) = start(narrowed(asked, asked.encoder.encoder, (task,)), share=True, opened=opened)
        except (DataError, ProbeError, EncoderError) as error:
            problems[task] = one_line(error, whole=True)  # it may hold a line to run
            continue
        questions[task] = question
        state = state or begun
        state.plans |= begun.plans
    lacking: dict[str, str] = {}
    if state is not None:
        lacking = {one.spec: why for one in state.encoders.asked if (why := _cannot_load(one, refused, again=fetch))}
        ready = [one for one in state.encoders.asked if one.spec not in lacking]
        check_names(ready)
        if ready and not lacking:
            choose_points(state, list(questions.values()))
            notes += state.noted
        elif ready and (asked.encoder.site or asked.encoder.readout):
            notes += check_points(ready, sorted({question.pictures.marked for question in questions.values()}))
    contents = {task: _contents(question, hash_them=fetch) for task, question in questions.items()}
    units = []
    for task in tasks_of(asked):
        for label, entry in labels_of(asked).items():
            alone = narrowed(run.settings, (entry,), (task,), out=None)
            unit = Unit(run=run, task=task, encoder=entry, label=label, settings=alone)
            if state is None or task in problems:
                units.append(replace(unit, problem=problems[task]))
                continue
            question = questions[task]
            unit = replace(unit, question=question.name, items=len(question.ids), groups=state.plan(question).n_groups)
            encoder = next(one for one in state.encoders.asked if one.spec == label)
            if label in lacking:
                units.append(replace(unit, problem=lacking[label], missing=True))
            elif asked.source.volumes and not encoder.reads_volumes:
                units.append(replace(unit, problem=one_line(flat_only(encoder.label))))
            elif encoder.points(question.pictures.marked):
                units.append(_filled(unit, state, question, encoder, contents[task], pace))
            else:
                notes.append(f"{label} is not asked {question.name}: it has none of the sites and readouts asked for")
    return units


def _contents(question: Question, *, hash_them: bool) -> Sequence[str] | None:
    """The digests of a question's images; None where they were never hashed and are not to be now."""
    pictures = question.pictures
    found = pictures.contents if hash_them else pictures.known()
    pictures.box.clear()  # those of all runs of a grid need not lie in memory
    pictures.held = 0
    return found


def _cannot_load(encoder: StoredEncoder, refused: dict[str, str], *, again: bool) -> str:
    """Why an encoder cannot be loaded, with `again` tried twice; nothing where it can. No network stays in memory."""
    key = repr((encoder.spec, replace(encoder.settings, site=(), readout=())))
    if key in refused:
        return refused[key]
    for attempt in (1, 2) if again else (1,):
        try:
            _ = encoder.card
            return ""
        except (HubError, UserFileError) as error:
            refused[key] = one_line(error)
            if again:
                who = portable(encoder.spec)
                say(f"error: {said_of(who, error)}" if attempt == 2 else f"{who} is tried once more")
        finally:
            encoder.loaded.clear()
    return refused[key]


def _filled(
    unit: Unit, state: Run, question: Question, encoder: StoredEncoder, contents: Sequence[str] | None, pace: "_Pace"
) -> Unit:
    """The unit with its cells, its images and what is known of both."""
    settings = unit.settings
    read = points_of(encoder, question, settings.probe.probe, asked=True)
    images, stored = _to_encode(state, question, encoder, read, contents, pace)
    for control in state.encoders.controls:
        more, filled = _to_encode(
            state, question, control, points_of(control, question, settings.probe.probe), contents, pace
        )
        images |= more
        stored |= filled
    own = cells_of(state, question, encoder, Role.ENCODER)
    every = [*own, *maps_of(state, question, own), *_controls(state, question, contents)]
    seconds: dict[str, float | None] = {}
    for cell in every:
        key = (
            state.key(cell)
            if contents is not None
            else digest([_features_of(state, cell), repr(settings.source), repr(settings.probe), *cell.tag])
        )
        seconds[key] = pace.of_cell(state, cell)
    known = frozenset(key for key in seconds if contents is not None and state.cells.holds(key))
    key = None
    if contents is not None:
        s = settings
        key = digest([sorted(seconds), s.encoder.twins, s.probe.reference == "untrained", s.source.pool])
    draws = state.encoders.untrained.get(encoder.spec, ())
    return replace(
        unit,
        settings=_at_points_of(settings, encoder, question.pictures.marked),
        points=len(own),
        cells=seconds,
        known=known,
        images=images,
        stored=stored,
        untrained=len(draws) * len(own),
        key=key,
        finished=len(known) == len(seconds) and key is not None and bool(state.store.memo(DONE).get_many([key])),
    )


def _to_encode(
    state: Run,
    question: Question,
    encoder: StoredEncoder,
    read: Sequence[tuple[str, str, int]],
    contents: Sequence[str] | None,
    pace: "_Pace",
) -> tuple[dict[str, float | None], dict[str, tuple[int, frozenset[str]]]]:
    """The images of a question that an encoder has not seen, and the datasets that they fill: see `Unit`."""
    if not read:
        return {}, {}
    space = _table(state, question, encoder, contents)
    names = [f"{site}/{readout}" for site, readout, _ in read]
    if contents is None:  # never hashed: told apart by their files
        known = [p.identity or f"{question.source.name}:{one}" for p, one in
                 zip(question.pictures.pictures, question.ids, strict=True)]  # fmt: skip
    else:
        known = [contents[i] for i in space.missing(contents, names, verify=False)]
    images = frozenset(f"{space.digest}:{one}" for one in known)
    rate = pace.of(pace_key(encoder)) if images else {}
    each = rate["seconds"] / rate["images"] if rate else None
    stored = {f"{space.digest}:{name}": (2 * width, images) for name, (_, _, width) in zip(names, read, strict=True)}
    return dict.fromkeys(images, each), stored


def _features_of(state: Run, cell: Cell) -> str:
    """What the features of a cell are determined by, beside the images."""
    return state.filled[cell.question.name, cell.encoder.spec].space.digest


def _table(state: Run, question: Question, encoder: StoredEncoder, contents: Sequence[str] | None) -> Any:
    """The part of the store for an encoder's features, which keys of cells name."""
    space = space_of(encoder, question.source.policy)
    table = FeatureTable(space=space, contents=contents or (), encoded=0)
    state.filled.setdefault((question.name, encoder.spec), table)
    return space


def _controls(state: Run, question: Question, contents: Sequence[str] | None) -> list[Cell]:
    """The cells of the controls of a question, as `probe_question` measures them."""
    found = []
    for control in state.encoders.controls:
        _table(state, question, control, contents)
        found += cells_of(state, question, control, Role.CONTROL)
    order = order_of(question)
    if order is not None:
        state.filled[question.name, order.spec] = order
        found += cells_of(state, question, order, Role.CONTROL)
    return found


def _at_points_of(settings: Settings, encoder: StoredEncoder, marks: int) -> Settings:
    """The settings for one encoder alone: sites and readouts that it has, and no reference that another would be."""
    every = points(encoder.card, marks)
    sites = [pattern for pattern in settings.encoder.site if fnmatch.filter([s for s, _, _ in every], pattern)]
    readouts = [pattern for pattern in settings.encoder.readout if fnmatch.filter([r for _, r, _ in every], pattern)]
    reference = settings.probe.reference if settings.probe.reference in REFERENCES else None
    return settings.but(site=tuple(sites), readout=tuple(readouts), reference=reference)
