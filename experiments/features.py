"""Look after the feature store: what it holds, whether it is as it was written, what may go.

$ python -m experiments.features ls
$ python -m experiments.features verify --remove
$ python -m experiments.features gc --older-than 90 --dry-run

The store is the folder that SLITLAMP_CACHE names, else the platform's cache folder.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments._cli import described
from experiments._exit import DATA, DONE, guard


def _days(text: str) -> float:
    if not text.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days; give 0 or more")
    return float(text)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON document")
    shared.add_argument("--debug", action="store_true", help="show where an error comes from")
    shape = argparse.RawDescriptionHelpFormatter
    doc = described(__doc__)
    parser = argparse.ArgumentParser("python -m experiments.features", description=doc, formatter_class=shape)
    commands = parser.add_subparsers(dest="act", required=True, metavar="ls|verify|gc")
    commands.add_parser("ls", parents=[shared], help="list what is stored, by encoder")
    verify = commands.add_parser("verify", parents=[shared], help="hash every byte; exit 3 where one is wrong")
    verify.add_argument("--remove", action="store_true", help="delete damaged files")
    gc = commands.add_parser("gc", parents=[shared], help="remove what dead writers left, and what is old")
    gc.add_argument("--older-than", type=_days, metavar="DAYS", help="also features not used for so many days")
    for command in (verify, gc):
        command.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    return parser


def _body(argv: Sequence[str]) -> int:
    asked = vars(_parser().parse_args(list(argv)))
    as_json, act = asked.pop("json"), asked.pop("act")
    del asked["debug"]
    from slitlamp.encoding.store_report import REPORTS

    report = REPORTS[act](**asked)
    report.show(as_json=as_json)
    return DONE if report.sound else DATA


def main(argv: Sequence[str] | None = None) -> int:
    """Look after the feature store; returns the exit code."""
    return guard(_body, argv, "features")


if __name__ == "__main__":
    sys.exit(main())
