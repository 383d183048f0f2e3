"""The table, its legend, and the same as HTML, CSV and JSON: each cell is what its record holds, in its own column."""

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest

from slitlamp.records import Record, as_csv, best_of, code_version, document
from slitlamp.reports.summary import rows_of as rows_of_summary
from slitlamp.reports.table import COLUMNS, blind_throughout, called, legend, rows_of, table
from slitlamp.result import Conclusion, Result, Table
from tests.slitlamp.reports.test_plots import BLANK

OWN: dict[str, Any] = {
    "role": "encoder", "encoder": "tower", "site": "block.0", "readout": "cls", "score": 0.81234, "low": 0.70111,
    "high": 0.90222, "p_value": 0.011, "p_adjusted": 0.044, "nested": 0.77, "nested_low": 0.1, "nested_high": 0.2,
    "control_random": 0.66, "control_shuffled": 0.505, "control_shuffled_low": 0.31, "control_shuffled_high": 0.69,
    "credit": "pixels", "simultaneous_low": 0.65, "simultaneous_high": 0.95, "n_items": 80, "n_groups": 20,
    "weights": "owner/name@abc", "source": "films",
}  # fmt: skip


def record(**change: Any) -> Record:
    return Record(**(BLANK | OWN | change))


def cell(column: str, **change: Any) -> str:
    return rows_of([record(**change)], "tower")[0][COLUMNS.index(column)]


@pytest.mark.parametrize(
    ("column", "change", "shown"),
    [
        ("site", {}, "block.0"),
        ("readout", {}, "cls"),
        ("score", {}, "0.812"),
        ("score", {"screened": True}, "0.812*"),
        ("95 % interval", {}, "[0.701, 0.902]"),
        ("95 % interval", {"low": None, "high": None}, "–"),
        ("p", {}, "0.044"),
        ("p", {"p_adjusted": None}, "0.011"),
        ("p", {"p_adjusted": 0.00005}, "<0.0001"),
        ("p", {"p_adjusted": 0.0005}, "0.0005"),
        ("nested", {}, "0.770"),
        ("untrained", {}, "0.660"),
        ("shuffled", {}, "0.51 (.31–.69)"),
        ("reads less by", {}, "–"),
        ("reads less by", {"loss": 0.2, "loss_state": "open"}, "–"),
        ("reads less by", {"loss": 0.2, "loss_state": "material"}, "0.20!"),
        ("reads less by", {"loss": 0.2, "loss_state": "reads less"}, "0.20"),
        ("reads less by", {"loss": 0.2, "loss_state": "kept"}, "kept"),
        ("verdict", {}, "present"),
        ("verdict", {"size_open": True}, "present (size open)"),
        ("verdict", {"verdict": "absent", "limit": 0.67}, "absent ≥.67"),
        ("verdict", {"verdict": "inconclusive", "limit": 0.67, "reason": "LEAK: x"}, "inconclusive, LEAK"),
        ("credit", {}, "pixels"),
        ("credit", {"credit": None}, "–"),
    ],
)
def test_each_column_shows_what_its_record_holds(column: str, change: dict[str, Any], shown: str) -> None:
    assert cell(column, **change) == shown
    html = Table(records=[record(**change)], encoders=[("mirror", "tower")])._repr_html_()
    heads, body = html.split("<tbody>")
    names = [part.split("</th>")[0] for part in heads.split("<th>")[1:]]
    values = [part.split(">", 1)[1].split("</td>")[0] for part in body.split("<td")[1:]]
    assert values[names.index(column)] == shown.replace("<", "&lt;")


CONTROL: dict[str, Any] = {"role": "control", "site": "pooled", "readout": "vector", "credit": None}
MAP = [
    record(**CONTROL, encoder="lowlevel", score=0.4),
    record(**CONTROL, encoder="random:tower", score=0.6),
    record(),
    record(site="block.1", score=0.95, verdict="inconclusive"),  # higher, but not shown to be readable
    record(site="final", score=0.85, simultaneous_low=0.71),
    record(encoder="other", site="block.7", score=0.99),
    record(task="age", site="block.9", score=0.98),
]


def test_a_table_holds_one_question_and_one_encoder_and_marks_the_best_that_is_present() -> None:
    text = table([r for r in MAP if r.task == "mirror"], "tower")
    lines = text.split("\n")
    assert lines[0] == "mirror · tower (owner/name@abc)"
    assert lines[1] == "films · 80 items in 20 groups · balanced accuracy, chance 0.500 · 1 × 5 folds"
    assert [line.split()[0] for line in lines[4:] if not line.startswith("-")] == [
        "control",
        "block.0",
        "block.1",
        "final",
    ]
    assert [line.split()[0] for line in lines if "← best of 3" in line] == ["final"]
    assert best_of([r for r in MAP if (r.task, r.encoder) == ("mirror", "tower")]).site == "final"
    assert "LIMITED RUN" not in text
    assert lines[1] + " · LIMITED RUN" in table([record(limited=True)], "tower")
    assert "best" not in table([record()], "tower")


def test_the_legend_explains_what_the_table_shows_and_nothing_else() -> None:
    own = [r for r in MAP if (r.task, r.encoder) == ("mirror", "tower")]
    text = legend(own)
    assert "best of 3: chosen on these data (mirror, tower); with that paid for its interval is [0.710, 0.950]." in text
    assert "p: permutation test, paid for all points" in text
    assert "screened" not in text
    assert "reads less" not in text
    assert "*: screened with closed-form ridge" in legend([*own, record(screened=True)])
    assert "!: more than the margin" in legend([*own, record(loss=0.2, loss_state="kept")])
    one = legend([record(nested=None)])
    for word in ("paid for all points", "best of", "nested:"):
        assert word not in one
    assert "spread over folds" in legend([record(p_from="folds")])
    assert "permutation test" not in legend([record(p_from="folds")])


def result(records: list[Record]) -> Result:
    kinds = list(dict.fromkeys((r.task, r.encoder) for r in records if r.role == "encoder"))
    said = [
        Conclusion(
            task=task, encoder=name, verdict="present", credit="pixels", best="final/cls", score=0.8, low=0.7, high=0.9,
            highest=0.85, highest_low=0.71, highest_high=0.95, points={"present": 2}, sentences=("Readable.",),
        )
        for task, name in kinds
    ]  # fmt: skip
    return Result(records=records, verdicts=said, predictions={}, command="slitlamp")


def test_a_result_prints_each_question_with_its_own_rows_and_its_credit() -> None:
    found = result(MAP)
    assert str(found.verdicts[0]) == "present, credit: pixels. Readable."
    parts = found.text(full=True).split("\n\n")[1:]  # the summary stands first
    assert "block.9" not in parts[0]
    assert "block.7" not in parts[0]
    weights = found.records[0].weights
    assert parts[1] == f"mirror · tower ({weights}): PRESENT, credit: pixels\n  · Readable."
    html = found.table()._repr_html_().split("<table>")
    assert ["block.9" in part for part in html[1:]] == [False, False, True]
    assert ["block.7" in part for part in html[1:]] == [False, True, False]
    assert str(found.table()).split("\n\n")[0] == parts[0]


def test_what_is_blind_by_construction_is_so_called_wherever_a_verdict_is_read() -> None:
    """And with a single point that is only undecided it is not."""
    blind = record(reason="Blind to this question by construction: …", verdict="inconclusive")
    absent, undecided = record(verdict="absent", limit=0.6), record(verdict="inconclusive", reason="Undecided.")
    assert blind_throughout([blind, absent])
    assert not blind_throughout([blind, undecided])
    assert not blind_throughout([absent])
    found = result([blind])
    said = dataclasses.replace(found.verdicts[0], verdict="inconclusive", credit=None, blind=True)
    text = dataclasses.replace(found, verdicts=[said]).text()
    assert "BLIND BY CONSTRUCTION" in text
    assert "inconclusive" not in text.lower()
    (row,) = rows_of_summary([said], [blind])
    assert (row["verdict"], row["95 % interval"]) == ("blind by construction", "–")
    assert str(said).startswith("blind by construction. ")


def test_other_weights_are_named_once() -> None:
    other = record(encoder="uni (other weights)", weights="other weights, fingerprint abc")
    assert called(other) == "uni (other weights, fingerprint abc)"
    assert called(record(encoder="uni", weights="local weights, fingerprint abc")) == (
        "uni (local weights, fingerprint abc)"
    )


def test_csv_and_json_hold_every_number_to_ten_digits_and_nothing_where_there_is_none() -> None:
    exact = record(score=0.123456789012345, nested=None, limited=True)
    (row,) = csv.DictReader(io.StringIO(as_csv([exact]).decode()))
    assert [*row] == [f.name for f in dataclasses.fields(Record)]
    assert (row["score"], row["nested"], row["limited"]) == ("0.123456789", "", "True")
    told = json.loads(json.dumps(document("linear_probe", [exact], [{"score": 0.123456789012345}], [])))
    assert told["records"][0]["score"] == told["verdicts"][0]["score"] == 0.123456789
    assert told["records"][0]["nested"] is None


@pytest.mark.parametrize(("changed", "ends"), [("", "+abc"), (" M probes/x.py", "+abc.dirty")])
def test_numbers_of_changed_code_are_marked(changed: str, ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from slitlamp import records

    monkeypatch.setattr(records, "_git", lambda _root, word, *_: "abc" if word == "rev-parse" else changed)
    monkeypatch.setattr(records.Path, "exists", lambda _: True)
    assert code_version.__wrapped__().endswith(ends)


def test_the_summary_stands_first_and_the_map_is_folded() -> None:
    """A line for each question and encoder, then the sentences; what several say alike is said once."""
    found = result(MAP)
    said = [
        dataclasses.replace(one, sentences=("Readable.", "Caution: as of all.", "Synthetic: ours."))
        for one in found.verdicts
    ]
    found = dataclasses.replace(found, verdicts=said, files=[Path("runs/x/table.csv")])
    head, *rest = str(found).split("\n\n")
    rows = head.splitlines()
    assert rows[0].split()[:5] == ["question", "encoder", "verdict", "credit", "score"]
    assert [row.split()[:4] for row in rows[1:]] == [[one.task, one.encoder, "present", "pixels"] for one in said]
    assert all("0.80  [0.70, 0.90]" in row for row in rows[1:]), "the point chosen inside the folds, not the highest"
    text = str(found)
    assert "control  " not in text
    assert text.count("Caution: as of all.") == text.count("Synthetic: ours.") == 1
    assert text.count("Readable.") == len(said)
    own = sum(r.role == "encoder" for r in MAP)
    assert f"All {own} points and their controls: --table full, or runs/x/table.csv" in rest
    assert "control  " in found.text(full=True)


def test_a_summary_says_the_last_point_that_reads_materially_less_and_no_other() -> None:
    from slitlamp.reports.summary import rows_of as summed

    points = [record(site=site, loss=loss, loss_state=state) for site, loss, state in
              (("block.0", 0.0, "kept"), ("block.1", 0.2, "material"), ("pooled", 0.3, "material"),
               ("joint", 0.05, "reads less"))]  # fmt: skip
    one = result(points).verdicts[0]
    assert summed([one], points)[0]["reads less by"] == f"0.30 at pooled/{points[2].readout}"
    kept = [dataclasses.replace(r, loss_state="kept") for r in points]
    assert summed([one], kept)[0]["reads less by"] == "–"
    open_score = dataclasses.replace(one, score=None, low=None, high=None)
    (row,) = summed([open_score], kept)
    assert (row["score"], row["95 % interval"]) == ("0.85", "[0.71, 0.95]")


def test_columns_that_do_not_fit_go_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"task": "label stage", "items": 90, "images": 90, "groups": 30, "left_out": {"without an answer": 4},
             "limited": False, "range": None, "classes": {f"class number {k}": 10 for k in range(9)},
             "notes": ["A note of some length on what was seen, and why it is said of these images. " * 2]}  # fmt: skip
    apart = {"task": "mirror", "a": "one", "b": "other", "difference": 0.1, "simultaneous_low": 0.0,
             "simultaneous_high": 0.2, "p_holm": 0.04, "says": "one reads more"}  # fmt: skip
    found = dataclasses.replace(result(MAP), questions=[facts], comparisons=[apart], command="")
    for columns in (100, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert max(map(len, str(found).splitlines())) <= columns
    text = table([r for r in MAP if r.task == "mirror"], "tower")
    assert "not shown in so few columns: shuffled" in text
    assert max(map(len, text.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "400")
    assert "not shown" not in table([r for r in MAP if r.task == "mirror"], "tower")


def test_a_blind_control_says_so_and_has_neither_interval_nor_p() -> None:
    reason = "Blind to this question by construction: its features are equal …"
    blind = record(role="control", encoder="lowlevel", score=0.5, low=None, high=None, p_value=1.0, p_adjusted=None,
                   verdict="inconclusive", credit=None, reason=reason)  # fmt: skip
    text = table([blind, record()], record().encoder)
    row = next(line for line in text.splitlines() if "lowlevel" in line)
    assert "blind by construction" in row
    assert "[" not in row
    assert "1.000" not in row
    assert "inconclusive" not in row
    assert "cannot tell them apart" in " ".join(legend([blind, record()]).split())
    assert "blind" not in legend([record()])
