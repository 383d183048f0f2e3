"""What a reader wants first: a line for each question and encoder, and the differences between encoders."""

from collections.abc import Mapping, Sequence
from typing import Any

from slitlamp.records import Record
from slitlamp.reports.table import DASH, p_text
from slitlamp.reports.text import filled, fitted

HEADS = ("question", "encoder", "verdict", "credit", "score", "95 % interval", "chance", "best point", "reads less by")


def rows_of(verdicts: Sequence[Any], records: Sequence[Record]) -> list[dict[str, Any]]:
    """A row for each question and encoder: its best point, what that reads, the verdict, the credit, the loss.

    `verdicts` are those of a `Result`. Score and interval are those of the point that is chosen inside the training
    folds; where it could not be, of the point named, with the search over all paid for.
    """
    rows = []
    for one in verdicts:
        mine = [r for r in records if r.role == "encoder" and (r.task, r.encoder) == (one.task, one.encoder)]
        chosen = one.score is not None
        score = one.score if chosen else one.highest
        ends = (one.low, one.high) if chosen else (one.highest_low, one.highest_high)
        ends = (None, None) if one.blind else ends
        rung = ", LEAK" * any(r.reason.startswith("LEAK:") for r in mine)
        words = (
            one.task, one.encoder, one.said + rung, one.credit or DASH, f"{score:.2f}", _ends(*ends),
            f"{mine[0].chance:.2f}", one.best, _lost(mine),
        )  # fmt: skip
        rows.append(dict(zip(HEADS, words, strict=True)))
    return rows


def _ends(low: float | None, high: float | None) -> str:
    return DASH if low is None or high is None else f"[{low:.2f}, {high:.2f}]"


def _lost(mine: Sequence[Record]) -> str:
    """The last point that surely reads materially less than the best reference, and how much less."""
    less = [r for r in mine if r.loss_state == "material"]
    if not less:
        return DASH
    last = less[-1]
    return f"{last.loss:.2f} at {last.site}/{last.readout}"


def summary(verdicts: Sequence[Any], records: Sequence[Record], comparisons: Sequence[Mapping[str, Any]]) -> str:
    """The summary of a run as text that fits the terminal; empty where nothing was concluded."""
    if not verdicts:
        return ""
    rows = rows_of(verdicts, records)
    if all(row["reads less by"] == DASH for row in rows):
        rows = [{key: value for key, value in row.items() if key != "reads less by"} for row in rows]
    parts = [fitted(rows, right={"score", "chance"})]
    if comparisons:
        parts.append(fitted([_difference(row) for row in comparisons], right={"a - b", "p"}))
        parts.append(filled("a - b: paired item by item on the same folds, each encoder at its best point; intervals "
                            "hold for all pairs at once, p is adjusted for all of them (Holm).", 110, ""))  # fmt: skip
    return "\n".join([parts[0], *(f"\n{part}" if k == 0 else part for k, part in enumerate(parts[1:]))])


def _difference(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "question": row["task"], "a": row["a"], "b": row["b"], "a - b": f"{row['difference']:+.2f}",
        "interval": _ends(row["simultaneous_low"], row["simultaneous_high"]), "p": p_text(row["p_holm"]),
        "": row["says"],
    }  # fmt: skip
