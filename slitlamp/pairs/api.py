"""The functions about pairs that a notebook calls; keyword arguments are the flags of `python -m experiments.pairs`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slitlamp.pairs.commands import COMMANDS
from slitlamp.pairs.result import PairResult

Names = str | Path | Sequence[str]


def mine(encoder: str | Path = "phantom-clip", reference: Names | None = None, **flags: Any) -> PairResult:
    """Every pair of images that is near in `encoder` and apart in each `reference`.

    With `out` the pairs are written there as Parquet, with figures and a gallery; without, they stay in the store.

    Raises:
        UsageError: arguments that do not fit. tasks.DataError, encoders.EncoderError, probes.ProbeError: as the command
        says in one line.
    """
    return COMMANDS["mine"].call({"encoder": encoder} | ({} if reference is None else {"reference": reference}) | flags)


def modes(encoder: str | Path = "phantom-clip", reference: Names | None = None, **flags: Any) -> PairResult:
    """The kinds of images that `encoder` puts together and a `reference` does not; raises as `mine` does."""
    own = {"encoder": encoder} | ({} if reference is None else {"reference": reference})
    return COMMANDS["modes"].call(own | flags)


def explain(first: str, second: str, encoder: str | Path = "phantom-clip", **flags: Any) -> PairResult:
    """Which regions of two images, named by id or file, carry their similarity; raises as `mine` does."""
    return COMMANDS["explain"].call({"images": (str(first), str(second)), "encoder": encoder} | flags)


def score(encoder: Names = "phantom-clip", pairs: str | Path | None = None, **flags: Any) -> PairResult:
    """Whether the images of pairs lie apart, are told apart by a probe, or are lost; raises as `mine` does.

    `pairs` is a file with two columns of ids, as `mine` writes; a benchmark has its own.
    """
    return COMMANDS["score"].call({"encoder": encoder} | ({} if pairs is None else {"pairs": str(pairs)}) | flags)


def recipe(encoder: Names, data: str | Path, **flags: Any) -> PairResult:
    """Which encoder, site and centring reproduce published similarities; raises as `mine` does."""
    return COMMANDS["recipe"].call({"encoder": encoder, "data": str(data)} | flags)


def perturb(encoder: Names = "phantom-clip", **flags: Any) -> PairResult:
    """What graded changes of images do to features, and whether the change is read; raises as `mine` does."""
    return COMMANDS["perturb"].call({"encoder": encoder} | flags)


def similarity(encoder: Names = ("phantom-clip", "random:phantom-clip"), **flags: Any) -> PairResult:
    """How alike the geometries of encoders are, site by site; raises as `mine` does."""
    return COMMANDS["similarity"].call({"encoder": encoder} | flags)
