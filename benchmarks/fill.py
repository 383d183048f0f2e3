"""Many small images into the store, against the bare loop that decodes them and asks the network.

    python benchmarks/fill.py [--images 20000] [--rounds 3] [--encoder phantom-clip] [--site pooled]

PNGs of 64 x 64 pixels are made in a folder of its own. The bare loop reads, preprocesses and asks the same network for
the same site, and keeps nothing; it and what `slitlamp.extract` does alternate on a slice of the images, and the ratio
is the median of the ratios of CPU seconds, one thread. Then all images are filled by commands in processes of their
own: peak memory at a quarter and at all of them, and a second run, which must find everything known.
"""

# ruff: noqa: E402  threads are fixed before NumPy is imported
import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(ROOT := Path(__file__).parent.parent))

import numpy as np
from PIL import Image

SLICE = 512  # images of one round
MEASURED = """
import resource, sys
from experiments.extract import main
code = main(sys.argv[1:])
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
sys.exit(code)
"""


def make(folder: Path, count: int) -> None:
    """Images of noise, a thousand to a folder."""
    rng = np.random.default_rng(0)
    for i in range(count):
        home = folder / f"{i // 1000:04d}"
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(home / f"{i:07d}.png", compress_level=1)


def bare(paths: list[Path], network: Any, wanted: dict[str, list[str]], batch: int) -> float:
    """CPU seconds of decoding and encoding alone."""
    import encoders

    start = time.process_time()
    for a in range(0, len(paths), batch):
        images = []
        for path in paths[a : a + batch]:
            with Image.open(path) as file:
                images.append(np.array(file))
        encoders.encode(network, images, wanted)
    return time.process_time() - start


def ours(folder: Path, store: Path, network: Any, options: argparse.Namespace) -> float:
    """CPU seconds of listing, decoding, hashing, encoding and storing a folder, the network loaded before."""
    from cache import Store
    from slitlamp.encoding.encoder import stored_encoders
    from slitlamp.encoding.fill import fill
    from slitlamp.extraction.asked import asked_of
    from slitlamp.settings import Settings

    settings = Settings.of(
        encoder=(options.encoder,), data=str(folder), site=tuple(options.site), batch_size=options.batch
    )
    (encoder,) = stored_encoders(settings.encoder, Store(store))
    encoder.loaded.append(network)
    start = time.process_time()
    (one,) = asked_of(settings, encoder.store)
    filled = fill(encoder, one.pictures, encoder.points(), one.policy)
    spent = time.process_time() - start
    assert filled.encoded == SLICE
    return spent


def command(folder: Path, store: Path, options: argparse.Namespace, *more: str) -> tuple[float, int, dict[str, object]]:
    """Wall seconds, peak memory in MB and counts of one command in a process of its own."""
    words = ["--encoder", options.encoder, "--data", str(folder), "--site", *options.site, "--json", *more]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *words, "--batch-size", str(options.batch)], cwd=ROOT, capture_output=True,
        text=True, env=os.environ | {"SLITLAMP_CACHE": str(store)}, check=False,
    )  # fmt: skip
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    peak = int(next(line for line in done.stderr.splitlines() if line.startswith("PEAK")).split()[1])
    tables = json.loads(done.stdout)["tables"]
    return wall, peak, tables["encoded"][0] | tables["time"][0]


def main() -> None:
    """Make, compare, fill, fill again, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoder", default="phantom-clip")
    parser.add_argument("--site", nargs="+", default=["pooled"])
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        compare(Path(scratch), options)
        fill(Path(scratch), options)


def compare(home: Path, options: argparse.Namespace) -> None:
    """The same images by the bare loop and by ours, round by round."""
    import encoders

    network = encoders.load(options.encoder)
    wanted: dict[str, list[str]] = {}
    for site, readout, _ in encoders.points(network.card):
        if site in options.site:
            wanted.setdefault(site, []).append(readout)
    make(home / "slice", SLICE)
    paths = sorted((home / "slice").rglob("*.png"))
    ratios = []
    for round_ in range(options.rounds + 1):
        store = home / f"store-{round_}"
        runs = [
            lambda: bare(paths, network, wanted, options.batch),
            lambda s=store: ours(home / "slice", s, network, options),
        ]
        first, second = (runs[k]() for k in ((0, 1) if round_ % 2 else (1, 0)))
        alone, stored = (first, second) if round_ % 2 else (second, first)
        if round_:  # the first round warms up
            ratios.append(alone / stored)
            print(f"round {round_}: bare {SLICE / alone:.0f} images/CPU-s, into the store {SLICE / stored:.0f}")
    print(f"rate of the bare loop that is kept: {statistics.median(ratios):.2f} (goal 0.9)")


def fill(home: Path, options: argparse.Namespace) -> None:
    """Peak memory at two sizes, and a second run."""
    make(home / "films", options.images)
    for count in (options.images // 4, options.images):
        wall, peak, row = command(home / "films", home / f"filled-{count}", options, "--limit", str(count))
        assert row["encoded"] == count, row
        spent = ", ".join(f"{name} {row[name]:.0f} s" for name in ("decode", "encode", "write"))
        print(f"{count:,} images: {wall:.0f} s, {count / wall:.0f} images/s ({spent}); peak {peak} MB")
    wall, peak, row = command(
        home / "films", home / f"filled-{options.images}", options, "--limit", str(options.images)
    )
    assert row["known"] == options.images, row
    print(f"again, all {options.images:,} known: {wall:.1f} s, peak {peak} MB (goal at 200,000: 5 s)")


if __name__ == "__main__":
    main()
