"""Name what there is: encoders, tasks, probes.

$ python -m experiments.list encoders
$ python -m experiments.list encoders llava-med
"""

import argparse
import difflib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments._cli import _Parser
from experiments._exit import DONE, guard
from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.reports.text import table


def _encoders() -> list[dict[str, Any]]:
    import encoders
    from slitlamp.reports.cards import full

    return [full(name) for name in encoders.names()]


def _tasks() -> list[dict[str, Any]]:
    import tasks

    rows = []
    for name in tasks.names():
        task = tasks.load(name)
        rows.append(
            {
                "name": name,
                "question": task.question,
                "answers": " / ".join(task.classes) if task.classes else "from the data",
                "phantoms": task.phantoms is not None,
                "version": task.version,
            }
        )
    return rows


def _probes() -> list[dict[str, Any]]:
    import probes

    return [{"name": name, "what": (probes.load(name).__doc__ or "").split("\n")[0]} for name in probes.names()]


KINDS = {"encoders": _encoders, "tasks": _tasks, "probes": _probes}


def _body(argv: Sequence[str]) -> int:
    parser = _Parser(
        prog="python -m experiments.list",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=sorted(KINDS), help="what to list")
    parser.add_argument("name", nargs="?", help="say everything about this one")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--markdown", nargs="?", const="", metavar="FILE",
        help="print the encoders as the documents show them, or bring FILE's table up to date",
    )  # fmt: skip
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    asked = parser.parse_args(list(argv))
    if asked.markdown is not None:
        return _markdown(asked.markdown)
    rows = _only(KINDS[asked.kind](), asked.kind, asked.name)
    if asked.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    elif asked.kind == "encoders":
        _show(rows, asked.name)
    else:
        print(table(rows))
    return DONE


def _only(rows: list[dict[str, Any]], kind: str, name: str | None) -> list[dict[str, Any]]:
    found = [row for row in rows if name in (None, row["name"])]
    if not found:
        near = difflib.get_close_matches(name or "", [row["name"] for row in rows], 1, 0.5)
        raise UsageError(f"no {kind.removesuffix('s')} {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return found


def _show(rows: Sequence[dict[str, Any]], name: str | None) -> None:
    from slitlamp.reports.cards import lines, short

    if name:
        print(lines(name))
        return
    lively = sys.stdout.isatty()
    print(table([short(row["name"]) for row in rows], shutil.get_terminal_size().columns if lively else None))
    unverified = sum(bool(row["unverified"]) for row in rows)
    say(
        f"{unverified} of {len(rows)} hold facts that were never checked against real weights; "
        "`python -m experiments.list encoders NAME` says which"
    )


def _markdown(file: str) -> int:
    from slitlamp.reports.cards import markdown, written

    if not file:
        print(markdown(), end="")
        return DONE
    try:
        text = written(Path(file))
    except (OSError, ValueError) as error:
        raise UsageError(f"--markdown {file}: {error}") from None
    Path(file).write_text(text, encoding="utf-8")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Print what there is; returns the exit code."""
    return guard(_body, argv, "list")


if __name__ == "__main__":
    sys.exit(main())
