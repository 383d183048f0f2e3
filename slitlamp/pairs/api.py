"""The functions about pairs that a notebook calls; keyword arguments are the flags of `python -m experiments.pairs`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plugins import hint
from slitlamp.api import typed
from slitlamp.errors import UsageError
from slitlamp.pairs.commands import command
from slitlamp.pairs.result import PairResult
from slitlamp.settings import FLAGS

Names = str | Path | Sequence[str]


def mine(encoder: str | Path = "phantom-clip", reference: Names | None = None, **flags: Any) -> PairResult:
    """Every pair of images that is near in `encoder` and apart in each `reference`.

    With `out` the pairs are written there as Parquet, with figures and a gallery; without, they stay in the store.

    Raises:
        UsageError: arguments that do not fit. tasks.DataError, encoders.EncoderError, probes.ProbeError: as the command
        says in one line.
    """
    return _run("mine", {"encoder": encoder} | ({} if reference is None else {"reference": reference}) | flags)


def modes(encoder: str | Path = "phantom-clip", reference: Names | None = None, **flags: Any) -> PairResult:
    """The kinds of images that `encoder` puts together and a `reference` does not; raises as `mine` does."""
    return _run("modes", {"encoder": encoder} | ({} if reference is None else {"reference": reference}) | flags)


def explain(first: str, second: str, encoder: str | Path = "phantom-clip", **flags: Any) -> PairResult:
    """Which regions of two images, named by id or file, carry their similarity; raises as `mine` does."""
    return _run("explain", {"images": (str(first), str(second)), "encoder": encoder} | flags)


def score(encoder: Names = "phantom-clip", pairs: str | Path | None = None, **flags: Any) -> PairResult:
    """Whether the images of pairs lie apart, are told apart by a probe, or are lost; raises as `mine` does.

    `pairs` is a file with two columns of ids, as `mine` writes; a benchmark has its own.
    """
    return _run("score", {"encoder": encoder} | ({} if pairs is None else {"pairs": str(pairs)}) | flags)


def recipe(encoder: Names, data: str | Path, **flags: Any) -> PairResult:
    """Which encoder, site and centring reproduce published similarities; raises as `mine` does."""
    return _run("recipe", {"encoder": encoder, "data": str(data)} | flags)


def perturb(encoder: Names = "phantom-clip", **flags: Any) -> PairResult:
    """What graded changes of images do to features, and whether the change is read; raises as `mine` does."""
    return _run("perturb", {"encoder": encoder} | flags)


def similarity(encoder: Names = ("phantom-clip", "random:phantom-clip"), **flags: Any) -> PairResult:
    """How alike the geometries of encoders are, site by site; raises as `mine` does."""
    return _run("similarity", {"encoder": encoder} | flags)


def _run(name: str, given: dict[str, Any]) -> PairResult:
    asked = command(name)
    known = {flag: FLAGS[flag] for flag in asked.flags if flag not in ("json", "debug")} | dict(asked.extra)
    values: dict[str, Any] = {"out": None}
    for flag, value in given.items():
        if flag not in known:
            raise UsageError(f"no argument {flag!r}; {hint(flag, known)}there are {', '.join(known)}")
        entry = known[flag]
        values[flag] = typed(flag, value, str(getattr(entry.type, "__name__", entry.type)))
        choices: tuple[str, ...] = entry.metadata.get("choices") or ()
        many = values[flag] if isinstance(values[flag], tuple) else (values[flag],)
        for one in many:
            if choices and one is not None and one not in choices:
                raise UsageError(f"{flag}={one!r} is none of {', '.join(choices)}")
    return asked.run(values)
