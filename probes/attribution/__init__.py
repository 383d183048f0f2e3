"""Methods of attribution: which pixels one number of an image rests on.

The folder is the registry: a file without underscore is a method that a user can name, and defines `METHOD`.
"""

import importlib
from pathlib import Path

from plugins import UnknownName, hint, of_folder
from probes.attribution._base import Attention, Layer, Maps, Method, Subject

__all__ = ["Attention", "Layer", "Maps", "Method", "Subject", "find", "load", "names"]


def names() -> tuple[str, ...]:
    """The registered methods, sorted, as a user types them: with `-` for `_`."""
    return tuple(name.replace("_", "-") for name in of_folder(Path(__file__).parent))


def find(name: str) -> str:
    """The name, once it is that of a method; UnknownName with the nearest one."""
    if name not in names():
        raise UnknownName(f"no method {name!r}; {hint(name, names())}there are {', '.join(names())}")
    return name


def load(name: str) -> Method:
    """The method of that name; UnknownName with the nearest one."""
    find(name)
    return importlib.import_module(f"probes.attribution.{name.replace('-', '_')}").METHOD
