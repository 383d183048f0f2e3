"""How far a map may be believed: trustworthiness, continuity, and the share of neighbours that it keeps."""

from dataclasses import dataclass

import numpy as np

from probes.embedding.neighbours import neighbours, ranks

MOST = 5000  # items whose ranks are looked at, drawn by the seed where there are more


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a map keeps of the k neighbours of `items` items.

    `trustworthiness` is 1 where no neighbour in the map is a stranger in the features, `continuity` 1 where no
    neighbour in the features is lost in the map (Venna & Kaski 2001; 1 - 2 / (n k (2 n - 3 k - 1)) times the ranks
    beyond k), `preserved` the share of neighbours that are kept, `chance` that share where the map is random.
    """

    trustworthiness: float
    continuity: float
    preserved: float
    chance: float
    neighbours: int
    items: int


def trust(x: np.ndarray, places: np.ndarray, shown: np.ndarray, *, seed: int = 0) -> Trust:
    """Trust in a map `shown` [n, 2] of features x [n, d] whose k nearest neighbours are `places` [n, k]."""
    n, k = places.shape
    rows = np.arange(n) if n <= MOST else np.sort(np.random.default_rng([seed, n, 61]).permutation(n)[:MOST])
    in_map = neighbours(shown, k)[0]
    strangers = _beyond(ranks(x, in_map[rows], rows), k)
    lost = _beyond(ranks(shown, places[rows], rows), k)
    most = k * (2 * n - 3 * k - 1) / 2 if 2 * k < n else (n - k) * (n - k - 1) / 2
    worst = max(most, 1e-9)
    kept = np.mean([len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(in_map, places, strict=True)]) / k
    return Trust(
        trustworthiness=float(1 - strangers.sum(axis=1).mean() / worst),
        continuity=float(1 - lost.sum(axis=1).mean() / worst),
        preserved=float(kept), chance=k / (n - 1), neighbours=k, items=len(rows),
    )  # fmt: skip


def _beyond(rank: np.ndarray, k: int) -> np.ndarray:
    return np.maximum(rank - k, 0)


def movement(xs: tuple[np.ndarray, np.ndarray], lists: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """How much the neighbours of each item changed between two embeddings of the same n items.

    `xs` are the features [n, d] and [n, e], `lists` the k nearest neighbours [n, k] in each. Returns the share of
    neighbours that both have, [n] (k / (n - 1) where the two know nothing of each other), and how far away the
    neighbours in one are in the other, [n]: their mean rank over the ranks there are, both ways, .5 by chance.
    """
    n, k = lists[0].shape
    shared = np.array([len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(*lists, strict=True)]) / k
    far = [ranks(x, other).mean(axis=1) for x, other in zip(xs, reversed(lists), strict=True)]
    return shared, (far[0] + far[1]) / (2 * (n - 1))
