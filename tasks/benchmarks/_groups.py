"""Several images of one question as one picture, and questions that share an image as one group."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tasks._base import Picture, Source
from tasks.images.decode import digest

MARGIN = 10  # black pixels between two images of one question, as BLINK (arXiv 2404.12390) joins them


def beside(pictures: Sequence[Picture]) -> Picture:
    """One picture with all of them from left to right, centred in height, ten black pixels between."""
    return Picture(read=partial(_joined, tuple(pictures)), identity=partial(_joined_identity, tuple(pictures)))


def _joined(pictures: Sequence[Picture]) -> np.ndarray:
    images = [p.read() for p in pictures]
    colour = any(i.ndim == 3 for i in images)
    h, w = max(i.shape[0] for i in images), sum(i.shape[1] for i in images) + MARGIN * (len(images) - 1)
    out = np.zeros((h, w, 3) if colour else (h, w), np.uint8)
    x = 0
    for image in images:
        y = (h - image.shape[0]) // 2
        out[y : y + image.shape[0], x : x + image.shape[1]] = image[..., None] if colour and image.ndim == 2 else image
        x += image.shape[1] + MARGIN
    return out


def _joined_identity(pictures: Sequence[Picture]) -> str | None:
    parts = [p.identity for p in pictures]
    known = [p for p in parts if p is not None]
    return digest("beside", str(MARGIN), *known) if len(known) == len(parts) else None


def by_content(source: Source) -> Source:
    """The source with one group for all rows that share an image, byte for byte."""
    links = [(row.id, p.identity or row.id) for row in source.rows for p in row.pictures or (row.picture,)]
    root = components([(f"row {a}", f"image {b}") for a, b in links])
    first: dict[str, str] = {}
    rows = [replace(r, group=first.setdefault(root[f"row {r.id}"], r.group)) for r in source.rows]
    return replace(source, rows=tuple(rows))


def components(links: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The connected component of every name in a graph, named after its first member in sorted order.

    >>> components([("a", "b"), ("d", "c"), ("b", "e")])["e"]
    'a'
    """
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for a, b in links:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    return {name: find(name) for name in list(root)}
