"""Name what there is: commands, encoders, tasks, probes.

$ python -m experiments.list commands
$ python -m experiments.list encoders
$ python -m experiments.list encoders llava-med
"""

import ast
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._cli import command_parser
from experiments._exit import DONE, guard
from plugins import UnknownName, hint


def _body(argv: Sequence[str]) -> int:
    parser = command_parser("list", __doc__)
    parser.add_argument("kind", choices=("commands", "encoders", "probes", "tasks"), help="what to list")
    parser.add_argument("name", nargs="?", help="say everything about this one")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--markdown", nargs="?", const="", metavar="FILE",
        help="print the encoders as the documents show them, or bring FILE's table up to date",
    )  # fmt: skip
    asked = parser.parse_args(list(argv))
    from slitlamp.log import say
    from slitlamp.reports import cards
    from slitlamp.reports.listing import rows_of
    from slitlamp.reports.text import table

    if asked.markdown is not None:
        print(cards.bring_up_to_date(Path(asked.markdown)) if asked.markdown else cards.markdown(), end="")
        return DONE
    rows = commands(asked.name) if asked.kind == "commands" else rows_of(asked.kind, asked.name)
    if asked.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    elif asked.kind != "encoders":
        print(table(rows))
    elif asked.name:
        print(cards.lines(asked.name))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(table([cards.short(row["name"]) for row in rows], width))
        say(cards.unverified(rows))
    return DONE


def commands(name: str | None = None) -> list[dict[str, str]]:
    """Every command with what it is for, or the one of that name; UnknownName with the nearest."""
    folder = Path(__file__).parent
    names = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
    if name is not None and name not in names:
        raise UnknownName(f"no command {name!r}; {hint(name, names)}there are {', '.join(names)}")
    docs = {one: ast.get_docstring(ast.parse((folder / f"{one}.py").read_text(encoding="utf-8"))) for one in names}
    return [
        {"command": f"python -m experiments.{one}", "what it does": (doc or "").split("\n")[0]}
        for one, doc in docs.items()
        if name in (None, one)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print what there is; returns the exit code."""
    return guard(_body, argv, "list")


if __name__ == "__main__":
    sys.exit(main())
