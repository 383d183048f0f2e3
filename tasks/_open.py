"""Open a source: from a folder, a manifest, a DICOM tree or a NIfTI file to rows that can be asked."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tasks._base import DataError, Mark, Picture, Row, Source, Undecided
from tasks.benchmarks._open import near, open_benchmark, parse
from tasks.benchmarks._rows import OpenSettings
from tasks.images.content import picture
from tasks.images.decode import DecodePolicy, LastOpened
from tasks.marks.draw import covered
from tasks.marks.place import from_columns
from tasks.sources.check import refuse_above
from tasks.sources.evidence import Columns, asked, regions
from tasks.sources.files import Files, Listed, Names, missing, natural
from tasks.sources.frames import SourceFrame, SourceFrames
from tasks.sources.groups import column_groups, group_id, patients
from tasks.sources.headers import Head, Headers, Memory, Plain
from tasks.sources.notes import asked_frames, decide, exif_decision, flags, grouping, licence
from tasks.sources.remote import ahead, frames_of
from tasks.sources.resolve import Resolved, resolved
from tasks.sources.rows import Rows, columns_of, item_id
from tasks.sources.table import like_another, no_column, short
from tasks.sources.values import SPELLING
from tasks.sources.volumes import expanded, stacked


def open_source(
    spec: str,
    *,
    image_column: str | None = None,
    group: str | None = None,
    columns_needed: Sequence[str] = (),
    evidence: str | None = None,
    window: str | None = None,
    intercept: float = 0.0,
    exif: str | None = None,
    unreadable_limit: float = 0.05,
    limit: int | None = None,
    seed: int = 0,
    offline: bool = False,
    volumes: bool = False,
    spelling: str = "refuse",
    headers: Memory | None = None,
) -> Source:
    """The images that `spec` names, known from their headers and not yet decoded.

    `spec` is a folder (one that holds `manifest.csv` is read through it), a CSV, TSV or Parquet
    manifest, a DICOM tree or file, a NIfTI file, an image, or a benchmark: `medblink`, `mediconfusion`,
    `mmvp`, `mmvp-vlm` or `blink`, each with `:PATH` for a local copy. `group` is the column whose values may
    not be split over folds. `evidence` is the column that says where in an image the evidence lies, by boxes
    `x0 y0 x1 y1` in pixels or by mask files; or four columns with commas between, x, y, width and height. `limit`
    keeps about the first N rows of a seeded shuffle of the groups. With `volumes` a row is not a slice but a NIfTI
    file or a DICOM series, [d, h, w]. `spelling` says what to do with groups that differ only in their spelling:
    "refuse", "unite" or "keep". `headers` remembers what headers of files and objects said; see `Source.remember`.
    Raises DataError, Undecided where images can be shown in several ways, UnknownName for a window.
    """
    policy = DecodePolicy(exif=exif, window=window, intercept=intercept, volumes=volumes)
    if exif not in (None, "apply", "ignore"):
        raise DataError(f"--exif {exif}: it is apply or ignore")
    if spelling not in SPELLING:
        raise DataError(f"--spelling {spelling}: it is {', '.join(SPELLING)}")
    policy.policy  # noqa: B018 - an unknown window is refused before any file is opened
    named = parse(spec)
    if named is not None:
        for flag, given, why in (
            ("--volumes", volumes, "the images of NAME are flat"),
            ("--image-column", image_column is not None, "NAME knows where its images are"),
            ("--evidence", evidence is not None, "NAME holds no boxes or masks"),
        ):
            if given:
                raise DataError(f"{flag} has nothing to act on: {why.replace('NAME', named.name)}")
        settings = OpenSettings(policy=policy, unreadable=unreadable_limit, offline=offline)
        source = open_benchmark(named, settings, group=group, needed=columns_needed, spelling=spelling)
        return source if limit is None else limited(source, limit, seed)
    where_found = _resolved(spec, image_column, offline=offline)
    files, name, notes, columns = where_found.files, where_found.name, [*where_found.notes], where_found.columns
    if group is not None and columns is not None and group not in columns:
        raise no_column(group, columns, name, "--group:")
    for wanted in columns_needed:
        if columns is not None and wanted not in columns:
            raise no_column(wanted, columns, name)
    where = None if evidence is None else asked(evidence, columns or (), name)
    for flag, chosen in (("--label", columns_needed[:1]), ("--group", [group] if group else [])):
        notes += [sentence for one in chosen for sentence in like_another(one, columns or (), flag)]
    needed = [*columns_needed, *([group] if group else []), *(where.columns if where else ())]
    known = Headers(headers, policy, expanded(files) if volumes else files)
    found, unreadable, objects = _list_all(known, policy, needed)
    if objects:
        notes.append(f"{objects} DICOM files hold no image and were passed over")
    refuse_above(unreadable, len(unreadable) + len(found), unreadable_limit, policy.noun)
    if not found:
        raise DataError(f"{name} holds no image ({objects} DICOM files without one)")
    decide(found, policy)
    rows, more = _rows(found, policy, group, [*columns_needed], name, spelling)
    rows, said = _with_regions(rows, found, where, where_found.names, policy, name)
    source = Source(
        name=name,
        rows=rows,
        licence=licence(head.columns for head in found.heads)
        if isinstance(found, SourceFrames)
        else licence(row.columns for row in rows),
        policy=policy.policy,
        unreadable=tuple(unreadable),
        warnings=(*notes, *grouping(found, group), *more, *said, *asked_frames(found, policy), *flags(found, policy)),
        undecided=exif_decision(found, policy),
        remember=known.save,
    )
    return source if limit is None else limited(source, limit, seed)


def files_of(spec: str, chosen: str | None) -> tuple[Sequence[Listed], str, list[str], list[str] | None]:
    """Files, the source's printable name, sentences for the user, and the manifest's columns."""
    found = _resolved(spec, chosen)
    return found.files, found.name, [*found.notes], found.columns


def _resolved(spec: str, chosen: str | None, *, offline: bool = False) -> Resolved:
    found = resolved(spec, chosen, offline=offline)
    if found is None:
        meant = near(spec)
        raise DataError(f"no file or folder {spec!r}; did you mean the benchmark {meant}?") if meant else missing(spec)
    return found


def _list_all(
    headers: Headers, policy: DecodePolicy, needed: Sequence[str] = ()
) -> tuple[Sequence[SourceFrame], list[tuple[str, str]], int]:
    """The frames of the files of `headers`, (id, reason) of those that cannot be read, and how many hold none."""
    last_opened = LastOpened()
    files = headers.files
    headers.recall()
    unreadable: dict[int, tuple[str, str]] = {}
    for row, file in _unknown(headers):
        try:
            if not file.name:
                raise DataError("the manifest names no file")
            if headers.head(row) is None:
                headers.learn(row, frames_of(file.path, policy, last_opened))
        except Undecided:
            raise
        except DataError as error:
            unreadable[row] = (item_id(file.name), f"{short(file.name) or 'a row'}: {error}{file.missing}")
    headers.save()
    every = range(len(files))
    rows = [row for row in every if row not in unreadable] if unreadable else every
    listed = [head for row in rows if isinstance(head := headers.head(row), list)]
    objects = sum(not frames for frames in listed)
    several = any(len(frames) > 1 for frames in listed)
    frames = SourceFrames(headers, policy, *_each(headers, rows, chosen=policy.volumes or several or _numbers(files)))
    found: Sequence[SourceFrame] = frames if isinstance(files, Files) and not policy.volumes else list(frames)
    refused: list[tuple[str, str]] = []
    if policy.volumes:
        found, refused = stacked(found, policy, last_opened, needed)
    return found, [*unreadable.values(), *((item_id(name, 0), f"{name}: {why}") for name, why in refused)], objects


def _unknown(headers: Headers) -> Iterator[tuple[int, Listed]]:
    """The rows whose files were not looked at before; those that are to be fetched are so ahead."""
    files = headers.files
    rows = [row for row in range(len(files)) if headers.head(row) is None]
    if isinstance(files, Files):
        yield from ((row, files[row]) for row in rows)
        return
    for row, _ in zip(rows, ahead([files[row].path for row in rows]), strict=True):
        yield row, files[row]


def _each(headers: Headers, rows: Sequence[int], *, chosen: bool) -> tuple[Sequence[int], Sequence[Head]]:
    """The row and the header of each frame; with `chosen` of that which a row names, where it names one."""
    whole = [head for row in rows if isinstance(head := headers.head(row), Plain)]
    if len(whole) == len(rows) and not chosen:
        return rows, whole
    at, found = array("l"), list[Head]()
    for row in rows:
        head = headers.head(row)
        frames = [head] if isinstance(head, Plain) else head or []
        for frame in _chosen(frames, headers.files[row], whole=headers.volumes) if chosen else frames:
            at.append(row)
            found.append(frame)
    return at, found


def _numbers(files: Sequence[Listed]) -> bool:
    """Whether the column frame says which of a file's frames is meant: some file is named more than once by it."""
    if isinstance(files, Files):
        return False
    numbers: dict[str, set[int | None]] = {}
    for file in files:
        numbers.setdefault(file.name, set()).add(file.frame)
    return any(len(named) > 1 for named in numbers.values())


def _chosen(frames: Sequence[Head], file: Listed, *, whole: bool) -> Sequence[Head]:
    """The frame that a manifest names, or all; DataError where the file does not have it."""
    number = file.frame
    if number is None or not frames:
        return frames
    if number > len(frames):
        many, volume = len(frames) > 1, whole and frames[0].slice_position is None
        held = f"{len(frames)} volume{'s' * many}" if volume else f"frames 1 to {len(frames)}" if many else "one frame"
        raise DataError(
            f"{file.place}: {file.name}: it has {held}, not {'frame ' * (volume or not many)}{number}; correct the "
            "column frame, or rename it where it counts something else"
        )
    return [frames[number - 1]]


def _rows(
    found: Sequence[SourceFrame],
    policy: DecodePolicy,
    group: str | None,
    needed: Sequence[str],
    name: str,
    spelling: str,
) -> tuple[Sequence[Row], list[str]]:
    if group is None:
        of, notes = patients(found, spelling)
        own = partial(_own_group, found, of)
    else:
        values = [columns.get(group) for columns in _columns(found)]
        if all(value is None for value in values):
            raise no_column(group, [*dict.fromkeys(c for columns in _columns(found) for c in columns)], name)
        places = [s.file.place or f"image {k}" for k, s in enumerate(found, 1)]
        names = [s.file.name for s in found]
        groups, notes = column_groups([value or "" for value in values], group, name, spelling, places, names)
        own = groups.__getitem__
    if isinstance(found, SourceFrames):
        rows: Sequence[Row] = Rows(found, own, policy)
    else:
        rows = _made(found, own, policy, name)
    if needed:
        present = dict.fromkeys(c for columns in _columns(found) for c in columns)
        for wanted in needed:
            if wanted not in present:
                raise no_column(wanted, [*present], name)
    return rows, notes


def _own_group(found: Sequence[SourceFrame], patients: Mapping[int, str], k: int) -> str:
    """The patient of an image that names one, else its file."""
    return patients[k] if k in patients else f"file {found[k].file.name}"


def _made(found: Sequence[SourceFrame], own: Callable[[int], str], policy: DecodePolicy, name: str) -> tuple[Row, ...]:
    rows: list[Row] = []
    for k, (s, known, place) in enumerate(zip(found, _ids(found), _in_folders(found), strict=True)):
        try:
            marks = from_columns(s.file.columns)
            if marks and policy.volumes:
                raise DataError(f"the {marks[0].name} mark has x and y, which are no place in a volume")
        except DataError as error:
            place = f"{s.file.place}: {s.file.name}" if s.file.place else s.file.name
            raise DataError(f"{name}: {place}: {error}") from error
        shown = picture(s.frame, s.content, policy, s.file.shown or s.file.name)
        rows.append(
            Row(
                id=known,
                group=group_id(own(k)),
                picture=shown,
                columns=columns_of(s.frame.columns, s.file.columns),
                marks=marks,
                place=s.file.place,
                in_folder=place,
                regions={"marks": partial(_under_marks, shown, marks)} if marks else {},
            )
        )
    return tuple(rows)


def _columns(found: Sequence[SourceFrame]) -> Iterator[dict[str, str]]:
    """The columns of each frame."""
    return (columns_of(s.frame.columns, s.file.columns) for s in found)


def _in_folders(found: Sequence[SourceFrame]) -> list[int]:
    """The place of each frame's file among those of its folder, in natural order."""
    names: dict[str, set[str]] = {}
    for s in found:
        folder, _, name = s.file.name.rpartition("/")
        names.setdefault(folder, set()).add(name)
    places = {(f, name): k for f, some in names.items() for k, name in enumerate(sorted(some, key=natural))}
    return [places[folder, name] for folder, _, name in (s.file.name.rpartition("/") for s in found)]


def _under_marks(picture: Picture, marks: Sequence[Mark]) -> np.ndarray:
    """What marks of this project's size cover, bool [h, w]."""
    return covered(marks, *picture.read().shape[:2])


def _with_regions(
    rows: Sequence[Row],
    found: Sequence[SourceFrame],
    where: Columns | None,
    names: Names,
    policy: DecodePolicy,
    name: str,
) -> tuple[Sequence[Row], list[str]]:
    """The rows with the region that their column says, and a sentence about those without."""
    if where is None:
        return rows, []
    pictures = [row.picture for row in rows]
    named, notes = regions(found, pictures, where, names=names, policy=policy, name=name)
    return tuple(replace(row, regions={**row.regions, **own}) for row, own in zip(rows, named, strict=True)), notes


def _ids(found: Sequence[SourceFrame]) -> list[str]:
    count: Counter[tuple[str, int]] = Counter()
    ids = []
    for s in found:
        key = (s.file.name, s.frame.number)
        ids.append(item_id(*key, count[key]))
        count[key] += 1
    return ids


def slices_of(spec: str, image_column: str | None = None) -> dict[str, list[tuple[Listed, int | None]]]:
    """The files of each volume of a source, by its id, each with its frame's number where a file holds several."""
    files = files_of(spec, image_column)[0]
    policy = DecodePolicy(window="minmax", volumes=True)
    found, _, _ = _list_all(Headers(None, policy, expanded(files)), policy)
    parts = [one.parts or (one,) for one in found]
    held = Counter(str(part.file.path) for own in parts for part in own)
    return {
        known: [(p.file, p.frame.number if held[str(p.file.path)] > 1 else None) for p in own]
        for known, own in zip(_ids(found), parts, strict=True)
    }


def limited(source: Source, limit: int, seed: int = 0) -> Source:
    """The source with at most `limit` rows: groups in a seeded order, their rows in the source's order."""
    rows = source.rows
    if limit >= len(rows):
        return source
    of = [*rows.groups] if isinstance(rows, Rows) else [row.group for row in rows]
    groups = sorted(set(of))
    order = np.random.default_rng([seed, len(groups)]).permutation(len(groups))
    rank = {groups[g]: r for r, g in enumerate(order)}
    chosen = sorted(sorted(range(len(rows)), key=lambda i: (rank[of[i]], i))[:limit])
    return replace(source, rows=rows.take(chosen) if isinstance(rows, Rows) else tuple(rows[i] for i in chosen))
