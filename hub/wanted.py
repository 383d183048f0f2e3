"""What of a repository a checkpoint is made of: its size before it is fetched, and the fetch into a folder.

A folder made here holds plain files, no links, and the tensors that are wanted of a big checkpoint alone, so that it
can be carried to a machine without a network. What was whole on the hub is held against the hash that the hub states;
SHA256SUMS says what every file should be once it has been carried.
"""

import fnmatch
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hub.errors import HubError
from hub.files import FORMS, INDEX, Needed, lacking, shard_names
from hub.partial import download_tensors
from hub.ranges import NoRangesError
from hub.repository import Repository, hub_errors
from hub.snapshots import PATIENCE, described, downloading, require_online
from hub.tensors import Keep, Part, index_of, part_of, wanted_names

SUMS, NOTE = "SHA256SUMS", "fetched.json"  # what each file should be, and of which commit it is


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Files of a repository: the first of `weights` that it has, those `needed` beside it, what matches `others`.

    With `keep` of the weights the tensors of those names alone. `place` is the folder inside that of the encoder into
    which they are laid.
    """

    repo: str
    revision: str | None = None
    kind: str = "model"
    weights: tuple[str, ...] = FORMS
    needed: tuple[Needed, ...] = ()
    others: tuple[str, ...] = ()
    keep: Keep | None = None
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that is brought: its bytes, and its hash as the hub states it ("" where it states none)."""

    name: str
    size: int
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be brought of a repository at a commit; `part` are the tensors that are brought without the rest."""

    repository: Repository
    place: str
    files: tuple[File, ...]
    part: Part | None = None

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)

    def path(self, file: File) -> str:
        """Where a file is laid, inside the folder of the encoder."""
        return f"{self.place}/{file.name}" if self.place else file.name


def planned(wanted: Wanted) -> Plan:
    """What the hub has of what is wanted, at the commit that the revision stands for; no weights are fetched.

    Raises HubError in one line.
    """
    repository = Repository(repo=wanted.repo, revision=wanted.revision, kind=wanted.kind)
    require_online(repository, offline=False)
    commit, every = _listed(repository)
    repository = replace(repository, revision=commit)
    form = next((name for name in wanted.weights if name in every), None)
    absent = lacking(every.__contains__, [*wanted.needed, wanted.weights])
    if absent or form is None:
        raise HubError(f"{repository} holds no {', '.join(absent)}; name a revision that does")
    beside = {name for one in wanted.needed for name in ((one,) if isinstance(one, str) else one) if name in every}
    beside |= {name for name in every for pattern in wanted.others if fnmatch.fnmatch(name, pattern)}
    part, heavy = _heavy(repository, form, wanted.keep)
    files = [every[name] for name in sorted(beside - set(heavy))] + [every[name] for name in heavy]
    if part is not None:
        files.append(File(name=part.name, size=part.size))
    return Plan(repository=repository, place=wanted.place, files=tuple(files), part=part)


def _listed(repository: Repository) -> tuple[str, dict[str, File]]:
    """The commit, and every file of the repository with its size and hash."""
    info = described(repository, files=True)
    found = {}
    for entry in info.siblings or []:
        stated = getattr(entry, "lfs", None)
        digest = f"sha256:{stated.sha256}" if stated else f"git:{entry.blob_id}" if entry.blob_id else ""
        found[entry.rfilename] = File(name=entry.rfilename, size=int(entry.size or 0), digest=digest)
    return str(info.sha), found


def _heavy(repository: Repository, form: str, keep: Keep | None) -> tuple[Part | None, list[str]]:
    """The tensors that are brought alone, and the names of the weight files that are brought whole."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / form
        if form.endswith(INDEX):
            _download(repository, form, Path(scratch))
        if keep is None:
            return None, [form, *(shard_names(place) if form.endswith(INDEX) else ())]
        index = index_of(place) if form.endswith(INDEX) else {}
        files = sorted({index[name] for name in wanted_names(index, keep, Path(form))}) if index else [form]
    if "safetensors" in form:
        with hub_errors(repository):
            try:
                return part_of(repository, form, keep, index, files, Path(form)), []
            except NoRangesError:
                pass
    return None, [*files, *([form] if index else [])]


def _download(repository: Repository, name: str, folder: Path) -> None:
    """One file by the client's own download, which goes on where it was cut."""
    import huggingface_hub as hub
    from huggingface_hub import constants

    with downloading(repository):
        hub.hf_hub_download(
            repository.repo, name, repo_type=repository.kind, revision=repository.revision, local_dir=folder,
            etag_timeout=PATIENCE * 5, endpoint=constants.ENDPOINT,
        )  # fmt: skip


def bring(plans: Sequence[Plan], folder: Path, said: Callable[[str, int, str], None]) -> None:
    """Lay what was planned into `folder`, going on where an earlier try was cut; what is whole there stays.

    `said(name, bytes, how)` is told of every file: its path in the folder, and how it was held against the hub.
    Raises HubError where a file comes with another hash than the hub states, or the disk has no room.
    """
    noted = _sums(folder, plans)
    every = [(plan, file) for plan in plans for file in plan.files]
    sums = {plan.path(file): _whole(folder / plan.path(file), file, noted.get(plan.path(file))) for plan, file in every}
    left = sum(file.size for plan, file in every if not sums[plan.path(file)])
    room = shutil.disk_usage(next(p for p in (folder, *folder.absolute().parents) if p.exists())).free
    if left > room:
        raise HubError(f"{folder}: {left:,} bytes are to be fetched, and the disk has {room:,}; give another --out")
    known = noted | {name: found for name, found in sums.items() if found}
    for plan in plans:
        place = folder / plan.place
        place.mkdir(parents=True, exist_ok=True)
        for file in plan.files:
            name = plan.path(file)
            known[name] = sums[name] or _one(plan, file, place)
            _write_sums(folder, known)  # after each: what was whole before a cut is not fetched again
            said(name, file.size, "was there already, " * bool(sums[name]) + _verified(file))
        shutil.rmtree(place / ".cache", ignore_errors=True)


def _verified(file: File) -> str:
    if file.digest:
        return f"{'SHA-256' if file.digest.startswith('sha256') else 'git hash'} as the hub states"
    return "its tensors alone, by byte range" if file.name.startswith("vision-") else "the hub states no hash"


def _one(plan: Plan, file: File, place: Path) -> str:
    """Fetch one file; returns its SHA-256."""
    path = place / file.name
    if plan.part is not None and file.name == plan.part.name:
        with hub_errors(plan.repository):
            download_tensors(plan.repository, plan.part.heads, plan.part.kept, plan.part.omitted, path)
    else:
        _download(plan.repository, file.name, place)
    sha256 = _sha256(path)
    if not _as_stated(path, file.digest, sha256):
        path.unlink()
        shutil.rmtree(place / ".cache", ignore_errors=True)
        raise HubError(
            f"{plan.repository}: {file.name} came with another hash than the hub states ({file.digest}); it is "
            "removed: fetch it again"
        )
    return sha256


def _whole(path: Path, file: File, noted: str | None) -> str:
    """The SHA-256 of a file that lies there whole, by the hub's hash or by an earlier fetch's note; "" of any other."""
    if not path.is_file() or path.stat().st_size != file.size:
        return ""
    sha256 = _sha256(path)
    whole = _as_stated(path, file.digest, sha256) if file.digest else sha256 == noted
    return sha256 if whole else ""


def _as_stated(path: Path, stated: str, sha256: str) -> bool:
    """Whether a file has the hash that the hub states: SHA-256, or git's of a blob; "" states none."""
    kind, _, digest = stated.partition(":")
    return not stated or digest == (sha256 if kind == "sha256" else _git(path))


def _git(path: Path) -> str:
    found = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as opened:
        while piece := opened.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sums(folder: Path, plans: Sequence[Plan]) -> dict[str, str]:
    """What an earlier fetch of the same commits noted, by file."""
    note, now = folder / NOTE, {plan.place or ".": str(plan.repository) for plan in plans}
    before = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else None
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    if before != now:
        return {}
    path = folder / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {line[66:]: line[:64] for line in lines if line[64:66] == "  "}


def _write_sums(folder: Path, known: dict[str, str]) -> None:
    """In the form that `sha256sum -c` reads."""
    text = "".join(f"{known[name]}  {name}\n" for name in sorted(known))
    (folder / SUMS).write_text(text, encoding="utf-8")
