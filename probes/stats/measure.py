"""Measure one probe on one feature set under a plan."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Literal

import numpy as np

from probes._base import Estimate, FeatureSet, Predictions, ProbeError, check_predictions
from probes._registry import load
from probes.ridge import training_parts
from probes.solvers import algebra
from probes.solvers.choice import decompose_tokens
from probes.solvers.codes import coded, decide, training_means
from probes.solvers.inner_folds import CLASSES_ONLY, check
from probes.solvers.ridge import Ridge
from probes.stats.choice import choice_inflation, permutation_test_of_choice
from probes.stats.exclusion import exclusion, kernel_p, unlabelled
from probes.stats.intervals import detectable, error_of, interval_of, null_error
from probes.stats.measurement import Measurement
from probes.stats.permutation import Null, permutation_test
from probes.stats.plan import ALPHA, FEW, MANY, Plan
from probes.stats.planting import signal_inflation
from probes.stats.scores import Scored, explained, scored
from probes.stats.verdict import decide_state, rings

PERMUTABLE = ("ridge", "linear")  # what is excluded is what a hyperplane reads, and no evidence for another probe


def measure(
    given: FeatureSet,
    plan: Plan,
    *,
    probe: str | None = None,
    pool: FeatureSet | np.ndarray | None = None,
    pool_groups: Sequence[str] | np.ndarray | None = None,
    seed: int = 0,
    level: Literal["full", "screen"] = "full",
    detect: bool | Literal["always"] = True,
    nested: bool = True,
    device: str = algebra.HOST,
) -> Measurement:
    """Probe a feature set under a plan: score, interval, permutation p, what silence excludes, and state.

    `pool` are unlabelled features of the same site and readout to mix planted directions of (default: the given ones,
    fold by fold), `pool_groups` their groups: those that are asked are left out. `level="screen"` gives the closed-form
    ridge and nothing excluded. `detect` asks what silence excludes where absence is in question,
    never, or "always". `device` is where the heavy linear algebra is computed (`probes.solvers.algebra.on`): the same
    numbers to 1e-6.

    Raises:
        ProbeError: features and plan do not belong together, or fewer than 20 pool images belong to other groups.
        DeviceError: the device is not there, or its memory does not hold what is computed.
    """
    if len(given.x) != len(plan.y):
        raise ProbeError(f"{len(given.x)} feature rows for a plan of {len(plan.y)} items: make the plan from them")
    if not np.array_equal(given.y, plan.y if plan.raw is None else plan.raw) or (given.classes is None) != plan.number:
        raise ProbeError("the labels of the features are not those of the plan: make the plan from the same items")
    given = replace(given, y=plan.y)  # of numbers the normal scores
    name = "ridge" if level == "screen" else (probe or plan.headline)
    check(given, plan.folds, probe=name, numbers=name not in CLASSES_ONLY)
    with algebra.on(device):
        if name == "marks":
            found = _measure_choice(given, plan, seed)
        else:
            found = _measure(given, plan, name, pool, pool_groups, seed, level, detect=detect, nested=nested)
    return replace(found, device=device)


def _measure(
    given: FeatureSet,
    plan: Plan,
    name: str,
    pool: FeatureSet | np.ndarray | None,
    pool_groups: Sequence[str] | np.ndarray | None,
    seed: int,
    level: Literal["full", "screen"],
    *,
    detect: bool | Literal["always"],
    nested: bool,
) -> Measurement:
    """What `measure` says of every probe but the choice between marks."""
    ridge = Ridge.of(given.x)
    is_nested = name == "linear"
    with_nested = level == "full" and nested and name == "ridge" and plan.headline == "ridge" and not plan.number
    null = permutation_test(ridge, plan, choose=is_nested or with_nested)
    features = ridge, given.x.shape[1]
    if name == "ridge":
        fitted = [ridge.held_out(coded(given)[None], f, [plan.penalty], dtype=np.float64)[0, 0] for f in plan.folds]
        predictions = decide(given, plan.folds, np.stack(fitted))
    else:
        predictions = _predict(name, given, plan, seed)
    permuted = null.chosen if is_nested else null.fixed if name == "ridge" else None
    label = {"ridge": f"ridge {plan.penalty:g}", "linear": "linear-v1"}.get(name, PurePath(name).stem)
    found = summarise(predictions, features, plan, null, permuted, label, screened=level == "screen")
    if is_blind(given):
        found = replace(found, blind=True, estimate=replace(found.estimate, low=None, high=None, p=1.0, mde=None))
    found = replace(
        found,
        inner=_inner_errors(ridge, given, plan),
        companions=_companions(found, plan, ridge if name == "ridge" else None),
    )
    if with_nested and not found.blind:
        try:
            chosen = _predict("linear", given, plan, seed)
        except ProbeError as error:  # a class in so few groups that no inner fold can hold it out
            found = replace(found, warnings=(*found.warnings, f"no nested probe stands beside ridge: {error}"))
        else:
            other = summarise(chosen, features, plan, null, null.chosen, "linear-v1", screened=False)
            found = replace(found, nested=other.estimate, nested_probe="linear-v1")
    del ridge, features  # as large as what the search decomposes
    if level == "full" and name in PERMUTABLE and _in_question(found, plan, detect):
        found = _search(found, given, plan, pool, pool_groups)
    return _with_state(found)


def is_blind(given: FeatureSet) -> bool:
    """Whether features are blind to the answers: of each features that occur every class has the same share.

    So it is where all copies of an image, one for each answer, have equal features, and where all features are equal.
    Whatever is read off them then says every answer equally often of each class, exactly. Copies in several groups are
    another thing: one may be learnt while the other is held out, which shows as a leak.

    >>> from probes import feature_set
    >>> x, patients = [[1.0], [1.0], [2.0], [2.0]], ["a", "a", "b", "b"]
    >>> is_blind(feature_set(x, ["up", "down", "up", "down"], groups=patients))
    True
    >>> is_blind(feature_set(x, ["up", "up", "down", "down"], groups=patients))
    False
    >>> is_blind(feature_set(x, ["up", "down", "up", "down"]))
    False
    """
    numbers: dict[bytes, int] = {}
    which = np.array([numbers.setdefault((row + 0.0).tobytes(), len(numbers)) for row in given.x])  # -0 is 0
    if given.classes is None or len(numbers) == 1:
        return len(numbers) == 1
    counts = np.zeros((len(numbers), len(given.classes)), dtype=np.int64)
    np.add.at(counts, (which, given.y.astype(int)), 1)
    of_all = counts.sum(axis=0)
    groups = np.unique(np.asarray(given.groups), return_inverse=True)[1]
    first = np.full(len(numbers), len(groups))
    np.minimum.at(first, which, groups)
    if (groups != first[which]).any():
        return False
    return bool((counts * of_all[0] == counts[:, :1] * of_all).all())


def _inner_errors(ridge: Ridge, given: FeatureSet, plan: Plan) -> np.ndarray:
    """Squared error [R, folds] of the closed-form ridge in inner folds that are the same for every site of the plan.

    Of many items the inner folds of a training part are the other folds: drawn anew, each would cost as much as all.
    """
    codes = coded(given)[None]
    if len(given.y) >= MANY and plan.n_folds > 2:
        return np.stack([ridge.pair_errors(codes, fold, [plan.penalty])[0, :, 0] for fold in plan.folds])
    _, outer, inner = training_parts(given, plan.folds, np.random.default_rng([plan.seed, 75]))
    found = ridge.inner_errors(codes, outer, inner, [plan.penalty])  # [1, M, 1]
    return found.reshape(plan.repeats, plan.n_folds)


def _companions(found: Measurement, plan: Plan, ridge: Ridge | None) -> dict[str, float]:
    """R2 of a number's normal scores, and of the number itself where the probe is `ridge`, trained anew on it."""
    if plan.raw is None:
        return {}
    got, companions = found.predictions, {}
    assert got.baseline is not None
    of_scores = explained(got.label - got.predicted, got.label - got.baseline)
    companions["R2 of normal scores"] = float(of_scores.mean())
    if ridge is not None:
        raw = plan.raw[None]
        fitted = np.stack([ridge.held_out(raw, f, [plan.penalty], dtype=np.float64)[0, 0] for f in plan.folds])
        means = training_means(raw.T, plan.folds)[..., 0]
        companions["R2 of the number"] = float(explained(raw - fitted, raw - means).mean())
    return companions


def _with_state(found: Measurement) -> Measurement:
    state, reason, groups = decide_state(found)
    return replace(found, state=state, reason=reason, groups_needed=groups)


def _measure_choice(given: FeatureSet, plan: Plan, seed: int) -> Measurement:
    """The choice between marks with its own permutation test; no planted differences are known for it."""
    ridge = decompose_tokens(given)
    null = permutation_test_of_choice(ridge, plan)
    predictions = _predict("marks", given, plan, seed)
    width, signal = given.x.shape[1] // len(plan.classes or (0,)), 1.0
    if plan.n_groups >= FEW:
        score = scored(predictions, len(plan.classes or ())).mean
        signal = choice_inflation(ridge, plan, width, score)
    return _with_state(summarise(predictions, None, plan, null, null.fixed, "marks", screened=False, signal=signal))


def _predict(name: str, given: FeatureSet, plan: Plan, seed: int) -> Predictions:
    apart = replace(given, y=given.y.copy())  # what a probe changes is its own
    found = load(name)(apart, plan.folds.copy(), np.random.default_rng([seed, 74]))
    return check_predictions(found, given, plan.folds, name)


def summarise(
    predictions: Predictions,
    features: tuple[Ridge, int] | None,
    plan: Plan,
    null: Null,
    permuted: Scored | None,
    label: str,
    *,
    screened: bool,
    signal: float = 1.0,
) -> Measurement:
    """The measurement that held-out predictions amount to, beside refits to permuted labels."""
    got = scored(predictions, None if plan.classes is None else len(plan.classes))
    predictions = replace(predictions, number=plan.raw)
    learns = features is not None and permuted is not None and not plan.number
    if features is not None and learns and not screened and plan.n_groups >= FEW:
        signal = signal_inflation(features[0], plan, features[1], got.mean, chosen=permuted is null.chosen)
    error = error_of(got, permuted, plan, signal)
    ends = interval_of(got, permuted, plan, signal)
    flat = error if permuted is None else null_error(permuted, plan)
    p = null.p if permuted is not None else _t_test(got.mean, error, plan)
    warnings = [*plan.warnings, *plan.cautions]
    if permuted is None:
        warnings.append(f"{label} is not refitted to permuted labels: its p and interval come from its folds")
    estimate = Estimate(
        metric="concordance" if plan.number else "balanced accuracy",
        score=got.mean,
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
        chance=plan.chance,
        p=p,
        mde=detectable(flat, plan) if plan.n_groups >= FEW else None,
        warnings=tuple(warnings),
    )
    return Measurement(
        plan=plan, estimate=estimate,
        predictions=predictions, probe=label, screened=screened, scored=got, permuted=permuted,
        null=null, error=error, null_error=flat, leak=rings(null.p_low, estimate),
        warnings=tuple(warnings),
    )  # fmt: skip


def _t_test(score: float, error: float, plan: Plan) -> float:
    from scipy.special import stdtr

    if error <= 0:
        return 1.0 if score <= plan.chance else 0.0
    return float(stdtr(plan.n_groups - 1, -(score - plan.chance) / error))


def _in_question(found: Measurement, plan: Plan, detect: bool | Literal["always"]) -> bool:
    """Whether absence could be claimed at all, so that what silence excludes is worth computing."""
    if detect == "always":
        return True
    return bool(detect) and not found.blind and plan.rare >= FEW and found.null.p > ALPHA and not found.leak


def _search(
    found: Measurement,
    given: FeatureSet,
    plan: Plan,
    pool: FeatureSet | np.ndarray | None,
    pool_groups: Sequence[str] | np.ndarray | None,
) -> Measurement:
    """Add what a claim of absence needs: what silence excludes, and whether a kernel reads what no hyperplane does."""
    if isinstance(pool, FeatureSet):
        pool, pool_groups = pool.x, pool.groups if pool_groups is None else pool_groups
    other = None if pool is None else unlabelled(pool, pool_groups, given.groups, given.x.shape[1])
    return replace(
        found,
        limit=exclusion(given.x, plan, found.null.statistic, pool=other),
        kernel_p=kernel_p(given.x, plan),
    )
