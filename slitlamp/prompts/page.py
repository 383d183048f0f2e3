"""What an audit of visual prompts shows: a table of all responders, and each of them in full."""

from typing import TYPE_CHECKING, Any

from probes.prompts.audit import Audit
from probes.prompts.controls import Change, Control
from slitlamp.prompts.judged import Found, Judged
from slitlamp.reports.table import DASH, p_text
from slitlamp.reports.text import filled, fitted, question_line, wrapped_notes

if TYPE_CHECKING:
    from slitlamp.prompts.settings import Asked

WHY = (
    "A spread below .10 is often read as 'spatial', above .30 as 'colour heuristic'. It misleads: one who always says "
    "the same colour is right in a third of every assignment, so its spread is as small as that of one who looks."
)

FAVOUR = {"upright": "upright is favoured", "turned": "upside down is favoured", "neither": "neither is favoured"}


def page(found: Found, asked: "Asked", *, full: bool) -> str:
    """The page on the terminal: a table, and every responder in full where there is one or `full` is wished."""
    from slitlamp.prompts.settings import command_line

    turns = found.judged[0].bias is not None
    parts = [*_asked(found), _head(found, turns=turns)]
    if full or turns or len(found.judged) == 1:
        parts += _details(found)
    else:
        parts.append(fitted(rows(found), right=("accuracy", "colour p")))
        parts.append("\n".join(filled(f"{j.responder}: {j.audit.reason}") for j in found.judged if j.audit is not None))
        parts.append("* p below .05 (Holm); more in details.txt, or with --details")
    parts += [filled(f"note: {note}") for note in found.notes]
    parts.append("To repeat: " + command_line(asked))
    return "\n\n".join(parts)


def sentences(found: Found) -> list[str]:
    """What is said of each responder, in a sentence."""
    said = []
    for judged in found.judged:
        if judged.bias is not None:
            b = judged.bias
            said.append(
                f"{judged.responder}: {FAVOUR[b.errors]}, McNemar p {p_text(b.p)}; accuracy {b.accuracy:.3f}, without "
                f"bias {b.unbiased:.3f}, chance 0.500; d' {_span(b.d)}, criterion {_span(b.criterion, '+')}."
            )
        elif judged.audit is not None:
            said.append(f"{judged.responder}: {judged.audit.verdict}. {judged.audit.reason}")
    return said


def rows(found: Found) -> list[dict[str, Any]]:
    """A row for each responder, as the table on the terminal has it; none where turned images were asked about."""
    return [_row(judged) for judged in found.judged if judged.audit is not None]


def details(found: Found) -> str:
    """Every responder in full."""
    turns = found.judged[0].bias is not None
    return (
        "\n\n".join(
            [*_asked(found), _head(found, turns=turns), *_details(found), *(f"note: {note}" for note in found.notes)]
        )
        + "\n"
    )


def _details(found: Found) -> list[str]:
    turns = found.judged[0].bias is not None
    parts = ["\n".join(_upright(judged) if turns else _colours(judged)) for judged in found.judged]
    return parts if turns else [*parts, WHY]


def _asked(found: Found) -> list[str]:
    if found.question is None:
        return []
    return ["\n".join([filled(question_line(found.question)), *wrapped_notes(found.question["notes"])])]


def _head(found: Found, *, turns: bool) -> str:
    head = f"{found.task} · {found.source} · {found.images} images in {found.groups} groups"
    return head + (" · LIMITED RUN" if found.limited else "") + (" as they are and turned" if turns else "")


def _row(judged: Judged) -> dict[str, Any]:
    """One line of the table."""
    a = judged.audit
    assert a is not None
    by_name = {c.name: c for c in judged.controls}
    return {
        "answers of": judged.responder,
        "verdict": a.verdict,
        "accuracy": f"{a.accuracy:.2f}",
        "place": _span(a.spatial, "+"),
        "colour p": p_text(a.adjusted["colour"]),
        "transfer": _starred(judged.transfer),
        "without marks": _beside(by_name.get("without marks")),
        "marks elsewhere": _beside(by_name.get("marks elsewhere")),
    }


def _starred(given: Change | None) -> str:
    return DASH if given is None else f"{0.0 - round(given.value[0], 2):+.2f}" + "*" * (given.reading == "differs")


def _beside(given: Control | None) -> str:
    return DASH if given is None else f"{given.share:.2f}" + "*" * (given.reading in ("above", "below"))


def _span(three: tuple[float, float, float], sign: str = "") -> str:
    value, low, high = (round(v, 2) + 0.0 for v in three)  # no minus before a zero
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def _histogram(judged: Judged) -> list[str]:
    shown = judged.histogram
    words = ", ".join(f"{name} {shown.predicted[name]} (right {shown.label.get(name, 0)})" for name in shown.predicted)
    lines = [f"  answers              {words}, unread {shown.unread}"]
    if shown.constant is not None:
        lines.append(
            f"  CONSTANT ANSWER      {shown.constant!r} is nearly all that was said: no accuracy means anything"
        )
    return lines


def _colours(judged: Judged) -> list[str]:
    a, s = judged.audit, judged.spread
    assert a is not None
    assert s is not None
    more = f"chosen {round(100 * a.effects['correct']) + 0:+d} points more often"
    lines = [
        f"{judged.responder}: {a.verdict}",
        f"  {a.reason}",
        f"  accuracy             {a.accuracy:.3f}; chance 0.333",
        f"  correct place        log odds {_span(a.spatial, '+')}, {more}",
        f"  colour               {_nuisance(a, 'colour', ('green/red', 'blue/red', 'blue/green'))}",
    ]
    if "position" in a.adjusted:
        lines.append(f"  position             {_nuisance(a, 'position', ('x', 'y'))} per sd")
    if "phase" in a.adjusted:
        odds = _nuisance(a, "phase", ("phase",)).replace("odds phase", "odds")
        lines.append(f"  borders of tokens    {odds} per sd of distance{_phase(judged.phase)}")
    lines += [
        f"  consistency          {_consistency(a)}",
        f"  quoted spread        {_span(s.by_mark)} over assignments, would be read as {s.reading}; "
        f"by colour of the right mark {_span(s.by_colour)}",
    ]
    lines += [*_histogram(judged), *_places(judged), *_sizes(judged)]
    return lines + _transfer(judged) + _controls(judged)


ALIKE = {"differs": "they differ", "alike": "alike within 10 points", "open": "open"}
READ = {"above": "above chance", "below": "below chance", "chance": "no 10 points above chance", "open": "open"}


def _change(given: Change, instead: str = "") -> str:
    what = instead or ALIKE[given.reading]
    return f"{given.ends[0]:.3f} against {given.ends[1]:.3f}, {_span(given.value, '+')}: {what}"


def _phase(given: Change | None) -> str:
    if given is None:
        return ""
    return f"\n                       right near a border {_change(given)}"


def _transfer(judged: Judged) -> list[str]:
    lines = []
    if judged.transfer is not None:
        low = "what is read rests on the colours' assignment" if judged.transfer.reading == "differs" else ""
        lines.append(f"  transfer             {_change(judged.transfer, low)} (assignments that trained, then others)")
    if judged.published is not None:
        lines.append(f"  colours as they came {_change(judged.published)} (as they came, then others)")
    return lines


def _controls(judged: Judged) -> list[str]:
    """Answers without the evidence, and what is read of the marks."""
    lines = []
    for c in judged.controls:
        what = {"above": "answers come from elsewhere than the marks", "below": "below chance: look at the images"}
        lines.append(f"  {c.name:20} {_share(c)}: {what.get(c.reading, READ[c.reading])}")
    lines += [
        f"  {'reads ' * (k == 0):20} {c.name} {_share(c)}: {READ[c.reading]}" for k, c in enumerate(judged.encoded)
    ]
    return lines


def _share(c: Control) -> str:
    return f"{c.share:.3f} [{c.low:.3f}, {c.high:.3f}], chance {c.chance:.3f}, p {p_text(c.p)}"


def _nuisance(a: Audit, test: str, names: tuple[str, ...]) -> str:
    """The test of a nuisance and the odds ratios that it is of."""
    odds = ", ".join(f"{name} {_span(a.odds[name])}" for name in names if name in a.odds)
    return f"p {p_text(a.adjusted[test])} (Holm); odds {odds}"


def _consistency(a: Audit) -> str:
    same = a.consistency
    if same.location is None or same.colour is None:
        return f"{DASH} (no image was answered under all six assignments)"
    return f"place {same.location:.2f}, colour {same.colour:.2f} over {same.images} images; chance .33 each"


def _places(judged: Judged) -> list[str]:
    differing = [c for c in judged.cells if c.p < 0.05]
    if not judged.cells:
        return ["  3 x 3 cells          too few images in every cell"]
    if not differing:
        low = min(c.p for c in judged.cells)
        return [
            f"  3 x 3 cells          none of {len(judged.cells)} differs from the others (least Holm p {p_text(low)})"
        ]
    words = ", ".join(f"{c.name} {c.share:.2f} against {c.against:.2f} (p {p_text(c.p)})" for c in differing)
    return [f"  3 x 3 cells          {words}"]


def _sizes(judged: Judged) -> list[str]:
    if judged.dose is None or len(judged.dose.shares) < 2:
        return []
    words = ", ".join(f"{s.name}: {s.share:.3f} [{s.low:.3f}, {s.high:.3f}]" for s in judged.dose.shares)
    lines = [f"  size of marks        {words}"]
    if judged.dose.slope is not None:
        least, dose = judged.dose.smallest, judged.dose
        words = "no size is" if least is None else f"from {least:g} on it is"
        lines.append(
            f"                       {_span(judged.dose.slope, '+')} per doubling, p {p_text(dose.p)}; "
            f"{words} above chance (Holm)"
        )
    return lines


def _upright(judged: Judged) -> list[str]:
    b = judged.bias
    assert b is not None
    return [
        f"{judged.responder}: {FAVOUR[b.errors]}",
        f"  called upright       {b.hits:.3f} of upright images, {b.false_alarms:.3f} of turned ones",
        f"  accuracy             {b.accuracy:.3f}; without bias {b.unbiased:.3f}; chance 0.500",
        f"  told apart, d'       {_span(b.d)}",
        f"  criterion, c         {_span(b.criterion, '+')} (below 0: upright is favoured)",
        f"  McNemar              p {p_text(b.p)} that errors fall on upright and turned images alike",
        *_histogram(judged),
    ]
