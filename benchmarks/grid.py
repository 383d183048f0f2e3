"""How long a grid takes whose cells are all known: it is looked at, judged and written.

$ python -m benchmarks.grid --items 60
The first call measures what the store lacks; the second is timed.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import slitlamp
from slitlamp.log import shown_on_stderr

ENCODERS = ("phantom-clip", "random:phantom-clip", "random:phantom-clip#9", "pixels")
TASKS = ("orientation", "mirror", "depth", "contrast", "rotation")


def main(argv: Sequence[str] | None = None) -> int:
    """Answer the grid twice, and print how long the second call took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--permutations", type=int, default=1999)
    parser.add_argument("--twins", type=int, default=0)
    asked = parser.parse_args(argv)
    grid = {"fixed": vars(asked), "grid": {"encoder": ENCODERS, "task": TASKS}}
    with tempfile.TemporaryDirectory() as folder, shown_on_stderr():
        slitlamp.ablate(grid)
        for name in ("first", "again"):
            began = time.perf_counter()
            found = slitlamp.ablate(grid, out=str(Path(folder) / "out"))
            spent = time.perf_counter() - began
            cells = sum(len(run.records) for run in found.runs.values())
            points = sum(row["points"] for row in found.table())
            print(f"{name}: {cells} cells known ({points} points), {len(found.table())} verdicts: {spent:.1f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
