"""Draw a contact sheet of each task's phantoms with their answers, as the documentation shows them.

$ python -m experiments.phantoms --out docs/figures
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments._cli import _Parser
from experiments._exit import DONE, guard
from slitlamp.errors import UsageError

GAP, LINE = 4, 18  # pixels between pictures, and for the answer below each


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


def drawn(name: str, n: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """The first n phantom items of a task: images and answers."""
    import tasks

    task = tasks.load(name)
    assert task.phantoms is not None
    items = list(task.items(task.phantoms(n, seed), np.random.default_rng(seed), None))[:n]
    return [item.picture.read() for item in items], [str(item.label) for item in items]


def known() -> list[str]:
    """The tasks that have phantoms."""
    import tasks

    return [name for name in tasks.names() if tasks.load(name).phantoms is not None]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m experiments.phantoms", description="Draw a contact sheet of each task's phantoms.")
    parser.add_argument("--task", nargs="+", metavar="NAME", help="which tasks (default: all that have phantoms)")
    parser.add_argument("--n", type=int, default=12, metavar="N", help="images on a sheet (default: 12)")
    parser.add_argument("--columns", type=int, default=6, metavar="N", help="images side by side (default: 6)")
    parser.add_argument("--side", type=int, default=150, metavar="PIXELS", help="width of an image (default: 150)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of every random choice (default: 0)")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser.add_argument("--out", type=Path, default=Path("runs/phantoms"), metavar="DIR", help="folder of the sheets")
    return parser


def _asked(names: Sequence[str] | None) -> list[str]:
    import tasks

    have = known()
    asked = [tasks.load(name).name for name in names] if names else have
    without = [name for name in asked if name not in have]
    if without:
        raise UsageError(f"task {without[0]} has no phantoms; those that have: {', '.join(have)}")
    return asked


def _run(argv: Sequence[str]) -> int:
    given = _parser().parse_args(list(argv))
    if given.n < 1 or given.columns < 1 or given.side < 16:
        raise UsageError(
            f"--n {given.n} --columns {given.columns} --side {given.side}: a sheet needs at least one image, "
            "one column and 16 pixels"
        )
    if given.seed < 0:
        raise UsageError(f"--seed {given.seed}: must be at least 0")
    asked = _asked(given.task)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in asked:
        path = given.out / f"gallery_{name}.jpg"
        sheet(*drawn(name, given.n, given.seed), given.columns, given.side).save(path, quality=82, optimize=True)
        print(path)
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Write one JPEG per task and print its path; returns the exit code."""
    return guard(_run, argv, "phantoms")


if __name__ == "__main__":
    sys.exit(main())
