"""The instrument against planted truth: false verdicts, power, coverage and size, for your own number of items.

$ python -m experiments.calibrate --items 200 --groups 100 --width 768
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

from experiments._cli import command_parser
from experiments._exit import DONE, guard
from slitlamp.calibrate import SPECTRA, STRENGTHS, Setting, calibrate
from slitlamp.log import progress


def main(argv: Sequence[str] | None = None) -> int:
    """Plant, measure, count, print; 0 when done."""
    return guard(_main, argv, "experiments.calibrate")


def _main(argv: Sequence[str]) -> int:
    parser = command_parser("calibrate", __doc__)
    parser.add_argument("--items", type=int, default=120, help="items, two classes (default: 120)")
    parser.add_argument("--groups", type=int, help="independent groups (default: one per item)")
    parser.add_argument("--width", type=int, default=192, help="features of the encoder (default: 192)")
    parser.add_argument(
        "--spectrum", choices=SPECTRA, default="power", help="how their variance falls (default: power)"
    )
    parser.add_argument("--pool", type=int, default=0, help="unlabelled images (default: none)")
    parser.add_argument("--runs", type=int, default=25, help="data sets per strength (default: 25)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    given = vars(parser.parse_args(argv))
    as_json = given.pop("json")
    del given["debug"]
    given["groups"] = given["items"] if given["groups"] is None else given["groups"]
    setting = Setting(**given)
    with progress(len(STRENGTHS) * setting.runs, "calibrate") as bar:
        found = calibrate(setting, bar.update)
    document = {"schema": 1, "experiment": "calibrate", **asdict(found)}
    print(json.dumps(document, indent=1) if as_json else found.text())
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
