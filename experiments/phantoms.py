"""Draw a contact sheet of each phantom, as the documentation shows them.

$ python -m experiments.phantoms --out docs/figures
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments._exit import DONE, UsageError, guard

KINDS = ("chest", "abdomen", "lumen")


def sheet(images: Sequence[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Images of one size on a white sheet, row by row, uint8 [h, w, 3]."""
    side = images[0].shape[0]
    rows = -(-len(images) // columns)
    out = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (side + gap), i % columns * (side + gap)
        out[top : top + side, left : left + side] = image if image.ndim == 3 else image[:, :, None]
    return out


def _images(kind: str, n: int, seed: int) -> list[np.ndarray]:
    """The first n images; of the abdomen n // 2 patients, each before and after contrast."""
    from tasks import _abdomen, _chest, _lumen

    if kind == "abdomen":
        return [_abdomen.scan(seed, i // 2, bool(i % 2)) for i in range(n)]
    make = _chest.source if kind == "chest" else _lumen.source
    return [row.picture.read() for row in make(n, seed).rows]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.phantoms", description="Draw a contact sheet of each phantom."
    )
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="which phantoms (default: all)")
    parser.add_argument("--n", type=int, default=12, metavar="N", help="images on a sheet (default: 12)")
    parser.add_argument("--columns", type=int, default=4, metavar="N", help="images side by side (default: 4)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of every random choice (default: 0)")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser.add_argument("--out", type=Path, default=Path("runs/phantoms"), metavar="DIR", help="folder of the sheets")
    return parser


def _run(argv: Sequence[str]) -> int:
    from PIL import Image

    given = _parser().parse_args(list(argv))
    if given.n < 1 or given.columns < 1:
        raise UsageError(f"--n {given.n} --columns {given.columns}: a sheet needs at least one of each")
    given.out.mkdir(parents=True, exist_ok=True)
    for kind in given.kind:
        path = given.out / f"phantom_{kind}.png"
        Image.fromarray(sheet(_images(kind, given.n, given.seed), given.columns)).save(path, optimize=True)
        print(path)
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Write one PNG per kind and print its path; returns the exit code."""
    return guard(_run, argv, "phantoms")


if __name__ == "__main__":
    sys.exit(main())
