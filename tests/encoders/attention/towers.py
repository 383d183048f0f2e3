"""Tiny random towers of every library in whose blocks attention is watched, each built once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

import encoders
from tests import tiny_towers as make
from tests.stand_in_hub import BERT, open_clip_folder, stand_in
from tests.tiny_towers import SMALL

BUILT: dict[str, Callable[[Path], Any]] = {
    "clip-b16": make.clip,  # transformers, QuickGELU
    "siglip-b16": make.siglip,  # no CLS, a pooling head
    "dinov2-b14": make.dinov2,  # layer scale
    "dinov2-b14-reg": make.dinov2_registers,
    "dinov2-g14": make.dinov2_giant,  # a gated feed-forward layer
    "dinov3-b16": make.dinov3,  # rotary positions
    "uni": lambda at: make.timm_tower(at, "vit_large_patch16_224", LARGE, {**SMALL, "img_size": 64}, 64, 64),
    "biomedclip": lambda at: open_clip_folder(at, BERT),  # open_clip around timm
}
LARGE = {"init_values": 1e-5, "dynamic_img_size": True}
ROOT: list[Path] = []


@cache
def tower(name: str) -> encoders.Encoder:
    """The tower under a published name; phantom-clip (open_clip) as it is shipped, `random:` as it is drawn."""
    if name not in BUILT:
        return encoders.load(name)
    return built(name)


def built(name: str) -> encoders.Encoder:
    """A tower of its own, that a test may change."""
    folder = Path(mkdtemp())
    BUILT[name](folder / name)
    return stand_in(name, weights=folder / name)


def images(encoder: encoders.Encoder, n: int, seed: int = 0) -> list[Any]:
    """Prepared images of noise."""
    rng = np.random.default_rng(seed)
    return [encoder.preprocess(rng.integers(0, 256, (90, 90, 3), dtype=np.uint8)) for _ in range(n)]
