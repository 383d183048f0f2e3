"""Which encoder reads more, by how much, and is the difference sure?

$ python -m experiments.compare runs/linear_probe/biomedclip-… runs/linear_probe/dinov2-…
$ python -m experiments.compare runs/grid --over site --task orientation
$ python -m experiments.compare runs/hospital-a runs/hospital-b --unpaired

docs/comparisons.md says what can be compared.
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import guard
from slitlamp.comparison.settings import COMMAND


def _body(argv: Sequence[str]) -> int:
    return answer(COMMAND, __doc__ or "", argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the runs that were named; returns the exit code."""
    return guard(_body, argv, COMMAND.name)


if __name__ == "__main__":
    sys.exit(main())
