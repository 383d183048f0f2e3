"""Name what there is: encoders, tasks, probes.

$ python -m experiments.list encoders
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from experiments._exit import DONE, guard


def _encoders() -> list[dict[str, Any]]:
    import encoders

    rows = []
    for name in encoders.names():
        card = encoders.card(name)
        rows.append(
            {
                "name": name,
                "repo": card.repo,
                "revision": card.revision,
                "licence": card.licence,
                "gated": card.gated,
                "parameters": card.parameters,
                "input": f"{card.input.size[0]} × {card.input.size[1]}" if card.input else None,
                "sites": len(card.sites),
                "note": card.note,
            }
        )
    return rows


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


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as text in columns; None is a dash."""
    if not rows:
        return ""
    words = [[_word(v) for v in row.values()] for row in rows]
    heads = [key.replace("_", " ") for key in rows[0]]
    widths = [max(len(h), *(len(line[i]) for line in words)) for i, h in enumerate(heads)]
    lines = ["  ".join(w.ljust(n) for w, n in zip(line, widths, strict=True)).rstrip() for line in [heads, *words]]
    return "\n".join(lines)


def _word(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value >= 100_000:
        return f"{value / 1e6:.1f} M"
    return str(value)


def _body(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.list",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=sorted(KINDS), help="what to list")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args(list(argv))
    rows = KINDS[asked.kind]()
    print(json.dumps(rows, indent=1, ensure_ascii=False) if asked.json else table(rows))
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Print what there is; returns the exit code."""
    return guard(_body, argv, "list")


if __name__ == "__main__":
    sys.exit(main())
