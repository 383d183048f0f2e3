"""Response bias: upright bias, constant answers, size and position of marks, spread over assignments."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from probes._base import ProbeError
from probes.prompts.audit import COLOURS, Presentations
from probes.stats.multiplicity import holm

CONSTANT = 0.95  # share of one answer from which it is called constant


@dataclass(frozen=True, kw_only=True)
class UprightBias:
    """Answers to images as they are and turned, in terms of signal detection.

    hits: share called upright of upright images; false_alarms: of turned ones. d: z(H) - z(F), discrimination;
    criterion: -(z(H) + z(F)) / 2, below 0 where upright is favoured; both with 95 % intervals. unbiased: accuracy of
    the same d without bias. p: exact McNemar test of the two kinds of error. errors: what they favour, `upright`,
    `turned` or `neither`.
    """

    pairs: int
    hits: float
    false_alarms: float
    accuracy: float
    d: tuple[float, float, float]
    criterion: tuple[float, float, float]
    unbiased: float
    p: float
    errors: str


def _detection(hit: np.ndarray, alarm: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Signal detection's d' and c from counts out of n, half an answer added to each cell (Hautus 1995)."""
    from scipy.special import ndtri

    h, f = ndtri((hit + 0.5) / (n + 1)), ndtri((alarm + 0.5) / (n + 1))
    return h - f, -(h + f) / 2


def upright_bias(upright: np.ndarray, turned: np.ndarray, rng: np.random.Generator, draws: int = 4000) -> UprightBias:
    """Upright bias from bool arrays [n], was each image called upright as it is and turned; pairs are resampled.

    Raises:
        ProbeError: fewer than two pairs, or arrays of different length.
    """
    from scipy.special import ndtr

    from probes.pairs.inference import coin_p

    n = len(upright)
    if n < 2 or len(turned) != n:
        raise ProbeError(f"{n} answers to upright and {len(turned)} to turned images: give two pairs or more")
    cells = np.bincount(2 * upright.astype(int) + turned.astype(int), minlength=4)
    drawn = rng.multinomial(n, (cells + 0.25) / (n + 1), draws)  # no cell is impossible because it was not seen
    d, c = (float(v[0]) for v in _detection(upright.sum(keepdims=True), turned.sum(keepdims=True), n))
    ds, cs = _detection(drawn[:, 2] + drawn[:, 3], drawn[:, 1] + drawn[:, 3], n)
    d_low, d_high = (float(v) for v in np.quantile(ds, (0.025, 0.975)))
    c_low, c_high = (float(v) for v in np.quantile(cs, (0.025, 0.975)))
    # an error on one side only: both called upright, or both called turned
    errors = int(cells[0] + cells[3])
    return UprightBias(
        pairs=n, hits=float(upright.mean()), false_alarms=float(turned.mean()),
        accuracy=float((upright.mean() + 1 - turned.mean()) / 2), d=(d, d_low, d_high), criterion=(c, c_low, c_high),
        unbiased=float(ndtr(d / 2)), p=coin_p(int(cells[0]), errors),
        errors="upright" if c_high < -1e-9 else "turned" if c_low > 1e-9 else "neither",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How often each answer was given and was right to give; `constant` names one given nearly always, else None.

    divergence: Kullback-Leibler distance in nats from the right answers to the given ones (0 where they agree).
    """

    predicted: dict[str, int]
    label: dict[str, int]
    unread: int
    constant: str | None
    divergence: float


def histogram(predicted: Sequence[str], label: Sequence[str]) -> Histogram:
    """Count answers; an empty text is one that could not be read.

    >>> histogram(["red"] * 9 + [""], ["red", "blue"] * 5).constant
    'red'
    """
    names = sorted(set(label) | set(predicted) - {""})
    given, right = Counter(predicted), Counter(label)
    read = len(predicted) - given[""]
    top = max(names, key=lambda name: given[name])
    p = np.array([right[name] for name in names]) / max(len(label), 1)
    q = (np.array([given[name] for name in names]) + 0.5) / (read + 0.5 * len(names))
    kept = p > 0
    return Histogram(
        predicted={name: given[name] for name in names},
        label={name: right[name] for name in names},
        unread=given[""],
        constant=top if read and given[top] >= CONSTANT * read else None,
        divergence=max(0.0, float((p[kept] * np.log(p[kept] / q[kept])).sum())),
    )


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of right answers with its 95 % interval, clustered by image; p against `against`, adjusted by Holm."""

    name: str
    images: int
    share: float
    low: float
    high: float
    against: float
    p: float


def clustered(right: np.ndarray, item: np.ndarray, against: float) -> tuple[float, float, float, float]:
    """Mean of `right` [n] with its 95 % interval and the p of its being `against`, images being independent.

    The error is at least that of independent answers, half a right and half a wrong one added; where all are alike, of
    one answer per image.
    """
    m, mean, error = _share_error(right, item)
    low, high, p = student(mean, error, m, against)
    return mean, max(0.0, low), min(1.0, high), p


def _share_error(right: np.ndarray, item: np.ndarray) -> tuple[int, float, float]:
    """How many images, the mean of `right`, and its clustered standard error, at least that of independent answers."""
    m, mean, error = mean_error(right, item)
    count = len(right) if 0 < mean < 1 else m
    floor = (mean * count + 0.5) / (count + 1)
    return m, mean, max(error, float(np.sqrt(floor * (1 - floor) / count)))


def student(mean: float, error: float, m: int, against: float) -> tuple[float, float, float]:
    """95 % interval of a mean over m images and the p of its being `against`."""
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(max(m - 1, 1), 0.975)) * error
    p = 2 * float(stdtr(max(m - 1, 1), -abs(mean - against) / error)) if error else float(mean == against)
    return mean - half, mean + half, p


def by_cell(shown: Presentations, least: int = 5) -> list[Share]:
    """Accuracy where the correct mark lies, in a 3 x 3 grid, against that in the other cells; Holm over the cells.

    Cells with fewer images than `least` are left out.
    """
    here = shown.place[np.arange(len(shown.item)), shown.correct]
    column, row = (np.clip(((here[:, k] + 1) * 1.5).astype(int), 0, 2) for k in (0, 1))
    found = []
    for cell in range(9):
        mine = (row * 3 + column) == cell
        images = len(np.unique(shown.item[mine]))
        if images < least or mine.all():
            continue
        mean, low, high, _ = clustered(shown.right[mine], shown.cluster[mine], 1 / 3)
        errors = [_share_error(shown.right[part], shown.cluster[part]) for part in (mine, ~mine)]
        rest = errors[1][1]
        p = student(mean - rest, float(np.hypot(errors[0][2], errors[1][2])), errors[0][0], 0.0)[2]
        name = f"{('top', 'middle', 'bottom')[cell // 3]} {('left', 'centre', 'right')[cell % 3]}"
        found.append(Share(name=name, images=images, share=mean, low=low, high=high, against=rest, p=p))
    return _adjusted(found)


def _adjusted(found: list[Share]) -> list[Share]:
    """The shares with their p adjusted by Holm."""
    return [replace(s, p=float(p)) for s, p in zip(found, holm([s.p for s in found]), strict=True)] if found else []


@dataclass(frozen=True, kw_only=True)
class Dose:
    """Accuracy by size of the marks. slope: change per doubling with its 95 % interval, from each image's own slope.

    smallest: least size from which every larger one is above chance (Holm), None where none is.
    """

    shares: tuple[Share, ...]
    slope: tuple[float, float, float] | None
    p: float | None
    smallest: float | None


def dose(
    sizes: Sequence[float],
    right: Sequence[np.ndarray],
    item: Sequence[np.ndarray],
    chance: float,
    group: np.ndarray | None = None,
) -> Dose:
    """For each size the answers' correctness [n] and images [n]; sizes may hold different images.

    `group` gives the group of each image by its number, where images are not independent.

    Raises:
        ProbeError: no size was given.
    """
    if not sizes:
        raise ProbeError("no size of marks was given")
    order = np.argsort(sizes)
    found = []
    for k in order:
        mean, low, high, p = clustered(right[k], item[k] if group is None else group[item[k]], chance)
        found.append(
            Share(name=f"{sizes[k]:g}", images=len(np.unique(item[k])), share=mean, low=low, high=high,
                  against=chance, p=p)
        )  # fmt: skip
    found = _adjusted(found)
    above = [s.share > chance and s.p < 0.05 for s in found]
    smallest = next((float(sizes[order[k]]) for k in range(len(found)) if all(above[k:])), None)
    slope, p = _slope(sizes, right, item, group)
    return Dose(shares=tuple(found), slope=slope, p=p, smallest=smallest)


def _slope(
    sizes: Sequence[float], right: Sequence[np.ndarray], item: Sequence[np.ndarray], group: np.ndarray | None
) -> tuple[tuple[float, float, float] | None, float | None]:
    """Mean over images of the slope of their accuracy on log2 of size; None with one size or fewer than two images."""
    whole = sorted(set.intersection(*(set(np.unique(i).tolist()) for i in item)))
    if len(set(sizes)) < 2 or len(whole) < 2:
        return None, None
    steps = np.log2(np.asarray(sizes, dtype=float))
    steps -= steps.mean()
    means = np.array([[r[i == one].mean() for r, i in zip(right, item, strict=True)] for one in whole])
    slopes = means @ steps / (steps**2).sum()
    m, mean, error = mean_error(slopes, np.array(whole) if group is None else group[np.array(whole)])
    low, high, p = student(mean, error, m, 0.0)
    return (mean, low, high), p


def mean_error(values: np.ndarray, cluster: np.ndarray) -> tuple[int, float, float]:
    """How many clusters, the mean of `values` [n], and its clustered standard error."""
    which, number = np.unique(cluster, return_inverse=True)
    m, mean = len(which), float(values.mean())
    sums = np.bincount(number, weights=values - mean)
    return m, mean, float(np.sqrt((sums**2).sum() * m / max(m - 1, 1)) / len(values))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The quoted rule: largest less smallest accuracy over the six assignments, with an interval over images.

    by_mark: assignments counted by the marks' own order; by_colour: accuracy by colour of the correct mark.
    """

    by_mark: tuple[float, float, float]
    by_colour: tuple[float, float, float]
    reading: str


def spread(shown: Presentations, rng: np.random.Generator, draws: int = 1000) -> Spread:
    """Both spreads with their 95 % percentile intervals over resampled groups, and the reading of the quoted rule."""
    code = shown.colour @ np.array([9, 3, 1])
    kinds = np.unique(code, return_inverse=True)[1]
    label = shown.colour[np.arange(len(code)), shown.correct]
    _, image = np.unique(shown.cluster, return_inverse=True)
    m = image.max() + 1
    weight = rng.multinomial(m, np.full(m, 1 / m), draws).astype(float)
    weight = np.concatenate([np.ones((1, m)), weight])
    found = []
    for part, count in ((kinds, kinds.max() + 1), (label, len(COLOURS))):
        total, hits = np.zeros((m, count)), np.zeros((m, count))
        np.add.at(total, (image, part), 1)
        np.add.at(hits, (image, part), shown.right)
        share = (weight @ hits) / np.maximum(weight @ total, 1e-9)
        ranges = np.where(weight @ total > 0, share, np.nan)
        ranges = np.nanmax(ranges, axis=1) - np.nanmin(ranges, axis=1)
        low, high = np.quantile(ranges[1:], (0.025, 0.975))
        found.append((float(ranges[0]), float(low), float(high)))
    size = found[0][0]
    reading = "spatial" if size < 0.10 else "colour heuristic" if size > 0.30 else "undecided"
    return Spread(by_mark=found[0], by_colour=found[1], reading=reading)
