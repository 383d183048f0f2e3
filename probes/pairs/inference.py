"""Intervals and tests over pairs that share images: by connected component, with the design effect.

Of MediConfusion's 176 pairs 38 images stand in several, so that there are 60 components, the largest of 25 pairs: an
interval that takes pairs for independent is too short. The component is the unit here.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from probes._base import ProbeError

EXACT = 14  # components up to which every pattern of signs is looked at
DRAWS = 9999


def components(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The connected component of each pair, int [m], numbered from 0 in the order of their first pair.

    `first` and `second` [m] name the two images of each pair, by anything that can be compared.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, ends = np.unique(np.concatenate([first, second]), return_inverse=True)
    m = len(first)
    edges = coo_array((np.ones(m, np.int8), (ends[:m], ends[m:])), shape=(len(names), len(names)))
    label = connected_components(edges, directed=False)[1][ends[:m]]
    order = {old: new for new, old in enumerate(dict.fromkeys(label.tolist()))}
    return np.array([order[one] for one in label.tolist()], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Share:
    """A mean over pairs with its 95 % interval by component.

    `design_effect` is how many times larger the variance is than of independent pairs: `pairs / design_effect` pairs
    would tell as much.
    """

    value: float
    low: float
    high: float
    pairs: int
    components: int
    design_effect: float


def share(values: np.ndarray, component: np.ndarray) -> Share:
    """The share of pairs for which `values` [m], each from 0 to 1, holds, with an interval by `component` [m].

    The interval is Wilson's with the effective number of pairs and a t quantile of the effective components less one.
    The design effect is the mean of two estimates, the cluster jackknife's variance (CR3) and
    1 + icc (sum m_g^2 / m - 1) with the analysis of variance's icc, and at least 1; where all values agree it is that
    of full correlation. On 60 components as unequal as MediConfusion's it covers .95 to .98 for shares from .05 to .5
    and correlations from 0 to .6 (tests/probes/pairs/test_inference.py).
    """
    values, size = _checked(values, component)
    if values.min() < 0 or values.max() > 1:
        raise ProbeError("shares are of values from 0 to 1")
    m, p = len(values), float(values.mean())
    full = float((size**2).sum() / m)
    spread = float(values.var()) / m
    effect = full
    if spread > 0:
        jackknife = _variance(values, component, size) / spread
        effect = max(1.0, (jackknife + 1 + _icc(values, component, size) * (full - 1)) / 2)
    t = _t(size)
    n = m / effect
    spread = p * (1 - p) if spread > 0 else 0.0
    middle, width = (
        (p + t * t / (2 * n)) / (1 + t * t / n),
        t / (1 + t * t / n) * sqrt(spread / n + t * t / (4 * n * n)),
    )
    return Share(
        value=p, low=max(0.0, middle - width), high=min(1.0, middle + width), pairs=m, components=len(size),
        design_effect=effect,
    )  # fmt: skip


def mean_difference(values: np.ndarray, component: np.ndarray) -> Share:
    """The mean of differences `values` [m] with a t interval by component (cluster jackknife, CR3)."""
    values, size = _checked(values, component)
    m, mean = len(values), float(values.mean())
    variance = _variance(values, component, size)
    spread = float(values.var()) / m
    width = _t(size) * sqrt(variance)
    effect = variance / spread if spread > 0 else float((size**2).sum() / m)
    return Share(
        value=mean, low=mean - width, high=mean + width, pairs=m, components=len(size), design_effect=max(1.0, effect)
    )


def sign_flip(values: np.ndarray, component: np.ndarray, seed: int = 0, *, greater: bool = False) -> float:
    """The two-sided p of a sum of `values` [m] that is 0 in the mean, when whole components change their sign.

    With `greater` the p of one side: of a sum as large as this one. Every pattern of signs up to 14 components whose
    sum is not 0, else 9,999 drawn ones with the observed counted among them (Phipson & Smyth 2010).
    """
    values, size = _checked(values, component)
    total = np.bincount(component, values, minlength=len(size))
    total = total[total != 0]
    if not len(total):
        return 1.0
    side = (lambda sums: sums) if greater else np.abs
    observed = float(side(total.sum())) - 1e-9
    if len(total) <= EXACT:
        signs = 1 - 2 * ((np.arange(1 << len(total))[:, None] >> np.arange(len(total))) & 1)
        return float(np.mean(side(signs @ total) >= observed))
    rng = np.random.default_rng([seed, len(total), 37])
    reach = sum(
        int((side(rng.choice((-1.0, 1.0), size=(1000, len(total))) @ total) >= observed).sum())
        for _ in range(DRAWS // 1000)
    )
    drawn = DRAWS // 1000 * 1000
    return (1 + reach) / (1 + drawn)


@dataclass(frozen=True, kw_only=True)
class Discrimination:
    """How pairs with two different answers are told apart: s both right, w both wrong (exchanged).

    `share` is s / (s + w) with its Clopper-Pearson interval, `p` the exact binomial test of 1/2. Both take pairs for
    independent; `p_component` changes the sign of whole components.
    """

    s: int
    w: int
    share: float | None
    low: float | None
    high: float | None
    p: float
    p_component: float


def coin_p(heads: int, throws: int) -> float:
    """Exact two-sided p of so many heads of a fair coin; 1 where nothing was thrown.

    From scipy.special: `scipy.stats`, whose `binomtest` is the same, takes a second to import.

    >>> round(coin_p(1, 8), 4), coin_p(4, 8), coin_p(0, 0)
    (0.0703, 1.0, 1.0)
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(heads, throws - heads), throws, 0.5))) if throws else 1.0


def discrimination(right: np.ndarray, wrong: np.ndarray, component: np.ndarray, seed: int = 0) -> Discrimination:
    """Tests s against w (METHOD 5.1): `right` and `wrong` bool [m] say which pairs were right twice or wrong twice."""
    from scipy.stats import binomtest

    s, w = int(np.sum(right)), int(np.sum(wrong))
    flip = sign_flip(np.asarray(right, np.float64) - np.asarray(wrong, np.float64), component, seed)
    if not s + w:
        return Discrimination(s=0, w=0, share=None, low=None, high=None, p=1.0, p_component=flip)
    test = binomtest(s, s + w)
    ends: Any = test.proportion_ci(0.95, "exact")
    return Discrimination(
        s=s, w=w, share=s / (s + w), low=float(ends.low), high=float(ends.high), p=float(test.pvalue), p_component=flip
    )


def _checked(values: np.ndarray, component: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, np.float64)
    if not len(values) or len(values) != len(component):
        raise ProbeError(f"{len(values)} values for {len(component)} pairs")
    if not np.isfinite(values).all():
        raise ProbeError("values of pairs hold NaN or infinite numbers")
    size = np.bincount(component)
    if len(size) < 2:
        raise ProbeError("all pairs hang together in one component: there is nothing to compare it with")
    return values, size


def _variance(values: np.ndarray, component: np.ndarray, size: np.ndarray) -> float:
    """The cluster jackknife variance of the mean: residuals of a component over one less its share (CR3)."""
    m = len(values)
    residual = np.bincount(component, values, minlength=len(size)) - values.mean() * size
    return float(((residual / (1 - size / m)) ** 2).sum() / m**2)


def _icc(values: np.ndarray, component: np.ndarray, size: np.ndarray) -> float:
    """The intraclass correlation by analysis of variance (Donner 1986, Int Stat Rev 54), from 0 to 1."""
    m, g = len(values), len(size)
    mean = np.bincount(component, values, minlength=g) / size
    between = float((size * (mean - values.mean()) ** 2).sum() / (g - 1))
    within = float(((values - mean[component]) ** 2).sum() / max(m - g, 1))
    n0 = (m - (size**2).sum() / m) / (g - 1)
    whole = between + (n0 - 1) * within
    return float(np.clip((between - within) / whole, 0, 1)) if whole > 0 else 0.0


def _t(size: np.ndarray) -> float:
    """The t quantile of the effective number of components, (sum m_g)^2 / sum m_g^2, less one."""
    from scipy.stats import t

    return float(t.ppf(0.975, max(1.0, size.sum() ** 2 / (size**2).sum() - 1)))
