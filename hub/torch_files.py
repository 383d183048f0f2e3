"""Weights in torch's own format, read without running what the file asks for."""

import argparse
import io
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hub.contents import require_floats, require_merged
from hub.errors import HubError, missing_tensors, one_line, other_shapes, unexpected_tensors

WRAPPED = ("state_dict", "model_state_dict")
IN_MEMORY = 1 << 31  # bytes of a weight file in a zip that are held in memory; a bigger one is laid on disk
HEADS = (b"PK", b"\x80\x02")  # of torch's zip, and of the pickle that it wrote before that
_REFUSED = re.compile(r"(?:GLOBAL|[Gg]lobal|class:?|function)\s+`?(?:<[\w-]+ )?([\w.]+)`?")


def state_dict(path: Path, who: str = "weights", wrapped: Sequence[str] = WRAPPED) -> dict[str, torch.Tensor]:
    """The tensors of a .pt, .pth or .bin file by name, mapped from disk where its format allows that.

    A zip that holds one such file is unpacked. What a training script wrapped around the tensors is taken
    off: what lies under one of the keys `wrapped`. A bare tensor is held under the empty name. NumPy scalars and
    a Namespace of arguments beside the tensors are let through, nothing else is.
    Raises HubError in one line for a file that is cut short, unsafe, or holds no tensors.
    """
    found = opened(path, who)
    for key in wrapped:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    found = {"": found} if isinstance(found, torch.Tensor) else found
    tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        inside = [str(k) for k, v in found.items() if isinstance(v, Mapping)] if isinstance(found, Mapping) else []
        several = f" (it holds {', '.join(inside)}: save the one that you mean alone)" if inside else ""
        raise HubError(f"{who}: {path} holds no tensors by name{several}, so it is no checkpoint of this kind")
    return tensors


def opened(path: Path, who: str = "weights") -> Any:
    """What a file holds as torch saved it, its tensors mapped from disk where its format allows that.

    Raises HubError as `state_dict` does.
    """
    if not path.is_file():
        raise HubError(f"{who}: {path} is no file; give a weight file that torch wrote (.pt, .pth or .bin)")
    with path.open("rb") as file:
        if file.read(2) not in HEADS:
            raise HubError(f"{who}: {path} is not in the format of torch.save; fetch it again, or name another file")
    with one_line(who, str(path)), _safe(who, path):
        source = _source(path)
        mapped = {"mmap": True} if isinstance(source, Path) and _of_torch(source) else {}
        try:
            return torch.load(source, map_location="cpu", weights_only=True, **mapped)
        finally:
            if source is not path and isinstance(source, Path):
                source.unlink()  # what is mapped stays as long as it is used


def below(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def required(state: Mapping[str, torch.Tensor], who: str, where: str, *names: str) -> None:
    """Refuse, in one line, tensors without one of `names`: sizes are read off these."""
    absent = [name for name in names if name not in state]
    if absent:
        raise missing_tensors(who, absent, where)


def fill(module: Any, state: Mapping[str, torch.Tensor], who: str, where: str) -> Any:
    """`module` with every tensor of `state`; HubError where one lacks, is too many, of another shape, or quantised."""
    require_merged(state, f"{who}: {where}")
    built = module.state_dict()
    real = [name for name, value in built.items() if value.is_floating_point() and name in state]
    require_floats(((n, str(state[n].dtype).removeprefix("torch."), state[n].numel()) for n in real), who, where)
    other = [  # for a single number torch takes the first value of a vector
        name for name, value in built.items() if name in state and value.ndim and value.shape != state[name].shape
    ]
    with one_line(who, where):
        found = module.load_state_dict({n: v for n, v in state.items() if n not in other}, strict=False)
    if missing := [name for name in found.missing_keys if name not in other]:
        raise missing_tensors(who, missing, where)
    if other:
        raise other_shapes(who, [(name, state[name].shape, built[name].shape) for name in other], where)
    if found.unexpected_keys:
        raise unexpected_tensors(who, found.unexpected_keys, where)
    return module


@contextmanager
def _safe(who: str, path: Path) -> Iterator[None]:
    from numpy._core.multiarray import scalar  # what a pickled number of NumPy's asks for, under either name

    # beside the weights a training script often leaves its arguments, which hold values alone
    allowed: list[Any] = [
        argparse.Namespace,
        np.dtype,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]
    dtypes = (np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_)
    try:
        with torch.serialization.safe_globals([*allowed, *(type(np.dtype(dtype)) for dtype in dtypes)]):
            yield
    except Exception as error:
        refused = _REFUSED.search(str(error))
        if refused and "eights only" in str(error):
            raise HubError(
                f"{who}: {path} asks to run {refused[1]} when it is read, so it was not read: weights hold "
                "tensors only; save its state dict alone where you trust it, or fetch the published file"
            ) from error
        raise


def _of_torch(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())


def _source(path: Path) -> Any:
    """The file itself, or the one weight file in a zip."""
    if _of_torch(path) or not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        inside = [name for name in archive.namelist() if name.endswith((".bin", ".pt", ".pth"))]
        if len(inside) != 1:
            raise HubError(f"{path} holds {len(inside)} weight files ({', '.join(inside[:4])}); unpack one of them")
        size = archive.getinfo(inside[0]).file_size
        if size <= IN_MEMORY:
            return io.BytesIO(archive.read(inside[0]))
        return _unpacked(archive, inside[0], size, path)


def _unpacked(archive: zipfile.ZipFile, name: str, size: int, path: Path) -> Path:
    """A big file of a zip on disk, from where it is mapped; it is gone once nothing maps it any more."""
    folder = Path(tempfile.gettempdir())
    if (room := shutil.disk_usage(folder).free) < size:
        raise HubError(
            f"{path} unpacks to {size:,} bytes and {folder} has room for {room:,}: unpack it yourself and give "
            f"{Path(name).name}, or set TMPDIR to another disk"
        )
    with archive.open(name) as packed, tempfile.NamedTemporaryFile(dir=folder, suffix=".bin", delete=False) as file:
        shutil.copyfileobj(packed, file, 1 << 24)
    return Path(file.name)
