"""The instrument against planted truth: false verdicts, power, coverage and size, for your own number of items.

$ python -m experiments.calibrate --items 200 --groups 100 --width 768
$ python -m experiments.calibrate --verdicts --items 200 --out runs/verdicts
$ python -m experiments.calibrate --items 60 --classes 3 --rare 8
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from experiments._cli import command_parser
from experiments._exit import DONE, guard
from slitlamp import verdict_matrix
from slitlamp.calibrate import RUNS_OF, SPECTRA, TARGETS, asked, calibrate, table
from slitlamp.log import progress


def main(argv: Sequence[str] | None = None) -> int:
    """Plant, measure, count, print; 0 when done."""
    return guard(_main, argv, "experiments.calibrate")


def _main(argv: Sequence[str]) -> int:
    parser = command_parser("calibrate", __doc__)
    parser.add_argument("--items", type=int, default=120, help="items (default: 120)")
    parser.add_argument("--groups", type=int, help="independent groups (default: one per item)")
    parser.add_argument("--width", type=int, default=192, help="features of the encoder (default: 192)")
    parser.add_argument("--spectrum", choices=SPECTRA, default="power", help="how their variance falls")
    parser.add_argument("--target", choices=TARGETS, default="classes", help="classes, or how a number is distributed")
    parser.add_argument("--classes", type=int, default=2, help="classes (default: 2)")
    parser.add_argument("--rare", type=int, help="groups of the smallest class (default: as many as of the others)")
    parser.add_argument("--standard", action="store_true", help="a table of eight standard settings, as Markdown")
    parser.add_argument("--runs", type=int, default=25, help="data sets per strength (default: 25)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verdicts", action="store_true", help="the verdicts of `diagnose` on fourteen planted models")
    parser.add_argument("--jobs", type=int, help="with --verdicts, processes (default: one per core)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="with --verdicts, a folder for table and figure")
    parser.add_argument("--replace", action="store_true", help="write over what another setting left in --out")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    given = vars(parser.parse_args(argv))
    names = ("json", "standard", "verdicts", "jobs", "out", "replace", "debug")
    as_json, standard, verdicts, jobs, out, replace, _ = map(given.pop, names)
    if verdicts:
        setting = verdict_matrix.asked(given | {"standard": standard}, vars(parser.parse_args([])))
        matrix = verdict_matrix.matrix(setting, jobs, out, replace=replace)
        print(json.dumps(matrix.document(), indent=1) if as_json else matrix.text())
        return DONE
    verdict_matrix.require_none(out=out, jobs=jobs, replace=replace)
    with progress(len(settings := asked(given, standard=standard)) * RUNS_OF * given["runs"], "calibrate") as bar:
        found = [calibrate(setting, bar.update) for setting in settings]
    document = {"schema": 2, "experiment": "calibrate", "settings": [asdict(one) for one in found]}
    print(json.dumps(document, indent=1) if as_json else table(found) if standard else found[0].text())
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
