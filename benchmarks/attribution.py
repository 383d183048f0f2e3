"""Attribution: each method beside the plain pass, or beside what does the same without our way of doing it.

$ python benchmarks/attribution.py [ROW ...] [--rounds N] [--full]

One process, one thread, turn about; CPU seconds, and the median of the ratios of the rounds. Networks are random, which
costs what trained ones cost. A row fails where its numbers are not those of the peer. A row is a function in ROWS.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from functools import cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

import encoders  # noqa: E402
from probes import attribution  # noqa: E402

IMAGES = 4
MODEL = "random:timm:vit_base_patch16_224"
SAMPLED = 16  # of the dimensions of an embedding, where the peer takes one backward pass for each
POINTS = 10  # of the path, as the peer takes


@dataclass(frozen=True, kw_only=True)
class Row:
    """Ours beside a peer.

    `goal` is the least ratio of the peer's seconds to ours, `scale` what a sampled peer is multiplied by.
    `check(ours, theirs)` says how far the results are from one another, or fails.
    """

    name: str
    peer: str
    goal: float
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    check: Callable[[Any, Any], str] = lambda _ours, _theirs: ""
    scale: float = 1.0


@cache
def subject() -> attribution.Subject:
    """Images of noise on a ViT-B/16, explained by a linear score of CLS behind the last block."""
    import torch

    from slitlamp.attribution.inside import attention_of, layers

    encoder = encoders.load(MODEL)
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, 224, 224, generator=rng)
    weights = torch.randn(768, generator=rng)
    return attribution.Subject(
        name=MODEL,
        images=images,
        blurred=torch.nn.functional.avg_pool2d(images, 31, 1, 15),
        score=lambda batch, _rows: (
            encoder.forward(batch, ["pooled"], grad=torch.is_grad_enabled())["pooled"][:, 0] @ weights
        ),
        layers=layers(encoder, "pooled"),
        attention=attention_of(encoder, "pooled", "vector"),
    )


def forward() -> Any:
    """A plain pass of the same images, as they are passed where nothing is explained."""
    import torch

    given = subject()
    with torch.no_grad():
        return given.score(given.images, torch.arange(IMAGES))


def of_a_pass(name: str) -> Callable[[bool], Iterator[Row]]:
    """A method that may cost at most 1.15 plain passes."""

    def rows(full: bool) -> Iterator[Row]:
        del full
        method = attribution.load(name)

        def check(maps: attribution.Maps, _scores: Any) -> str:
            assert maps.values.shape == (IMAGES, 14, 14)
            assert np.abs(maps.values).reshape(IMAGES, -1).max(1).min() > 0
            return "maps of 14 x 14, none of them zero"

        yield Row(
            name=name, peer="plain pass", goal=1 / 1.15, ours=lambda: method.explain(subject()), theirs=forward,
            check=check,
        )  # fmt: skip

    return rows


def pair_interactions(full: bool) -> Iterator[Row]:
    """The response of an embedding to each token of the last block, beside one backward pass per dimension.

    The peer differentiates what it runs of the network, the last block and what is behind it, at all points of the path
    at once (Moeller et al. 2024, and their `exclip`). It and ours take the same points.
    """
    import torch

    from encoders.attention.response import behind, legendre, response

    encoder = encoders.load("random:open_clip:ViT-B-16")
    network = behind(encoder, "joint", "vector")
    assert network is not None
    rng = torch.Generator().manual_seed(0)
    image = torch.randn(3, 224, 224, generator=rng)
    reference = torch.nn.functional.avg_pool2d(image, 31, 1, 15)
    (z, _), (r, _) = network.ends(image), network.ends(reference)
    visual = encoder.module.visual
    block, width = visual.transformer.resblocks[-1], encoder.card.sites["joint"].width
    dimensions = range(width) if full else range(0, width, width // SAMPLED)

    def backward() -> np.ndarray:
        path = torch.stack([r + at * (z - r) for at, _ in legendre(POINTS)]).requires_grad_()
        read = visual.ln_post(block(path))[:, 0] @ visual.proj
        weights = torch.tensor([weight for _, weight in legendre(POINTS)])
        found = []
        for d in dimensions:
            (slope,) = torch.autograd.grad(read[:, d].sum(), path, retain_graph=True)
            found.append(torch.einsum("k,ktf,tf->t", weights, slope, z - r))
        return torch.stack(found, 1).numpy()

    def check(ours: np.ndarray, theirs: np.ndarray) -> str:
        apart = float(np.abs(ours[:, list(dimensions)] - theirs).max() / np.abs(theirs).max())
        assert apart <= 1e-6, apart
        whole = response(encoder, "joint", "vector", image, reference, network=network)
        return f"apart by {apart:.0e}; {whole.nodes} nodes are complete within {whole.error:.1e}"

    yield Row(
        name="pair interactions", peer=f"a backward pass per dimension, {POINTS} points", goal=200.0,
        ours=lambda: network.integrated(z, r, POINTS), theirs=backward, check=check, scale=width / len(dimensions),
    )  # fmt: skip


@cache
def one_image() -> attribution.Subject:
    """One image of noise on a ViT-S/16, explained by a linear score of the pooled vector."""
    import torch

    encoder = encoders.load("random:timm:vit_small_patch16_224")
    rng = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, 224, 224, generator=rng)
    weights = torch.randn(384, generator=rng)
    return attribution.Subject(
        name="ViT-S/16", images=image, blurred=torch.nn.functional.avg_pool2d(image, 31, 1, 15),
        score=lambda batch, _rows: (
            encoder.forward(batch, ["pooled"], grad=torch.is_grad_enabled())["pooled"][:, 0] @ weights
        ),
    )  # fmt: skip


def integrated_gradients(full: bool) -> Iterator[Row]:
    """Integrated gradients beside captum's default of the same rule: all steps in one batch.

    First with as many nodes as completeness within 2 % asks for, then with 64 as the peer.
    """
    del full
    import torch
    from captum.attr import IntegratedGradients

    from probes.attribution import integrated_gradients as ours

    given, row = one_image(), torch.tensor([0])

    def captum() -> np.ndarray:
        found = IntegratedGradients(given.score).attribute(
            given.images, baselines=given.blurred, n_steps=64, additional_forward_args=(row,)
        )
        return found.sum(dim=1).detach().numpy()

    def fixed() -> attribution.Maps:
        first, ours.FIRST = ours.FIRST, 64
        try:
            return ours.explain(given)
        finally:
            ours.FIRST = first

    def check(maps: attribution.Maps, theirs: np.ndarray) -> str:
        assert maps.completeness is not None
        assert maps.completeness.max() < 0.02
        cosine = float((maps.values * theirs).sum() / np.linalg.norm(maps.values) / np.linalg.norm(theirs))
        return f"nodes {maps.facts['nodes']}, completeness error {maps.completeness.max():.0e}, cosine {cosine:.4f}"

    peer = "captum's default, 64 steps"
    yield Row(name="integrated gradients", peer=peer, goal=5.0, ours=lambda: ours.explain(given), theirs=captum,
              check=check)  # fmt: skip
    yield Row(name="IG, 64 nodes", peer=peer, goal=2.3, ours=fixed, theirs=captum, check=check)


def occlusion(full: bool) -> Iterator[Row]:
    """Occlusion of 14 x 14 windows beside captum's default of the same windows, one per pass."""
    del full
    import torch
    from captum.attr import Occlusion

    given, row = one_image(), torch.tensor([0])

    def captum() -> np.ndarray:
        found = Occlusion(given.score).attribute(
            given.images, sliding_window_shapes=(3, 16, 16), strides=(3, 16, 16), baselines=given.blurred,
            additional_forward_args=(row,),
        )  # fmt: skip
        return found[:, 0].numpy()

    def check(maps: attribution.Maps, theirs: np.ndarray) -> str:
        apart = float(np.abs(maps.values * 256 - theirs).max() / np.abs(theirs).max())
        assert apart < 1e-4, apart
        return f"apart by {apart:.0e}"

    yield Row(name="occlusion", peer="captum's default", goal=1.1, theirs=captum, check=check,
              ours=lambda: attribution.load("occlusion").explain(given))  # fmt: skip


ROWS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "grad-cam": of_a_pass("grad-cam"),
    "rollout": of_a_pass("rollout"),
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
    "interactions": pair_interactions,
}


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and its CPU seconds."""
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


def measured(row: Row, rounds: int) -> bool:
    """Print a row; whether it reaches its goal."""
    said = row.check(row.ours(), row.theirs())  # warms both up
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for k in range(rounds):
        for name in ("ours", "theirs") if k % 2 else ("theirs", "ours"):
            seconds[name].append(timed(getattr(row, name))[1] * (row.scale if name == "theirs" else 1.0))
    ratios = np.array(seconds["theirs"]) / np.array(seconds["ours"])
    ratio = float(np.median(ratios))
    ours, theirs = (float(np.median(seconds[name])) for name in ("ours", "theirs"))
    sampled = f" (sampled, times {row.scale:g})" if row.scale > 1 else ""
    print(f"{row.name:20} {ours:9.2f} CPU s   {row.peer}: {theirs:.2f} CPU s{sampled}   x{ratio:.2f} "
          f"({ratios.min():.2f} to {ratios.max():.2f}; goal {row.goal:.2f})   {said}", flush=True)  # fmt: skip
    return ratio >= row.goal


def main() -> None:
    """Time the rows that were asked for, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)} (all by default)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median is taken")
    parser.add_argument("--full", action="store_true", help="peers in full where they are sampled")
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    reached = [measured(row, asked.rounds) for name in asked.rows or ROWS for row in ROWS[name](asked.full)]
    if not all(reached):
        sys.exit(f"{reached.count(False)} of {len(reached)} rows are short of their goal")


if __name__ == "__main__":
    main()
