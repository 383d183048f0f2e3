"""Sources of phantoms: balanced labels, identities of pictures, and numbered rows of one patient each."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tasks._base import DataError, Mask, Picture, Row, Source


def digest(**what: Any) -> str:
    """A sha256 over named JSON values: equal exactly when every one of them is."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def balanced(n: int, k: int, seed: int, code: int) -> np.ndarray:
    """Labels [n] in 0 … k-1: each block of k holds every label once, in an order drawn per block."""
    # the last number keeps these streams apart from those that draw patients and noise
    blocks = (np.random.default_rng([seed, block, code, 2]).permutation(k) for block in range(-(-n // k)))
    return np.concatenate([*blocks, np.zeros(0, np.int64)])[:n]


def source(
    name: str,
    n: int,
    build: Callable[[int], tuple[Callable[[], np.ndarray], Mapping[str, Any], tuple, Mapping[str, Mask]]],
    **identity: Any,
) -> Source:
    """A synthetic source of n rows, one patient each; `build(i)` gives picture, columns, marks and regions.

    `identity` must hold everything that determines the pixels besides the row's number.

    Raises:
        DataError: n is below 1.
    """
    if n < 1:
        raise DataError(f"{n} phantoms asked for; ask for at least 1")
    rows = []
    for i in range(n):
        read, columns, marks, regions = build(i)
        rows.append(
            Row(
                id=f"{name}-{i:06d}",
                group=f"{name}-{i:06d}",
                picture=Picture(read=read, identity=digest(generator=name, row=i, **identity)),
                columns={k: f"{v:.4f}" if isinstance(v, float) else str(v) for k, v in columns.items()},
                marks=marks,
                regions=regions,
            )
        )
    return Source(
        name=f"phantom:{name}",
        rows=tuple(rows),
        synthetic=True,
        licence="Apache-2.0",
        policy={"generator": name, **identity},
    )
