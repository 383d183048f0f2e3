"""L2 logistic regression on a scale-free path, its strength chosen by log-loss inside the training part.

On the training rows columns are centred and divided by their sd (columns that do not vary are dropped); then
    sum_i log(1 + exp(-s_i (z_i v + b))) + m2 / (2 c) |v|^2,     m2 = mean |z_i|^2,  b unpenalised,
and the softmax of the same form for more than two classes. Because of m2 one grid of c serves every width.
"""

from dataclasses import dataclass

import numpy as np

from probes.solvers.calibration import temperature as fitted_temperature
from probes.solvers.newton import minimise
from probes.solvers.path import Features, Path, onehot_of, prepare
from probes.solvers.problem import Batch, Point, logits, losses
from probes.solvers.scale import inverse_scale

C_GRID = tuple(float(c) for c in 10.0 ** np.arange(-3, 4.5, 0.5))
_FINAL = 1e-13  # relative to the objective
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


def fit_nested(
    x: np.ndarray, y: np.ndarray, outer: np.ndarray, inner: np.ndarray, c_grid: tuple[float, ...] = C_GRID
) -> Fits:
    """Fit every outer training part with the c that its inner folds choose.

    x: [n, d]; y: int [n] in 0..K-1, each class present in every part. outer: bool [M, n], who trains. inner:
    int [M, n], the inner fold of each training item, -1 outside. All M parts are fitted together.
    """
    count = int(y.max()) + 1
    features = prepare(x, y, count)
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
    onehot = onehot_of(y, max(int(y.max()) + 1, 2))
    z = np.asarray(z, dtype=np.float64)
    m2 = float(np.square(z).sum(axis=1).mean())
    return float(losses((z @ v.T + b).T[None], onehot).sum() + m2 / (2 * c) * np.square(v).sum())


def _fit_part(
    features: Features, y: np.ndarray, count: int, outer: np.ndarray, inner: np.ndarray, grid: np.ndarray
) -> Fits:
    prior = np.stack([outer[:, y == k].sum(axis=1) for k in range(count)], axis=1) / outer.sum(axis=1)[:, None]
    path = Path.walk(features, outer, inner, grid)
    loss, chosen, held_out, start = path.race()
    temperature = fitted_temperature(held_out, features.wide.onehot, prior, outer)
    scale, m2 = features.batch(outer.astype(np.float64))
    batch = Batch(rows=outer.astype(np.float64), scale=scale, strength=m2 / grid[chosen])
    u = np.divide(start.u, scale[:, None], out=np.zeros_like(start.u), where=scale[:, None] > 0)
    begin = Point(u=u, b=start.b, z=logits(features.wide, batch, u, start.b))
    end = minimise(features.wide, batch, begin, _FINAL)
    if end.z.shape[1] > 1:  # the objective leaves the common level of the classes' logits free: their mean is 0
        level = end.b.mean(axis=1, keepdims=True)
        end = Point(u=end.u, b=end.b - level, z=end.z - level[..., None])
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
