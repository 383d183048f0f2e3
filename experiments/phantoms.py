"""Draw a contact sheet of each task's phantoms with their answers, or write them with the masks of their regions.

$ python -m experiments.phantoms --out docs/figures
$ python -m experiments.phantoms --task mirror --masks --out phantoms
$ python -m experiments.phantoms --task depth wave-depth --n 6 --out sheets
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._cli import make_parser
from experiments._exit import DONE, guard


def _body(argv: Sequence[str]) -> int:
    parser = make_parser("phantoms", __doc__ or "", ("debug",))
    tasks = "which tasks (default: all that have phantoms)"
    parser.add_argument("--task", nargs="+", action="extend", metavar="NAME", default=None, help=tasks)
    for name, default, text in (
        ("n", 12, "images on a sheet, or in a folder"),
        ("columns", 6, "images side by side"),
        ("side", 150, "width of an image in pixels"),
        ("seed", 0, "seed of every random choice"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})")
    parser.add_argument("--out", type=Path, default=Path("runs/phantoms"), metavar="DIR", help="folder to write into")
    for name, text in (
        ("masks", "write pictures, masks of their regions and a manifest, in a folder per task, and no sheets"),
        ("replace", "write over sheets or manifests that show something else"),
    ):
        parser.add_argument(f"--{name}", action="store_true", default=False, help=text)
    given = parser.parse_args(list(argv))
    from slitlamp.phantoms import contact_sheets, write_masks

    drawn = {"n": given.n, "seed": given.seed, "replace": given.replace}
    if given.masks:
        made = write_masks(given.task, given.out, **drawn)
    else:
        made = contact_sheets(given.task, given.out, columns=given.columns, side=given.side, **drawn)
    for path in made:
        print(path)
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Write one JPEG per task, or its pictures and masks, and print the path; returns the exit code."""
    return guard(_body, argv, "phantoms")


if __name__ == "__main__":
    sys.exit(main())
