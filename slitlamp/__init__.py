"""The library that joins encoders, tasks, cache and probes: what a notebook imports.

>>> import slitlamp
>>> sorted(dir(slitlamp))
['CommandResult', 'Conclusion', 'PairResult', 'Result', 'UsageError', 'ablate', 'answer', 'attribute', 'compare',
'diagnose', 'embed', 'explain', 'extract', 'features', 'import_answers', 'load', 'measure', 'mine', 'modes', 'perturb',
'probe', 'recipe', 'report', 'score', 'similarity']
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slitlamp.ablation.api import ablate
    from slitlamp.answers.api import answer, import_answers
    from slitlamp.api import features, measure, probe
    from slitlamp.attribution.api import attribute
    from slitlamp.comparison.api import compare
    from slitlamp.diagnosis.api import diagnose
    from slitlamp.embedding.api import embed
    from slitlamp.errors import UsageError
    from slitlamp.extraction.api import extract
    from slitlamp.pairs.api import explain, mine, modes, perturb, recipe, score, similarity
    from slitlamp.pairs.result import PairResult
    from slitlamp.paper.api import report
    from slitlamp.reports.result import CommandResult
    from slitlamp.result import Conclusion, Result
    from slitlamp.runs import load

__all__ = [
    "CommandResult", "Conclusion", "PairResult", "Result", "UsageError", "ablate", "answer", "attribute", "compare",
    "diagnose", "embed", "explain", "extract", "features", "import_answers", "load", "measure", "mine", "modes",
    "perturb", "probe", "recipe", "report", "score", "similarity",
]  # fmt: skip

_HOMES = {
    **dict.fromkeys(("features", "measure", "probe"), "slitlamp.api"),
    **dict.fromkeys(("Conclusion", "Result"), "slitlamp.result"),
    **dict.fromkeys(("explain", "mine", "modes", "perturb", "recipe", "score", "similarity"), "slitlamp.pairs.api"),
    "ablate": "slitlamp.ablation.api",
    **dict.fromkeys(("answer", "import_answers"), "slitlamp.answers.api"),
    "attribute": "slitlamp.attribution.api",
    "compare": "slitlamp.comparison.api",
    "diagnose": "slitlamp.diagnosis.api",
    "report": "slitlamp.paper.api",
    "CommandResult": "slitlamp.reports.result",
    "PairResult": "slitlamp.pairs.result",
    "embed": "slitlamp.embedding.api",
    "extract": "slitlamp.extraction.api",
    "load": "slitlamp.runs",
    "UsageError": "slitlamp.errors",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: `import slitlamp` itself is light."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'slitlamp' has no attribute {name!r}; there are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
