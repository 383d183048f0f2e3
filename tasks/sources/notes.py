"""Decisions that the user must take before a source can be used, and sentences about what its files are."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tasks._base import DataError, Undecided
from tasks.images.decode import DecodePolicy
from tasks.sources.frames import SourceFrame, heads_of, listing_of
from tasks.sources.headers import Head
from tasks.sources.table import like_groups
from tasks.sources.values import frame_number, is_missing, spelling

OF_FRAMES = ("frame", "slice", "page", "image")
LIKE_FRAMES = frozenset(
    f"{noun}{end}" for noun in OF_FRAMES for end in ("number", "no", "nr", "num", "id", "index", "idx")
) | {"slice", "page", "time", "index", "idx", "z", "instance", "instancenumber", "timepoint"}


def patient(head: Head) -> str:
    """The patient that a header names; empty where it names none, or a mark of a missing value."""
    named = head.patient
    return "" if not named or is_missing(named) else named


def asked_frames(frames: Sequence[SourceFrame], policy: DecodePolicy) -> list[str]:
    """Sentences about frames of a manifest's files that are asked though no row names them, or more than once."""
    if listing_of(frames) is not None:
        return []
    of = [s for s in frames if s.file.row and not s.parts]
    held = Counter(s.file.row for s in of if s.file.frame is None)
    every = {row: count for row, count in held.items() if count > 1}
    notes = []
    other = sum(s.file.frame not in (None, s.frame.number) for s in of)
    if other:
        notes.append(
            f"the column frame is not used: all files hold one frame, and it has other numbers for {other} of them"
        )
    if every and any(s.file.frame is not None for s in of):
        first = min(every)
        notes.append(
            f"{len(every)} rows name no frame of a file that holds several: all {sum(every.values())} frames of these "
            f"are asked (the first is row {first})"
        )
    elif every:
        rows = {s.file.row: s.file.columns for s in of if s.file.row in every}
        for column in next(iter(rows.values())):
            numbers = {row: frame_number(values.get(column, "")) for row, values in rows.items()}
            fits = all(number is not None and number <= every[row] for row, number in numbers.items())
            if spelling(column) in LIKE_FRAMES and fits and (len(rows) < 2 or len(set(numbers.values())) > 1):
                notes.append(
                    f"the column {column!r} is not read as the number of a frame: all {sum(every.values())} frames of "
                    f"{len(every)} files are asked; call it 'frame' where it picks one"
                )
    asked: dict[tuple[object, ...], SourceFrame] = {}
    again = []
    for s in of:
        what = tuple(
            v for c, v in s.file.columns.items() if c.lower() == "question" or c.lower().endswith(("_x", "_y"))
        )
        if asked.setdefault((s.file.name, s.frame.number, what), s) is not s:
            again.append(s)
    if again:
        noun = policy.noun
        notes.append(
            f"{len(again)} {noun} are named by an earlier row too and are asked once for each (the first is "
            f"{again[0].file.place})"
        )
    return notes


def decide(frames: Sequence[SourceFrame], policy: DecodePolicy) -> None:
    """Raises Undecided where a window is needed and not given, DataError where one is given and acts on nothing."""
    heads = heads_of(frames)
    wide = [k for k, head in enumerate(heads) if head.wide]
    if wide and policy.range in (None, "file"):
        raise Undecided(
            f"a decision is needed: {len(wide)} images hold more than 8 bits{_range(frames[k] for k in wide)}; "
            "say --window 40/400 --intercept -1024 (CT stored as HU + 1024), or --window full (the whole "
            "range of the number type), or --window minmax (each image by its own range)"
        )
    if frames and not any(head.windowed for head in heads) and (policy.window or policy.intercept):
        flag = f"--window {policy.window}" if policy.window else f"--intercept {policy.intercept:g}"
        raise DataError(f"{flag} has nothing to act on: all {len(frames)} images hold 8 bits; leave it out")
    if frames and policy.intercept and not wide:
        raise DataError(
            f"--intercept {policy.intercept:g} has nothing to act on: DICOM and NIfTI files say themselves what their "
            "numbers mean; leave it out"
        )


def _range(frames: Iterable[SourceFrame]) -> str:
    """The least and the greatest stored number of the first image that can be read, in brackets."""
    for one in frames:
        try:
            values = one.frame.stored() if one.frame.stored is not None else None
        except DataError:
            continue  # counted as unreadable once the decision is taken
        if values is not None:
            return f" (the first {np.nanmin(values):g} to {np.nanmax(values):g})"
    return ""


def grouping(frames: Sequence[SourceFrame], group: str | None) -> list[str]:
    """Sentences about how images were grouped, where no column was named."""
    if group is not None or not frames:
        return []
    heads = heads_of(frames)
    patients = {patient(head) for head in heads} - {""}
    if patients:
        alone = sum(not patient(head) for head in heads)
        extra = f" ({alone} images name none: each file is its own group)" if alone else ""
        only = "; they all name ONE patient: say --group COLUMN" if len(patients) == 1 else ""
        return [f"images are grouped by patient{extra}{only}"] if extra or only else []
    told = frames if listing_of(frames) is None else frames[:1]  # a folder says the same of all its files
    maybe = like_groups(dict.fromkeys(c for s in told for c in s.file.columns))
    hint = f" (perhaps {' or '.join(maybe)})" if maybe else ""
    return [f"every file counts as its own group; if patients recur, say --group COLUMN{hint}"]


def flags(frames: Sequence[SourceFrame], policy: DecodePolicy) -> list[str]:
    """Counted notes on what the files are: flags of their headers, windows that differ or do not act."""
    n, heads = len(frames), heads_of(frames)
    found = Counter(flag for head in heads for flag in head.flags)
    notes = [f"{k} of {n} {policy.noun} {flag}" for flag, k in sorted(found.items())]
    if policy.range in (None, "file"):
        own = {head.columns["window"] for head in heads if "window" in head.columns}
        if len(own) > 1:
            notes.append(f"the files' own windows differ ({len(own)}): brightness may betray the label")
    if policy.range == "minmax" and any(head.windowed for head in heads):
        notes.append("each image is stretched over its own range: brightness is not comparable between images")
    own = sum(head.windowed and not head.wide for head in heads)
    if policy.intercept and own:
        notes.append(
            f"--intercept does not act on {own} of {n} {policy.noun}, DICOM or NIfTI files with their own rescale"
        )
    plain = sum(not head.windowed for head in heads)
    if policy.window and plain:
        notes.append(f"--window does not act on {plain} of {n} images, which hold 8 bits")
    return notes


def exif_decision(frames: Sequence[SourceFrame], policy: DecodePolicy) -> tuple[str, ...]:
    """The decision that is needed where images carry an EXIF orientation and no policy was given."""
    turned = sum(head.exif != 1 for head in heads_of(frames))
    if not turned or policy.exif is not None:
        return ()
    return (
        f"a decision is needed: {turned} of {len(frames)} images carry an EXIF orientation, so what is upright "
        "depends on the reader; say --exif apply (as the camera meant it) or --exif ignore (as stored)",
    )


def licence(rows: Iterable[Mapping[str, str]]) -> str:
    """The licence that a column of the rows names, where they agree."""
    named = {columns.get("licence") or columns.get("license") or "unknown" for columns in rows}
    return named.pop() if len(named) == 1 else f"{len(named)} licences, one per row"
