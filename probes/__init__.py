"""Probes that read answers from features, and the statistics of what they read.

`names()` lists the registered probes, `load(name)` gives one: a function from a `FeatureSet` and its folds to
held-out `Predictions`. The folder is the registry: a file without underscore is a name a user can type.
"""

import importlib
from typing import TYPE_CHECKING, Any

from plugins import UnknownName
from probes._registry import Probe, load, names

if TYPE_CHECKING:
    from probes._base import Estimate, FeatureSet, Predictions, ProbeError, Verdict, feature_set
    from probes.solvers.algebra import DeviceError
    from probes.stats.difference import compare
    from probes.stats.measure import measure
    from probes.stats.measurement import Difference, Measurement
    from probes.stats.multiplicity import benjamini_hochberg, holm, over_layers
    from probes.stats.plan import Plan, plan
    from probes.stats.verdict import verdict

__all__ = [
    "DeviceError",
    "Difference",
    "Estimate",
    "FeatureSet",
    "Measurement",
    "Plan",
    "Predictions",
    "Probe",
    "ProbeError",
    "UnknownName",
    "Verdict",
    "benjamini_hochberg",
    "compare",
    "feature_set",
    "holm",
    "load",
    "measure",
    "names",
    "over_layers",
    "plan",
    "verdict",
]

_TYPES = ("Estimate", "FeatureSet", "Predictions", "ProbeError", "Verdict", "feature_set")
_LAZY = {
    **dict.fromkeys(_TYPES, "probes._base"),
    "DeviceError": "probes.solvers.algebra",
    "Difference": "probes.stats.measurement",
    "Measurement": "probes.stats.measurement",
    "Plan": "probes.stats.plan",
    "benjamini_hochberg": "probes.stats.multiplicity",
    "compare": "probes.stats.difference",
    "holm": "probes.stats.multiplicity",
    "measure": "probes.stats.measure",
    "over_layers": "probes.stats.multiplicity",
    "plan": "probes.stats.plan",
    "verdict": "probes.stats.verdict",
}


def __getattr__(name: str) -> Any:
    """Import types and statistics only when somebody asks for them: listing the probes needs no numpy."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'probes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
