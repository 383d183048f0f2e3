"""Ridge probe: the linear readout with one penalty, fixed in advance, and exact held-out predictions.

Below 200 groups this is the headline for classes: with so few, choosing a penalty costs more than it gives.
"""

from typing import Literal

import numpy as np

from probes._base import FeatureSet, Predictions
from probes.solvers.codes import coded, decide
from probes.solvers.inner_folds import inner_folds
from probes.solvers.ridge import Ridge

CLASSES = 0.3  # relative to trace(K) / n
NUMBERS = 1.0
GRID = tuple(float(p) for p in 10.0 ** np.arange(-3, 3.5, 0.5))


def probe(
    given: FeatureSet,
    folds: np.ndarray,
    rng: np.random.Generator,
    *,
    penalty: float | Literal["nested"] | None = None,
    grid: tuple[float, ...] = GRID,
) -> Predictions:
    """Predict every item while its fold is held out; classes at the training prior, numbers as they are.

    folds: int [R, n]. penalty: relative, .3 for classes and 1 for numbers unless given; "nested" chooses it
    from `grid` in inner folds of each training part, by squared error.

    Raises:
        ProbeError: folds that split a group or leave a class out of a training part.
    """
    codes = coded(given)[None]
    solver = Ridge.of(given.x)
    if penalty != "nested":
        fixed = penalty if penalty is not None else (NUMBERS if given.classes is None else CLASSES)
        fitted = [solver.held_out(codes, fold, [fixed], dtype=np.float64)[0, 0] for fold in folds]
        return decide(given, folds, np.stack(fitted))
    fitted, chosen = choose([solver], given, folds, rng, grid)
    return decide(given, folds, fitted, penalty=chosen[..., 1])


def choose(
    solvers: list[Ridge], given: FeatureSet, folds: np.ndarray, rng: np.random.Generator, grid: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Fitted codes [R, n, K] with solver and penalty chosen inside each training part, and those choices.

    The choices are [R, folds, 2]: index of the solver, penalty. The criterion is squared error over inner
    folds, exact: the outer fold is left out together with each inner one.
    """
    codes = coded(given)[None]
    places, outer, inner = training_parts(given, folds, rng)
    errors = np.stack([s.inner_errors(codes, outer, inner, grid)[..., 0] for s in solvers])  # [S, P, M]
    best = errors.reshape(-1, len(outer)).argmin(axis=0)
    fitted = np.full((*folds.shape, codes.shape[2]), np.nan)
    chosen = np.full((len(folds), len(np.unique(folds)), 2), np.nan)
    for (repeat, k, _), train, (s, p) in zip(places, outer, zip(*divmod(best, len(grid)), strict=True), strict=True):
        every = solvers[s].held_out(codes, folds[repeat], [grid[p]], dtype=np.float64)[0, 0]
        fitted[repeat, ~train] = every[~train]
        chosen[repeat, k] = s, grid[p]
    assert np.isfinite(fitted).all(), "the folds left some item out"
    return fitted, chosen


def training_parts(
    given: FeatureSet, folds: np.ndarray, rng: np.random.Generator
) -> tuple[list[tuple[int, int, int]], np.ndarray, np.ndarray]:
    """(repeat, place of the fold, fold held out) of each of M training parts, who trains [M, n], inner folds [M, n]."""
    places = [(repeat, k, int(part)) for repeat, fold in enumerate(folds) for k, part in enumerate(np.unique(fold))]
    outer = np.stack([folds[repeat] != part for repeat, _, part in places])
    inner = np.full(outer.shape, -1)
    for row, train in zip(inner, outer, strict=True):
        row[train] = inner_folds(given.y[train], given.groups[train], rng)
    return places, outer, inner
