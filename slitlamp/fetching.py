"""Encoders carried to a machine without a network: what they need of the hub, in folders of one's own."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import encoders
from hub.errors import HubError, UnreachedError
from hub.wanted import Plan, bring, planned
from slitlamp.errors import UsageError, said_of
from slitlamp.log import say
from slitlamp.reports.listing import named_elsewhere
from slitlamp.reports.text import human_size


def fetch(names: Sequence[str], out: str | Path, *, whole: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Bring what the encoders `names` need into `out`, a folder for each; {"folders": {name: path}, "failed": {…}}.

    With `whole` the language models too, for `answers` and `diagnose`. With `dry_run` only what would be fetched is
    said. What is there already, whole, is not fetched again. An encoder that cannot be had costs a line and no other
    encoder.

    Raises:
        UsageError: no name, two that would share a folder; UnknownName: an encoder that nothing holds.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    names = list(dict.fromkeys(names))
    places = {name: out / folder_name(name) for name in names}
    if len(set(places.values())) < len(names):
        raise UsageError(f"{' and '.join(names)} would share a folder; fetch them into different ones")
    for name in names:
        if elsewhere := named_elsewhere(name, "encoder"):
            raise UsageError(f"{name}: {elsewhere}".rstrip("; ").replace("say --", "fetch takes encoders, not --"))
        encoders.card(name)
    folders: dict[str, str] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            plans = [planned(one) for one in encoders.sources(name, whole=whole)]
            for plan in plans:
                _say_plan(name, plan)
            if not dry_run:
                bring(plans, places[name], _line(name))
            folders[name] = str(places[name])
        except HubError as error:
            failed[name] = _unfetched(name, error)
            say(f"error: {failed[name]}")
    return {"folders": folders, "failed": failed, "fetched": not dry_run}


def _unfetched(name: str, error: HubError) -> str:
    """Why an encoder could not be had, without the advice to give a local copy, which is what is being made."""
    if isinstance(error, UnreachedError):
        return f"{name}: {error.what}: fetch it where the hub can be reached, and carry its folder here"
    return re.sub(r"[;,] or (pass )?--weights PATH|; `phantom-clip` [^;]*$", "", said_of(name, error))


def folder_name(name: str) -> str:
    """What the folder of an encoder is called: its name, with what no file name takes as `-`."""
    return re.sub(r"[^\w.+-]+", "-", name)


def _say_plan(name: str, plan: Plan) -> None:
    count = len(plan.files)
    heaviest = max(plan.files, key=lambda file: file.size)
    say(
        f"{name}: {plan.repository}: {count} file{'s' * (count > 1)}, {human_size(plan.size)}, of which "
        f"{heaviest.name} {human_size(heaviest.size)}"
    )


def _line(name: str) -> Callable[[str, int, str], None]:
    return lambda file, size, how: say(f"{name}: {file}, {human_size(size)}: {how}")


def carried(folders: dict[str, str]) -> str:
    """How a run on the other machine is told where the encoders lie."""
    paths = " ".join(f"{name}={path}" for name, path in folders.items())
    only = next(iter(folders.values())) if len(folders) == 1 else paths
    return f"--encoder {' '.join(folders)} --weights {only} --offline"
