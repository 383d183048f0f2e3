"""The page about attribution: what may be said of every map in words, the trials' numbers, and the sheets."""

import base64
import html
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slitlamp.reports.pages import framed
from slitlamp.reports.plots import STYLE

if TYPE_CHECKING:
    from slitlamp.attribution.figures import Picture
    from slitlamp.attribution.judged import Sheet

TABLE = """
table{border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums;margin:.6rem 0;display:block}
table{overflow-x:auto}
th,td{padding:.2rem .5rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
figure img{max-width:100%;height:auto;background:#fff}li{margin:.25rem 0;max-width:60rem}
"""
COLUMNS = {
    "encoder": "encoder", "method": "method", "verdict": "verdict", "over_random": "over chance",
    "over_edges": "over edges", "over_control": "over the control", "over_untrained": "over untrained",
    "untrained_is": "the untrained network's map", "like_untrained": "like untrained", "like_control": "like control",
    "completeness": "completeness error", "on_border": "on border", "on_largest_tokens": "on largest tokens",
}  # fmt: skip
EVIDENCE = {
    "encoder": "encoder", "method": "method", "region": "region", "share": "mass there",
    "control_share": "of the control", "area": "share of the image", "over_control": "difference",
    "hits": "greatest cell there", "images": "of images",
    "rank": "rank accuracy", "rests": "rests on it",
}  # fmt: skip


def page(
    sheets: "Sequence[tuple[Sheet, Sequence[Picture]]]", sentences: Sequence[str], notes: Sequence[str],
    tables: Mapping[str, Sequence[dict[str, Any]]], command: str,
) -> str:  # fmt: skip
    """One HTML file of every sheet with its pictures."""
    parts = [_list(sentences)]
    for sheet, pictures in sheets:
        parts.append(f"<h2>{html.escape(sheet.name)}</h2>")
        for name, columns in (("verdicts", COLUMNS), ("evidence", EVIDENCE)):
            mine = [row for row in tables.get(name, ()) if row["task"] == sheet.name]
            parts += ["<h2>Where the maps lie</h2>"] * (name == "evidence" and bool(mine))
            parts += [_table(mine, columns)] * bool(mine)
        parts += [_figure(picture) for picture in pictures]
    parts += ["<h2>Notes</h2>", _list(notes), f"<p>To repeat: <code>{html.escape(command)}</code></p>"]
    return framed("Attribution: " + ", ".join(dict.fromkeys(sheet.name for sheet, _ in sheets)), parts, TABLE)


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    kept = {key: words for key, words in columns.items() if any(row.get(key) is not None for row in rows)}
    head = "".join(f"<th>{html.escape(words)}</th>" for words in kept.values())
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(row, key))}</td>" for key in kept) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return "" if value is None else str(value)
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    return f"{value:.2g}" if low is None or high is None else f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _figure(picture: "Picture") -> str:
    """A figure as a PNG inside the page; its words stand for it where it cannot be seen, or could not be drawn."""
    import matplotlib as mpl

    buffer, said = io.BytesIO(), html.escape(picture.words, quote=True)
    try:
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")
            picture.draw().savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    except Exception:  # a picture costs no result: the line about it is said where the files are written
        return f"<p>{said} (could not be drawn)</p>"
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<figure><img alt='{said}' src='data:image/png;base64,{data}'><figcaption>{said}</figcaption></figure>"
