"""What a contrastive model loses between its images and its texts: the direction, the threshold, or nothing.

A zero-shot answer compares an image with the texts of the classes. The gap to a trained linear probe in the same space
splits into two terms (METHOD 4.5): that of the *direction* (probe less a probe of the text score alone) and that of the
*threshold* (text score with threshold and sign learned in the training folds, less zero-shot):

    A_probe - A_zero-shot = [A_probe - A_text-1d] + [A_text-1d - A_zero-shot]
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from probes._base import ProbeError
from probes.solvers.codes import coded_vectors, fold_means
from probes.solvers.ridge import Ridge
from probes.solvers.scale import inverse_scale
from probes.stages.answers import Rate, rate
from probes.stages.contrast import Contrast, contrast, frozen, paired, repeats, scored_margin, scored_order
from probes.stats.loss import margin_of
from probes.stats.multiplicity import holm
from probes.stats.permutation import REFITS
from probes.stats.plan import FEW, Plan
from probes.stats.scores import Scored, clustered_error


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """Images against texts in one space. Scores are balanced accuracies with intervals unless said otherwise.

    `zero_shot` with the prompt ensemble, `per_template` of each wording by itself (empty where classes differ in how
    many they have), `zero_shot_centred` with the mean of each modality taken off (a named variant; the mean of images
    from the training folds); `auc` of the text score; `text_1d` and `probe` held out. `direction` and `threshold` are
    the terms of the gap with Holm's p, `gap` their sum. `correlation` is that of probe and text score over images, out
    of fold, in the metric of the images' covariance, the measure of alignment; `cosine` that of filter and text
    direction, below `cosine_bound` in size in 95 of 100 for random directions of an isotropic space. `modality_gap`
    [d] is mean image less mean text, of unit vectors, `gap_norm` its length. `cross_modal` is the AUC on images of a
    classifier trained on captions alone, `cross_modal_accuracy` its accuracy at the images' own mean.
    `zero_shot_margin` [n, C], `text_margin` and `probe_margin` [R, n, C] are the decision values.
    """

    zero_shot: Rate
    zero_shot_centred: Rate
    per_template: tuple[Rate, ...]
    auc: Rate
    text_1d: Rate
    probe: Rate
    direction: Contrast
    threshold: Contrast
    gap: Contrast
    correlation: Rate
    cosine: float
    cosine_bound: float
    modality_gap: np.ndarray
    gap_norm: float
    cross_modal: Rate | None
    cross_modal_accuracy: Rate | None
    zero_shot_margin: np.ndarray
    text_margin: np.ndarray
    probe_margin: np.ndarray


def alignment(
    image: np.ndarray,
    texts: Sequence[np.ndarray],
    plan: Plan,
    *,
    captions: tuple[np.ndarray, np.ndarray] | None = None,
    margin: float | None = None,
) -> Alignment:
    """Split what a contrastive model loses between images [n, d] and the prompts of each class, K arrays [m_c, d].

    All are put to unit length first. `captions` are texts [c, d] and their class [c], by which the cross-modal
    classifier is trained; the prompts themselves by default. `margin` is dl, as of `transport.transported`.

    Raises:
        ProbeError: a plan of a number; another number of classes or width; a vector without length.
    """
    return alignments(image, [texts], plan, captions=captions, margin=margin)[0]


def alignments(
    image: np.ndarray,
    several: Sequence[Sequence[np.ndarray]],
    plan: Plan,
    *,
    captions: tuple[np.ndarray, np.ndarray] | None = None,
    margin: float | None = None,
) -> list[Alignment]:
    """The same for several sets of texts; the probe of the images is trained once for all of them.

    Raises:
        ProbeError: as `alignment`.
    """
    if plan.classes is None:
        raise ProbeError("texts are of classes, and the target is a number")
    images = _Images.of(_unit(image, "images"), plan)
    return [_aligned(images, texts, plan, captions, margin) for texts in several]


def similarity(image: np.ndarray, texts: Sequence[np.ndarray]) -> np.ndarray:
    """Similarity [n, K] of images [n, d] to the mean unit text of each class, K arrays [m_c, d]; all of length 1.

    Raises:
        ProbeError: a vector without length.
    """
    return _unit(image, "images") @ _ensemble([_unit(np.atleast_2d(one), "texts") for one in texts]).T


@dataclass(frozen=True, kw_only=True, eq=False)
class _Images:
    """What is known of the images alone: unit vectors u [n, d], the probe's held-out values, its filters by fold."""

    u: np.ndarray
    margin: np.ndarray
    permuted: Scored
    filters: list[np.ndarray]

    @classmethod
    def of(cls, u: np.ndarray, plan: Plan) -> "_Images":
        assert plan.classes is not None
        if len(u) != len(plan.y):
            raise ProbeError(f"images {list(u.shape)} do not fit a plan of {len(plan.y)} items")
        margin, permuted = _ridge(u, plan)
        train = [plan.folds[0] != part for part in range(plan.n_folds)]
        filters = [direction_filters(u[some], plan.y[some], len(plan.classes), plan.penalty) for some in train]
        return cls(u=u, margin=margin, permuted=permuted, filters=filters)


def _aligned(
    images: _Images,
    texts: Sequence[np.ndarray],
    plan: Plan,
    captions: tuple[np.ndarray, np.ndarray] | None,
    margin: float | None,
) -> Alignment:
    assert plan.classes is not None
    if len(texts) != len(plan.classes):
        raise ProbeError(f"texts of {len(texts)} classes are given for {len(plan.classes)} ({', '.join(plan.classes)})")
    u, probe, probe_null = images.u, images.margin, images.permuted
    prompts = [_unit(np.atleast_2d(one), f"texts of {name}") for one, name in zip(texts, plan.classes, strict=True)]
    if any(one.shape[1] != u.shape[1] for one in prompts):
        shapes = ", ".join(str(list(one.shape)) for one in prompts)
        raise ProbeError(f"images {list(u.shape)} and texts {shapes} do not fit: they are wanted equally wide")
    dl = margin_of(plan) if margin is None else margin
    ensemble = _ensemble(prompts)
    zero = _margin(u @ ensemble.T)
    text, text_null = _ridge(zero, plan)
    zero_rows, zero_null = frozen(zero, plan)
    text_rows, probe_rows = repeats(text, plan), repeats(probe, plan)
    terms = [
        paired(probe_rows, text_rows, plan, (probe_null, text_null)),
        paired(text_rows, zero_rows, plan, (text_null, zero_null)),
    ]
    adjusted = holm([1.0 if d.p is None else d.p for d in terms])
    direction, threshold = (
        contrast(replace(d, p=None if d.p is None else float(p)), dl) for d, p in zip(terms, adjusted, strict=True)
    )
    whole = np.concatenate(prompts)
    gap = u.mean(axis=0) - whole.mean(axis=0)
    cross = _cross_modal(u, captions or (whole, np.repeat(np.arange(len(prompts)), [len(p) for p in prompts])), plan)
    count = {len(p) for p in prompts}
    cosine = _cosine(images.filters, ensemble)
    return Alignment(
        zero_shot=_frozen_rate(zero, plan),
        zero_shot_centred=_frozen_rate(_centred(u, ensemble, plan), plan),
        per_template=tuple(
            _frozen_rate(_margin(u @ _ensemble([p[j : j + 1] for p in prompts]).T), plan) for j in range(count.pop())
        )
        if len(count) == 1
        else (),
        auc=rate(scored_order(zero[None], plan.y, plan), plan, 0.5),
        text_1d=_rate_of(text_rows, text_null, plan),
        probe=_rate_of(probe_rows, probe_null, plan),
        direction=direction,
        threshold=threshold,
        gap=contrast(paired(probe_rows, zero_rows, plan, (probe_null, zero_null)), dl),
        correlation=_correlation(probe, zero, plan),
        cosine=cosine,
        cosine_bound=float(1.96 / np.sqrt(u.shape[1])),
        modality_gap=gap,
        gap_norm=float(np.linalg.norm(gap)),
        cross_modal=None if cross is None else rate(scored_order(cross[None], plan.y, plan), plan, 0.5),
        cross_modal_accuracy=None if cross is None else _frozen_rate(cross, plan),
        zero_shot_margin=zero,
        text_margin=text,
        probe_margin=probe,
    )


def _unit(x: np.ndarray, what: str) -> np.ndarray:
    x = np.asarray(x, np.float64)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    if not np.isfinite(x).all() or not length.all():
        raise ProbeError(f"{what} hold vectors without length or values that are no finite numbers")
    return x / length


def _ensemble(prompts: Sequence[np.ndarray]) -> np.ndarray:
    """The text of each class [K, d]: the mean of its unit prompts, put to unit length again."""
    return np.stack([_unit(one.mean(axis=0), "means of texts") for one in prompts])


def _margin(score: np.ndarray) -> np.ndarray:
    """Decision values [n, C] of scores [n, K]."""
    return score[:, 1:] - score[:, :1] if score.shape[1] == 2 else score


def _ridge(x: np.ndarray, plan: Plan) -> tuple[np.ndarray, Scored]:
    """Held-out values [R, n, C] of the plan's ridge on features x [n, d], and the scores of its permuted labels."""
    assert plan.classes is not None
    solver, k = Ridge.of(x), len(plan.classes)

    def margins(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
        codes = coded_vectors(labels, k).astype(np.float64)
        (fitted,) = solver.each(codes, folds, [plan.penalty], dtype=np.float64)
        found = fitted - fold_means(codes, folds)
        return found[..., None] if found.ndim == 2 else found

    labels = plan.permuted[:REFITS]
    found = np.concatenate([margins(plan.y[None], folds) for folds in plan.folds])
    return found, scored_margin(margins(labels, plan.folds[0]), labels, plan)


def _frozen_rate(margin: np.ndarray, plan: Plan) -> Rate:
    return rate(scored_margin(margin[None], plan.y, plan), plan, plan.chance)


def _rate_of(scored: Scored, permuted: Scored, plan: Plan) -> Rate:
    """A trained score, its interval with phi of permuted labels."""
    from probes.stats.intervals import interval_of

    ends = interval_of(scored, permuted, plan)
    null = permuted.score
    p = (1 + int((null >= scored.mean - 1e-12).sum())) / (1 + len(null))
    return Rate(
        value=scored.mean, low=None if ends is None else ends[0], high=None if ends is None else ends[1], p=p,
        chance=plan.chance,
    )  # fmt: skip


def _centred(u: np.ndarray, ensemble: np.ndarray, plan: Plan) -> np.ndarray:
    """Zero-shot values with the mean of each modality taken off, that of images from the other folds."""
    texts = ensemble - ensemble.mean(axis=0)
    found = np.empty((len(u), len(ensemble)))
    for part in range(plan.n_folds):
        held = plan.folds[0] == part
        moved = u[held] - u[~held].mean(axis=0)
        found[held] = _unit(moved, "centred images") @ texts.T
    return _margin(found)


def _correlation(probe: np.ndarray, text: np.ndarray, plan: Plan) -> Rate:
    """Correlation over images of held-out probe values [R, n, C] and text scores [n, C], mean over repeats and classes.

    Of held-out scores this is w'S t / sqrt(w'S w t'S t) with the images' covariance S. The interval is the delta
    method's by group, z' = z_a z_b - r (z_a^2 + z_b^2) / 2.
    """
    from scipy.special import stdtrit

    values, parts = [], []
    for one in probe:
        for c in range(one.shape[1]):
            a, b = one[:, c] - one[:, c].mean(), text[:, c] - text[:, c].mean()
            if a.std() == 0 or b.std() == 0:
                continue
            a, b = a / a.std(), b / b.std()
            r = float((a * b).mean())
            values.append(r)
            parts.append((a * b - r * (a * a + b * b) / 2) / len(a))
    if not values:
        return Rate(value=0.0, low=None, high=None, p=None, chance=0.0)
    r = float(np.mean(values))
    if plan.n_groups < FEW:
        return Rate(value=r, low=None, high=None, p=None, chance=0.0)
    error = float(clustered_error(np.stack(parts), plan.groups).mean())
    half = float(stdtrit(plan.n_groups - 1, 0.975)) * error
    return Rate(value=r, low=max(-1.0, r - half), high=min(1.0, r + half), p=None, chance=0.0)


def direction_filters(x: np.ndarray, y: np.ndarray, k: int, penalty: float) -> np.ndarray:
    """Ridge filters [d, C] of standardised features, in the units of x."""
    import scipy.linalg

    centre = x.mean(axis=0)
    z = x - centre
    scale = inverse_scale(z.std(axis=0), np.abs(centre))
    z = z * scale
    codes = coded_vectors(y[None], k)[0].astype(np.float64)
    codes = (codes[:, None] if codes.ndim == 1 else codes) - codes.mean(axis=0)
    gram = z @ z.T
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram) + 1e-12
    return scale[:, None] * (z.T @ scipy.linalg.solve(gram, codes, assume_a="pos"))


def _cosine(filters: Sequence[np.ndarray], ensemble: np.ndarray) -> float:
    """Cosine of the probe's filter and the text direction, mean over folds (of K classes over classes, centred)."""
    t = ensemble[1:] - ensemble[:1] if len(ensemble) == 2 else ensemble - ensemble.mean(axis=0)
    return float(np.mean([np.mean([_cos(a, b) for a, b in zip(w.T, t, strict=True)]) for w in filters]))


def _cos(a: np.ndarray, b: np.ndarray) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0


def _cross_modal(u: np.ndarray, captions: tuple[np.ndarray, np.ndarray], plan: Plan) -> np.ndarray | None:
    """Values [n, C] on images, less the images' mean, of a classifier trained on captions; None without two a class."""
    assert plan.classes is not None
    x, y = _unit(captions[0], "captions"), np.asarray(captions[1])
    if x.shape[1:] != u.shape[1:] or len(x) != len(y):
        raise ProbeError(f"captions {list(x.shape)} and their {len(y)} classes do not fit images {list(u.shape)}")
    k = len(plan.classes)
    if np.bincount(y, minlength=k).min() < 2:
        return None
    w = direction_filters(x, y, k, plan.penalty)
    return (u - u.mean(axis=0)) @ w
