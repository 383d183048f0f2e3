"""P-values adjusted for multiplicity: Holm, Benjamini-Hochberg, and the largest statistic over all sites."""

from collections.abc import Sequence

import numpy as np


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
    from scipy.stats import false_discovery_control

    return false_discovery_control(np.asarray(p, dtype=float), method="bh")


def over_layers(nulls: Sequence[np.ndarray]) -> np.ndarray:
    """P-values of sites adjusted for the search over all: each against the largest permuted statistic of any site.

    `nulls` are statistics [1 + B] of the same permuted labels, the observed one first (Westfall & Young 1993).
    """
    table = np.stack(list(nulls))
    largest = table[:, 1:].max(axis=0)
    return (1 + (largest[None] >= table[:, :1]).sum(axis=1)) / (1 + table.shape[1] - 1)


def over_tasks(tasks: Sequence[Sequence[float] | np.ndarray]) -> list[np.ndarray]:
    """P-values of the points of several tasks, each adjusted within its task already, adjusted for the number of tasks.

    Holm's step-down over tasks: a task stops counting once all of its points are rejected, so that what is false of
    some of its points pays for nothing. With h the Holm-adjusted largest p of each task, in order, a point of p has
    the least over i of max((tasks - i) p, h_i); one point per task gives Holm's own (Goeman & Solari 2010, Annals of
    Statistics 38, 3782-3810: sequential rejection).

    >>> [p.round(3).tolist() for p in over_tasks([[0.01], [0.04], [0.03]])]
    [[0.03], [0.06], [0.06]]
    """
    done = np.concatenate([[0.0], np.sort(holm([max(p) for p in tasks]))])[: len(tasks)]
    left = len(tasks) - np.arange(len(tasks))
    steps = [np.maximum(np.outer(np.asarray(p, dtype=float), left), done).min(axis=1) for p in tasks]
    return [np.minimum(p, 1.0) for p in steps]


def low_over_map(nulls: Sequence[np.ndarray]) -> float:
    """P of a map's lowest statistic against the lowest of each permuted label vector: one alarm for all its points.

    `nulls` are statistics [1 + B] of the same permuted labels, the observed one first; where some hold fewer permuted
    labels than others, only those that all hold are counted.

    >>> low_over_map([np.array([0.3, 0.4, 0.5, 0.6]), np.array([0.5, 0.2, 0.5, 0.6])])
    0.5
    """
    count = min(len(one) for one in nulls)
    lowest = np.min([one[:count] for one in nulls], axis=0)
    return float((1 + (lowest[1:] <= lowest[0]).sum()) / count)
