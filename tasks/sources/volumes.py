"""Volumes: the slices of a DICOM series become one item, sorted by where they lie."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from tasks._base import DataError
from tasks.images.content import Stack
from tasks.images.decode import DecodePolicy, Frame, LastOpened, digest, require_thick
from tasks.images.dicom import read_stack
from tasks.images.kinds import File
from tasks.sources.files import Listed, walk
from tasks.sources.frames import SourceFrame
from tasks.sources.remote import all_local

SAME = 1e-3  # mm: slices nearer than this lie at one place
UNEVEN = 1.5  # a gap this many times the usual one stands for a slice that is missing
PARALLEL = 0.01  # of a unit normal
COUNTED = "do not say where their slices lie, which are stacked by their instance numbers"
GAPS = "have uneven gaps between their slices: perhaps some are missing"
WINDOWS = "have slices with windows of their own that differ: brightness varies from slice to slice"


def expanded(files: Sequence[Listed]) -> list[Listed]:
    """The rows of a manifest with each folder that a row names replaced by the image files in it."""
    found: list[Listed] = []
    for file in files:
        if not (file.name and isinstance(file.path, Path) and file.path.is_dir()):
            found.append(file)
            continue
        inside, *_ = walk(file.path)
        found += [replace(file, path=one.path, name=f"{file.name}/{one.name}", folder=file.name) for one in inside]
        found += [] if inside else [file]  # listed as unreadable
    return found


def stacked(
    frames: Sequence[SourceFrame], policy: DecodePolicy, last_opened: LastOpened, needed: Sequence[str]
) -> tuple[list[SourceFrame], list[tuple[str, str]]]:
    """One `SourceFrame` per volume, in the order of its first slice, and (name, reason) of the series that make none.

    Columns on which the slices of a series do not agree are left out; where one of `needed` is among them, the
    series makes no volume.
    """
    series: dict[object, list[SourceFrame]] = {}
    for k, one in enumerate(frames):
        at = one.frame.slice_position
        series.setdefault(k if at is None else at.series or digest("alone", str(k)), []).append(one)
    found: list[SourceFrame] = []
    refused: list[tuple[str, str]] = []
    for members in series.values():
        first = members[0]
        name = first.file.name + (f" and {len(members) - 1} more slices" if len(members) > 1 else "")
        try:
            found.append(
                first if first.frame.slice_position is None else _stack(members, name, policy, last_opened, needed)
            )
        except DataError as error:
            refused.append((name, str(error)))
    folders = [one.file.folder for one in found]  # that a manifest names: a row is one item
    many = {folder: folders.count(folder) for folder in folders if folder and folders.count(folder) > 1}
    refused += [(folder, f"the folder holds {count} volumes; name a folder of one") for folder, count in many.items()]
    return [one for one in found if one.file.folder not in many], refused


def _stack(
    members: Sequence[SourceFrame], name: str, policy: DecodePolicy, last_opened: LastOpened, needed: Sequence[str]
) -> SourceFrame:
    ordered, flags = _sorted(members)
    for column in needed:
        values = {{**one.frame.columns, **one.file.columns}.get(column, "") for one in members}
        if len(values) > 1:
            raise DataError(f"its slices differ in {column!r} ({', '.join(repr(v) for v in sorted(values)[:3])})")
    first = members[0]
    facts = _common([one.frame.columns for one in members]) | {"slices": str(len(members))}
    facts.pop("frame", None)
    if len({one.frame.columns.get("window") for one in members}) > 1:
        facts["window"] = "various"
        flags.append(WINDOWS)
    slices = [(one.file.path, one.frame.number) for one in ordered]
    frame = Frame(
        read=partial(_read, slices, policy, last_opened),
        number=0,  # no frame of any file
        revision=max(one.frame.revision for one in members),
        columns=facts,
        patient=first.frame.patient,
        windowed=any(one.frame.windowed for one in members),
        flags=(*sorted({flag for one in members for flag in one.frame.flags}), *flags),
    )
    content = Stack([(one.content, one.frame.number) for one in ordered])
    columns = _common([one.file.columns for one in members])
    file = replace(first.file, columns=columns, frame=None, shown=name)
    return SourceFrame(file=file, frame=frame, content=content, parts=tuple(ordered))


def _read(slices: Sequence[tuple[File, int]], policy: DecodePolicy, last_opened: LastOpened) -> np.ndarray:
    with ExitStack() as stack:
        paths = all_local([file for file, _ in slices], stack)
        return read_stack([(path, n) for path, (_, n) in zip(paths, slices, strict=True)], policy, last_opened)


def _common(columns: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {k: v for k, v in columns[0].items() if all(other.get(k) == v for other in columns)}


def _sorted(members: Sequence[SourceFrame]) -> tuple[list[SourceFrame], list[str]]:
    """The slices of a series from the first to the last, and sentences about how they lie; DataError."""
    positions = [one.frame.slice_position for one in members if one.frame.slice_position is not None]
    if not positions[0].series:
        raise DataError("it does not name the series that it belongs to")
    sizes = sorted({f"{w} x {h}" for h, w in (p.shape for p in positions)})
    if len(sizes) > 1:
        raise DataError(f"its slices differ in size ({' and '.join(sizes[:3])} pixels)")
    require_thick((len(positions), *positions[0].shape))
    normals = [p.normal for p in positions if p.normal is not None]
    if normals and np.abs(np.array(normals) - normals[0]).max() > PARALLEL:
        raise DataError("its slices do not lie parallel; leave --volumes out to ask slices")
    along = [p.position for p in positions if p.position is not None]
    if len(along) == len(positions):
        order = np.argsort(along, kind="stable")
        gaps = np.diff(np.array(along)[order])
        twice = int((gaps < SAME).sum())
        if twice:
            raise DataError(
                f"{twice} of its {len(positions)} slices lie where another does (times or echoes of one series?)"
            )
        uneven = [GAPS] if gaps.max() > UNEVEN * np.median(gaps) else []
        return [members[k] for k in order], uneven
    numbers = [p.number for p in positions if p.number is not None]
    if len(set(numbers)) < len(positions):
        raise DataError("its slices say neither where they lie nor in which order")
    ranked = sorted(range(len(positions)), key=lambda k: numbers[k])
    return [members[k] for k in ranked], [COUNTED]
