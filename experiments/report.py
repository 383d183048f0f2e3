"""The pages that go into a paper: one offline page, figures, tables, methods, references and a probe card.

$ python -m experiments.report runs/linear_probe/* --out report/
$ python -m experiments.report runs/ablation/grid runs/attribution/films --out report/ --title "What films show"
$ python -m experiments.report --diff runs/monday runs/tuesday

docs/report.md says what is written.
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import guard
from slitlamp.paper.settings import COMMAND


def _body(argv: Sequence[str]) -> int:
    return answer(COMMAND, __doc__ or "", argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Report the runs that are named; returns the exit code."""
    return guard(_body, argv, COMMAND.name)


if __name__ == "__main__":
    sys.exit(main())
