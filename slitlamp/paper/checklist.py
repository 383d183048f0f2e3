"""The reviewer's checklist, filled in from the records: what stands behind each claim, and what is missing.

Nothing is said that the records do not hold. The fourteen items are those that a reviewer of a probing study asks for;
each holds entries for the claims that it concerns, with the evidence in numbers, or what is missing and the command
that would bring it, or why it does not apply.
"""

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import tasks
from encoders.extraction.readouts import READOUTS, VECTOR
from probes.stats.credit import DRAWS, LOWLEVEL, PIXELS
from probes.stats.plan import ALPHA, FEW
from slitlamp.paper.design import design, marked, scaling
from slitlamp.paper.gathered import Claim, Gathered
from slitlamp.paper.methods import inline_code, markdown_text
from slitlamp.records import Record, paid_p
from slitlamp.reports.table import drawn, p_text
from slitlamp.reports.text import listed
from slitlamp.runs import words_of

Status = Literal["missing", "stands", "does not apply"]
MISSING: Status = "missing"
STANDS: Status = "stands"
IDLE: Status = "does not apply"
ORDERED = (MISSING, STANDS, IDLE)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is said of one item for some claims; `fill` is the command, or the act, that would bring what is missing."""

    status: Status
    evidence: str
    fill: str = ""
    claims: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of the checklist with its entries, the missing ones first."""

    number: int
    title: str
    entries: tuple[Entry, ...]

    @property
    def status(self) -> Status:
        """Missing where anything is, else whether it stands for a claim, or applies to none."""
        return next(one for one in ORDERED if any(entry.status == one for entry in self.entries))


def checklist(gathered: Gathered) -> list[Item]:
    """All fourteen items, those with something missing first."""
    found = [
        Item(number=k, title=title, entries=_merged(gathered, fill(gathered)))
        for k, (title, fill) in enumerate(ITEMS, start=1)
    ]
    return sorted(found, key=lambda item: (ORDERED.index(item.status), item.number))


def counted(items: Sequence[Item]) -> str:
    """One sentence: how many items stand, miss something, or do not apply."""
    counts = {status: sum(item.status == status for item in items) for status in ORDERED}
    return (
        f"Of {len(items)} items {counts[STANDS]} stand{'s' * (counts[STANDS] == 1)}, in {counts[MISSING]} something is "
        f"missing, and {counts[IDLE]} do{'es' * (counts[IDLE] == 1)} not apply."
    )


def markdown(items: Sequence[Item]) -> str:
    """The checklist as Markdown, ready to go beside a paper."""
    lines = ["# Reviewer's checklist", "", counted(items), ""]
    for item in items:
        lines += [f"## {item.number}. {item.title}", ""]
        for one in item.entries:
            who = f" ({markdown_text('; '.join(one.claims))})" if one.claims else ""
            how = inline_code(one.fill) if one.fill.startswith("python ") else markdown_text(one.fill)
            fill = f" To fill it in: {how}" if one.fill else ""
            lines.append(f"- **{one.status}**{who}: {markdown_text(one.evidence)}{fill}")
        lines.append("")
    return "\n".join(lines)


def _merged(gathered: Gathered, entries: Iterable[tuple[Claim | None, Entry]]) -> tuple[Entry, ...]:
    """Entries that say the same of several claims as one; where it holds for all of them none is named."""
    found: dict[tuple[Status, str, str], list[str]] = {}
    for claim, one in entries:
        mine = found.setdefault((one.status, one.evidence, one.fill), [])
        mine += [gathered.label(claim)] if claim is not None else []
    made = [
        Entry(status=status, evidence=evidence, fill=fill,
              claims=() if len(claims) == len(gathered.claims) > 1 else tuple(claims))
        for (status, evidence, fill), claims in found.items()
    ]  # fmt: skip
    return tuple(sorted(made, key=lambda one: ORDERED.index(one.status)))


Filled = Iterable[tuple[Claim | None, Entry]]


def _each(tell: Callable[[Claim], Iterable[Entry]]) -> Callable[[Gathered], Filled]:
    """The entries of an item that is filled in claim by claim."""

    def fill(gathered: Gathered) -> Filled:
        if not gathered.claims:
            return [(None, Entry(status=IDLE, evidence="No encoder was probed in these runs."))]
        return [(claim, entry) for claim in gathered.claims for entry in tell(claim)]

    return fill


def _again(command: str, *more: str) -> str:
    """A command with flags put behind it, in place of those that it has."""
    words = words_of(command)
    names = {flag.split()[0] for flag in more}
    kept, left = [], False
    for word in words:
        left = word in names if word.startswith("--") else left
        kept += [] if left else [word]
    return " ".join([shlex.join(kept), *more])


def _splits(claim: Claim) -> Iterable[Entry]:
    facts, r = claim.question, claim.best
    size = f"{facts['items']} items of {facts['images']} images in {facts['groups']} groups"
    source = claim.flags.get("data")
    column = claim.flags.get("group")
    kept = "a group is never split over folds"
    if source is None:
        yield Entry(status=STANDS, evidence=f"{size}; groups are the phantoms, and {kept}.")
    elif column is None and facts["groups"] == facts["images"]:
        yield Entry(
            status=MISSING,
            evidence=f"{size}: every image is a group of its own. Nothing in the records says that no two images are "
            "of one patient.",
            fill=_again(claim.best.command, "--group COLUMN"),
        )
    else:
        by = f"column {column[0]}" if column else "as the source names them"
        policy = claim.flags.get("copies", ("refuse",))[0]
        copies = {"refuse": "a run in which copies of an image lie in several groups is refused",
                  "unite": "groups that share copies of an image were united",
                  "warn": "copies of an image in several groups were let pass with a warning"}[policy]  # fmt: skip
        yield Entry(
            status=MISSING if policy == "warn" else STANDS,
            evidence=f"{size} ({by}); {kept}; {copies} (--copies {policy}).",
            fill=_again(claim.best.command, "--copies unite") if policy == "warn" else "",
        )
    if r.limited:
        yield Entry(
            status=MISSING, evidence=f"Only {r.n_items} items were used (--limit).", fill="repeat it without --limit"
        )


def _sources(gathered: Gathered) -> Filled:
    yield from _each(_splits)(gathered)
    if gathered.claims:
        many = {claim.question["source"] for claim in gathered.claims}
        more = f"There are {len(many)} sources, each probed by itself." if len(many) > 1 else "There is one source."
        yield (
            None,
            Entry(
                status=IDLE,
                evidence="External test set: none is claimed. Every score is of held-out groups of its own source. "
                f"{more}",
            ),
        )


def _procedure(claim: Claim) -> Iterable[Entry]:
    r, points = claim.best, len(claim.records)
    penalty = {
        "ridge": f"{r.probe} with its relative penalty fixed before the data were seen",
        "linear": "logistic regression, its penalty chosen by inner folds of each training part",
    }.get(r.probe.partition(" ")[0].partition("-")[0], f"probe {r.probe}")
    beside = "" if r.nested is None else f"; nested logistic regression beside it reads {r.nested:.2f}"
    yield Entry(
        status=STANDS,
        evidence=f"{penalty}{beside}; {r.repeats} x {r.folds} folds, seed {r.seed}; {scaling(r.probe)}; "
        f"best point {r.site}/{r.readout}, features {r.features_key}; {r.dtype} on {r.device}; "
        f"slitlamp {r.code_version}.",
    )
    if points == 1:
        yield Entry(status=STANDS, evidence="One point was asked: no layer was chosen.")
    elif claim.nested:
        yield Entry(
            status=STANDS, evidence=f"The point was chosen inside the training folds, of {points}; the highest row is "
            "marked as chosen on these data.",
        )  # fmt: skip
    else:
        yield Entry(
            status=MISSING,
            evidence=f"The score is that of the highest of {points} points, chosen on these data.",
            fill=_again(claim.best.command, f"--site {r.site}", f"--readout {r.readout}") + " (on other images)",
        )


def _controls(claim: Claim) -> Iterable[Entry]:
    r = claim.best
    measured = {
        "chance": r.chance,
        "image statistics without layout": r.control_lowlevel,
        f"thumbnails{marked(claim)}": r.control_pixels,
        "untrained networks": r.control_random,
        "order of the list": r.control_order,
        "permuted labels": r.control_shuffled,
    }
    said = ", ".join(f"{name} {value:.2f}" for name, value in measured.items() if value is not None)
    prior = (
        "balanced accuracy leaves nothing to the prior" if r.n_classes else "the mean of the training part is at .50"
    )
    reads = f"The encoder reads {r.score:.2f} at {r.site}/{r.readout}; on the same folds {said}; {prior}."
    if claim.control:
        yield Entry(status=STANDS, evidence=f"{reads} It is a control itself and is held against nothing weaker.")
        return
    yield Entry(status=STANDS, evidence=reads)
    for name, value in ((LOWLEVEL, r.control_lowlevel), (PIXELS, r.control_pixels)):
        if value is None:
            yield Entry(status=MISSING, evidence=f"The control {name} was not measured beside it.", fill=r.command)
    names = {one.encoder for one in claim.run.records if drawn(one.encoder, claim.encoder)}
    draws = len(names)
    if draws >= DRAWS:
        yield Entry(status=STANDS, evidence=f"{draws} untrained draws of the network stand as a population.")
    elif r.verdict == "present" and r.credit in ("nuisance", "pixels"):
        yield Entry(
            status=IDLE, evidence=f"Untrained networks: what is read is credited to {r.credit} without them."
        )  # fmt: skip
    elif r.verdict != "present":
        yield Entry(status=IDLE, evidence="Untrained networks: nothing is credited, since it is not shown to be read.")
    else:
        have = f"only {draws}" if draws else "none"
        yield Entry(
            status=MISSING,
            evidence=f"Untrained networks: {have} (an encoder without a network has none).",
            fill=_again(claim.best.command, "--twins 5"),
        )


def _interval(claim: Claim) -> Iterable[Entry]:
    r, made, ends = claim.best, design(claim), claim.ends
    of = f"{r.n_items} items in {r.n_groups} groups, {r.n_items / r.n_groups:.2g} to a group"
    if claim.blind:
        yield Entry(status=STANDS, evidence=f"Blind by construction, so that no interval is needed: {of}.")
        return
    if ends is None:
        yield Entry(status=MISSING, evidence=f"No interval: {of}.", fill=f"bring {FEW} independent groups or more")
        return
    score = f"{r.metric} {claim.score:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"
    if made is None:
        yield Entry(
            status=MISSING,
            evidence=f"{score}, {of}; the cells of the run are gone, so its method cannot be told.",
            fill=r.command,
        )
        return
    inside = "" if claim.nested or len(claim.records) == 1 else ", wide enough to hold for all points at once"
    yield Entry(status=STANDS, evidence=f"{score}, {of}: 95 % by {made.interval}{inside}.")


def _permutation(claim: Claim) -> Iterable[Entry]:
    r, made = claim.best, design(claim)
    if claim.blind:
        yield Entry(status=STANDS, evidence="Blind by construction, so that there is nothing to permute.")
        return
    encoders = {one.encoder for one in claim.run.records if one.role == "encoder" and one.task == claim.task}
    points = sum(one.role == "encoder" and one.task == claim.task for one in claim.run.records)
    every = {one["task"] for one in claim.run.verdicts}
    paid = f"paid for {points} point{'s' * (points != 1)} of {len(encoders)} encoder{'s' * (len(encoders) != 1)}"
    holm = f" and, by Holm, for {len(every)} questions" * (len(every) > 1)
    p = "p" if claim.p is None else f"p = {p_text(claim.p)}" if claim.p >= 1e-4 else "p < 0.0001"
    if r.p_from != "permutation" or claim.p is None:
        yield Entry(
            status=MISSING,
            evidence=f"{p} comes from the spread over folds: {r.probe} is not refitted to permuted labels.",
            fill=_again(claim.best.command, "--probe ridge"),
        )
        return
    how = (
        f"{paid}{holm} (maximum statistic under the same permuted labels)" if claim.refitted
        else "paid for all points, encoders and questions by Holm's rule, since some points are not refitted"
    )  # fmt: skip
    what = "cells are gone, so what was exchanged cannot be told" if made is None else f"exchanged: {made.exchanged}"
    yield Entry(
        status=STANDS if made is not None else MISSING,
        evidence=f"{p}, {how}; {r.permutations} permutations; {what}.",
        fill="" if made is not None else r.command,
    )
    least = 1 / (1 + r.permutations)
    if least * len(every) > ALPHA / 2:
        yield Entry(
            status=MISSING,
            evidence=f"{r.permutations} permutations give no p below {least * len(every):.2g}.",
            fill="repeat it with --permutations 1999",
        )


def _multiplicity(gathered: Gathered) -> Filled:
    yield from _each(_permutation)(gathered)
    known = [claim for claim in gathered.claims if paid_p(claim.best) is not None]
    if len({id(claim.run) for claim in known}) < 2:
        return
    from probes.stats.multiplicity import holm

    paid = holm([paid_p(claim.best) or 0.0 for claim in known]).tolist()
    lost = [
        gathered.label(c) for c, p in zip(known, paid, strict=True) if c.verdict["verdict"] == "present" and p > ALPHA
    ]
    runs = len(gathered.runs)
    fell = f"{listed(lost[:5])}{' …' * (len(lost) > 5)} would not hold" if lost else "every “present” would hold"
    yield (
        None,
        Entry(
            status=MISSING if lost else STANDS,
            evidence=f"Each p is paid for inside its own command, not over the {runs} runs shown together. By Holm's "
            f"rule over all {len(known)} claims as well {fell} at .05.",
            fill="say before the data are seen which claims belong together, or ask them in one command" * bool(lost),
        ),
    )


def _layout(claim: Claim) -> list[Record]:
    """What keeps the layout of the tokens that the best point is made of: see `slitlamp.probing.judge.layout_of`."""
    r, every = claim.best, claim.records
    kept = [one for one in every if READOUTS[one.readout].keeps_layout]
    before = [one.site for one in every[: every.index(r)] if one in kept] if r.readout == VECTOR.name else []
    return [one for one in kept if one.site == (before or [r.site])[-1] and one is not r]


def _negative(claim: Claim) -> Iterable[Entry]:
    r, state = claim.best, claim.verdict["verdict"]
    if state == "present":
        yield Entry(status=IDLE, evidence="It is present: nothing is claimed absent.")
        return
    if claim.blind:
        yield Entry(status=IDLE, evidence="Blind by construction: of these features alone, and of no number of items.")
        return
    m = claim.measured
    layout = _layout(claim)
    kept = listed(f"{one.readout} p = {p_text(one.p_value)}" for one in layout)
    read = f"readouts of {layout[0].site} that keep the layout: {kept}" if layout else (
        "no readout that keeps the layout was asked"
    )  # fmt: skip
    if state == "inconclusive":
        yield Entry(
            status=IDLE, evidence=f"Nothing is claimed, neither present nor absent (smallest detectable score "
            f"{'unknown' if r.mde is None else f'{r.mde:.2f}'}).",
        )  # fmt: skip
        return
    if m is None or m.limit is None:
        yield Entry(
            status=MISSING,
            evidence=f"Absent, differences of {claim.limit or 1:.2f} or more are excluded; the cell that holds the "
            "plantings is gone.",
            fill=r.command,
        )
        return
    over = "" if len(claim.records) == 1 else (
        f"At all {len(claim.records)} points differences of {claim.limit:.2f} or more are excluded. Of the highest, "
        f"{r.site}/{r.readout}: "
    )  # fmt: skip
    kernel = "not asked" if m.kernel_p is None else f"p = {p_text(m.kernel_p)}"
    yield Entry(
        status=STANDS,
        evidence=f"{over}Weakest strength excluded {r.limit:.2f} ({m.limit.asked:.2f} is asked); planted at chance "
        f"{m.limit.self_check:.0%} were called readable (12% may be); margin {r.margin:.2g}; kernel ridge {kernel}; "
        f"{read}. Upper end of the score {'unknown' if r.high is None else f'{r.high:.2f}'}.",
    )


def _losses(gathered: Gathered) -> Filled:
    """What stands behind each loss: of a probing run its paired difference, of a diagnosis the transported probe."""
    carried = [
        (one, row) for one in gathered.others if one.experiment == DIAGNOSE
        for row in one.document["tables"].get("losses", ()) if row["between"].endswith("transported")
    ]  # fmt: skip
    for one, row in carried:
        yield (
            None,
            Entry(
                status=STANDS,
                evidence=f"{one.folder.name}, {row['task']}, {row['between']}: {_interval_text(row, 'loss')}, "
                f"{row['state']} at a margin of {row['margin']:.2g}; a straight line, a curve and a probe trained anew "
                "were tried, and the one that loses least counts.",
            ),
        )
    known = {(row["model"], row["task"]) for one, _ in carried for row in one.document["tables"]["verdicts"]}
    if not gathered.claims and not carried:
        yield None, Entry(status=IDLE, evidence="No encoder was probed in these runs.")
    for claim in gathered.claims:
        yield claim, _less(claim, measured=(claim.encoder, claim.task) in known)


def _less(claim: Claim, *, measured: bool) -> Entry:
    less = [one for one in claim.records if one.loss_state in ("material", "reads less")]
    if not less:
        return Entry(status=IDLE, evidence="No point is said to read less than a reference.")
    worst = max(less, key=lambda one: one.loss or 0)
    said = (
        f"{len(less)} of {len(claim.records)} points read less than a reference, {worst.site}/{worst.readout} "
        f"by {worst.loss:.2f} [{worst.loss_low:.2f}, {worst.loss_high:.2f}] than {worst.reference}. Paired on the same "
        "folds it says how easily it is read, not whether it is still there: "
    )
    if measured:
        return Entry(status=STANDS, evidence=f"{said}that is told by the diagnosis beside it.")
    return Entry(
        status=MISSING,
        evidence=f"{said}the transported probe, and the condition number of what lies between, were not measured.",
        fill=f"python -m experiments.diagnose --model {shlex.quote(claim.encoder)} --task {shlex.quote(claim.task)}"
        if _followable(claim.encoder) else "diagnose follows models with a joint space or a connector; say “reads "
        "less”, not “lost”",
    )  # fmt: skip


def _followable(encoder: str) -> bool:
    """Whether a registered encoder has a joint space with texts, or a connector, behind its tower."""
    import encoders

    if encoder not in encoders.names():
        return False
    card = encoders.card(encoder)
    return card.text or "connector" in card.sites


def _of_others(kinds: Sequence[str], reason: str, tell: Callable[[Any], Iterable[Entry]]) -> Callable[..., Filled]:
    """The entries of an item that rests on runs of other commands; `reason` says why it does not apply without any."""

    def fill(gathered: Gathered) -> Filled:
        mine = [one for one in gathered.others if one.experiment.startswith(tuple(kinds))]
        if not mine:
            yield None, Entry(status=IDLE, evidence=reason)
        for one in mine:
            yield from ((None, entry) for entry in tell(one))

    return fill


def _mined(other: Any) -> Iterable[Entry]:
    said = [line for line in (*other.document["sentences"], *other.document["notes"]) if "bias" in line.lower()]
    yield Entry(
        status=STANDS if said else MISSING,
        evidence=f"{other.folder.name}: {said[0] if said else 'no sentence on what choosing by similarity does.'}",
        fill="" if said else "say that pairs chosen for the similarity of one encoder are hard for it by choice",
    )  # fmt: skip


def _attributed(other: Any) -> Iterable[Entry]:
    rows = other.document["tables"].get("verdicts", ())
    asked = {"over_random": "area by chance", "over_control": "control probe", "over_untrained": "untrained network"}
    for key, words in asked.items():
        known = sum(row.get(key) is not None for row in rows)
        yield Entry(
            status=STANDS if known == len(rows) > 0 else MISSING,
            evidence=f"{other.folder.name}: {words} measured for {known} of {len(rows)} maps.",
            fill="" if known == len(rows) > 0 else str(other.document.get("command", "")),
        )


def _known_answers(gathered: Gathered) -> Filled:
    sizes: dict[tuple[int, int, int | None], list[Claim]] = {}
    for claim in gathered.claims:
        r = claim.best
        sizes.setdefault((r.n_items, r.n_groups, r.n_classes), []).append(claim)
    for (items, groups, classes), mine in sizes.items():
        target = "--target gaussian" if classes is None else f"--classes {classes}"
        for claim in mine:
            yield (
                claim,
                Entry(
                    status=MISSING,
                    evidence=f"No run on planted truth of this size ({items} items in {groups} groups) stands beside "
                    "these records.",
                    fill=f"python -m experiments.calibrate --items {items} --groups {groups} {target}",
                ),
            )
    if not sizes:
        yield None, Entry(status=IDLE, evidence="No encoder was probed in these runs.")


def _labels(claim: Claim) -> Iterable[Entry]:
    if claim.flags.get("data") is None:
        yield Entry(status=IDLE, evidence="The answers of phantoms are how they were made: they are exact.")
        return
    if claim.task in tasks.names() and tasks.load(claim.task).makes_answers:
        yield Entry(
            status=IDLE, evidence="The answers are the copies that the task made of each image, and no reader gave "
            "them: they are as right as the images are stored the way that the task takes for granted.",
        )  # fmt: skip
        return
    classes = claim.question["classes"]
    told = "" if classes is None else ": " + ", ".join(f"{name} {count}" for name, count in classes.items())
    yield Entry(
        status=MISSING,
        evidence=f"The answers come from {claim.question['source']}{told[:300]}. How well readers agree on them, which "
        "bounds what can be reached, is in no record.",
        fill="give inter-rater agreement and human accuracy in the text",
    )


def _falsified(claim: Claim) -> Iterable[Entry]:
    r = claim.best
    what = {
        "present": f"groups of the same kind on which {r.site}/{r.readout} reads {r.chance:.2f}"
        + (f", or a control that reads {r.score:.2f} too" if r.credit == "learned" else ""),
        "absent": f"a linear probe that reads it on more groups, of a difference of {claim.limit or 1:.2f} or more",
        "inconclusive": "nothing: it is blind by construction" if claim.blind else "nothing: no verdict was reached",
    }[claim.verdict["verdict"]]
    yield Entry(status=STANDS, evidence=f"What would overturn it: {what}.")


def _prior(gathered: Gathered) -> Filled:
    yield from _each(_falsified)(gathered)
    yield (
        None,
        Entry(
            status=MISSING,
            evidence="How this differs from earlier decompositions is in no record.",
            fill="say it in the text",
        ),
    )


def _language(gathered: Gathered) -> Filled:
    """What stands behind each verdict that a language model does not use what it receives."""
    mine = [one for one in gathered.others if one.experiment == DIAGNOSE]
    asked = [(one, row) for one in mine for row in one.document["tables"].get("verdicts", ())]
    blamed = [(one, row) for one, row in asked if row["failure"] == "language_model"]
    if not mine:
        yield None, Entry(status=IDLE, evidence="No language model was asked: nothing is claimed of what one uses.")
    elif not blamed:
        yield None, Entry(status=IDLE, evidence="No run says that a language model does not use what it receives.")
    for one, row in blamed:
        yield None, _blamed(one, row)


def _blamed(other: Any, verdict: Any) -> Entry:
    """Bias-free answers, the ways in which the question was put, and the causal check behind one verdict."""
    tables = other.document["tables"]
    answers, causal = (
        [row for row in tables.get(name, ()) if row["task"] == verdict["task"]] for name in ("answers", "causal")
    )
    free = next((row for row in answers if row["what"] == "bias-free AUC"), None)
    said = [f"{other.folder.name}, {verdict['task']}: {verdict['code']} ({verdict['confidence']})"]
    missing, more = [], []
    if free is None:
        missing.append("bias-free answers")
    else:
        said.append(f"bias-free AUC {_interval_text(free, 'value')} over {free['asks']} ways of putting the question")
        if free["asks"] < PARAPHRASES:
            missing.append(f"{PARAPHRASES} or more ways of putting the question")
            more.append(f"--paraphrases {PARAPHRASES // 2}")
    causal = [{"effect": row.get("loss"), **row} for row in causal]  # `loss` is its name in older documents
    checks = [row for row in causal if row["effect"] is not None]
    if not checks:
        missing.append("a causal check")
        more.append("--causal on")
    else:
        said += [f"{row['edit']}: {_interval_text(row, 'effect')}" for row in checks if row["edit"] in CHECKS]
    return Entry(
        status=MISSING if missing else STANDS,
        evidence="; ".join(said) + "." + (f" Missing: {listed(missing)}." if missing else ""),
        fill=_again(other.document["command"], *more) if more else "",
    )


DIAGNOSE = "diagnose"
PARAPHRASES = 10  # five paraphrases, each in both orders of the options (METHOD 4.6)
CHECKS = (
    "erased",
    "random direction erased",
    "answers that follow the exchange",
    "area under the curve that a push gives",
)


def _interval_text(row: Any, value: str) -> str:
    ends = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row[value]:.2f}{ends}"


def _answered(other: Any) -> Iterable[Entry]:
    yield Entry(
        status=STANDS,
        evidence=f"{other.folder.name}: {' '.join(other.document['sentences'][:2])[:400]}",
    )


ITEMS: tuple[tuple[str, Callable[[Gathered], Filled]], ...] = (
    ("Splits by patient or source image, copies together, an external test set", _sources),
    ("Penalty, folds, metric, standardisation, layer and pooling, transform, precision, versions, seeds; the layer "
     "chosen inside folds", _each(_procedure)),
    ("Chance, prior, image statistics, untrained and confounding controls in the same table", _each(_controls)),
    ("Interval with a method of demonstrated coverage; items, groups, design effect", _each(_interval)),
    ("Permutation p with the right exchangeability; multiplicity fixed in advance", _multiplicity),
    ("For every negative: limit, margin, plantings, a non-linear probe, readouts that keep the layout",
     _each(_negative)),
    ("For every loss: a transported probe, the condition number of what lies between, a non-linear probe",
     _losses),
    ("For every “the language model does not use it”: bias-free answers, several prompts, a causal check", _language),
    ("Answers with response bias told apart, invalid answers counted",
     _of_others(("visual_prompts", "answers"), "No answers of a model were read.", _answered)),
    ("A statement on mining bias for pairs selected by similarity",
     _of_others(("pairs",), "No pairs were selected by similarity.", _mined)),
    ("Attribution: control probe, randomised weights, area by chance",
     _of_others(("attribution",), "No map of attribution is shown.", _attributed)),
    ("Known-answer results for the exact version of the software; false verdicts", _known_answers),
    ("Quality of the labels: human accuracy and agreement", _each(_labels)),
    ("Difference from earlier work, and what would overturn the verdict", _prior),
)  # fmt: skip
