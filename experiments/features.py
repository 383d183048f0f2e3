"""Look after the feature store: what it holds, whether it is as it was written, what may go, and how it travels.

$ python -m experiments.features ls
$ python -m experiments.features verify --sample 5%
$ python -m experiments.features gc --older-than 90 --dry-run
$ python -m experiments.features export phantom-clip --out carried
$ python -m experiments.features import carried

The store is the folder that SLITLAMP_CACHE names, else the platform's cache folder.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments._cli import described
from experiments._exit import DATA, DONE, guard
from slitlamp.encoding.store_flags import ACTS


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON document")
    shared.add_argument("--debug", action="store_true", help="show where an error comes from")
    shape = argparse.RawDescriptionHelpFormatter
    doc = described(__doc__)
    parser = argparse.ArgumentParser("python -m experiments.features", description=doc, formatter_class=shape)
    commands = parser.add_subparsers(dest="act", required=True, metavar="|".join(ACTS))
    for name, (about, flags) in ACTS.items():
        command = commands.add_parser(name, parents=[shared], help=about, description=about)
        for flag, facts in flags.items():
            command.add_argument(flag, **facts)
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
