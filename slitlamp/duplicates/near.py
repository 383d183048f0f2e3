"""Pairs of images that are near in an encoder's features, which fingerprints cannot know: for looking at."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.extraction.volumes import flat_only
from slitlamp.encoding.encoder import stored_encoders
from slitlamp.encoding.fill import encode_missing
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.settings import Settings
from tasks import Source

if TYPE_CHECKING:
    from cache import Store
    from tasks.duplicates.find import Pair

TAIL, FURTHER = 0.1, 0.01  # quantiles of the distances, from which the tail is followed
EXPECTED = 0.05  # pairs of different images that may lie beyond the threshold, in all
SAMPLE = 2_000_000  # pairs that the distribution is taken from
BLOCK = 512


def near(settings: Settings, source: Source, store: "Store", known: Sequence["Pair"]) -> dict[str, Any]:
    """Pairs of different groups that lie nearer than `threshold` in an encoder's last features, the nearest first.

    `settings` names one encoder, and how it computes. Pairs that are known as copies are left out. Features come from
    the store, or go there.
    """
    (encoder,) = stored_encoders(settings.encoder, store)
    if settings.source.volumes and not encoder.reads_volumes:
        raise flat_only(encoder.label)
    points = encoder.points()
    if not points:
        raise UsageError(f"--encoder {encoder.spec} has no features of whole images")
    last = points[-1]
    pictures = ImageSet(
        pictures=[r.picture for r in source.rows],
        names=[r.id for r in source.rows],
        store=store,
        volumes=settings.source.volumes,
    )
    x = encode_missing(encoder, pictures, [last], source.policy).read(f"{last[0]}/{last[1]}")
    groups = np.unique([row.group for row in source.rows], return_inverse=True)[1]
    limit, found = close(x, groups, {(p.first, p.second) for p in known})
    return {
        "encoder": encoder.label,
        "site": last[0],
        "readout": last[1],
        "cosine": round(limit, 4),
        "pairs": [{"ids": [source.rows[a].id, source.rows[b].id], "cosine": round(c, 4)} for a, b, c in found],
    }


def close(
    x: np.ndarray, groups: np.ndarray, known: Collection[tuple[int, int]] = ()
) -> tuple[float, list[tuple[int, int, float]]]:
    """The threshold, and the pairs (first, second, centred cosine) of different groups above it, nearest first.

    `x` is [n, d], `groups` int [n]; the pairs in `known`, least place first, are left out of both.
    """
    centred = np.asarray(x, np.float32) - np.mean(x, axis=0, dtype=np.float64).astype(np.float32)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    limit = threshold(unit, groups, known)
    found = []
    for start, cosine, other in _blocks(unit, groups, known):
        a, b = np.nonzero(other & (cosine > limit))
        ends = zip(a, b, strict=True)
        found += [(int(i) + start, int(j), float(cosine[i, j])) for i, j in ends if i + start < j]
    return limit, sorted(found, key=lambda pair: -pair[2])


def threshold(unit: np.ndarray, groups: np.ndarray, known: Collection[tuple[int, int]] = ()) -> float:
    """A cosine that pairs of different groups do not reach by chance; 1 where there are no such pairs.

    Small distances follow a power law whose exponent is half the dimension that the features fill. It is
    taken from two quantiles of the distances (1 - cosine) between groups and followed to where EXPECTED
    pairs remain.
    """
    sample, total = [], 0
    step = max(1, len(unit) * len(unit) // SAMPLE)
    for start, cosine, other in _blocks(unit, groups, known):
        total += int(other.sum())
        sample.append(1 - cosine[other & (np.arange(start, start + len(cosine))[:, None] % step == 0)])
    distance = np.concatenate(sample)
    if not len(distance):
        return 1.0
    near, nearer = np.log(np.maximum(np.quantile(distance, [TAIL, FURTHER]), 1e-6))
    power = (near - nearer) / np.log(TAIL / FURTHER)
    return float(1 - np.exp(near + power * np.log(EXPECTED / (TAIL * max(total / 2, 1)))))


def _blocks(
    unit: np.ndarray, groups: np.ndarray, known: Collection[tuple[int, int]]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    ends = np.array([*known], dtype=np.int64).reshape(-1, 2)
    ends = np.concatenate([ends, ends[:, ::-1]])
    for start in range(0, len(unit), BLOCK):
        part = slice(start, start + BLOCK)
        other = groups[part][:, None] != groups[None]
        here = ends[(ends[:, 0] >= start) & (ends[:, 0] < start + BLOCK)]
        other[here[:, 0] - start, here[:, 1]] = False
        yield start, unit[part] @ unit.T, other
