"""What `--data` names, as files: a folder, table, image or shards, on this disk, in a store or on the hub."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from hub.errors import HubError
from hub.objects import Found, ObjectError, Stores, is_url, shown
from hub.repository import Repository
from hub.snapshots import data_snapshot, listing, parse_repository, require_online
from tasks._base import DataError
from tasks.images.kinds import SUFFIXES, File, suffix
from tasks.sources.embedded import images
from tasks.sources.files import (
    MANIFESTS,
    NEVER,
    TEXTS,
    Listed,
    Names,
    is_there,
    listed,
    manifest_of,
    natural,
    walk,
)  # fmt: skip
from tasks.sources.remote import Addresses, Fetched, at, remote
from tasks.sources.shards import TAR, expanded, samples
from tasks.sources.table import (
    PARQUET,
    TABLES,
    held_images,
    image_column,
    other_images,
    read_table,
)  # fmt: skip

HUB = "hf://datasets/"
SPLIT = re.compile(r"(.+)-\d{5}-of-\d{5}")
HEAD = 132  # bytes by which a kind of image is known
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Files of a source, its printable name, sentences for the user, the table's columns, and what finds more files."""

    files: Sequence[Listed]
    name: str
    notes: Sequence[str] = ()
    columns: list[str] | None = None
    names: Names = field(default_factory=lambda: Names(Path()))


def resolved(spec: str, chosen: str | None, *, offline: bool = False) -> Resolved | None:
    """The files that a text names; None where it is a path that leads nowhere.

    `chosen` is the user's column of images, or the ending of a sample's. `offline` asks no hub; a store may lie in the
    same house. Raises DataError.
    """
    if spec.lower().startswith("file://"):
        spec = url2pathname(urlsplit(spec).path)
    if spec.startswith(HUB):
        return _on_hub(spec, chosen, offline=offline)
    try:
        if is_url(spec):
            return _in_store(spec, chosen, Stores())
    except HubError as error:
        raise DataError(f"{error}") from None
    if not spec.strip():
        return None
    path = Path(spec).expanduser()
    if not is_there(path):
        return _braced(spec, chosen)
    if path.is_dir():
        return _folder(path, spec, chosen)
    return _file(path, _typed(path), chosen)


def _file(path: Path, name: str, chosen: str | None) -> Resolved:
    names = Addresses(path.parent, Stores())
    if path.suffix.lower() in TABLES:
        return _table([path], name, chosen, names)
    if path.suffix.lower() == TAR or path.name.lower().endswith(PACKED):
        return _samples([path], name, chosen, names)
    return Resolved(files=[Listed(path=path, name=path.name)], name=_typed(path), names=names)


def _folder(path: Path, spec: str, chosen: str | None) -> Resolved:
    name, manifest = path.resolve().name, manifest_of(path)
    if manifest is not None:
        found = _file(manifest, f"{name}/{manifest.name}", chosen)
        note = f"the folder is read through its {manifest.name}"
        return Resolved(files=found.files, name=found.name, notes=[note, *found.notes], columns=found.columns,
                        names=found.names)  # fmt: skip
    files, passed, links = walk(path)
    names = Addresses(path, Stores())
    if not files and (passed.get(TAR) or passed.get(PARQUET[0])):
        shards = sorted((p for p in path.rglob("*") if p.suffix.lower() in (TAR, PARQUET[0]) and p.is_file()),
                        key=lambda p: natural(p.relative_to(path).as_posix()))  # fmt: skip
        return _shards(shards, name, chosen, names)
    notes = [*links]
    if passed:
        ends = ", ".join(f"{n} {end}" for end, n in sorted(passed.items()))
        notes.append(f"files that are no images were passed over: {ends}")
    if not files:
        raise DataError(f"the folder {spec!r} holds no image ({sum(passed.values())} other files)")
    return Resolved(files=files, name=name, notes=notes, names=names)


def _shards(shards: Sequence[Path | Fetched], name: str, chosen: str | None, names: Names) -> Resolved:
    """Tars or Parquet files as one source; DataError where there are both."""
    tars = [one for one in shards if suffix(one.name) == TAR]
    if tars and len(tars) < len(shards):
        raise DataError(f"{name} holds {len(tars)} .tar and {len(shards) - len(tars)} .parquet; name the one to use")
    return _samples(tars, name, chosen, names) if tars else _table(shards, name, chosen, names)


def _samples(shards: Sequence[Path | Fetched], name: str, chosen: str | None, names: Names) -> Resolved:
    files, notes, columns = samples(shards, chosen, name)
    return Resolved(files=files, name=name, notes=notes, columns=columns, names=names)


def _table(places: Sequence[Path | Fetched], name: str, chosen: str | None, names: Names) -> Resolved:
    """A table, or several Parquet files of the same columns, one after another; of those `split` is a column."""
    columns: list[str] = []
    table: list[dict[str, str]] = []
    inside: list[File | None] | None = []
    column = ""
    for number, place in enumerate(places):
        with at(place) as here:
            own, rows = read_table(here)
            held = held_images(here) if here.suffix.lower() in PARQUET else []
        if not any(own):
            raise DataError(f"{name} is empty; a manifest has a line of column names and a row for each image")
        if number and own != columns:
            raise DataError(f"{name}: {place.name} has other columns ({', '.join(own)[:80]}) than {places[0].name}")
        columns, column = own, image_column(own, chosen, name, held)
        found = images(place, column) if suffix(place.name) in PARQUET else None
        inside = None if found is None or inside is None else inside + found
        table += [row | _split(place, row) for row in rows]
    if not table:
        raise DataError(f"{name} has no rows")
    notes = [] if chosen else other_images(table, column)
    files, more = listed(table, column, names, name, inside)
    return Resolved(files=files, name=name, notes=notes + more, columns=[*table[0]], names=names)


def _split(place: Path | Fetched, row: Mapping[str, str]) -> dict[str, str]:
    """The split that the name of a shard tells, as in `train-00000-of-00005.parquet`."""
    found = SPLIT.fullmatch(PurePosixPath(place.name).stem)
    return {"split": found[1]} if found and "split" not in row else {}


def _typed(path: Path) -> str:
    """What reports call a file: its name with the folder's before it where that was typed, none of a whole path."""
    above = path.parent.name
    return path.name if path.is_absolute() or above in ("", "..") else f"{above}/{path.name}"


def _braced(spec: str, chosen: str | None) -> Resolved | None:
    """Shards whose names a name with braces stands for; None where there are no braces."""
    if "{" not in spec:
        return None
    paths = [Path(one).expanduser() for one in expanded(spec)]
    if len(paths) == 1:
        return None
    gone = [path.name for path in paths if not is_there(path)]
    if gone:
        raise DataError(f"{len(gone)} of {len(paths)} shards are not there, the first {gone[0]}")
    return _shards(paths, _typed(Path(spec).expanduser()), chosen, Addresses(paths[0].parent, Stores()))


# ---- in a store


def _in_store(url: str, chosen: str | None, stores: Stores) -> Resolved:
    """What an address names: a table, shards or an image by its ending, else a prefix. Raises DataError, HubError."""
    name, end = shown(url), suffix(shown(url).partition("?")[0].rstrip("/"))
    names = Addresses(_above(url), stores)
    if "{" in url and len(urls := expanded(url)) > 1:
        return _shards([remote(one, stores) for one in urls], name, chosen, names)
    if end in TABLES:
        return _table([remote(url, stores)], name, chosen, names)
    if end == TAR or shown(url).lower().endswith(PACKED):
        return _samples([remote(url, stores)], name, chosen, names)
    if end in SUFFIXES:
        one = remote(url, stores)
        return Resolved(files=[Listed(path=one, name=one.name)], name=name, names=names)
    return _prefix(url, name, chosen, stores)


def _above(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme in ("http", "https"):
        rest = rest.partition("#")[0].partition("?")[0]
        host, slash, path = rest.partition("/")
        rest = host + slash + unquote(path)
    return f"{scheme}://{rest.rstrip('/').rpartition('/')[0]}"


def _prefix(url: str, name: str, chosen: str | None, stores: Stores) -> Resolved:
    """The objects below a prefix, read as the files of a folder are."""
    names = Addresses(url.rstrip("/"), stores)
    found = sorted(
        (one for one in stores.list(url) if not any(p.startswith(".") or p == "__MACOSX" for p in one.name.split("/"))),
        key=lambda one: natural(one.name),
    )
    manifests = [one for one in found if one.name in MANIFESTS]
    if len(manifests) > 1:
        raise DataError(f"{name} holds {manifests[0].name} and {manifests[1].name}; name the one to use as --data")
    if manifests:
        told = f"{name.rstrip('/')}/{manifests[0].name}"
        table = _table([remote(manifests[0].url, stores)], told, chosen, names)
        note = f"the prefix is read through its {manifests[0].name}"
        return Resolved(files=table.files, name=told, notes=[note, *table.notes], columns=table.columns, names=names)
    kept, passed = [], Counter[str]()
    for one in found:
        if PurePosixPath(one.name).name.lower() in NEVER:
            continue
        if _is_image(one, stores):
            above = one.name.split("/")[:-1]
            columns = {"folder": above[0] if above else "", "parent": above[-1] if above else ""}
            kept.append(Listed(path=remote(one.url, stores, one.stamp), name=one.name, columns=columns))
        else:
            passed[suffix(one.name) or "no ending"] += 1
    if not kept and (passed[TAR] or passed[PARQUET[0]]):
        shards = [remote(one.url, stores) for one in found if suffix(one.name) in (TAR, PARQUET[0])]
        return _shards(shards, name, chosen, names)
    notes = []
    if passed:
        ends = ", ".join(f"{n} {end}" for end, n in sorted(passed.items()))
        notes.append(f"objects that are no images were passed over: {ends}")
    if not kept:
        raise DataError(f"{name} holds no image ({sum(passed.values())} other objects)")
    return Resolved(files=kept, name=name, notes=notes, names=names)


def _is_image(one: Found, stores: Stores) -> bool:
    """Whether an object is taken for an image: by its ending, else by its first bytes."""
    end = suffix(one.name)
    if end in SUFFIXES:
        return True
    if end in (*TEXTS, TAR) or one.name.lower().endswith((*PACKED, ".zip", ".gz")) or not one.size:
        return False
    from tasks.images.kinds import kind
    from tasks.sources.embedded import Beginning

    try:
        return kind(Beginning(PurePosixPath(one.name).name, stores.head(one.url, HEAD))) is not None
    except ObjectError:
        return True  # listed, so that it is met again as unreadable


# ---- on the hub


def _on_hub(spec: str, chosen: str | None, *, offline: bool) -> Resolved:
    """`hf://datasets/OWNER/NAME[@REVISION][/FOLDER]`: its Parquet files, else its tars, else its images."""
    repo, _, inside = _parts(spec.removeprefix(HUB))
    try:
        named, revision = parse_repository(repo)
        pin = f" --revision {revision}" if revision else ""
        remedy = (
            f"run `hf download --repo-type dataset {named}{pin} --local-dir PATH` where the hub can be reached, then "
            "say --data PATH"
        )
        repository = Repository(repo=named, revision=revision, kind="dataset", remedy=remedy)
        folder = data_snapshot(_with_patterns(repository, inside, offline=offline), offline=offline)
    except HubError as error:
        raise DataError(f"{HUB}{repo}: {error}") from error
    path = folder / inside if inside else folder
    if not path.is_dir():
        raise DataError(f"{HUB}{repo} holds no folder {inside!r}")
    found = _folder(path, spec, chosen)
    where = f"{HUB}{named}@{folder.name[:12]}" + (f"/{inside}" if inside else "")
    return Resolved(files=found.files, name=where, notes=found.notes, columns=found.columns, names=found.names)


def _parts(text: str) -> tuple[str, str, str]:
    owner, _, rest = text.partition("/")
    name, slash, inside = rest.partition("/")
    return f"{owner}/{name}", slash, inside.strip("/")


def _with_patterns(repository: Repository, inside: str, *, offline: bool) -> Repository:
    """The repository with what is wanted of it, by what it holds; as it is where it cannot be asked."""
    from dataclasses import replace

    try:
        require_online(repository, offline=offline)
    except HubError:
        return repository
    below = f"{inside}/" if inside else ""
    held = [name for name in listing(repository) if name.startswith(below)]
    for end in (PARQUET[0], TAR):
        if any(name.lower().endswith(end) for name in held):
            return replace(repository, patterns=tuple(sorted(n for n in held if n.lower().endswith(end))))
    return replace(repository, patterns=tuple(sorted(held)))
