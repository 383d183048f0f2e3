"""What does a model itself answer, and does it look at the image? Or read answers that were made elsewhere.

$ python -m experiments.answers ask --model llava-med --task orientation
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer_one_of
from experiments._exit import guard
from slitlamp.answers.commands import COMMANDS

NAME = "answers"


def _body(argv: Sequence[str]) -> int:
    return answer_one_of(COMMANDS, str(__doc__), argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command about answers; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
