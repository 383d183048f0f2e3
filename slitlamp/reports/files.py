"""What a run leaves: one folder of files that are functions of its records, and the table on stdout."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cache import write_atomically
from slitlamp.log import say
from slitlamp.records import Record, as_csv, as_json, document
from slitlamp.reports.table import legend, table
from slitlamp.settings import Options, command_line


def deliver(
    run: Any, options: Options, experiment: str, records: Sequence[Record], verdicts: Sequence[dict], seconds: float
) -> None:
    """Write results.json, table.csv, the figure and timing.json under --out; print the table or the JSON."""
    out = Path(options.out)
    files = ["results.json", "table.csv"]
    write_atomically(out / "table.csv", as_csv(records))
    files += _figure(records, out)
    whole = document(experiment, records, verdicts, files)
    write_atomically(out / "results.json", as_json(whole))
    timing = {
        "seconds": round(seconds, 2),
        "images_encoded": run.encoded,
        "cells": {k[:32]: round(v, 3) for k, v in run.seconds.items()},
    }
    write_atomically(out / "timing.json", as_json(timing))
    if options.json:
        print(as_json(whole).decode(), end="")
    else:
        print(_page(records, verdicts, options, experiment))
    what = "volumes" if options.volumes else "images"
    say(f"{run.encoded} {what} encoded, {len(run.seconds)} cells measured, {seconds:.0f} s; files in {options.out}")


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


def _page(records: Sequence[Record], verdicts: Sequence[dict], options: Options, experiment: str) -> str:
    parts = []
    for verdict in verdicts:
        mine = [r for r in records if r.task == verdict["task"]]
        parts.append(table(mine, verdict["encoder"]))
        head = f"{verdict['task']} · {verdict['encoder']}: {verdict['verdict'].upper()}"
        parts.append(
            "\n".join([head + (f", credit: {verdict['credit']}" if verdict["credit"] else ""), *_wrapped(verdict)])
        )
    parts.append(legend(records))
    parts.append("To repeat: " + command_line(options, experiment))
    return "\n\n".join(parts)


def _wrapped(verdict: dict) -> list[str]:
    return [
        textwrap.fill(sentence, width=110, initial_indent="  · ", subsequent_indent="    ")
        for sentence in verdict["sentences"]
    ]
