"""Name what there is: commands, encoders, tasks, probes.

$ python -m experiments.list commands
$ python -m experiments.list encoders
$ python -m experiments.list encoders llava-med
$ python -m experiments.list encoders timm:vit_small_patch16_224
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._cli import command_parser
from experiments._exit import DONE, guard


def _body(argv: Sequence[str]) -> int:
    parser = command_parser("list", __doc__)
    parser.add_argument("kind", choices=("commands", "encoders", "probes", "tasks"), help="what to list")
    parser.add_argument("name", nargs="?", help="say everything about this one")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--markdown", nargs="?", const="", metavar="FILE",
        help="print the encoders as the documents show them, or bring FILE's table up to date",
    )  # fmt: skip
    asked = parser.parse_args(list(argv))
    from slitlamp.log import say
    from slitlamp.reports import cards
    from slitlamp.reports.listing import commands, rows_of
    from slitlamp.reports.text import UNBROKEN, fitted, table, wide

    if asked.markdown is not None:
        print(cards.bring_up_to_date(Path(asked.markdown)) if asked.markdown else cards.markdown(), end="")
        return DONE
    here = Path(__file__).parent
    rows = commands(here, asked.name) if asked.kind == "commands" else rows_of(asked.kind, asked.name)
    if asked.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    elif asked.kind != "encoders":
        print(table(rows, wide(UNBROKEN), wrap=True))
    elif asked.name:
        print(cards.lines(asked.name))
    else:
        print(fitted([cards.short(row["name"]) for row in rows], most=UNBROKEN, whole=True))
        say(cards.unverified(rows))
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Print what there is; returns the exit code."""
    return guard(_body, argv, "list")


if __name__ == "__main__":
    sys.exit(main())
