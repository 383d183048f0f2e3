"""Maps of features in two dimensions: principal components, UMAP, and the view of a probe."""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from probes._base import ProbeError
from probes.embedding.neighbours import with_itself


def principal(x: np.ndarray, count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The first principal components of centred x [n, d]: coordinates [n, count] and their shares of the variance.

    The sign is fixed: of each direction the entry with the largest size is positive (the first of equal ones). What the
    features have too few dimensions for is 0.
    """
    n, d = x.shape
    if d <= n:
        value, vector = np.linalg.eigh(x.T @ x)
        direction = vector[:, ::-1][:, :count]
    else:
        value, vector = np.linalg.eigh(x @ x.T)
        direction = x.T @ vector[:, ::-1][:, :count]
        direction = direction / np.maximum(np.linalg.norm(direction, axis=0), 1e-300)
    size = np.round(np.abs(direction) / np.maximum(np.abs(direction).max(axis=0), 1e-300), 9)  # equal but for rounding
    sign = np.sign(direction[size.argmax(axis=0), np.arange(direction.shape[1])])
    found = np.zeros((n, count))
    found[:, : direction.shape[1]] = x @ (direction * np.where(sign == 0, 1, sign))
    whole = float(value.sum())
    share = np.zeros(count)
    held = np.clip(value[::-1][:count], 0, None)
    share[: len(held)] = held / whole if whole > 0 else 0
    found[:, share < 1e-12] = 0  # rounding, stretched over an axis, would look like a spread
    return found, share


def umap(
    x: np.ndarray,
    places: np.ndarray,
    distances: np.ndarray,
    *,
    seed: int = 0,
    min_dist: float = 0.1,
    epochs: int | None = None,
    first: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """UMAP (McInnes et al. 2018) of x [n, d] with the exact neighbours [n, k] of `neighbours`: float64 [n, 2].

    Seeded, so that the same features give the same map; every item is fitted, none is placed afterwards. `first` is
    called before the first fit of the process, for which numba compiles.

    Raises:
        ProbeError: n is too small for a map.
    """
    if len(x) < 5:
        raise ProbeError(f"{len(x)} items; a UMAP needs at least 5")
    if "umap.umap_" not in sys.modules:
        first()
    fitted = _library().UMAP(
        n_neighbors=places.shape[1] + 1,  # UMAP counts the item itself
        min_dist=min_dist, n_epochs=epochs, random_state=seed, n_jobs=1, metric="euclidean",
        precomputed_knn=(*_lists(places, distances), None),
        init="spectral" if len(x) > 10 else "random",  # whose solver needs more items than that
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scipy's solver on graphs in parts, which umap falls back from
        found = fitted.fit_transform(x.astype(np.float32))
    found = np.asarray(found, np.float64)
    if not np.isfinite(found).all():
        raise ProbeError("UMAP gave no finite map of these features")
    return found - found.mean(axis=0)


def _lists(places: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    whole, far = with_itself(places, distances)
    return whole.astype(np.int32), far.astype(np.float32)


def _library() -> Any:
    """umap-learn, which warns on import where TensorFlow is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import umap as library
    return library


def beside(value: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The view of a probe: held-out decision values [n] against what else the features show most, [n, 2].

    The second axis is the first principal component of centred x [n, d] once what is linear in the decision value is
    taken out of every feature, in standard deviations, so that the two axes are uncorrelated.
    """
    value = np.asarray(value, np.float64)
    line = value - value.mean()
    norm = float(line @ line)
    rest = x - np.outer(line, line @ x / norm) if norm > 0 else x
    other = principal(rest, 1)[0][:, 0]
    spread = float(other.std())
    return np.column_stack([value, other / spread if spread > 0 else other])
