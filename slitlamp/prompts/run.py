"""An audit of visual prompts: show, encode, let a readout answer, and judge the answers; or judge a model's."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import cache
from probes.prompts import bias as prompts_bias
from probes.prompts import controls
from probes.prompts import readout as prompts_readout
from slitlamp.encoding.encoder import stored_encoders
from slitlamp.encoding.fill import encode_missing
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.prompts.answers import Answers, of_colours, of_turns
from slitlamp.prompts.controls import marker_controls
from slitlamp.prompts.judged import Found, Judged, judge
from slitlamp.prompts.presentations import CODES, Prompted, open_task, prompted, showing
from slitlamp.prompts.probed import READOUTS, audited_encoders, points_of, probed
from slitlamp.reports.spreadsheet import as_csv
from slitlamp.sources import list_source
from tasks import DataError, Item

if TYPE_CHECKING:
    from slitlamp.prompts.settings import Asked


def run(asked: "Asked") -> Found:
    """The audit that the command line asks for."""
    settings, store = asked.settings, cache.Store(cache.default_root())
    if settings.source.task[0].startswith("orientation"):
        if asked.images:
            raise UsageError("--images writes marks in every assignment; orientation has none")
        return _turns_answered(asked) if asked.answers else _turns(asked, store)
    if not asked.answers:
        stored_encoders(settings.encoder, store)  # an unknown name is refused before any image is drawn
    task, source, items, question = open_task(settings.source, store)
    given = prompted(task, source, items)
    if asked.images:
        _write_images(given, store, asked.out / "images", settings.probe.seed)
    judged, notes = _answered(asked, given) if asked.answers else probed(asked, given, store)
    return Found(
        task=given.task.name, source=given.source.name, images=len(given.items), groups=len(set(given.groups)),
        limited=settings.source.limit is not None, judged=judged, notes=notes, question=question,
    )  # fmt: skip


def _answered(asked: "Asked", given: Prompted) -> tuple[list[Judged], list[str]]:
    assert asked.answers is not None
    read = of_colours(asked.answers, given, asked.settings.source)
    image, kind, predicted = read.image, read.assignment, read.predicted
    notes = [*read.notes]
    whole = int((np.bincount(image, minlength=len(given.items)) == 6).sum())
    if whole < len(given.items):
        notes.append(
            f"{whole} of {len(given.items)} images have an answer under all six assignments; consistency rests on "
            f"these, the model of choice on all {len(predicted)} answers"
        )
    out = judge(Path(asked.answers).name, given, image, kind, predicted, asked.settings.probe.seed)
    right = predicted == given.correct[image]
    out.published = controls.unpaired_change(right, kind == given.own[image], given.homes[image])
    out.controls = _marker_controls(read, given)
    return [out], notes


def _marker_controls(read: Answers, given: Prompted) -> list[controls.Control]:
    """Controls of a model's answers to images without marks and to those with moved marks."""
    found = []
    for name, (image, colour) in read.marker_controls.items():
        title = {"none": "without marks", "moved": "marks elsewhere"}[name]
        found.append(controls.marker_control(title, colour, given.label[image], given.homes[image]))
    return controls.read([c for c in found if c is not None])


def _write_images(given: Prompted, store: cache.Store, folder: Path, seed: int) -> None:
    """Every presentation as PNG, and presentations.csv, to which a model's answers need only be added."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    show, markers = showing(given, None, store), marker_controls(given, seed, store)
    kinds = [CODES[k] for k in show.assignment]
    shown = [(i, kind, show.pictures, n) for n, (i, kind) in enumerate(zip(show.image, kinds, strict=True))]
    if markers is not None:
        for name, pictures in (("none", markers.none), ("moved", markers.moved)):
            shown += [(i, name, pictures, n) for n, i in enumerate(markers.image)]
    lines: list[dict[str, str]] = []
    for i, name, pictures, n in shown:
        file = f"{i:05d}_{name}.png"
        Image.fromarray(pictures.read(n)).save(folder / file, compress_level=1)  # as exact, and faster
        lines.append({"item": given.items[i].id, "assignment": name, "file": file})
    cache.write_atomically(folder / "presentations.csv", as_csv(lines))
    say(f"{len(lines)} pictures in {folder}, listed in presentations.csv: add a column answer for --answers")


def _turns_answered(asked: "Asked") -> Found:
    assert asked.answers is not None
    settings = asked.settings.source
    source = None if settings.data is None else list_source(settings, settings.data)
    upright, turned, names, alone, unread = of_turns(asked.answers, source, settings)
    notes = [f"{alone} answers without a readable partner were left out of the pairs"] if alone else []
    notes += unread
    judged = [_bias(Path(asked.answers).name, upright, turned, names, asked.settings.probe.seed)]
    return Found(
        task=asked.settings.source.task[0], source=Path(asked.answers).name, images=len(names), groups=len(names),
        limited=False, judged=judged, notes=notes,
    )  # fmt: skip


def _bias(name: str, upright: np.ndarray, turned: np.ndarray, names: Sequence[str], seed: int) -> Judged:
    words = ("upside down", "upright")
    rows = [
        {"responder": name, "item": item, "turned": t, "correct": words[1 - t], "answer": words[int(predicted)]}
        for item, pair in zip(names, zip(upright, turned, strict=True), strict=True)
        for t, predicted in enumerate(pair)
    ]
    histogram = prompts_bias.histogram([r["answer"] for r in rows], [r["correct"] for r in rows])
    bias = prompts_bias.upright_bias(upright, turned, np.random.default_rng([seed, 7]))
    return Judged(responder=name, histogram=histogram, answers=rows, bias=bias)


def _turns(asked: "Asked", store: cache.Store) -> Found:
    """A readout of every encoder answers both copies of each image, its group left out."""
    task, source, items, question = open_task(asked.settings.source, store)
    pairs = pairs_of(task.name, source.name, items)
    own, pictures = both_ways(items, pairs, store)
    groups = np.array([i.group for i in own])
    fold = prompts_readout.folds(groups, np.random.default_rng([asked.settings.probe.seed, 5]))
    judged = []
    for encoder in audited_encoders(asked, store, 0):
        points = points_of(encoder, 0, READOUTS)
        filled = encode_missing(encoder, pictures, points, source.policy)
        for site, readout, _ in points:
            x, upright = filled.read(f"{site}/{readout}"), np.tile([1, 0], len(pairs))
            rng = np.random.default_rng([asked.settings.probe.seed, 15])
            predicted = prompts_readout.two_sided(x, upright, fold, rng) == 1
            judged.append(
                _bias(
                    f"{encoder.label} {site}/{readout}",
                    predicted[::2],
                    predicted[1::2],
                    list(pairs),
                    asked.settings.probe.seed,
                )
            )
    return Found(
        task=task.name, source=source.name, images=len(pairs), groups=len(set(groups)),
        limited=asked.settings.source.limit is not None, judged=judged, notes=[], question=question,
    )  # fmt: skip


def both_ways(
    items: Sequence[Item], pairs: dict[str, tuple[int, int]], store: cache.Store
) -> tuple[list[Item], ImageSet]:
    """The items as they are and turned, in the order of their pairs, and their pictures."""
    own = [items[i] for pair in pairs.values() for i in pair]
    return own, ImageSet(pictures=[i.picture for i in own], names=[i.id for i in own], store=store)


def pairs_of(task: str, source: str, items: Sequence[Item]) -> dict[str, tuple[int, int]]:
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
