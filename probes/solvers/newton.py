"""Many L2 logistic regressions at once: inexact Newton steps whose products are shared by all of them.

All problems share the rows of one matrix x and differ in which rows they train on, in the scale of their columns
and in their penalty. Two matrix products per step of conjugate gradients then serve every problem together
(truncated Newton, Dembo & Steihaug 1983; Lin, Weng & Keerthi 2008).
"""

from dataclasses import dataclass

import numpy as np

from probes.solvers import algebra
from probes.solvers.problem import Batch, Point, Shared, dot, logits, losses, objectives, probabilities

_FORCING = 0.1  # conjugate gradients stop at this share of the squared residual they began with
_STEPS = 60
_INNER_STEPS = 250


def minimise(shared: Shared, batch: Batch, start: Point, tolerance: float) -> Point:
    """The minimum of every problem, to `tolerance` relative in the objective.

    A problem is done when half its preconditioned squared gradient is below `tolerance` times its objective, or
    when a step no longer lowers the objective in this precision.

    Raises:
        FloatingPointError: the distance to the minimum is not finite. The processor's own flag is not asked: a
            product of a few rows has set it where every number was finite.
    """
    with np.errstate(invalid="ignore"):
        return _minimise(shared, batch, start, tolerance)


def _minimise(shared: Shared, batch: Batch, start: Point, tolerance: float) -> Point:
    done = Point(u=start.u.copy(), b=start.b.copy(), z=start.z.copy())
    active = np.arange(len(start.u))
    at, value, floor = start, objectives(shared, batch, start), 4 * np.finfo(start.u.dtype).eps
    for _ in range(_STEPS):
        curve = _Curvature.at(shared, batch, at)
        residual = (curve.p - shared.onehot) * batch.rows[:, None]
        slope_u = _backward(shared, batch, residual) + batch.strength[:, None, None] * at.u
        slope_b = residual.sum(axis=2)
        ahead_u, ahead_b = curve.precondition(slope_u, slope_b)
        gap = 0.5 * (dot(slope_u, ahead_u) + dot(slope_b, ahead_b))
        if not np.isfinite(gap).all():  # nothing is greater than NaN: it would pass for a minimum
            raise FloatingPointError("a logistic regression came to numbers that are not finite")
        going = gap > tolerance * value
        if not going.any():
            done.put(active, at)
            return done
        if not going.all():
            done.put(active, at)
            keep = np.flatnonzero(going)
            active, at, batch, value = active[keep], at.pick(keep), batch.pick(keep), value[keep]
            curve, slope_u, slope_b = curve.pick(keep), slope_u[keep], slope_b[keep]
        step = _conjugate(curve, slope_u, slope_b)
        at, lower = _line_search(shared, batch, at, step, value, slope_u, slope_b)
        stuck = value - lower <= floor * value
        value = lower
        if stuck.any():
            done.put(active, at)
            keep = np.flatnonzero(~stuck)
            if not len(keep):
                return done
            active, at, batch, value = active[keep], at.pick(keep), batch.pick(keep), value[keep]
    done.put(active, at)
    return done


@dataclass(frozen=True, kw_only=True, eq=False)
class _Curvature:
    """The Hessian of every problem at its point, as products with it and an approximate inverse."""

    shared: Shared
    batch: Batch
    p: np.ndarray  # [B, J, n]
    h: np.ndarray  # [B, J, n], diagonal of the loss's Hessian, 0 outside the training rows
    total: np.ndarray  # [B, J]

    @classmethod
    def at(cls, shared: Shared, batch: Batch, at: Point) -> "_Curvature":
        p = probabilities(at.z)
        h = p * (1 - p) * batch.rows[:, None]
        return cls(shared=shared, batch=batch, p=p, h=h, total=h.sum(axis=2))

    def pick(self, which: np.ndarray) -> "_Curvature":
        picked = {k: getattr(self, k)[which] for k in ("p", "h", "total")}
        return type(self)(shared=self.shared, batch=self.batch.pick(which), **picked)

    def times(self, u: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hessian times (u, b), and the logits of that direction."""
        z = logits(self.shared, self.batch, u, b)
        hz = self.h * z
        if z.shape[1] > 1:  # diag(p) - p p' on every row
            mean = np.einsum("bjn,bjn->bn", self.p, z)[:, None]
            hz = self.batch.rows[:, None] * self.p * (z - mean)
        back = _backward(self.shared, self.batch, hz)
        return back + self.batch.strength[:, None, None] * u, hz.sum(axis=2), z

    def precondition(self, u: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """An approximate inverse Hessian: exact along the leading eigenvectors of x'x, flat beyond them."""
        shape = u.shape
        strength = self.batch.strength[:, None]
        flat = 1 / (self.total * self.shared.tail + strength)
        lead = 1 / (self.total[..., None] * self.shared.s + strength[..., None]) - flat[..., None]
        rows, kept = shape[0] * shape[1], self.shared.v.shape[1]  # none is kept of a single column
        product = algebra.current().product
        inside = product(u.reshape(rows, shape[2]), self.shared.v).reshape(*shape[:2], kept)
        spread = product((inside * lead).reshape(rows, kept), self.shared.v, turned=True).reshape(shape)
        spread += flat[..., None] * u
        return spread, b / np.maximum(self.total, np.finfo(b.dtype).tiny)


def _backward(shared: Shared, batch: Batch, z: np.ndarray) -> np.ndarray:
    """Row products z [B, J, n] back to the scaled columns: [B, J, d]."""
    back = algebra.current().product(z.reshape(-1, z.shape[2]), shared.x).reshape(*z.shape[:2], -1)
    back *= batch.scale[:, None]
    return back


def _conjugate(curve: _Curvature, slope_u: np.ndarray, slope_b: np.ndarray) -> Point:
    """Preconditioned conjugate gradients on every Newton system; the step and its logits."""
    step = Point(u=np.zeros_like(slope_u), b=np.zeros_like(slope_b), z=np.zeros_like(curve.p))
    ru, rb = -slope_u, -slope_b
    su, sb = curve.precondition(ru, rb)
    du, db, size = su, sb, dot(ru, su) + dot(rb, sb)
    goal = _FORCING * size
    active = np.arange(len(slope_u))
    part = step
    for _ in range(_INNER_STEPS):
        hu, hb, z = curve.times(du, db)
        bend = dot(du, hu) + dot(db, hb)
        along = (size / np.where(bend > 0, bend, np.inf)).astype(ru.dtype)
        part.u += along[:, None, None] * du
        part.b += along[:, None] * db
        part.z += along[:, None, None] * z
        ru -= along[:, None, None] * hu
        rb -= along[:, None] * hb
        su, sb = curve.precondition(ru, rb)
        fresh = dot(ru, su) + dot(rb, sb)
        going = (fresh > goal) & (bend > 0)
        if not going.any():
            break
        turn = (fresh / size).astype(ru.dtype)
        du = su + turn[:, None, None] * du
        db = sb + turn[:, None] * db
        size = fresh
        if going.mean() < 0.8:
            if part is not step:
                step.put(active, part)
            keep = np.flatnonzero(going)
            active, part, curve = active[keep], part.pick(keep), curve.pick(keep)
            du, db, ru, rb, size, goal = du[keep], db[keep], ru[keep], rb[keep], size[keep], goal[keep]
    if part is not step:
        step.put(active, part)
    return step


def _line_search(
    shared: Shared,
    batch: Batch,
    at: Point,
    step: Point,
    value: np.ndarray,
    slope_u: np.ndarray,
    slope_b: np.ndarray,
) -> tuple[Point, np.ndarray]:
    """Halve each step until it lowers its objective enough; only logits are touched."""
    descent = dot(slope_u, step.u) + dot(slope_b, step.b)
    before, cross, square = dot(at.u, at.u), dot(at.u, step.u), dot(step.u, step.u)
    t = np.ones(len(value))
    lower = value.copy()
    open_ = np.arange(len(value))
    for _ in range(30):
        s = t[open_]
        z = at.z[open_] + s.astype(at.z.dtype)[:, None, None] * step.z[open_]
        fit = np.einsum("bn,bn->b", losses(z, shared.onehot), batch.rows[open_], dtype=np.float64)
        norm = before[open_] + 2 * s * cross[open_] + s * s * square[open_]
        lower[open_] = fit + 0.5 * batch.strength[open_] * norm
        open_ = open_[lower[open_] > value[open_] + 1e-4 * s * descent[open_]]
        if not len(open_):
            break
        t[open_] /= 2
    worse = lower > value
    t[worse], lower[worse] = 0.0, value[worse]
    s = t.astype(at.u.dtype)
    return Point(
        u=at.u + s[:, None, None] * step.u, b=at.b + s[:, None] * step.b, z=at.z + s[:, None, None] * step.z
    ), lower
