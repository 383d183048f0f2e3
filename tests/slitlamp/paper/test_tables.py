"""The tables of a report: one set of rows as LaTeX, CSV, Markdown and Parquet, every number a macro."""

import csv
import dataclasses
import io
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from slitlamp.paper import tables
from slitlamp.paper.gathered import Gathered
from slitlamp.paper.numbers import as_tex, call, key, keys
from tests.hostile import NAMES
from tests.slitlamp.paper import probed
from tests.slitlamp.reports.test_latex import compiled, overfull


@pytest.fixture(scope="module")
def hostile() -> Gathered:
    """Each hostile name as an encoder and as a task, with missing values, and a comparison of some of them."""
    claims = [probed.claim(name, NAMES[-1 - k]) for k, name in enumerate(NAMES)]
    claims[3] = probed.claim(NAMES[3], "task", score=None, verdict="inconclusive")
    claims[4] = probed.claim(NAMES[4], "task", verdict="absent")
    return probed.of(claims, probed.compared(NAMES[:6], NAMES[0], ["a", "b", "bc", "c", "c", "d"]))


def test_all_tables_compile_in_two_columns_with_hostile_names(hostile: Gathered, tmp_path: Path) -> None:
    names = tables.write(hostile, tmp_path)
    found = [name for name in names if name.startswith("tables/") and name.endswith(".tex")]
    assert {"tables/claims.tex", "tables/claims-column.tex", "tables/points.tex", "tables/comparisons.tex",
            "tables/ranking-column.tex", "tables/curve.tex", "tables/variation.tex"} <= set(found)  # fmt: skip
    body = "\n".join(rf"\input{{{name}}}" + (r"\clearpage" if k % 6 == 5 else "") for k, name in enumerate(found))
    log = compiled(tmp_path, body, r"\input{numbers}")
    assert overfull(log) == []
    text = "".join((tmp_path / name).read_text(encoding="utf-8") for name in found)
    assert r"\fontsize" not in text
    assert "tabular*" not in text


def test_tables_hold_no_number_of_their_own() -> None:
    gathered = probed.gathered()
    for sheet in tables.sheets(gathered):
        tex = tables.as_tex(sheet)
        body = tex[tex.index(r"\midrule") : tex.index(r"\bottomrule")]
        used = set(re.findall(r"\\slit\{[^{}]*\}\{[^{}]*\}\{[^{}]*\}", body))
        told = {call(path) for path in tables.macros(sheet)}
        assert used <= told
        assert used
        assert not re.search(r"\d\.\d", re.sub(r"\\slit(\{[^{}]*\}){3}|\[2pt\]", "", body))


def test_a_macro_holds_what_the_record_says(tmp_path: Path) -> None:
    gathered = probed.gathered()
    tables.write(gathered, tmp_path)
    text = (tmp_path / "numbers.tex").read_text(encoding="utf-8")
    claim = gathered.claims[0]
    assert rf"\slitset{{pixels}}{{orientation}}{{score}}{{{claim.verdict['score']:.2f}}}" in text
    assert rf"\slitset{{pixels}}{{orientation}}{{n-items}}{{{claim.best.n_items}}}" in text
    one = claim.records[0]
    assert rf"{{{key(one.site)}/{key(one.readout)}/score}}{{{one.score:.2f}}}" in text


def test_a_number_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "numbers.tex").write_text(as_tex({("a", "b", "score"): "0.50"}), encoding="utf-8")
    log = compiled(tmp_path, r"\slit{a}{b}{score}", r"\input{numbers}")
    assert "Output written" in log
    with pytest.raises(AssertionError, match=r"no number \\slit\{a\}\{b\}\{none\}|slitlamp Error"):
        compiled(tmp_path, r"\slit{a}{b}{none}", r"\input{numbers}", "bad")
    assert r"there is no number \slit{a}{b}{none}" in (tmp_path / "bad.log").read_text(encoding="utf-8")


def test_keys_are_letters_and_differ() -> None:
    found = keys([*NAMES, "a b", "a-b", "a_b"])
    assert len(set(found.values())) == len(found)
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+", one) for one in found.values())
    assert max(map(len, found.values())) < 80


def test_runs_of_one_encoder_and_task_are_told_apart() -> None:
    claims = [
        probed.claim("e", "t", run=probed.other("e", "t", name=name, settings={"seed": k, "size": [224]}))
        for k, name in enumerate(("first", "second"))
    ]
    gathered = probed.of(claims)
    claims_table, points = tables.sheets(gathered)
    assert [row["run"] for row in claims_table.rows] == ["first", "second"]
    assert [path[0] for path in claims_table.paths] == ["e/first", "e/second"]
    assert len(tables.macros(points)) == len({*tables.macros(points)})
    table = pq.read_table(io.BytesIO(tables.as_parquet(gathered)))
    assert set(table["run"].to_pylist()) == {"first", "second"}
    assert table.schema.field("setting seed").type == "int64"
    assert table["setting size"][0].as_py() == "[224]"


def test_best_is_bold_only_where_it_is_told_apart_from_all() -> None:
    claims = [probed.claim(name, "t") for name in ("x", "y", "z")]
    for groups, bold in ((["a", "b", "b"], 1), (["a", "ab", "b"], 0), (["a", "a", "b"], 0)):
        gathered = probed.of(claims, probed.compared(["x", "y", "z"], "t", groups))
        sheets = {sheet.name: sheet for sheet in tables.sheets(gathered)}
        for name in ("claims", "ranking"):
            assert tables.as_tex(sheets[name]).count(r"\textbf") == bold, (name, groups)
            assert tables.as_markdown(sheets[name]).count("**") == 2 * bold, (name, groups)
    assert r"\textbf" not in tables.as_tex(tables.sheets(probed.of(claims))[0])


def test_a_point_chosen_on_the_data_is_marked() -> None:
    sheet = tables.sheets(probed.of([probed.claim("x", "t", score=None)]))[0]
    assert r"$^\dagger$" in tables.as_tex(sheet)
    assert "†" in tables.as_markdown(sheet)
    sheet = tables.sheets(probed.of([probed.claim("x", "t")]))[0]
    assert "†" not in tables.as_markdown(sheet)


def test_an_absent_names_what_it_excludes() -> None:
    sheet = tables.sheets(probed.of([probed.claim("x", "t", verdict="absent")]))[0]
    assert r"absent $\geq$ \slit{x}{t}{limit}" in tables.as_tex(sheet)
    assert "absent ≥ 0.62" in tables.as_markdown(sheet)
    present = tables.sheets(probed.of([probed.claim("x", "t")]))[0]
    assert "≥ 0.62" not in tables.as_markdown(present)
    assert ("x", "t", "limit") not in tables.macros(present)


def test_runs_of_one_name_have_macros_of_their_own() -> None:
    gathered = probed.of([probed.claim("x", "t", score) for score in (0.7, 0.8)])
    found = tables.macros(tables.sheets(gathered)[0])
    assert {text for path, text in found.items() if path[2] == "score"} == {"0.70", "0.80"}


def test_csv_and_parquet_hold_the_numbers_themselves(hostile: Gathered, tmp_path: Path) -> None:
    tables.write(hostile, tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "tables/claims.csv").read_text(encoding="utf-8"), newline="")))
    assert len(rows) == len(NAMES)
    assert float(rows[0]["score"]) == 0.8
    assert not any(cell[:1] in "=@+" and cell for row in rows for cell in row.values())
    table = pq.read_table(tmp_path / "results.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["score"], types["n_items"], types["screened"], types["task"]) == ("double", "int64", "bool", "string")
    assert table.num_rows == sum(len(run.records) for run in hostile.runs)
    expected = {f.name for f in dataclasses.fields(hostile.claims[0].best)}
    assert expected < set(types)


def test_markdown_keeps_each_row_on_a_line(hostile: Gathered, tmp_path: Path) -> None:
    tables.write(hostile, tmp_path)
    text = (tmp_path / "tables/claims.md").read_text(encoding="utf-8")
    lines = [line for line in text.split("\n") if line.startswith("|")]
    assert len(lines) == len(NAMES) + 2
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "<script" not in text
    assert "<img" not in text


def test_tables_are_the_same_bytes_again(hostile: Gathered, tmp_path: Path) -> None:
    first = {name: (tmp_path / name).read_bytes() for name in tables.write(hostile, tmp_path)}
    assert {name: (tmp_path / name).read_bytes() for name in tables.write(hostile, tmp_path)} == first


def test_many_rows_are_several_floats() -> None:
    claims = [probed.claim(f"e{k}", "t") for k in range(95)]
    tex = tables.as_tex(tables.sheets(probed.of(claims))[0])
    assert tex.count(r"\begin{table*}") == 3
    assert len(set(re.findall(r"\\label\{[^}]*\}", tex))) == 3
