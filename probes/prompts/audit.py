"""Audit of visual prompts: whether answers follow the place of a mark or its colour, by a model of choice.

Every image is shown under all six assignments of three colours to its marks. The spread of accuracy over assignments
cannot tell: a responder that always names one colour is right in a third of every assignment's presentations. A model
of choice between the marks of a presentation can (McFadden 1974), with the variance of clustered scores (Liang & Zeger
1986), as presentations of one image are not independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from probes._base import ProbeError
from probes.stats.multiplicity import holm

COLOURS = ("red", "green", "blue")
ALIKE = 1.25  # odds ratio up to which a nuisance counts as none; of a mark chosen in 1 of 3, five points
POINTS = float(np.log(ALIKE)) * 2 / 9  # the same as a change of probability
WORDS = {"phase": "borders of tokens"}  # how a nuisance is called
PRIOR = 0.01  # precision of a normal prior: keeps a responder without any error finite, moves no other


@dataclass(frozen=True, kw_only=True, eq=False)
class Presentations:
    """Presentations of images with three marks, and the answers to them.

    Marks of an item keep their order over its presentations. item [n]: integer per image. colour [n, 3]: colour of each
    mark, 0 … 2. place [n, 3, 2]: x and y of each mark in half image sides from the middle. correct [n], predicted [n]:
    number of the mark; predicted is -1 where no answer was read. size [n, 3], where marks of one presentation differ in
    size, else None. phase [n, 3]: distance of a mark's centre from the nearest border between tokens, in tokens, where
    it is known. group [n]: what is independent, else the item.
    """

    item: np.ndarray
    colour: np.ndarray
    place: np.ndarray
    correct: np.ndarray
    predicted: np.ndarray
    size: np.ndarray | None = None
    phase: np.ndarray | None = None
    group: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that disagree, naming the first."""
        n = len(self.item)
        if n == 0:
            raise ProbeError("no presentation was given: nothing can be audited")
        shapes = {"colour": (n, 3), "place": (n, 3, 2), "correct": (n,), "predicted": (n,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ProbeError(f"{name} has shape {getattr(self, name).shape}; {n} presentations need {shape}")
        for name, shape in {"size": (n, 3), "phase": (n, 3), "group": (n,)}.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ProbeError(f"{name} has shape {value.shape}; {n} presentations need {shape}")
        if not (np.sort(self.colour, axis=1) == np.arange(3)).all():
            raise ProbeError("every presentation shows each of three colours once; some do not")

    @property
    def right(self) -> np.ndarray:
        """Whether each answer is right, bool [n]; one that could not be read is not."""
        return self.predicted == self.correct

    @property
    def cluster(self) -> np.ndarray:
        """What is independent of the rest, [n]: the group of each image, else the image."""
        return self.item if self.group is None else self.group


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A conditional logit: coefficients, their clustered covariance, and what each stands for.

    `information` is the negative Hessian of the log-likelihood less the prior's part.
    """

    names: tuple[str, ...]
    b: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    information: np.ndarray

    def interval(self, name: str, z: float = 1.96) -> tuple[float, float, float]:
        """Coefficient and its interval, 95 % by default."""
        i = self.names.index(name)
        half = z * float(np.sqrt(max(self.covariance[i, i], 0.0)))
        return float(self.b[i]), float(self.b[i] - half), float(self.b[i] + half)

    def wald(self, names: Sequence[str]) -> float:
        """The p of the hypothesis that all these coefficients are 0."""
        from scipy.special import chdtrc

        rows = [self.names.index(name) for name in names]
        b, v = self.b[rows], self.covariance[np.ix_(rows, rows)]
        scale = float(np.trace(v)) or 1.0
        return float(chdtrc(len(rows), b @ np.linalg.solve(v + 1e-9 * scale * np.eye(len(rows)), b)))


def design(shown: Presentations) -> tuple[np.ndarray, tuple[str, ...]]:
    """One row per mark [n, 3, p]: is it correct, green, blue, its x, y, log2 of its size where sizes differ, its phase.

    x, y, size and phase are in standard deviations within a presentation, so that an odds ratio is for a typical step.
    """
    n = len(shown.item)
    columns = [np.arange(3) == shown.correct[:, None], shown.colour == 1, shown.colour == 2]
    names = ["correct", *COLOURS[1:]]
    steps = {"x": shown.place[..., 0], "y": shown.place[..., 1]}
    if shown.size is not None:
        steps["size"] = np.log2(shown.size)
    if shown.phase is not None:
        steps["phase"] = shown.phase
    for name, values in steps.items():
        off = values - values.mean(axis=1, keepdims=True)
        sd = float(np.sqrt((off**2).mean()))
        if sd > 1e-9:
            columns.append(off / sd)
            names.append(name)
    return np.stack([np.broadcast_to(c, (n, 3)) for c in columns], axis=2).astype(float), tuple(names)


def choice(
    x: np.ndarray, predicted: np.ndarray, cluster: np.ndarray, names: Sequence[str], prior: float = PRIOR
) -> Fit:
    """Fit U = x b by Newton steps: x [n, 3, p], predicted [n] which alternative, cluster [n] which image.

    Raises:
        ProbeError: fewer than two clusters, or no convergence.
    """
    n, _, width = x.shape
    which, cluster = np.unique(cluster, return_inverse=True)
    if len(which) < 2:
        raise ProbeError("the model of choice needs answers to two images or more")
    b, taken = np.zeros(width), x[np.arange(n), predicted]
    value = _objective(x, taken, b, prior)
    for _ in range(100):
        p = _shares(x, b)
        off = x - np.einsum("nk,nkp->np", p, x)[:, None]
        slope = (taken - x[:, 0] + off[:, 0]).sum(axis=0) - prior * b
        information = np.einsum("nk,nkp,nkq->pq", p, off, off)
        step = np.linalg.solve(information + prior * np.eye(width), slope)
        while (new := _objective(x, taken, b + step, prior)) < value - 1e-12 and np.abs(step).max() > 1e-12:
            step /= 2
        b, value = b + step, new
        if np.abs(step).max() < 1e-9:
            break
    else:
        raise ProbeError("the model of choice did not converge: the answers separate the marks in an unforeseen way")
    p = _shares(x, b)
    scores = np.zeros((len(which), width))
    np.add.at(scores, cluster, taken - np.einsum("nk,nkp->np", p, x))
    bread = np.linalg.inv(information + prior * np.eye(width))
    # the prior's own part keeps the variance of a responder without any error from vanishing
    meat = scores.T @ scores * len(which) / (len(which) - 1) + prior * np.eye(width)
    return Fit(
        names=tuple(names),
        b=b,
        covariance=bread @ meat @ bread,
        log_likelihood=value + prior / 2 * float(b @ b),
        information=information,
    )


def _shares(x: np.ndarray, b: np.ndarray) -> np.ndarray:
    u = x @ b
    e = np.exp(u - u.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _objective(x: np.ndarray, taken: np.ndarray, b: np.ndarray, prior: float) -> float:
    u = x @ b
    top = u.max(axis=1)
    return float((taken @ b - top - np.log(np.exp(u - top[:, None]).sum(axis=1))).sum() - prior / 2 * b @ b)


def marginal(x: np.ndarray, fit: Fit, names: Sequence[str]) -> dict[str, float]:
    """Average probability that a mark is chosen if it alone has a property: minus that if it has not.

    For the 0/1 properties `names`; every mark of every presentation is put to both, its rivals as they are.
    """
    out = {}
    for name in names:
        i = fit.names.index(name)
        effect = []
        for k in range(x.shape[1]):
            with_, without = x.copy(), x.copy()
            with_[:, :, i], without[:, :, i] = 0, 0
            with_[:, k, i] = 1
            effect.append((_shares(with_, fit.b)[:, k] - _shares(without, fit.b)[:, k]).mean())
        out[name] = float(np.mean(effect))
    return out


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Share of pairs of an image's presentations with the same answer, over images shown under all six assignments.

    1/3 each by chance; a user of colour alone has location .2 and colour 1, one of place alone 1 and .2.
    """

    location: float | None
    colour: float | None
    images: int


def consistency(shown: Presentations) -> Consistency:
    """Over the 15 pairs of the six presentations of each image, with unread answers agreeing with nothing."""
    code = shown.colour @ np.array([9, 3, 1])
    order = np.lexsort((code, shown.item))
    item, code = shown.item[order], code[order]
    whole = [
        start
        for start in np.flatnonzero(np.r_[True, item[1:] != item[:-1]])
        if (item[start : start + 7] == item[start]).sum() == 6 and (np.diff(code[start : start + 6]) > 0).all()
    ]
    if not whole:
        return Consistency(location=None, colour=None, images=0)
    rows = order[np.array(whole)[:, None] + np.arange(6)]
    predicted = shown.predicted[rows]
    colour = np.take_along_axis(shown.colour[rows], np.maximum(predicted, 0)[..., None], axis=2)[..., 0]
    first, second = (list(side) for side in zip(*combinations(range(6), 2), strict=True))
    read = (predicted[:, first] >= 0) & (predicted[:, second] >= 0)
    return Consistency(
        location=float(((predicted[:, first] == predicted[:, second]) & read).mean()),
        colour=float(((colour[:, first] == colour[:, second]) & read).mean()),
        images=len(whole),
    )


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The audit of one responder: what its answers follow.

    spatial: coefficient of the correct mark with its 95 % interval (log odds). p_*: Wald tests, adjusted by Holm in
    `adjusted`. odds: the odds ratio of every nuisance with its 90 % interval (two one-sided tests at 5 %).
    steepness: change of probability per unit of log odds, averaged over marks; 2/9 for one who guesses.
    effects: average marginal probabilities. verdict: SPATIAL, COLOUR_HEURISTIC, MIXED or NOT_TESTABLE, and why.
    """

    presentations: int
    images: int
    unread: int
    accuracy: float
    spatial: tuple[float, float, float]
    p_values: dict[str, float]
    adjusted: dict[str, float]
    odds: dict[str, tuple[float, float, float]]
    effects: dict[str, float]
    steepness: float
    consistency: Consistency
    verdict: str
    reason: str


def audit(shown: Presentations) -> Audit:
    """Audit one responder; answers that could not be read count as wrong and leave the model of choice.

    Raises:
        ProbeError: readable answers to fewer than two images.
    """
    read = np.flatnonzero(shown.predicted >= 0)
    x, names = design(shown)
    fit = choice(x[read], shown.predicted[read], shown.cluster[read], names)
    tests = {"colour": COLOURS[1:], "position": [n for n in ("x", "y") if n in names]}
    tests |= {name: [name] for name in ("size", "phase") if name in names}
    p = {name: fit.wald(columns) for name, columns in tests.items() if columns}
    adjusted = dict(zip(p, holm(list(p.values())).tolist(), strict=True))
    odds, spatial = _odds(fit), fit.interval("correct")
    p_chosen = _shares(x[read], fit.b)
    steepness = float((p_chosen * (1 - p_chosen)).mean())
    verdict, reason = _verdict(spatial, adjusted, odds, steepness)
    flags = [name for name in names if name in ("correct", *COLOURS)]
    return Audit(
        presentations=len(shown.item), images=len(np.unique(shown.item)), unread=len(shown.item) - len(read),
        accuracy=float(shown.right.mean()), spatial=spatial, p_values=p, adjusted=adjusted, odds=odds,
        effects=marginal(x[read], fit, flags), steepness=steepness, consistency=consistency(shown),
        verdict=verdict, reason=reason,
    )  # fmt: skip


def _odds(fit: Fit) -> dict[str, tuple[float, float, float]]:
    """The odds ratio of every nuisance and its 90 % interval; of colours, of each pair."""
    contrasts: dict[str, np.ndarray] = {}
    unit = {name: np.eye(len(fit.names))[i] for i, name in enumerate(fit.names)}
    unit["red"] = np.zeros(len(fit.names))
    for a, b in (("green", "red"), ("blue", "red"), ("blue", "green")):
        contrasts[f"{a}/{b}"] = unit[a] - unit[b]
    contrasts |= {name: unit[name] for name in ("x", "y", "size", "phase") if name in unit}
    out = {}
    for name, row in contrasts.items():
        b, half = float(row @ fit.b), 1.6449 * float(np.sqrt(max(row @ fit.covariance @ row, 0.0)))
        out[name] = (float(np.exp(b)), float(np.exp(b - half)), float(np.exp(b + half)))
    return out


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " or " * (len(names) > 1) + names[-1]


def _verdict(
    spatial: tuple[float, float, float],
    adjusted: dict[str, float],
    odds: dict[str, tuple[float, float, float]],
    steepness: float,
) -> tuple[str, str]:
    """The verdict and its reason. Equivalence is of probabilities: rare errors leave odds open that move nothing."""
    called = [WORDS.get(name, name) for name in adjusted]
    found = [WORDS.get(name, name) for name, p in adjusted.items() if p < 0.05]
    wide = [n for n, (_, low, high) in odds.items() if max(abs(np.log(low)), abs(np.log(high))) * steepness > POINTS]
    place = "answers follow the correct place"
    if spatial[1] > 0 and not wide:
        return "SPATIAL", f"{place}, and no {_listed(called)} moves them by more than 5 points"
    if adjusted["colour"] < 0.05 and spatial[2] * steepness < POINTS:
        why = "answers follow colour, and the correct place moves them by less than 5 points"
        return "COLOUR_HEURISTIC", why
    if spatial[1] > 0 and found:
        return "MIXED", f"{place} and also {' and '.join(found)}"
    if spatial[1] > 0:
        left = ", ".join(WORDS.get(name, name) for name in wide)
        return "NOT_TESTABLE", f"{place}, but too few were given to exclude an effect of {left}"
    if found:
        return "NOT_TESTABLE", f"answers follow {' and '.join(found)}; whether the correct place moves them too is open"
    return (
        "NOT_TESTABLE",
        f"answers follow neither the correct place nor {_listed(called)}, as far as so many show",
    )
