"""The page about attribution: what may be said of every map in words, the trials' numbers, and the sheets."""

import base64
import html
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slitlamp.attribution.figures import alt, margin_figure, method_sheet, overview
from slitlamp.pairs.gallery import CSS, POLICY
from slitlamp.reports.plots import STYLE

if TYPE_CHECKING:
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
    sheets: "Sequence[Sheet]", sentences: Sequence[str], notes: Sequence[str],
    tables: Mapping[str, Sequence[dict[str, Any]]], command: str,
) -> str:  # fmt: skip
    """One HTML file that needs nothing else and lets nothing in."""
    title = "Attribution: " + ", ".join(dict.fromkeys(sheet.name for sheet in sheets))
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<meta http-equiv='Content-Security-Policy' content=\"{POLICY}\">",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{CSS}{TABLE}</style></head><body><h1>{html.escape(title)}</h1>",
        _list(sentences),
    ]
    for sheet in sheets:
        parts.append(f"<h2>{html.escape(sheet.name)}</h2>")
        mine = [row for row in tables["verdicts"] if row["task"] == sheet.name]
        parts.append(_table(mine, COLUMNS))
        if "evidence" in tables:
            parts.append("<h2>Where the maps lie</h2>")
            parts.append(_table([row for row in tables["evidence"] if row["task"] == sheet.name], EVIDENCE))
        parts.append(_figure(lambda sheet=sheet: overview(sheet), f"All methods on the same images for {sheet.name}"))
        parts.append(
            _figure(lambda sheet=sheet: margin_figure(sheet), f"What every map knows of the score, {sheet.name}")
        )
        for method in dict.fromkeys(tried.method for one in sheet.judged for tried in one.explained.tried):
            parts.append(_figure(lambda sheet=sheet, method=method: method_sheet(sheet, method), alt(sheet, method)))
    parts += [
        "<h2>Notes</h2>",
        _list(notes),
        f"<p>To repeat: <code>{html.escape(command)}</code></p>",
        "</body></html>\n",
    ]
    return "".join(parts)


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


def _figure(draw: Callable[[], Any], words: str) -> str:
    """A figure as a PNG inside the page; the words stand for it where it cannot be seen, or could not be drawn."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    try:
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")
            draw().savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    except Exception:  # a picture costs no result: the line about it is said where the files are written
        return f"<p>{html.escape(words)} (could not be drawn)</p>"
    data = base64.b64encode(buffer.getvalue()).decode()
    said = html.escape(words, quote=True)
    return f"<figure><img alt='{said}' src='data:image/png;base64,{data}'><figcaption>{said}</figcaption></figure>"
