"""Say whether this machine is ready: each thing that a run needs is tried as a run would.

$ python -m experiments.doctor
"""

import json
import sys
from collections.abc import Sequence

from experiments._cli import command_parser
from experiments._exit import DONE, ENCODER, guard


def _body(argv: Sequence[str]) -> int:
    parser = command_parser("doctor", __doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args(list(argv))
    from slitlamp.doctor import examine
    from slitlamp.log import say
    from slitlamp.reports.text import UNBROKEN, table, wide

    rows, ill = examine()
    if ill is not None and asked.debug:
        raise ill
    listing = [{"what": k, "found": v} for k, v in rows.items()]
    print(json.dumps(rows, indent=1) if asked.json else table(listing, wide(UNBROKEN), wrap=True))
    for what, found in rows.items():
        if str(found).startswith("FAILED"):
            say(f"error: {what}: {found.removeprefix('FAILED: ')}")
    return DONE if ill is None else ENCODER


def main(argv: Sequence[str] | None = None) -> int:
    """Print the state of the machine; returns the exit code."""
    return guard(_body, argv, "doctor")


if __name__ == "__main__":
    sys.exit(main())
