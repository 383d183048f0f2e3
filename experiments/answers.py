"""What does a model itself answer, and does it look at the image? Or read answers that were made elsewhere.

$ python -m experiments.answers ask --model llava-med --task orientation
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import DONE, guard
from slitlamp.answers.commands import COMMANDS, command
from slitlamp.errors import UsageError

NAME = "answers"


def _body(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        lines = [f"  {one.name:12}{one.about}" for one in COMMANDS.values()]
        print(
            f"usage: python -m experiments.answers COMMAND … (COMMAND --help lists its flags)\n\n{__doc__}\n"
            + "\n".join(lines)
        )
        if argv:
            return DONE
        raise UsageError(f"name a command: {', '.join(COMMANDS)}")
    asked = command(argv[0])
    return answer(asked, f"Find {asked.about}.", argv[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command about answers; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
