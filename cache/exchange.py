"""A space carried to another store, or to another program: a folder with a manifest of hashes, and the way back.

Whoever reads such a folder may not have made it, so nothing in it is believed: names lead nowhere, sizes and hashes are
held against the files, and every shard is checked as the store checks its own, before anything is put in place.
"""

import fnmatch
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from cache.atomic import lock, make_folder, share, sync_folder, temporary, write_atomically
from cache.errors import DamagedError, StoreError, is_full, unwritable
from cache.formats import write_npy, write_parquet, write_safetensors
from cache.index import Index, texts_of
from cache.keys import digest
from cache.shard import CONTENT, NAME, Shard, load
from cache.space import LABEL, SPEC, Space, text_of
from cache.verified import VerifiedShards
from cache.writer import check_names

MANIFEST, CONTENTS, IDS = "manifest.json", "contents.txt", "ids.txt"
FORMATS = ("slitlamp", "npy", "safetensors", "parquet")
KIND, SCHEMA = "features of slitlamp", 1
LONGEST = 1 << 26  # bytes of a manifest: that of a hundred thousand shards
COPIED = 1 << 20  # bytes at a time
COMPARED = 4096  # rows at a time
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What was exported or imported. `manifest` is the sha256 of the manifest, `left_out` items that lacked a name."""

    label: str
    digest: str
    items: int
    datasets: int
    files: int
    bytes: int
    manifest: str
    left_out: int = 0
    known: int = 0


def material_of(folder: Path) -> Mapping[str, Any]:
    """What determines the features of a folder of the store; StoreError where its spec.json does not say."""
    try:
        spec = json.loads(text_of(folder / SPEC))
        if digest(spec["material"])[:32] == folder.name:
            return spec["material"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, StoreError):
        pass
    raise StoreError(
        f"{folder / SPEC} is damaged and does not say what the features are of; a run that writes there makes it again"
    )


def label_of(folder: Path) -> str:
    """What a space of the store is called; empty where nothing says so."""
    try:
        return text_of(folder / LABEL).strip()
    except (OSError, ValueError):
        return ""


def export_space(
    space: Space,
    verified: VerifiedShards,
    out: Path,
    *,
    to: str = "slitlamp",
    only: Sequence[str] = (),
    ids: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Carried:
    """Write the features of a space to the new or empty folder `out`; the manifest is written last.

    `slitlamp` copies whole shards. The other formats write a file for each site/readout that fits a pattern of `only`,
    a row for each item that has all of them. `ids` {content: id} says which items, in which order, and what they are
    called.

    Raises:
        StoreError: something is damaged or not there, or the folder holds something.
    """
    if to not in FORMATS:
        raise StoreError(f"{to!r} is no format of an export; give {', '.join(FORMATS)}")
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(f"{out} is there and not an empty folder; name a new one")
    index = space.index()
    widths = {name: width for head in index.heads for name, (_, width) in head.forms.items()}
    names = [name for name in sorted(widths) if not only or any(fnmatch.fnmatchcase(name, one) for one in only)]
    if not names:
        raise StoreError(
            f"{space.label or space.digest[:12]} holds no features"
            + (f" that fit {' '.join(only)}; it has {', '.join(sorted(widths))}" if widths else "")
        )
    check_names(widths)
    try:
        make_folder(out)
        if to == "slitlamp":
            files, items, left_out = _copy_shards(space, verified, out, progress), index.items, 0
        else:
            files, items, left_out = _write_matrices(space, out, to, {n: widths[n] for n in names}, ids, progress)
        manifest = {
            "kind": KIND, "schema": SCHEMA, "format": to,
            "space": {"digest": space.digest, "label": space.label, "material": material_of(space.folder)},
            "items": items, "left_out": left_out,
            "datasets": {name: _form(space, name) for name in names},
            "files": files,
        }  # fmt: skip
        text = json.dumps(manifest, indent=1, ensure_ascii=True).encode() + b"\n"
        write_atomically(out / MANIFEST, text)
    except OSError as error:
        _remove(out)
        if is_full(error):
            raise StoreError(f"the disk is full at {out}; what was written there is removed") from error
        raise
    except BaseException:
        _remove(out)
        raise
    return Carried(
        label=space.label, digest=space.digest, items=items, left_out=left_out, datasets=len(names), files=len(files),
        bytes=sum(file["bytes"] for file in files), manifest=hashlib.sha256(text).hexdigest(),
    )  # fmt: skip


def _form(space: Space, name: str) -> dict[str, Any]:
    forms = [head.forms[name] for head in space.index().heads if name in head.forms]
    dtype = "<f4" if any(dtype == "<f4" for dtype, _ in forms) else "<f2"
    return {"width": forms[0][1], "dtype": {"<f2": "float16", "<f4": "float32"}[dtype]}


def _copy_shards(space: Space, verified: VerifiedShards, out: Path, progress: Progress | None) -> list[dict[str, Any]]:
    heads = space.index().heads
    total, done, files = sum(head.stamp[0] for head in heads), 0, []
    for head in heads:
        shard = verified.shard(head.path)
        bad = None if shard is None else next((n for n in shard.columns if not verified.sound(shard, n)), None)
        if shard is None or bad is not None:
            raise StoreError(
                f"{head.path.parent.name}/{head.path.name}{f': {bad}' if bad else ''} is not as it was written; "
                "`python -m experiments.features verify --remove` removes what is damaged, then export again"
            )
        with head.path.open("rb") as source:
            size, sha256 = _copied(source.fileno(), out / head.path.name)
        files.append({"name": head.path.name, "bytes": size, "sha256": sha256})
        done += size
        if progress is not None:
            progress(done, total)
    return files


def _write_matrices(
    space: Space, out: Path, to: str, widths: Mapping[str, int], ids: Mapping[str, str] | None,
    progress: Progress | None,
) -> tuple[list[dict[str, Any]], int, int]:  # fmt: skip
    every = space.stored() if ids is None else list(ids)
    lacking = set(space.missing(every, widths, verify=False))
    if ids is not None and lacking:
        first = every[min(lacking)]
        raise StoreError(
            f"{len(lacking)} of the {len(every)} items with an id are not stored (the first is {ids[first]!r})"
        )
    contents = [content for position, content in enumerate(every) if position not in lacking]
    texts = {"content": contents} | ({} if ids is None else {"id": [ids[content] for content in contents]})
    for name, held in {CONTENTS: contents, IDS: texts.get("id")}.items():
        if held is not None:
            lines = (text if name == CONTENTS else json.dumps(text) for text in held)
            (out / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    done, total = 0, len(contents) * sum(widths.values())
    places = []
    for name, width in widths.items():
        dtype = {"float16": "<f2", "float32": "<f4"}[_form(space, name)["dtype"]]

        def blocks(name: str = name, width: int = width, dtype: str = dtype) -> Iterator[np.ndarray]:
            nonlocal done
            for block in space.blocks(contents, name, rows=max(1, COPIED * 16 // width)):
                yield block.astype(dtype)
                done += block.size
                if progress is not None:
                    progress(done, total)

        site, readout = (quote(part, safe=" +") for part in name.split("/"))
        place = out / site / f"{readout}.{to}"
        place.parent.mkdir(exist_ok=True)
        shape = (len(contents), width)
        if to == "npy":
            write_npy(place, blocks(), shape, dtype)
        elif to == "safetensors":
            write_safetensors(place, blocks(), shape, dtype)
        else:
            write_parquet(place, blocks(), shape, dtype, texts)
        places.append(place)
    files = []
    for place in [*(out / name for name in (CONTENTS, IDS) if (out / name).exists()), *places]:
        with place.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        files.append({"name": place.relative_to(out).as_posix(), "bytes": place.stat().st_size, "sha256": sha256})
    return files, len(contents), len(lacking)


def import_folder(
    incoming: Path, open_space: Callable[[Mapping[str, Any], str], Space], verified: VerifiedShards,
    folder: Path, require: Callable[[int], None], progress: Progress | None = None,
) -> Carried:  # fmt: skip
    """Take over what `export_space` wrote as `slitlamp`: all of it, after everything was checked, or nothing.

    Raises:
        StoreError: the folder is damaged, no such export, or holds other values of what is stored here already.
    """
    manifest, text = _manifest(folder)
    files, said = manifest["files"], manifest["space"]
    space = open_space(said["material"], said["label"])
    space.label = label_of(space.folder) or said["label"]  # what it is called here it stays
    total, done = sum(file["bytes"] for file in files), 0
    require(total)
    with _staged(incoming) as staged:
        shards = []
        for file in files:
            path = staged / file["name"]
            _take(folder, file, path)
            shards.append(_checked(path, space.digest, folder))
            done += file["bytes"]
            if progress is not None:
                progress(done, total)
        if _distinct([shard.digests for shard in shards]) != manifest["items"]:
            raise StoreError(f"{folder}: the manifest counts {manifest['items']} items, and the shards hold others")
        known = _clashes(space, shards, folder)
        space.prepare()
        placed = []
        for shard in shards:
            final = space.folder / shard.path.name  # one that is there begins alike, and so is the same or damaged
            placed.append(shard.path.replace(final))
            share(final)
        sync_folder(space.folder)
    verified.written(placed)
    return Carried(
        label=said["label"], digest=space.digest, items=manifest["items"], datasets=len(manifest["datasets"]),
        files=len(files), bytes=total, manifest=hashlib.sha256(text).hexdigest(), known=known,
    )  # fmt: skip


def _manifest(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The manifest of an export, each value held to its kind."""
    if not folder.is_dir():
        raise StoreError(f"{folder} is no folder; give one that `python -m experiments.features export` wrote")
    path = folder / MANIFEST
    try:
        facts = path.lstat()
    except FileNotFoundError:
        raise StoreError(
            f"{folder} holds no {MANIFEST}: it is no export, or one that did not come to its end; export again"
        ) from None
    odd = StoreError(f"{path} is none that this project writes; nothing was imported")
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > LONGEST:
        raise odd
    text = path.read_bytes()
    try:
        said = json.loads(text)
        kind, schema, form = said["kind"], said["schema"], said["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise odd from None
    if kind != KIND or type(schema) is not int:
        raise odd
    if schema > SCHEMA:
        raise StoreError(f"{path} was written by a newer version (schema {schema}; this one reads {SCHEMA}); update")
    if form != "slitlamp":
        raise StoreError(f"{folder} holds {str(form)[:20]} for other programs; export --to slitlamp to import it again")
    try:
        names = [file["name"] for file in said["files"]]
        fits = (
            digest(said["space"]["material"]) == said["space"]["digest"]
            and _is_label(said["space"]["label"])
            and len(set(names)) == len(names) > 0
            and all(NAME.fullmatch(name) for name in names)
            and all(type(file["bytes"]) is int and file["bytes"] > 0 for file in said["files"])
            and all(isinstance(file["sha256"], str) for file in said["files"])
            and type(said["items"]) is int
            and isinstance(said["datasets"], dict)
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, StoreError):
        raise odd from None
    if not fits:
        raise odd
    return said, text


def _is_label(label: Any) -> bool:
    return isinstance(label, str) and len(label) <= 1000 and (label.isprintable() or not label)


@contextmanager
def _staged(incoming: Path) -> Iterator[Path]:
    """A folder for files that are not checked yet; it goes at the end, and gc knows whether it is still used."""
    staged = incoming / secrets.token_hex(8)
    try:
        make_folder(staged)
        mark = temporary(staged, "held")
        with mark.open("xb") as file:
            lock(file)
            yield staged
    except OSError as error:
        if is_full(error):
            raise StoreError(f"the disk of the feature store is full at {incoming}; nothing was imported") from error
        raise unwritable(incoming.parent, error) from error
    finally:
        _remove(staged)


def _take(folder: Path, file: Mapping[str, Any], path: Path) -> None:
    """Copy a file of the manifest, which must be as it says."""
    source = folder / file["name"]
    try:
        handle = os.open(source, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise StoreError(f"{source} is missing, and the manifest names it; nothing was imported") from None
    except OSError as error:
        raise StoreError(f"{source} cannot be read ({os.strerror(error.errno or 0)}); nothing was imported") from None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise StoreError(f"{source} is no file; nothing was imported")
        if facts.st_size != file["bytes"]:
            what = "truncated" if facts.st_size < file["bytes"] else "longer than it was"
            raise StoreError(f"{source} is {what}; nothing was imported, copy the folder again")
        if _copied(handle, path)[1] != file["sha256"]:
            raise StoreError(f"{source} is not as the manifest says; nothing was imported, copy the folder again")
    finally:
        os.close(handle)


def _copied(source: int, target: Path) -> tuple[int, str]:
    """Copy an open file to a new one, block by block; its bytes and sha256."""
    taken, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        while block := os.read(source, COPIED):
            taken.update(block)
            file.write(block)
            size += len(block)
        file.flush()
        os.fsync(file.fileno())
    return size, taken.hexdigest()


def _checked(path: Path, space: str, folder: Path) -> Shard:
    """A shard that was copied, every byte of it looked at."""
    what = None
    try:
        shard = load(path)
        shard.digests  # noqa: B018  checked now, kept by the shard
        names = [name for name in shard.columns if name != CONTENT]
        check_names({name: shard.columns[name].width for name in names})
        if shard.space != space:
            what = "it holds features of another key than the manifest's"
        for name in names:
            what = what or (None if shard.sound(name) else f"{name} is not as written")
            what = what or (None if _finite(shard, name) else f"{name} holds NaN or infinity")
    except (DamagedError, StoreError) as error:
        what = str(error)
    if what is not None:
        raise StoreError(f"{folder / path.name}: {what}; nothing was imported")
    return shard  # pyright: ignore[reportPossiblyUnboundVariable]


def _finite(shard: Shard, name: str) -> bool:
    for start in range(0, shard.n, COMPARED):
        block = np.empty((min(COMPARED, shard.n - start), shard.columns[name].width), np.float32)
        shard.read(name, start, block)
        if not np.isfinite(block).all():
            return False
    return True


def _clashes(space: Space, shards: Sequence[Shard], folder: Path) -> int:
    """How many of the items are stored here already; StoreError where one has another value or another width."""
    index = space.index()
    widths = {name: width for head in index.heads for name, (_, width) in head.forms.items()}
    known: list[np.ndarray] = []
    for shard in shards:
        for name, column in shard.columns.items():
            if widths.get(name, column.width) != column.width:
                raise StoreError(
                    f"{folder}: {name} has {column.width} numbers, and {widths[name]} here under the same key; "
                    "nothing was imported"
                )
        at = np.sort(next(iter(index.rounds(shard.digests)), (np.empty(0, np.int64),))[0])
        known.append(shard.digests[at])
        for name in [name for name in shard.columns if name != CONTENT and name in widths and len(at)]:
            texts = texts_of(shard.digests[at])
            lost = {texts[position] for position in space.missing(texts, [name])}
            both = at[[text not in lost for text in texts]]
            for start in range(0, len(both), COMPARED):
                rows = both[start : start + COMPARED]
                block = np.empty((int(rows[-1] - rows[0]) + 1, shard.columns[name].width), np.float32)
                shard.read(name, int(rows[0]), block)
                here = space.read(texts_of(shard.digests[rows]), name)
                odd = np.flatnonzero((block[rows - rows[0]] != here).any(axis=1))
                if len(odd):
                    raise StoreError(
                        f"{folder}: {name} of item {texts_of(shard.digests[rows[odd[:1]]])[0][:12]} has another value "
                        f"here ({len(odd)} of {len(rows)} compared), and what a run has read must not change; nothing "
                        "was imported; name an empty store in SLITLAMP_CACHE for it"
                    )
    return _distinct(known)


def _distinct(digests: Sequence[np.ndarray]) -> int:
    return Index(heads=[], digests=np.concatenate([np.empty((0, 32), np.uint8), *digests]), listing={}).items


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
