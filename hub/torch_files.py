"""Weights in torch's own format, read without running what the file asks for."""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hub.errors import HubError, lacks, one_line

WRAPPED = ("state_dict", "model_state_dict")
HEADS = (b"PK", b"\x80\x02")  # of torch's zip, and of the pickle that it wrote before that
_REFUSED = re.compile(r"(?:GLOBAL|[Gg]lobal|class:?|function)\s+`?(?:<[\w-]+ )?([\w.]+)`?")


def state_dict(path: Path, who: str = "weights") -> dict[str, torch.Tensor]:
    """The tensors of a .pt, .pth or .bin file by name, mapped from disk where its format allows that.

    A zip that holds one such file is read in memory. What a training script wrapped around the tensors is taken
    off: `state_dict` or `model_state_dict`. A bare tensor is held under the empty name. NumPy scalars beside the
    tensors are let through, nothing else is.
    Raises HubError in one line for a file that is cut short, unsafe, or holds no tensors.
    """
    if not path.is_file():
        raise HubError(f"{who}: {path} is no file; give a weight file that torch wrote (.pt, .pth or .bin)")
    with path.open("rb") as file:
        if file.read(2) not in HEADS:
            raise HubError(f"{who}: {path} is not in the format of torch.save; fetch it again, or name another file")
    with one_line(who, str(path)), _safe(who, path):
        found: Any = torch.load(_source(path), map_location="cpu", weights_only=True, **_mapped(path))
    for key in WRAPPED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    found = {"": found} if isinstance(found, torch.Tensor) else found
    tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        raise HubError(f"{who}: {path} holds no tensors by name, so it is no checkpoint of this kind")
    return tensors


def below(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def required(state: Mapping[str, torch.Tensor], who: str, where: str, *names: str) -> None:
    """Refuse, in one line, tensors among which one of `names` lacks: sizes are read off these."""
    absent = [name for name in names if name not in state]
    if absent:
        raise lacks(who, absent, where)


def fill(module: Any, state: Mapping[str, torch.Tensor], who: str, where: str) -> Any:
    """`module` with every tensor of `state`; one that lacks, is left over or has another shape is an HubError."""
    with one_line(who, where):
        module.load_state_dict(dict(state), strict=True)
    return module


@contextmanager
def _safe(who: str, path: Path) -> Iterator[None]:
    from numpy._core.multiarray import scalar  # what a pickled number of NumPy's asks for, under either name

    allowed: list[Any] = [np.dtype, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    kinds = (np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_)
    try:
        with torch.serialization.safe_globals([*allowed, *(type(np.dtype(kind)) for kind in kinds)]):
            yield
    except Exception as error:
        if refused := _refused(str(error)):
            raise HubError(
                f"{who}: {path} asks to run {refused} when it is read, so it was not read: weights hold tensors only; "
                "save its state dict alone where you trust it, or fetch the published file"
            ) from error
        raise


def _refused(text: str) -> str | None:
    found = _REFUSED.search(text)
    return found[1] if found and "eights only" in text else None


def _mapped(path: Path) -> dict[str, bool]:
    return {"mmap": True} if _of_torch(path) else {}


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
        return io.BytesIO(archive.read(inside[0]))
