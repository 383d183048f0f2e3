"""Tensors of a big checkpoint that are wanted: fetched without the rest, and read from the files that hold them."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hub.contents import require_floats, require_merged
from hub.errors import HubError, missing_tensors, one_line
from hub.files import FORMS, INDEX, PARTIAL, shards_of
from hub.partial import THREADS, download_tensors, layout, remote
from hub.ranges import NoRangesError
from hub.repository import Repository, folder_of, hub_errors
from hub.safetensors_header import Entry, Header, local
from hub.snapshots import download, listing, require_online

if TYPE_CHECKING:
    import torch

Keep = Callable[[str], bool]


def fetch(
    repo: str,
    revision: str | None,
    keep: Keep,
    needed: Sequence[str],
    others: Sequence[str] = (),
    offline: bool = False,
) -> tuple[Path, str]:
    """The folder of a snapshot that holds at least the tensors that `keep(name)` wants, and its 40-hex commit.

    Beside the files `needed`, and what matches `others`, one file `vision-….safetensors` holds exactly those
    tensors, brought by byte range; where the server gives no ranges, or the weights are torch's, the whole
    files that hold any of them. What is on this machine already is used without asking the network.
    Raises HubError in one line.
    """
    repository = Repository(repo=repo, revision=revision)
    folder, state = folder_of(repository), "is not on this machine"
    if folder:
        absent = [name for name in needed if not (folder / name).exists()]
        try:
            _files_of(folder, keep)
        except HubError as error:
            absent += [str(error), *(f"{path.name} is half fetched" for path in sorted(folder.glob("*.incomplete")))]
        if not absent:
            return folder, folder.name
        state = f"is on this machine only in part (wanting: {'; '.join(absent)})"
    require_online(repository, offline=offline, state=state)
    held = listing(repository)
    form = next((name for name in FORMS if name in held), "")
    absent = [name for name in needed if name not in held] + ([] if form else [" or ".join(FORMS)])
    if absent:
        raise HubError(f"{repository} holds no {', '.join(absent)}; name a revision that does, or pass --weights PATH")
    folder, commit = download(repository, [*needed, *others, *([form] if form.endswith(INDEX) else [])])
    _download_weights(replace(repository, revision=commit), folder, form, keep)
    return folder, commit


def _files_of(folder: Path, keep: Keep) -> dict[Path, list[str]]:
    """Which file of a folder holds which of the wanted tensors; [] for a file that does not say before it is read.

    Raises HubError naming the file that is not there, if a wanted tensor lies in it.
    """
    for file in sorted(folder.glob(f"vision-{'[0-9a-f]' * 8}.safetensors")):
        head = local(file)
        omitted = head.metadata.get("left")  # written by a partial download, and in no other file
        if omitted is not None and not any(keep(name) for name in omitted.split("\n") if name):
            return {file: wanted_names(head.entries, keep, file)}
    form = next((folder / name for name in FORMS if (folder / name).is_file()), None)
    if form is None:
        raise HubError(f"{folder} has none of {', '.join(FORMS)}")
    if not form.name.endswith(INDEX):
        return {form: wanted_names(local(form).entries, keep, form) if form.suffix == ".safetensors" else []}
    placed: dict[Path, list[str]] = {}
    index = index_of(form, beside=True)
    for name in wanted_names(index, keep, form):
        other = index[name].startswith("../")
        file = folder.absolute().parent / index[name].removeprefix("../") if other else folder / index[name]
        placed.setdefault(file, []).append(name)
    for file, names in placed.items():
        if not file.is_file():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise HubError(f"{folder} has no {file.name}, where {form.name} places {names[0]}{more}")
    return placed


def files_read(folder: Path, keep: Keep) -> tuple[Path, ...]:
    """The files of a folder that `tensors` reads, with the index that names them."""
    placed = tuple(_files_of(folder, keep))
    form = next((folder / name for name in FORMS if (folder / name).is_file()), folder)
    partial = any(file.match(PARTIAL) for file in placed)
    return placed if partial or not form.name.endswith(INDEX) else (form, *placed)


def index_of(path: Path, *, beside: bool = False) -> dict[str, str]:
    """The file of every tensor, by an index; none may lie outside the folder.

    With `beside` one may be written ../OTHER/FILE where OTHER is a checkpoint's folder beside this one: variants of
    a model that differ in part share the rest. Of a hub nothing is fetched by such a name.
    """
    placed = shards_of(path)
    for file in set(placed.values()):
        shared = beside and re.fullmatch(r"\.\./\w[\w.-]*/\w[\w.-]*", file)
        if not shared and Path(file).name != file:
            raise HubError(f"{path} places tensors in {file!r}, which is no file beside it")
    return placed


def wanted_names(names: Iterable[str], keep: Keep, where: Path) -> list[str]:
    """Those of `names` that are wanted; HubError naming `where` if none is."""
    every = list(names)
    kept = [name for name in every if keep(name)]
    if not kept:
        first = f" (its first is {every[0]})" if every else ""
        raise HubError(f"{where} holds no tensor of those that are read{first}; these are another model's weights")
    return kept


def tensors(folder: Path, keep: Keep) -> dict[str, "torch.Tensor"]:
    """The tensors that `keep(name)` wants, by name, from a fetched folder or a local copy of a checkpoint.

    Read are model.safetensors, its shards by their index, or the same in torch's format, and of the shards only
    those that hold a wanted tensor. The tensors are mapped from disk: no byte is read before it is used.
    Raises HubError in one line.
    """
    found: dict[str, torch.Tensor] = {}
    for file, names in _files_of(folder, keep).items():
        found |= _pickled(file, names, keep) if file.suffix == ".bin" else _mapped(file, names)
    return found


def floats(folder: Path, keep: Keep, adapters: bool = False) -> dict[str, "torch.Tensor"]:
    """The same tensors; HubError where one is of integers or of 8 bits, or, unless `adapters` are read, of one."""
    found = tensors(folder, keep)
    if not adapters:
        require_merged(found, str(folder))
    require_floats(
        ((n, str(v.dtype).removeprefix("torch."), v.numel()) for n, v in found.items()), "weights", str(folder)
    )
    return found


def _mapped(file: Path, names: Sequence[str]) -> dict[str, "torch.Tensor"]:
    from safetensors import safe_open

    with one_line("weights", str(file)):
        file.open("rb").close()  # the library calls a file that may not be read one that is not there
    with one_line("weights", str(file)), safe_open(file, framework="pt") as opened:
        _require_names(names, set(opened.keys()), file)
        return {name: opened.get_tensor(name) for name in names}


def _pickled(file: Path, names: Sequence[str], keep: Keep) -> dict[str, "torch.Tensor"]:
    from hub.torch_files import state_dict

    state = state_dict(file)
    _require_names(names, state.keys(), file)
    return {name: state[name] for name in names or wanted_names(state, keep, file)}


def _require_names(names: Sequence[str], held: Collection[str], file: Path) -> None:
    absent = [name for name in names if name not in held]
    if absent:
        raise missing_tensors("weights", absent, str(file))


def _download_weights(repository: Repository, folder: Path, form: str, keep: Keep) -> None:
    """Download what is wanted into a snapshot's folder: its tensors alone, or the files that hold any of them."""
    index = index_of(folder / form) if form.endswith(INDEX) else {}
    files = sorted({index[name] for name in wanted_names(index, keep, folder / form)}) if index else [form]
    if "safetensors" in form:
        with hub_errors(repository):
            if _download_ranges(repository, folder, form, keep, index, files):
                return
    download(repository, files)


def _download_ranges(
    repository: Repository, folder: Path, form: str, keep: Keep, index: Mapping[str, str], files: Sequence[str]
) -> bool:
    """Download the wanted tensors of `files` by byte range; False where the server gives none."""
    from huggingface_hub.utils import WeakFileLock

    try:
        part = part_of(repository, form, keep, index, files, folder)
        path = folder / part.name
        lock = folder.parents[2] / ".locks" / folder.parents[1].name / f"{folder.name}-{path.name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if not path.exists():
                download_tensors(repository, part.heads, part.kept, part.omitted, path)
    except NoRangesError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Part:
    """Tensors `kept` of a checkpoint's files, without those `omitted`; `name` is that of the file that holds them."""

    heads: Mapping[str, Header]
    kept: Sequence[Entry]
    omitted: Sequence[str]
    name: str

    @property
    def size(self) -> int:
        """Bytes of that file."""
        head, pieces = layout(self.kept, self.omitted)
        return len(head) + sum(piece.length for piece in pieces)


def part_of(
    repository: Repository, form: str, keep: Keep, index: Mapping[str, str], files: Sequence[str], folder: Path
) -> Part:
    """The tensors of `files` that are wanted, from the headers of these files; `folder` is named in errors."""
    with ThreadPoolExecutor(THREADS) as pool:
        heads = dict(zip(files, pool.map(lambda file: remote(repository, file), files), strict=True))
    placed = index or dict.fromkeys(heads[form].entries, form)
    names = wanted_names(placed, keep, folder / form)
    for file in files:
        _require_names([name for name in names if placed[name] == file], heads[file].entries.keys(), folder / file)
    mark = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:8]
    return Part(
        heads=heads,
        kept=[heads[placed[name]].entries[name] for name in names],
        omitted=[name for name in placed if not keep(name)],
        name=f"vision-{mark}.safetensors",
    )
