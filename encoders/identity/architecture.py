"""The architecture of a name, built without memory, and what of a loaded network is not as it has it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any


def shapes(module: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter by its name."""
    return {name: tuple(value.shape) for name, value in module.named_parameters()}


def other_shapes(due: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What of the parameters of a network is not as the architecture that it is called has them."""
    if due == found:
        return []
    name = next(name for name in (*due, *found) if due.get(name) != found.get(name))
    pairs = [
        ("parameters", *(f"{sum(prod(shape) for shape in each.values()):,}" for each in (due, found))),
        (name, *(str(list(each[name])) if name in each else "not there" for each in (due, found))),
    ]
    return [f"{what}: the architecture says {a}, found is {b}" for what, a, b in pairs if a != b]


@contextmanager
def without_memory() -> Iterator[None]:
    """Networks that are built inside have shapes and no numbers."""
    import torch

    with torch.device("meta"):
        yield
