"""Who an encoder is without loading it: what its identity rested on when it was loaded, checked again.

A rerun that is answered from the feature store needs the card and the fingerprint only. Both are trusted
again where every file and version that they rested on is as it was; otherwise the encoder is loaded. A user's own
file says by its FILES what it rests on; one that declares none is loaded each time.
"""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, Input, Site, View
from encoders._registry import card as card_of
from encoders._registry import draw_of, split
from encoders.identity.fingerprint import FEATURES, digest, file_digest, versions
from hub.files import decisive

SCHEMA = 4


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
        if any(_described(Path(entry["path"])) != dict(entry) for entry in record["files"]):
            return None
        if dict(record["decisive"]) != decisive([Path(entry["path"]) for entry in record["files"]]):
            return None  # another file would be read by now
        return _card(record["card"]), str(record["fingerprint"])
    except (KeyError, TypeError, ValueError, OSError, metadata.PackageNotFoundError):
        return None


def _described(path: Path) -> dict[str, Any]:
    """A file by size and sha256; a folder by the names in it."""
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.name != "__pycache__")
        return {"path": str(path), "size": len(names), "sha256": digest(names)}
    return {"path": str(path), "size": path.stat().st_size, "sha256": file_digest(path)}


def _card(fields: Mapping[str, Any]) -> Card:
    """A card from JSON, where tuples have become lists."""
    sites = {name: _site(site) for name, site in fields["sites"].items()}
    spec = fields["input"]
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in (spec or {}).items()}
    return Card(**{**fields, "sites": sites, "input": Input(**plain) if spec else None})


def _site(fields: Mapping[str, Any]) -> Site:
    views = tuple(View(grid=tuple(v["grid"]), box=tuple(v["box"])) for v in fields["views"])
    return Site(**{**fields, "grid": tuple(fields["grid"]) if fields["grid"] else None, "views": views})
