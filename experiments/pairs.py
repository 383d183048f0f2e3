"""Which images does an encoder confuse, are they really lost, and which encoder tells them apart?

$ python -m experiments.pairs mine --encoder biomedclip --reference dinov2-b14 --data films/manifest.csv
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer_one_of
from experiments._exit import guard
from slitlamp.pairs.commands import COMMANDS

NAME = "pairs"


def _body(argv: Sequence[str]) -> int:
    return answer_one_of(COMMANDS, str(__doc__), argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command about pairs; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
