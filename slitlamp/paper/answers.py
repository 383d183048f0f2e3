"""The question and the answer of every claim in sentences, and what a reader must see beside them."""

import re
from collections.abc import Sequence

import tasks
from probes.stats.credit import PIXELS
from probes.stats.verdict import p_words
from slitlamp.paper.design import marked
from slitlamp.paper.gathered import Claim, Gathered
from slitlamp.records import Record
from slitlamp.reports.table import BLIND
from slitlamp.reports.text import listed

READS = {
    "present": "reads it", "absent": "does not read it", "inconclusive": "not decided",
    BLIND: "is blind to it by construction",
}  # fmt: skip


def used(claims: Sequence[Claim]) -> str:
    """What “reads it” says, and what it does not."""
    return (
        f"“Reads it” says that {a_probe(claims)} finds the answer in the features, for held-out groups. It does not "
        "say that a language model behind the encoder uses it."
    )


def a_probe(claims: Sequence[Claim]) -> str:
    """A linear probe, or a probe where one of the claims rests on another kind.

    >>> a_probe([])
    'a linear probe'
    """
    return "a linear probe" if all(c.best.probe.partition(" ")[0] in LINEAR for c in claims) else "a probe"


LINEAR = ("ridge", "linear-v1", "marks")  # probes that are linear in the features, by the first word of their label


def asked(task: str) -> str:
    """A question in words.

    >>> asked("orientation"), asked("label sex")
    ('Is the image upright or upside down?', 'Can “sex” be read from the image?')
    """
    kind, _, column = task.partition(" ")
    if kind == "label" and column:
        return f"Can “{column}” be read from the image?"
    return tasks.load(task).question if task in tasks.names() else f"Can “{task}” be read from the image?"


def number(claim: Claim) -> str:
    """The score with its interval, to two digits."""
    ends = claim.ends
    return f"{claim.score:.2f}" + ("" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]")


def answer(claim: Claim) -> str:
    """One or two sentences: the score, its interval, chance, p, what it is credited to, and what is not shown."""
    r, state = claim.best, claim.verdict["verdict"]
    points = len(claim.records)
    how = ""
    if points > 1:
        how = f" (the point chosen inside the training folds, of {points})" if claim.nested else (
            f" (the highest of {points} points, chosen on these data)"
        )  # fmt: skip
    p = "" if claim.p is None else f", {p_words(claim.p)}"
    measured = f"{r.metric} {number(claim)}{how}, chance {r.chance:.2f}{p}"
    if state == "present":
        open_ = " How well is open: the interval touches chance." if r.size_open else ""
        return f"{measured}.{open_} {_credit(claim)}".strip()
    if state == "absent":
        weakest = max(claim.records, key=lambda one: one.limit or 0)
        if (weakest.limit or 0) > (r.limit or 0):
            return f"{measured}. Where least is excluded, at {weakest.site}/{weakest.readout}: {_rest(weakest)}"
    return f"{measured}. {_rest(r)}".strip()


def _rest(r: Record) -> str:
    """What the reason of a point says behind its score; all of it where it holds no score."""
    reason, score = r.reason, f"chance {r.chance:.2f}"
    tail = reason.partition(score)[2]
    if tail.startswith(","):  # its p
        tail = tail.partition(". ")[2]
    words = tail.lstrip(".; ")
    return words[:1].upper() + words[1:] if score in reason else reason


def _credit(claim: Claim) -> str:
    """What a present is credited to, in the words of its record."""
    r = claim.best
    if claim.control:
        return "It is itself a control: nothing is credited."
    if r.credit is None:
        return "No control was measured: nothing shows that the encoder is needed for it."
    return _rest(r) or f"Credited to: {r.credit}."


UNSHOWN = {  # what a credit leaves unshown, in few words
    "learned": "credited to what was learnt",
    "architecture": "not shown to be more than untrained networks read",
    "pixels": "not shown to be more than a thumbnail reads",
    "nuisance": "not shown to be more than image statistics, or the order of the list, tell",
    "open": "to what it is to be credited is open",
}


def short(claims: Sequence[Claim]) -> str:
    """The answer of one encoder to one question in a line, of one run or of several: numbers, p, what is not shown."""
    if len(claims) == 1:
        claim = claims[0]
        p = "" if claim.p is None else f", {p_words(claim.p)}"
        return f"{number(claim)}{p}; {unshown(claim)}."
    low, high = (choose(claims, key=lambda c: c.score) for choose in (min, max))
    known = [c.p for c in claims if c.p is not None]
    p = f", {p_words(max(known))} at most".replace("p = ", "p ") if known else ""
    span = " to ".join(dict.fromkeys((number(low), number(high))))
    return f"{span}{p}; {'; '.join(dict.fromkeys(unshown(c) for c in claims))}."


def unshown(claim: Claim) -> str:
    """What is not shown, in few words."""
    r, state = claim.best, claim.verdict["verdict"]
    if state == "absent":
        what = "relations of concordance" if r.n_classes is None else "differences of accuracy"
        if claim.limit is None:
            return "nothing is excluded"
        return f"{what} {claim.limit:.2f} or more are excluded, smaller ones are not"
    if state == "inconclusive":
        return "blind to it by construction" if claim.blind else "neither shown nor excluded"
    open_ = "how well is open, " * r.size_open
    if claim.control:
        return f"{open_}it is itself a control"
    surpassed = re.search(r"But (.+ better \([\d.]+\)): no credit", r.reason)
    if surpassed:
        return open_ + surpassed[1]
    if r.credit == PIXELS and marked(claim):
        return f"{open_}not shown to be more than a thumbnail, or the brightness around the marks, reads"
    return open_ + (UNSHOWN.get(r.credit or "") or "no control was measured")


def reads(claims: Sequence[Claim]) -> str:
    """The verdict of one encoder on one question in words, of one run or of several."""
    if len(claims) == 1:
        return READS[claims[0].said]
    counts = {state: sum(c.said == state for c in claims) for state in READS}
    return ", ".join(f"{READS[state]} in {count} of {len(claims)} runs" for state, count in counts.items() if count)


def who_reads_most(gathered: Gathered) -> list[str]:
    """Sentences on who reads most, as the comparison of the runs has them."""
    return [] if gathered.compared is None else list(gathered.compared.sentences)


def stamps(claim: Claim) -> list[str]:
    """What must be seen in red beside a claim: a leak, a limited run, and what this project made itself."""
    r = claim.best
    found = []
    if any(one.reason.startswith("LEAK:") for one in claim.records):
        found.append("LEAK")
    if r.limited:
        found.append(f"LIMITED to {r.n_items} items")
    if claim.synthetic:
        line = next(one for one in claim.verdict["sentences"] if one.startswith("Synthetic:"))
        what = [word for word in ("images", "weights") if word in line.partition("are made")[0]]
        found.append(f"SYNTHETIC {listed(what)}".strip())
    return found


def warnings_of(claim: Claim) -> list[str]:
    """Sentences of a verdict that warn."""
    return [line for line in claim.verdict["sentences"] if line.startswith(("WARNING:", "Caution:"))]


def answers(gathered: Gathered) -> list[str]:
    """One line for each claim, under its name."""
    return [f"{gathered.label(c)}: {READS[c.said]}: {answer(c)}" for c in gathered.claims]


def questions(claims: Sequence[Claim]) -> dict[tuple[str, str], list[Claim]]:
    """The claims by question: source and task."""
    found: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        found.setdefault((claim.question["source"], claim.task), []).append(claim)
    return found
