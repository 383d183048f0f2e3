"""The transported probe: is what a probe reads at one stage still there at a later one?

A probe trained anew at the later stage answers whether it is as easy to learn there: an invertible but badly
conditioned connector makes it read less although nothing is lost. Here the probe is trained before, its score is
regressed on the later features over images without labels, and both are read on the items held out (METHOD 4.4).

One decomposition of the later features serves every fold, repeat, penalty and permuted label vector: the held-out rows
of a fold leave the regression by the block formula of `probes.solvers.ridge`, and the penalty is chosen by the error
of rows left out one at a time besides (PRESS: Allen 1974, Technometrics 16, 125-127), without the fold that is held
out. "Retained" is constructive: one reader that reads as well proves it. "Lost" is relative to the readers tried, so
it needs all of them: the straight-line regressor, the curved one, and the probe trained anew behind.

With few images for the width of the later features a regression loses what is there. Below ENOUGH times the width a
loss is claimed only if it would also be left with more of them: with half the images the loss is l', with all l, and
2 l - l' is what is left where it falls as 1/N (Richardson's extrapolation).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np

from probes._base import FeatureSet, ProbeError
from probes.rbf import spanned
from probes.solvers.codes import coded_vectors, fold_means
from probes.solvers.ridge import Ridge
from probes.solvers.scale import inverse_scale, standardised
from probes.stages.contrast import (
    Contrast,
    ContrastState,
    contrast,
    paired,
    repeats,
    scored_margin,
    scored_order,
)
from probes.stats.loss import margin_of
from probes.stats.permutation import REFITS
from probes.stats.plan import Plan
from probes.stats.scores import Scored

GRID = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)  # relative penalties of the regression
ENOUGH = 3  # images for each later feature, from which a regression is determined
LANDMARKS = 300  # rows that span the curved regressor's kernel
ReaderName = Literal["linear", "nonlinear", "trained anew"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """One way of reading at the later stage what was read before: held-out decision values, and what is lost.

    margin [R, n, C]; `loss` on balanced accuracy (concordance for numbers), `order` on the AUC scale. `fidelity` is the
    share of the score's variance on rows left out that the regression gets back (None where nothing is regressed),
    `penalty` the median of the relative penalties chosen. `limit` is the loss that would be left with more images
    (None where those at hand determine the regression).
    """

    name: ReaderName
    margin: np.ndarray
    scored: Scored
    loss: Contrast
    order: Contrast
    fidelity: float | None = None
    penalty: float | None = None
    limit: Contrast | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Transport:
    """What becomes of a probe's score between two stages: held-out values before, each reader behind, and the state.

    `before` [R, n, C] are decision values of the probe at the stage before; `readers` those behind. `state` is "none"
    where one reader surely loses less than the margin, "material" where each loses more, "some" where each loses
    something, else "unknown". `loss` is that of the reader that loses least, with that state. `rows` images without
    labels had part, of later features `width` wide; `needed` is with how many the regression would be determined, None
    where it is. `reason` says it in a sentence.
    """

    before: np.ndarray
    scored: Scored
    readers: tuple[Reader, ...]
    loss: Contrast
    order: Contrast
    state: ContrastState
    margin: float
    rows: int
    width: int
    needed: int | None
    reason: str

    @property
    def linear(self) -> Reader:
        """The straight-line regression."""
        return self.readers[0]


def transported(
    before: FeatureSet,
    after: FeatureSet,
    plan: Plan,
    *,
    pool_before: np.ndarray | None = None,
    pool_after: np.ndarray | None = None,
    margin: float | None = None,
    seed: int = 0,
) -> Transport:
    """Read at `after` [n, e], on items held out, what a ridge probe reads at `before` [n, d].

    `pool_before` [m, d] and `pool_after` [m, e] are further images at both stages, without labels and of no group of
    the items; without them the training items of each fold, their labels unused, are all that ties the stages together.
    `margin` is dl, by default .05 from 643 items, else .10.

    Raises:
        ProbeError: the two stages hold other items, or pools that do not fit.
    """
    _check(before, after, plan, pool_before, pool_after)
    dl = margin_of(plan) if margin is None else margin
    source = _Source.of(np.asarray(before.x), pool_before, plan)
    later = np.asarray(after.x, np.float64) if pool_after is None else np.concatenate([after.x, pool_after])
    held = np.stack([source.held_out(r) for r in range(plan.repeats)])
    exchanged = source.permuted()
    rng = np.random.default_rng([seed, plan.seed, 83])
    half = None if len(later) >= ENOUGH * later.shape[1] else _Half.of(len(before.x), len(later), rng)
    curved = _curved(later, rng)
    readers: list[Reader] = []
    ways: tuple[tuple[ReaderName, np.ndarray, bool], ...] = (("linear", later, True), ("nonlinear", curved, False))
    for name, x, standardise in ways:
        regressed = _regressed(Ridge.of(x, standardise=standardise), source, plan)
        fewer = None if half is None else half.regressed(x, source, plan, standardise=standardise)
        readers.append(_reader(name, regressed, held, exchanged, plan, dl, fewer))
    readers.append(_reader("trained anew", _anew(np.asarray(after.x), plan), held, exchanged, plan, dl))
    state = _state(readers)
    best = min(readers, key=lambda r: r.loss.loss)
    scored = repeats(held, plan)
    return Transport(
        before=held,
        scored=scored,
        readers=tuple(readers),
        loss=replace(best.loss, state=state),
        order=best.order,
        state=state,
        margin=dl,
        rows=len(later) - ceil(len(before.x) / plan.n_folds),
        width=later.shape[1],
        needed=None if half is None else ENOUGH * later.shape[1],
        reason=_reason(state, scored, readers, plan, None if half is None else ENOUGH * later.shape[1]),
    )


def _check(
    before: FeatureSet, after: FeatureSet, plan: Plan, pool_before: np.ndarray | None, pool_after: np.ndarray | None
) -> None:
    if list(before.ids) != list(after.ids) or len(before.x) != len(plan.y):
        raise ProbeError(
            "the two stages hold other items, or in another order: a transported probe needs the same ones"
        )
    if (pool_before is None) != (pool_after is None):
        raise ProbeError("a pool is needed at both stages, or at neither")
    if pool_before is None or pool_after is None:
        return
    wanted, given = [before.x.shape[1], after.x.shape[1]], [pool_before.shape[-1], pool_after.shape[-1]]
    if len(pool_before) != len(pool_after) or wanted != given:
        raise ProbeError(
            f"the pool has {len(pool_before)} rows of width {given[0]} before and {len(pool_after)} of {given[1]} "
            f"behind; the same images are wanted at both, of widths {wanted[0]} and {wanted[1]}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Source:
    """The probe before: cross [N, n], inner products of all rows (items, then the pool) with the items."""

    cross: np.ndarray
    rho: float
    plan: Plan

    @classmethod
    def of(cls, x: np.ndarray, pool: np.ndarray | None, plan: Plan) -> "_Source":
        wide = np.asarray(x, np.float64)
        centre = wide.mean(axis=0)
        scale = inverse_scale((wide - centre).std(axis=0), np.abs(centre))  # as `Ridge.of` has it, on the items alone
        z = (wide - centre) * scale
        rows = z if pool is None else np.concatenate([z, (np.asarray(pool, np.float64) - centre) * scale])
        # where nothing varies any penalty gives the same score to all
        rho = plan.penalty * float(np.square(z).sum() / len(z)) or 1.0
        return cls(cross=rows @ z.T, rho=rho, plan=plan)

    def codes(self, labels: np.ndarray) -> np.ndarray:
        """Label vectors [B, n] as targets [n, B, C]."""
        classes = None if self.plan.classes is None else len(self.plan.classes)
        coded = coded_vectors(labels, classes)
        return np.moveaxis(coded[..., None] if coded.ndim == 2 else coded, 0, 1).astype(np.float64)

    def scores(self, codes: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Decision values [N, B, C] of the probe trained on the items not `held` [n], for all rows."""
        import scipy.linalg

        train = ~held
        y = codes[train].reshape(train.sum(), -1)
        k = self.cross[: len(held)][np.ix_(train, train)]
        m = k.mean(axis=0)
        gram = k - m - m[:, None] + m.mean()
        gram[np.diag_indices_from(gram)] += self.rho
        alpha = scipy.linalg.solve(gram, y - y.mean(axis=0), assume_a="pos", check_finite=False)
        return (self.cross[:, train] @ alpha - m @ alpha).reshape(-1, *codes.shape[1:])

    def held_out(self, repeat: int) -> np.ndarray:
        """Decision values [n, C] of every item while its fold of this repeat is held out."""
        return self._each(self.codes(self.plan.y[None]), self.plan.folds[repeat])[:, 0]

    def permuted(self) -> np.ndarray:
        """The same [B, n, C] for the plan's first permuted labels, on its first repeat."""
        return np.moveaxis(self._each(self.codes(self.plan.permuted[:REFITS]), self.plan.folds[0]), 1, 0)

    def _each(self, codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
        found = np.empty(codes.shape)
        for part in range(int(folds.max()) + 1):
            held = folds == part
            found[held] = self.scores(codes, held)[: len(held)][held]
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Regressed:
    """Held-out values behind: margin [R, n, C], of permuted labels [B, n, C], and how the regression went."""

    margin: np.ndarray
    permuted: np.ndarray
    fidelity: float | None = None
    penalty: float | None = None


def _regressed(solver: Ridge, source: _Source, plan: Plan) -> _Regressed:
    """The scores of each fold's probe, regressed on the later features without that fold's rows and read on them."""
    n, smoother = len(plan.y), _Smoother.of(solver)
    codes, labels = source.codes(plan.y[None]), source.codes(plan.permuted[:REFITS])
    margin, kept, chosen = np.empty((plan.repeats, n, codes.shape[2])), [], []
    permuted = np.empty((n, *labels.shape[1:]))
    for r, folds in enumerate(plan.folds):
        for part in range(plan.n_folds):
            held = folds == part
            found = smoother.left_out(np.flatnonzero(held), source.scores(codes, held))
            margin[r, held] = found.predicted[:, 0]
            kept.append(found.fidelity)
            chosen.append(found.penalty)
            if r == 0:  # the regression sees no label: its penalty stays
                exchanged = source.scores(labels, held)
                permuted[held] = smoother.left_out(np.flatnonzero(held), exchanged, found.penalty).predicted
    return _Regressed(
        margin=margin,
        permuted=np.moveaxis(permuted, 1, 0),
        fidelity=float(np.mean(kept)),
        penalty=float(np.median(chosen)),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Half:
    """Half of the images: the rows kept [H] of all (items first), and the items [n] that no regression sees."""

    kept: np.ndarray
    dropped: np.ndarray

    @classmethod
    def of(cls, n: int, count: int, rng: np.random.Generator) -> "_Half":
        """Drop half of the rows, of the pool first: items must stay, as they are to be predicted."""
        away = rng.permutation(np.arange(n, count))[: count // 2]
        dropped = np.zeros(n, bool)
        dropped[rng.permutation(n)[: count // 2 - len(away)]] = True
        return cls(kept=np.setdiff1d(np.arange(count), away), dropped=dropped)

    def regressed(self, x: np.ndarray, source: _Source, plan: Plan, *, standardise: bool) -> np.ndarray:
        """Decision values [n, C] behind, of the plan's first repeat, from half the images."""
        smoother = _Smoother.of(Ridge.of(x[self.kept], standardise=standardise))
        codes, folds = source.codes(plan.y[None]), plan.folds[0]
        margin = np.empty((len(folds), codes.shape[2]))
        for part in range(plan.n_folds):
            held = folds == part
            out = np.flatnonzero(held | self.dropped)
            found = smoother.left_out(out, source.scores(codes, held)[self.kept])
            margin[held] = found.predicted[held[out], 0]
        return margin


@dataclass(frozen=True, kw_only=True, eq=False)
class _LeftOut:
    """Predictions [s, B, C] of rows left out; the penalty, and the share of variance got back with it (chosen only)."""

    predicted: np.ndarray
    penalty: float
    fidelity: float = np.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class _Smoother:
    """I - H of a regression at each penalty of GRID: rest [P, r] of each eigendirection, and its diagonal [P, N]."""

    u: np.ndarray
    rest: np.ndarray
    diagonal: np.ndarray
    full: bool  # as many directions as rows: nothing lies outside of them

    @classmethod
    def of(cls, solver: Ridge) -> "_Smoother":
        """From a decomposed Gram matrix; 1 - shrink without cancellation."""
        u, units = solver.u, np.array(GRID)[:, None] * solver.unit
        full, square = u.shape[1] >= len(u) - 1, np.square(u)
        rest = units / (solver.w + units)
        beyond = 0.0 if full else 1 - square.sum(axis=1) - 1 / len(u)
        return cls(u=u, rest=rest, diagonal=rest @ square.T + beyond, full=full)

    def left_out(self, held: np.ndarray, target: np.ndarray, penalty: float | None = None) -> _LeftOut:
        """Regress targets [N, B, C] without the rows `held` and predict these, with this penalty or the best.

        The best has the least error on rows left out one at a time besides. With A = I - H and e = A t, leaving the
        rows s out turns the errors of the others into e_i - A_is A_ss^-1 e_s, and that of a row i left out besides into
        this over A_ii - A_is A_ss^-1 A_si. What targets the rows s had does not matter: they are put to 0.
        """
        count, b, c = target.shape
        t = target.reshape(count, b * c).copy()
        t[held] = 0
        us, coded = self.u[held], self.u.T @ t
        rows = held if penalty is not None else np.arange(count)
        u, here = self.u[rows], held if penalty is None else np.arange(len(held))
        beyond, outside = 0.0, 0.0
        if not self.full:
            beyond = t[rows] - t.mean(axis=0) - u @ coded
            outside = -(u @ us.T) - 1 / count
            outside[here, np.arange(len(held))] += 1
        others = np.setdiff1d(np.arange(count), held)
        least, best, chosen = np.inf, np.empty((len(held), b, c)), np.nan
        for one, rest, diagonal in zip(GRID, self.rest, self.diagonal, strict=True):
            if penalty not in (None, one):
                continue
            e = u @ (rest[:, None] * coded) + beyond
            a = (u * rest) @ us.T + outside
            if penalty is not None:
                return _LeftOut(predicted=-np.linalg.solve(a, e).reshape(best.shape), penalty=one)
            solved = np.linalg.solve(a[held], np.concatenate([e[held], a.T], axis=1))
            error = e - a @ solved[:, : b * c]
            own = diagonal - np.einsum("is,si->i", a, solved[:, b * c :])
            press = float(np.square(error[others] / np.maximum(own[others], 1e-12)[:, None]).sum())
            if press < least:
                least, chosen, best = press, one, -solved[:, : b * c].reshape(best.shape)
        spread = float(np.square(t[others] - t[others].mean(axis=0)).sum())
        return _LeftOut(predicted=best, penalty=chosen, fidelity=1 - least / spread if spread > 0 else 1.0)


def _curved(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The later features and a Gaussian kernel of them, each of unit size: what a curved regressor may use."""
    z = standardised(x)
    marks = np.sort(rng.choice(len(z), min(LANDMARKS, len(z)), replace=False))
    (kernel,) = spanned(z, marks, (1.0,))
    parts = [part - part.mean(axis=0) for part in (z, kernel)]
    sizes = [np.sqrt(np.square(part).sum() / len(part)) for part in parts]
    return np.concatenate([p / s for p, s in zip(parts, sizes, strict=True) if s > 0], axis=1)


def _anew(x: np.ndarray, plan: Plan) -> _Regressed:
    """The probe of the plan trained on labels at the later stage."""
    classes = None if plan.classes is None else len(plan.classes)
    solver = Ridge.of(x)

    def margins(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
        codes = coded_vectors(labels, classes).astype(np.float64)
        (fitted,) = solver.each(codes, folds, [plan.penalty], dtype=np.float64)
        found = fitted - fold_means(codes, folds)
        return found[..., None] if found.ndim == 2 else found

    margin = np.concatenate([margins(plan.y[None], folds) for folds in plan.folds])
    return _Regressed(margin=margin, permuted=margins(plan.permuted[:REFITS], plan.folds[0]))


def _reader(
    name: ReaderName,
    found: _Regressed,
    before: np.ndarray,
    exchanged: np.ndarray,
    plan: Plan,
    dl: float,
    fewer: np.ndarray | None = None,
) -> Reader:
    scored = repeats(found.margin, plan)
    labels = plan.permuted[:REFITS]
    losses = []
    for order, one in ((False, scored_margin), (True, scored_order)):
        here = repeats(before, plan, order=order), repeats(found.margin, plan, order=order)
        there = one(exchanged, labels, plan), one(found.permuted, labels, plan)
        losses.append(contrast(paired(*here, plan, there), dl))
    return Reader(
        name=name,
        margin=found.margin,
        scored=scored,
        loss=losses[0],
        order=losses[1],
        fidelity=found.fidelity,
        penalty=found.penalty,
        limit=None if fewer is None else _limit(before[:1], found.margin[:1], fewer[None], plan, dl),
    )


def _limit(before: np.ndarray, all_of_them: np.ndarray, half: np.ndarray, plan: Plan, dl: float) -> Contrast:
    """The loss 2 l - l' that would be left with more images, of the first repeat: (before + half) - 2 all."""
    a, b, c = (scored_margin(m, plan.y, plan, plan.folds[0]) for m in (before, half, all_of_them))
    first = Scored(
        score=a.score + b.score,
        part=a.part + b.part,
        share=None if a.share is None or b.share is None else a.share + b.share,
    )
    twice = Scored(score=2 * c.score, part=2 * c.part, share=None if c.share is None else 2 * c.share)
    return contrast(paired(first, twice, plan), dl)


def _state(readers: Sequence[Reader]) -> ContrastState:
    if any(one.loss.none for one in readers):
        return "none"
    if all(one.loss.material and (one.limit is None or one.limit.material) for one in readers):
        return "material"
    return "some" if all(one.loss.some and (one.limit is None or one.limit.some) for one in readers) else "unknown"


def _reason(state: ContrastState, before: Scored, readers: Sequence[Reader], plan: Plan, needed: int | None) -> str:
    """One sentence with its numbers."""
    what = "concordance" if plan.number else "balanced accuracy"
    best = min(readers, key=lambda r: r.loss.loss)
    ends = "" if best.loss.low is None else f" [{best.loss.low:+.2f}, {best.loss.high:+.2f}]"
    how = {"linear": "carried over by a straight line", "nonlinear": "carried over by a curve",
           "trained anew": "trained anew behind it"}[best.name]  # fmt: skip
    numbers = (
        f"{what} {before.mean:.2f} before, {best.scored.mean:.2f} {how}, loss {best.loss.loss:+.2f}{ends}, "
        f"margin {best.loss.margin:.2f}"
    )
    words = {
        "none": "Nothing material is lost",
        "some": "Something is lost, whether materially is open",
        "material": "Lost: no reader that was tried gets it back",
        "unknown": "Whether something is lost cannot be told",
    }
    more = f" About {needed} images without labels would determine the regression." if needed else ""
    return f"{words[state]}: {numbers}.{more if state in ('unknown', 'some') else ''}"
