"""What every phantom shares: coordinates, fractal noise, smoothing, identities and numbered rows."""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from tasks._base import DataError, Picture, Row, Source


def digest(**what: Any) -> str:
    """A sha256 over named JSON values: equal exactly when every one of them is."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=8)
def axes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres x [1, size] and y [size, 1] in [-1, 1], x to the right and y down, read-only."""
    line = ((2 * np.arange(size, dtype=np.float32) + 1) / size - 1).astype(np.float32)
    line.flags.writeable = False
    return line[None, :], line[:, None]


@lru_cache(maxsize=64)
def _knots(size: int, knots: int) -> tuple[np.ndarray, np.ndarray]:
    """Which 4 of `knots` values make each of `size` points by cubic B-splines [4, size], and their weights."""
    at = np.linspace(0, knots - 1, size)
    which = np.clip(at.astype(int), 0, knots - 2) + np.arange(-1, 3)[:, None]
    far = np.abs(at - which)
    weight = np.where(far < 1, 2 / 3 - far**2 + far**3 / 2, np.clip(2 - far, 0, None) ** 3 / 6)
    weight = np.where((which >= 0) & (which < knots), weight, 0)
    return np.clip(which, 0, knots - 1), (weight / weight.sum(0)).astype(np.float32)


def stretched(values: np.ndarray, which: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sums of rows of `values` [k, m]: row which[j, i] times weight[j, i], over j, for each i: [size, m].

    Written without matrix products, whose rounding may change with the number of threads.
    """
    out = values[which[0]] * weight[0][:, None]
    for j in range(1, len(which)):
        out += values[which[j]] * weight[j][:, None]
    return out


def noise(rng: np.random.Generator, size: int, knots: tuple[int, ...], decay: float = 0.6) -> np.ndarray:
    """Smooth random field [size, size], float32, mean about 0 and deviation about 1.

    A sum of octaves: one grid of normal values per entry of `knots` (values per side), each octave
    `decay` times weaker than the one before.
    """
    out, power = np.zeros((size, size), np.float32), 0.0
    for octave, k in enumerate(knots):
        which, weight = _knots(size, k)
        grid = rng.standard_normal((k, k), np.float32) * np.float32(decay**octave)
        out += stretched(np.ascontiguousarray(stretched(grid, which, weight).T), which, weight)
        power += (decay**octave * float((weight**2).sum(0).mean())) ** 2
    out *= np.float32(1 / np.sqrt(power))
    return out


@lru_cache(maxsize=128)
def _taps(sigma: float) -> tuple[float, ...]:
    """Gaussian weights from the middle outwards, to three deviations; the whole kernel adds to 1."""
    half = np.exp(-0.5 * (np.arange(int(3 * sigma + 1.5)) / sigma) ** 2)
    return tuple((half / (2 * half.sum() - 1)).tolist())


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """The image [h, w] blurred by a Gaussian of `sigma` pixels (kept to 0.05), its border repeated."""
    middle, *taps = _taps(max(round(sigma * 20) / 20, 0.2))
    reach = len(taps)
    for _ in (0, 1):  # rows, then the columns of what is turned
        wide = np.pad(image, ((reach, reach), (0, 0)), mode="edge")
        n = len(image)
        out = wide[reach : reach + n] * middle
        for i, weight in enumerate(taps, 1):
            both = wide[reach - i : reach - i + n] + wide[reach + i : reach + i + n]
            both *= weight
            out += both
        image = np.ascontiguousarray(out.T)
    return image


def inside(distance: np.ndarray, width: float) -> np.ndarray:
    """1 where a signed distance is negative, 0 where positive, a ramp of `width` between."""
    out = distance / np.float32(width)
    np.subtract(np.float32(0.5), out, out=out)
    np.maximum(out, 0, out=out)
    return np.minimum(out, 1, out=out)


def chord(level: np.ndarray) -> np.ndarray:
    """sqrt(1 - level) where level < 1, else 0: half the chord of a ball at squared radius `level`."""
    out = np.float32(1) - level
    np.maximum(out, 0, out=out)
    return np.sqrt(out, out=out)


def bell(distance: np.ndarray) -> np.ndarray:
    """exp(-distance²), cut off before float32 runs into denormal numbers, which are slow."""
    out = distance * distance
    np.minimum(out, np.float32(30), out=out)
    np.negative(out, out=out)
    return np.exp(out, out=out)


def balanced(n: int, k: int, seed: int, code: int) -> np.ndarray:
    """Labels [n] in 0 … k-1: each block of k holds every label once, in an order drawn per block."""
    # the last number keeps these streams apart from those that draw patients and noise
    blocks = (np.random.default_rng([seed, block, code, 2]).permutation(k) for block in range(-(-n // k)))
    return np.concatenate([*blocks, np.zeros(0, np.int64)])[:n]


def told(value: object) -> str:
    """A parameter as a column shows it: numbers with four digits after the point."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def source(
    name: str,
    n: int,
    build: Callable[[int], tuple[Callable[[], np.ndarray], Mapping[str, Any], tuple]],
    **identity: Any,
) -> Source:
    """A synthetic source of n rows, one patient each; `build(i)` gives picture, columns and marks.

    `identity` must hold everything that determines the pixels besides the row's number.

    Raises:
        DataError: n is below 1.
    """
    if n < 1:
        raise DataError(f"{n} phantoms asked for; ask for at least 1")
    rows = []
    for i in range(n):
        read, columns, marks = build(i)
        rows.append(
            Row(
                id=f"{name}-{i:06d}",
                group=f"{name}-{i:06d}",
                picture=Picture(read=read, identity=digest(generator=name, row=i, **identity)),
                columns={key: told(value) for key, value in columns.items()},
                marks=marks,
            )
        )
    return Source(
        name=f"phantom:{name}",
        rows=tuple(rows),
        synthetic=True,
        licence="Apache-2.0",
        policy={"generator": name, **identity},
    )
