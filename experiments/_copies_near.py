"""Pairs that an encoder's features bring together: what fingerprints cannot know, to be looked at."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._exit import UsageError
from experiments._features import Eye, Pictures, fill, resolve_device
from experiments._options import Options
from tasks._base import Source

if TYPE_CHECKING:
    from cache import Store
    from tasks._duplicates import Pair

DEVIATIONS = 7.0  # below the median of the log distances between groups
TAIL = 0.001  # the quantile that measures their spread; the normal one lies NORMAL deviations below
NORMAL = 3.09
SAMPLE = 2_000_000  # pairs that the distribution is taken from
BLOCK = 512


def near(asked: argparse.Namespace, source: Source, store: "Store", known: Sequence["Pair"]) -> dict[str, Any]:
    """Pairs of different groups that lie nearer than `threshold` in an encoder's last features, the nearest first.

    Pairs that are known as copies are left out. Features come from the store, or go there.
    """
    options = Options(
        encoder=(asked.encoder,), weights=asked.weights, batch_size=asked.batch_size, offline=asked.offline
    )
    device = resolve_device(asked.device)
    eye = Eye(spec=asked.encoder, options=options, store=store, device=device, dtype=options.dtype)
    points = eye.points()
    if not points:
        raise UsageError(f"--encoder {asked.encoder} has no features of whole images")
    last = points[-1]
    pictures = Pictures(pictures=[r.picture for r in source.rows], names=[r.id for r in source.rows], store=store)
    x = fill(eye, pictures, [last], source.policy).read(f"{last[0]}/{last[1]}")
    groups = np.unique([row.group for row in source.rows], return_inverse=True)[1]
    limit, found = close(x, groups)
    skip = {(p.first, p.second) for p in known}
    return {
        "encoder": eye.label,
        "site": last[0],
        "readout": last[1],
        "cosine": round(limit, 4),
        "pairs": [
            {"ids": [source.rows[a].id, source.rows[b].id], "cosine": round(c, 4)}
            for a, b, c in found
            if (a, b) not in skip
        ],
    }


def close(x: np.ndarray, groups: np.ndarray) -> tuple[float, list[tuple[int, int, float]]]:
    """The threshold, and the pairs (first, second, centred cosine) of different groups above it, nearest first.

    `x` is [n, d], `groups` int [n].
    """
    centred = np.asarray(x, np.float32) - np.mean(x, axis=0, dtype=np.float64).astype(np.float32)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    limit = threshold(unit, groups)
    found = []
    for start, cosine, other in _blocks(unit, groups):
        a, b = np.nonzero(other & (cosine > limit))
        ends = zip(a, b, strict=True)
        found += [(int(i) + start, int(j), float(cosine[i, j])) for i, j in ends if i + start < j]
    return limit, sorted(found, key=lambda pair: -pair[2])


def threshold(unit: np.ndarray, groups: np.ndarray) -> float:
    """A cosine that pairs of different groups do not reach by chance; 1 where there are no such pairs.

    It is the median of their log distance less DEVIATIONS spreads, and a spread is measured between the
    median and the TAIL quantile.
    """
    sample = []
    step = max(1, len(unit) * len(unit) // SAMPLE)
    for start, cosine, other in _blocks(unit, groups):
        keep = other & (np.arange(start, start + len(cosine))[:, None] % step == 0)
        sample.append(1 - cosine[keep])
    distance = np.concatenate(sample)
    if not len(distance):
        return 1.0
    middle, low = np.quantile(np.log(np.maximum(distance, 1e-6)), [0.5, TAIL])
    return float(1 - np.exp(middle - DEVIATIONS * max(middle - low, 0.1) / NORMAL))


def _blocks(unit: np.ndarray, groups: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    for start in range(0, len(unit), BLOCK):
        part = slice(start, start + BLOCK)
        yield start, unit[part] @ unit.T, groups[part][:, None] != groups[None]
