"""Inner fits along the whole path of strengths, and the race for the one that log-loss prefers."""

from dataclasses import dataclass, replace

import numpy as np

from probes.solvers import algebra
from probes.solvers.newton import minimise
from probes.solvers.problem import Batch, Point, Shared, losses, objectives
from probes.solvers.scale import inverse_scale, spread

_RANK = 192  # leading directions that the preconditioner treats exactly
_COARSE, _TIGHT = 1e-4, 1e-7  # relative to the objective
_ROWS = 8192  # at a time, where a second matrix of all would be needed
_RACE = 1.05  # a c whose coarse log-loss is this much above the best cannot win: coarse errors stay below 2 %


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features centred and scaled once, in two precisions, and what undoes it."""

    wide: Shared
    narrow: Shared
    centre: np.ndarray
    sd: np.ndarray

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For training masks [B, n]: the scale of each column [B, d] and m2, the number of columns kept [B]."""
        weight = rows / rows.sum(axis=1, keepdims=True)
        mean, square = algebra.current().product(weight, self.wide.x), np.zeros((len(rows), len(self.sd)))
        for start in range(0, rows.shape[1], _ROWS):
            some = slice(start, start + _ROWS)
            square += weight[:, some] @ np.square(self.wide.x[some])
        sd = np.sqrt(np.maximum(square - mean * mean, 0.0)) * self.sd
        scale = inverse_scale(sd, np.abs(self.centre)) * self.sd
        return scale, np.maximum((scale > 0).sum(axis=1), 1)


def prepare(x: np.ndarray, y: np.ndarray, count: int) -> Features:
    """Standardise [n, d] features and decompose them once for all penalties and folds."""
    wide = np.array(x, dtype=np.float64)
    centre = wide.mean(axis=0)
    wide -= centre
    sd = spread(wide)
    wide *= inverse_scale(sd, np.abs(centre))
    narrow = wide.astype(np.float32)
    v, s, tail = leading(narrow)
    shared = Shared(x=wide, onehot=onehot_of(y, count), v=v.astype(np.float64), s=s.astype(np.float64), tail=tail)
    short = replace(shared, x=narrow, onehot=shared.onehot.astype(np.float32), v=v, s=s)
    algebra.current().keep(shared.x, shared.v, short.x, short.v)
    return Features(wide=shared, narrow=short, centre=centre, sd=sd)


def onehot_of(y: np.ndarray, count: int) -> np.ndarray:
    """Class indices [n] as rows [K or 1, n] of zeros and ones; two classes need one row."""
    classes = np.arange(1, 2) if count == 2 else np.arange(count)
    return (y[None] == classes[:, None]).astype(np.float64)


def leading(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Leading eigenvectors [d, k] and values [k] of x'x / n, and the mean of the rest, by subspace iteration.

    They only steer the solver, so three iterations in float32 from rows of x itself are enough.
    """
    n, d = x.shape
    k = min(_RANK, n // 2, d // 2)
    product = algebra.current().product
    basis = x[np.linspace(0, n - 1, k).astype(int)].T
    for _ in range(3):
        basis, _ = np.linalg.qr(product(x.T, product(x, basis)))
    image = product(x, basis)
    s, turn = np.linalg.eigh(image.T @ image / n)
    rest = float(np.square(x, dtype=np.float64).sum() / n - s.sum())
    return basis @ turn, np.maximum(s, 0), max(rest / max(d - k, 1), 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """Inner fits of M outer parts along the whole grid, coarse at first. Problems run over (M, inner fold)."""

    features: Features
    grid: np.ndarray
    outer: np.ndarray
    inner: np.ndarray
    rows: np.ndarray  # [M * F, n]
    scale: np.ndarray
    m2: np.ndarray
    points: list[Point]

    @classmethod
    def walk(cls, features: Features, outer: np.ndarray, inner: np.ndarray, grid: np.ndarray) -> "Path":
        """Solve for every c, each from where the two before it point."""
        folds = np.arange(inner.max() + 1)
        rows = (outer[:, None] & (inner[:, None] != folds[:, None])).reshape(-1, outer.shape[1])
        scale, m2 = features.batch(rows.astype(np.float64))
        rows, scale = rows.astype(np.float32), scale.astype(np.float32)
        shared = features.narrow
        count, width = len(rows), len(shared.onehot)
        zero = (np.zeros((count, width, e), np.float32) for e in (scale.shape[1], rows.shape[1]))
        points = [Point(u=next(zero), z=next(zero), b=np.zeros((count, width), np.float32))]
        for c in grid:
            batch = Batch(rows=rows, scale=scale, strength=(m2 / c).astype(np.float32))
            points.append(minimise(shared, batch, _extrapolated(shared, batch, points), _COARSE))
        return cls(
            features=features, grid=grid, outer=outer, inner=inner, rows=rows, scale=scale, m2=m2, points=points[1:]
        )

    def race(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Point]:
        """Finish the fits whose c can still win; inner loss [M, C], choice [M], its held-out logits, a start.

        The start is the mean of the inner fits in the units of x (float64), the logits are [M, J, n].
        """
        loss = np.stack([self._loss(point.z) for point in self.points], axis=1)
        running = loss <= _RACE * loss.min(axis=1, keepdims=True)
        for c in np.flatnonzero(running.any(axis=0)):
            self._finish(int(c), running[:, c])
            loss[running[:, c], c] = self._loss(self.points[c].z)[running[:, c]]
        chosen = np.where(running, loss, np.inf).argmin(axis=1)
        return loss, chosen, *self._at(chosen)

    def _finish(self, c: int, which: np.ndarray) -> None:
        folds = len(self.rows) // len(self.outer)
        problems = np.flatnonzero(np.repeat(which, folds))
        batch = Batch(rows=self.rows, scale=self.scale, strength=(self.m2 / self.grid[c]).astype(np.float32))
        point = self.points[c]
        end = minimise(self.features.narrow, batch.pick(problems), point.pick(problems), _TIGHT)
        point.put(problems, end)

    def _loss(self, z: np.ndarray) -> np.ndarray:
        """Mean held-out log-loss of every outer part, [M]."""
        held = self._held()
        nats = losses(z, self.features.narrow.onehot).reshape(held.shape)
        return np.einsum("mfn,mfn->m", nats, held, dtype=np.float64) / held.sum(axis=(1, 2))

    def _held(self) -> np.ndarray:
        folds = np.arange(len(self.rows) // len(self.outer))
        return self.inner[:, None] == folds[:, None]

    def _at(self, chosen: np.ndarray) -> tuple[np.ndarray, Point]:
        count, folds = len(self.outer), len(self.rows) // len(self.outer)
        width = len(self.features.narrow.onehot)
        held = self._held()
        z = np.zeros((count, width, self.rows.shape[1]))
        u = np.empty((count, width, self.scale.shape[1]))
        b = np.empty((count, width))
        for m, c in enumerate(chosen):
            mine = slice(m * folds, (m + 1) * folds)
            point = self.points[c]
            z[m] = (point.z[mine] * held[m][:, None]).sum(axis=0)
            u[m] = (point.u[mine] * self.scale[mine, None]).mean(axis=0)
            b[m] = point.b[mine].mean(axis=0)
        return z, Point(u=u, b=b, z=z)


def _extrapolated(shared: Shared, batch: Batch, points: list[Point]) -> Point:
    """Where the last two solutions point, for the problems where that is lower than where they stand."""
    at = points[-1]
    if len(points) < 3:
        return at
    before = points[-2]
    ahead = Point(u=2 * at.u - before.u, b=2 * at.b - before.b, z=2 * at.z - before.z)
    worse = np.flatnonzero(objectives(shared, batch, ahead) >= objectives(shared, batch, at))
    ahead.put(worse, at.pick(worse))
    return ahead
