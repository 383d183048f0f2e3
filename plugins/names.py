"""Names that a user can type: the files of a folder, and the name nearest to one that is none of them."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class UnknownName(ValueError):
    """A name that no registry holds; the message names the nearest valid one (exit 2)."""


def of_folder(folder: Path) -> tuple[str, ...]:
    """The modules of a registry folder, sorted: every file whose name does not begin with an underscore."""
    return tuple(sorted(path.stem for path in folder.glob("[!_]*.py")))


def nearest(word: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """The known name that `word` was surely meant for, None where none is that much like it.

    Case, and `-` for `_`, do not count. A word of three letters or more also stands for a name that it begins.
    `cutoff` is the least share of letters in common (difflib's ratio).

    >>> nearest("biomedclp", ["clip-b16", "biomedclip"])
    'biomedclip'
    >>> nearest("orientation", ["permutations", "items"]) is None
    True
    """
    names = {_plain(name): name for name in reversed(list(known))}
    plain = _plain(word)
    begun = [name for name in names if len(plain) >= 3 and name.startswith(plain)]
    near = [*get_close_matches(plain, names, 1, cutoff), *sorted(begun, key=len)]
    return names[near[0]] if near else None


def _plain(name: str) -> str:
    return name.casefold().replace("_", "-")


def hint(word: str, known: Iterable[str], cutoff: float = 0.7) -> str:
    """`did you mean 'NAME'? ` with the nearest known name, or nothing.

    >>> hint("orientaton", ["orientation", "mirror"])
    "did you mean 'orientation'? "
    """
    near = nearest(word, known, cutoff)
    return f"did you mean {near!r}? " if near else ""
