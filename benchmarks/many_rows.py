"""A manifest of 50,000 rows over 2,000 small images: planned when all is known, probed to the end, memory.

$ python benchmarks/many_rows.py [--rows 50000] [--images 2000] [--probe]

The plan is `linear_probe --dry-run` in a process of its own, its imports included, once with an empty store and once
with all images known. With `--probe` the same question is put to `pixels` to its end. Both are done with the rows and
with a fifth of them, so that time that grows faster than rows is seen.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
ASKED = ["--encoder", "pixels", "--label", "side", "--group", "patient", "--folds", "3", "--repeats", "1",
         "--permutations", "19", "--jobs", "1"]  # fmt: skip


def made(folder: Path, images: int, rows: int) -> Path:
    """Images of noise, half of them darker above, and a table that names each as often as the rows allow."""
    rng = np.random.default_rng(0)
    for k in range(images if not (folder / "0.png").exists() else 0):
        pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
        pixels[:16] //= 1 + k % 2
        Image.fromarray(pixels).save(folder / f"{k}.png")
    lines = [f"{k % images}.png,{'above' if k % images % 2 else 'even'},p{k % images}\n" for k in range(rows)]
    (folder / f"{rows}.csv").write_text("file,side,patient\n" + "".join(lines))
    return folder / f"{rows}.csv"


def ran(folder: Path, table: Path, *more: str) -> tuple[float, float, int]:
    """CPU seconds, wall seconds and peak kB of one command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "SLITLAMP_CACHE": str(folder / table.stem)}
    code = (
        "import resource, runpy, sys; sys.argv = ['linear_probe', *sys.argv[1:]]\n"
        "try: runpy.run_module('experiments.linear_probe', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "finally: print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *ASKED, "--data", str(table), "--out", str(folder / f"out-{table.stem}"), *more],
        cwd=ROOT, env=os.environ | threads, capture_output=True, text=True, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    held = re.search(r"^PEAK (\d+)", done.stdout, re.MULTILINE)
    assert held is not None
    return cpu, time.perf_counter() - began, int(held[1])


def main() -> None:
    """Measure and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--probe", action="store_true", help="probe to the end as well")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for rows in (asked.rows // 5, asked.rows):
            table = made(folder, asked.images, rows)
            kinds = [("planned, nothing known", ["--dry-run"]), ("planned, all known", ["--dry-run"])]
            for name, more in [*kinds, *([("probed to the end", [])] if asked.probe else [])]:
                cpu, wall, peak = ran(folder, table, *more)
                print(f"{rows} rows, {name}: {cpu:.1f} s of CPU, {wall:.1f} s, {peak / 1e3:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
