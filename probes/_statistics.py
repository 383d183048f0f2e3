"""How sure one may be of a held-out score: its error, its null distribution, its p-value, its interval.

The error of a cross-validated score is larger than the spread of its items suggests, because the folds share
training data. Replaying the whole procedure on exchanged labels measures by how much, on these features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes._base import Predictions
from probes._plan import FEW, GRID, RARE, Plan
from probes._ridge import Ridge, auc

REPLAYS = 99  # exchanged label vectors that the whole procedure is replayed on
TIE = 1e-6  # held-out decision values closer than this are equal: a tie, and scored as one
_TIE32 = 2e-5  # the same in float32
CHOICES = tuple(float(p) for p in 10.0 ** np.arange(-3, 3.5, 1.0))  # penalties of a replayed choice
WIDEN = 1.35


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Scores of several label vectors or repeats, and what each item contributes to them.

    score [A]; part [A, n] linearised contributions, which sum to 0 in each row: the score of a resample is
    about score + sum of the resampled parts.
    """

    score: np.ndarray
    part: np.ndarray

    def error(self, groups: np.ndarray) -> np.ndarray:
        """Cluster-robust standard error of each score, [A]: groups are independent, items in one are not."""
        return spread(self.part, groups)

    def minus(self, other: "Scored") -> "Scored":
        """The paired difference, item by item."""
        return Scored(score=self.score - other.score, part=self.part - other.part)

    @property
    def mean(self) -> float:
        """Average over rows."""
        return float(self.score.mean())


def spread(part: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """sqrt(G/(G-1) * sum over groups of squared summed contributions), one per row."""
    count = int(groups.max()) + 1
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(count))
    summed = np.add.reduceat(part[:, order], starts, axis=1, dtype=np.float64)
    return np.sqrt(count / (count - 1) * np.square(summed).sum(axis=1))


def balanced(ok: np.ndarray, y: np.ndarray, k: int) -> Scored:
    """Balanced accuracy of each row and its linearised contributions.

    ok [A, n] in [0, 1]; y [A, n] or [n] class indices. With unequal classes the contribution of an item is
    (ok - accuracy of its class) / (classes * items of its class).
    """
    truth = np.broadcast_to(y, ok.shape)
    part = np.zeros_like(ok)
    score = np.zeros(len(ok))
    for c in range(k):
        mine = truth == c
        many = mine.sum(axis=1)
        share = (ok * mine).sum(axis=1, dtype=np.float64) / many
        score += share / k
        part += mine * ((ok - share[:, None]) / (k * many[:, None])).astype(ok.dtype)
    return Scored(score=score, part=part)


def explained(error: np.ndarray, baseline_error: np.ndarray) -> Scored:
    """R2 against the training part's mean, 1 - sum e^2 / sum e0^2, and its linearised contributions."""
    whole = np.square(baseline_error).sum(axis=1, dtype=np.float64)
    r2 = 1 - np.square(error).sum(axis=1, dtype=np.float64) / whole
    lost = np.square(error) - (1 - r2)[:, None] * np.square(baseline_error)
    return Scored(score=r2, part=-lost / whole[:, None])


def scored(predictions: Predictions, classes: int | None) -> Scored:
    """Scores of held-out predictions, one row per repeat.

    Items whose highest decision values tie share one right answer among the tied classes. An encoder blind
    to the question gives two copies of an image the same features: whatever the probe says, chance it is.
    """
    if classes is None:
        assert predictions.baseline is not None
        return explained(predictions.truth - predictions.said, predictions.truth - predictions.baseline)
    score, truth = predictions.score, predictions.truth
    tied = score >= score.max(axis=2, keepdims=True) - TIE
    many = tied.sum(axis=2)
    mine = np.take_along_axis(tied, np.broadcast_to(truth, many.shape)[..., None], axis=2)[..., 0]
    ok = np.where(many > 1, mine / many, predictions.said == truth)
    return balanced(ok.astype(np.float64), truth, classes)


def coded(labels: np.ndarray, classes: int | None) -> np.ndarray:
    """Label vectors [B, n] as ridge targets: -1 and 1, one-hot [B, n, K], or the numbers themselves."""
    if classes is None:
        return np.asarray(labels, dtype=np.float64)
    if classes == 2:
        return labels * 2.0 - 1.0
    return (labels[..., None] == np.arange(classes)).astype(np.float64)


def fold_means(codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Mean code of the training part for every item, shaped like `codes`: the threshold at the prior."""
    k = int(folds.max()) + 1
    inside = (folds[:, None] == np.arange(k)).astype(np.float64)
    held = np.einsum("bn...,nk->bk...", codes, inside)
    left = len(folds) - inside.sum(axis=0)
    mean = (held.sum(axis=1, keepdims=True) - held) / left.reshape(1, k, *[1] * (codes.ndim - 2))
    return mean[:, folds]


def _right(margin: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    if classes == 2:
        ok = ((margin > 0) == (labels > 0)).astype(np.float32)
        ok[np.abs(margin) < _TIE32] = 0.5
        return ok
    tied = margin >= margin.max(axis=2, keepdims=True) - _TIE32
    mine = np.take_along_axis(tied, labels[..., None].astype(np.int64), axis=2)[..., 0]
    return (mine / tied.sum(axis=2)).astype(np.float32)


def score_margin(margin: np.ndarray, labels: np.ndarray, baseline: np.ndarray, classes: int | None) -> Scored:
    """Scores of held-out ridge margins (prediction less training mean) for many label vectors."""
    if classes is None:
        truth = labels - baseline
        return explained(truth - margin, truth)
    return balanced(_right(margin, labels, classes), labels, classes)


def association(margin: np.ndarray, labels: np.ndarray, baseline: np.ndarray, classes: int | None) -> np.ndarray:
    """The test statistic of each label vector, [B]: AUC, mean one-against-the-rest AUC, or correlation."""
    if classes is None:
        a, b = margin - margin.mean(axis=1, keepdims=True), labels - baseline
        b = b - b.mean(axis=1, keepdims=True)
        norm = np.sqrt(np.square(a).sum(axis=1, dtype=np.float64) * np.square(b).sum(axis=1))
        return np.divide((a * b).sum(axis=1), norm, out=np.zeros(len(a)), where=norm > 1e-9)
    step = np.where(np.abs(margin) < _TIE32, np.float32(0), margin)  # rounding noise may not order equal features
    if classes == 2:
        return auc(step, labels)
    return np.mean([auc(step[..., c], labels == c) for c in range(classes)], axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Null:
    """The permutation test and the replay of one feature set.

    statistic [1 + B]: the observed one first, through the same code. `fixed` replays the ridge of the plan's
    penalty on the first REPLAYS exchanged label vectors; `chosen` the ridge that chooses its penalty on each.
    """

    statistic: np.ndarray
    fixed: Scored
    chosen: Scored | None

    @property
    def p(self) -> float:
        """(1 + how many exchanged label vectors reach the observed statistic) / (1 + how many there are)."""
        return (1 + int((self.statistic[1:] >= self.statistic[0]).sum())) / len(self.statistic)


def null(ridge: Ridge, plan: Plan, *, permutations: int | None = None, choose: bool = False) -> Null:
    """Permute, test and replay on one decomposed feature set (Phipson & Smyth 2010 for the p-value)."""
    classes = None if plan.classes is None else len(plan.classes)
    labels = np.concatenate([plan.y[None], plan.permuted[:permutations]])
    codes, folds = coded(labels, classes), plan.folds[0]
    means = fold_means(codes, folds)
    base = means if classes is None else np.zeros((1, 1))
    best = np.full(len(labels), -np.inf)
    fixed = None
    for penalty, fitted in zip(GRID, ridge.each(codes, folds, GRID), strict=True):
        margin = fitted - means
        np.maximum(best, association(margin, labels, base, classes), out=best)
        if penalty == plan.penalty:
            fixed = score_margin(margin[1 : 1 + REPLAYS], labels[1 : 1 + REPLAYS], base[1 : 1 + REPLAYS], classes)
    few, cut = slice(1, 1 + REPLAYS), (labels[1 : 1 + REPLAYS], codes[1 : 1 + REPLAYS], means[1 : 1 + REPLAYS])
    if fixed is None:
        (fitted,) = ridge.each(cut[1], folds, [plan.penalty])
        fixed = score_margin(fitted - cut[2], cut[0], base[few], classes)
    chosen = replay_choice(ridge, folds, *cut, classes) if choose else None
    return Null(statistic=best, fixed=fixed, chosen=chosen)


def replay_choice(
    ridge: Ridge,
    folds: np.ndarray,
    labels: np.ndarray,
    codes: np.ndarray,
    means: np.ndarray,
    classes: int | None,
    grid: Sequence[float] = CHOICES,
) -> Scored:
    """Scores when every label vector chooses its penalty anew, fold by fold, from the errors of the others.

    A stand-in for choosing inside each training part that needs no further decomposition; only the spread of
    the scores is used, never the scores.
    """
    margins = np.stack([fitted - means for fitted in ridge.each(codes, folds, grid)])  # [P, B, n(, K)]
    error = np.square(margins - (codes - means))
    error = error if codes.ndim == 2 else error.sum(axis=-1)  # [P, B, n]
    picked = np.empty_like(margins[0])
    for part in range(int(folds.max()) + 1):
        held = folds == part
        best = error[:, :, ~held].sum(axis=2).argmin(axis=0)
        picked[:, held] = margins[best, np.arange(len(labels))][:, held]
    return score_margin(picked, labels, means if classes is None else np.zeros((1, 1)), classes)


def inflation(replayed: Scored, groups: np.ndarray) -> float:
    """phi: how much wider replayed scores spread than their own errors say; never below 1."""
    said = float(replayed.error(groups).mean())
    return max(1.0, float(replayed.score.std(ddof=1)) / said) if said > 0 else 1.0


def error_of(observed: Scored, replayed: Scored | None, plan: Plan, signal: float = 1.0) -> float:
    """Standard error of the score averaged over repeats: the mean of theirs, inflated, widened where rare.

    `signal` is the inflation measured where something was planted; the larger of the two counts.
    """
    if replayed is None:
        return corrected_resampling(observed, plan) * widening(plan)
    phi = max(inflation(replayed, plan.groups), signal)
    return float(observed.error(plan.groups).mean()) * phi * widening(plan)


def widening(plan: Plan) -> float:
    """1.35 where intervals were found a quarter to a third too narrow on real features, else 1."""
    return WIDEN if (plan.n_groups < 100 if plan.number else plan.rare < RARE) else 1.0


def corrected_resampling(observed: Scored, plan: Plan) -> float:
    """Standard error for probes that cannot be replayed (Nadeau & Bengio 2003): (1/J + test/train) s^2."""
    pseudo = []
    for score, part, fold in zip(observed.score, observed.part, plan.folds, strict=True):
        held = np.bincount(fold, weights=part, minlength=plan.n_folds)
        pseudo.extend(score + held * len(fold) / np.bincount(fold, minlength=plan.n_folds))
    return float(np.std(pseudo, ddof=1) * np.sqrt(1 / len(pseudo) + 1 / (plan.n_folds - 1)))


def interval(score: float, error: float, plan: Plan) -> tuple[float, float] | None:
    """95 % interval by Student's t on groups; None below 20 groups.

    Above .95 on the logit scale. A perfect score has no spread to show: its lower end is that of the exact
    binomial interval with every doubt in the smallest class.
    """
    from scipy.special import stdtrit

    if plan.n_groups < FEW:
        return None
    half = float(stdtrit(plan.n_groups - 1, 0.975)) * error
    if plan.number:
        return score - half, min(1.0, score + half)
    if score >= 1:
        return 1 - (1 - 0.025 ** (1 / plan.rare)) * plan.chance, 1.0
    if score > 0.95:
        logit, step = np.log(score / (1 - score)), half / (score * (1 - score))
        return float(1 / (1 + np.exp(step - logit))), float(1 / (1 + np.exp(-step - logit)))
    return max(0.0, score - half), min(1.0, score + half)


def upper_bound(score: float, error: float, plan: Plan) -> float:
    """One-sided 95 % upper bound of the score."""
    from scipy.special import stdtrit

    return score + float(stdtrit(plan.n_groups - 1, 0.95)) * error


def null_error(replayed: Scored, plan: Plan) -> float:
    """Standard error of the score where nothing is to be read."""
    spread_said = float(replayed.error(plan.groups).mean())
    return max(spread_said, float(replayed.score.std(ddof=1))) * widening(plan)


def detectable(error: float, plan: Plan) -> float:
    """Smallest score above chance found 8 times in 10 by a one-sided 5 % test with this standard error."""
    from scipy.special import stdtrit

    df = plan.n_groups - 1
    return min(1.0, plan.chance + float(stdtrit(df, 0.95) + stdtrit(df, 0.8)) * error)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values: for headline verdicts (Holm 1979).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p, dtype=float)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    out = np.empty_like(raw)
    out[order] = np.minimum(stepped, 1.0)
    return out


def benjamini_hochberg(p: Sequence[float]) -> np.ndarray:
    """Adjusted p-values that hold the false discovery rate: for maps (Benjamini & Hochberg 1995).

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    raw = np.asarray(p, dtype=float)
    order = np.argsort(raw, kind="stable")[::-1]
    stepped = np.minimum.accumulate(raw[order] * len(raw) / np.arange(len(raw), 0, -1))
    out = np.empty_like(raw)
    out[order] = np.minimum(stepped, 1.0)
    return out


def over_layers(nulls: Sequence[np.ndarray]) -> np.ndarray:
    """The p-value of each site with the search over all of them paid for: every site against the largest of the null.

    `nulls` are statistics [1 + B] under the same exchanged labels, the observed one first.
    """
    table = np.stack(list(nulls))
    largest = table[:, 1:].max(axis=0)
    return (1 + (largest[None] >= table[:, :1]).sum(axis=1)) / (1 + table.shape[1] - 1)
