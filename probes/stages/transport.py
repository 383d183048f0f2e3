"""The transported probe: is what a probe reads at one stage still there at a later one?

A probe trained anew at the later stage answers whether it is as easy to learn there: an invertible but badly
conditioned connector makes it read less although nothing is lost. Here the probe is trained before, its score is
regressed on the later features over images without labels, and both are read on the items held out (METHOD 4.4).

One decomposition of the later features serves every fold, repeat, penalty and permuted label vector: the held-out rows
of a fold leave the regression by the block formula of `probes.solvers.ridge`, and the penalty is chosen by the error
of rows left out one at a time besides (PRESS: Allen 1974, Technometrics 16, 125-127), without the fold that is held
out. "Retained" is constructive: one reader that reads as well proves it. "Lost" is relative to the readers tried, so
it needs all of them: the straight-line regressor, the curved one, and the probe trained anew behind.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from probes._base import FeatureSet, ProbeError
from probes.solvers.codes import coded_vectors
from probes.solvers.ridge import Ridge
from probes.solvers.scale import inverse_scale
from probes.stages.contrast import Contrast, ContrastState, contrast, margin_of, paired, repeats, scored_margin
from probes.stats.permutation import REFITS
from probes.stats.plan import Plan
from probes.stats.scores import Scored

GRID = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)  # relative penalties of the regression
LANDMARKS = 400  # rows that span the curved regressor's kernel
ReaderName = Literal["linear", "nonlinear", "trained anew"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """One way of reading at the later stage what was read before: held-out decision values, and what is lost.

    margin [R, n, C]; `loss` on balanced accuracy (concordance for numbers), `order` on the AUC scale. `fidelity` is the
    share of the score's variance on rows left out that the regression gets back (None where nothing is regressed),
    `penalty` the median of the relative penalties chosen.
    """

    name: ReaderName
    margin: np.ndarray
    scored: Scored
    loss: Contrast
    order: Contrast
    fidelity: float | None = None
    penalty: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Transport:
    """What becomes of a probe's score between two stages: held-out values before, each reader behind, and the state.

    `before` [R, n, C] are decision values of the probe at the stage before; `readers` those behind. `state` is "none"
    where one reader surely loses less than the margin, "material" where each loses more, "some" where each loses
    something, else "unknown". `loss` is that of the reader that loses least. `rows` images without labels had part, of
    features `width` wide. `reason` says it in a sentence.
    """

    before: np.ndarray
    scored: Scored
    readers: tuple[Reader, ...]
    loss: Contrast
    order: Contrast
    state: ContrastState
    margin: float
    rows: int
    width: int
    reason: str

    @property
    def linear(self) -> Reader:
        """The straight-line regression."""
        return self.readers[0]


def transported(
    before: FeatureSet,
    after: FeatureSet,
    plan: Plan,
    *,
    pool_before: np.ndarray | None = None,
    pool_after: np.ndarray | None = None,
    margin: float | None = None,
    seed: int = 0,
) -> Transport:
    """Read at `after` [n, e], on items held out, what a ridge probe reads at `before` [n, d].

    `pool_before` [m, d] and `pool_after` [m, e] are further images at both stages, without labels and of no group of
    the items; without them the training items of each fold, their labels unused, are all that ties the stages together.
    `margin` is dl, by default .05 from 643 items, else .10.

    Raises:
        ProbeError: the two stages hold other items, or pools that do not fit.
    """
    raise NotImplementedError
