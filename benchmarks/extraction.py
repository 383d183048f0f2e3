"""All sites and readouts of a ViT-B/16 in one pass, against the plain forward of the same network.

    python benchmarks/extraction.py [--rounds 3] [--batch 4]

Both run interleaved in one process on one thread; the ratio is the median of the per-round ratios of CPU
seconds. What is compared is checked first: our features must equal reductions of timm's own intermediates.
"""

# ruff: noqa: E402  threads are fixed before NumPy is imported
import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch

import encoders
from encoders.extraction.precision import lowered

MODEL = "vit_base_patch16_224"
GFLOP = 35.1  # per image


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def reduced(model: torch.nn.Module, batch: torch.Tensor) -> dict[str, np.ndarray]:
    """Every site and readout from the library's own intermediates, by plain means."""
    with torch.inference_mode():
        final, layers = model.forward_intermediates(  # pyright: ignore[reportCallIssue]
            batch, output_fmt="NLC", return_prefix_tokens=True
        )
        pooled = model.forward_head(final, pre_logits=True)  # pyright: ignore[reportCallIssue]
    maps = {f"block.{i}": (prefix[:, 0], patches) for i, (patches, prefix) in enumerate(layers)}
    maps["final"] = (final[:, 0], final[:, 1:])
    found = {"pooled/vector": pooled.numpy()}
    for site, (cls, patches) in maps.items():
        grid = patches.unflatten(1, (14, 14)).double().numpy()
        fine = grid.repeat(3, axis=1).repeat(3, axis=2)  # thirds of 14 cells fall between cells
        halves = (grid[:, :, :7], grid[:, :, 7:], grid[:, :7], grid[:, 7:])
        thirds = [fine[:, 14 * i : 14 * i + 14, 14 * j : 14 * j + 14] for i in range(3) for j in range(3)]
        found |= {
            f"{site}/cls": cls.numpy(),
            f"{site}/mean": grid.mean((1, 2)),
            f"{site}/halves": np.concatenate([part.mean((1, 2)) for part in halves], axis=1),
            f"{site}/grid3": np.concatenate([part.mean((1, 2)) for part in thirds], axis=1),
        }
    return found


def gemm_rate(dtype: torch.dtype) -> float:
    """GFLOP per CPU second of a multiplication of the network's own shape."""
    a, b = torch.randn(1576, 768).to(dtype), torch.randn(768, 3072).to(dtype)
    return max(20 * 2 * 1576 * 768 * 3072 / 1e9 / seconds(lambda: [a @ b for _ in range(20)]) for _ in range(3))


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = encoders.load(f"random:timm:{MODEL}")
    low = lowered(encoder, "bfloat16")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(options.batch)]
    wanted: dict[str, list[str]] = {}
    for site, readout, _ in encoders.points(encoder.card):
        wanted.setdefault(site, []).append(readout)
    pixels = [encoder.preprocess(image) for image in images]
    batch = torch.stack(pixels)
    by_image = {id(image): done for image, done in zip(images, pixels, strict=True)}
    # preprocessing is the same work on both sides and is left out of both
    ours, ours_low = (_ready(e, by_image) for e in (encoder, low))

    got = encoders.encode(ours, images, wanted)
    for name, theirs in reduced(encoder.module, batch).items():
        np.testing.assert_allclose(got[name], theirs, rtol=0, atol=2e-5, err_msg=name)
    print(f"{MODEL}: {len(got)} points equal reductions of timm's forward_intermediates (2e-5)")
    gated = encoders.encode(ours_low, images, wanted)  # raises below a cosine of 0.999 at any site
    worst = min(float(np.min(_cosine(gated[name], got[name]))) for name in got)

    def plain() -> None:
        with torch.inference_mode():
            encoder.module(batch)

    def plain_low() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            encoder.module(batch)

    runs: dict[str, Callable[[], object]] = {
        "plain": plain,
        "all sites": lambda: encoders.encode(ours, images, wanted),
        "plain bf16": plain_low,
        "all sites bf16": lambda: encoders.encode(ours_low, images, wanted),
    }
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(options.rounds + 1):
        order = list(runs)[round_ % 4 :] + list(runs)[: round_ % 4]
        for name in order:
            took = seconds(runs[name])
            if round_:  # the first round warms up
                spent[name].append(took)
    report(spent, options.batch, worst)


def _ready(encoder: encoders.Encoder, by_image: dict[int, torch.Tensor]) -> encoders.Encoder:
    from dataclasses import replace

    return replace(encoder, preprocess=lambda image: by_image[id(image)])


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def report(spent: dict[str, list[float]], batch: int, worst: float) -> None:
    """Print medians, ratios and goals."""
    for name, values in spent.items():
        middle = statistics.median(values)
        print(f"{name:15s} {1000 * middle / batch:7.1f} CPU-ms per image (min {1000 * min(values) / batch:.1f})")

    def ratio(over: str, under: str) -> float:
        return statistics.median(a / b for a, b in zip(spent[over], spent[under], strict=True))

    print(f"all sites / plain, fp32: {ratio('all sites', 'plain'):.3f} (goal 1.03)")
    print(f"all sites / plain, bf16: {ratio('all sites bf16', 'plain bf16'):.3f} (goal 1.03)")
    print(f"fp32 loop / our bf16:    {ratio('plain', 'all sites bf16'):.2f} (goal 1.9); smallest cosine {worst:.5f}")
    single, half = gemm_rate(torch.float32), gemm_rate(torch.bfloat16)
    for name, limit in (("all sites", single), ("all sites bf16", half)):
        rate = GFLOP * batch / statistics.median(spent[name])
        print(f"{name:15s} {rate:6.0f} GFLOP/s, {rate / limit:.2f} of this process's GEMM rate ({limit:.0f})")
    if half < 1.3 * single:
        print("this CPU has no fast bfloat16 unit: the bf16 goal does not apply here")


if __name__ == "__main__":
    main()
