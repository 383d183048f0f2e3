"""Find copies of one image among many by their pixels, whatever their files and groups are called."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks._base import is_volume
from tasks.duplicates.align import BLOCK, SIDE, alike, has_structure, levels, structure
from tasks.duplicates.components import components, merged_groups
from tasks.duplicates.hashes import Candidates, candidates, hashes, turned

VERSION = 1  # changes whenever a fingerprint would
ALIKE = 0.9  # copies of films, scans and slides lie above, films of two patients below 0.75
KINDS = ("identical", "recompressed", "cropped", "turned")  # from the least change to the greatest
STILL = 0.012  # of a side: an alignment that moves no corner further is none


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Fingerprint of an image: a digest of its pixels, and a small grey picture uint8 [64, 64]."""

    exact: str
    small: np.ndarray

    def packed(self) -> dict[str, str]:
        """As text that JSON can hold."""
        small = base64.b85encode(zlib.compress(self.small.tobytes(), 6)).decode()
        return {"exact": self.exact, "small": small}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A pair of copies: two rows of a list that hold one image; `alike` is 1 for equal pixels, else a correlation."""

    first: int
    second: int
    kind: str
    alike: float


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster of copies: rows that pairs connect, with the greatest change and the least likeness among the pairs."""

    members: tuple[int, ...]
    kind: str
    alike: float


@dataclass(frozen=True, kw_only=True)
class DuplicateGroups:
    """Clusters of copies in the order of their first member, those across groups, and the groups merged.

    `across_groups` are the clusters whose members lie in more than one group. `merged_groups` holds the group of each
    row once those that share a cluster are one, which is called as the first of them.
    """

    clusters: tuple[Cluster, ...]
    across_groups: tuple[Cluster, ...]
    merged_groups: tuple[str, ...]


def fingerprint(image: np.ndarray) -> Fingerprint:
    """The fingerprint of a decoded image, uint8 [h, w], [h, w, 3] or [d, h, w].

    The small picture is the whole, drawn square; of a volume all pixels count for equality, and the middle slice for
    likeness.
    """
    from PIL import Image

    exact = hashlib.sha256(str(image.shape).encode())
    exact.update(np.ascontiguousarray(image).data)
    small = Image.fromarray(drawn(image)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return Fingerprint(exact=exact.hexdigest(), small=np.asarray(small.convert("L")))


def drawn(image: np.ndarray) -> np.ndarray:
    """What a page shows of a picture: of a volume the middle slice, or the mean of the two that share the middle."""
    if not is_volume(image):
        return image
    last = len(image) - 1
    both = image[last // 2].astype(np.uint16) + image[-(-last // 2)]
    return (both // 2).astype(np.uint8)


def unpacked(held: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint that `Fingerprint.packed` wrote; ValueError or KeyError where it is none."""
    small = np.frombuffer(zlib.decompress(base64.b85decode(held["small"])), np.uint8).reshape(SIDE, SIDE)
    return Fingerprint(exact=held["exact"], small=small)


def pairs(prints: Sequence[Fingerprint], progress: Callable[[int, int], None] | None = None) -> list[Pair]:
    """The pairs that hold one image, equal pixels first.

    Candidates are the nearest by 64-bit hashes, under 8 turns; a candidate is a copy where the median
    correlation of 4x4 parts of local contrast, after alignment, is at least ALIKE. Images without
    structure (blank ones) are copies only where their pixels are equal.
    """
    first: dict[str, int] = {}
    found = []
    for place, held in enumerate(prints):
        earlier = first.setdefault(held.exact, place)
        if earlier != place:
            found.append(Pair(first=earlier, second=place, kind=KINDS[0], alike=1.0))
    distinct = np.array([*first.values()], dtype=np.int64)
    if len(distinct) < 2:
        return found
    small = np.stack([prints[place].small for place in distinct])
    fine = [structure(small[s : s + BLOCK]) for s in range(0, len(distinct), BLOCK)]
    some = np.concatenate([has_structure(block) for block in fine])
    if some.sum() < 2:
        return found
    shapes = [np.concatenate(level)[some] for level in zip(*map(levels, fine), strict=True)]
    return found + _near(distinct[some], candidates(hashes(small[some])), shapes, progress)


def _near(
    places: np.ndarray, could: Candidates, shapes: Sequence[np.ndarray], progress: Callable[[int, int], None] | None
) -> list[Pair]:
    found = []
    for start in range(0, len(could.first), BLOCK):
        rows = slice(start, start + BLOCK)
        ends = [*zip(could.first[rows].tolist(), could.turn[rows].tolist(), strict=True)]
        left = [np.stack([turned(level[i], t) for i, t in ends]) for level in shapes]
        right = [level[could.second[rows]] for level in shapes]
        likeness, place = alike(left, right, 1 / could.scale[rows])
        for k in np.flatnonzero(likeness >= ALIKE):
            one, two = sorted((int(places[could.first[start + k]]), int(places[could.second[start + k]])))
            kind = "turned" if could.turn[start + k] else _kind(place[k])
            found.append(Pair(first=one, second=two, kind=kind, alike=round(float(likeness[k]), 3)))
        if progress is not None:
            progress(min(start + BLOCK, len(could.first)), len(could.first))
    best = {(p.first, p.second): p for p in sorted(found, key=lambda p: (p.alike, -KINDS.index(p.kind)))}
    return [best[ends] for ends in sorted(best)]


def _kind(place: np.ndarray) -> str:
    ends = [abs((scale - 1) * side + shift) for scale, shift in place.reshape(2, 2) for side in (-0.5, 0.5)]
    return "recompressed" if max(ends) <= STILL else "cropped"


def groups(found: Sequence[Pair], names: Sequence[str]) -> DuplicateGroups:
    """What the pairs among the rows of a list mean for their groups; `names` holds the group of each row."""
    least = components(len(names), [(p.first, p.second) for p in found])
    linked: dict[int, list[Pair]] = {}
    for pair in found:
        linked.setdefault(least[pair.first], []).append(pair)
    clusters = tuple(
        Cluster(
            members=tuple(sorted({end for p in linked[first] for end in (p.first, p.second)})),
            kind=max((p.kind for p in linked[first]), key=KINDS.index),
            alike=min(p.alike for p in linked[first]),
        )
        for first in sorted(linked)
    )
    return DuplicateGroups(
        clusters=clusters,
        across_groups=tuple(c for c in clusters if len({names[place] for place in c.members}) > 1),
        merged_groups=tuple(merged_groups(names, [(component,) for component in least])),
    )
