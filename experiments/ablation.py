"""A grid of questions: one file names encoders, tasks, readouts, seeds …, and what is missing is measured and judged.

$ python -m experiments.ablation --config docs/examples/grids/encoders.toml --dry-run
$ python -m experiments.ablation --config grid.toml --out runs/grid
$ python -m experiments.ablation --config grid.toml --out runs/grid --shard 1/8

docs/ablation.md says what a grid may hold.
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import guard
from slitlamp.ablation.settings import COMMAND


def _body(argv: Sequence[str]) -> int:
    return answer(COMMAND, __doc__ or "", argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Answer the grid; returns the exit code."""
    return guard(_body, argv, COMMAND.name)


if __name__ == "__main__":
    sys.exit(main())
