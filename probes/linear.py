"""Linear probe `linear-v1`: can one hyperplane per class read the answer off frozen features?

L2 logistic regression whose strength is chosen by log-loss in inner folds of each training part.
"""

from itertools import product

import numpy as np

from probes._base import FeatureSet, Predictions, ProbeError
from probes.solvers.calibration import above_prior, calibrated
from probes.solvers.inner_folds import check, inner_folds
from probes.solvers.logistic import C_GRID, Fits, fit_nested


def probe(
    given: FeatureSet, folds: np.ndarray, rng: np.random.Generator, *, c_grid: tuple[float, ...] = C_GRID
) -> Predictions:
    """Predict every item while its fold is held out, with a penalty that never saw it.

    folds: int [R, n]. The answer is the argmax of the score, logits less the log of the training prior: the
    decision of equal priors, which balanced accuracy asks for. `probability` is calibrated by one temperature
    on inner held-out logits, and is the training prior itself where that does not beat the prior. `penalty`
    is the scale-free inverse strength c of each outer fold.

    Raises:
        ProbeError: a number as target, folds that split a group, or a class missing from a training part.
    """
    parts, present, fits = fit_parts(given, folds, rng, c_grid=c_grid)
    assert given.classes is not None
    shape = (*folds.shape, len(given.classes))
    score, probability = np.full(shape, -np.inf), np.zeros(shape)
    above = above_prior(fits.logits, fits.prior)
    chances = calibrated(fits.logits, fits.prior, fits.temperature)
    for row, (repeat, part) in enumerate(parts):
        test = np.flatnonzero(folds[repeat] == part)
        score[repeat, test[:, None], present] = above[row][:, test].T
        probability[repeat, test[:, None], present] = chances[row][:, test].T
    assert np.isfinite(score[..., present]).all(), "the folds left some item out"
    at_edge = int(np.isin(fits.c, (min(c_grid), max(c_grid))).sum())
    note = f"the chosen c lies at an edge of its grid in {at_edge} of {len(fits.c)} fits"
    return Predictions(
        label=given.y,
        predicted=score.argmax(axis=2),
        score=score,
        probability=probability,
        fold=folds,
        groups=given.groups,
        ids=given.ids,
        penalty=fits.c.reshape(len(folds), -1),
        notes=(note,) if at_edge else (),
    )


def fit_parts(
    given: FeatureSet, folds: np.ndarray, rng: np.random.Generator, *, c_grid: tuple[float, ...] = C_GRID
) -> tuple[list[tuple[int, int]], np.ndarray, Fits]:
    """What `probe` fits: (repeat, fold held out) of each fit, the classes that occur, and the fits."""
    check(given, folds, probe="linear", numbers=False)
    assert given.classes is not None
    present, y = np.unique(given.y, return_inverse=True)
    parts = [(repeat, part) for repeat, fold in enumerate(folds) for part in np.unique(fold).tolist()]
    outer = np.stack([folds[repeat] != part for repeat, part in parts])
    inner = np.full(outer.shape, -1)
    for row, train in zip(inner, outer, strict=True):
        row[train] = inner_folds(given.y[train], given.groups[train], rng)
    for row, label in product(inner, present):
        if len(np.unique(row[(row >= 0) & (given.y == label)])) < 2:
            raise ProbeError(
                f"class '{given.classes[label]}' has too few groups for inner folds: "
                "it needs at least two in every training part; --probe ridge chooses nothing and needs none"
            )
    fits = fit_nested(given.x, y, outer, inner, c_grid)
    return parts, present, fits
