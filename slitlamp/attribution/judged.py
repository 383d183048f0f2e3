"""What came of a question: the images that are explained, the maps of every encoder, and the verdict on each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probes.trials.verdict import Lying, Verdict
from slitlamp.attribution.explained import Explained
from slitlamp.attribution.tokens import TokenPairs


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What came of one encoder, with the verdict on each method and where its map lies."""

    explained: Explained
    verdicts: Sequence[Verdict]
    lying: Mapping[str, Sequence[Lying]]

    @property
    def label(self) -> str:
        """The encoder's name in tables and figures."""
        return self.explained.target.encoder.label


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """One question: the images that are explained, and what came of each encoder; `probed` where a probe answers.

    `answers` are the true answers in words, `visible` says that the images may be shown, `tokens` holds the pairs of
    tokens of a pair of images, for each encoder whose last block can be opened.
    """

    name: str
    ids: Sequence[str]
    groups: np.ndarray
    answers: Sequence[str]
    judged: Sequence[Judged]
    visible: bool
    tokens: Sequence[TokenPairs] = ()
    probed: bool = True
    facts: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
    failed: Sequence[str] = ()

    def stated(self, state: str) -> str:
        """A verdict's state in words: of a similarity where no probe is explained."""
        return state if self.probed else state.replace("this probe", "this similarity")
