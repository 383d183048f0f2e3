"""What does an embedding look like in two dimensions, and may the picture be believed?

$ python -m experiments.embedding_plot --encoder biomedclip --task orientation
"""

import sys
from collections.abc import Sequence

from experiments._cli import flags_of, make_parser
from experiments._exit import DONE, PARTIAL, guard
from slitlamp.embedding.settings import COMMAND


def _body(argv: Sequence[str]) -> int:
    parser = make_parser(COMMAND.name, __doc__ or "", COMMAND.flags, default=COMMAND.default, extra=COMMAND.extra)
    flags = flags_of(parser, argv)
    json = flags.pop("json", False)
    from slitlamp.log import say

    result = COMMAND.run(flags)
    print(result.to_json() if json else result, end="" if json else "\n")
    say(result.summary)
    return PARTIAL if result.failed else DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the maps; returns the exit code."""
    return guard(_body, argv, COMMAND.name)


if __name__ == "__main__":
    sys.exit(main())
