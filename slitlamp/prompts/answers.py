"""Answers that a model gave, read from a CSV file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plugins import nearest
from probes.prompts.audit import COLOURS
from slitlamp.errors import UsageError
from slitlamp.prompts.presentations import ASSIGNMENTS, CODES, Prompted
from tasks import DataError
from tasks.sources.table import read_table

UPRIGHT = {"upright": True, "0": True, "right side up": True, "upside down": False, "turned": False, "flipped": False,
           "180": False}  # fmt: skip
MARKER_CONTROLS = ("none", "moved")  # images without marks, and with moved marks, as `--images` writes them
TURNED = {"0": False, "no": False, "false": False, "180": True, "1": True, "yes": True, "true": True}


def rows(path: str, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """The file's rows, with the columns that are needed.

    Raises:
        UsageError: there is no such file.
        DataError: it is no table, a column is missing, or there is no row.
    """
    if not Path(path).is_file():
        why = "it is a folder" if Path(path).is_dir() else "no such file"
        raise UsageError(f"--answers {path} cannot be read: {why}")
    have, found = read_table(Path(path))
    name = Path(path).name
    for column in needed:
        if column not in have:
            near = nearest(column, have)
            hint = f" (nearest: {near!r})" if near else ""
            raise DataError(f"{name} has no column {column!r}{hint}; needed are {', '.join(needed)}")
    if not found:
        raise DataError(f"{name} holds no answer")
    return found


def _one_of(word: str, known: dict, where: str, column: str) -> object:
    value = known.get(word.lower())
    if value is None:
        near = nearest(word.lower(), known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise DataError(f"{where}: {column} is {word!r}{hint}; known are {', '.join(w for w in known if w)}")
    return value


def _ids(given: Prompted) -> dict[str, int]:
    """Number of each image by its id, and by its name in the source where names are unique."""
    ids = {item.id: i for i, item in enumerate(given.items)}
    for column in ("item", "id"):
        names = [(row.columns.get(column, ""), row.id) for row in given.source.rows]
        if len({name for name, _ in names}) == len(names):
            ids |= {name: ids[key] for name, key in names if key in ids and name}
    return ids


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers to coloured marks: image [n], assignment [n] and the mark that was said [n], -1 where it was not read.

    marker_controls: for images without marks (`none`) and moved marks (`moved`), image [m] and colour [m], -1 unread.
    """

    image: np.ndarray
    assignment: np.ndarray
    predicted: np.ndarray
    marker_controls: Mapping[str, tuple[np.ndarray, np.ndarray]]


def of_colours(path: str, given: Prompted) -> Answers:
    """The answers in a file.

    An item is named by its id, or by the source's column `item` or `id`. An answer is a colour or its first letter;
    an empty one, or "-", could not be read.

    Raises:
        DataError: an unknown item, assignment or answer, a presentation that was answered twice, or none of marks.
    """
    ids = _ids(given)
    words = {w: c for c, name in enumerate(COLOURS) for w in (name, name[0])} | {"": -1, "-": -1}
    kinds = {code: j for j, code in enumerate(CODES)} | {name: 6 + j for j, name in enumerate(MARKER_CONTROLS)}
    found: list[tuple[int, int, int]] = []
    seen: set[tuple[int, int]] = set()
    for number, row in enumerate(rows(path, ("item", "assignment", "answer")), 2):
        where = f"{Path(path).name} line {number}"
        if row["item"] not in ids:
            near = nearest(row["item"], ids)
            hint = f"; did you mean {near!r}?" if near else ""
            raise DataError(f"{where}: {given.source.name} has no item {row['item']!r}{hint}")
        i = ids[row["item"]]
        k = int(str(_one_of(row["assignment"], kinds, where, "assignment")))
        c = int(str(_one_of(row["answer"], words, where, "answer")))
        if (i, k) in seen:
            raise DataError(f"{where}: item {row['item']} was answered before under {row['assignment']}")
        seen.add((i, k))
        found.append((i, k, c))
    of_marks = np.array([(i, k, ASSIGNMENTS[k].index(c) if c >= 0 else -1) for i, k, c in found if k < 6])
    if not len(of_marks):
        raise DataError(
            f"{Path(path).name} answers no image in any assignment of colours, only {' and '.join(MARKER_CONTROLS)}"
        )
    others = {name: np.array([(i, c) for i, k, c in found if k == 6 + j]) for j, name in enumerate(MARKER_CONTROLS)}
    image, kind, predicted = of_marks.T
    return Answers(
        image=image, assignment=kind, predicted=predicted,
        marker_controls={name: (own[:, 0], own[:, 1]) for name, own in others.items() if len(own)},
    )  # fmt: skip


def of_turns(path: str) -> tuple[np.ndarray, np.ndarray, list[str], int]:
    """Was each image called upright, as it is [n] and turned [n]; its id; and how many lines found no partner.

    A pair with an answer that could not be read has no partner either.

    Raises:
        DataError: an unknown word, or an image that was answered twice.
    """
    found: dict[str, dict[bool, bool | None]] = {}
    count = 0
    for number, row in enumerate(rows(path, ("item", "turned", "answer")), 2):
        where = f"{Path(path).name} line {number}"
        turned = bool(_one_of(row["turned"], TURNED, where, "turned"))
        unread = row["answer"] in ("", "-")
        predicted = None if unread else bool(_one_of(row["answer"], UPRIGHT, where, "answer"))
        own = found.setdefault(row["item"], {})
        if turned in own:
            raise DataError(f"{where}: item {row['item']} was answered before, turned {row['turned']}")
        own[turned] = predicted
        count += 1
    whole = [name for name, own in found.items() if len(own) == 2 and None not in own.values()]
    if not whole:
        raise DataError(f"{Path(path).name}: no item has an answer both as it is and turned")
    upright = np.array([bool(found[name][False]) for name in whole])
    turned_ = np.array([bool(found[name][True]) for name in whole])
    return upright, turned_, whole, count - 2 * len(whole)
