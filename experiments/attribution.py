"""Which pixels does an answer rest on, and may that map be believed?

$ python -m experiments.attribution --encoder biomedclip --task orientation
$ python -m experiments.attribution --encoder biomedclip --data films/manifest.csv --group patient --label view
$ python -m experiments.attribution --encoder phantom-clip --task mirror --site final --method occlusion grad-cam
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import guard
from slitlamp.attribution.settings import COMMAND


def _body(argv: Sequence[str]) -> int:
    return answer(COMMAND, __doc__ or "", argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Explain what was asked; returns the exit code."""
    return guard(_body, argv, COMMAND.name)


if __name__ == "__main__":
    sys.exit(main())
