"""Copies of one image inside a source: found by their pixels, whatever their files and groups are called."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks._base import is_volume
from tasks.duplicates.align import BLOCK, SIDE, alike, has_structure, levels, structure
from tasks.duplicates.hashes import Candidates, candidates, hashes, turned

VERSION = 1  # changes whenever a fingerprint would
ALIKE = 0.9  # copies of films, scans and slides lie above, films of two patients below 0.75
KINDS = ("identical", "recompressed", "cropped", "turned")  # from the least change to the greatest
STILL = 0.012  # of a side: an alignment that moves no corner further is none


@dataclass(frozen=True, kw_only=True)
class Print:
    """What an image is recognised by: a digest of its pixels, and a small grey picture uint8 [64, 64]."""

    exact: str
    small: np.ndarray

    def packed(self) -> dict[str, str]:
        """As text that JSON can hold."""
        small = base64.b85encode(zlib.compress(self.small.tobytes(), 6)).decode()
        return {"exact": self.exact, "small": small}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two places of a list that hold one image; `alike` is 1 for equal pixels, else a correlation."""

    first: int
    second: int
    kind: str
    alike: float


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Places of a list that pairs connect, with the greatest change and the least likeness among the pairs."""

    members: tuple[int, ...]
    kind: str
    alike: float


def fingerprint(image: np.ndarray) -> Print:
    """The print of a decoded image, uint8 [h, w], [h, w, 3] or [d, h, w]; the small picture is the whole, drawn square.

    Of a volume it is the middle slice: all pixels count for equality, and one slice for likeness.
    """
    from PIL import Image

    exact = hashlib.sha256(str(image.shape).encode())
    exact.update(np.ascontiguousarray(image).data)
    small = Image.fromarray(drawn(image)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return Print(exact=exact.hexdigest(), small=np.asarray(small.convert("L")))


def drawn(image: np.ndarray) -> np.ndarray:
    """What a page shows of a picture: of a volume the middle slice, or the mean of the two that share the middle."""
    if not is_volume(image):
        return image
    last = len(image) - 1
    both = image[last // 2].astype(np.uint16) + image[-(-last // 2)]
    return (both // 2).astype(np.uint8)


def unpacked(held: Mapping[str, Any]) -> Print:
    """The print that `Print.packed` wrote; ValueError or KeyError where it is none."""
    small = np.frombuffer(zlib.decompress(base64.b85decode(held["small"])), np.uint8).reshape(SIDE, SIDE)
    return Print(exact=held["exact"], small=small)


def pairs(prints: Sequence[Print], progress: Callable[[int, int], None] | None = None) -> list[Pair]:
    """The pairs that hold one image, equal pixels first.

    Candidates are the nearest by 64-bit hashes, under 8 turns; a candidate is a copy where the median
    correlation of 4x4 parts of local contrast, after alignment, is at least ALIKE. Images without
    structure (blank ones) are copies only where their pixels are equal.
    """
    first: dict[str, int] = {}
    found = []
    for place, held in enumerate(prints):
        twin = first.setdefault(held.exact, place)
        if twin != place:
            found.append(Pair(first=twin, second=place, kind=KINDS[0], alike=1.0))
    own = np.array([*first.values()], dtype=np.int64)
    if len(own) < 2:
        return found
    small = np.stack([prints[place].small for place in own])
    fine = [structure(small[s : s + BLOCK]) for s in range(0, len(own), BLOCK)]
    some = np.concatenate([has_structure(block) for block in fine])
    if some.sum() < 2:
        return found
    shapes = [np.concatenate(level)[some] for level in zip(*map(levels, fine), strict=True)]
    return found + _near(own[some], candidates(hashes(small[some])), shapes, progress)


def _near(
    own: np.ndarray, could: Candidates, shapes: Sequence[np.ndarray], progress: Callable[[int, int], None] | None
) -> list[Pair]:
    found = []
    for start in range(0, len(could.first), BLOCK):
        rows = slice(start, start + BLOCK)
        ends = [*zip(could.first[rows].tolist(), could.turn[rows].tolist(), strict=True)]
        left = [np.stack([turned(level[i], t) for i, t in ends]) for level in shapes]
        right = [level[could.second[rows]] for level in shapes]
        likeness, place = alike(left, right, 1 / could.scale[rows])
        for k in np.flatnonzero(likeness >= ALIKE):
            one, two = sorted((int(own[could.first[start + k]]), int(own[could.second[start + k]])))
            kind = "turned" if could.turn[start + k] else _kind(place[k])
            found.append(Pair(first=one, second=two, kind=kind, alike=round(float(likeness[k]), 3)))
        if progress is not None:
            progress(min(start + BLOCK, len(could.first)), len(could.first))
    best = {(p.first, p.second): p for p in sorted(found, key=lambda p: (p.alike, -KINDS.index(p.kind)))}
    return [best[ends] for ends in sorted(best)]


def _kind(place: np.ndarray) -> str:
    ends = [abs((scale - 1) * side + shift) for scale, shift in place.reshape(2, 2) for side in (-0.5, 0.5)]
    return "recompressed" if max(ends) <= STILL else "cropped"


def clusters(found: Sequence[Pair]) -> list[Cluster]:
    """Connected components of the pairs, in the order of their first member."""
    root: dict[int, int] = {}

    def find(place: int) -> int:
        while root.setdefault(place, place) != place:
            place = root[place]
        return place

    for pair in found:
        a, b = sorted((find(pair.first), find(pair.second)))
        root[b] = a
    links: dict[int, list[Pair]] = {}
    for pair in found:
        links.setdefault(find(pair.first), []).append(pair)
    return [
        Cluster(
            members=tuple(sorted({end for p in links[top] for end in (p.first, p.second)})),
            kind=max((p.kind for p in links[top]), key=KINDS.index),
            alike=min(p.alike for p in links[top]),
        )
        for top in sorted(links)
    ]


def crossing(found: Sequence[Cluster], groups: Sequence[str]) -> list[Cluster]:
    """The clusters whose members lie in more than one group."""
    return [c for c in found if len({groups[place] for place in c.members}) > 1]


def united(groups: Sequence[str], found: Sequence[Cluster]) -> list[str]:
    """The groups with those that share a cluster made one, which is called as the first of them."""
    rank = {group: k for k, group in enumerate(dict.fromkeys(groups))}
    names = [*rank]
    ends = [
        Pair(first=rank[groups[c.members[0]]], second=rank[groups[m]], kind=c.kind, alike=c.alike)
        for c in found
        for m in c.members[1:]
    ]
    called = {names[m]: names[c.members[0]] for c in clusters(ends) for m in c.members}
    return [called.get(group, group) for group in groups]
