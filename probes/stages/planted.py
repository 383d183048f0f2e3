"""Planted truths: stages of a model that never was, whose failure is known, and the instrument's verdict on them.

Features are Gaussian with a power-law spectrum (eigenvalues 1/k), classes differ along one direction drawn in the
whitened space, so that the accuracy of unlimited data is known. Connectors and answers are what the truth says.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from probes._base import FeatureSet, ProbeError
from probes.stages.contrast import contrast, margins_of
from probes.stages.failure import Answer, Failure, FailureName, Stage, decide, stage_of
from probes.stats.loss import margin_of
from probes.stats.measurement import Measurement

Truth = Literal[
    "tower lost it",
    "connector lost it",
    "badly conditioned connector",
    "language model ignores it",
    "constant answer",
    "response bias",
    "all good",
    "weak signal",
]
TRUTHS: tuple[Truth, ...] = (
    "tower lost it", "connector lost it", "badly conditioned connector", "language model ignores it",
    "constant answer", "response bias", "all good", "weak signal",
)  # fmt: skip
RIGHT: dict[str, tuple[FailureName, str | None]] = {
    "tower lost it": ("encoder", None),
    "connector lost it": ("connector", None),
    "badly conditioned connector": ("none", None),
    "language model ignores it": ("language_model", "LM_NOT_USED"),
    "constant answer": ("language_model", "LM_NOT_USED"),
    "response bias": ("language_model", "RESPONSE_BIAS"),
    "all good": ("none", None),
    "weak signal": ("none", None),
    "texts fit the images": ("none", None),
    "contrastive tower lost it": ("encoder", None),
    "joint space lost it": ("connector", None),
    "texts misaligned": ("alignment", "TEXT_DIRECTION"),
    "texts' threshold off": ("alignment", "TEXT_THRESHOLD"),
    "weak signal, texts fit": ("none", None),
}  # what a definite verdict should be: the failure, and how its code begins where that matters
STRENGTH = 0.985  # accuracy of unlimited data where the fact is held; at 134 items .80 is read, at 200 .86
WEAK = 0.726
REFERENCE = 0.97
CONDITION = 1000.0
ASKS = 4  # prompts x orders of the planted answers


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted:
    """Stages and answers of one planted truth.

    y, groups [n]; features [n, width] of reference, tower, connector, image and last (language model at the image's
    positions, at the last token); pool_* [m, width] the same of images without labels; log_p [asks, n, 2].
    """

    truth: str
    y: np.ndarray
    groups: np.ndarray
    reference: np.ndarray
    tower: np.ndarray
    connector: np.ndarray
    image: np.ndarray
    last: np.ndarray
    pool_tower: np.ndarray
    pool_connector: np.ndarray
    pool_image: np.ndarray
    log_p: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Items in groups, images without labels behind them, and noise for all.

    y, groups [n]; classes [n + m], those of the images without labels too; noise [n + m, width] of unit variance.
    """

    y: np.ndarray
    groups: np.ndarray
    classes: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, n: int, groups: int, width: int, rng: np.random.Generator, pool: int | None) -> "Drawn":
        """Draw n items in so many groups, and `pool` images (3 x width where None).

        Raises:
            ProbeError: more groups than items, or a single one.
        """
        if not 2 <= groups <= n:
            raise ProbeError(f"{groups} groups given for {n} items")
        extra = 3 * width if pool is None else pool
        group = np.arange(n) % groups
        y = rng.permutation(np.arange(n) % 2) if groups == n else (np.arange(n) // groups + group) % 2
        classes = np.concatenate([y, rng.integers(0, 2, extra)])
        noise = rng.standard_normal((n + extra, width))
        if groups < n:  # items of one group share half of their variance
            noise[:n] = (noise[:n] + rng.standard_normal((groups, width))[group]) / np.sqrt(2)
        return cls(y=y, groups=group, classes=classes, noise=noise)


def planted(
    truth: str, n: int, groups: int, width: int, rng: np.random.Generator, *, pool: int | None = None
) -> Planted:
    """Draw stages and answers of n items in so many groups, features `width` wide, and `pool` images without labels.

    Items of one group share half of their variance; where groups hold several items, each holds both classes. `pool` is
    3 x width by default.

    Raises:
        ProbeError: a truth that is none, or more groups than items.
    """
    if truth not in TRUTHS:
        raise ProbeError(f"'{truth}' is no planted truth; there are {', '.join(TRUTHS)}")
    drawn = Drawn.of(n, groups, width, rng, pool)
    group, y, noise = drawn.groups, drawn.y, drawn.noise
    held = {"tower lost it": 0.5, "weak signal": WEAK}.get(truth, STRENGTH)
    seen = WEAK if truth == "weak signal" else REFERENCE
    spread = np.arange(1, width + 1) ** -0.5
    v = unit(rng, width)
    z = noise + shift(drawn.classes, held) * v
    tower = z * spread
    lossless = np.logspace(0, -np.log10(3.0), width)
    if truth == "connector lost it":
        connector = ((z - (z @ v)[:, None] * v) * spread) @ turn(rng, width)
    elif truth == "badly conditioned connector":
        connector = ((tower @ turn(rng, width)) * np.logspace(0, -np.log10(CONDITION), width)) @ turn(rng, width)
    else:
        connector = ((tower @ turn(rng, width)) * lossless) @ turn(rng, width)
    image = connector @ turn(rng, width)
    last = image if truth != "language model ignores it" else rng.standard_normal(noise.shape) * spread
    other = rng.standard_normal((n, width)) + shift(y, seen) * unit(rng, width)
    log_odds = _said(truth, z[:n] @ v, held, rng)
    asked = log_odds + 0.3 * rng.standard_normal((ASKS, n)) * (truth != "constant answer")
    return Planted(
        truth=truth, y=y, groups=group, reference=other * spread, tower=tower[:n], connector=connector[:n],
        image=image[:n], last=(last @ turn(rng, width))[:n], pool_tower=tower[n:], pool_connector=connector[n:],
        pool_image=image[n:], log_p=np.stack([-np.logaddexp(0, asked), -np.logaddexp(0, -asked)], axis=-1),
    )  # fmt: skip


def judge(
    given: Planted,
    *,
    seed: int = 0,
    permutations: int = 199,
    repeats: int | None = None,
    with_pool: bool = True,
    language_model: bool = True,
) -> Failure:
    """The verdict of the instrument on a planted truth: probes, transported probes, answers, `failure.decide`.

    Without `language_model` its stages are not looked at, as of a model whose layers cannot be read.
    """
    from probes.stages.answers import bias_free, unsaid
    from probes.stages.transport import transported
    from probes.stats.best import Candidates
    from probes.stats.difference import compare
    from probes.stats.measure import measure
    from probes.stats.multiplicity import low_over_map
    from probes.stats.plan import plan as plan_of
    from probes.stats.verdict import rings

    plan = plan_of(given.y, given.groups, classes=("no", "yes"), seed=seed, permutations=permutations, repeats=repeats)
    ids = [str(i) for i in range(len(given.y))]

    def features(x: np.ndarray) -> FeatureSet:
        return FeatureSet(x=x, y=given.y, groups=given.groups, ids=ids, classes=("no", "yes"))

    tower, behind, image = (features(x) for x in (given.tower, given.connector, given.image))
    encoder = measure(tower, plan, probe="ridge", nested=False)
    reference = measure(features(given.reference), plan, probe="ridge", level="screen", detect=False)
    dl = margin_of(plan)
    later = [measure(behind, plan, probe="ridge", level="screen", detect=False)]
    if language_model:
        later += [
            measure(one, plan, probe="ridge", level="screen", detect=False) for one in (image, features(given.last))
        ]
    pools = (given.pool_tower, given.pool_connector, given.pool_image) if with_pool else (None, None, None)
    reads = encoder.state == "present"
    crossed = transported(tower, behind, plan, pool_before=pools[0], pool_after=pools[1]) if reads else None
    inside = None
    if reads and language_model:
        inside = transported(behind, image, plan, pool_before=pools[1], pool_after=pools[2]).loss
    best = Candidates.among(later, plan).chosen(range(len(later)))
    said = bias_free(given.log_p, plan)
    held_back = unsaid(margins_of(best), said.margin, plan, best.null.fixed_margin)
    lowest = low_over_map([m.null.statistic for m in (encoder, *later)])  # one alarm for the whole map

    def stage(name: str, m: Measurement) -> Stage:
        return replace(stage_of(name, m), leak=rings(lowest, m.estimate))

    names = ("connector", "language model at the image", "last token")
    stages = [stage(name, m) for name, m in zip(names, later, strict=False)]
    return decide(
        encoder=stage("tower", encoder),
        reference=stage("reference", reference),
        against_reference=contrast(compare(reference, encoder, plan), dl),
        connector=stages[0],
        to_connector=None if crossed is None else crossed.loss,
        accessible=contrast(compare(encoder, later[0], plan), dl),
        image=stages[1] if language_model else None,
        last=stages[2] if language_model else None,
        to_language_model=inside,
        answer=Answer(
            score=said.auc.value, low=said.auc.low, high=said.auc.high, p=said.auc.p, raw=said.raw.value, bias=said.bias
        ),
        unsaid=contrast(held_back, dl),
        margin=dl,
    )


def outcome(truth: str, found: Failure) -> Literal["right", "wrong", "open"]:
    """Whether a verdict on a planted truth is right, wrong, or says that it cannot tell."""
    if found.failure == "inconclusive":
        return "open"
    failure, code = RIGHT[truth]
    return "right" if found.failure == failure and (code is None or found.code.startswith(code)) else "wrong"


def shift(y: np.ndarray, accuracy: float) -> np.ndarray:
    """Half the distance between classes of this accuracy of unlimited data, with its sign, [n, 1]."""
    from scipy.special import ndtri

    return ((2 * y - 1) * float(ndtri(accuracy)))[:, None]


def unit(rng: np.random.Generator, width: int) -> np.ndarray:
    """A random direction [width]."""
    v = rng.standard_normal(width)
    return v / np.linalg.norm(v)


def turn(rng: np.random.Generator, width: int) -> np.ndarray:
    """A random rotation [width, width]."""
    return np.linalg.qr(rng.standard_normal((width, width)))[0]


def _said(truth: str, along: np.ndarray, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Log-odds [n] of the second class: the Bayes log-odds of what is held, or what the truth makes of them."""
    from scipy.special import ndtri

    bayes = 2 * float(ndtri(max(accuracy, 0.5))) * along
    if truth == "constant answer":
        return np.full(len(along), 2.0)
    if truth in ("language model ignores it", "tower lost it", "connector lost it"):
        return rng.standard_normal(len(along))
    return bayes + (30.0 if truth == "response bias" else 0.0)
