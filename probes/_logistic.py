"""L2 logistic regression on a scale-free path, its strength chosen by log-loss inside the training part.

On the training rows columns are centred and divided by their sd (columns that do not vary are dropped); then
    sum_i log(1 + exp(-s_i (z_i v + b))) + m2 / (2 c) |v|^2,     m2 = mean |z_i|^2,  b unpenalised,
and the softmax of the same form for more than two classes. Because of m2 one grid of c serves every width.
"""

from dataclasses import dataclass

import numpy as np

from probes._newton import Batch, Point, Shared, logits, losses, minimise, objectives
from probes._scale import inverse_scale

C_GRID = tuple(float(c) for c in 10.0 ** np.arange(-3, 4.5, 0.5))
_RANK = 192  # leading directions that the preconditioner treats exactly
_COARSE, _TIGHT, _FINAL = 1e-4, 1e-7, 1e-13  # relative to the objective
_RACE = 1.05  # a c whose coarse log-loss is this much above the best cannot win: coarse errors stay below 2 %
_NUMBERS_HELD = 64_000_000  # float32 values kept for the path of one batch (256 MB)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fits:
    """What was fitted for M outer training parts.

    logits: [M, J, n] of every row. c [M]. prior: [M, K] class shares of the training part. temperature: [M],
    0 where the calibrated inner log-loss does not beat the prior. weights [M, J, d] and intercept [M, J] act on
    raw features. inner_loss: [M, C], nats per item; values far above the row's best are coarse.
    """

    logits: np.ndarray
    c: np.ndarray
    prior: np.ndarray
    temperature: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    inner_loss: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class _Features:
    """Features centred and scaled once, in two precisions, and what undoes it."""

    wide: Shared
    narrow: Shared
    centre: np.ndarray
    sd: np.ndarray
    square: np.ndarray

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For training masks [B, n]: the scale of each column [B, d] and m2, the number of columns kept [B]."""
        weight = rows / rows.sum(axis=1, keepdims=True)
        mean = weight @ self.wide.x
        sd = np.sqrt(np.maximum(weight @ self.square - mean * mean, 0.0)) * self.sd
        scale = inverse_scale(sd, np.abs(self.centre)) * self.sd
        return scale, np.maximum((scale > 0).sum(axis=1), 1)


def fit_nested(
    x: np.ndarray, y: np.ndarray, outer: np.ndarray, inner: np.ndarray, c_grid: tuple[float, ...] = C_GRID
) -> Fits:
    """Fit every outer training part with the c that its inner folds choose.

    x: [n, d]; y: int [n] in 0..K-1, each class present in every part. outer: bool [M, n], who trains. inner:
    int [M, n], the inner fold of each training item, -1 outside. All M parts are fitted together.
    """
    count = int(y.max()) + 1
    features = _prepare(x, y, count)
    width = 1 if count == 2 else count
    folds = int(inner.max()) + 1
    per_mask = folds * len(c_grid) * width * (x.shape[1] + len(x))
    size = max(1, _NUMBERS_HELD // per_mask)
    parts = [
        _fit_part(features, y, count, outer[i : i + size], inner[i : i + size], np.asarray(c_grid))
        for i in range(0, len(outer), size)
    ]
    names = Fits.__dataclass_fields__
    return Fits(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def objective(z: np.ndarray, y: np.ndarray, v: np.ndarray, b: np.ndarray, c: float) -> float:
    """The objective in float64 at weights v [J, d] and intercepts b [J] on standardised features z [n, d]."""
    onehot = _onehot(y, max(int(y.max()) + 1, 2))
    z = np.asarray(z, dtype=np.float64)
    m2 = float(np.square(z).sum(axis=1).mean())
    return float(losses((z @ v.T + b).T[None], onehot).sum() + m2 / (2 * c) * np.square(v).sum())


def calibrated(z: np.ndarray, prior: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Class probabilities [M, K, n] from logits [M, J, n]: the temperature scales their distance from the prior.

    At temperature 1 they are the fit's own, at 0 the prior.
    """
    full, log_prior = above_prior(z, prior), np.log(prior)[..., None]
    return softmax(log_prior + temperature[:, None, None] * full)


def above_prior(z: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Decision values [M, K, n]: logits less the log prior, so that the argmax decides at the training prior."""
    if z.shape[1] > 1:
        return z - np.log(prior)[..., None]
    half = (z[:, 0] - (np.log(prior[:, 1]) - np.log(prior[:, 0]))[:, None]) / 2
    return np.stack([-half, half], axis=1)


def softmax(z: np.ndarray) -> np.ndarray:
    """Softmax over the second axis of [M, K, n], two classes included."""
    raised = np.exp(z - z.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _prepare(x: np.ndarray, y: np.ndarray, count: int) -> _Features:
    wide = np.asarray(x, dtype=np.float64)
    centre = wide.mean(axis=0)
    wide = wide - centre
    sd = wide.std(axis=0)
    wide *= inverse_scale(sd, np.abs(centre))
    v, s, tail = _leading(wide.astype(np.float32))
    shared = Shared(x=wide, onehot=_onehot(y, count), v=v.astype(np.float64), s=s.astype(np.float64), tail=tail)
    return _Features(wide=shared, narrow=shared.astype(np.float32), centre=centre, sd=sd, square=wide * wide)


def _onehot(y: np.ndarray, count: int) -> np.ndarray:
    classes = np.arange(1, 2) if count == 2 else np.arange(count)
    return (y[None] == classes[:, None]).astype(np.float64)


def _leading(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Leading eigenvectors [d, k] and values [k] of x'x / n, and the mean of the rest, by subspace iteration.

    They only steer the solver, so three iterations in float32 from rows of x itself are enough.
    """
    n, d = x.shape
    k = min(_RANK, n // 2, d // 2)
    basis = x[np.linspace(0, n - 1, k).astype(int)].T
    for _ in range(3):
        basis, _ = np.linalg.qr(x.T @ (x @ basis))
    image = x @ basis
    s, turn = np.linalg.eigh(image.T @ image / n)
    rest = float(np.square(x, dtype=np.float64).sum() / n - s.sum())
    return basis @ turn, np.maximum(s, 0), max(rest / max(d - k, 1), 0.0)


def _fit_part(
    features: _Features, y: np.ndarray, count: int, outer: np.ndarray, inner: np.ndarray, grid: np.ndarray
) -> Fits:
    prior = np.stack([outer[:, y == k].sum(axis=1) for k in range(count)], axis=1) / outer.sum(axis=1)[:, None]
    path = _Path.walk(features, outer, inner, grid)
    loss, chosen, held_out, start = path.race()
    temperature = _temperature(held_out, features.wide.onehot, prior, outer)
    scale, m2 = features.batch(outer.astype(np.float64))
    batch = Batch(rows=outer.astype(np.float64), scale=scale, strength=m2 / grid[chosen])
    u = np.divide(start.u, scale[:, None], out=np.zeros_like(start.u), where=scale[:, None] > 0)
    begin = Point(u=u, b=start.b, z=logits(features.wide, batch, u, start.b))
    end = _pinned(minimise(features.wide, batch, begin, _FINAL))
    weights = end.u * (scale * inverse_scale(features.sd, np.abs(features.centre)))[:, None]
    return Fits(
        logits=end.z,
        c=grid[chosen],
        prior=prior,
        temperature=temperature,
        weights=weights,
        intercept=end.b - weights @ features.centre,
        inner_loss=loss,
    )


def _pinned(at: Point) -> Point:
    """Softmax logits whose mean over the classes is 0: the objective leaves their common level free."""
    if at.z.shape[1] == 1:
        return at
    level = at.b.mean(axis=1, keepdims=True)
    return Point(u=at.u, b=at.b - level, z=at.z - level[..., None])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Path:
    """Inner fits of M outer parts along the whole grid, coarse at first. Problems run over (M, inner fold)."""

    features: _Features
    grid: np.ndarray
    outer: np.ndarray
    inner: np.ndarray
    rows: np.ndarray  # [M * F, n]
    scale: np.ndarray
    m2: np.ndarray
    points: list[Point]

    @classmethod
    def walk(cls, features: _Features, outer: np.ndarray, inner: np.ndarray, grid: np.ndarray) -> "_Path":
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


def _temperature(z: np.ndarray, onehot: np.ndarray, prior: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The factor [M] on the logits' distance from the prior that minimises the log-loss; 0 if none helps.

    The log-loss is convex in it: Newton steps, kept inside the bracket.
    """
    above, log_prior = above_prior(z, prior), np.log(prior)[..., None]
    truth = np.eye(2)[:, onehot[0].astype(int)] if len(onehot) == 1 else onehot
    low, high = np.zeros(len(z)), np.full(len(z), 1e3)
    at = np.ones(len(z))

    def slopes(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = softmax(log_prior + t[:, None, None] * above)
        mean = np.einsum("mkn,mkn->mn", p, above)
        first = np.einsum("mn,mn->m", mean - np.einsum("kn,mkn->mn", truth, above), rows)
        return first, np.einsum("mn,mn->m", np.einsum("mkn,mkn->mn", p, above**2) - mean**2, rows)

    useless = slopes(low)[0] >= 0
    for _ in range(50):
        first, second = slopes(at)
        low, high = np.where(first < 0, at, low), np.where(first >= 0, at, high)
        newton = at - np.divide(first, second, out=np.full_like(at, np.inf), where=second > 1e-12 * np.abs(first))
        inside = (newton > low) & (newton < high)
        after = np.where(inside, newton, (low + high) / 2)
        if np.all(np.abs(after - at) <= 1e-9 * at):
            break
        at = after
    return np.where(useless, 0.0, at)
