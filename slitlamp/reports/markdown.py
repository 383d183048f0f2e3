"""Markdown: any text made safe for a page that renders it, and tables."""

import html
import re
import unicodedata
from collections.abc import Collection, Sequence


def escape(text: str) -> str:
    r"""Any text as Markdown that shows it, in a sentence or a cell: no mark-up, no HTML, no link, one line.

    Control characters and those that turn the direction of writing are shown by their code.

    >>> escape("a|b <i> `c`")
    'a\\|b &lt;i&gt; \\`c\\`'
    """
    whole = html.escape(" ".join(text.encode("utf-8", "backslashreplace").decode().split()), quote=False)
    marked = re.sub(r"([\\\\`*_{}\[\]()#+!|~$]|^[-=>])", r"\\\1", whole)
    marked = marked.replace("://", "&#58;//").replace("@", "&#64;")
    return "".join(f"U+{ord(c):04X}" if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in marked)


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = (),
    bold: Collection[tuple[int, int]] = (),
) -> str:  # fmt: skip
    r"""A table of texts, each escaped here; columns that are true in `right` end in line.

    `bold` are the cells in bold, by row and column.

    >>> print(table(["a*", "b"], [["1", "2*"]], [True], bold=[(0, 1)]), end="")
    | a\* | b |
    |--:|---|
    | 1 | **2\*** |
    """
    ends = [*right, *[False] * (len(heads) - len(right))]
    told = [[f"**{escape(cell)}**" if (i, j) in bold else escape(cell) for j, cell in enumerate(line)]
            for i, line in enumerate(rows)]  # fmt: skip
    body = ["| " + " | ".join(line) + " |" for line in [[escape(head) for head in heads], *told]]
    rule = "|" + "|".join("--:" if end else "---" for end in ends) + "|"
    return "\n".join([body[0], rule, *body[1:], ""])
