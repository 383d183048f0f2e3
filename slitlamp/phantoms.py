"""The tasks' phantoms as files: contact sheets with their answers, and pictures with the masks of their regions."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tasks
from cache import write_atomically
from slitlamp.disk import require_new, require_writable
from slitlamp.errors import UsageError
from slitlamp.reports.spreadsheet import as_csv
from tasks import Item

GAP, LINE = 4, 18  # pixels between pictures, and for the answer below each


def contact_sheets(
    names: Sequence[str] | None, out: Path, *, n: int = 12, columns: int = 6, side: int = 150, seed: int = 0,
    replace: bool = False,
) -> Iterator[Path]:  # fmt: skip
    """Draw the first n phantom items of each task into `out/gallery_TASK.jpg`, and yield its path once it is there.

    Without `names` it is every task that has phantoms. `columns` pictures lie side by side, each `side` pixels wide.
    A sheet of that name that shows something else is kept, and refused, without `replace`.
    Raises UsageError, UnknownName.
    """
    if columns < 1 or side < 16:
        raise UsageError(f"--columns {columns} --side {side}: a sheet needs at least one column and 16 pixels")
    asked = _asked(names, n, seed)
    require_writable(out)
    for name in asked:
        items = _items(name, n, seed)
        path = out / f"gallery_{name}.jpg"
        page = sheet([item.picture.read() for item in items], [str(item.label) for item in items], columns, side)
        data = io.BytesIO()
        page.save(data, "JPEG", quality=82, optimize=True)
        if not path.exists() or path.read_bytes() != data.getvalue():
            require_new(path, "--out: another sheet", replace=replace)
            write_atomically(path, data.getvalue())
        yield path


def _asked(names: Sequence[str] | None, n: int, seed: int) -> list[str]:
    """The tasks that are named, or all that have phantoms, each once."""
    if n < 1:
        raise UsageError(f"--n {n}: must be at least 1")
    if seed < 0:
        raise UsageError(f"--seed {seed}: must be at least 0")
    having = [name for name in tasks.names() if tasks.load(name).phantoms is not None]
    asked = list(dict.fromkeys(tasks.load(name).name for name in names)) if names else having
    without = [name for name in asked if name not in having]
    if without:
        raise UsageError(f"task {without[0]} has no phantoms; those that have: {', '.join(having)}")
    return asked


def _items(name: str, n: int, seed: int) -> list[Item]:
    """The first n phantom items of a task."""
    task = tasks.load(name)
    assert task.phantoms is not None
    return list(task.items(task.phantoms(n, seed), np.random.default_rng(seed), None))[:n]


def write_masks(
    names: Sequence[str] | None, out: Path, *, n: int = 12, seed: int = 0, replace: bool = False
) -> Iterator[Path]:
    """Write the first n phantom items of each task with their masks, and yield the manifest of each, `out/TASK/…`.

    `manifest.csv` has the columns file, id, group, label, `red_x` and so on of marks, and one for each region that
    names its mask, a PNG of 0 and 255, and is empty where the picture has no such region. So `--data out/TASK
    --evidence heart` gives the regions of the phantoms. A manifest that says something else is kept, and refused,
    without `replace`. Raises UsageError, UnknownName.
    """
    asked = _asked(names, n, seed)
    require_writable(out)
    for name in asked:
        items = _items(name, n, seed)
        regions = list(dict.fromkeys(region for item in items for region in item.evidence))
        rows, drawn = [], {}
        for item in items:
            stem = item.id.replace(":", "_")
            row = {"file": f"images/{stem}.png", "id": item.id, "group": item.group, "label": str(item.label)}
            for mark in item.marks:
                row |= {f"{mark.name}_x": f"{mark.x:g}", f"{mark.name}_y": f"{mark.y:g}"}
            drawn[row["file"]] = item.picture.read
            for region in regions:
                row[region] = f"masks/{region.replace(' ', '_')}/{stem}.png" if region in item.evidence else ""
                if row[region]:
                    drawn[row[region]] = item.evidence[region]
            rows.append(row)
        manifest, text = out / name / "manifest.csv", as_csv(rows)
        if not manifest.exists() or manifest.read_bytes() != text:
            require_new(manifest, "--out: another manifest", replace=replace)
        for file, read in drawn.items():
            _save(out / name / file, read())
        write_atomically(manifest, text)
        yield manifest


def _save(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.where(image, np.uint8(255), np.uint8(0)) if image.dtype == bool else image
    Image.fromarray(pixels).save(path, compress_level=1)


def sheet(images: Sequence[np.ndarray], answers: Sequence[str], columns: int, side: int) -> Any:
    """Pictures of one shape on a white sheet, each `side` pixels wide, its answer below: a PIL image."""
    from PIL import Image, ImageDraw, ImageFont

    high = round(side * images[0].shape[0] / images[0].shape[1])
    rows, wide, tall = -(-len(images) // columns), side + GAP, high + LINE
    out = Image.new("RGB", (min(columns, len(images)) * wide - GAP, rows * tall), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(size=12)
    for i, (image, answer) in enumerate(zip(images, answers, strict=True)):
        left, top = i % columns * wide, i // columns * tall
        out.paste(Image.fromarray(image).convert("RGB").resize((side, high), Image.Resampling.LANCZOS), (left, top))
        pen.text((left + side / 2, top + high + LINE / 2), answer, fill="black", font=font, anchor="mm")
    return out
