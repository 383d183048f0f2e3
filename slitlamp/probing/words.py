"""Verdicts in plain words: what is readable, what is read less than before, to what it may be credited."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import probes
from encoders.extraction.readouts import AT_MARK, GRID3, HALVES, MEAN, READOUTS, VECTOR
from probes.stats.credit import LOWLEVEL
from probes.stats.plan import FEW
from probes.stats.verdict import p_words
from slitlamp.probing.judged import Best, Judged, ListTold
from slitlamp.probing.state import Cell, QuestionCells
from slitlamp.questions import Question
from slitlamp.reports.table import is_blind


def sentences(
    run: Any, question: Question, spec: str, judged: Sequence[Judged], best: Best, cells: QuestionCells,
    told: ListTold | None,
) -> list[str]:  # fmt: skip
    """What a reader must know of one encoder and one question, the most important first."""
    found = [_readable(judged, best), _beside(best.row)]
    found += _less(judged)
    found += _leaks(judged, found)
    found += _layout(run, question, judged)
    found += _blind(judged, found)
    found += _absent(judged, found)
    found += _undecided(judged, found)
    found += _betrayed(run, spec, cells)
    found += _told(told)
    plan = run.plan(question)
    found += _moved(plan)
    if plan.n_groups >= FEW:  # else the reason has said that nothing can be
        found += [f"Note: {warning}." for warning in plan.warnings]  # the question has named values far out
    found += _notes(judged)
    found += _origin(question, judged)
    return [sentence for sentence in found if sentence]


def place(cell: Cell) -> str:
    """Site and readout as a sentence has them."""
    if cell.readout == VECTOR.name:
        return f"the {cell.site} vector"
    return f"{'the tokens ' * (cell.readout == AT_MARK.name)}{READOUTS[cell.readout].title} of {cell.site}"


def _score(m: Any) -> str:
    e = m.estimate
    return f"{e.score:.2f}{_ends(e.low, e.high)}"


def _beside(row: Judged) -> str:
    """Scores of a number that have no interval, and are no reason for a verdict."""
    said = ", ".join(f"{name} {value:.2f}" for name, value in row.measurement.companions.items())
    return f"Beside the concordance of {row.cell.name}, without an interval: {said}." if said else ""


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"


def _readable(judged: Sequence[Judged], best: Best) -> str:
    row, present = best.row, [j for j in judged if j.verdict.state == "present"]
    if best.of == 1:
        return row.verdict.reason if present else f"Not shown to be readable. {row.verdict.reason}"
    r = row.record
    of = f"{best.of} points"
    if any(j.record.score > r.score for j in judged):
        of = f"the {_points(len(present))} that {'is' if len(present) == 1 else 'are'} present"
    chosen = f"the highest of {of}, chosen on these data"
    highest = f"{row.cell.name} {r.score:.2f}{_ends(r.simultaneous_low, r.simultaneous_high)}, {chosen}"
    nested = ""
    if best.nested is not None:
        read = f"{r.metric} {_score(best.nested)}, chance {r.chance:.2f}"
        nested = f" With the point chosen inside the training folds: {read}."
    if not present:
        return f"Nowhere shown to be readable.{nested} Best: {highest}. {row.verdict.reason}"
    more = ""
    learned = [j for j in present if j.verdict.credit == "learned"]
    if learned and row.verdict.credit != "learned":
        top = max(learned, key=lambda j: j.measurement.estimate.score)
        more = f" Credited to learning at {_points(len(learned))}, best {top.cell.name} ({_score(top.measurement)})."
    p = f", {p_words(row.p)}" if row.p is not None else ""
    size = " How well is open: the interval touches chance." if row.verdict.size_open else ""
    return (
        f"Present at {len(present)} of {best.of} points{p}.{nested} Best: {highest}.{size} {row.credit_words}{more}"
    ).rstrip()


def _less(judged: Sequence[Judged]) -> list[str]:
    """How much less the last point that surely reads less than its reference reads, and at how many it is so."""
    less = [j for j in judged if j.loss is not None and j.loss.state in ("material", "reads less")]
    if not less:
        return []
    material = [j for j in less if j.loss is not None and j.loss.state == "material"]
    last = (material or less)[-1]
    assert last.loss is not None
    sure = sorted((one for one in last.loss.kinds if one.sure), key=lambda one: -one.difference.score)
    parts = [
        f"{d.score:.2f}{_ends(d.low, d.high)} less than {one.reference} ({one.score:.2f})"
        for one, d in ((one, one.difference) for one in sure or [last.loss.whole])
    ]
    how = "" if last.loss.score == last.measurement.estimate.score else " (all by closed-form ridge)"
    name = place(last.cell)
    many = ""
    if len(less) > 1:
        many = f" So {_points(len(less))} of {len(judged)} read less than a reference on the same items" + (
            f", {len(material)} of them by more than {last.loss.margin:.2g}." if material else "."
        )
    verb = "read" if READOUTS[last.cell.readout].several else "reads"
    return [f"{name[0].upper()}{name[1:]} {verb} {last.loss.score:.2f}: {', '.join(parts)}{how}.{many}"]


def _leaks(judged: Sequence[Judged], said: Sequence[str]) -> list[str]:
    """The alarm of a score below chance, wherever it rings, unless the first sentence has said it."""
    ringing = [j for j in judged if j.verdict.leak]
    if not ringing or any(ringing[0].verdict.reason in sentence for sentence in said):
        return []
    worst = min(ringing, key=lambda j: j.measurement.estimate.score)
    return [f"WARNING: at {_points(len(ringing))}, the worst {worst.cell.name}: {worst.verdict.reason}"]


def _layout(run: Any, question: Question, judged: Sequence[Judged]) -> list[str]:
    """Where a mean over patches surely reads less than a readout of the site that keeps the layout and is present."""
    plan = run.plan(question)
    sites: dict[str, dict[str, Judged]] = {j.cell.site: {} for j in judged}
    for j in judged:
        sites[j.cell.site][j.cell.readout] = j
    less: list[tuple[float, str, str]] = []
    for site, readouts in sites.items():
        mean = readouts.get(MEAN.name)
        for name in (HALVES.name, GRID3.name):
            other = readouts.get(name)
            if mean is None or other is None or other.verdict.state != "present":
                continue
            if other.measurement.screened != mean.measurement.screened:
                continue
            difference = probes.compare(other.measurement, mean.measurement, plan)
            if difference.low is not None and difference.low > 0:
                text = f"{site}: mean {_score(mean.measurement)}, {name} {_score(other.measurement)}"
                less.append((difference.score, site, text))
    if not less:
        return []
    count = len({site for _, site, _ in less})
    _, _, example = max(less)
    return [
        f"Layout: at {count} of {len(sites)} sites the mean over patches reads less than halves or thirds of the image "
        f"({example}): there it is the averaging that reads less, not the tokens."
    ]


def _points(count: int) -> str:
    return f"{count} point{'s' * (count != 1)}"


def _absent(judged: Sequence[Judged], said: Sequence[str]) -> list[str]:
    """Where it is absent, and what the least sure of these excludes, unless a sentence has said it."""
    absent = [j for j in judged if j.verdict.state == "absent"]
    if not absent:
        return []
    weakest = max(absent, key=lambda j: j.verdict.excluded or 1.0)
    return [f"Absent at {_named(absent)}.{_reason(weakest, absent, said, 'The weakest exclusion is that of')}"]


def _blind(judged: Sequence[Judged], said: Sequence[str]) -> list[str]:
    """Where some points are blind to the question by construction, and others not."""
    blind = [j for j in judged if is_blind(j.record)]
    if not blind or len(blind) == len(judged):
        return []  # of all alike the first sentence has said it
    return [f"Blind by construction at {_named(blind)}.{_reason(blind[0], blind, said, 'For example')}"]


def _undecided(judged: Sequence[Judged], said: Sequence[str]) -> list[str]:
    """Where nothing is decided, and why at the highest of these, unless a sentence has said it."""
    open_ = [j for j in judged if j.verdict.state == "inconclusive" and not is_blind(j.record)]
    if not open_ or len(open_) == len(judged):
        return []
    first = max((j for j in open_ if not j.verdict.leak), key=lambda j: j.measurement.estimate.score, default=open_[0])
    return [
        f"Not decided at {_named(open_)}.{'' if first.verdict.leak else _reason(first, open_, said, 'For example')}"
    ]


def _named(some: Sequence[Judged]) -> str:
    return f"{_points(len(some))} ({', '.join(j.cell.name for j in some[:4])}{' …' if len(some) > 4 else ''})"


def _reason(one: Judged, among: Sequence[Judged], said: Sequence[str], example: str) -> str:
    """The reason of one of several points, with its name; empty where a sentence has said it."""
    if any(one.verdict.reason in sentence for sentence in said):
        return ""
    return f" {example} {one.cell.name}: {one.verdict.reason}" if len(among) > 1 else f" {one.verdict.reason}"


def _betrayed(run: Any, spec: str, cells: QuestionCells) -> list[str]:
    """A warning where image statistics without any layout already tell the answers apart."""
    found = [run.measurement(c) for c in cells.control if c.encoder.spec == LOWLEVEL]
    if not found or spec == LOWLEVEL:
        return []
    control = min(found, key=lambda m: m.screened)
    e = control.estimate
    p = "" if e.p is None else f", {p_words(e.p)}"
    if control.state == "present" and (e.low is None or e.low <= e.chance):
        return [
            "Caution: image statistics without layout (size, brightness, histogram, compression) read something of "
            f"it, how much is open: {_score(control)}{p}."
        ]
    if control.state == "present":
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


def _told(told: ListTold | None) -> list[str]:
    """What the order of the list tells, and whether the images carry it."""
    if told is None:
        return []
    e = told.measurement.estimate
    small = e.low is None or e.low <= e.chance
    tells = f"the place in the list or in the folder alone tells the answer: {_score(told.measurement)}"
    if small and not told.carried:
        return []  # one list in twenty does by luck, and no image is seen to carry it
    if small:
        tells = f"{tells}, how well is open"
    if not told.carried:
        assert told.p is not None
        return [
            f"Caution: {tells}. Among images of one answer the features do not tell their place "
            f"({p_words(told.p)}), so no drift along the list was found that could betray it; a sudden change between "
            "answers would not be seen."
        ]
    if told.p is None:
        why = "Whether the images drift along it cannot be asked, since the list is sorted by the answer itself"
    else:
        p = p_words(told.p)
        why = f"Also among images of one answer their features tell the place ({p}): they drift along the list"
    return [
        f"{'Caution' if small else 'WARNING'}: {tells}. {why}; a scanner, a setting or a batch that changed on the way "
        "may be what is read, and only what surpasses the order is credited to anything else."
    ]


def _moved(plan: Any) -> list[str]:
    """What the column `shuffled` is to be expected at, where exchanged labels agree with the true ones."""
    if plan.number:
        return []
    agree = float(np.mean([(plan.permuted[:, plan.y == c] == c).mean() for c in range(len(plan.classes))]))
    if agree <= plan.chance + 0.05:
        return []
    return [
        f"Note: {agree:.0%} of the exchanged labels agree with the true ones, since few can change places: what reads "
        f"the answer perfectly is expected at about {agree:.2f} in the column shuffled, not at {plan.chance:.2f}."
    ]


def _notes(judged: Sequence[Judged]) -> list[str]:
    """What the probes themselves noted, with the number of points it holds for."""
    noted = [note for j in judged for note in getattr(j.measurement.predictions, "notes", ())]
    if not noted:
        return []
    return [f"Note: at {len(noted)} of {len(judged)} points {noted[0].rstrip('.')}, for example."]


def _origin(question: Question, judged: Sequence[Judged]) -> list[str]:
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
