"""Decisions that the user must take before a source can be used, and sentences about what its files are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks._base import DataError, Row, Undecided
from tasks.images.content import Content, Stack
from tasks.images.decode import DecodePolicy, Frame
from tasks.sources.files import Listed
from tasks.sources.table import like_groups
from tasks.sources.values import frame_number, is_missing, spelling

OF_FRAMES = ("frame", "slice", "page", "image")
LIKE_FRAMES = frozenset(
    f"{noun}{end}" for noun in OF_FRAMES for end in ("number", "no", "nr", "num", "id", "index", "idx")
) | {"slice", "page", "time", "index", "idx", "z", "instance", "instancenumber", "timepoint"}


@dataclass(frozen=True, kw_only=True)
class SourceFrame:
    """A frame of a source with the file that holds it; the volume of a DICOM series stands for its slices, `parts`."""

    file: Listed
    frame: Frame
    content: Content | Stack
    parts: tuple["SourceFrame", ...] = ()


def patient(one: SourceFrame) -> str:
    """The patient that a file names; empty where it names none, or a mark of a missing value."""
    named = one.frame.patient
    return "" if not named or is_missing(named) else named


def asked_frames(frames: Sequence[SourceFrame], policy: DecodePolicy) -> list[str]:
    """Sentences about frames of a manifest's files that are asked though no row names them, or more than once."""
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
    wide = [s for s in frames if s.frame.wide]
    if wide and policy.range in (None, "file"):
        raise Undecided(
            f"a decision is needed: {len(wide)} images hold more than 8 bits{_range(wide)}; "
            "say --window 40/400 --intercept -1024 (CT stored as HU + 1024), or --window full (the whole "
            "range of the number type), or --window minmax (each image by its own range)"
        )
    if frames and not any(s.frame.windowed for s in frames) and (policy.window or policy.intercept):
        flag = f"--window {policy.window}" if policy.window else f"--intercept {policy.intercept:g}"
        raise DataError(f"{flag} has nothing to act on: all {len(frames)} images hold 8 bits; leave it out")
    if frames and policy.intercept and not wide:
        raise DataError(
            f"--intercept {policy.intercept:g} has nothing to act on: DICOM and NIfTI files say themselves what their "
            "numbers mean; leave it out"
        )


def _range(frames: Sequence[SourceFrame]) -> str:
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
    patients = {patient(s) for s in frames} - {""}
    if patients:
        alone = sum(not patient(s) for s in frames)
        extra = f" ({alone} images name none: each file is its own group)" if alone else ""
        only = "; they all name ONE patient: say --group COLUMN" if len(patients) == 1 else ""
        return [f"images are grouped by patient{extra}{only}"] if extra or only else []
    maybe = like_groups(dict.fromkeys(c for s in frames for c in s.file.columns))
    hint = f" (perhaps {' or '.join(maybe)})" if maybe else ""
    return [f"every file counts as its own group; if patients recur, say --group COLUMN{hint}"]


def flags(frames: Sequence[SourceFrame], policy: DecodePolicy) -> list[str]:
    """Counted notes on what the files are: flags of their headers, windows that differ or do not act."""
    n = len(frames)
    found = Counter(flag for s in frames for flag in s.frame.flags)
    notes = [f"{k} of {n} {policy.noun} {flag}" for flag, k in sorted(found.items())]
    if policy.range in (None, "file"):
        own = {s.frame.columns["window"] for s in frames if "window" in s.frame.columns}
        if len(own) > 1:
            notes.append(f"the files' own windows differ ({len(own)}): brightness may betray the label")
    if policy.range == "minmax" and any(s.frame.windowed for s in frames):
        notes.append("each image is stretched over its own range: brightness is not comparable between images")
    own = sum(s.frame.windowed and not s.frame.wide for s in frames)
    if policy.intercept and own:
        notes.append(
            f"--intercept does not act on {own} of {n} {policy.noun}, DICOM or NIfTI files with their own rescale"
        )
    plain = sum(not s.frame.windowed for s in frames)
    if policy.window and plain:
        notes.append(f"--window does not act on {plain} of {n} images, which hold 8 bits")
    return notes


def exif_decision(frames: Sequence[SourceFrame], policy: DecodePolicy) -> tuple[str, ...]:
    """The decision that is needed where images carry an EXIF orientation and no policy was given."""
    turned = sum(s.frame.exif != 1 for s in frames)
    if not turned or policy.exif is not None:
        return ()
    return (
        f"a decision is needed: {turned} of {len(frames)} images carry an EXIF orientation, so what is upright "
        "depends on the reader; say --exif apply (as the camera meant it) or --exif ignore (as stored)",
    )


def licence(rows: Sequence[Row]) -> str:
    """The licence that the rows' own column names, where they agree."""
    named = {row.columns.get("licence") or row.columns.get("license") or "unknown" for row in rows}
    return named.pop() if len(named) == 1 else f"{len(named)} licences, one per row"
