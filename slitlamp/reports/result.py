"""What a command found: sentences, tables, figures and files, for a terminal, a notebook and JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cache import write_atomically
from plugins import hint
from slitlamp.disk import files_listed, keep_earlier
from slitlamp.errors import UsageError
from slitlamp.log import printable
from slitlamp.records import SCHEMA
from slitlamp.reports import plots, sealed
from slitlamp.reports.text import bullets, fitted

Rows = Sequence[dict[str, Any]]
ROWS = 12  # of a table that a terminal shows
WHOLE = {"diagnose": ("stages",)}  # tables shown whole: controls and probes trained elsewhere stand last
LINES, NOTES = 6, 4  # sentences and notes that a terminal shows where a page holds them all
OF_ANSWERS = {  # columns with their intervals
    "accuracy": "model task way answered invalid ties accuracy accuracy_low accuracy_high worst_prompt best_prompt "
    "chance",
    "bias": "model task way auc auc_low auc_high forced_choice forced_choice_low forced_choice_high response_bias "
    "response_bias_low response_bias_high mean_probability",
    "order": "model task way same_option same_option_low same_option_high same_letter same_letter_low "
    "same_letter_high not_in_all",
    "pairs": "model task way pairs readable_pairs set set_low set_high individual confusion exchanged",
    "image": "model task image accuracy accuracy_low accuracy_high auc auc_low auc_high answers_as_the_shown_image "
    "answer_changed",
    "quadrant": "model task kind items right",
    "knowledge": "model task fact asked right pairs pairs_right understood",
}
OF_DIAGNOSIS = {
    "verdicts": "task failure code confidence",
    "stages": "task name at score low high verdict loss loss_low loss_high loss_state",
    "losses": "",  # those between neighbours stand beside the stages, and the sentences name the others
    "layers": "",  # the figure shows them
    "texts": "task texts of_a_class zero_shot zero_shot_low zero_shot_high auc correlation correlation_low "
    "correlation_high cosine modality_gap means_removed",
    "answers": "task what value low high asks invalid",
    "causal": "task edit measure effect low high state answers_changed",
    "information": "task name bits low high nonlinear_bits nonlinear_bits_low nonlinear_bits_high code",
    "kept": "task before behind neighbours_kept low high random_projection chance patch_error",
    "patches": "",  # the figure shows them
}
AT_THE_TOP: Mapping[str, Mapping[str, str]] = {  # tables that a command's document holds as records and verdicts too
    "diagnose": {"records": "stages", "verdicts": "verdicts"},
}
IN_A_TERMINAL: Mapping[str, Mapping[str, Sequence[str]]] = {  # columns by command and table; tables that are none stay
    "compare": {
        "comparisons": ("task", "over", "at", "a", "b", "difference", "p_holm", "says"),
        "ranking": ("task", "over", "at", "name", "score", "low", "high", "p_best", "group"),
        "curve": ("task", "encoder", "at", "groups", "draws", "score", "low", "high", "mde", "rising"),
        "variation": (),  # the sentences hold it
    },
    "diagnose": {name: tuple(columns.split()) for name, columns in OF_DIAGNOSIS.items()},
    "answers ask": {name: tuple(columns.split()) for name, columns in OF_ANSWERS.items()},
    "report": {
        "claims": ("task", "encoder", "run", "groups", "score", "low", "high", "verdict", "credit"),
        "checklist": (),  # a note counts it, the page holds it
    },
}
IN_SENTENCES = ("totals",)  # tables of a plan that a terminal does not show: the sentences hold them
HEADS: Mapping[str, Mapping[str, str]] = {"diagnose": {"loss": "lost to the next"}}  # of columns by command
SAME = ("over", "at")  # columns that a terminal does not show where all rows hold the same
JOINT = ("simultaneous_low", "simultaneous_high")  # the interval that decides what is said of a difference


@dataclass(frozen=True, kw_only=True, eq=False)
class CommandResult:
    """The result of one command that answers with tables, figures and files.

    `tables` hold rows by name, `sentences` what they say in words, `notes` what the reader must know of the data,
    `questions` who was asked, where a column of answers was, `figures` functions that draw, by name, `data` functions
    that write a file, by its name, `files` what was written, `arrays` what a notebook may want to go on with, and
    `failed` a line for each encoder that was left out, and `home` the folder that holds the files, where one does.
    """

    experiment: str
    tables: Mapping[str, Rows]
    sentences: Sequence[str] = ()
    notes: Sequence[str] = ()
    questions: Sequence[Mapping[str, Any]] = ()
    figures: Mapping[str, Callable[[], Any]] = field(default_factory=dict, repr=False)
    data: Mapping[str, Callable[[Path], None]] = field(default_factory=dict, repr=False)
    files: Sequence[Path] = ()
    arrays: Mapping[str, Any] = field(default_factory=dict, repr=False)
    command: str = ""
    summary: str = ""
    failed: Sequence[str] = ()
    home: Path | None = None

    def table(self, name: str | None = None) -> Rows:
        """The rows of a table, the first one where none is named; UsageError for a name that is none."""
        return self.tables[_one_of(name, self.tables, "table")]

    def plot(self, name: str | None = None) -> Any:
        """A figure, the first one where none is named; UsageError for a name that is none."""
        return self.figures[_one_of(name, self.figures, "figure")]()

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document, as `results.json` holds it; numbers that are not finite are null."""
        whole = {
            "schema": SCHEMA, "experiment": self.experiment, "command": self.command,
            "tables": {name: [*rows] for name, rows in self.tables.items()}, "sentences": [*self.sentences],
            "notes": [*self.notes], "questions": [dict(one) for one in self.questions],
            "files": [p.name if self.home is None else p.relative_to(self.home).as_posix() for p in self.files],
        }  # fmt: skip
        for name, table in AT_THE_TOP.get(self.experiment, {}).items():
            whole[name] = [*self.tables.get(table, ())]
        return _finite(whole)

    def to_json(self) -> str:
        """The JSON document as text."""
        text = json.dumps(self.document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        return text.encode("utf-8", "backslashreplace").decode()  # a byte of a name that is no UTF-8 is \udcXX

    def written(self, out: Path) -> "CommandResult":
        """The result once its document, its data and then its figures lie in a folder.

        What an earlier run of the same command left there with other numbers is kept aside, and a figure that cannot be
        drawn costs a line and nothing else. Files that an earlier document of this command lists and this one does not
        are removed.
        """
        keep_earlier(out, "results.json", self.document)
        before = files_listed(out, "results.json", self.experiment)
        write_atomically(out / "results.json", self.to_json())
        for name, save in self.data.items():
            save(out / name)
        names = [*self.data]
        for name, draw in self.figures.items():
            if (out / "cells").is_dir():  # a rerun: most of its seconds would be those of its figures
                names += sealed.written(draw, out / name, out / "cells" / f"{name}.sha256", sealed.seal_of(draw))
            else:
                names += plots.written(draw, out / name)
        for name in before - set(names):
            (out / name).unlink(missing_ok=True)
        files = [out / name for name in names]
        found = replace(self, files=files, home=out, summary=f"{self.summary}; files in {out}")
        write_atomically(out / "results.json", found.to_json())
        return found

    def __str__(self) -> str:
        page = next((path for path in self.files if path.name == "index.html"), None)
        parts = []
        columns = IN_A_TERMINAL.get(self.experiment, {})
        for name, rows in self.tables.items():
            most = len(rows) if name in WHOLE.get(self.experiment, ()) else ROWS
            brief = _brief(rows[:most], columns.get(name, () if name in IN_SENTENCES else None))
            if not brief:
                continue
            more = f"\n… and {len(rows) - most} more rows in {page or 'results.json'}" if len(rows) > most else ""
            heads = HEADS.get(self.experiment, {})
            shown = [{heads.get(key, key): value for key, value in row.items()} for row in shown_rows(brief)]
            parts.append(fitted(shown, right=[heads.get(key, key) for key in _numbers(brief)]) + more)
        for some, most, what in ((self.sentences, LINES, "sentences"), (self.notes, NOTES, "notes")):
            rest = len(some) - most if page is not None else 0
            if some:
                parts.append(bullets(some if rest <= 0 else [*some[:most], f"… and {rest} more {what} in {page}"]))
        return printable("\n\n".join([*parts, *([f"To repeat: {self.command}"] if self.command else [])]))

    __repr__ = __str__


def _brief(rows: Rows, columns: Sequence[str] | None) -> Rows:
    """The rows as a terminal shows them: with these columns alone, without those that say the same in all rows."""
    if columns is None or not rows:
        return rows
    kept = [key for key in columns if key in rows[0]]
    kept = [key for key in kept if key not in SAME or len({row[key] for row in rows}) > 1]
    ends = dict(zip(("low", "high"), JOINT, strict=True)) if "difference" in kept and JOINT[0] in rows[0] else {}
    found = []
    for row in rows:
        made = {}
        for key in kept:
            made[key] = row[key]
            if key == "difference":
                made |= {f"{key}_{end}": row[joint] for end, joint in ends.items()}
        found.append(made)
    return found if kept else []


def _one_of(name: str | None, known: Mapping[str, Any], what: str) -> str:
    if name is None and known:
        return next(iter(known))
    if name not in known:
        raise UsageError(f"no {what} {name!r}; {hint(str(name), known)}there are {', '.join(known) or 'none'}")
    return str(name)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def shown_rows(rows: Rows) -> Rows:
    """The rows with numbers in four digits, intervals beside their values, without columns that hold nothing.

    Nought is something, but for pairs that no filter and no cap took.
    """
    head = [*rows[0]]
    kept = [
        key for key in head
        if any(row[key] not in ((None, "", 0) if key.startswith(("left_out", "over_the_cap")) else (None, ""))
               for row in rows)
    ]  # fmt: skip
    ends = {key: (f"{key}_low", f"{key}_high") for key in kept if f"{key}_low" in kept}
    if "low" in kept:
        ends[head[head.index("low") - 1]] = ("low", "high")
    inner = {key for both in ends.values() for key in both}

    def word(row: dict[str, Any], key: str) -> Any:
        text = _number(row[key])
        if key in ends and row[ends[key][0]] is not None:
            text = f"{text} [{', '.join(_number(row[end], 3) for end in ends[key])}]"
        return text

    return [{key: word(row, key) for key in kept if key not in inner} for row in rows]


def _number(value: Any, digits: int = 4) -> Any:
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value


def _numbers(rows: Rows) -> list[str]:
    return [key for key in rows[0] if any(isinstance(row[key], int | float) for row in rows)]
