"""The trial of one method's maps: deletion and insertion, likeness to maps that cannot know, evidence, artefacts.

Every quantity is one number per image, so that all comparisons are paired (METHOD 6.2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from probes.attribution import Subject
from probes.trials.cells import border, cell_sums, edges
from probes.trials.perturbed import ends, margins

PROBE, CONTROL, UNTRAINED, RANDOM, EDGES = "probe", "control", "untrained", "random", "edges"
DRAWS = 5  # random maps
NORM = 0.02  # the share of tokens with the largest norm


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Where the map lies with respect to a region, per image; nan where the image has no such region.

    The region is that of whole cells, dilated by half a cell: a map knows no finer place. `mass` [n] is the map's sum
    there over its whole absolute mass, signed where the map is, `control` that of the control's map; `area` the
    region's share of the image, and the chance of a random cell. `excess` and `control_excess` are the mass there above
    what the whole map's signed mass would leave in such an area: 0 where the region is the image. `hit` and
    `control_hit` say whether the map's greatest cell lies there; `rank` is the share of the k greatest cells that do, k
    being the region's cells.
    """

    mass: np.ndarray
    control: np.ndarray
    excess: np.ndarray
    control_excess: np.ndarray
    area: np.ndarray
    hit: np.ndarray
    control_hit: np.ndarray
    rank: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """What the maps of one method came to, per image [n].

    `margin` is insertion less deletion of the explained score, over the mean absolute difference of the score between
    images and blurred images, by what gave the map: the probe, the control, the untrained network, chance (mean of
    draws), the edges of the image. `likeness` is Spearman's correlation of absolute cells with the untrained and the
    control's map. `tokens` and `border` are shares of absolute mass on the tokens of largest norm and at the border;
    `border_area` is the share of cells there. `completeness` as in Maps.
    """

    method: str
    signed: bool
    margin: Mapping[str, np.ndarray]
    likeness: Mapping[str, np.ndarray]
    border: np.ndarray
    border_area: float
    tokens: np.ndarray | None
    tokens_area: float
    completeness: np.ndarray | None
    evidence: Mapping[str, Evidence]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What the trials of all methods on one subject share: the cells, and the margins of maps that know nothing."""

    grid: tuple[int, int]
    scale: float
    random: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, subject: Subject, grid: tuple[int, int], done: Callable[[int], Any] = lambda _n: None) -> "Ground":
        """Measure chance and edges once for a subject."""
        n = len(subject.images)
        rng = np.random.default_rng([subject.seed, n, 83])
        scores = ends(subject)
        scale = float(np.abs(scores[:, 0] - scores[:, 1]).mean())
        draws = [margins(subject, rng.normal(size=(n, *grid)), grid, done=done) for _ in range(DRAWS)]
        return cls(
            grid=grid,
            scale=scale,
            random=np.mean(draws, axis=0),
            edges=margins(subject, edges(subject.images.cpu().numpy(), grid), grid, done=done),
        )


def attempt(
    subject: Subject,
    ground: Ground,
    maps: Mapping[str, np.ndarray],
    *,
    method: str,
    signed: bool,
    completeness: np.ndarray | None = None,
    regions: Mapping[str, np.ndarray] | None = None,
    norms: np.ndarray | None = None,
    done: Callable[[int], Any] = lambda _n: None,
) -> Trial:
    """Try the maps of a method: `maps` [n, h, w] by PROBE, CONTROL and, where there is one, UNTRAINED.

    `regions` are shares of cells [n, *grid] that belong to each region, nan for images without it; `norms` [n, *tokens]
    the norms of the tokens that the site reads.
    """
    grid = ground.grid
    cells = {name: cell_sums(values, grid) for name, values in maps.items()}
    unit = ground.scale if ground.scale > 0 else 1.0
    margin = {name: margins(subject, values, grid, done=done) / unit for name, values in cells.items()}
    margin |= {RANDOM: ground.random / unit, EDGES: ground.edges / unit}
    mine = cells[PROBE]
    mass = np.abs(mine)
    whole = np.where(mass.sum(axis=(1, 2)) > 0, mass.sum(axis=(1, 2)), 1.0)
    rim = border(grid)
    found = {name: evidence(mine, cells[CONTROL], share, signed=signed) for name, share in (regions or {}).items()}
    return Trial(
        method=method,
        signed=signed,
        margin=margin,
        likeness={name: spearman(mass, np.abs(cells[name])) for name in (CONTROL, UNTRAINED) if name in cells},
        border=mass[:, rim].sum(axis=1) / whole,
        border_area=float(rim.mean()),
        tokens=None if norms is None else _on_largest(maps[PROBE], norms),
        tokens_area=NORM,
        completeness=completeness,
        evidence=found,
    )


def evidence(mine: np.ndarray, control: np.ndarray, share: np.ndarray, *, signed: bool) -> Evidence:
    """Where maps on cells [n, h, w] lie with respect to a region, given as shares of cells [n, h, w]."""
    known = np.isfinite(share).all(axis=(1, 2))
    inside = np.where(np.isfinite(share), share, 0.0)
    wide = np.stack([_dilated(one) for one in inside])
    blank = np.where(known, 1.0, np.nan)

    area = wide.mean(axis=(1, 2))

    def part(cells: np.ndarray, where: np.ndarray | float) -> np.ndarray:
        whole = np.abs(cells).sum(axis=(1, 2))
        lying = ((cells if signed else np.abs(cells)) * where).sum(axis=(1, 2))
        return np.divide(lying, whole, out=np.zeros(len(whole)), where=whole > 0) * blank

    mass, other = part(mine, wide), part(control, wide)

    def hit(cells: np.ndarray) -> np.ndarray:
        best = cells.reshape(len(cells), -1).argmax(axis=1)
        return wide.reshape(len(cells), -1)[np.arange(len(cells)), best] * blank

    k = np.maximum(wide.sum(axis=(1, 2)).astype(int), 1)
    order = np.argsort(-mine.reshape(len(mine), -1), axis=1, kind="stable")
    flat = wide.reshape(len(mine), -1)
    rank = np.array([flat[i, order[i, : k[i]]].mean() for i in range(len(mine))]) * blank
    return Evidence(
        mass=mass, control=other, excess=mass - area * part(mine, 1.0), area=area * blank,
        control_excess=other - area * part(control, 1.0), hit=hit(mine), control_hit=hit(control), rank=rank,
    )  # fmt: skip


def _dilated(share: np.ndarray) -> np.ndarray:
    """The cells that a region dilated by half a cell touches by at least a quarter, float [h, w] of 0 and 1."""
    fine = np.kron(share > 0, np.ones((2, 2), bool))
    grown = fine.copy()
    for axis in (0, 1):
        grown |= np.roll(fine, 1, axis) & _not_wrapped(fine.shape, axis, first=True)
        grown |= np.roll(fine, -1, axis) & _not_wrapped(fine.shape, axis, first=False)
    parts = grown.reshape(share.shape[0], 2, share.shape[1], 2).mean(axis=(1, 3))
    return (parts >= 0.5).astype(np.float64)


def _not_wrapped(shape: tuple[int, ...], axis: int, *, first: bool) -> np.ndarray:
    found = np.ones(shape, bool)
    found[(slice(None),) * axis + (0 if first else -1,)] = False
    return found


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation of the cells of two stacks of maps [n, h, w], [n]; 0 where one of them is flat."""
    from scipy.stats import rankdata

    x, y = (rankdata(m.reshape(len(m), -1), axis=1) for m in (a, b))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    norm = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.divide((x * y).sum(axis=1), norm, out=np.zeros(len(x)), where=norm > 0)


def _on_largest(maps: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """The share of absolute mass on the 2 % of tokens with the largest norm, at least one, [n] (Darcet et al. 2024)."""
    mass = np.abs(cell_sums(maps, (norms.shape[1], norms.shape[2]))).reshape(len(maps), -1)
    flat = norms.reshape(len(norms), -1)
    count = max(1, round(NORM * flat.shape[1]))
    largest = np.argsort(-flat, axis=1, kind="stable")[:, :count]
    whole = mass.sum(axis=1)
    part = np.take_along_axis(mass, largest, axis=1).sum(axis=1)
    return np.divide(part, whole, out=np.zeros(len(mass)), where=whole > 0)
