"""Answers that a model gave, read from a CSV file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plugins import hint, nearest
from probes.prompts.audit import COLOURS
from slitlamp.answers.reply import counted_reasons, read_reply
from slitlamp.answers.truth import names_of
from slitlamp.errors import UsageError
from slitlamp.prompts.presentations import ASSIGNMENTS, CODES, Prompted
from slitlamp.reports.text import cut
from slitlamp.settings import SourceSettings
from tasks import DataError, Source, item_id
from tasks.sources.table import read_table

UPRIGHT = {"upright": True, "0": True, "right side up": True, "upside down": False, "turned": False, "flipped": False,
           "180": False}  # fmt: skip
TURNS = ("upright", "upside down")
SAID_OF_TURNS = (
    ("right side up", "right way up", "not turned", "not rotated", "not flipped", "not inverted", "not upside down"),
    (
        "turned", "turned upside down", "rotated", "flipped", "inverted", "rotated by 180 degrees",
        "turned by 180 degrees", "not upright", "not right side up",
    ),
)  # fmt: skip
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
            meant = f" (nearest: {near!r})" if near else ""
            raise DataError(f"{name} has no column {column!r}{meant}; needed are {', '.join(needed)}")
    if not found:
        raise DataError(f"{name} holds no answer")
    return found


def _one_of(word: str, known: dict, where: str, column: str) -> object:
    value = known.get(word.lower())
    if value is None:
        known_words = ", ".join(w for w in known if w)
        raise DataError(f"{where}: {column} is {word!r}; {hint(word.lower(), known)}known are {known_words}")
    return value


def _read(
    reply: str, known: Mapping[str, object], options: Sequence[str], synonyms: Sequence[Sequence[str]], where: str
) -> tuple[object, str]:
    """What an answer says: a known word, or the option that a raw reply names; else None with the reason.

    Raises:
        DataError: a single word that was surely meant for a known one.
    """
    word = reply.strip().lower()
    if word in known:
        return known[word], ""
    near = nearest(word, known) if word.isalpha() else None
    if near is not None and abs(len(near) - len(word)) <= 1:
        raise DataError(
            f"{where}: answer is {reply!r}; did you mean {near!r}? known are {', '.join(w for w in known if w)}"
        )
    found = read_reply(reply, options, synonyms=synonyms, letters=False)
    return (None, found.why) if found.choice is None else (options[found.choice], "")


def _unread(reasons: Sequence[tuple[str, str, str]], count: int) -> tuple[str, ...]:
    """A sentence on the replies, (line, text, reason), that name no option; nothing where there is none."""
    if not reasons:
        return ()
    told = counted_reasons(why for _, _, why in reasons)
    where, text, _ = reasons[0]
    return (
        f"{len(reasons)} of {count} replies name no option and count as unread ({told}); the first: {where}, "
        f"{cut(' '.join(text.split()), 60)!r}",
    )


def _ids(settings: SourceSettings, source: Source, items: Sequence[str]) -> dict[str, int]:
    """Number of each of the items, named by their ids, by its id and by its other names in the source."""
    ids = {name: i for i, name in enumerate(items)}
    return ids | {name: ids[own] for name, own in names_of(settings, source, ids).items()}


def _number(item: str, ids: Mapping[str, int], source: Source, where: str) -> int:
    """The number of the item that a line names, by id, name or file; DataError with the nearest where there is none."""
    known = item if item in ids else item_id(item)
    if known not in ids:
        near = nearest(item, ids)
        meant = f"; did you mean {near!r}?" if near else ""
        raise DataError(f"{where}: {source.name} has no item {item!r}{meant}")
    return ids[known]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers to coloured marks: image [n], assignment [n] and the mark that was said [n], -1 where it was not read.

    marker_controls: for images without marks (`none`) and moved marks (`moved`), image [m] and colour [m], -1 unread.
    notes: what to know of replies that could not be read.
    """

    image: np.ndarray
    assignment: np.ndarray
    predicted: np.ndarray
    marker_controls: Mapping[str, tuple[np.ndarray, np.ndarray]]
    notes: tuple[str, ...] = ()


def of_colours(path: str, given: Prompted, settings: SourceSettings) -> Answers:
    """The answers in a file.

    An item is named by its id, its file (without folder or ending too), or a column of the source that names each row
    once (`item`, `id`, …). An answer is a colour, its first letter, or a raw reply that names one; an empty one, "-",
    and a reply that names none, or two, could not be read. `settings` are those that the source was opened with.

    Raises:
        DataError: an unknown item, assignment or answer, a presentation that was answered twice, or none of marks.
    """
    ids = _ids(settings, given.source, [item.id for item in given.items])
    words: Mapping[str, object] = {w: c for c, name in enumerate(COLOURS) for w in (name, name[0])} | {"": -1, "-": -1}
    kinds = {code: j for j, code in enumerate(CODES)} | {name: 6 + j for j, name in enumerate(MARKER_CONTROLS)}
    found: list[tuple[int, int, int]] = []
    seen: set[tuple[int, int]] = set()
    unread: list[tuple[str, str, str]] = []
    for number, row in enumerate(rows(path, ("item", "assignment", "answer")), 2):
        where = f"{Path(path).name} line {number}"
        i = _number(row["item"], ids, given.source, where)
        k = int(str(_one_of(row["assignment"], kinds, where, "assignment")))
        said, why = _read(row["answer"], words, COLOURS, (), where)
        unread += [(where, row["answer"], why)] if why else []
        c = -1 if said is None else said if isinstance(said, int) else COLOURS.index(str(said))
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
        notes=_unread(unread, len(found)),
    )  # fmt: skip


def of_turns(
    path: str, source: Source | None = None, settings: SourceSettings | None = None
) -> tuple[np.ndarray, np.ndarray, list[str], int, tuple[str, ...]]:
    """Was each image called upright, as it is [n] and turned [n]; its id; how many lines found no partner; and notes.

    Items are the images of a `source`, opened with `settings`; without one the file names its own.

    An answer is a word for the one or the other, or a raw reply that names one. A pair with an answer that could not be
    read has no partner either.

    Raises:
        DataError: an unknown word or item, or an image that was answered twice.
    """
    images = [] if source is None else [row.id for row in source.rows]
    ids = {} if source is None else _ids(settings or SourceSettings(), source, images)
    found: dict[str, dict[bool, bool | None]] = {}
    count = 0
    replies: list[tuple[str, str, str]] = []
    for number, row in enumerate(rows(path, ("item", "turned", "answer")), 2):
        where = f"{Path(path).name} line {number}"
        turned = bool(_one_of(row["turned"], TURNED, where, "turned"))
        unread = row["answer"] in ("", "-")
        said, why = (None, "") if unread else _read(row["answer"], UPRIGHT, TURNS, SAID_OF_TURNS, where)
        replies += [(where, row["answer"], why)] if why else []
        predicted = None if said is None else said == TURNS[0] if isinstance(said, str) else bool(said)
        item = row["item"]
        if source is not None:
            item = images[_number(item, ids, source, where)]
        own = found.setdefault(item, {})
        if turned in own:
            raise DataError(f"{where}: item {row['item']} was answered before, turned {row['turned']}")
        own[turned] = predicted
        count += 1
    whole = [name for name, own in found.items() if len(own) == 2 and None not in own.values()]
    if not whole:
        told = "".join(f"; {note}" for note in _unread(replies, count))
        raise DataError(f"{Path(path).name}: no item has an answer both as it is and turned{told}")
    upright = np.array([bool(found[name][False]) for name in whole])
    turned_ = np.array([bool(found[name][True]) for name in whole])
    return upright, turned_, whole, count - 2 * len(whole), _unread(replies, count)
