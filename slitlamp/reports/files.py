"""What a run leaves: one folder of files that are functions of its records."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cache import write_atomically
from slitlamp.records import Record, as_csv, as_json, document

if TYPE_CHECKING:
    from slitlamp.probing.run import Probed


def write(found: "Probed", out: Path, experiment: str) -> list[str]:
    """Write results.json, table.csv, the figure and timing.json into `out`; the names of the files."""
    files = ["results.json", "table.csv"]
    write_atomically(out / "table.csv", as_csv(found.records))
    files += _figure(found.records, out)
    whole = document(experiment, found.records, found.verdicts, files, found.questions)
    write_atomically(out / "results.json", as_json(whole))
    timing = {
        "seconds": round(found.seconds, 2),
        "images_encoded": found.encoded,
        "cells": {key[:32]: round(seconds, 3) for key, seconds in found.cell_seconds.items()},
    }
    write_atomically(out / "timing.json", as_json(timing))
    return files


def _figure(records: Sequence[Record], out: Path) -> list[str]:
    """The layer curve; drawn again only where the records changed."""
    import hashlib

    import slitlamp.reports.plots as plots

    code = Path(plots.__file__).read_bytes()
    seal = hashlib.sha256(as_csv(records) + code).hexdigest()
    names = [f"layers.{suffix}" for suffix in ("pdf", "svg", "png")]
    mark = out / "cells" / "figure.sha256"
    if all((out / n).exists() for n in names) and mark.exists() and mark.read_text() == seal:
        return names
    plots.save(plots.layer_curve(records), out / "layers")
    write_atomically(mark, seal.encode())
    return names
