"""What an audit of visual prompts leaves: a page, a document, the answers and one figure."""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments._prompts_run import Found, Judged
from experiments._records import as_json, rounded, write_atomically
from experiments._table import DASH, p_text
from probes._prompts import Audit

if TYPE_CHECKING:
    from experiments.visual_prompts import Asked

WHY = (
    "A spread below .10 is often read as 'spatial', above .30 as 'colour heuristic'. It misleads: one who always says "
    "the same colour is right in a third of every assignment, so its spread is as small as that of one who looks."
)


def _document(found: Found, asked: "Asked", files: list[str]) -> dict[str, Any]:
    from experiments.visual_prompts import NAME, command_line

    records = [{k: v for k, v in asdict(j).items() if k != "answers"} for j in found.judged]
    return {
        "schema": 1, "experiment": NAME, "command": command_line(asked), "task": found.task, "source": found.source,
        "images": found.images, "groups": found.groups, "limited": found.limited, "notes": found.notes,
        "responders": rounded(records), "files": files,
    }  # fmt: skip


def deliver(found: Found, asked: "Asked") -> tuple[dict[str, Any], list[str]]:
    """Write answers.csv, audit.json and the figure under --out; the document and the files' names."""
    from experiments._plots import save
    from experiments._prompts_plot import figure

    out = Path(asked.options.out)
    text = io.StringIO()
    rows = [row for j in found.judged for row in j.answers]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(out / "answers.csv", text.getvalue().encode())
    files = ["audit.json", "answers.csv", *save(figure(found), out / "audit")]
    document = _document(found, asked, files)
    write_atomically(out / "audit.json", as_json(document))
    return document, files


def page(found: Found, asked: "Asked") -> str:
    """The page on the terminal."""
    from experiments.visual_prompts import command_line

    head = f"{found.task} · {found.source} · {found.images} images in {found.groups} groups"
    parts = [head + (" · LIMITED RUN" if found.limited else "")]
    turns = found.judged[0].bias is not None
    parts[0] += " as they are and turned" if turns else ""
    for judged in found.judged:
        parts.append("\n".join(_upright(judged) if turns else _colours(judged)))
    if not turns:
        parts.append(WHY)
    parts += [f"note: {note}" for note in found.notes]
    parts.append("To repeat: " + command_line(asked))
    return "\n\n".join(parts)


def _span(three: tuple[float, float, float], sign: str = "") -> str:
    value, low, high = (round(v, 2) + 0.0 for v in three)  # no minus before a zero
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def _histogram(judged: Judged) -> list[str]:
    shown = judged.histogram
    words = ", ".join(f"{name} {shown.said[name]} (right {shown.truth.get(name, 0)})" for name in shown.said)
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
    seen = "" if judged.seen is None else f"; {judged.seen:.3f} under assignments it was trained on"
    more = f"chosen {round(100 * a.effects['correct']) + 0:+d} points more often"
    lines = [
        f"{judged.responder}: {a.verdict}",
        f"  {a.reason}",
        f"  accuracy             {a.accuracy:.3f}{seen}; chance 0.333",
        f"  correct place        log odds {_span(a.spatial, '+')}, {more}",
        f"  colour               {_nuisance(a, 'colour', ('green/red', 'blue/red', 'blue/green'))}",
    ]
    if "position" in a.adjusted:
        lines.append(f"  position             {_nuisance(a, 'position', ('x', 'y'))} per sd")
    lines += [
        f"  consistency          {_consistency(a)}",
        f"  quoted spread        {_span(s.by_mark)} over assignments, would be read as {s.reading}; "
        f"by colour of the right mark {_span(s.by_colour)}",
    ]
    lines += [*_histogram(judged), *_places(judged), *_sizes(judged)]
    return lines


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
    apart = [c for c in judged.cells if c.p < 0.05]
    if not judged.cells:
        return ["  3 x 3 cells          too few images in every cell"]
    if not apart:
        low = min(c.p for c in judged.cells)
        return [
            f"  3 x 3 cells          none of {len(judged.cells)} differs from the others (least Holm p {p_text(low)})"
        ]
    words = ", ".join(f"{c.name} {c.share:.2f} against {c.against:.2f} (p {p_text(c.p)})" for c in apart)
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
    favour = {"upright": "upright is favoured", "turned": "upside down is favoured", "neither": "neither is favoured"}
    return [
        f"{judged.responder}: {favour[b.errors]}",
        f"  called upright       {b.hits:.3f} of upright images, {b.false_alarms:.3f} of turned ones",
        f"  accuracy             {b.accuracy:.3f}; without bias {b.unbiased:.3f}; chance 0.500",
        f"  told apart, d'       {_span(b.d)}",
        f"  criterion, c         {_span(b.criterion, '+')} (below 0: upright is favoured)",
        f"  McNemar              p {p_text(b.p)} that errors fall on upright and turned images alike",
        *_histogram(judged),
    ]
