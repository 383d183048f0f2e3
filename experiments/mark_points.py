"""Draw coloured marks where the depth is known, and ask of your own images which one is nearest.

$ python -m experiments.mark_points --points endoscopy/points.csv --depth depth_mm --out marked/
$ python -m experiments.linear_probe --encoder biomedclip --task depth --data marked/manifest.csv --group group

The points are rows of a CSV with the columns file (an image, relative to the CSV), x, y and a depth; a column group
is kept. Marks keep to the places of three points of one image; colours are dealt evenly to the nearest one.
"""

import argparse
import csv
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments._cli import _Parser
from experiments._exit import DONE, guard
from slitlamp.errors import UsageError
from slitlamp.log import progress, say


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m experiments.mark_points", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--points", required=True, metavar="FILE.csv", help="columns file, x, y, and the depth")
    parser.add_argument("--depth", default="depth", metavar="COLUMN", help="smaller is nearer (default: depth)")
    parser.add_argument("--per-image", type=int, default=4, metavar="N", help="items from each image (default: 4)")
    parser.add_argument(
        "--apart", type=float, default=1.05, metavar="RATIO",
        help="least ratio of the second depth to the first (default: 1.05)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of every random choice (default: 0)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the marked images and their manifest")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def points_of(path: Path, depth: str) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """The points of each image by its file, and each image's group (its file where the CSV tells none)."""
    from tasks import DataError
    from tasks.marks.place import Point
    from tasks.sources.table import read_table

    if not path.is_file():
        why = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"--points {path} {why}; it is a CSV with the columns file, x, y and a depth")
    found: dict[str, list[Any]] = defaultdict(list)
    groups: dict[str, str] = {}
    columns, table = read_table(path)
    lacking = [name for name in ("file", "x", "y", depth) if name not in columns]
    if lacking:
        have = ", ".join(columns) or "none"
        raise DataError(f"{path.name} has no column {lacking[0]!r}; it has {have}; --depth names the depth's")
    for number, row in enumerate(table, 1):
        where, told = f"{path.name} row {number}", [row[name] for name in ("x", "y", depth)]
        if not (path.parent / row["file"]).is_file():
            raise DataError(f"{where}: there is no image {row['file']!r}; file is relative to {path.name}")
        if not all(map(_number, told)):
            raise DataError(f"{where}: x, y and {depth} are numbers; given {', '.join(map(repr, told))}")
        x, y, far = map(float, told)
        if far <= 0:
            raise DataError(f"{where}: a depth is above 0, since --apart is a ratio; {depth} is {row[depth]!r}")
        found[row["file"]].append(Point(x=x, y=y, depth=far))
        groups[row["file"]] = row.get("group") or row["file"]
    if not found:
        raise DataError(f"{path.name} holds no point")
    return found, groups


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read(path: Path) -> np.ndarray:
    """One image as uint8 RGB, through the decoder that every source goes through."""
    import tasks
    from tasks import DataError

    source = tasks.open_source(str(path))
    if source.unreadable:
        raise DataError(source.unreadable[0][1])
    image = source.rows[0].picture.read()
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _inside(image: np.ndarray, points: Sequence[Any], file: str, table: str) -> None:
    """DataError where a point lies outside its image: x and y are exchanged, or of another size."""
    from tasks import DataError

    h, w = image.shape[:2]
    for point in points:
        if not (-0.5 <= point.x < w and -0.5 <= point.y < h):
            raise DataError(
                f"{table}: the point ({point.x:g}, {point.y:g}) lies outside {file}, which is {w} x {h} pixels; "
                "x and y are pixels of the image from its upper left corner"
            )


def _row(name: str, file: str, group: str, made: Any) -> dict[str, Any]:
    row = {"file": name, "image": file, "group": group, "nearest": made.nearest}
    for mark in made.marks:
        row |= {f"{mark.name}_x": f"{mark.x:g}", f"{mark.name}_y": f"{mark.y:g}"}
        row[f"depth_{mark.name}"] = f"{made.depth[mark.name]:g}"
        row[f"brightness_{mark.name}"] = f"{made.brightness[mark.name]:.1f}"
    return row


def brightness_alone(rows: Sequence[dict[str, Any]]) -> str:
    """How often the mark with the brightest surroundings is the nearest, and the darkest, with Wilson intervals."""
    from scipy.stats import binomtest

    from tasks.marks.draw import COLOURS

    words = []
    for name, choose in (("brightest", max), ("darkest", min)):
        right = sum(choose(COLOURS, key=lambda c: float(row[f"brightness_{c}"])) == row["nearest"] for row in rows)
        ends = binomtest(right, len(rows)).proportion_ci(math.erf(1.96 / math.sqrt(2)), method="wilson")  # z of 1.96
        share = f"{right / len(rows):.2f} [{ends.low:.2f}, {ends.high:.2f}]"
        words.append(f"the {name} surroundings are the nearest mark's in {share}")
    return "; ".join(words) + " of items as if they were independent, chance 0.33"


def _body(argv: Sequence[str]) -> int:
    from PIL import Image

    from tasks import DataError
    from tasks.marks.draw import COLOURS
    from tasks.marks.place import place

    asked = _parser().parse_args(list(argv))
    if asked.per_image < 1 or not asked.apart >= 1:
        raise UsageError(f"--per-image {asked.per_image} and --apart {asked.apart}: both are at least 1")
    if asked.seed < 0:
        raise UsageError(f"--seed {asked.seed}: must be at least 0")
    path, out = Path(asked.points), Path(asked.out)
    found, groups = points_of(path, asked.depth)
    rng = np.random.default_rng(asked.seed)
    rows: list[dict[str, Any]] = []
    bare: list[str] = []
    (out / "images").mkdir(parents=True, exist_ok=True)
    with progress(len(found), "marking images") as bar:
        for number, (file, points) in enumerate(found.items(), 1):
            image, before = read(path.parent / file), len(rows)
            _inside(image, points, file, path.name)
            for k in range(asked.per_image):
                made = place(image, points, rng, nearest=list(COLOURS)[len(rows) % 3], apart=asked.apart)
                if made is not None:
                    name = f"images/{number:04d}_{Path(file).stem}_{k}.png"  # two folders may hold one name
                    Image.fromarray(made.image).save(out / name, compress_level=1)  # as exact, and several times faster
                    rows.append(_row(name, file, groups[file], made))
            bare += [file] if len(rows) == before else []
            bar.update()
    if not rows:
        raise DataError(
            f"no image of {path.name} has three points that are {asked.apart:g} times apart and do not touch"
        )
    with (out / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if all(row["group"] == row["image"] for row in rows):
        say(
            f"warning: {path.name} has no column group, so every image is a group of its own: frames of one recording "
            "show the same place, and belong in one"
        )
    if bare:
        say(f"no three points fit in {len(bare)} of {len(found)} images: {', '.join(bare[:3])}{' …' * (len(bare) > 3)}")
    sizes = len({row["group"] for row in rows})
    print(f"{len(rows)} items from {len(found) - len(bare)} images in {sizes} groups: {out}/manifest.csv")
    print(f"brightness alone: {brightness_alone(rows)}")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the marks; returns the exit code."""
    return guard(_body, argv, "mark_points")


if __name__ == "__main__":
    sys.exit(main())
