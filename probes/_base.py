"""Types of the probes: features with their answers, held-out predictions, estimates, verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

State = Literal["present", "absent", "inconclusive"]
Credit = Literal["nuisance", "pixels", "architecture", "open", "learned"]


class ProbeError(Exception):
    """The data cannot be probed as asked; the message is one line for the user (exit 3)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSet:
    """Features and answers, checked on construction.

    x: float32 or float64 [n, d], finite. y: int64 [n] class indices, or float64 [n] when `classes` is None.
    groups: [n] of what may not be split. ids: [n] unique.
    """

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    ids: Sequence[str]
    classes: tuple[str, ...] | None

    def __post_init__(self) -> None:
        """Refuse what cannot be probed, naming the numbers that disagree."""
        n = len(self.x)
        if self.x.ndim != 2:
            raise ProbeError(f"features must be [items, width], not of shape {self.x.shape}")
        if not (len(self.y) == len(self.groups) == len(self.ids) == n):
            raise ProbeError(
                f"{n} feature rows, {len(self.y)} labels, {len(self.groups)} groups and {len(self.ids)} ids: "
                "all four must be one per item"
            )
        if len(set(self.ids)) != n:
            raise ProbeError("item ids repeat: every item needs an id of its own")
        bad = ~np.isfinite(self.x).all(axis=1)
        if bad.any():
            first = self.ids[int(np.flatnonzero(bad)[0])]
            raise ProbeError(
                f"{int(bad.sum())} of {n} items have features that are NaN or infinite (first: {first}); "
                "the encoder's output is not usable, nothing was filled in"
            )
        if self.classes is not None:
            found = np.unique(self.y)
            if len(found) < 2:
                one = self.classes[int(found[0])] if len(found) else "none"
                raise ProbeError(f"only one class in the data ({one}): a probe needs at least two")


def feature_set(x: Any, y: Any, *, groups: Any = None, ids: Any = None) -> FeatureSet:
    """A FeatureSet of whatever a notebook holds: lists or arrays, class names or numbers.

    `x` becomes float [n, d]. `y` of texts, booleans or whole numbers are classes, in sorted order; of numbers with a
    fraction a numeric target. `groups` default to every row by itself, `ids` to the row numbers.

    Raises:
        ProbeError: what cannot be read as numbers, rows of unequal length, a missing answer.

    >>> feature_set([[0.0, 1], [1, 0]], ["left", "right"]).classes
    ('left', 'right')
    """
    try:
        wide = np.asarray(x)
        if wide.dtype.kind not in "iufbO" or isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"they are of type {wide.dtype}" + ", masked" * isinstance(x, np.ma.MaskedArray))
        wide = wide if wide.dtype == np.float32 else wide.astype(np.float64)
        if float(np.abs(wide, where=np.isfinite(wide), out=np.zeros_like(wide)).max(initial=0)) > 1e100:
            raise ValueError("some values are beyond 1e100: scale them")
        labels = np.asarray(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ProbeError(f"features cannot be read as numbers [items, width]: {error}") from None
    if wide.ndim != 2 or not wide.shape[1]:
        raise ProbeError(f"features must be [items, width], not of shape {wide.shape}")
    if labels.ndim != 1:
        raise ProbeError(f"answers must be a list or array with one per item, not {type(y).__name__} {labels.shape}")
    together = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if together.shape != labels.shape:
        raise ProbeError(f"groups must be one per item: {len(labels)} are wanted, given is shape {together.shape}")
    if any(g is None or g != g or g == "" for g in together.tolist()):
        raise ProbeError("some groups are missing (None, NaN or empty): give each item the group it belongs to")
    if labels.dtype.kind == "O" and any(v is None or v != v for v in labels):
        raise ProbeError("some answers are missing (None or NaN): leave these items out")
    classes: tuple[str, ...] | None = None
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ProbeError("some answers are NaN or infinite: leave these items out")
        if len(labels) and (labels == labels[0]).all():
            raise ProbeError(f"all answers are {labels[0]:g}: there is nothing to read")
    else:
        named, labels = np.unique(labels.astype(str) if labels.dtype.kind in "OSUb" else labels, return_inverse=True)
        classes = tuple(str(one) for one in named)
    return FeatureSet(
        x=wide,
        y=labels.astype(np.float64 if classes is None else np.int64).ravel(),
        groups=together if together.dtype.kind in "iu" else together.astype(str),
        ids=[str(i) for i in (range(len(labels)) if ids is None else ids)],
        classes=classes,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Held-out predictions, one row per item and repeat.

    label [n]; predicted [R, n] (class index or number); score [R, n, K] held-out decision values whose argmax is
    `predicted`, the training prior already taken off them, or [R, n, 1] for numbers; probability [R, n, K] or None
    where the probe gives none; fold [R, n].
    `penalty` [R, folds] is what the probe chose (nan where it chose nothing). Numbers are normal scores; `number` [n]
    are those that were given, where it is known.
    """

    label: np.ndarray
    predicted: np.ndarray
    score: np.ndarray
    fold: np.ndarray
    groups: np.ndarray
    ids: Sequence[str]
    probability: np.ndarray | None = None
    baseline: np.ndarray | None = None  # [R, n] training-fold mean, for numbers
    number: np.ndarray | None = None
    penalty: np.ndarray | None = None
    notes: tuple[str, ...] = ()  # what the reader should know, one line each


def check_predictions(found: Any, given: FeatureSet, folds: np.ndarray, probe: str) -> Predictions:
    """What a probe returned, once it is held-out predictions of these items.

    Raises:
        ProbeError: it is of another type, shape or range, or not finite, with what is wrong and what is wanted.
    """
    r, n = folds.shape
    k = 1 if given.classes is None else len(given.classes)
    if not isinstance(found, Predictions):
        raise ProbeError(f"--probe {probe} returned a {type(found).__name__}; it must return probes.Predictions")
    shapes = {"label": (n,), "predicted": (r, n), "score": (r, n, k), "fold": (r, n)}
    if given.classes is None:
        shapes["baseline"] = (r, n)
    for name, shape in shapes.items():
        array = np.asarray(getattr(found, name))
        if array.shape != shape:
            raise ProbeError(f"--probe {probe}: {name} has shape {list(array.shape)}; {list(shape)} is wanted")
        if array.dtype.kind not in "iufb" or not np.isfinite(array).all():
            raise ProbeError(f"--probe {probe}: {name} holds values that are no finite numbers")
    if not np.array_equal(found.label, given.y):
        raise ProbeError(f"--probe {probe}: label holds other answers than those that were given")
    if given.classes is not None and not np.isin(found.predicted, np.arange(k)).all():
        raise ProbeError(f"--probe {probe}: predicted holds values that are no class; classes are 0 to {k - 1}")
    return found


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score with its interval, chance level and p; None where one could not be computed."""

    metric: str
    score: float
    low: float | None
    high: float | None
    chance: float
    p: float | None
    mde: float | None
    confidence: float = 0.95
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one site: present, absent or inconclusive, and why.

    `leak` is the alarm of a score below chance; `material` says that the whole interval lies .05 above chance
    and above every control; `size_open` that something is read, but the interval touches chance. `excluded` is the
    weakest strength that an absence excludes, in the unit of the score; `groups_needed` about how many groups would
    decide, where nothing is decided.
    """

    state: State
    margin: float
    reason: str
    credit: Credit | None = None
    leak: bool = False
    material: bool = False
    size_open: bool = False
    excluded: float | None = None
    groups_needed: int | None = None

    @property
    def words(self) -> str:
        """The state as a table prints it: with the strength that an absence excludes, or that a size is open."""
        if self.excluded is not None:
            return f"{self.state} \N{GREATER-THAN OR EQUAL TO}{self.excluded:.2f}".replace("0.", ".")
        return f"{self.state} (size open)" if self.size_open else self.state
