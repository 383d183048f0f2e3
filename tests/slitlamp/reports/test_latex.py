"""LaTeX: one escape function, and tables that fit the columns of a journal."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from slitlamp.reports import latex, markdown
from slitlamp.reports.latex import Cell, Column, booktabs, escape
from tests.hostile import NAMES

NUMBER = Cell(tex="0.50 [0.40, 0.60]", shown="0.50 [0.40, 0.60]")


def compiled(folder: Path, body: str, preamble: str = "", name: str = "paper") -> str:
    """The log of a two-column document, which must compile."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    text = "\n".join(
        [r"\documentclass[twocolumn]{article}", r"\usepackage{booktabs,graphicx}", preamble, r"\begin{document}", body,
         r"\end{document}", ""]
    )  # fmt: skip
    (folder / f"{name}.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", f"{name}.tex"],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    log = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, re.findall(r"^!.*\n.*\n.*", log, re.MULTILINE)
    return log


def overfull(log: str) -> list[str]:
    return [line for line, pt in re.findall(r"(Overfull \\hbox \((\d+\.\d+)pt too wide.*)", log) if float(pt) > 1]


@pytest.mark.parametrize("encoding", ["", r"\usepackage[T1]{fontenc}\usepackage{lmodern}"])
def test_every_hostile_name_compiles_in_a_sentence_a_caption_and_a_cell(tmp_path: Path, encoding: str) -> None:
    columns = [Column(head="name", number=False), Column(head="score"), Column(head="of", number=False)]
    parts = [rf"{{\raggedright {escape(name)}\par}}" for name in NAMES]
    for k in range(0, len(NAMES), 17):
        rows = [
            [Cell(tex=escape(latex.short(name)), shown=name), NUMBER, Cell(tex=escape(latex.short(name, 20)), shown="")]
            for name in NAMES[k : k + 17]
        ]
        for wide in (False, True):
            parts.append(
                booktabs(columns, rows, caption=f"[x] {NAMES[k]}", label=f"tab:{k}{wide}", notes=[NAMES[2]], wide=wide)
            )
    log = compiled(tmp_path, "\\listoftables\n" + "\n".join(parts), encoding)
    assert overfull(log) == []
    assert "root:" not in log  # nothing was read from the machine
    text = subprocess.run(["pdftotext", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True)
    for shown in ("/etc/passwd", "{{7*7}}", "U+202E", "U+1F600", "$(touch"):
        assert shown in text.stdout.replace("\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_no_command_of_a_name_survives(name: str) -> None:
    found = escape(name)
    assert found.isascii()
    kept = re.sub(
        r"\\(text\w+|allowbreak|penalty|ensuremath|string|ldots|[a-zA-Z=.]{1,2}|[{}&%$#_ '`^~\"])|\$", "", found
    )
    assert "\\" not in kept.replace(r"\Omega", "").replace(r"\mu", "") or re.search(r"\\[a-z]+\}", found)
    assert found.count("{") - found.count(r"\{") == found.count("}") - found.count(r"\}")


def test_what_tex_would_join_or_drop_is_kept_apart() -> None:
    assert escape("--") == "-{}-"
    assert escape(",,") == ",{},"
    assert escape("a  b") == "a \\ b"
    assert escape("[x") == "{[}x"  # no optional argument behind \\
    assert escape("a\nb") == r"a\textbackslash{}nb"
    assert escape("é ß Ω ﬁ") == r"\'{e} \ss{} \ensuremath{\Omega} fi"


def test_long_words_are_broken_and_short_ones_are_not() -> None:
    assert escape("clip") == "clip"
    assert escape("a-b") == "a-b"
    assert r"m-\allowbreak{}clip" in escape("phantom-clip")
    assert escape("x" * 30).count("penalty") >= 3


def test_a_table_without_room_for_its_text_is_refused() -> None:
    columns = [Column(head="name", number=False), *[Column(head="score")] * 6]
    with pytest.raises(ValueError, match=r"need .* pt for numbers alone"):
        booktabs(columns, [[Cell(tex="a", shown="a"), *[NUMBER] * 6]], caption="c", label="l")


def test_numbers_are_set_with_the_signs_of_mathematics() -> None:
    assert latex.dash("-0.05") == "$-$0.05"
    assert latex.dash("-1.20") == "$-$1.20"
    assert latex.dash("<0.0001") == "$<$0.0001"


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_in_one_cell(name: str) -> None:
    found = markdown.table(["name", "score"], [[name, "0.5"]]).splitlines()
    assert len(found) == 3
    assert len(re.findall(r"(?<!\\)\|", found[2])) == 3
    assert "<" not in found[2]
    assert not re.search(r"(?<!\\)[`\[\]]|[\u202a-\u202e\u2066-\u2069\x1b]", found[2])
