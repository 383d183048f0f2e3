"""Do answers about coloured marks follow the place of a mark or its colour, its size and position, or the upright?

$ python -m experiments.visual_prompts --encoder phantom-clip --task depth
$ python -m experiments.visual_prompts --task depth --answers answers.csv
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from experiments._cli import _Parser, _unknown
from experiments._exit import DONE, guard
from slitlamp.errors import UsageError
from slitlamp.prompts.settings import KEPT, NAME, SIZES, Asked
from slitlamp.settings import Options, idle

OF_ENCODERS = ("encoder", "sizes", "site", "readout", "weights", "device", "dtype", "batch_size")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"python -m experiments.{NAME}",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    default = Options(task=("depth",), out=f"runs/{NAME}")
    for entry in (f for f in fields(Options) if f.name in KEPT):
        meta: dict[str, Any] = dict(entry.metadata)
        value: Any = getattr(default, entry.name)
        text = str(meta.pop("help"))
        if entry.name == "task":
            text, meta = "the question: depth, wave-depth and their like, or orientation", {"metavar": "NAME"}
        if entry.name in ("site", "readout"):
            text = f"{entry.name}s to read (omitted: the last grid; mean, grid3, at-mark)"
        name = "--" + entry.name.replace("_", "-")
        if isinstance(value, bool):
            parser.add_argument(name, action="store_true", help=text)
            continue
        if isinstance(value, tuple) and entry.name != "task":
            meta["nargs"] = "+"
        kind: Any = float if isinstance(value, float) else int if "int" in str(entry.type) else str
        shown = " ".join(value) if isinstance(value, tuple) else value
        told = text + (f" (default: {shown})" if shown not in (None, "") else "")
        parser.add_argument(name, type=kind, help=told.replace("%", "%%"), **meta)
    parser.add_argument(
        "--sizes",
        nargs="*",
        type=float,
        metavar="SHARE",
        help="radii besides the marks' own, as shares of the shorter side (default: 0.009 0.018)",
    )
    parser.add_argument(
        "--answers",
        metavar="FILE.csv",
        help="answers of a model: item, assignment (rgb … bgr from left to right, none, moved), answer; "
        "for orientation item, turned, answer",
    )
    parser.add_argument("--images", action="store_true", help="write every picture as PNG, to show it to a model")
    parser.add_argument("--details", action="store_true", help="print every responder in full, not a table of them")
    return parser


def parse(argv: Sequence[str]) -> Asked:
    """The command line; UsageError on anything that does not fit."""
    parser = _parser()
    known, rest = parser.parse_known_args(list(argv))
    if rest:
        raise _unknown(rest, [a for action in parser._actions for a in action.option_strings])
    given: dict[str, Any] = vars(known)
    own = {name: given.pop(name) for name in ("sizes", "answers", "images", "details") if name in given}
    given = {"task": "depth", "out": f"runs/{NAME}"} | given
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()} | {"task": (given["task"],)}
    options = Options(**given)
    sizes = tuple(own.get("sizes", SIZES))
    for name, least in {"items": 10, "batch_size": 1, "seed": 0}.items():
        if getattr(options, name) < least:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)}: must be at least {least}")
    if options.limit is not None and options.limit < 10:
        raise UsageError(f"--limit {options.limit}: must be at least 10")
    if not 0 <= options.unreadable <= 1:
        raise UsageError(f"--unreadable {options.unreadable}: must be a share from 0 to 1")
    if not options.task[0].startswith("orientation") or not own.get("answers"):  # a file of those names its own items
        idle(options)
    if len(set(sizes)) < len(sizes):
        raise UsageError(f"--sizes {' '.join(f'{s:g}' for s in sizes)}: one of them is given twice")
    for size in sizes:
        if not 0.004 <= size <= 0.1:
            raise UsageError(f"--sizes {size:g}: a radius is a share of the shorter side from 0.004 to 0.1")
    clashing = [name for name in OF_ENCODERS if name in given or name in own]
    if own.get("answers") and clashing:
        clash = "--" + clashing[0].replace("_", "-")
        raise UsageError(f"--answers audits what a model said; {clash} asks an encoder: give one of the two")
    return Asked(
        options=options, sizes=sizes, answers=own.get("answers"),
        images=own.get("images", False), details=own.get("details", False),
    )  # fmt: skip


def _body(argv: Sequence[str]) -> int:
    asked = parse(argv)
    from pathlib import Path

    from slitlamp.disk import require_writable
    from slitlamp.log import say
    from slitlamp.prompts.files import deliver
    from slitlamp.prompts.page import page
    from slitlamp.prompts.run import run

    require_writable(Path(asked.options.out))
    found = run(asked)
    document, files = deliver(found, asked)
    shown = page(found, asked, full=asked.details)
    print(json.dumps(document, indent=1, ensure_ascii=False) if asked.options.json else shown)
    say(f"files in {asked.options.out}: {', '.join(files)}")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Audit a probe's or a model's answers; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
