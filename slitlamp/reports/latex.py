r"""LaTeX: any text made safe for pdflatex, and tables of booktabs that fit the columns of a journal.

What is written needs `\usepackage{booktabs}` and nothing else; it compiles under OT1 and T1, with or without babel.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

COLUMN, PAGE = 80, 165  # mm: the least width of one column and of a page of two for which tables are laid out
PARTING = "_/.:-"  # signs behind which a word may be broken
UNBROKEN = 29.0  # pt of a word without a place to break it
TRIED = 80  # characters of a name that a table shows

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\string" '"{}', "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "[": "{[}",
    "]": "{]}", "*": "{*}", "\n": r"\textbackslash{}n", "\r": r"\textbackslash{}r",
    "\t": r"\textbackslash{}t", "\u00a0": "~", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}",
    "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}", "å": r"\aa{}", "Å": r"\AA{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "°": r"\textdegree{}",
    "·": r"\textperiodcentered{}", "•": r"\textbullet{}", "§": r"\S{}", "¶": r"\P{}", "©": r"\copyright{}",
    "£": r"\pounds{}", "€": r"\texteuro{}", "¡": r"\textexclamdown{}", "¿": r"\textquestiondown{}",
    "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}", "¹": r"\textsuperscript{1}",
}  # fmt: skip
MATHS = {
    "±": "pm", "×": "times", "÷": "div", "µ": "mu", "−": "-", "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx",
    "∞": "infty", "→": "rightarrow", "←": "leftarrow", "∈": "in", "∑": "sum", "√": "surd", "∂": "partial",
}  # fmt: skip
SMALL = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
MATHS |= dict(zip("αβγδεζηθικλμνξπρστυφχψω", f"{SMALL}omega".split(), strict=True))
LARGE = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
MATHS |= dict(zip("ΓΔΘΛΞΠΣΥΦΨΩ", LARGE.split(), strict=True))
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030a": "r", "\u0327": "c",
    "\u030c": "v", "\u0306": "u", "\u0304": "=", "\u0307": ".", "\u030b": "H", "\u0323": "d", "\u0331": "b",
}  # fmt: skip
SPACES = {"Zs"}


def escape(text: str) -> str:
    r"""Any text as LaTeX that prints it, in a sentence, a caption or a cell; nothing of it is run.

    Letters with accents, Greek and the signs of the tables above are set as such. What pdflatex has no letter for
    becomes a plain letter that means the same (a full-width one, a ligature) or its code, as `U+1F600`; so do control
    characters and those that turn the direction of writing, which are never passed on. A line break is a visible `\n`.
    Long words may be broken anywhere.

    >>> escape("50 % of a_b")
    '50 \\% of a\\_b'
    """
    return "".join(" " if word == " " else _word(word) for word in _words(text))


def _words(text: str) -> list[str]:
    """Runs without a space, and the spaces between them, each one by itself."""
    found: list[str] = [""]
    for character in unicodedata.normalize("NFC", text):
        if unicodedata.category(character) in SPACES and character != "\u00a0":
            found += [" ", ""]
        else:
            found[-1] += character
    kept = [word for word in found if word]
    return [r"\ " if word == " " and k and kept[k - 1] == " " else word for k, word in enumerate(kept)]


def _word(word: str) -> str:
    r"""A word, with places to break it: behind signs that part it, and inside parts that are wide."""
    if word == r"\ ":
        return word
    parts: list[list[str]] = [[]]
    for k, character in enumerate(word):
        twice = character in ",-" and word[k + 1 : k + 2] == character  # would be drawn as one sign
        parts[-1].append(_sign(character) + "{}" * twice)
        if character in PARTING:
            parts.append([])
    if sum(_wide(sign) for part in parts for sign in part) <= UNBROKEN:
        return "".join(sign for part in parts for sign in part)
    return r"\allowbreak{}".join(_broken(part) for part in parts if part)


def _wide(sign: str) -> float:
    return 28.0 if "U+" in sign else 6.6 if sign in "mwMW" else 4.6


def _broken(signs: list[str]) -> str:
    widths = [_wide(sign) for sign in signs]
    if sum(widths) <= UNBROKEN:
        return "".join(signs)
    lines, held = [""], 0.0
    for sign, width in zip(signs, widths, strict=True):
        if held and held + width > UNBROKEN / 2:
            lines.append("")
            held = 0.0
        lines[-1] += sign
        held += width
    return r"\penalty200 ".join(lines)  # rather behind a sign that parts the word


def _sign(character: str) -> str:
    """One character as LaTeX."""
    if character in SPECIAL:
        return SPECIAL[character]
    if character in MATHS:
        name = MATHS[character]
        return rf"\ensuremath{{{name if name == '-' else chr(92) + name}}}"
    if " " < character < "\x7f":
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in ACCENTS:
        return rf"\{ACCENTS[parts[1]]}{{{parts[0]}}}"
    like = unicodedata.normalize("NFKC", character)
    if like != character and like.isascii() and like.isprintable() and like.strip():
        return "".join(_sign(one) for one in like)
    return rf"\texttt{{U+{ord(character):04X}}}"


def short(text: str, most: int = TRIED) -> str:
    """A name that a table has room for, its middle left out where it is long.

    >>> short("a" * 100, 9)
    'aaaaa…aaa'
    """
    return text if len(text) <= most else f"{text[: most - most // 3 - 1]}…{text[-(most // 3) :]}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    r"""A cell: LaTeX that is safe already, and the characters that it prints, by which the width is reckoned."""

    tex: str
    shown: str
    bold: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its head as text, and whether it holds numbers, which end in line, or text, which is broken."""

    head: str
    number: bool = True


def dash(text: str) -> str:
    """A number as text (`-0.05`, `<0.001`, a dash where there is none) as LaTeX."""
    signed = re.sub(r"-(?=[\d.])", "$-$", text)
    return signed.replace("–", "--").replace("<", "$<$").replace("≥", r"$\geq$")


def room(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> float:
    """The width in pt that columns of numbers need."""
    numbers = [k for k, column in enumerate(columns) if column.number]
    return sum(max(width(columns[k].head), *(_needs(row[k]) for row in rows), 0) for k in numbers)


def _needs(cell: Cell) -> float:
    return width(cell.shown) * (1.17 if cell.bold else 1)


def width(text: str) -> float:
    r"""Points that a text takes in `\scriptsize` of Computer Modern or Times, or a little less."""
    return sum(next((pt for signs, pt in WIDTHS if c in signs), 4.2) for c in text) + 0.5


WIDTHS = (
    (" .,[]()il|:;'", 2.6), ("0123456789acegrstz", 4.05), ("bdhknpquvxyoP", 4.6), ("mwMW−<>≥≤-", 6.6),
    ("ABCDEFGHIJKLNOQRSTUVXYZ", 5.6),
)  # fmt: skip
GAPS = (3.0, 1.8)  # pt: of \tabcolsep where there is room, and where there is little
END = r" \tabularnewline"  # which \raggedright leaves alone
POINT = 72.27 / 25.4  # pt of a mm
NARROWEST, LARGEST = 31.0, 60.0  # pt: of a column of text, and of a word that is given room in one piece


def _shares(texts: Sequence[Sequence[str]], left: float) -> list[float]:
    """How columns of text share `left` pt: first each its longest word, then each as it has more to say."""
    pieces = [[piece for text in some for piece in re.split(rf"\s|(?<=[{PARTING}])", text)] for some in texts]
    words = [min(max(max(map(width, some), default=0.0) + 2, NARROWEST), LARGEST) for some in pieces]
    rest = left - sum(words)
    if rest < 0:  # all are made narrower, none than NARROWEST
        spare = sum(word - NARROWEST for word in words)
        words = [NARROWEST + (word - NARROWEST) * (spare + rest) / spare for word in words]
        return [word / left for word in words]
    more = [max(min(max(map(width, some)), 3 * LARGEST) - word, 1.0) for some, word in zip(texts, words, strict=True)]
    return [(word + rest * one / sum(more)) / left for word, one in zip(words, more, strict=True)]


def booktabs(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, caption: str, label: str,
    notes: Sequence[str] = (), wide: bool = False, breaks: Sequence[int] = (),
) -> str:  # fmt: skip
    r"""A floating table in `\scriptsize`, as wide as its column (`table`) or, `wide`, as the page (`table*`).

    Columns of numbers take what they need and those of text share the rest, so that nothing stands out at COLUMN and
    PAGE mm or more. `caption` and `notes` are text and are escaped here; `breaks` are rows before which a little space
    is left.

    Raises:
        ValueError: the numbers alone leave no room for the text.
    """
    whole = (PAGE if wide else COLUMN) * POINT
    needs = room(columns, rows)
    texts = [[c.head, *(row[k].shown for row in rows)] for k, c in enumerate(columns) if not c.number]
    gap = next((gap for gap in GAPS if needs + 2 * gap * len(columns) + NARROWEST * len(texts) <= whole), None)
    if gap is None:
        raise ValueError(f"{len(columns)} columns need {needs:.0f} pt for numbers alone: leave some out")
    fixed = needs + 2 * gap * len(columns)
    shares = iter(_shares(texts, whole - fixed))
    layout = [
        "r" if c.number else rf"p{{{next(shares) - 0.0005:.3f}\dimexpr\linewidth-{fixed:.0f}pt\relax}}" for c in columns
    ]
    body = [
        (r"\addlinespace[2pt]" + "\n") * (k in breaks)
        + " & ".join(_set(cell, column) for cell, column in zip(row, columns, strict=True)) + END
        for k, row in enumerate(rows)
    ]  # fmt: skip
    heads = [escape(c.head) if c.number else rf"\raggedright {escape(c.head)}" for c in columns]
    below = [rf"\par\smallskip{{\raggedright {escape(note)}\par}}" for note in notes]
    name = "table*" if wide else "table"
    return "\n".join(
        [
            rf"\begin{{{name}}}", rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}", r"\scriptsize",
            rf"\setlength{{\tabcolsep}}{{{gap}pt}}", rf"\noindent\begin{{tabular}}{{{''.join(layout)}}}", r"\toprule",
            " & ".join(heads) + END, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", *below,
            rf"\end{{{name}}}", "",
        ]
    )  # fmt: skip


def _set(cell: Cell, column: Column) -> str:
    tex = rf"\textbf{{{cell.tex}}}" if cell.bold else cell.tex
    return tex if column.number else rf"\raggedright\hspace{{0pt}}{tex}"  # whose first word may be broken too
