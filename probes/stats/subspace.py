"""The directions in which images of a kind vary, estimated from unlabelled images with their held-out share."""

from dataclasses import dataclass

import numpy as np

from probes.solvers.scale import inverse_scale

HELD = 0.90  # share of the images' variance that a claim of absence must have searched
_DEAD = 1e-3  # of the median sd: such columns would turn an invisible shift into the label itself


@dataclass(frozen=True, kw_only=True, eq=False)
class Subspace:
    """Directions in which images of the kind vary, and how much.

    scale [d] multiplies columns, once, before and never after planting (0 drops one); directions [d, k]
    orthonormal in scaled features; variance [k] along them in images that did not choose them; `held` the
    share of all variance they carry there; `images` that would be needed for 90 %, None where reached.
    """

    scale: np.ndarray
    directions: np.ndarray
    variance: np.ndarray
    held: float
    images: int | None = None


def subspace(pool: np.ndarray, groups: np.ndarray | None = None, *, seed: int = 0) -> Subspace:
    """The leading directions of unlabelled images, as many as their number supports: a fifth of it.

    Copies and films of one patient count for what they add: the design effect, from the share of variance
    between groups. Variances and their share come from a fifth of the groups that took no part in finding
    the directions; in-sample they would be too large, and a planting stronger than it says.
    """
    sd = np.asarray(pool, dtype=np.float64).std(axis=0)
    scale = inverse_scale(sd, np.abs(pool).max(axis=0), dead=_DEAD)
    if not (scale > 0).any():  # nothing varies between the images: there is no direction to search
        return Subspace(scale=scale, directions=np.zeros((pool.shape[1], 0)), variance=np.zeros(0), held=0.0)
    wide = (pool * scale)[:, scale > 0]
    group = np.arange(len(pool)) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    worth = _effective(wide, group)
    k = max(1, min(wide.shape[1], int(worth / 5)))
    full, value = _leading(wide - wide.mean(axis=0), k)
    ratio, held = _held_out_variance(wide, group, k, np.random.default_rng([seed, 81]))
    directions = np.zeros((pool.shape[1], full.shape[1]))
    directions[scale > 0] = full
    variance = value * ratio[: len(value)]
    short = held < HELD and k < wide.shape[1]
    return Subspace(
        scale=scale,
        directions=directions,
        variance=variance,
        held=held,
        images=_images_needed(variance, held, wide.shape[1], len(pool) / worth) if short else None,
    )


def _effective(wide: np.ndarray, group: np.ndarray) -> float:
    """How many independent images the pool is worth: N / (1 + (m - 1) rho), rho the intra-group correlation."""
    n, sizes = len(wide), np.bincount(group)
    count = len(sizes)
    if count == n or count < 2:
        return float(count)
    means = np.zeros((count, wide.shape[1]))
    np.add.at(means, group, wide)
    means /= sizes[:, None]
    between = (sizes[:, None] * np.square(means - wide.mean(axis=0))).sum() / (count - 1)
    within = np.square(wide - means[group]).sum() / (n - count)
    typical = (n - np.square(sizes).sum() / n) / (count - 1)
    whole = between + (typical - 1) * within
    rho = min(1.0, max(0.0, (between - within) / whole)) if whole > 0 else 1.0
    return n / (1 + (np.square(sizes).sum() / n - 1) * rho)


def _leading(centred: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k leading principal directions [d, k] and the variance along each."""
    import scipy.linalg

    n, d = centred.shape
    small = centred @ centred.T if n < d else centred.T @ centred
    low = max(0, len(small) - k)
    value, vector = scipy.linalg.eigh(small, subset_by_index=[low, len(small) - 1], check_finite=False)
    keep = value > 1e-10 * max(float(value[-1]), 1e-300)
    value, vector = value[keep][::-1], vector[:, keep][:, ::-1]
    if n < d:
        vector = (centred.T @ vector) / np.sqrt(value)
    return vector, value / max(1, n - 1)


def _held_out_variance(
    wide: np.ndarray, group: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Variance in unseen images over that in the images that chose the directions, smoothed; and its share."""
    order = rng.permutation(int(group.max()) + 1)
    unseen = np.isin(group, order[: max(1, len(order) // 5)])
    if unseen.all() or (~unseen).sum() < 3:
        return np.ones(k), 0.0
    mean = wide[~unseen].mean(axis=0)
    directions, value = _leading(wide[~unseen] - mean, k)
    centred = wide[unseen] - mean
    along = np.square(centred @ directions).mean(axis=0)
    ratio = np.ones(k)
    for block in np.array_split(np.arange(len(value)), min(10, len(value))):
        ratio[block] = along[block].sum() / value[block].sum()
    ratio[len(value) :] = ratio[len(value) - 1] if len(value) else 1.0
    return np.clip(ratio, 1e-3, 1.0), float(along.sum() / np.square(centred).sum(axis=1).mean())


def _images_needed(variance: np.ndarray, held: float, width: int, copies: float) -> int:
    """Images that would reach 90 %: the missing share laid out as a power law beyond the last direction."""
    k = len(variance)
    missing = variance.sum() / max(held, 1e-6) * (1 - held)
    last = variance[-max(1, k // 10) :].mean()
    beyond = np.arange(k + 1, width + 1) / k
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if last * (beyond**-middle).sum() > missing else (low, middle)
    tail = beyond**-low
    reached = held + (1 - held) * np.cumsum(tail) / tail.sum()
    needed = k + 1 + int(np.searchsorted(reached, HELD))
    return int(np.ceil(5 * min(needed, width) * copies))
