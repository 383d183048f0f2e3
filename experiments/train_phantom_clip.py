"""Train phantom-clip, the small CLIP that ships with the project, on the project's own phantoms.

$ python -m experiments.train_phantom_clip --out encoders/weights/phantom-clip --replace
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._cli import command_parser
from experiments._exit import DONE, guard


def _body(argv: Sequence[str]) -> int:
    parser = command_parser("train_phantom_clip", __doc__)
    parser.add_argument("--out", required=True, help="folder for the weights, in open_clip's on-disk format")
    parser.add_argument("--images", type=int, default=1000, help="phantoms of each kind (default: 1000)")
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps (default: 600)")
    parser.add_argument("--batch", type=int, default=64, help="images per step (default: 64)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default: 0.001)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    parser.add_argument("--log", type=int, default=0, help="print the loss every so many steps")
    parser.add_argument("--replace", action="store_true", default=False, help="write over weights that are there")
    asked = vars(parser.parse_args(list(argv)))
    from slitlamp.disk import require_new, require_writable
    from slitlamp.phantom_clip import Training, trained

    folder = Path(asked.pop("out"))
    require_writable(folder)
    require_new(folder / "open_clip_model.safetensors", "--out:", replace=asked.pop("replace"))
    asked.pop("debug")
    print(json.dumps(trained(Training(**asked), folder), indent=1))
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Train, save and measure the shipped encoder; returns the exit code."""
    return guard(_body, argv, "train_phantom_clip")


if __name__ == "__main__":
    sys.exit(main())
