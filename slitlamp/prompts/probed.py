"""An audit of an encoder: its readouts are trained on some images and asked about others, in every presentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import cache
from encoders.extraction.readouts import AT_MARK, GRID3, MEAN
from probes.prompts import bias, controls
from probes.prompts import readout as prompts_readout
from probes.prompts.audit import COLOURS
from slitlamp.encoding.encoder import StoredEncoder, check_points, described_device, stored_encoders
from slitlamp.encoding.fill import FeatureTable, encode_missing
from slitlamp.encoding.images import ImageSet
from slitlamp.log import say
from slitlamp.prompts.controls import MarkerControls, marker_controls, phases
from slitlamp.prompts.judged import Judged, judge
from slitlamp.prompts.presentations import CODES, Prompted, Showing, showing

if TYPE_CHECKING:
    from slitlamp.prompts.settings import Asked

READOUTS = (MEAN.name, GRID3.name, AT_MARK.name)
Points = Sequence[tuple[str, str, int]]


def audited_encoders(asked: "Asked", store: cache.Store, marks: int) -> list[StoredEncoder]:
    """The encoders that are audited; those without any of the sites and readouts asked for are left out, and said."""
    found = stored_encoders(asked.settings.encoder, store)
    say(f"device: {described_device(found[0].device)}")
    if not (asked.settings.encoder.site or asked.settings.encoder.readout):
        return found
    for note in check_points(found, (marks,)):
        say(f"warning: {note}")
    return [encoder for encoder in found if encoder.points(marks)]


def points_of(encoder: StoredEncoder, marks: int, wanted: Sequence[str]) -> list[tuple[str, str, int]]:
    """What was asked for; else the wanted readouts of the last grid, or all of the last site without one."""
    points = encoder.points(marks)
    if encoder.settings.site or encoder.settings.readout:
        return points
    grids = [p for p in points if p[1] in wanted]
    last = (grids or points)[-1][0]
    return [p for p in points if p[0] == last and (p[1] in wanted or not grids)]


@dataclass(frozen=True, kw_only=True)
class Read:
    """One readout's features of every size's presentations, and of images without marks, with them, and moved."""

    name: str
    site: str
    marks: bool
    each: list[np.ndarray]
    none: np.ndarray | None = None
    own: np.ndarray | None = None
    moved: np.ndarray | None = None


def probed(asked: "Asked", given: Prompted, store: cache.Store) -> tuple[list[Judged], list[str]]:
    """Every readout that was asked for, judged; and notes."""
    settings = asked.settings
    fold = prompts_readout.folds(given.groups, np.random.default_rng([settings.probe.seed, 5]))
    shows = [showing(given, size, store) for size in (None, *asked.sizes)]
    markers = marker_controls(given, settings.probe.seed, store)
    asked_encoders = [(encoder, points_of(encoder, 3, READOUTS)) for encoder in audited_encoders(asked, store, 3)]
    filled = [_filled(encoder, points, given, shows, markers) for encoder, points in asked_encoders]
    judged = [
        _judged(one, given, shows, markers, fold, settings.probe.seed, phases(encoder, one.site, given))
        for (encoder, points), parts in zip(asked_encoders, filled, strict=True)
        for one in _read(encoder, points, *parts)
    ]
    notes = [f"sizes are radii as shares of the shorter side; {given.drawn:g} is that of the marks as they are"]
    fewer = [show for show in shows if len(show.image) < 6 * len(given.items)]
    notes += [f"size {s.size:g} fits into {len(s.image) // 6} of {len(given.items)} images" for s in fewer]
    return judged, notes


def _filled(
    encoder: StoredEncoder,
    points: Points,
    given: Prompted,
    shows: Sequence[Showing],
    markers: MarkerControls | None,
) -> tuple[list[FeatureTable], dict[str, FeatureTable]]:
    """Features of everything that is shown, from the store or in one pass each."""
    tables: list[tuple[str, FeatureTable]] = []
    for name, pictures, where in shown_to(points, shows, markers):
        tables.append((name, encode_missing(encoder, pictures, where, given.source.policy)))
        pictures.box.clear()  # decoded pictures of one size at a time
        pictures.held = 0
    return [table for name, table in tables if not name], {name: table for name, table in tables if name}


def shown_to(
    points: Points, shows: Sequence[Showing], markers: MarkerControls | None
) -> list[tuple[str, ImageSet, Points]]:
    """All that an encoder is shown and where it is read: every size under no name, then the controls under theirs."""
    found: list[tuple[str, ImageSet, Points]] = [("", show.pictures, points) for show in shows]
    if markers is None:
        return found
    marked = [(s, r, 2 * width) for s, r, width in points if r == AT_MARK.name]
    doubled = [p for p in points if p[1] != AT_MARK.name] + marked
    found += [("none", markers.none, points), ("moved", markers.moved, doubled)]
    return [*found, ("own", markers.own, marked)] if marked else found


def _read(
    encoder: StoredEncoder, points: Points, each: Sequence[FeatureTable], more: dict[str, FeatureTable]
) -> list[Read]:
    found = []
    for site, readout, _ in points:
        name = f"{site}/{readout}"
        marks = readout == AT_MARK.name
        others = {k: f.read(name) for k, f in more.items() if k != "own" or marks}
        found.append(
            Read(name=f"{encoder.label} {name}", site=site, marks=marks, each=[f.read(name) for f in each], **others)
        )
    return found


def _judged(
    one: Read, given: Prompted, shows: Sequence[Showing], markers: MarkerControls | None, fold: np.ndarray, seed: int,
    phase: np.ndarray | None,
) -> Judged:  # fmt: skip
    rng = np.random.default_rng([seed, 15])
    predicted = [_said(one, given, show, x, fold, rng) for show, x in zip(shows, one.each, strict=True)]
    first = shows[0]
    out = judge(one.name, given, first.image, first.assignment, predicted[0], seed, phase)
    hits = [s == given.correct[show.image] for s, show in zip(predicted, shows, strict=True)]
    home = given.homes
    out.transfer = _transfer(one, given, first, fold, rng)
    out.dose = bias.dose([s.size for s in shows], hits, [s.image for s in shows], 1 / 3, home)
    if markers is not None:
        out.controls = _marker_controls(one, given, first, markers, fold, seed)
    out.encoded = _encoded(one, given, first, markers, fold, seed)
    for row in out.answers:
        row["size"] = first.size
    for show, s in zip(shows[1:], predicted[1:], strict=True):
        out.answers += judge_rows(one.name, given, show, s)
    return out


def _transfer(one: Read, given: Prompted, show: Showing, fold: np.ndarray, rng: np.random.Generator) -> controls.Change:
    """Accuracy under assignments that trained a readout, and under those that did not."""
    target = _target(one, given, show)
    predicted = prompts_readout.answers(one.each[0], target, fold[show.image], show.assignment, rng, marks=one.marks)
    return controls.paired_change(predicted.seen == target, predicted.unseen == target, given.homes[show.image])


def _marker_controls(
    one: Read, given: Prompted, show: Showing, markers: MarkerControls, fold: np.ndarray, seed: int
) -> list[controls.Control]:
    """Are answers right where no mark lies at the evidence? Tokens under marks are told the places, so only moved."""
    assert one.none is not None
    assert one.moved is not None
    rows, home, label = markers.image, given.homes[markers.image], given.label[markers.image]
    found = []
    rng = np.random.default_rng([seed, 13])
    if not one.marks:
        found.append(controls.without_marks("without marks", one.none, label, fold[rows], home, rng))
    moved = one.moved.reshape(len(rows), 2, -1)[:, 1] if one.marks else one.moved
    target = _target(one, given, show)
    predicted = prompts_readout.asked(one.each[0], target, fold[show.image], moved, fold[rows], rng, marks=one.marks)
    right = given.correct[rows] if one.marks else label
    found.append(controls.marker_control("marks elsewhere", predicted, right, home))
    return controls.read([c for c in found if c is not None])


def _encoded(
    one: Read, given: Prompted, show: Showing, markers: MarkerControls | None, fold: np.ndarray, seed: int
) -> list[controls.Control]:
    """What is read of the marks themselves: by the tokens under them, or by a vector of the whole image."""
    from slitlamp.prompts.presentations import ASSIGNMENTS, presentations

    if not one.marks:
        shown = presentations(given, show.image, show.assignment, given.correct[show.image])
        return controls.read(controls.binding(one.each[0], shown, fold[show.image]))
    if markers is None:
        return []
    assert one.own is not None
    assert one.moved is not None
    rows, kinds = markers.image, np.array(ASSIGNMENTS)
    colour = np.stack([kinds[markers.assignment], kinds[given.own[rows]]], axis=1)
    rng = np.random.default_rng([seed, 14])
    found = controls.tokens_at_marks(one.own, one.moved, colour, fold[rows], given.homes[rows], rng)
    if one.none is not None:
        predicted = controls.predict_mark(one.none, given.correct[rows], fold[rows], rng)
        right, home = predicted == given.correct[rows], given.homes[rows]
        found.append(controls.of_share("the answer, no mark drawn", right, home, 1 / 3, len(rows)))
    return controls.read(found)


def _target(one: Read, given: Prompted, show: Showing) -> np.ndarray:
    """What a readout is trained to say: at the marks the place from left to right, else the colour there."""
    place = given.correct[show.image]
    return place if one.marks else show.colour()[np.arange(len(place)), place]


def _said(
    one: Read, given: Prompted, show: Showing, x: np.ndarray, fold: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Which mark from left to right each answer names, its image's fold left out.

    It was trained on all six assignments of the other images, so that one who knows the place and not the colour
    there is right in a third, as chance is.
    """
    at = fold[show.image]
    predicted = prompts_readout.asked(x, _target(one, given, show), at, x, at, rng, marks=one.marks)
    return predicted if one.marks else (show.colour() == predicted[:, None]).argmax(axis=1)


def judge_rows(name: str, given: Prompted, show: Showing, predicted: np.ndarray) -> list[dict[str, Any]]:
    """The answers to one size, for the table of answers."""
    colour = show.colour()
    return [
        {"responder": name, "item": given.items[i].id, "assignment": CODES[k],
         "correct": COLOURS[colour[n, given.correct[i]]], "answer": COLOURS[colour[n, predicted[n]]], "size": show.size}
        for n, (i, k) in enumerate(zip(show.image, show.assignment, strict=True))
    ]  # fmt: skip
