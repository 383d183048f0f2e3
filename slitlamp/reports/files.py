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
    from slitlamp.reports.sealed import written

    code = Path(plots.__file__).read_bytes()
    seal = hashlib.sha256(as_csv(records) + code).hexdigest()
    return written(lambda: plots.layer_curve(records), out / "layers", out / "cells" / "figure.sha256", seal)
