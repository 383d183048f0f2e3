"""Draw coloured marks where the depth is known, and ask of your own images which one is nearest.

$ python -m experiments.mark_points --points endoscopy/points.csv --depth depth_mm --out marked/
$ python -m experiments.mark_points --points points.csv --depth z --per-image 2 --apart 1.2 --out marked/
$ python -m experiments.linear_probe --encoder biomedclip --task depth --data marked/manifest.csv --group group

The points are rows of a CSV with the columns file (an image, relative to the CSV), x, y and a depth; a column group
is kept. Marks keep to the places of three points of one image; colours are dealt evenly to the nearest one.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._cli import make_parser
from experiments._exit import DONE, guard
from slitlamp.log import say


def _body(argv: Sequence[str]) -> int:
    parser = make_parser("mark_points", __doc__ or "", ("debug",))
    parser.add_argument("--points", required=True, metavar="FILE.csv", help="columns file, x, y, and the depth")
    parser.add_argument("--depth", default="depth", metavar="COLUMN", help="smaller is nearer (default: depth)")
    parser.add_argument("--per-image", type=int, default=4, metavar="N", help="items from each image (default: 4)")
    ratio = "least ratio of the second depth to the first (default: 1.05)"
    parser.add_argument("--apart", type=float, default=1.05, metavar="RATIO", help=ratio)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of every random choice (default: 0)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the marked images and their manifest")
    parser.add_argument(
        "--replace", action="store_true", default=False, help="write over a manifest and images that are there"
    )
    given = parser.parse_args(list(argv))
    from slitlamp.marking import brightness_alone, mark_points

    name, out, sizes = Path(given.points).name, Path(given.out), {"per_image": given.per_image, "ratio": given.apart}
    made = mark_points(Path(given.points), out, depth=given.depth, seed=given.seed, replace=given.replace, **sizes)
    if all(row["group"] == row["image"] for row in made.rows):
        say(
            f"warning: {name} has no column group, so every image is a group of its own: frames of one recording "
            "show the same place, and belong in one"
        )
    left_out = made.left_out
    if left_out:
        shown = f"{', '.join(left_out[:3])}{' …' * (len(left_out) > 3)}"
        say(f"no three points fit in {len(left_out)} of {made.images} images: {shown}")
    groups = len({row["group"] for row in made.rows})
    print(f"{len(made.rows)} items from {made.images - len(left_out)} images in {groups} groups: {out}/manifest.csv")
    print(f"brightness alone: {brightness_alone(made.rows)}")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the marks; returns the exit code."""
    return guard(_body, argv, "mark_points")


if __name__ == "__main__":
    sys.exit(main())
