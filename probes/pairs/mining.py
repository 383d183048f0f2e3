"""Mine pairs of images that are near in one space and apart in another: exactly, exhaustively, in bounded memory.

The definition is `Space.similarities`, in float64, on every pair i < j. What makes it fast is an upper bound of the
first space's similarity that one small matrix product gives: centre, rotate to the leading `k` directions, and let
the norm of the rest stand in one more column (Cauchy-Schwarz). Rounding is bounded row by row, so that no pair is
lost; the few that remain are checked exactly, in the second space as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from probes._base import ProbeError

ROWS, COLUMNS = 1024, 4096  # of a tile; constants, so that a file of pairs does not depend on the machine
CANDIDATES = 1 << 18  # pairs checked at a time
WIDTHS = (32, 64, 96, 128, 192, 256, 384)  # leading directions that are tried
NEIGHBOURS = 10  # of CSLS
SHRINKAGE = 0.1  # of the covariance before whitening
EPS32 = 2.0**-24


@dataclass(frozen=True, kw_only=True)
class Space:
    """Similarities of images in one encoder: `scale * unit_i . unit_j + (offset_i + offset_j)` in float64.

    `unit` is float32 [n, d], rows of length 1; `offset` float64 [n]. For cosines the offsets are 0 and the scale 1.
    """

    name: str
    unit: np.ndarray
    offset: np.ndarray
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.unit)

    def similarities(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The similarity, float64 [m], of the pairs `first` and `second` (int [m])."""
        from probes.pairs.kernels import exact_similarities

        return exact_similarities(
            self.unit, self.offset, self.scale, np.asarray(first, np.int32), np.asarray(second, np.int32)
        )

    @cached_property
    def slack(self) -> float:
        """How far a float32 similarity may lie from the float64 one: the bound for a sum in any order."""
        return self.scale * (self.unit.shape[1] + 8) * EPS32 * 1.0001

    @cached_property
    def rounding(self) -> float:
        """How far two float64 sums of a similarity in different orders may lie apart."""
        return self.scale * (self.unit.shape[1] + 8) * 2.0**-50

    def take(self, rows: np.ndarray) -> "Space":
        """The space of some of the images."""
        return Space(name=self.name, unit=self.unit[rows], offset=self.offset[rows], scale=self.scale)


def unit_rows(x: np.ndarray, names: Sequence[str] | None = None, what: str = "features") -> np.ndarray:
    """Rows [n, d] scaled to length 1 in float64 and rounded to float32.

    Raises:
        ProbeError: rows that hold NaN or infinite values, or that are all zero; they are named and counted.
    """
    x = np.asarray(x)
    if x.ndim != 2 or not x.shape[1]:
        raise ProbeError(f"{what} must be [n, d] numbers, not {list(x.shape)}")
    found = np.empty(x.shape, np.float32)
    for start in range(0, len(x), ROWS):
        part = np.asarray(x[start : start + ROWS], np.float64)
        length = np.linalg.norm(part, axis=1, keepdims=True)
        wrong = np.flatnonzero(~(np.isfinite(length[:, 0]) & (length[:, 0] > 0)))
        if len(wrong):
            _refuse_rows(x, names, what)
        found[start : start + ROWS] = part / length
    return found


def _refuse_rows(x: np.ndarray, names: Sequence[str] | None, what: str) -> None:
    length = np.linalg.norm(np.asarray(x, np.float64), axis=1)
    kinds = {"hold NaN or infinite values": ~np.isfinite(length), "are all zero, which has no direction": length == 0}
    parts = []
    for words, mask in kinds.items():
        rows = np.flatnonzero(mask)
        if len(rows):
            shown = ", ".join(str(names[r]) if names is not None else f"row {r}" for r in rows[:3])
            parts.append(f"{len(rows)} of {len(x)} {words} ({shown}{', …' * (len(rows) > 3)})")
    raise ProbeError(f"{what}: {' and '.join(parts)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """Where features are looked at from: about a mean [d], and multiplied by a root [d, d] where they are whitened."""

    name: str
    mean: np.ndarray | None = None
    root: np.ndarray | None = None

    def place(self, x: np.ndarray, names: Sequence[str] | None = None) -> np.ndarray:
        """Features [n, d] as rows of length 1, float32; ProbeError for rows of NaN, infinite values or zeros."""
        unit = unit_rows(x, names, self.name)  # a row that is wrong as it is, before the mean is taken away
        if self.mean is None:
            return unit
        rows = np.asarray(x, np.float64) - self.mean
        return unit_rows(rows if self.root is None else rows @ self.root, names, f"{self.name}, centred")


def frame_of(
    x: np.ndarray, name: str, *, centre: bool = False, whiten: bool = False, pool: np.ndarray | None = None
) -> Frame:
    """The frame of features `x` [n, d]: as they are, about the mean of the pool, or whitened as well.

    Whitening multiplies by the inverse root of the pool's covariance, of which a share of 0.1 is replaced by a ball of
    the same trace (the shrinkage of METHOD 5.2). `pool` are rows (int), all by default.
    """
    if not (centre or whiten):
        return Frame(name=name)
    held = np.asarray(x if pool is None else x[pool], np.float64)
    return Frame(name=name, mean=held.mean(axis=0), root=inverse_root(held) if whiten else None)


def cosine_space(
    x: np.ndarray,
    name: str,
    *,
    centre: bool = False,
    whiten: bool = False,
    pool: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Space:
    """The cosines of rows `x` [n, d] in the frame of the pool; see `frame_of`, and `Frame.place` for what it raises."""
    unit = frame_of(x, name, centre=centre, whiten=whiten, pool=pool).place(x, names)
    return Space(name=name, unit=unit, offset=np.zeros(len(x)))


def inverse_root(x: np.ndarray) -> np.ndarray:
    """The inverse square root [d, d] of the covariance of `x` [n, d], shrunk by SHRINKAGE towards a ball."""
    centred = np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64)
    covariance = centred.T @ centred / max(len(x) - 1, 1)
    values, vectors = np.linalg.eigh(covariance)
    ball = float(np.trace(covariance)) / len(covariance)
    if ball <= 0:
        raise ProbeError("all images have the same features: there is nothing to whiten")
    return (vectors / np.sqrt((1 - SHRINKAGE) * np.maximum(values, 0) + SHRINKAGE * ball)) @ vectors.T


def csls(space: Space, neighbours: int = NEIGHBOURS) -> Space:
    """The space whose similarity is CSLS: 2 cos - r_i - r_j, r the mean cosine to the nearest neighbours.

    It takes hubs down, images that are near to everything (Conneau et al. 2018, arXiv 1710.04087, equation 1-3).
    The image itself is no neighbour, by its place.
    """
    import torch

    n = len(space)
    k = min(neighbours, n - 1)
    if k < 1:
        raise ProbeError("one image has no neighbours")
    unit = torch.from_numpy(space.unit)
    near = np.empty((n, k), np.int32)
    for start in range(0, n, ROWS):
        block = unit[start : start + ROWS] @ unit.T
        block[torch.arange(len(block)), torch.arange(start, start + len(block))] = -torch.inf
        near[start : start + ROWS] = torch.topk(block, k, dim=1).indices.numpy()
    first = np.repeat(np.arange(n, dtype=np.int32), k)
    mean = np.sort(space.similarities(first, near.ravel()).reshape(n, k), axis=1).mean(axis=1)
    return Space(name=space.name, unit=space.unit, offset=-mean, scale=2.0)


def at_quantile(space: Space, share: float, pool: np.ndarray | None = None) -> float:
    """The similarity that a `share` of the pool's pairs do not exceed: the order statistic ceil(share * pairs).

    A pair at least this similar has a quantile similarity of at least `share` (METHOD 5.2). `pool` are rows (int),
    all by default. Exact in float64: it does not depend on the order of the rows.
    """
    if not 0 <= share <= 1:
        raise ProbeError(f"a quantile is a share from 0 to 1, not {share}")
    held = space if pool is None else space.take(pool)
    n = len(held)
    if n < 2:
        raise ProbeError("one image makes no pair")
    i, j = np.triu_indices(n, 1)
    coarse = np.empty(len(i), np.float32)
    done = 0
    for start in range(0, n, ROWS):
        block = held.scale * (held.unit[start : start + ROWS] @ held.unit.T)
        block = block + held.offset[start : start + ROWS, None].astype(np.float32) + held.offset.astype(np.float32)
        part = np.concatenate([block[r, start + r + 1 :] for r in range(len(block))])
        coarse[done : done + len(part)] = part
        done += len(part)
    rank = min(max(int(np.ceil(share * len(coarse))), 1), len(coarse)) - 1
    around = float(np.partition(coarse, rank)[rank])
    slack = 4 * held.slack + 1e-6
    close = np.flatnonzero(np.abs(coarse - around) <= slack)
    below = int(np.count_nonzero(coarse < around - slack))
    exact = np.sort(held.similarities(i[close], j[close]))
    return float(exact[rank - below])


@dataclass(frozen=True, kw_only=True)
class Box:
    """The pairs that are mined: similarity at least `at_least` in the first space, at most `at_most` in the second.

    `strict` leaves out both edges, as MMVP's rule does (> 0.95, < 0.6).
    """

    at_least: float
    at_most: float
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Mined pairs: rows `first` < `second` (int32), and their similarities in both spaces (float64)."""

    first: np.ndarray
    second: np.ndarray
    a: np.ndarray
    b: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A reason to leave pairs out: rows whose codes (int [n]) are equal make no pair."""

    name: str
    codes: np.ndarray


@dataclass(kw_only=True)
class Tally:
    """What a strip came to: pairs looked at, checked exactly, found, and left out by each filter."""

    pairs: int = 0
    candidates: int = 0
    found: int = 0
    removed: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Add the counts of another strip."""
        self.pairs += other.pairs
        self.candidates += other.candidates
        self.found += other.found
        for name, count in other.removed.items():
            self.removed[name] = self.removed.get(name, 0) + count


@dataclass(frozen=True, kw_only=True)
class Miner:
    """Two spaces of the same images, and the pairs wanted of them, ready to be mined strip by strip."""

    first: Space
    second: Space
    box: Box
    filters: Sequence[Filter] = ()
    device: str = "cpu"

    def __post_init__(self) -> None:
        if len(self.first) != len(self.second):
            raise ProbeError(f"{len(self.first)} images in one space and {len(self.second)} in the other")
        if len(self.first) < 2:
            raise ProbeError("one image makes no pair")
        if any(len(one.codes) != len(self.first) for one in self.filters):
            raise ProbeError("a filter has another number of images than the spaces")

    @property
    def strips(self) -> list[tuple[int, int]]:
        """The strips of rows [start, stop) that the upper triangle of pairs is cut into."""
        n = len(self.first)
        return [(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]

    @cached_property
    def screen(self) -> "Screen":
        """The bound of the first space that decides which pairs are looked at."""
        return _screen(self.first, self.box.at_least, self.device)

    @cached_property
    def _codes(self) -> np.ndarray:
        codes = [np.asarray(one.codes, np.int32) for one in self.filters]
        return np.stack(codes) if codes else np.empty((0, len(self.first)), np.int32)

    def strip(self, start: int, stop: int, tally: Tally) -> Iterator[Hits]:
        """The mined pairs whose first row lies in [start, stop), tile by tile; `tally` is filled on the way."""
        n = len(self.first)
        removed = np.zeros(len(self.filters), np.int64)
        for column in range(start, n, COLUMNS):
            end = min(column + COLUMNS, n)
            for rows, columns in self.screen.candidates(start, stop, column, end):
                tally.candidates += len(rows)
                hits = self._check(rows, columns, removed)
                tally.found += len(hits)
                if len(hits):
                    yield hits
        m = stop - start
        tally.pairs += m * (n - stop) + m * (m - 1) // 2
        for one, count in zip(self.filters, removed, strict=True):
            tally.removed[one.name] = tally.removed.get(one.name, 0) + int(count)

    def _check(self, rows: np.ndarray, columns: np.ndarray, removed: np.ndarray) -> Hits:
        from probes.pairs.kernels import check

        count = len(rows)
        i, j = np.empty(count, np.int32), np.empty(count, np.int32)
        a, b = np.empty(count), np.empty(count)
        one, two = self.first, self.second
        kept = check(
            rows, columns, count, one.unit, one.offset, one.scale, self.box.at_least, one.rounding,
            two.unit, two.offset, two.scale, self.box.at_most, two.rounding, self.box.strict,
            self._codes, removed, i, j, a, b,
        )  # fmt: skip
        return Hits(first=i[:kept], second=j[:kept], a=a[:kept], b=b[:kept])


@dataclass(frozen=True, kw_only=True)
class Screen:
    """An upper bound of the similarity of all pairs, as a product of two matrices, and the threshold of each row.

    `left` and `right` are [n, k'] in bfloat16 or float32; a pair whose product lies below the threshold of its first
    row cannot reach the wanted similarity. `directions` is k, `share` the candidates met in a sample.
    """

    left: Any
    right: Any
    threshold: Any
    directions: int
    share: float
    device: str

    def candidates(self, start: int, stop: int, column: int, end: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places (rows, columns; int32) of a tile that may hold a wanted pair, at most CANDIDATES at a time."""
        import torch

        from probes.pairs.kernels import scan

        block = self.left[start:stop] @ self.right[column:end].T
        if self.device != "cpu":
            yield from self._on_device(block, start, stop, column)
            return
        values = block.view(torch.int16).numpy() if block.dtype == torch.bfloat16 else block.numpy()
        limits = self.threshold[start:stop]
        rows, columns = np.empty(CANDIDATES, np.int32), np.empty(CANDIDATES, np.int32)
        at = 0
        while at < stop - start:
            count, at = scan(values, limits, start, column, at, rows, columns)
            if count:
                yield rows[:count], columns[:count]

    def _on_device(self, block: Any, start: int, stop: int, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        import torch

        limits = torch.from_numpy(self.threshold[start:stop]).to(block.device)
        held = (block.view(torch.int16) if block.dtype == torch.bfloat16 else block) >= limits[:, None]
        rows = torch.arange(start, stop, device=block.device)[:, None]
        columns = torch.arange(column, column + block.shape[1], device=block.device)[None]
        places = torch.nonzero(held & (columns > rows)).to("cpu", torch.int32).numpy()
        for at in range(0, len(places), CANDIDATES):
            part = places[at : at + CANDIDATES]
            yield np.ascontiguousarray(part[:, 0] + start), np.ascontiguousarray(part[:, 1] + column)


def _screen(space: Space, at_least: float, device: str) -> Screen:
    """The screen of a space for pairs at least that similar: its width is the one that a sample finds cheapest."""
    n, d = space.unit.shape
    wanted = (at_least) / space.scale
    turned = _turned(space)
    kind = _number_type(device)
    sample = np.sort(np.random.default_rng([n, d]).permutation(n)[:ROWS])
    best: tuple[float, Screen] | None = None
    for k in (*[w for w in WIDTHS if w < d], d):
        some = _bound(turned, k, wanted, kind, device, sample)
        share = _share(some)
        cost = k * 0.0137 + 1.0 + share * 0.22 * d
        if best is None or cost < best[0]:
            best = cost, some
        elif cost > 1.5 * best[0]:
            break
    assert best is not None
    k = best[1].directions
    whole = _bound(turned, k, wanted, kind, device, None)
    return Screen(
        left=whole.left,
        right=whole.right,
        threshold=whole.threshold,
        directions=k,
        share=_share(best[1]),
        device=device,
    )


def _share(screen: Screen) -> float:
    """The share of a small screen's pairs that are candidates."""
    n = len(screen.threshold)
    pairs = n * (n - 1) // 2
    return sum(len(rows) for rows, _ in screen.candidates(0, n, 0, n)) / pairs if pairs else 0.0


@dataclass(frozen=True, kw_only=True)
class _Turned:
    """A space's rows about their mean, float64 along the leading directions first, with what the mean adds."""

    unit: np.ndarray
    mean: np.ndarray
    vectors: np.ndarray
    offset: np.ndarray


def _turned(space: Space) -> _Turned:
    mean = space.unit.mean(axis=0, dtype=np.float64)
    some = space.unit[np.sort(np.random.default_rng(0).permutation(len(space))[:8192])].astype(np.float64) - mean
    _, vectors = np.linalg.eigh(some.T @ some)
    inner = np.concatenate([space.unit[s : s + ROWS].astype(np.float64) @ mean for s in range(0, len(space), ROWS)])
    # u_i.u_j = x_i.x_j + (u_i.m - |m|^2 / 2) + (u_j.m - |m|^2 / 2)  with  u = x + m
    offset = inner - mean @ mean / 2 + space.offset / space.scale
    return _Turned(unit=space.unit, mean=mean, vectors=vectors[:, ::-1], offset=offset)


def _bound(turned: _Turned, k: int, wanted: float, kind: Any, device: str, rows: np.ndarray | None) -> Screen:
    """The screen with k directions, of all rows or of some.

    With p the k coordinates of x and r the norm of the rest, x_i.x_j <= p_i.p_j + r_i r_j. In the matrices, p is
    rounded to the number type, r rounded up, and the offsets stand as sums of three numbers of it. The error of row i
    against any other is at most |p_i - p'_i| max|p'| + |p_i| max|p - p'| + the offsets' rests + the error of a sum in
    float32.
    """
    import torch

    unit, offset = (turned.unit, turned.offset) if rows is None else (turned.unit[rows], turned.offset[rows])
    n = len(unit)
    basis = np.ascontiguousarray(turned.vectors[:, :k])
    rounded = torch.empty(n, k, dtype=kind)
    length, error, rest = np.empty(n), np.empty(n), np.empty(n)
    for s in range(0, n, ROWS):
        x = unit[s : s + ROWS].astype(np.float64) - turned.mean
        p = x @ basis
        rounded[s : s + ROWS] = torch.from_numpy(p).to(kind)
        error[s : s + ROWS] = np.linalg.norm(p - rounded[s : s + ROWS].double().numpy(), axis=1)
        length[s : s + ROWS] = np.linalg.norm(p, axis=1)
        # the rest itself, not a difference of squares: it must not come out too small
        rest[s : s + ROWS] = np.linalg.norm(x - p @ basis.T, axis=1) if k < x.shape[1] else 0.0
    grown = length + error
    ceiling = _rounded_up(rest + 1e-9 if k < unit.shape[1] else rest, kind)
    largest = float(grown.max()) if n else 0.0
    # the shift puts the value of a pair at the threshold near 0, where rounding of the product costs nothing
    sum_error = (k + 16) * 4 * EPS32 * (grown.max() * grown + ceiling.max() * ceiling + np.abs(offset).max() * 2 + 2)
    row_error = error * largest + length * error.max() + sum_error
    shift = (wanted - float(row_error.max()) - 1e-5) / 2
    parts, left_over = _parts(offset - shift, kind)
    row_error = row_error + left_over.max() + left_over + 1e-7
    delta = float(row_error.max()) + 1e-5
    parts, left_over = _parts(offset - (wanted - delta) / 2, kind)
    one = torch.ones(n, dtype=kind)
    up = torch.from_numpy(ceiling).to(kind)
    left = torch.column_stack([rounded, up, *parts, one, one, one])
    right = torch.column_stack([rounded, up, one, one, one, *parts])
    pad = -left.shape[1] % 32
    left, right = (torch.nn.functional.pad(m, (0, pad)).contiguous() for m in (left, right))
    limits = _rounded_down(delta - row_error, kind)
    return Screen(
        left=left.to(device), right=right.to(device), threshold=limits, directions=k, share=0.0, device=device
    )


def _parts(values: np.ndarray, kind: Any) -> tuple[list[Any], np.ndarray]:
    """Values as a sum of three numbers of a type, and the absolute rest [n]."""
    import torch

    found, rest = [], np.asarray(values, np.float64).copy()
    for _ in range(3):
        piece = torch.from_numpy(rest).to(kind)
        rest = rest - piece.double().numpy()
        found.append(piece)
    return found, np.abs(rest)


def _rounded_up(values: np.ndarray, kind: Any) -> np.ndarray:
    """Values of at least 0 rounded up to a number type, as float64."""
    import torch

    near = torch.from_numpy(values).to(kind)
    above = torch.nextafter(near, torch.full_like(near, torch.inf))
    found = torch.where(near.double() < torch.from_numpy(values), above, near)
    return found.double().numpy()


def _rounded_down(values: np.ndarray, kind: Any) -> np.ndarray:
    """Thresholds of at least 0 rounded down, in the type that the compiled scan compares: int16 bits of bfloat16."""
    import torch

    exact = torch.from_numpy(np.maximum(values, 0.0))
    near = exact.to(kind)
    below = torch.nextafter(near, torch.full_like(near, -torch.inf))
    found = torch.where(near.double() > exact, below, near).clamp_min(0)
    return (found.view(torch.int16) if kind == torch.bfloat16 else found).numpy()


def _number_type(device: str) -> Any:
    """bfloat16 where the machine multiplies it faster than float32, else float32; the mined pairs are the same."""
    import time

    import torch

    if device != "cpu":
        return torch.bfloat16
    seconds = {}
    for kind in (torch.bfloat16, torch.float32):
        left, right = torch.ones(ROWS, 128, dtype=kind), torch.ones(COLUMNS, 128, dtype=kind)
        times = []
        for _ in range(4):
            start = time.perf_counter()
            _ = left @ right.T
            times.append(time.perf_counter() - start)
        seconds[kind] = min(times)
    return min(seconds, key=lambda kind: seconds[kind])
