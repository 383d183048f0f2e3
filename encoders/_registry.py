"""Registry of encoders: each file without underscore in this folder is a family, one `Checkpoint` per encoder."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder
from hub.wanted import Wanted
from plugins import UnknownName, hint, of_folder

GENERIC = ("timm:MODEL", "open_clip:MODEL/TAG", "hf:REPO@REV", "random:NAME", "path/to/mine.py")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A registered encoder: its card, how it is loaded, and how it is built untrained.

    `load(card, device, weights, offline)` gives the trained encoder; `untrained(card, device)` the same
    architecture under torch's current random state, None where there is nothing to leave untrained.
    `network()` builds the image side alone, in full size, under torch's current default device: on "meta" it
    is counted without memory. `model_type` is the ModelType of a multimodal model. `both_towers` are the parameters of
    image and text tower together, None where they are not known. `whole(card, weights, offline)` gives the card with
    its commit and the folders of a whole model, each with the names that are read of it, None where none can be had.
    `sources` are the repositories and files that `load` reads, for a machine without a network, and `sources_whole`
    those that `whole` reads; () where there are none that can be pinned.
    """

    card: Card
    load: Callable[[Card, str, Path | None, bool], Encoder]
    untrained: Callable[[Card, str], Encoder] | None = None
    network: Callable[[], Any] | None = None
    model_type: Any = None
    both_towers: int | None = None
    whole: Callable[[Card, Path | None, bool], Any] | None = None
    sources: tuple[Wanted, ...] = ()
    sources_whole: tuple[Wanted, ...] = ()


@cache
def checkpoints() -> dict[str, Checkpoint]:
    """Every registered checkpoint by name; the family files import no heavy library at their top."""
    found: dict[str, Checkpoint] = {}
    for name in of_folder(Path(__file__).parent):
        family = importlib.import_module(f"encoders.{name}")
        for checkpoint in _of(family):
            found[checkpoint.card.name] = checkpoint
    return dict(sorted(found.items()))


def _of(family: Any) -> tuple[Checkpoint, ...]:
    if hasattr(family, "CHECKPOINTS"):
        return tuple(family.CHECKPOINTS)
    load = family.load
    return (Checkpoint(card=family.CARD, load=lambda _card, device, _weights, _offline: load(device)),)


def names() -> tuple[str, ...]:
    """The registered encoders, sorted."""
    return tuple(checkpoints())


def find(name: str) -> Checkpoint:
    """The checkpoint of that name, or UnknownName with the nearest one."""
    known = checkpoints()
    if name in known:
        return known[name]
    raise UnknownName(
        f"no encoder {name!r}; {hint(name, known)}`python -m experiments.list encoders` names them: "
        f"{', '.join(known)}; or give {', '.join(GENERIC)}"
    )


def split(spec: str) -> tuple[str, str]:
    """A spec as (kind, rest): kind is random, timm, open_clip, hf, file or name."""
    head, colon, rest = spec.partition(":")
    if colon and head in ("random", "timm", "open_clip", "hf"):
        if not rest:
            raise UnknownName(f"encoder {spec!r} names nothing behind the colon; give e.g. {GENERIC[0]}")
        return head, rest
    if spec.endswith(".py"):
        return "file", spec
    return "name", spec


def draw_of(rest: str) -> tuple[str, str]:
    """The name and the draw of an untrained encoder: `clip-b16#7` is (clip-b16, 7). A path of a file keeps its `#`."""
    inner, hash_, draw = rest.rpartition("#")
    return (inner, draw) if hash_ and not draw.endswith(".py") else (rest, "")


def located(spec: str) -> str:
    """A spec that means the same wherever a run starts: the path of a user's own file is absolute, a name as it is."""
    kind, rest = split(spec)
    if kind == "random":
        inner, draw = draw_of(rest)
        return f"random:{located(inner)}" + f"#{draw}" * bool(draw)
    return str(Path(rest).absolute()) if kind == "file" else spec


def card(spec: str, weights: str | Path | None = None) -> Card:
    """Who `spec` is, without loading it: complete for a registered name, only the name for others.

    `weights` is accepted for symmetry with `load`: what a local file holds is known once it is loaded.
    """
    kind, rest = split(spec)
    if kind == "random":
        from dataclasses import replace

        inner = card(draw_of(rest)[0], weights)
        return replace(
            inner, name=spec, repo=None, revision=None, gated=False, text=False, note=f"{inner.name}, untrained",
            bytes=0, bytes_whole=0, unverified="",
        )  # fmt: skip
    if kind == "name":
        return find(spec).card
    return Card(name=Path(rest).stem if kind == "file" else spec)
