"""The oldest version of each library that the project's own requirements allow, and what is older here."""

from functools import cache
from importlib import metadata

from packaging.requirements import Requirement

from encoders._base import EncoderError

PROJECT = "slitlamp"
LIBRARIES = (
    "huggingface-hub", "open-clip-torch", "safetensors", "timm", "tokenizers", "torch", "torchvision", "transformers",
)  # fmt: skip


@cache
def too_old(names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A sentence for each of these distributions, or of all, that is installed in a version below its requirement.

    Empty where the project runs from its files alone and nothing says what it requires.
    """
    try:
        lines = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return ()
    found = []
    for requirement in map(Requirement, lines):
        if requirement.marker is not None or (names and requirement.name not in names):
            continue  # with a marker it is of an extra
        try:
            here = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            continue  # said by whoever imports it
        if not requirement.specifier.contains(here, prereleases=True):
            found.append(f"{requirement.name} {here} is installed, and {requirement} is needed")
    return tuple(found)


def require_floors(who: str) -> None:
    """Refuse a library of encoders that is too old, before anything is fetched and fails in the library's words."""
    if found := too_old(LIBRARIES):
        raise EncoderError(f"{who}: {'; '.join(found)}; `./uv sync` brings the tested versions")
