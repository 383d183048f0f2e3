"""Names that a user can type: the files of a folder, and the name nearest to one that is none of them."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class UnknownName(ValueError):
    """A name that no registry holds; the message names the nearest valid one (exit 2)."""


def of_folder(folder: Path) -> tuple[str, ...]:
    """The modules of a registry folder, sorted: every file whose name does not begin with an underscore."""
    return tuple(sorted(path.stem for path in folder.glob("[!_]*.py")))


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known name that is most like `word`, None where none is like it.

    >>> nearest("biomedclp", ["clip-b16", "biomedclip"])
    'biomedclip'
    """
    return next(iter(get_close_matches(word, list(known), 1, cutoff)), None)


def hint(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """`did you mean 'NAME'? ` with the nearest known name, or nothing.

    >>> hint("orientaton", ["orientation", "mirror"])
    "did you mean 'orientation'? "
    """
    near = nearest(word, known, cutoff)
    return f"did you mean {near!r}? " if near else ""
