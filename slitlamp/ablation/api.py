"""The function about grids that a notebook calls; keyword arguments are the flags of the command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slitlamp.ablation.result import AblationResult
from slitlamp.ablation.settings import COMMAND, AblationSettings, grid_file


def ablate(config: str | Path | Mapping[str, Any], **flags: Any) -> AblationResult:
    """Answer a grid of questions: what is missing is measured, and every run is judged as `linear_probe` judges it.

    `config` is the TOML file of a grid, or a mapping with its sections: `{"fixed": {"items": 60}, "grid": {"encoder":
    ["phantom-clip", "pixels"], "task": ["orientation", "depth"]}}`. `flags` are those of `python -m
    experiments.ablation` with underscores. `runs` of the result hold what `slitlamp.probe` would give, by name.

    Raises:
        UsageError: a grid or an argument that does not fit. tasks.DataError, encoders.EncoderError: nothing of the grid
        can be answered, or with `fail_fast` the first that could not.
    """
    if isinstance(config, Mapping):
        config = grid_file(config, flags.get("most", AblationSettings().most))
    return COMMAND.call({"config": config} | flags)  # type: ignore[return-value]
