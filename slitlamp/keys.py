"""Digests that name what a number rests on."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any


def digest(material: Any) -> str:
    """A sha256 over the canonical JSON of `material`."""
    text = json.dumps(material, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def array_digest(array: Any, dtype: Any = None) -> str:
    """A sha256 over the bytes of an array, as numbers of `dtype` however narrow they are held."""
    import numpy as np

    whole = hashlib.sha256()
    for row in array if np.ndim(array) > 1 else [array]:  # no second array of this size
        whole.update(np.ascontiguousarray(row, dtype=dtype).tobytes())
    return whole.hexdigest()


@cache
def code_digest(package: str) -> str:
    """A sha256 over every source file of a package's folder, sub-folders too: another code, another result."""
    home, whole = Path(package), hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        whole.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()
