"""What is said of registered encoders: as rows of a table, as one card in full, and as the table of the documents."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import encoders
from encoders import Card, Input
from slitlamp.errors import UsageError
from slitlamp.reports.text import UNBROKEN, filled, human_size, three_digits

START, END = "<!-- encoders -->", "<!-- end of encoders -->"


def full(name: str, card: Card | None = None) -> dict[str, Any]:
    """Everything that the card of `name` says, with numbers as integers."""
    card = card or encoders.card(name)
    return {
        "name": name,
        "repo": card.repo,
        "revision": card.revision,
        "licence": card.licence,
        "gated": card.gated,
        "parameters": card.parameters,
        "input": None if card.input is None else vars(card.input),
        "any_size": card.any_size,
        "volumes": card.volumes,
        "sites": {k: {"width": v.width, "grid": v.grid, "readouts": v.readouts} for k, v in card.sites.items()},
        "text": card.text,
        "bytes": card.bytes,
        "bytes_whole": card.bytes_whole,
        "local": _local(card),
        "unverified": card.unverified,
        "note": card.note,
    }


def short(name: str) -> dict[str, Any]:
    """What fits on a line."""
    card = encoders.card(name)
    return {
        "name": name,
        "parameters": count(card.parameters),
        "input": _input(card),
        "sites": condensed(card.sites),
        "fetched": fetched(card),
        "licence": _licence(card),
        "local": _local(card),
    }


def prepared(spec: Input) -> str:
    """How images are prepared for a network, in a line."""
    height, width = spec.size
    edge = f" of the shorter side to {spec.edge}" if spec.edge and spec.resize == "shortest" else f", {spec.resize}"
    crop = f", {spec.crop} crop" if spec.crop else ""
    norm = ", ".join(f"{name} {'/'.join(f'{v:.3g}' for v in dict.fromkeys(values))}"
                     for name, values in (("mean", spec.mean), ("deviation", spec.std)))  # fmt: skip
    return f"{height} x {width} by {spec.interpolation} resize{edge}{crop}, {norm} ({spec.backend})"


@cache
def built(name: str) -> Card:
    """The card of `timm:MODEL` or `open_clip:MODEL` as its architecture is, of which nothing is fetched.

    Raises UnknownName for an architecture that the library does not have.
    """
    return replace(encoders.architecture(name), note="as its architecture is; its weights were not looked at")


def lines(name: str) -> str:
    """One card in full, a line for each thing it says; of timm: and open_clip: that of the architecture."""
    generic = name.startswith(("timm:", "open_clip:"))
    card = built(name) if generic else encoders.card(name)
    said: dict[str, Any] = full(name, card) | {
        "parameters": card.parameters and f"{card.parameters:,} (image side)",
        "input": card.input and "; ".join(f"{key} {value}" for key, value in vars(card.input).items()),
        "any_size": _sizes(card),
        "local": "" if generic else _local(card),
        "bytes": card.bytes and f"{card.bytes:,}",
        "bytes_whole": card.bytes_whole and f"{card.bytes_whole:,}",
        "unverified": card.unverified and f"not verified against real weights: {card.unverified}",
        "sites": "".join(f"\n  {names:20} {how}" for names, how in _alike(card)),
    }
    every = [line for key, value in said.items() for line in f"{key.replace('_', ' '):12} {_said(value)}".split("\n")]
    return "\n".join(filled(line, UNBROKEN, " " * 13) for line in every)


def markdown() -> str:
    """The table of the documents, one row for each name."""
    heads = ("name", "repository", "licence", "parameters", "input", "sites", "fetched", "not verified")
    rows = [_row(name) for name in encoders.names()]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ("---",) * len(heads), *rows]) + "\n"


def bring_up_to_date(path: Path) -> str:
    """Write the table between its marks in a document anew; returns nothing to print.

    Raises:
        UsageError: the document cannot be read, or has no place for the table.
    """
    try:
        head, _, rest = path.read_text(encoding="utf-8").partition(START)
        _, mark, tail = rest.partition(END)
        if not mark:
            raise UsageError(
                f"--markdown {path}: it has no place for the table: put {START} and {END} where it belongs"
            )
        path.write_text(f"{head}{START}\n\n{markdown()}\n{END}{tail}", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--markdown {path}: {error}") from None
    return ""


def unverified(rows: Sequence[dict[str, Any]]) -> str:
    """How many of the encoders hold facts that were never checked against real weights."""
    count = sum(bool(row["unverified"]) for row in rows)
    return (
        f"{count} of {len(rows)} hold facts that were never checked against real weights; "
        "`python -m experiments.list encoders NAME` says which"
    )


def _row(name: str) -> Sequence[str]:
    card, row = encoders.card(name), short(name)
    cells = (f"`{name}`", card.repo, *(row[key] for key in ("licence", "parameters", "input", "sites", "fetched")))
    return [str(cell or "-").replace("|", "/") for cell in (*cells, card.unverified)]


def condensed(sites: Iterable[str]) -> str:
    """Names of sites in few words: those that are counted, as a range."""
    found: dict[str, list[int]] = {}
    for site in sites:
        counted = re.fullmatch(r"(.+)\.(\d+)", site)
        found.setdefault(counted[1] if counted else site, []).extend([int(counted[2])] if counted else [])
    return " ".join(
        name if not numbers else f"{name}.{min(numbers)}" + (f"-{max(numbers)}" if len(numbers) > 1 else "")
        for name, numbers in found.items()
    )


def count(number: int | None) -> str:
    """A number of parameters in millions; "" for none."""
    return "" if not number else three_digits(number / 1e6) + " M"


def fetched(card: Card) -> str:
    """What a load fetches, and of how much."""
    if not card.bytes:
        return ""
    whole = card.bytes_whole if card.bytes_whole != card.bytes else None
    return human_size(card.bytes) + (f" of {human_size(whole)}" if whole else "")


def _input(card: Card) -> str:
    if card.input is None:
        return ""
    height, width = card.input.size
    how = "crop" if card.input.crop else card.input.resize
    side = f"{height if height == width else f'{height} × {width}'} {how}" + ", any size" * card.any_size
    return f"{side}, volumes" if card.volumes else side


def _sizes(card: Card) -> str:
    """Which sides in pixels --image-size may ask for."""
    if not card.any_size or card.input is None:
        return "no: its own size alone"
    grids = {name: site.grid for name, site in card.sites.items() if site.grid}
    cell = card.input.size[0] // min(grid[0] for grid in grids.values())
    if "stage.1" in grids:  # a network of maps, each smaller than the one before
        return f"yes: from {cell} pixels on, one cell of its last map, by --image-size"
    return f"yes: any multiple of its patch of {cell} pixels, by --image-size"


def _licence(card: Card) -> str:
    return card.licence + (", gated" if card.gated else "")


def _alike(card: Card) -> list[tuple[str, str]]:
    """Sites that follow one another and are read in the same way, on one line."""
    groups = groupby(card.sites, lambda name: _lies(card.sites[name]))
    return [(condensed(names), how) for how, names in groups]


def _lies(site: encoders.Site) -> str:
    grid = " × ".join(map(str, site.grid)) + " of " if site.grid else f"{site.queries} queries of " * bool(site.queries)
    views = f" in {len(site.views)} views of a square image" if site.views else ""
    return f"{grid}{site.width}{views}: {', '.join(site.readouts)}"


def _local(card: Card) -> str:
    if card.repo is None:  # shipped, computed, or given with --weights
        return "yes" if card.bytes == 0 or not card.parameters else "no"
    from hub.repository import cached_state

    return cached_state(card.repo, card.revision)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)
