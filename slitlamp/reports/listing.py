"""What there is: encoders, tasks and probes as rows of a table."""

import ast
from pathlib import Path
from typing import Any

import encoders
import probes
import tasks
from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.reports.cards import built, full

KINDS = ("encoders", "probes", "tasks")


def rows_of(kind: str, name: str | None = None) -> list[dict[str, Any]]:
    """Everything of a kind, or the one of that name.

    Raises:
        UsageError: no such name; the nearest is named.
    """
    if kind == "encoders" and name is not None and name.startswith(("timm:", "open_clip:")):
        return [full(name, built(name))]
    if kind == "encoders":
        found = [full(one) for one in encoders.names()]
    elif kind == "probes":
        found = [{"name": one, "what": (probes.load(one).__doc__ or "").split("\n")[0]} for one in probes.names()]
    else:
        found = [_task(one) for one in tasks.names()]
    chosen = [row for row in found if name in (None, row["name"])]
    if not chosen:
        near = hint(name or "", [row["name"] for row in found]).removesuffix(" ")
        raise UsageError(f"no {kind.removesuffix('s')} {name!r}" + (f"; {near}" if near else ""))
    return chosen


def commands(folder: Path, name: str | None = None) -> list[dict[str, str]]:
    """Every command that has a file in a folder, with what it is for, or the one of that name.

    Raises:
        UsageError: no such command; the nearest is named.
    """
    names = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
    if name is not None and name not in names:
        raise UsageError(f"no command {name!r}; {hint(name, names)}there are {', '.join(names)}")
    docs = {one: ast.get_docstring(ast.parse((folder / f"{one}.py").read_text(encoding="utf-8"))) for one in names}
    return [
        {"command": f"python -m experiments.{one}", "what it does": (doc or "").split("\n")[0]}
        for one, doc in docs.items()
        if name in (None, one)
    ]


def kinds_of(word: str) -> list[str]:
    """What a word is a name of: task, encoder, probe, site, readout; empty where of none."""
    cards = [encoders.card(name) for name in encoders.names()]
    named = {
        "task": tasks.names(),
        "encoder": encoders.names(),
        "probe": probes.names(),
        "readout": tuple(encoders.READOUTS),
        "site": {site for card in cards for site in card.sites},
    }
    return [kind for kind, words in named.items() if word in words]


def named_elsewhere(word: str, flag: str) -> str:
    """`orientation is a task: say --task orientation; `, where a word that `flag` does not know is another's."""
    kinds = kinds_of(word)
    if not kinds or flag in kinds:
        return ""
    return f"{word} is {article(kinds[0])}: say --{kinds[0]} {word}; "


def article(noun: str) -> str:
    """A noun behind `a` or `an`."""
    return f"a{'n' * (noun[0] in 'aeiou')} {noun}"


def _task(name: str) -> dict[str, Any]:
    task = tasks.load(name)
    return {
        "name": name,
        "question": task.question,
        "answers": " / ".join(task.classes) if task.classes else "from the data",
        "phantoms": task.phantoms is not None,
        "version": task.version,
    }
