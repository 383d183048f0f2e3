"""Controls of an audit of visual prompts: images without marks, moved marks, borders of tokens, marks themselves.

They show where a right answer may come from besides the mark, and what can be read of a mark: that one is there, its
colour, and which colour lies where. A figure is called chance only where its interval excludes as much as MARGIN.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from probes.prompts.audit import Presentations
from probes.prompts.bias import clustered, mean_error, student
from probes.prompts.readout import PENALTY, chosen, fit_ridge, token_rows
from probes.solvers.scale import standardised
from probes.stats.block_permutation import block_permutation, design_of
from probes.stats.multiplicity import holm

MARGIN = 0.10  # a share of answers; less than this counts as nothing
DRAWS = 499  # permuted answers of a readout that is trained on images without marks
PERMUTATIONS = 99  # of a readout that is asked about every token
FEW = 10  # answers or groups below which a control says nothing


@dataclass(frozen=True, kw_only=True)
class Control:
    """A share of right answers beside what it would be by chance; p adjusted by Holm over the controls beside it.

    reading: `above` chance, `below` it, `chance` (less than MARGIN above it, one-sided 95 %), or `open`.
    """

    name: str
    images: int
    share: float
    low: float
    high: float
    chance: float
    p: float
    reading: str = "open"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A difference of shares with its 95 % interval and p; `ends` are the two shares.

    reading: `differs`, `alike` (the 90 % interval within MARGIN: two one-sided tests), or `open`.
    """

    ends: tuple[float, float]
    value: tuple[float, float, float]
    p: float
    reading: str


def read(found: Sequence[Control]) -> list[Control]:
    """The controls with their p adjusted by Holm, and what each says."""
    out = []
    for one, p in zip(found, holm([c.p for c in found]) if found else [], strict=True):
        upper = one.share + (one.high - one.share) * 1.6449 / 1.96
        found_ = p < 0.05
        reading = ("above" if one.share > one.chance else "below") if found_ else "open"
        reading = "chance" if not found_ and upper < one.chance + MARGIN else reading
        out.append(replace(one, p=float(p), reading=reading))
    return out


def paired_change(first: np.ndarray, second: np.ndarray, cluster: np.ndarray) -> Change:
    """The share of `first` [n] less that of `second` [n], answers to the same presentations."""
    m, mean, error = mean_error(first.astype(float) - second, cluster)
    return _changed((float(first.mean()), float(second.mean())), mean, max(error, 1 / (2 * len(first))), m)


def _changed(ends: tuple[float, float], mean: float, error: float, m: int) -> Change:
    low, high, p = student(mean, error, m, 0.0)
    narrow = (high - mean) * 1.6449 / 1.96
    alike = abs(mean) + narrow < MARGIN
    reading = "alike" if alike else "differs" if p < 0.05 else "open"
    return Change(ends=ends, value=(mean, low, high), p=p, reading=reading)


def by_phase(shown: Presentations) -> Change | None:
    """Accuracy where the correct mark lies nearer to a border between tokens than the median, less that of the rest."""
    if shown.phase is None:
        return None
    own = shown.phase[np.arange(len(shown.item)), shown.correct]
    return unpaired_change(shown.right, own < np.median(own), shown.cluster)


def unpaired_change(right: np.ndarray, here: np.ndarray, cluster: np.ndarray) -> Change | None:
    """The share of right answers [n] where `here` [n] is true, less that of the others; None with too few groups."""
    if min(len(np.unique(cluster[part])) for part in (here, ~here)) < FEW:
        return None
    right = right.astype(float)
    a, b = float(right[here].mean()), float(right[~here].mean())
    part = np.where(here, (right - a) / here.sum(), (b - right) / (~here).sum()) * len(here)
    m, _, error = mean_error(part, cluster)
    floor = np.sqrt(sum(_smoothed_variance(right[side]) for side in (here, ~here)))
    return _changed((a, b), a - b, max(error, float(floor)), m)


def _smoothed_variance(right: np.ndarray) -> float:
    """Variance of a share with half a right and half a wrong answer added, so that none is free of error."""
    n = len(right)
    share = (right.sum() + 0.5) / (n + 1)
    return float(share * (1 - share) / n)


def by_chance(predicted: np.ndarray, label: np.ndarray) -> float:
    """The share of right answers if they had nothing to do with the labels, by how often each is given and is right."""
    return float(sum((predicted == k).mean() * (label == k).mean() for k in range(3)))


def marker_control(name: str, predicted: np.ndarray, label: np.ndarray, cluster: np.ndarray) -> Control | None:
    """Control of answers [n] to pictures without evidence at their marks; -1 is unread. None where few were read."""
    some = predicted >= 0
    if some.sum() < FEW or len(np.unique(cluster[some])) < FEW:
        return None
    predicted, label, cluster = predicted[some], label[some], cluster[some]
    chance = by_chance(predicted, label)
    return of_share(name, predicted == label, cluster, chance, len(predicted))


def of_share(name: str, right: np.ndarray, cluster: np.ndarray, chance: float, images: int) -> Control:
    """A share of right answers [n] against chance, its error clustered."""
    share, low, high, p = clustered(right, cluster, chance)
    return Control(name=name, images=images, share=share, low=low, high=high, chance=chance, p=p)


def without_marks(
    name: str, x: np.ndarray, label: np.ndarray, fold: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> Control | None:
    """Control of a readout trained on images without marks to give the answers: x [n, d], label [n] in 0 … 2.

    Its p and error come from the same readout trained on permuted answers: folds share what they are trained on.
    """
    home = np.unique(groups, return_inverse=True)[1]
    if home.max() + 1 < FEW or len(np.unique(label)) < 2:
        return None
    design = design_of(label.astype(float), home, number=False)
    permuted = block_permutation(label, home, None, design).draw(rng, DRAWS)
    every = np.concatenate([label[None], permuted])  # [1 + DRAWS, n]
    rows, predicted = standardised(x), np.zeros(every.shape, np.int64)
    for part in np.unique(fold):
        test = fold == part
        codes = (every[:, ~test, None] == np.arange(3)).transpose(1, 0, 2).reshape((~test).sum(), -1).astype(float)
        score = fit_ridge(rows[~test], codes, rows[test], PENALTY).reshape(test.sum(), -1, 3)
        predicted[:, test] = score.argmax(axis=2).T
    chance = np.array([by_chance(s, t) for s, t in zip(predicted, every, strict=True)])
    gain = (predicted == every).mean(axis=1) - chance
    share, low, high, _ = clustered(predicted[0] == label, home, float(chance[0]))
    half = max(high - share, share - low, 1.96 * float(gain[1:].std()))
    away = np.abs(gain - gain[1:].mean())
    return Control(
        name=name, images=len(label), share=share, low=max(0.0, share - half), high=min(1.0, share + half),
        chance=float(chance[0]), p=float((away >= away[0] - 1e-12).mean()),
    )  # fmt: skip


def tokens_at_marks(
    own: np.ndarray,
    moved: np.ndarray,
    colour: np.ndarray,
    fold: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
) -> list[Control]:
    """Controls of tokens at marks: whether the token tells that a mark is there, and its colour.

    own [n, 6 d] holds the tokens at the three marks and at three other places, moved [n, 6 d] those of the same places
    once the marks were moved to the others: every place is met with a mark and without one. colour [n, 2, 3] of the
    marks in both. Other images train than are asked. Chance is what answers permuted within images give.
    """
    n, home = len(own), np.unique(groups, return_inverse=True)[1]
    tokens = standardised(np.concatenate([own, moved]).reshape(12 * n, -1)).reshape(2, n, 6, -1).transpose(1, 0, 2, 3)
    there = np.zeros((1, n, 2, 6), bool)
    there[:, :, 0, :3] = there[:, :, 1, 3:] = True
    flips = rng.integers(0, 2, (PERMUTATIONS, home.max() + 1, 1, 1), dtype=np.int64).astype(bool)[:, home]
    here = np.concatenate([there, there ^ flips]).reshape(-1, n, 12)
    marked = np.concatenate([tokens[:, 0, :3], tokens[:, 1, 3:]], axis=1)  # [n, 6, d]
    hue = colour.reshape(1, n, 6)
    names = rng.permuted(np.tile(np.arange(3), (PERMUTATIONS, home.max() + 1, 1)), axis=2)[:, home]
    hues = np.concatenate([hue, np.take_along_axis(names, np.repeat(hue, PERMUTATIONS, axis=0), axis=2)])
    some, which = np.zeros(here.shape, bool), np.zeros(hues.shape, np.int64)
    flat = tokens.reshape(n, 12, -1)
    for part in np.unique(fold):
        test, train = fold == part, fold != part
        codes = np.where(here[:, train], 0.5, -0.5).reshape(len(here), -1).T
        some[:, test] = _each(flat, train, test, codes)[..., 0] > 0
        codes = (hues[:, train].reshape(len(hues), -1).T[..., None] == np.arange(3)).astype(float)
        which[:, test] = _each(marked, train, test, codes.reshape(len(codes), -1), 3).argmax(axis=3)
    return [
        _against_permuted("a mark under the token", (some == here).mean(axis=2), 0.5, home, 12),
        _against_permuted("its colour", (which == hues).mean(axis=2), 1 / 3, home, 6),
    ]


def _each(x: np.ndarray, train: np.ndarray, test: np.ndarray, codes: np.ndarray, classes: int = 1) -> np.ndarray:
    """Predictions [B, images, tokens, classes] of several sets of codes [tokens in training, B * classes]."""
    score = fit_ridge(x[train].reshape(-1, x.shape[2]), codes, x[test].reshape(-1, x.shape[2]), PENALTY)
    return score.reshape(test.sum(), x.shape[1], -1, classes).transpose(2, 0, 1, 3)


def _against_permuted(name: str, right: np.ndarray, chance: float, home: np.ndarray, tokens: int) -> Control:
    """Control of a share right [1 + B, n] per image: the first row against those of permuted answers."""
    share = right.mean(axis=1)
    m, _, error = mean_error(right[0], home)
    floor = np.sqrt(_smoothed_variance(right[0]) / tokens)
    spread = share[1:].std() if 0 < share[0] < 1 else 0.0
    low, high, _ = student(float(share[0]), max(error, float(spread), float(floor)), m, chance)
    away = np.abs(share - chance)
    p = float((away >= away[0] - 1e-12).mean())
    return Control(
        name=name, images=right.shape[1], share=float(share[0]), low=max(0.0, low), high=min(1.0, high),
        chance=chance, p=p,
    )  # fmt: skip


def binding(x: np.ndarray, shown: Presentations, fold: np.ndarray) -> list[Control]:
    """Controls of binding: which colour lies where, read from one vector x [n, d] per presentation, fold [n] by group.

    Ridge regression gives the place of every colour. The mark nearest to the place of red is taken for red; the colour
    whose place is nearest to a mark is taken to lie there. Other images train than are asked, in all assignments, so
    that one who knows the places and the colours but not which lies where is right in a third.
    """
    n = len(x)
    by_colour = np.argsort(shown.colour, axis=1)  # the mark that has each colour
    places = np.take_along_axis(shown.place, by_colour[..., None], axis=1)  # [n, 3 colours, 2]
    rows, predicted = standardised(x), np.zeros((n, 3, 2))
    for part in np.unique(fold):
        test = fold == part
        predicted[test] = fit_ridge(rows[~test], places[~test].reshape(-1, 6), rows[test], PENALTY).reshape(-1, 3, 2)
    far = np.linalg.norm(predicted[:, :, None] - shown.place[:, None], axis=3)  # [n, colour, mark]
    red = far[:, 0].argmin(axis=1) == by_colour[:, 0]
    colours = far.argmin(axis=1) == shown.colour
    images = len(np.unique(shown.item))
    return [
        of_share("where red lies", red, shown.cluster, 1 / 3, images),
        of_share("which colour lies at a mark", colours.ravel(), np.repeat(shown.cluster, 3), 1 / 3, images),
    ]


def predict_mark(x: np.ndarray, correct: np.ndarray, fold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mark [n] that one direction of the tokens at three places [n, 3 d] chooses, its fold left out.

    Tokens that are equal are chosen from by `rng`.
    """
    rows, predicted = token_rows(x, marks=True), np.zeros(len(x), np.int64)
    width, codes = rows.shape[2], np.eye(3)[correct] - 1 / 3
    for part in np.unique(fold):
        test, train = fold == part, fold != part
        flat, ends = rows[train].reshape(-1, width), rows[test].reshape(-1, width)
        predicted[test] = chosen(fit_ridge(flat, codes[train].reshape(-1, 1), ends, PENALTY).reshape(-1, 3), rng)
    return predicted
