"""Whose neighbours changed between two points: counted in the features, never in the maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from probes.embedding.trust import movement
from slitlamp.embedding.looked import Looked
from slitlamp.questions import Question


@dataclass(frozen=True, kw_only=True, eq=False)
class Moved:
    """Two points of the same items: the share of neighbours [n] that both have, and how far they went [n]."""

    first: Looked
    second: Looked
    shared: np.ndarray
    distance: np.ndarray

    @cached_property
    def order(self) -> np.ndarray:
        """The items whose neighbours changed, those first whose neighbours lie farthest away at the other point."""
        order = np.lexsort((np.arange(len(self.shared)), -np.round(self.distance, 9)))
        return order[self.shared[order] < 1]

    @property
    def mean(self) -> float:
        """The share of neighbours that both have, over all items."""
        return float(self.shared.mean())

    @property
    def chance(self) -> float:
        """That share where the two know nothing of each other."""
        return self.first.places.shape[1] / (len(self.shared) - 1)

    def rows(self, question: Question, count: int) -> Sequence[dict[str, Any]]:
        """The items that moved most, as rows of a table."""
        return [
            {
                "first": self.first.name, "second": self.second.name, "id": question.ids[k],
                "answer": answer_of(question, int(k)), "shared_neighbours": float(self.shared[k]),
                "distance": float(self.distance[k]),
            }
            for k in self.order[:count]
        ]  # fmt: skip


def moved_between(first: Looked, second: Looked) -> Moved:
    """How the neighbours of every item changed from one point to another."""
    shared, distance = movement((first.x, second.x), (first.places, second.places))
    return Moved(first=first, second=second, shared=shared, distance=distance)


def answer_of(question: Question, k: int) -> str:
    """The answer of an item in words."""
    return f"{question.y[k]:.4g}" if question.classes is None else question.classes[int(question.y[k])]
