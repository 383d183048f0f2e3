"""The tables of a report: LaTeX, CSV and Markdown of the same rows, all records as Parquet, every number as a macro.

`tables/claims` has a row for each encoder and task, `tables/points` one for each point; `comparisons`, `ranking`,
`curve` and `variation` are there where runs were compared. The LaTeX of a table takes its numbers from `numbers.tex`.
"""

import dataclasses
import io
import json
import typing
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache import write_atomically
from slitlamp.paper import numbers
from slitlamp.paper.gathered import Claim, Gathered
from slitlamp.paper.numbers import Path3, key, keys
from slitlamp.records import Record, rounded
from slitlamp.reports import latex, markdown
from slitlamp.reports.spreadsheet import as_csv
from slitlamp.reports.table import DASH, number, p_text, shown_p

ROWS = 40  # of one floating table, which a page has room for
NARROW = "-column"  # behind the name of a table that fits one column

Show = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A column as tables show it: its head, and of which values of a row it is made, in which form.

    `form` is "text", "count", "score" (two digits), "difference" (three), "p", or "interval" (a score with the two
    values behind it in brackets). `narrow` are columns that one column of a journal has room for too.
    """

    head: str
    of: tuple[str, ...]
    form: str = "score"
    narrow: bool = False
    mark: str = ""  # a value of the row that is printed behind: see `Sheet.notes`


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table: its rows with all their values, and the columns that are shown.

    `paths` name the numbers of each row (encoder, task, what comes before the name of a value); rows of which a value
    is set in bold stand in `bold`, with the head of its column.
    """

    name: str
    caption: str
    columns: Sequence[Shown]
    rows: Sequence[Mapping[str, Any]]
    paths: Sequence[Path3]
    notes: Sequence[str] = ()
    bold: frozenset[tuple[int, str]] = frozenset()

    @property
    def kept(self) -> list[Shown]:
        """The columns that hold something."""
        return [c for c in self.columns if any(row.get(c.of[0]) is not None for row in self.rows)]


def write(gathered: Gathered, out: Path) -> list[str]:
    """Write every table, `results.parquet` and `numbers.tex` into `out`; their names, relative to it."""
    made: dict[str, bytes] = {}
    said: dict[Path3, str] = {}
    for sheet in sheets(gathered):
        said |= macros(sheet)
        made[f"tables/{sheet.name}.tex"] = as_tex(sheet).encode()
        if any(c.narrow for c in sheet.kept):
            made[f"tables/{sheet.name}{NARROW}.tex"] = as_tex(sheet, wide=False).encode()
        made[f"tables/{sheet.name}.csv"] = as_csv([rounded(dict(row)) for row in sheet.rows])
        made[f"tables/{sheet.name}.md"] = as_markdown(sheet).encode()
    made["results.parquet"] = as_parquet(gathered)
    made["numbers.tex"] = numbers.as_tex(said).encode()
    for name, data in made.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out / name, data)
    return list(made)


def sheets(gathered: Gathered) -> list[Sheet]:
    """Every table that these runs feed."""
    found = []
    if gathered.claims:
        found += [_claims(gathered), _points(gathered)]
    compared = gathered.compared.tables if gathered.compared is not None else {}
    made = {"comparisons": _comparisons, "ranking": _ranking, "curve": _curve, "variation": _variation}
    return found + [make(rows) for name, make in made.items() if (rows := compared.get(name))]


def run_names(gathered: Gathered) -> dict[tuple[int, str, str], str]:
    """What tells apart claims of one encoder and task: the name of their run, by run (its `id`), task and encoder."""
    counts = Counter((c.task, c.encoder) for c in gathered.claims)
    return {
        (id(c.run), c.task, c.encoder): c.run.name for c in gathered.claims if counts[c.task, c.encoder] > 1
    }  # fmt: skip


def _claims(gathered: Gathered) -> Sheet:
    names, own = run_names(gathered), _claim_paths(gathered)
    first = gathered.claims[0].best
    sole = _told_apart(gathered)
    rows = [_claim_row(claim, names.get((id(claim.run), claim.task, claim.encoder))) for claim in gathered.claims]
    notes = [
        f"Score: {_each(r.metric for c in gathered.claims for r in [c.best])} on held-out groups with its "
        f"{100 * first.confidence:g} % interval, the point chosen inside the training folds"
        + (" (†: chosen on these data, with an interval wide enough for that)" * any(r["mark"] for r in rows))
        + ". Controls on the same folds: low-level statistics, thumbnails or the brightness around marks (pixels), the "
        "order of the list, the same network untrained (untr.). p: paid for all points, encoders and tasks of the "
        "command. Absent ≥ x: excluded at every point from x on. Loss: how much less than the best of what reads the "
        "same items."
    ]
    if sole:
        notes[0] += " Bold: told apart from every other encoder."
    return Sheet(
        name="claims",
        caption="What a probe reads, by encoder and task.",
        rows=rows,
        paths=[own[id(claim)] for claim in gathered.claims],
        notes=notes,
        bold=frozenset((k, "score") for k, c in enumerate(gathered.claims) if (c.task, c.encoder) in sole),
        columns=(
            Shown(head="task", of=("task",), form="text", narrow=True),
            Shown(head="encoder", of=("encoder",), form="text", narrow=True),
            Shown(head="run", of=("run",), form="text", narrow=True),
            Shown(head="items", of=("n_items",), form="count"),
            Shown(head="groups", of=("n_groups",), form="count"),
            Shown(head="score", of=("score", "low", "high"), form="interval", narrow=True, mark="mark"),
            Shown(head="chance", of=("chance",)),
            Shown(head="low-lev.", of=("control_lowlevel",)),
            Shown(head="pixels", of=("control_pixels",)),
            Shown(head="order", of=("control_order",)),
            Shown(head="untr.", of=("control_random",)),
            Shown(head="p", of=("p",), form="p", narrow=True),
            Shown(head="verdict", of=("verdict", "limit"), form="verdict", narrow=True),
            Shown(head="credit", of=("credit",), form="text"),
            Shown(head="loss", of=("loss",)),
        ),
    )


def _claim_paths(gathered: Gathered) -> dict[int, Path3]:
    """The macros' path of each claim: encoder, with its run where several hold the pair, and task."""
    names = run_names(gathered)
    encoders, tasks = keys(c.encoder for c in gathered.claims), keys(c.task for c in gathered.claims)
    runs = keys(run.name for run in gathered.runs)
    found, taken = {}, Counter()
    for c in gathered.claims:
        several = (id(c.run), c.task, c.encoder) in names
        first = encoders[c.encoder] + f"/{runs[c.run.name]}" * several
        taken[first, tasks[c.task]] += 1
        count = taken[first, tasks[c.task]]
        found[id(c)] = (first + f"-{count}" * (count > 1), tasks[c.task], "")
    return found


def _claim_row(claim: Claim, run: str | None) -> dict[str, Any]:
    said, best = claim.verdict, claim.best
    chosen = said["score"] is not None
    low, high = claim.ends or (None, None)
    return {
        "task": claim.task, "encoder": claim.encoder, "run": run,
        **{f"setting {axis}": _setting(value) for axis, value in claim.run.settings.items()},
        "n_items": best.n_items, "n_groups": best.n_groups, "n_classes": best.n_classes, "metric": best.metric,
        "score": claim.score, "low": low, "high": high, "mark": None if chosen else "†",
        "chosen": "inside the training folds" if chosen else "on these data", "chance": best.chance,
        **{name: getattr(best, name) for name in ("control_lowlevel", "control_pixels", "control_order",
                                                  "control_random", "control_shuffled")},
        "p": claim.p, "verdict": claim.said,
        "limit": claim.limit, "credit": said["credit"],
        "loss": best.loss, "loss_low": best.loss_low, "loss_high": best.loss_high, "loss_state": best.loss_state,
        "reference": best.reference, "best_point": said["best"], "highest": said["highest"],
        "highest_low": said["highest_low"], "highest_high": said["highest_high"], "mde": best.mde,
        "limited": best.limited,
    }  # fmt: skip


def _setting(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value)


def _each(values: Any) -> str:
    return " / ".join(dict.fromkeys(values))


def _told_apart(gathered: Gathered) -> set[tuple[str, str]]:
    """Tasks with the encoder that leads them by itself, as the comparison's ranking says."""
    ranking = gathered.compared.tables.get("ranking", ()) if gathered.compared is not None else ()
    rows = [r for r in ranking if r["over"] == "encoder" and r["at"] == "best point"]
    first = {(r["task"], r["name"]) for r in rows if "a" in (r["group"] or "")}
    return {
        (task, name) for task, name in first
        if sum(t == task for t, _ in first) == 1 and sum(r["task"] == task for r in rows) > 1
    }  # fmt: skip


def _points(gathered: Gathered) -> Sheet:
    names, own = run_names(gathered), _claim_paths(gathered)
    rows, paths = [], []
    for claim in gathered.claims:
        first, second, _ = own[id(claim)]
        for r in claim.records:
            rows.append(
                {
                    "task": r.task, "encoder": r.encoder, "run": names.get((id(claim.run), r.task, r.encoder)),
                    "site": r.site, "readout": r.readout, "depth": r.depth, "probe": r.probe, "n_items": r.n_items,
                    "n_groups": r.n_groups, "metric": r.metric, "score": r.score, "low": r.low, "high": r.high,
                    "chance": r.chance, "untrained": r.control_random,
                    "p": shown_p(r), "verdict": r.verdict,
                    "limit": r.limit if r.verdict == "absent" else None, "credit": r.credit, "loss": r.loss,
                    "loss_low": r.loss_low, "loss_high": r.loss_high, "loss_state": r.loss_state,
                    "reference": r.reference,
                }
            )  # fmt: skip
            paths.append((first, second, f"{key(r.site)}/{key(r.readout)}/"))
    return Sheet(
        name="points",
        caption="Every point: site and readout, with the interval of the point by itself.",
        rows=rows,
        paths=paths,
        columns=(
            Shown(head="task", of=("task",), form="text"),
            Shown(head="encoder", of=("encoder",), form="text"),
            Shown(head="run", of=("run",), form="text"),
            Shown(head="site", of=("site",), form="text"),
            Shown(head="readout", of=("readout",), form="text"),
            Shown(head="score", of=("score", "low", "high"), form="interval"),
            Shown(head="untr.", of=("untrained",)),
            Shown(head="p", of=("p",), form="p"),
            Shown(head="verdict", of=("verdict", "limit"), form="verdict"),
            Shown(head="credit", of=("credit",), form="text"),
            Shown(head="loss", of=("loss",)),
        ),
    )


def _path(row: Mapping[str, Any], first: str, before: Sequence[str]) -> Path3:
    return first, key(row["task"]), "".join(f"{'/'.join(key(p) for p in str(part).split('/'))}/" for part in before)


def _comparisons(rows: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        name="comparisons",
        caption="Differences on the same items and folds.",
        rows=rows,
        paths=[_path(r, f"{key(r['a'])}-vs-{key(r['b'])}", (r["over"], r["at"])) for r in rows],
        notes=[
            "Difference: a less b with its interval for all comparisons at once where there is one. p after Holm, q "
            "after Benjamini and Hochberg, over everything that was compared."
        ],
        columns=(
            Shown(head="task", of=("task",), form="text", narrow=True),
            Shown(head="of", of=("over",), form="text"),
            Shown(head="at", of=("at",), form="text"),
            Shown(head="a", of=("a",), form="text", narrow=True),
            Shown(head="b", of=("b",), form="text", narrow=True),
            Shown(head="a", of=("score_a",)),
            Shown(head="b", of=("score_b",)),
            Shown(head="difference", of=_ends(rows), form="interval3", narrow=True),
            Shown(head="p Holm", of=("p_holm",), form="p", narrow=True),
            Shown(head="q", of=("q_bh",), form="p"),
            Shown(head="reading", of=("says",), form="text"),
        ),
    )


def _ends(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    whole = any(row.get("simultaneous_low") is not None for row in rows)
    return ("difference", "simultaneous_low", "simultaneous_high") if whole else ("difference", "low", "high")


def _ranking(rows: Sequence[Mapping[str, Any]]) -> Sheet:
    def alone(row: Mapping[str, Any]) -> bool:
        same = [r for r in rows if (r["task"], r["over"], r["at"]) == (row["task"], row["over"], row["at"])]
        return len(same) > 1 and "a" in (row["group"] or "") and sum("a" in (r["group"] or "") for r in same) == 1

    spans = [
        None if r["rank_low"] is None or r["rank_high"] is None
        else f"{r['rank_low']}" if r["rank_low"] == r["rank_high"] else f"{r['rank_low']}–{r['rank_high']}"
        for r in rows
    ]  # fmt: skip
    return Sheet(
        name="ranking",
        caption="The order, and what of it is sure.",
        rows=[{**row, "ranks": span} for row, span in zip(rows, spans, strict=True)],
        paths=[_path(r, key(r["name"]), ("ranking", r["over"], r["at"])) for r in rows],
        notes=["P(best): probability of being the best. Those that share a letter are not told apart; bold: alone."],
        bold=frozenset((k, "score") for k, row in enumerate(rows) if alone(row)),
        columns=(
            Shown(head="task", of=("task",), form="text", narrow=True),
            Shown(head="of", of=("over",), form="text"),
            Shown(head="at", of=("at",), form="text"),
            Shown(head="name", of=("name",), form="text", narrow=True),
            Shown(head="score", of=("score", "low", "high"), form="interval", narrow=True),
            Shown(head="P(best)", of=("p_best",), narrow=True),
            Shown(head="ranks", of=("ranks",), form="words"),
            Shown(head="group", of=("group",), form="words", narrow=True),
        ),
    )


def _curve(rows: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        name="curve",
        caption="Scores by the number of groups to learn from.",
        rows=rows,
        paths=[_path(r, key(r["encoder"]), ("curve", r["at"], r["groups"])) for r in rows],
        notes=[
            "Draws: how many choices of that many groups were measured, and the standard deviation of their scores, "
            "which is not that over patients. Detectable: the least score that such a run finds."
        ],
        columns=(
            Shown(head="task", of=("task",), form="text", narrow=True),
            Shown(head="encoder", of=("encoder",), form="text", narrow=True),
            Shown(head="at", of=("at",), form="text"),
            Shown(head="groups", of=("groups",), form="count", narrow=True),
            Shown(head="items", of=("items",), form="count"),
            Shown(head="score", of=("score", "low", "high"), form="interval", narrow=True),
            Shown(head="draws", of=("draws",), form="count"),
            Shown(head="sd", of=("draws_sd",), form="difference"),
            Shown(head="detectable", of=("mde",), narrow=True),
            Shown(head="limit", of=("limit",)),
        ),
    )


def _variation(rows: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        name="variation",
        caption="How much the score varies between seeds or draws, beside the error over patients.",
        rows=rows,
        paths=[_path(r, key(r["encoder"]), ("variation", r["over"], r["at"])) for r in rows],
        columns=(
            Shown(head="task", of=("task",), form="text", narrow=True),
            Shown(head="encoder", of=("encoder",), form="text", narrow=True),
            Shown(head="at", of=("at",), form="text"),
            Shown(head="over", of=("over",), form="text", narrow=True),
            Shown(head="runs", of=("runs",), form="count"),
            Shown(head="mean", of=("mean",), narrow=True),
            Shown(head="sd", of=("sd",), form="difference", narrow=True),
            Shown(head="se patients", of=("se_patients",), form="difference", narrow=True),
        ),
    )


FORMS: dict[str, Callable[[Any], str]] = {
    "count": lambda value: DASH if value is None else str(value),
    "p": p_text,
    "score": lambda value: number(value, 2),
    "interval": lambda value: number(value, 2),
    "verdict": lambda value: number(value, 2),
    "difference": lambda value: number(value, 3),
    "interval3": lambda value: number(value, 3),
}


def _words(column: Shown, row: Mapping[str, Any]) -> str:
    """A cell as plain text."""
    values = [row.get(name) for name in column.of]
    if column.form in ("text", "words"):
        return DASH if values[0] is None else str(values[0])
    if column.form == "verdict":
        return str(values[0]) + (f" ≥ {FORMS['verdict'](values[1])}" if values[1] is not None else "")
    text = FORMS[column.form](values[0]) + str(row.get(column.mark) or "")
    if len(values) == 3 and None not in values[1:]:
        text += f" [{', '.join(FORMS[column.form](value) for value in values[1:])}]"
    return text


def _named(column: Shown, row: Mapping[str, Any]) -> list[str]:
    """The values of a cell that are numbers, each of which is a macro."""
    if column.form in ("text", "words"):
        return []
    return [n for n in column.of if isinstance(row.get(n), int | float) and not isinstance(row.get(n), bool)]


def macros(sheet: Sheet) -> dict[Path3, str]:
    """Every number of a table's rows as LaTeX, under its path; those that no column shows too."""
    found: dict[Path3, str] = {}
    for row, path in zip(sheet.rows, _own(sheet), strict=True):
        forms = {name: column.form for column in sheet.kept for name in _named(column, row)}
        for name, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                form = forms.get(name, "count" if isinstance(value, int) else "score")
                found[_at(path, name)] = latex.dash(FORMS[form](value))
    return found


def _own(sheet: Sheet) -> list[Path3]:
    """The paths of the rows; of rows that would share one the later are numbered."""
    taken: Counter[Path3] = Counter()
    found = []
    for path in sheet.paths:
        taken[path] += 1
        found.append((path[0], path[1], f"{path[2]}{taken[path]}/" if taken[path] > 1 else path[2]))
    return found


def _at(path: Path3, name: str) -> Path3:
    return path[0], path[1], path[2] + key(name)


def _cell(column: Shown, row: Mapping[str, Any], path: Path3, *, bold: bool) -> latex.Cell:
    shown = _words(column, row)
    if column.form in ("text", "words"):
        return latex.Cell(tex=latex.escape(latex.short(shown)), shown=shown)
    calls = [numbers.call(_at(path, name)) for name in _named(column, row)]
    if column.form == "verdict":
        tex = str(row[column.of[0]]) + (rf" $\geq$ {calls[0]}" if calls else "")
    elif not calls:
        tex = "--"
    else:
        tex = calls[0] + (r"\rlap{$^\dagger$}" if row.get(column.mark) else "")
        tex += f" [{', '.join(calls[1:])}]" if len(calls) == 3 else ""
    return latex.Cell(tex=tex, shown=shown, bold=bold)


def as_tex(sheet: Sheet, *, wide: bool = True) -> str:
    """A table as LaTeX: one float, or of many rows several, each with what a page has room for.

    Where there is no room for all columns the last ones are left out; CSV and Markdown hold them all.
    """
    columns = [c for c in sheet.kept if wide or c.narrow]
    while True:
        try:
            return _floats(sheet, columns, wide=wide)
        except ValueError:
            if len(columns) < 3:
                raise
            columns = columns[:-1]


def _floats(sheet: Sheet, columns: Sequence[Shown], *, wide: bool) -> str:
    cells = [
        [_cell(c, row, path, bold=(k, c.of[0]) in sheet.bold) for c in columns]
        for k, (row, path) in enumerate(zip(sheet.rows, _own(sheet), strict=True))
    ]
    heads = [latex.Column(head=c.head, number=c.form not in ("text", "verdict")) for c in columns]
    head = (
        "% \\usepackage{booktabs} and \\input{numbers} in the preamble; "
        f"{latex.PAGE if wide else latex.COLUMN} mm wide or more.\n"
    )
    label = f"tab:slitlamp-{sheet.name}"
    parts = [
        latex.booktabs(
            heads,
            cells[k : k + ROWS],
            caption=sheet.caption + " (continued)" * bool(k),
            label=label + f"-{k // ROWS + 1}" * bool(k) + NARROW * (not wide),
            notes=sheet.notes if k + ROWS >= len(cells) else (),
            wide=wide,
            breaks=[j for j in range(1, ROWS) if k + j < len(cells)
                    and sheet.rows[k + j]["task"] != sheet.rows[k + j - 1]["task"]],
        )
        for k in range(0, len(cells), ROWS)
    ]  # fmt: skip
    return head + "".join(parts)


def as_markdown(sheet: Sheet) -> str:
    """A table as Markdown, with its caption before it and its notes below."""
    columns = sheet.kept
    rows = [[_words(c, row) for c in columns] for row in sheet.rows]
    bold = [(k, j) for k in range(len(rows)) for j, c in enumerate(columns) if (k, c.of[0]) in sheet.bold]
    right = [c.form not in ("text", "words", "verdict") for c in columns]
    body = markdown.table([c.head for c in columns], rows, right, bold)
    notes = "".join(f"\n{markdown.escape(note)}\n" for note in sheet.notes)
    return f"{markdown.escape(sheet.caption)}\n\n{body}{notes}"


def as_parquet(gathered: Gathered) -> bytes:
    """All records, a row each, with the name of their run and the settings of its grid (`setting AXIS`), typed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    hints = typing.get_type_hints(Record)
    pairs = [(run, record) for run in gathered.runs for record in run.records]
    axes = list(dict.fromkeys(axis for run in gathered.runs for axis in run.settings))
    arrays = {"run": pa.array([_text(run.name) for run, _ in pairs], pa.string())}
    for axis in axes:
        values = [_setting(run.settings.get(axis)) for run, _ in pairs]
        types = {type(v) for v in values if v is not None}
        one = types.pop() if len(types) == 1 else None
        if one is None or one is str:
            values = [v if v is None else _text(v if isinstance(v, str) else json.dumps(v)) for v in values]
        arrays[f"setting {axis}"] = pa.array(values, kinds[one.__name__ if one else "str"])
    for field in dataclasses.fields(Record):
        kind = next(one.__name__ for one in (typing.get_args(hints[field.name]) or (hints[field.name],)))
        values = [rounded(getattr(record, field.name)) for _, record in pairs]
        arrays[field.name] = pa.array([_text(v) for v in values] if kind == "str" else values, kinds[kind])
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


def _text(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
