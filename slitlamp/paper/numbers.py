r"""Every number of a report as a LaTeX macro, so that a sentence and a table cannot disagree.

`\slit{ENCODER}{TASK}{NUMBER}` prints one, as `\slit{biomedclip}{orientation}{score}`. A name of a macro may hold
letters only, so these are looked up by name; one that does not exist is an error that says so.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

Path3 = tuple[str, str, str]  # encoder, task, and which number of them
LONGEST = 60  # characters of a name, beyond which it ends in a digest
HEAD = r"""% Numbers by name: \slit{ENCODER}{TASK}{NUMBER}; \input this file in the preamble.
\makeatletter
\protected\def\slit#1#2#3{\ifcsname slit@#1@#2@#3\endcsname\csname slit@#1@#2@#3\endcsname\else
  \PackageError{slitlamp}{there is no number \string\slit{#1}{#2}{#3}}%
  {The names are those of numbers.tex: first the encoder, then the task, then the number.}\textbf{??}\fi}
\protected\def\slitset#1#2#3#4{\expandafter\gdef\csname slit@#1@#2@#3\endcsname{#4}}
\makeatother
"""


def key(name: str) -> str:
    """A name as a macro takes it: letters, digits, points and hyphens.

    >>> key("random:vit_b16"), key("Größe")
    ('random-vit-b16', 'Grosse')
    """
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    text = re.sub(r"[^A-Za-z0-9.]+", "-", kept).strip("-")
    if not text or len(text) > LONGEST:
        text = f"{text[:LONGEST]}-{hashlib.sha256(name.encode('utf-8', 'backslashreplace')).hexdigest()[:6]}".strip("-")
    return text


def keys(names: Iterable[str]) -> dict[str, str]:
    """The key of each name; of names that would have one key the later ones are numbered.

    >>> keys(["a_b", "a-b"])
    {'a_b': 'a-b', 'a-b': 'a-b-2'}
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        one, count = key(name), 2
        while one in found.values():
            one, count = f"{key(name)}-{count}", count + 1
        found[name] = one
    return found


def call(path: Path3) -> str:
    """The LaTeX that prints a number."""
    return r"\slit" + "".join(f"{{{part}}}" for part in path)


def as_tex(numbers: Mapping[Path3, str]) -> str:
    """The file numbers.tex: every number, as LaTeX, under its name."""
    lines = [r"\slitset" + "".join(f"{{{part}}}" for part in (*path, text)) for path, text in numbers.items()]
    return HEAD + "".join(f"{line}\n" for line in lines)
