"""Who an encoder is without loading it: what its identity rested on when it was loaded, checked again.

A rerun that is answered from the feature store needs the card and the fingerprint only. Both are trusted
again where every file and version that they rested on is as it was; otherwise the encoder is loaded. A user's own
file says by its FILES what it rests on; one that declares none is loaded each time.

A file is as it was where the system's stamp of it is, and else where its sha256 is: a whole model's are tens of
gigabytes, and a rerun would spend its time on reading them. The stamp holds the time of the last change of the inode,
which no program sets. None is kept of a file that had changed a moment before: another change could leave it as it is.
"""

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, Input, Site, View
from encoders._registry import card as card_of
from encoders._registry import draw_of, split
from encoders.identity.fingerprint import FEATURES, digest, file_digest, versions
from hub.files import decisive

SCHEMA = 5
SETTLED = 3.0  # seconds after a change of which a file's stamp tells every later one: file systems count in up to two


def snapshot(spec: str, encoder: Encoder) -> dict[str, Any] | None:
    """What the identity of a loaded encoder rests on, as JSON; None where that is not known."""
    kind, rest = split(spec)
    inner = split(draw_of(rest)[0])[0] if kind == "random" else kind
    files = [path.absolute() for path in encoder.files]
    if not all(path.exists() for path in files) or (not files and (kind != "random" or inner == "file")):
        return None
    return {
        "schema": SCHEMA,
        "spec": spec,
        "dtype": encoder.dtype,
        "registered": digest(asdict(card_of(spec))),
        "card": asdict(encoder.card),
        "fingerprint": encoder.fingerprint,
        "network": encoder.module is not None,
        "files": [_described(path) for path in files],
        "decisive": decisive(files),
        "versions": versions(encoder.libraries),
        "python": platform.python_version(),
        "features": FEATURES,
    }


def recall(record: Mapping[str, Any]) -> tuple[Card, str] | None:
    """The card and fingerprint of a snapshot, or None where anything that they rest on has changed."""
    try:
        if record["schema"] != SCHEMA or record["features"] != FEATURES:
            return None
        if record["registered"] != digest(asdict(card_of(record["spec"]))):
            return None  # the project pins another commit by now
        if record["python"] != platform.python_version():
            return None
        if dict(record["versions"]) != versions(list(record["versions"])):
            return None
        if not all(_is_unchanged(entry) for entry in record["files"]):
            return None
        if dict(record["decisive"]) != decisive([Path(entry["path"]) for entry in record["files"]]):
            return None  # another file would be read by now
        return _card(record["card"]), str(record["fingerprint"])
    except (KeyError, TypeError, ValueError, OSError, metadata.PackageNotFoundError):
        return None


def _described(path: Path) -> dict[str, Any]:
    """A file by size, sha256 and the system's stamp of it; a folder by the names in it."""
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.name != "__pycache__")
        return {"path": str(path), "size": len(names), "sha256": digest(names), "stamp": None}
    stamp = _stamp(path)
    found = file_digest(path) if stamp is None else _digest_of(path, stamp)
    return {"path": str(path), "size": path.stat().st_size, "sha256": found, "stamp": stamp and list(stamp)}


def _is_unchanged(entry: Mapping[str, Any]) -> bool:
    """Whether a file or folder is as it was described; its bytes are read where its stamp does not tell."""
    path = Path(entry["path"])
    if entry["stamp"] is not None and tuple(entry["stamp"]) == _stamp(path):
        return True
    return {**_described(path), "stamp": None} == {**entry, "stamp": None}


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What any change of a file changes; None where it changed so lately that another change might not."""
    now = path.stat()
    if time.time() - max(now.st_mtime, now.st_ctime) < SETTLED:
        return None
    return (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)


@cache
def _digest_of(path: Path, _stamp: tuple[int, ...]) -> str:
    """The sha256 of a file of that stamp, read once in a process: all prompts of a whole model rest on one file."""
    return file_digest(path)


def _card(fields: Mapping[str, Any]) -> Card:
    """A card from JSON, where tuples have become lists."""
    sites = {name: _site(site) for name, site in fields["sites"].items()}
    spec = fields["input"]
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in (spec or {}).items()}
    return Card(**{**fields, "sites": sites, "input": Input(**plain) if spec else None})


def _site(fields: Mapping[str, Any]) -> Site:
    views = tuple(View(grid=tuple(v["grid"]), box=tuple(v["box"])) for v in fields["views"])
    return Site(**{**fields, "grid": tuple(fields["grid"]) if fields["grid"] else None, "views": views})
