"""Which images does an encoder confuse, are they really lost, and which encoder tells them apart?

$ python -m experiments.pairs mine --encoder biomedclip --reference dinov2-b14 --data films/manifest.csv
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import DONE, guard
from slitlamp.errors import UsageError
from slitlamp.pairs.commands import COMMANDS, command

NAME = "pairs"


def _body(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        lines = [f"  {one.name:12}{one.about}" for one in COMMANDS.values()]
        print(
            f"usage: python -m experiments.pairs COMMAND … (COMMAND --help lists its flags)\n\n{__doc__}\n"
            + "\n".join(lines)
        )
        if argv:
            return DONE
        raise UsageError(f"name a command: {', '.join(COMMANDS)}")
    asked = command(argv[0])
    return answer(asked, f"Find {asked.about}.", argv[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command about pairs; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
