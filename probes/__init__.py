"""Probes that read answers from features, and the statistics of what they read.

`names()` lists the registered probes, `load(name)` gives one: a function from a `FeatureSet` and its folds to
held-out `Predictions`. The folder is the registry: a file without underscore is a name a user can type.
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins import UnknownName, hint, of_folder

if TYPE_CHECKING:
    from probes._base import Estimate, FeatureSet, Predictions, ProbeError, Verdict
__all__ = [
    "Estimate",
    "FeatureSet",
    "Predictions",
    "ProbeError",
    "UnknownName",
    "Verdict",
    "load",
    "names",
]

Probe = Callable[..., Any]  # (given, folds, rng, **options) -> Predictions

_TYPES = ("Estimate", "FeatureSet", "Predictions", "ProbeError", "Verdict")
_LAZY = {
    **dict.fromkeys(_TYPES, "probes._base"),
    "Difference": "probes.stats.measurement",
    "Measurement": "probes.stats.measurement",
    "Plan": "probes.stats.plan",
    "benjamini_hochberg": "probes.stats.multiplicity",
    "compare": "probes.stats.measure",
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


def names() -> tuple[str, ...]:
    """The registered probes, sorted: every file of this folder whose name has no underscore in front."""
    return of_folder(Path(__file__).parent)


def load(name: str) -> Probe:
    """The probe function of a registered name, or of a user's Python file that defines `probe`.

    Raises:
        UnknownName: no such name or file, or the file defines no `probe`; the message names what would do.
    """
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise UnknownName(f"no probe file {path}; give a .py file that defines probe(given, folds, rng)")
        spec = importlib.util.spec_from_file_location(f"_user_probe_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not callable(getattr(module, "probe", None)):
            raise UnknownName(f"{path} defines no function 'probe(given, folds, rng)'")
        return module.probe
    if name not in names():
        raise UnknownName(
            f"no probe {name!r}; {hint(name, names())}there are: {', '.join(names())}; or give a path to a .py file"
        )
    return importlib.import_module(f"probes.{name}").probe
