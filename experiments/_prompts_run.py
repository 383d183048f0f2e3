"""An audit of visual prompts: show, encode, let a readout answer, and judge the answers; or judge a model's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import cache
import encoders
from experiments._exit import UsageError, say
from experiments._features import Eye, Pictures, fill, resolve_device
from experiments._prompts import CODES, Prompted, Showing, open_task, presentations, prompted, showing
from experiments._prompts_files import of_colours, of_turns
from probes import _prompts, _prompts_bias, _prompts_readout
from probes._prompts import COLOURS, Audit
from probes._prompts_bias import Dose, Histogram, Share, Spread, UprightBias
from tasks._base import DataError, Item

if TYPE_CHECKING:
    from experiments.visual_prompts import Asked

READOUTS = ("mean", "grid3", "at-mark")


@dataclass(kw_only=True)
class Judged:
    """One responder: a readout at a site, or a model. `seen` is accuracy under assignments that were trained on."""

    responder: str
    histogram: Histogram
    answers: list[dict[str, Any]]
    audit: Audit | None = None
    spread: Spread | None = None
    cells: list[Share] = field(default_factory=list)
    seen: float | None = None
    dose: Dose | None = None
    bias: UprightBias | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """A whole run."""

    task: str
    source: str
    images: int
    groups: int
    limited: bool
    judged: list[Judged]
    notes: list[str]


def run(asked: "Asked") -> Found:
    """The audit that the command line asks for."""
    options, store = asked.options, cache.Store(cache.default_root())
    if options.task[0].startswith("orientation"):
        if asked.images:
            raise UsageError("--images writes marks in every assignment; orientation has none")
        return _turns_answered(asked) if asked.answers else _turns(asked, store)
    for spec in () if asked.answers else options.encoder:
        encoders.card(spec, weights=options.weights)
    given = prompted(*open_task(options, store))
    if asked.images:
        _write_images(given, store, Path(options.out) / "images")
    judged, notes = _answered(asked, given) if asked.answers else _probed(asked, given, store)
    return Found(
        task=given.task.name, source=given.source.name, images=len(given.items), groups=len(set(given.groups)),
        limited=options.limit is not None, judged=judged, notes=notes,
    )  # fmt: skip


def judge(
    responder: str, given: Prompted, image: np.ndarray, assignment: np.ndarray, said: np.ndarray, seed: int
) -> Judged:
    """The audit of the answers to one set of presentations; `said` is the mark [n] from left to right, -1 unread."""
    shown = presentations(given, image, assignment, said)
    truth = [COLOURS[c] for c in shown.colour[np.arange(len(said)), shown.correct]]
    told = [COLOURS[shown.colour[i, s]] if s >= 0 else "" for i, s in enumerate(said)]
    rows = [
        {"responder": responder, "item": given.items[i].id, "assignment": CODES[k], "correct": right, "answer": answer}
        for i, k, right, answer in zip(image, assignment, truth, told, strict=True)
    ]
    return Judged(
        responder=responder, histogram=_prompts_bias.histogram(told, truth), answers=rows, audit=_prompts.audit(shown),
        spread=_prompts_bias.spread(shown, np.random.default_rng([seed, 7])), cells=_prompts_bias.by_cell(shown),
    )  # fmt: skip


def _answered(asked: "Asked", given: Prompted) -> tuple[list[Judged], list[str]]:
    assert asked.answers is not None
    image, kind, said, _ = of_colours(asked.answers, given)
    notes = []
    whole = int((np.bincount(image, minlength=len(given.items)) == 6).sum())
    if whole < len(given.items):
        notes.append(
            f"{whole} of {len(given.items)} images have an answer under all six assignments; consistency rests on "
            f"these, the model of choice on all {len(said)} answers"
        )
    return [judge(Path(asked.answers).name, given, image, kind, said, asked.options.seed)], notes


def _eyes(asked: "Asked", store: cache.Store) -> list[Eye]:
    options = asked.options
    device = resolve_device(options.device)
    if options.weights is not None and len(options.encoder) > 1:
        raise UsageError(f"--weights {options.weights} can stand for one encoder, not for {len(options.encoder)}")
    return [
        Eye(spec=spec, options=options, store=store, device=device, dtype=options.dtype)
        for spec in dict.fromkeys(options.encoder)
    ]


def _points(eye: Eye, marks: int, wanted: Sequence[str]) -> list[tuple[str, str, int]]:
    """What was asked for; else the wanted readouts of the last grid, or all of the last site without one."""
    points = eye.points(marks)
    if eye.options.site or eye.options.readout:
        return points
    grids = [p for p in points if p[1] in wanted]
    last = (grids or points)[-1][0]
    return [p for p in points if p[0] == last and (p[1] in wanted or not grids)]


def _probed(asked: "Asked", given: Prompted, store: cache.Store) -> tuple[list[Judged], list[str]]:
    options = asked.options
    fold = _prompts_readout.folds(given.groups, np.random.default_rng([options.seed, 5]))
    shows = [showing(given, None, store)]
    shows += [showing(given, size, store) for size in asked.sizes]
    eyes = [(eye, _points(eye, 3, READOUTS)) for eye in _eyes(asked, store)]
    filled: list[list[Any]] = [[] for _ in eyes]
    for show in shows:
        for (eye, points), own in zip(eyes, filled, strict=True):
            own.append(fill(eye, show.pictures, points, given.source.policy))
        show.pictures.box.clear()  # decoded pictures of one size at a time
        show.pictures.held = 0
    judged = []
    for (eye, points), own in zip(eyes, filled, strict=True):
        for site, readout, _ in points:
            each = [one.read(f"{site}/{readout}") for one in own]
            name = f"{eye.label} {site}/{readout}"
            judged.append(_judge_point(name, given, shows, each, fold, options.seed, marks=readout == "at-mark"))
    notes = [f"sizes are radii as shares of the shorter side; {given.drawn:g} is that of the marks as they are"]
    fewer = [show for show in shows if len(show.image) < 6 * len(given.items)]
    notes += [f"size {s.size:g} fits into {len(s.image) // 6} of {len(given.items)} images" for s in fewer]
    return judged, notes


def _judge_point(
    name: str, given: Prompted, shows: list[Showing], features: list[np.ndarray], fold: np.ndarray, seed: int,
    *, marks: bool
) -> Judged:  # fmt: skip
    said = [
        _marks_said(given, show, x, fold, marks=marks, unseen=True) for show, x in zip(shows, features, strict=True)
    ]
    seen = _marks_said(given, shows[0], features[0], fold, marks=marks, unseen=False)
    out = judge(name, given, shows[0].image, shows[0].assignment, said[0], seed)
    out.seen = float((seen == given.correct[shows[0].image]).mean())
    right = [s == given.correct[show.image] for s, show in zip(said, shows, strict=True)]
    out.dose = _prompts_bias.dose([s.size for s in shows], right, [s.image for s in shows], 1 / 3)
    for row in out.answers:
        row["size"] = shows[0].size
    for show, s in zip(shows[1:], said[1:], strict=True):
        more = judge_rows(name, given, show, s)
        out.answers += more
    return out


def judge_rows(name: str, given: Prompted, show: Showing, said: np.ndarray) -> list[dict[str, Any]]:
    """The answers to one size, for the table of answers."""
    colour = show.colour()
    return [
        {"responder": name, "item": given.items[i].id, "assignment": CODES[k],
         "correct": COLOURS[colour[n, given.correct[i]]], "answer": COLOURS[colour[n, said[n]]], "size": show.size}
        for n, (i, k) in enumerate(zip(show.image, show.assignment, strict=True))
    ]  # fmt: skip


def _marks_said(
    given: Prompted, show: Showing, x: np.ndarray, fold: np.ndarray, *, marks: bool, unseen: bool
) -> np.ndarray:
    """Which mark from left to right each answer names; a pooled readout says its colour, at the marks its place."""
    colour, place = show.colour(), given.correct[show.image]
    target = place if marks else colour[np.arange(len(place)), place]
    said = _prompts_readout.answers(x, target, fold[show.image], show.assignment, unseen=unseen, marks=marks)
    return said if marks else (colour == said[:, None]).argmax(axis=1)


def _write_images(given: Prompted, store: cache.Store, folder: Path) -> None:
    """Every presentation as PNG, and presentations.csv, to which a model's answers need only be added."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    show = showing(given, None, store)
    lines = ["item,assignment,file"]
    for n, (i, k) in enumerate(zip(show.image, show.assignment, strict=True)):
        name = f"{i:05d}_{CODES[k]}.png"
        Image.fromarray(show.pictures.read(n)).save(folder / name)
        lines.append(f"{given.items[i].id},{CODES[k]},{name}")
    (folder / "presentations.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(f"{len(lines) - 1} pictures in {folder}, listed in presentations.csv: add a column answer for --answers")


def _turns_answered(asked: "Asked") -> Found:
    assert asked.answers is not None
    upright, turned, names, alone = of_turns(asked.answers)
    notes = [f"{alone} answers without a readable partner were left out of the pairs"] if alone else []
    judged = [_bias(Path(asked.answers).name, upright, turned, names, asked.options.seed)]
    return Found(task=asked.options.task[0], source=Path(asked.answers).name, images=len(names), groups=len(names),
                 limited=False, judged=judged, notes=notes)  # fmt: skip


def _bias(name: str, upright: np.ndarray, turned: np.ndarray, names: Sequence[str], seed: int) -> Judged:
    words = ("upside down", "upright")
    rows = [
        {"responder": name, "item": item, "turned": t, "correct": words[1 - t], "answer": words[int(said)]}
        for item, pair in zip(names, zip(upright, turned, strict=True), strict=True)
        for t, said in enumerate(pair)
    ]
    histogram = _prompts_bias.histogram([r["answer"] for r in rows], [r["correct"] for r in rows])
    bias = _prompts_bias.upright_bias(upright, turned, np.random.default_rng([seed, 7]))
    return Judged(responder=name, histogram=histogram, answers=rows, bias=bias)


def _turns(asked: "Asked", store: cache.Store) -> Found:
    """A readout of every encoder answers both copies of each image, its group left out."""
    task, source, items = open_task(asked.options, store)
    pairs = _pairs(task.name, source.name, items)
    order = [i for pair in pairs.values() for i in pair]
    own = [items[i] for i in order]
    pictures = Pictures(pictures=[i.picture for i in own], names=[i.id for i in own], store=store)
    groups = np.array([i.group for i in own])
    fold = _prompts_readout.folds(groups, np.random.default_rng([asked.options.seed, 5]))
    judged = []
    for eye in _eyes(asked, store):
        points = _points(eye, 0, READOUTS)
        filled = fill(eye, pictures, points, source.policy)
        for site, readout, _ in points:
            said = _prompts_readout.two_sided(filled.read(f"{site}/{readout}"), np.tile([1, 0], len(pairs)), fold) == 1
            judged.append(
                _bias(f"{eye.label} {site}/{readout}", said[::2], said[1::2], list(pairs), asked.options.seed)
            )
    return Found(task=task.name, source=source.name, images=len(pairs), groups=len(set(groups)),
                 limited=asked.options.limit is not None, judged=judged, notes=[])  # fmt: skip


def _pairs(task: str, source: str, items: Sequence[Item]) -> dict[str, tuple[int, int]]:
    """For each image the numbers of its upright and its turned copy."""
    found: dict[str, dict[str, int]] = {}
    for i, item in enumerate(items):
        found.setdefault(item.id.rpartition(":")[0] or item.id, {})[str(item.label)] = i
    whole = {n: (own["upright"], own["upside down"]) for n, own in found.items() if len(own) == 2 and "upright" in own}
    if len(whole) < len(found) or not whole:
        raise DataError(
            f"task {task} shows {len(whole)} of {len(found)} images of {source} both upright and turned; upright bias "
            "needs both of every image"
        )
    return whole
