"""Verdicts in plain words: what is readable, to what it may be credited, what cannot be said."""

from collections.abc import Mapping, Sequence
from typing import Any

import probes
from encoders.extraction.readouts import GRID3, HALVES, MEAN
from probes.stats.credit import LOWLEVEL
from slitlamp.probing.judged import best_of
from slitlamp.questions import Question


def sentences(run: Any, question: Question, spec: str, judged: Sequence[Any], controls: Mapping[Any, Any]) -> list[str]:
    """What a reader must know of one encoder and one question, the most important first."""
    found = [_readable(judged)]
    found += _leaks(judged, found)
    found += _layout(run, question, judged)
    found += _absent(judged)
    found += _undecided(judged)
    found += _betrayed(spec, controls)
    found += [f"Note: {warning}." for warning in run.plan(question).warnings]
    found += _notes(judged)
    found += _origin(question, judged)
    return [sentence for sentence in found if sentence]


def _score(m: Any) -> str:
    e = m.estimate
    ends = "" if e.low is None else f" [{e.low:.2f}, {e.high:.2f}]"
    return f"{e.score:.2f}{ends}"


def _readable(judged: Sequence[Any]) -> str:
    best = best_of(judged)
    present = [j for j in judged if j.verdict.state == "present"]
    if not present:
        return f"Nowhere shown to be readable. Best of {len(judged)} points: {best.cell.name}. {best.verdict.reason}"
    many = f"at {len(present)} of {len(judged)} points" if len(judged) > 1 else "here"
    learned = [j for j in present if j.verdict.credit == "learned"]
    more = ""
    if learned and best.verdict.credit != "learned":
        top = max(learned, key=lambda j: j.measurement.estimate.score)
        more = f" Credited to learning at {len(learned)} of them, best {top.cell.name} ({_score(top.measurement)})."
    return f"Present {many}; best {best.cell.name}. {best.verdict.reason}{more}"


def _leaks(judged: Sequence[Any], said: Sequence[str]) -> list[str]:
    """The alarm of a score below chance, wherever it rings, unless the first sentence has said it."""
    ringing = [j for j in judged if j.verdict.leak]
    if not ringing or any(ringing[0].verdict.reason in sentence for sentence in said):
        return []
    worst = min(ringing, key=lambda j: j.measurement.estimate.score)
    return [f"WARNING: at {_points(len(ringing))}, the worst {worst.cell.name}: {worst.verdict.reason}"]


def _layout(run: Any, question: Question, judged: Sequence[Any]) -> list[str]:
    """Where a mean over patches reads surely less than a readout that keeps the layout."""
    plan = run.plan(question)
    sites = {j.cell.site: {} for j in judged}
    for j in judged:
        sites[j.cell.site][j.cell.readout] = j.measurement
    lost: list[tuple[float, str, str]] = []
    for site, readouts in sites.items():
        if MEAN.name not in readouts:
            continue
        for name in (HALVES.name, GRID3.name):
            other = readouts.get(name)
            if other is None or other.screened != readouts[MEAN.name].screened:
                continue
            difference = probes.compare(other, readouts[MEAN.name], plan)
            if difference.low is not None and difference.low > 0:
                text = f"{site}: mean {_score(readouts['mean'])}, {name} {_score(other)}"
                lost.append((difference.score, site, text))
    if not lost:
        return []
    where = len({site for _, site, _ in lost})
    _, _, example = max(lost)
    return [
        f"Layout: at {where} of {len(sites)} sites the mean over patches surely loses what halves or thirds of the "
        f"image keep ({example}). Averaging loses it there, not the encoder."
    ]


def _points(count: int) -> str:
    return f"{count} point{'s' * (count != 1)}"


def _absent(judged: Sequence[Any]) -> list[str]:
    absent = [j for j in judged if j.verdict.state == "absent"]
    if not absent:
        return []
    names = ", ".join(j.cell.name for j in absent[:4]) + (" …" if len(absent) > 4 else "")
    weakest = max(absent, key=lambda j: j.verdict.excluded)
    return [f"Absent at {_points(len(absent))} ({names}). {weakest.verdict.reason}"]


def _undecided(judged: Sequence[Any]) -> list[str]:
    open_ = [j for j in judged if j.verdict.state == "inconclusive"]
    if not open_ or len(open_) == len(judged):
        return []
    names = ", ".join(j.cell.name for j in open_[:4]) + (" …" if len(open_) > 4 else "")
    first = max(open_, key=lambda j: j.measurement.estimate.score)
    return [f"Not decided at {_points(len(open_))} ({names}). For example {first.cell.name}: {first.verdict.reason}"]


def _betrayed(spec: str, controls: Mapping[Any, Any]) -> list[str]:
    """A warning where image statistics without any layout already tell the answers apart."""
    control = controls.get((LOWLEVEL, False)) or controls.get((LOWLEVEL, True))
    if control is None or spec == LOWLEVEL:
        return []
    e = control.estimate
    if control.state == "present":
        p = "" if e.p is None else f", p = {max(e.p, 0.0001):.2g}"
        return [
            f"WARNING: image statistics without layout (size, brightness, histogram, compression) already read it: "
            f"{_score(control)}{p}. Scanner, window or exposure may betray the answer; a score no higher "
            "than this says nothing about seeing."
        ]
    if e.score > e.chance + 0.05:
        return [
            f"Caution: image statistics without layout reach {_score(control)}; with this many items it is not sure "
            "that they do not betray the answer."
        ]
    return []


def _notes(judged: Sequence[Any]) -> list[str]:
    """What the probes themselves noted, with the number of points it holds for."""
    noted = [note for j in judged for note in getattr(j.measurement.predictions, "notes", ())]
    if not noted:
        return []
    return [f"Note: at {len(noted)} of {len(judged)} points {noted[0].rstrip('.')}, for example."]


def _origin(question: Question, judged: Sequence[Any]) -> list[str]:
    card = judged[0].cell.encoder.card
    weights = "the weights of this encoder" if card.synthetic else ""
    return synthetic("images" * question.source.synthetic, weights)


def synthetic(images: str, weights: str) -> list[str]:
    """The sentence that says what this project made itself, of images and of weights; none where it made neither."""
    what = " and ".join(w for w in (images, weights) if w)
    if not what:
        return []
    return [f"Synthetic: {what} are made by this project; "
            "nothing here is a finding about patients or about any published model."]  # fmt: skip
