"""Networks in full size without their memory, and without the minutes that drawing their weights would take."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def on_meta() -> Iterator[None]:
    """Tensors that are made inside have shapes and no values; what would only fill them does nothing."""
    import torch

    with torch.device("meta"), unfilled("meta"):
        yield


@contextmanager
def unfilled(device: str = "cpu") -> Iterator[None]:
    """What is done in place to tensors of a device is left out: an untrained network is whatever memory held."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Unfilled(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "")
            fills = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
            if fills and args and isinstance(args[0], torch.Tensor) and args[0].device.type == device:
                return args[0]
            return func(*args, **(kwargs or {}))

    with Unfilled():
        yield
