"""Names under which arrays are stored: digests of everything that determines them, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cache.errors import StoreError


def canonical(material: Mapping[str, Any]) -> str:
    """One JSON text for one material: keys sorted, no spaces, no NaN, and no key that is not a string.

    >>> canonical({"b": (1, 2), "a": None})
    '{"a":null,"b":[1,2]}'
    """
    _refuse_other_keys(material)
    try:
        return json.dumps(material, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"a key holds what JSON cannot write ({error}); give numbers, strings, lists, maps") from None


def _refuse_other_keys(value: Any) -> None:
    # JSON would write the keys 1 and "1" alike
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise StoreError(f"a key holds a map with the key {name!r}, which is not a string")
            _refuse_other_keys(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            _refuse_other_keys(inner)


def digest(material: Mapping[str, Any]) -> str:
    """The sha256 of the canonical JSON of `material`."""
    return hashlib.sha256(canonical(material).encode()).hexdigest()


def content_digest(array: np.ndarray) -> str:
    """The sha256 over shape, dtype and bytes of an image's decoded pixels.

    The shape is part of it: a 6 × 4 and a 4 × 6 image may hold the same bytes.
    Memory layout and byte order are not.
    """
    if array.dtype.hasobject:
        raise StoreError(f"an array of {array.dtype} has no bytes of its own to digest; give numbers")
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    taken = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    taken.update(array.reshape(-1).view(np.uint8).data)
    return taken.hexdigest()
