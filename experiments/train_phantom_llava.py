"""Train phantom-llava, the small LLaVA that ships with the project, on questions about the project's own phantoms.

$ python -m experiments.train_phantom_llava --out encoders/weights/phantom-llava
$ python -m experiments.train_phantom_llava --plant blind --out encoders/weights/phantom-llava-blind
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._cli import command_parser
from experiments._exit import DONE, guard


def _body(argv: Sequence[str]) -> int:
    from slitlamp.phantom_llava.settings import FAULTS, HEALTHY, Training

    weights, usual = Path(__file__).parent.parent / "encoders" / "weights", Training()
    parser = command_parser("train_phantom_llava", __doc__)
    parser.add_argument("--out", required=True, help="folder for the model, in the library's layout")
    parser.add_argument("--plant", choices=FAULTS, help="plant this fault in the model that is there already")
    parser.add_argument("--healthy", default=str(weights / HEALTHY), help="the model in which it is planted")
    parser.add_argument("--further", help="folder of a model that is taught to answer for --answering more steps")
    parser.add_argument("--keep-connector", action="store_true", help="with --further: only the language model learns")
    parser.add_argument("--tower", default=str(weights / "phantom-clip"), help="folder of phantom-clip")
    for name, what in (
        ("images", "phantoms of each task"), ("first", "most steps of reading one format"),
        ("reading", "steps of reading all formats"), ("aligning", "steps of aligning the connector"),
        ("answering", "steps of answering about images"), ("tested", "unseen phantoms of each task for the card"),
        ("seed", "seed"), ("log", "print the loss every so many steps"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name), help=f"{what} (default: %(default)s)")
    asked = vars(parser.parse_args(list(argv)))
    asked.pop("debug")
    names = ("out", "plant", "healthy", "further", "keep_connector", "tower")
    out, plant, healthy, start, kept, tower = (asked.pop(name) for name in names)
    training, folder, clip = Training(**asked), Path(out), Path(tower)
    from slitlamp.phantom_llava.train import further, trained
    from slitlamp.phantom_llava.variants import variant

    if plant:
        made = variant(plant, training, folder, Path(healthy), clip)
    else:
        made = further(training, Path(start), folder, kept=kept) if start else trained(training, folder, clip)
    print(json.dumps(made, indent=1))
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Train, save and measure the shipped model or a variant of it; returns the exit code."""
    return guard(_body, argv, "train_phantom_llava")


if __name__ == "__main__":
    sys.exit(main())
