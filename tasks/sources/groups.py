"""Groups of rows, which no fold may split: values of a column, else the patients or files that images come from."""

from collections import Counter
from collections.abc import Sequence

from tasks._base import DataError
from tasks.images.decode import digest
from tasks.sources.frames import SourceFrame, heads_of
from tasks.sources.notes import patient
from tasks.sources.values import cut_digits, is_missing, number, one_spelling, stands_for_unknown


def group_id(value: str) -> str:
    """The name under which a patient or other group appears: `g` and 12 hex digits of a sha256."""
    return "g" + digest("group", value)[:12]


def column_groups(
    values: Sequence[str], column: str, name: str, spelling: str, places: Sequence[str], files: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """The groups that a column of the source `name` says, and sentences about them, which name none.

    `places` says where each value stands, and `files` of which file it is; `spelling` is the rule for values that
    differ only in their spelling.

    Raises:
        DataError: a row has no group, or two groups differ only in spelling and the rule refuses.
    """
    bare = [k for k, value in enumerate(values) if is_missing(value)]
    if bare:
        mark = f"{values[bare[0]].strip()!r}, " if values[bare[0]].strip() else ""
        raise DataError(
            f"{len(bare)} of {len(values)} rows of {name} have no value in the group column {column!r} "
            f"({mark}the first is {places[bare[0]]}{f': {files[bare[0]]}' if files else ''})"
        )
    found, notes = one_spelling(values, spelling, f"the group column {column!r} of {name}", places, private=True)
    cut = cut_digits(values)
    if cut:
        notes.append(
            f"{cut} rows have a {column} like 1.23E+12, or one of more than 15 digits that may be rounded: a "
            "spreadsheet may have cut off digits, and what differed in them is one group"
        )
    return found, notes + unknown_group(found, f"the group column {column!r} of {name}", places)


def unknown_group(groups: Sequence[str], what: str, places: Sequence[str]) -> list[str]:
    """Sentences about values of several rows that perhaps say that the group is not known.

    A word (`unknown`) is said wherever it is that of two rows; a number (0, 999) where no other group is half as large.
    """
    counts = Counter(groups)
    (most, size), *others = counts.most_common()
    second = others[0][1] if others else size
    large = size > 2 * second and (stands_for_unknown(most) or number(most) in (0.0, -1.0))
    words = [g for g, n in counts.items() if n > 1 and stands_for_unknown(g) and not g.lstrip("+-").isdecimal()]
    return [
        f"{counts[value]} rows are one group, {value!r}, in {what} (the first is {places[groups.index(value)]}): where "
        "it means that nobody knows whose they are, give each its own"
        for value in [*words, *([most] if large and most not in words else [])]
    ]


def patients(frames: Sequence[SourceFrame], spelling: str) -> tuple[dict[int, str], list[str]]:
    """The patient of each image that names one, and sentences about them; DataError as for `column_groups`."""
    heads = heads_of(frames)
    named = [k for k, head in enumerate(heads) if patient(head)]
    places, files = [frames[k].file.place or f"image {k + 1}" for k in named], [frames[k].file.name for k in named]
    ids = [patient(heads[k]) for k in named]
    values, notes = one_spelling(ids, spelling, "PatientID", places, private=True, files=files)
    notes += unknown_group(values, "PatientID", places) if values else []
    return dict(zip(named, values, strict=True)), notes
