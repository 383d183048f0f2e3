"""The folder is the registry: a file without underscore is a probe that a user can name."""

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins import UnknownName, load_user_file, nearest, of_folder

Probe = Callable[..., Any]  # (given, folds, rng, **options) -> Predictions


def names() -> tuple[str, ...]:
    """The registered probes, sorted: every file of this folder whose name has no underscore in front."""
    return of_folder(Path(__file__).parent)


def load(name: str) -> Probe:
    """The probe function of a registered name, or of a user's Python file that defines `probe`.

    Raises:
        UnknownName: no such name or file; the message names what would do.
        UserFileError: the user's file fails, or defines no `probe`; so does what it returns where a line fails.
    """
    if name.endswith(".py"):
        from probes._base import ProbeError

        path = Path(name)
        needs = {"probe": (None, "a function probe(given, folds, rng)")}
        file = load_user_file(path, "probe", needs, (ProbeError,))
        return file.function(file.module.probe, again=(load, (str(path.absolute()),)))
    if name not in names():
        near = nearest(name, names())
        guess = f"; did you mean '{near}'?" if near else ""
        raise UnknownName(f"no probe '{name}'{guess} (there are: {', '.join(names())}; or a path to a .py file)")
    return _checked(importlib.import_module(f"probes.{name}").probe, name)


def _checked(probe: Probe, name: str) -> Probe:
    """The probe, which refuses folds and labels that do not fit before it computes anything."""

    @functools.wraps(probe)
    def call(given: Any, folds: Any, rng: Any, **options: Any) -> Any:
        from probes.solvers.inner_folds import check

        check(given, folds, probe=name)
        return probe(given, folds, rng, **options)

    return call
