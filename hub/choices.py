"""Which weights are read, where a file holds several states or a folder several files; what they hold is checked."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from hub.contents import require_floats, require_merged
from hub.errors import HubError
from hub.files import shards_of
from hub.safetensors_header import local
from hub.torch_files import opened, state_dict


def require_plain(who: str, files: Sequence[Path], order: Sequence[str] = ()) -> str:
    """Refuse weight files that hold an adapter or quantised tensors; which state is read where a file holds several.

    `order` are the keys under which the loader looks for a state dict. "" where there is but one. A file that cannot be
    read here is left to the library's own words.
    """
    said = []
    for path in files:
        tensors = list(_described(path, order))
        where = f"{who}: {path}"
        require_merged((name for name, _, _ in tensors), where)
        require_floats(tensors, who, str(path))
        if path.suffix != ".safetensors":
            said.append(which_state(path, order))
    return "; ".join(line for line in said if line)


def _described(path: Path, order: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    if path.suffix == ".json":
        return
    if path.suffix == ".safetensors":
        try:
            entries = local(path).entries.values()
        except (HubError, OSError):
            return
        yield from ((one.name, one.dtype, prod(one.shape)) for one in entries)
        return
    found = _raw(path)
    _, state = _chosen(found, order)
    for name, value in state.items():
        if hasattr(value, "numel"):
            yield str(name), str(value.dtype).removeprefix("torch."), int(value.numel())


def which_state(path: Path, order: Sequence[str]) -> str:
    """Which state dict of a file is read, where it holds more than one: "read state_dict_ema of …"; else ""."""
    if path.suffix == ".safetensors":
        return ""
    return _which(_raw(path), order, path)


def _which(found: Any, order: Sequence[str], path: Path) -> str:
    states = _states(found)
    key, _ = _chosen(found, order)
    if len(states) < 2 or not key:
        return ""
    return f"{path.name} holds {len(states)} states ({', '.join(states)}); read was {key}"


def _states(found: Any) -> dict[str, Any]:
    """The state dicts of a file by their keys."""
    if not isinstance(found, Mapping):
        return {}
    return {
        str(key): value
        for key, value in found.items()
        if isinstance(value, Mapping) and any(hasattr(one, "numel") for one in value.values())
    }


def _chosen(found: Any, order: Sequence[str]) -> tuple[str, Mapping[Any, Any]]:
    """The key under which a loader finds its tensors, and the tensors; the file itself where it has no such key."""
    states = _states(found)
    key = next((key for key in order if key in states), "")
    return key, states[key] if key else found if isinstance(found, Mapping) else {}


def _raw(path: Path) -> Any:
    try:
        return opened(path)
    except Exception:  # whatever is wrong with it is said by the library that reads it
        return None


def others_beside(read: Path, order: Sequence[str]) -> str:
    """Which file was read, where another one that the loader could read lies beside it and holds other numbers."""
    others = [read.parent / name for name in order if name != read.name and (read.parent / name).is_file()]
    mine = _tensors(read) if others else None
    differ = [path.name for path in others if not _equal(mine, _tensors(path))]
    return f"{read.name} was read; {' and '.join(differ)} beside it hold other numbers" if differ else ""


def _tensors(path: Path) -> Mapping[str, Any] | None:
    """The tensors of a file, or of the shards behind an index, mapped from disk; None where they cannot be read."""
    try:
        if path.name.endswith(".index.json"):
            files = sorted(set(shards_of(path).values()))
            parts = [_tensors(path.parent / name) for name in files]
            return None if None in parts else {k: v for part in parts if part for k, v in part.items()}
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return state_dict(path)
    except Exception:
        return None


def _equal(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> bool:
    """Whether two files hold the same; so is said of one that cannot be read, or that spells every name otherwise."""
    import torch

    if a is None or b is None or not a.keys() & b.keys():
        return True
    if a.keys() != b.keys():
        return False
    return all(a[name].shape == b[name].shape and torch.equal(a[name], b[name].to(a[name].dtype)) for name in a)
