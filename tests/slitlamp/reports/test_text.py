"""Tables and lines for a terminal fit it, and lose neither a number nor what tells two names apart."""

import logging

import pytest

from slitlamp.log import LOGGER, printable, say
from slitlamp.reports.result import IN_A_TERMINAL, LINES, ROWS, CommandResult
from slitlamp.reports.text import UNBROKEN, WIDE, bullets, fitted, table


def test_columns_are_as_wide_as_what_a_terminal_shows_of_them() -> None:
    lines = table([{"name": "\x1b[31m", "score": 1}, {"name": "plain", "score": 2}]).splitlines()
    assert lines == ["name      score", "\\x1b[31m  1", "plain     2"]
    assert [printable(line) for line in lines] == lines


def test_a_table_fits_and_keeps_numbers_and_the_ends_of_names() -> None:
    names = [f"timm:a_network_of_a_rather_long_name (weights=checkpoints/number-{k}.pth)" for k in range(2)]
    rows = [{"task": "t", "a": a, "b": b, "score": "0.123 [0.101, 0.152]"} for a, b in (names, names[::-1])]
    text = fitted(rows, right=["score"])
    assert max(map(len, text.splitlines())) <= WIDE
    assert text.count("0.123 [0.101, 0.152]") == text.count("0.pth") == text.count("1.pth") == 2
    many = fitted([{f"column {k}": "x" * 14 for k in range(20)}])
    assert max(len(line) for line in many.splitlines() if not line.startswith("not shown")) <= WIDE
    assert "column 19" in many.splitlines()[-1]


def test_what_does_not_fit_is_broken_into_lines_and_nothing_of_it_is_lost() -> None:
    rows = [{"name": f"n{k}", "what": " ".join(f"word{k}{i}" for i in range(30)), "count": "7"} for k in range(2)]
    text = table(rows, 80, ["count"], wrap=True)
    assert max(map(len, text.splitlines())) <= 80
    assert sorted(text.split()[3:]) == sorted(word for row in rows for value in row.values() for word in value.split())
    first = next(line for line in text.splitlines() if line.startswith("n0"))
    assert first.endswith("  7")
    assert len(table(rows, UNBROKEN, wrap=True).splitlines()) == 3


def test_a_sentence_is_broken_and_a_command_is_not() -> None:
    command = f"To compare: python -m experiments.compare {'runs/x ' * 30}".strip()
    broken, whole = bullets(["word " * 60]), bullets([command])
    assert max(map(len, broken.splitlines())) <= WIDE
    assert whole == f"· {command}"


def result(count: int, **more: object) -> CommandResult:
    row = dict.fromkeys(IN_A_TERMINAL["compare"]["comparisons"], "same")
    row |= {"difference": -0.25, "low": -0.2, "high": -0.3, "simultaneous_low": -0.4, "simultaneous_high": -0.1,
            "q_bh": 0.5}  # fmt: skip
    tables = {"comparisons": [row] * 2, "variation": [{"sd": 0.5}]}
    return CommandResult(experiment="compare", tables=tables, sentences=["line."] * count, **more)  # type: ignore[arg-type]


def test_a_comparison_shows_the_interval_that_its_words_follow() -> None:
    text = str(result(3))
    assert "-0.25 [-0.4, -0.1]" in text
    assert "q bh" not in text
    assert "sd" not in text
    assert "over" not in text.splitlines()[0]  # the same in all rows
    assert repr(result(3)) == text
    assert "To repeat" not in text  # of results that a notebook holds there is no line


def test_where_a_page_holds_all_a_terminal_shows_the_first_sentences(tmp_path) -> None:  # noqa: ANN001
    page = tmp_path / "index.html"
    assert str(result(LINES + 3)).count("line.") == LINES + 3
    short = str(result(LINES + 3, files=[page]))
    assert short.count("line.") == LINES
    assert f"… and 3 more sentences in {page}" in " ".join(short.split())


def test_what_is_no_number_is_null_and_rows_that_are_left_out_are_counted() -> None:
    rows = [{"name": f"n{k}", "score": [float("nan"), float("inf"), 0.0][k % 3]} for k in range(ROWS + 5)]
    found = CommandResult(experiment="other", tables={"t": rows}, sentences=["\x1b[31m\u202ered"])
    assert [row["score"] for row in found.document["tables"]["t"][:3]] == [None, None, 0.0]
    text = str(found)
    assert "… and 5 more rows in results.json" in text
    assert "n11" in text
    assert "n12" not in text
    assert not {"\x1b", "\u202e"} & set(text)


def test_of_a_diagnosis_every_stage_is_shown() -> None:
    """Controls and probes trained elsewhere stand behind the chain, which alone may have a dozen stages."""
    stages = [{"task": "t", "stage": "layer", "name": f"n{k}", "at": "x", "score": 0.5} for k in range(ROWS + 5)]
    text = str(CommandResult(experiment="diagnose", tables={"stages": stages}))
    assert f"n{ROWS + 4}" in text
    assert "more rows" not in text


def test_a_count_keeps_three_digits_and_a_zero_is_no_dash() -> None:
    assert table([{"parameters": 86_400_000, "left": 0, "none": None, "yes": True}]).splitlines()[1].split() == [
        "86.4", "M", "0", "-", "yes"
    ]  # fmt: skip


def test_a_name_begins_no_line_of_a_log_and_a_warning_is_one(caplog: pytest.LogCaptureFixture) -> None:
    LOGGER.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger=LOGGER.name):
            say("warning: a\nb\x1b")
            say("c")
    finally:
        LOGGER.removeHandler(caplog.handler)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said[0] == ("WARNING", "warning: a\\nb\\x1b")
    assert said[-1] == ("INFO", "c")
    assert printable("a\nb\x1b") == "a\nb\\x1b"
