"""One GPU: phantoms into the store against the bare forward pass, and the probe's linear algebra against NumPy.

    python benchmarks/gpu.py [--images 20000] [--encoder random:timm:vit_large_patch14_clip_224.openai]
        [--dtype bfloat16] [--batch-size 64] [--site final] [--compile] [--probe-items 20000] [--device auto]

Phantoms of the task `orientation` are drawn beforehand and lie as PNG files in a folder of its own. The bare forward
asks the same network for batches that lie on the device already, before and after the images are filled, and the better
counts. Of the filling it is said how long the encoder waited for decoding, and how long it wrote. Then one cell is
probed by NumPy on one thread and on the device, and what is published of it must be the same to 1e-6.

Without a CUDA device the same runs on the processor, and nothing is claimed about a GPU.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

GOAL = 0.9  # of the bare forward's rate
SAME = 1e-6
PART = 256  # images that a process draws at a time
BARE = 16  # batches of the bare forward


def draw(folder: Path, count: int, start: int) -> None:
    """PART phantoms, from the `start`-th of `count` on, as PNG files."""
    from PIL import Image

    import tasks

    make = tasks.load("orientation").phantoms
    assert make is not None
    home = folder / f"{start:07d}"
    home.mkdir(parents=True)
    wanted = min(PART, count - start)
    rows = make(2 * wanted, start).rows[:wanted]  # it is asked for items, and a row gives two
    assert len(rows) == wanted, (len(rows), wanted)
    for i, row in enumerate(rows):
        Image.fromarray(row.picture.read()).save(home / f"{i:04d}.png", compress_level=1)


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def bare(network: Any, sites: Sequence[str], files: Sequence[Path], size: int) -> float:
    """Images per second of the forward pass alone, at the sites that are filled, each reduced to its mean token."""
    from PIL import Image

    from encoders.extraction.encode import collate

    first = [network.preprocess(np.array(Image.open(path))) for path in files[:size]]
    batch = collate([first[i % len(first)] for i in range(size)]).to(network.device)

    def reduce(_site: str, tokens: Any) -> Any:
        return tokens.mean(dim=1)

    network.forward(batch, sites, reduce=reduce)
    synchronise(network.device)
    begin = time.perf_counter()
    for _ in range(BARE):
        network.forward(batch, sites, reduce=reduce)
    synchronise(network.device)
    return BARE * size / (time.perf_counter() - begin)


def extraction(options: argparse.Namespace, device: str, home: Path) -> dict[str, Any]:
    """Rates of the bare forward and of the filling in images per second, and where the time of the filling went."""
    from cache import Store
    from slitlamp.encoding.encoder import stored_encoders
    from slitlamp.encoding.fill import fill
    from slitlamp.extraction.asked import asked_of
    from slitlamp.settings import Settings

    films = home / "films"
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(draw, films, options.images), range(0, options.images, PART)))
    settings = Settings.of(
        encoder=(options.encoder,), data=str(films), site=tuple(options.site), batch_size=options.batch_size,
        dtype=options.dtype, device=device, compile=options.compile,
    )  # fmt: skip
    (encoder,) = stored_encoders(settings.encoder, Store(home / "store"))
    files = sorted(films.rglob("*.png"))
    began = time.perf_counter()
    network = encoder.load()
    points = encoder.points()
    sites = list(dict.fromkeys(site for site, _, _ in points))
    rates = [bare(network, sites, files, options.batch_size)]
    ready = time.perf_counter() - began
    (one,) = asked_of(settings, encoder.store)
    filled = fill(encoder, one.pictures, points, one.policy, threads=0 if device == "cpu" else options.threads)
    rates.append(bare(network, sites, files, options.batch_size))
    known = filled.encoded + filled.known
    assert 0 < filled.encoded == known <= options.images, (filled.encoded, known)
    return {
        "images": filled.encoded,
        "points": len(points),
        "seconds until the first batch": ready,
        "bare, images/s": max(rates),
        "bare before and after": rates,
        "filled, images/s": filled.encoded / filled.seconds,
        "share of the bare forward": filled.encoded / filled.seconds / max(rates),
        "waited for decoding": filled.waiting / filled.seconds,
        "wrote": filled.write / filled.seconds,
        "encoded": filled.encode / filled.seconds,
    }


def probe(options: argparse.Namespace, device: str) -> dict[str, Any]:
    """Seconds of one cell by NumPy on one thread and on the device, and the largest difference of what is published."""
    from threadpoolctl import threadpool_limits

    import probes

    n, d = options.probe_items, options.probe_width
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    x = rng.standard_normal((n, d)) @ (rng.standard_normal((d, d)) * d**-0.5)
    x[:, 0] += 0.2 * y
    given = probes.feature_set(x.astype(np.float32), y)
    plan = probes.plan(given.y, given.groups, classes=given.classes, permutations=options.permutations)
    found, seconds = {}, {}
    with threadpool_limits(1):
        for where in ("cpu", device):
            if where != "cpu":  # the device is opened, and its libraries are loaded, before the clock runs
                small = probes.feature_set(rng.standard_normal((200, 16)), np.arange(200) % 2)
                probes.measure(small, probes.plan(small.y, small.groups, classes=small.classes, permutations=19),
                               probe=options.probe, device=where)  # fmt: skip
            begin = time.perf_counter()
            found[where] = probes.measure(given, plan, probe=options.probe, device=where)
            seconds[where] = time.perf_counter() - begin
    apart = max(
        abs(a - b)
        for name in ("score", "low", "high", "p", "mde")
        for a, b in [[getattr(found[where].estimate, name) for where in ("cpu", device)]]
        if a is not None or b is not None
    )
    assert apart <= SAME, f"{device} and NumPy differ by {apart:.2g}"
    return {
        "items": n, "width": d, "probe": found["cpu"].probe, "state": found["cpu"].state,
        "NumPy, s": seconds["cpu"], f"{device}, s": seconds[device],
        "ratio": seconds["cpu"] / seconds[device], "largest difference": apart,
    }  # fmt: skip


def claims(device: str, found: dict[str, Any]) -> list[str]:
    """What may be said of these figures: of a GPU only where one computed."""
    import torch

    if not device.startswith("cuda"):
        return [f"no CUDA device computed: these are figures of {device}, and nothing is claimed about a GPU"]
    name = torch.cuda.get_device_name(device)
    share, waited, wrote = (found[k] for k in ("share of the bare forward", "waited for decoding", "wrote"))
    verb = "reached" if share >= GOAL else "not reached"
    return [f"{name}: {share:.2f} of the bare forward (goal {GOAL}: {verb}); waited {waited:.1%} for decoding, "
            f"{wrote:.1%} for the disk"]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Fill, probe, and print one JSON document and what may be said of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--encoder", default="random:timm:vit_large_patch14_clip_224.openai")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--site", nargs="+", default=["final"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--probe", default="ridge")
    parser.add_argument("--probe-items", type=int, default=20_000)
    parser.add_argument("--probe-width", type=int, default=1024)
    parser.add_argument("--permutations", type=int, default=499)
    options = parser.parse_args(argv)
    from slitlamp.encoding.encoder import described_device, resolve_device

    device = resolve_device(options.device)
    with tempfile.TemporaryDirectory() as scratch:
        found = extraction(options, device, Path(scratch))
    probed = probe(options, device if device.startswith("cuda") else "torch-cpu")
    print(json.dumps({"device": described_device(device), "extraction": found, "probe": probed}, indent=1))
    for line in claims(device, found):
        print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
