"""A measured point with its verdict, and the best of several."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from slitlamp.probing.state import Cell


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """One cell with its verdict and the paired differences it rests on."""

    cell: Cell
    measurement: Any
    verdict: Any
    p: float | None
    controls: dict[str, tuple[Any, Any]]


def best_of(judged: Sequence[Judged]) -> Judged:
    """The point with the highest score among those that are present, else among all."""
    present = [j for j in judged if j.verdict.state == "present"]
    return max(present or judged, key=lambda j: j.measurement.estimate.score)
