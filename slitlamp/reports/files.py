"""What a run leaves: one folder of files that are functions of its records."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cache import write_atomically
from slitlamp.disk import keep_earlier
from slitlamp.records import Record, as_csv, as_json, document

if TYPE_CHECKING:
    from slitlamp.probing.run import Probed


def write(found: "Probed", out: Path, experiment: str) -> list[str]:
    """Write results.json, table.csv, timing.json and then the figure into `out`; the names of the files.

    A figure that cannot be drawn costs nothing but itself, and a line.
    """
    files = ["results.json", "table.csv"]
    whole = document(experiment, found.records, found.verdicts, files, found.questions, found.comparisons)
    keep_earlier(out, "results.json", whole, ("timing.json",))
    write_atomically(out / "results.json", as_json(whole))
    write_atomically(out / "table.csv", as_csv(found.records))
    timing = {
        "seconds": round(found.seconds, 2),
        "images_encoded": found.encoded,
        "cells": {key[:32]: round(seconds, 3) for key, seconds in found.cell_seconds.items()},
    }
    write_atomically(out / "timing.json", as_json(timing))
    files += _figure([Record(**one) for one in whole["records"]], out)
    write_atomically(out / "results.json", as_json(whole | {"files": files}))
    return files


def _figure(records: Sequence[Record], out: Path) -> list[str]:
    """The layer curve of the records as results.json holds them; drawn again only where they changed."""
    import hashlib

    import slitlamp.reports.plots as plots

    code = Path(plots.__file__).read_bytes()
    seal = hashlib.sha256(as_csv(records) + code).hexdigest()
    names = [f"layers.{suffix}" for suffix in ("pdf", "svg", "png")]
    mark = out / "cells" / "figure.sha256"
    if mark.is_file() and mark.read_bytes() == _with_files(seal, out, names):
        return names
    drawn = plots.written(lambda: plots.layer_curve(records), out / "layers")
    if drawn == names:
        write_atomically(mark, _with_files(seal, out, names))
    return drawn


def _with_files(seal: str, out: Path, names: Sequence[str]) -> bytes:
    """A seal over what a figure is drawn from and over its files as they lie there: a damaged one is drawn again."""
    import hashlib

    held = [(out / name).read_bytes() if (out / name).is_file() else b"" for name in names]
    return " ".join([seal, *(hashlib.sha256(data).hexdigest() for data in held)]).encode()
