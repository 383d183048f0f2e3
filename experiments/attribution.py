"""Which pixels does an answer rest on, and may that map be believed?

$ python -m experiments.attribution --encoder biomedclip --task orientation
$ python -m experiments.attribution --encoder biomedclip --data films/manifest.csv --group patient --label view
"""

import sys
from collections.abc import Sequence

from experiments._cli import flags_of, make_parser
from experiments._exit import DONE, PARTIAL, guard
from slitlamp.attribution.settings import COMMAND

NAME = "attribution"


def _body(argv: Sequence[str]) -> int:
    parser = make_parser(NAME, __doc__ or "", COMMAND.flags, default=COMMAND.default, extra=COMMAND.extra)
    flags = flags_of(parser, argv)
    json = flags.pop("json", False)
    from slitlamp.log import say

    result = COMMAND.run(flags)
    print(result.to_json() if json else result, end="" if json else "\n")
    say(result.summary)
    return PARTIAL if result.failed else DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Explain what was asked; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
