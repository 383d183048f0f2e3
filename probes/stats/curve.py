"""A score over numbers of groups: means over draws, and whether it still rises.

Draws of the same groups are no independent data. What a group contributes to a score is counted once for every draw
that holds it, so that the error of a mean over draws falls only as far as the draws hold other groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.stats.intervals import floored_error
from probes.stats.measurement import Measurement
from probes.stats.plan import FEW


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """One draw of groups: what was measured on it, and the names of the groups of its items."""

    measurement: Measurement
    groups: Sequence[str]

    @property
    def score(self) -> float:
        """The score averaged over repeats."""
        return self.measurement.estimate.score

    @property
    def phi(self) -> float:
        """By how much the error of its score is larger than that of its items alone."""
        m = self.measurement
        plain = float(floored_error(m.scored, m.plan.y, m.plan).mean())
        return m.error / plain if plain > 0 else 1.0

    @property
    def names(self) -> frozenset[str]:
        """The groups, each once."""
        return frozenset(self.groups)


def mean_error(draws: Sequence[Draw]) -> float | None:
    """Standard error of the mean score of draws; None where one has fewer than 20 groups.

    Two draws are taken to be as correlated as the share of groups that they have in common, which is the most that
    they can be: the groups that are tested are shared, and so are those that the probe is trained on.
    """
    if min(d.measurement.plan.n_groups for d in draws) < FEW:
        return None
    error = np.array([d.measurement.error for d in draws])
    shared = np.array([[len(a.names & b.names) / max(len(a.names), len(b.names)) for b in draws] for a in draws])
    return float(np.sqrt(error @ shared @ error) / len(draws))


def rise(less: Sequence[Draw], more: Sequence[Draw]) -> tuple[float, float | None]:
    """How much more is read with more groups, and its standard error; draws are paired, the fewer among the more.

    The linearised contributions of groups to the difference, averaged over draws, repeat by repeat, as if what a group
    adds to one and to the other were measured on it alone; times the larger phi. None below 20 groups.
    """
    gain = float(np.mean([m.score - one.score for one, m in zip(less, more, strict=True)]))
    if min(d.measurement.plan.n_groups for d in (*less, *more)) < FEW:
        return gain, None
    place = {name: k for k, name in enumerate(sorted(set().union(*(d.names for d in (*less, *more)))))}
    repeats = min(len(d.measurement.scored.part) for d in (*less, *more))
    each = np.zeros((repeats, len(place)))
    for sign, draws in ((-1, less), (1, more)):
        for d in draws:
            where = np.array([place[name] for name in d.groups])
            for r in range(repeats):
                each[r] += sign * np.bincount(where, weights=d.measurement.scored.part[r], minlength=len(place))
    error = np.sqrt(len(place) / (len(place) - 1) * np.square(each / len(less)).sum(axis=1)).mean()
    return gain, float(error) * max(d.phi for d in (*less, *more))


def rises(gain: float, error: float | None, groups: int) -> bool | None:
    """Whether the lower end of the 90 % interval of a gain lies above 0; None where there is no interval."""
    from scipy.special import stdtrit

    return None if error is None else bool(gain - float(stdtrit(groups - 1, 0.95)) * error > 0)
