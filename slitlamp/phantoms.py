"""Contact sheets of the tasks' phantoms with their answers, as the documentation shows them."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tasks
from cache import write_atomically
from slitlamp.disk import require_new, require_writable
from slitlamp.errors import UsageError

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
    if n < 1 or columns < 1 or side < 16:
        raise UsageError(
            f"--n {n} --columns {columns} --side {side}: a sheet needs at least one image, one column and 16 pixels"
        )
    if seed < 0:
        raise UsageError(f"--seed {seed}: must be at least 0")
    having = {name: task for name in tasks.names() if (task := tasks.load(name)).phantoms is not None}
    asked = list(dict.fromkeys(tasks.load(name).name for name in names)) if names else list(having)
    without = [name for name in asked if name not in having]
    if without:
        raise UsageError(f"task {without[0]} has no phantoms; those that have: {', '.join(having)}")
    require_writable(out)
    for name in asked:
        task = having[name]
        assert task.phantoms is not None
        items = list(task.items(task.phantoms(n, seed), np.random.default_rng(seed), None))[:n]
        path = out / f"gallery_{name}.jpg"
        page = sheet([item.picture.read() for item in items], [str(item.label) for item in items], columns, side)
        data = io.BytesIO()
        page.save(data, "JPEG", quality=82, optimize=True)
        if not path.exists() or path.read_bytes() != data.getvalue():
            require_new(path, "--out: another sheet", replace=replace)
            write_atomically(path, data.getvalue())
        yield path


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
