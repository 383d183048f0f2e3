"""Draw marks into a user's own images at points of known depth, and write a manifest of them for the depth task."""

import itertools
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tasks
from cache import write_atomically
from probes.stats.numbers import far_values, typing_errors
from slitlamp.disk import require_new, require_writable
from slitlamp.errors import UsageError
from slitlamp.log import progress, say
from slitlamp.reports.spreadsheet import as_csv
from tasks import DataError
from tasks.marks.draw import COLOURS
from tasks.marks.place import Point, place
from tasks.sources import values
from tasks.sources.files import Names, is_there
from tasks.sources.table import one_column, read_table

ONE_DEPTH = 1.05  # depths of one place that differ by this factor contradict each other


@dataclass(frozen=True, kw_only=True)
class MarkedImages:
    """What was marked: the manifest's rows, the images in which no three points fit, and how many images there were."""

    rows: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]
    images: int


def mark_points(
    points: Path, out: Path, *, depth: str = "depth", per_image: int = 4, ratio: float = 1.05, seed: int = 0,
    replace: bool = False,
) -> MarkedImages:  # fmt: skip
    """Draw `per_image` items from each image of the table `points`, and write them and `manifest.csv` into `out`.

    The table has the columns `file`, `x`, `y` and `depth` (smaller is nearer), and perhaps `group`. Of the three
    depths of an item the second is at least `ratio` times the first. Colours are dealt evenly to the nearest mark.
    A manifest that `out` holds already is refused without `replace`. Raises UsageError, DataError.
    """
    from PIL import Image

    if per_image < 1 or not ratio >= 1:
        raise UsageError(f"--per-image {per_image} and --apart {ratio}: both are at least 1")
    if seed < 0:
        raise UsageError(f"--seed {seed}: must be at least 0")
    require_writable(out)
    found, groups = _points_by_image(points, depth)
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    (out / "images").mkdir(parents=True, exist_ok=True)
    with progress(len(found), "marking images") as bar:
        for number, (file, candidates) in enumerate(found.items(), 1):
            image, before = _read(points.parent / file), len(rows)
            h, w = image.shape[:2]
            for point in candidates:
                if not (-0.5 <= point.x < w and -0.5 <= point.y < h):
                    raise DataError(
                        f"{points.name}: the point ({point.x:g}, {point.y:g}) lies outside {file}, which is {w} x {h} "
                        "pixels; x and y are pixels of the image from its upper left corner"
                    )
            for k in range(per_image):
                made = place(image, candidates, rng, nearest=list(COLOURS)[len(rows) % 3], ratio=ratio)
                if made is not None:
                    if not rows:
                        require_new(out / "manifest.csv", "--out:", replace=replace)
                    name = f"images/{number:04d}_{Path(file).stem}_{k}.png"  # two folders may hold one name
                    Image.fromarray(made.image).save(out / name, compress_level=1)  # as exact, and several times faster
                    row = {"file": name, "image": file, "group": groups[file], "nearest": made.nearest}
                    for mark in made.marks:
                        row |= {f"{mark.name}_x": f"{mark.x:g}", f"{mark.name}_y": f"{mark.y:g}"}
                        row[f"depth_{mark.name}"] = f"{made.depth[mark.name]:g}"
                        row[f"brightness_{mark.name}"] = f"{made.brightness[mark.name]:.1f}"
                    rows.append(row)
            left_out += [file] if len(rows) == before else []
            bar.update()
    if not rows:
        raise DataError(f"no image of {points.name} has three points that are {ratio:g} times apart and do not touch")
    write_atomically(out / "manifest.csv", as_csv(rows))
    return MarkedImages(rows=tuple(rows), left_out=tuple(left_out), images=len(found))


def _columns(columns: Sequence[str], name: str, depth: str) -> dict[str, str | None]:
    """The columns file, x, y, depth and group in the spelling of the table; DataError where one but the last lacks."""
    named = {role: one_column(role, columns, name) for role in ("file", "x", "y", "group")}
    named["depth"] = depth if depth in columns else one_column(depth, columns, name)
    lacking = [depth if role == "depth" else role for role, c in named.items() if c is None and role != "group"]
    if lacking:
        have = ", ".join(columns) or "none"
        raise DataError(f"{name} has no column {lacking[0]!r}; it has {have}; --depth names the depth's")
    return named


def _points_by_image(path: Path, depth: str) -> tuple[dict[str, list[Point]], dict[str, str]]:
    """The points of each image by its file, and each image's group (its file where the table has no group)."""
    if not path.is_file():
        why = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"--points {path} {why}; it is a CSV with the columns file, x, y and a depth")
    found: dict[str, list[Point]] = defaultdict(list)
    groups: dict[str, str] = {}
    columns, table = read_table(path)
    names = Names(path.parent)
    named = _columns(columns, path.name, depth)
    alone: set[str] = set()
    seen: dict[tuple[str, float, float], tuple[float, int]] = {}
    for number, cells in enumerate(table, 1):
        row = {name: cells[column] if column is not None else "" for name, column in named.items()}
        where, texts = f"{path.name} row {number}", [row[name] for name in ("x", "y", "depth")]
        image = names.find(row["file"])
        if not row["file"] or not is_there(image) or not image.is_file():
            hint = names.why_missing(row["file"]) if row["file"] else ""
            raise DataError(f"{where}: there is no image {row['file']!r}{hint}; file is relative to {path.name}")
        row["file"] = Path(os.path.relpath(image, path.parent)).as_posix()
        x, y, far = map(values.number, texts)
        if x is None or y is None or far is None:
            raise DataError(f"{where}: x, y and {depth} are numbers; given {', '.join(map(repr, texts))}")
        if far <= 0:
            raise DataError(f"{where}: a depth is above 0, since --apart is a ratio; {depth} is {row['depth']!r}")
        earlier, before = seen.setdefault((row["file"], x, y), (far, number))
        if max(far, earlier) >= ONE_DEPTH * min(far, earlier):  # two measurements may differ a little
            raise DataError(
                f"{where}: the point ({x:g}, {y:g}) of {row['file']} has the {depth} {far:g}, and {earlier:g} in row "
                f"{before}"
            )
        if before != number and earlier == far:
            continue
        found[row["file"]].append(Point(x=x, y=y, depth=far))
        bare = values.is_missing(row["group"])
        alone |= {row["file"]} if bare and named["group"] else set()
        group = row["file"] if bare else row["group"]
        if groups.setdefault(row["file"], group) != group:
            raise DataError(f"{where}: {row['file']} is in group {group!r}, before in {groups[row['file']]!r}")
    if not found:
        raise DataError(f"{path.name} holds no point")
    values.one_spelling(list(groups.values()), "refuse", f"the column 'group' of {path.name}", list(groups))
    if alone:
        say(f"warning: {len(alone)} of {len(found)} images of {path.name} have no group: each is its own")
    depths, rows = np.array([d for d, _ in seen.values()]), [f"row {number}" for _, number in seen.values()]
    near = ~far_values(depths)
    marks = values.repeated_marks(depths[near].tolist(), [*itertools.compress(rows, near)])
    for sentence in [*typing_errors(depths, rows), *marks]:
        say(f"warning: {depth}: {sentence}")
    return found, groups


def _read(path: Path) -> np.ndarray:
    """One image as uint8 RGB, through the decoder that every source goes through."""
    source = tasks.open_source(str(path))
    if source.unreadable:
        raise DataError(source.unreadable[0][1])
    image = source.rows[0].picture.read()
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def brightness_alone(rows: Sequence[dict[str, Any]]) -> str:
    """How often the mark with the brightest or darkest surroundings is the nearest, with Wilson 95 % intervals."""
    from scipy.stats import binomtest

    words = []
    for name, choose in (("brightest", max), ("darkest", min)):
        right = sum(choose(COLOURS, key=lambda c: float(row[f"brightness_{c}"])) == row["nearest"] for row in rows)
        low, high = binomtest(right, len(rows)).proportion_ci(method="wilson")
        share = right / len(rows)
        words.append(f"the {name} surroundings are the nearest mark's in {share:.2f} [{low:.2f}, {high:.2f}]")
    return "; ".join(words) + " of items as if they were independent, chance 0.33"
