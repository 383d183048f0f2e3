"""Tower and connector of a 15 GB LLaVA-1.6-Mistral, fetched without the rest, beside the client's own download.

    python benchmarks/fetch.py [--rounds 2] [--folder DIR]

Real names and shapes, four shards in float16, sparse on the disk but for the tensors that are wanted, served from
loopback by a process of its own. Every fetch is a fresh process with an empty cache. The peer is
`huggingface_hub.snapshot_download` of only the shards that hold a wanted tensor. What both give must be equal.
"""

# ruff: noqa: E402  threads are fixed before NumPy is imported
import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

NAME, REPO, COMMIT = "llava-1.6-mistral", "llava-hf/llava-v1.6-mistral-7b-hf", "a" * 40
SHARD = 5_000_000_000
INDEX = "model.safetensors.index.json"
SPELLED = {
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.language_model.": "language_model.model.",
    "model.image_newline": "image_newline",
    "lm_head.": "language_model.lm_head.",
}


def wanted(name: str) -> bool:
    """Whether a tensor of the checkpoint belongs to tower or connector."""
    return not name.startswith("language_model.")


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names on the hub and shapes of the published model; its configuration is left in `folder`."""
    import torch
    import transformers

    from encoders.llava import NEXT

    config = NEXT.config(transformers)
    config.save_pretrained(folder)
    size, crop = {"shortest_edge": 336}, {"height": 336, "width": 336}  # the library's own default is 224
    transformers.LlavaNextImageProcessorPil(size=size, crop_size=crop).save_pretrained(folder)
    with torch.device("meta"):
        model = transformers.LlavaNextForConditionalGeneration(config)
    found = {}
    for name, tensor in model.state_dict().items():
        old = next(start for start in SPELLED if name.startswith(start))
        found[SPELLED[old] + name.removeprefix(old)] = tuple(tensor.shape)
    return found


def build(folder: Path) -> int:
    """Write the checkpoint; returns the bytes of its shards."""
    from math import prod

    shards: list[dict[str, tuple[int, ...]]] = [{}]
    filled = 0
    for name, shape in shapes(folder).items():
        if filled + 2 * prod(shape) > SHARD:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += 2 * prod(shape)
    index, total = {}, 0
    for i, tensors in enumerate(shards, 1):
        file = folder / f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        total += write(file, tensors)
        index |= dict.fromkeys(tensors, file.name)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return total


def write(file: Path, tensors: dict[str, tuple[int, ...]]) -> int:
    """One shard: random values where they are wanted, holes elsewhere; returns its bytes."""
    from math import prod

    import numpy as np

    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in tensors.items():
        table[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + 2 * prod(shape)]}
        at += 2 * prod(shape)
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 8)
    rng = np.random.default_rng(0)
    with file.open("wb") as out:
        out.write(len(head).to_bytes(8, "little") + head)
        out.truncate(8 + len(head) + at)
        for name in filter(wanted, tensors):
            out.seek(8 + len(head) + table[name]["data_offsets"][0])
            out.write((rng.standard_normal(prod(tensors[name]), np.float32) * 0.02).astype(np.float16).tobytes())
    return file.stat().st_size


def serve(folder: Path) -> None:
    """Serve until the input ends; each line of it is answered with the bytes of weights sent since the last."""
    from tests.hub_server import Hub, Repository, serving

    repository = Repository(folder=folder, commit=COMMIT)
    with serving(Hub(repositories={REPO: repository})) as hub:
        print(hub.endpoint, flush=True)
        for _ in sys.stdin:
            print(repository.sent, flush=True)
            repository.sent = 0


@contextmanager
def hub_of(folder: Path) -> Iterator[Any]:
    """The serving process: its address, and a function that says what it sent."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    inward, outward = process.stdin, process.stdout
    endpoint = outward.readline().strip()

    def sent() -> int:
        inward.write("\n")
        inward.flush()
        return int(outward.readline())

    try:
        yield endpoint, sent
    finally:
        inward.close()
        process.wait()


def anonymous() -> int:
    """Bytes of memory of this process that no file backs."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(text.partition("RssAnon:")[2].split()[0])


def client(what: str) -> None:
    """Fetch or load in this process, which the environment points at the hub; prints what it took as JSON."""
    peak, over = anonymous(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, anonymous())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.perf_counter()
    told: dict[str, Any] = {}
    if what == "parts":
        from hub.tensors import fetch

        told["folder"] = str(fetch(REPO, COMMIT, wanted, ["config.json"])[0])
    elif what == "shards":
        import huggingface_hub as hub

        index = hub.hf_hub_download(REPO, INDEX, revision=COMMIT)
        held = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
        files = sorted({file for name, file in held.items() if wanted(name)})
        told["folder"] = hub.snapshot_download(REPO, revision=COMMIT, allow_patterns=["config.json", INDEX, *files])
    else:
        import encoders

        told["sites"] = len(encoders.load(NAME).card.sites)
    told["seconds"] = time.perf_counter() - start
    over.set()
    watcher.join()
    print(json.dumps(told | {"peak": max(peak, anonymous())}))


def run(what: str, endpoint: str, cache: Path) -> dict[str, Any]:
    """A client in a process of its own."""
    shutil.rmtree(cache, ignore_errors=True)
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment = {**os.environ, **quiet, "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, __file__, "--client", what], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def same(ours: Path, theirs: Path) -> int:
    """How many tensors are equal in both folders; a difference ends the run."""
    import torch

    from hub.tensors import tensors

    left, right = tensors(ours, wanted), tensors(theirs, wanted)
    if left.keys() != right.keys() or not all(torch.equal(left[name], right[name]) for name in left):
        raise SystemExit("the two folders hold DIFFERENT tensors")
    return len(left)


def report(whole: int, runs: dict[str, list[dict[str, Any]]]) -> bool:
    """Print medians; whether the goals were met."""
    for what, told in runs.items():
        middle = {key: statistics.median(t[key] for t in told) for key in ("sent", "seconds", "peak")}
        print(
            f"{what:7} {middle['sent'] / 1e6:7.0f} MB of {whole / 1e9:.1f} GB ({100 * middle['sent'] / whole:.2f} %), "
            f"{middle['seconds']:5.1f} s, peak {middle['peak'] / 1e9:.2f} GB of anonymous memory"
        )
    ratio = statistics.median(b["sent"] / a["sent"] for a, b in zip(runs["parts"], runs["shards"], strict=True))
    faster = statistics.median(b["seconds"] / a["seconds"] for a, b in zip(runs["parts"], runs["shards"], strict=True))
    print(f"beside whole shards: {ratio:.1f}x fewer bytes, {faster:.1f}x the speed on loopback (goals: 5 %, 2 GB)")
    mine = [told for what in ("parts", "load") for told in runs[what]]
    return all(told["sent"] < 0.05 * whole and told["peak"] < 2e9 for told in mine)


def main() -> int:
    """Build, fetch in turn, compare, print; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (7 GB); the system's temporary folder by default")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    if options.client:
        client(options.client)
        return 0
    runs: dict[str, list[dict[str, Any]]] = {"parts": [], "shards": [], "load": []}
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        source = Path(place) / "source"
        source.mkdir()
        whole = build(source)
        with hub_of(source) as (endpoint, sent):
            for _ in range(options.rounds):
                for what, told in runs.items():
                    took = run(what, endpoint, Path(place) / what)
                    told.append(took | {"sent": sent()})
            count = same(*(Path(runs[what][-1]["folder"]) for what in ("parts", "shards")))
        print(f"{NAME}: {count} tensors are equal either way")
    return int(not report(whole, runs))


if __name__ == "__main__":
    raise SystemExit(main())
