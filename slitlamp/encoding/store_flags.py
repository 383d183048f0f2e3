"""The acts of the command that looks after the feature store, and their flags; importing it costs nothing."""

import argparse
from collections.abc import Mapping
from typing import Any

FORMATS = ("slitlamp", "npy", "safetensors", "parquet")


def _days(text: str) -> float:
    if not text.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days; give 0 or more")
    return float(text)


def _amount(text: str) -> float:
    number = text.removesuffix("%")
    share = number != text
    good = number.replace(".", "", share).isdecimal() and 0 < float(number) <= (100 if share else float("inf"))
    if not good:
        raise argparse.ArgumentTypeError(f"{text!r} is no sample; give a number of datasets, or a share such as 5%")
    return min(float(number) / 100, 1 - 1e-12) if share else float(number)


_DRY: Mapping[str, Any] = {"action": "store_true", "help": "only say what would be removed"}
ACTS: Mapping[str, tuple[str, Mapping[str, Mapping[str, Any]]]] = {
    "ls": ("list what is stored, by encoder", {}),
    "verify": ("hash every byte; exit 3 where one is wrong", {
        "--remove": {"action": "store_true", "help": "delete damaged files"},
        "--sample": {"type": _amount, "metavar": "N|P%", "help": "hash so many datasets of shards, or that share"},
        "--seed": {"type": int, "help": "of the sample; without it another is drawn each time, and its seed is said"},
        "--dry-run": _DRY,
    }),
    "gc": ("remove what dead writers left, and what is old", {
        "--older-than": {"type": _days, "metavar": "DAYS", "help": "also features not used for so many days"},
        "--merge": {"action": "store_true", "help": "put the many small shards of runs that were killed into few"},
        "--dry-run": _DRY,
    }),
    "export": ("write one set of features to a folder that others can read, with a manifest of hashes", {
        "space": {"metavar": "ENCODER|KEY", "help": "an encoder or the beginning of a key, as `ls` shows them"},
        "--out": {"required": True, "metavar": "FOLDER", "help": "a new folder, or a prefix such as s3://bucket/one"},
        "--to": {"choices": FORMATS, "default": "slitlamp", "help": "whole shards (default), or a file for each "
                 "site/readout with a row for each item"},
        "--only": {"nargs": "+", "default": (), "metavar": "NAME", "help": "site/readout or patterns, such as "
                   "'block.11/*'; not of slitlamp, which copies whole shards"},
        "--ids": {"metavar": "CSV", "help": "columns content and id: which items, in which order, under which ids"},
    }),
    "import": ("take over a folder that export wrote: all of it, checked, or nothing", {
        "folder": {"metavar": "FOLDER", "help": "what `export --to slitlamp` wrote, also at s3://…"},
    }),
}  # fmt: skip
