"""MedSigLIP: SigLIP so400m at 448 pixels, trained further on medical images and text.

Its model card resizes with TensorFlow, bilinear without antialiasing, and cuts down to whole grey levels before the
processor; the processor alone resizes with Pillow. Both are here: `medsiglip` is the processor, `medsiglip-tf` the
card. It is not the tower inside MedGemma, which sees 896 pixels and has no pooling head. Sellergren et al. 2025,
arXiv:2507.05201.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders._base import HALF_NORM, Card, Encoder, Input
from encoders._registry import Checkpoint
from encoders.extraction.tower_sites import sites
from encoders.libraries.transformers.checkpoint import checkpoint

SIDE = 448
BACKEND = "transformers SiglipImageProcessorPil"
INPUT = Input(
    size=(SIDE, SIDE), resize="squash", crop=None, interpolation="bilinear", backend=BACKEND, **HALF_NORM
)  # fmt: skip
TENSORFLOW = replace(INPUT, interpolation="bilinear without antialiasing", backend=f"tensorflow, then {BACKEND}")


def as_tensorflow(encoder: Encoder, side: int = SIDE) -> Encoder:
    """The same encoder behind the resize of its model card, to its `side` in pixels."""
    from encoders.identity.fingerprint import digest

    inner, other = encoder.preprocess, encoder.at_size
    return replace(
        encoder,
        card=replace(encoder.card, input=replace(TENSORFLOW, size=(side, side))),
        preprocess=lambda image: inner(resized(image, side)),
        fingerprint=digest(encoder.fingerprint, TENSORFLOW.interpolation),
        at_size=None if other is None else lambda side: as_tensorflow(other(side), side),
    )


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 [side, side] or [side, side, 3] as `tf.image.resize(antialias=False)` and a cut to uint8 give it.

    In TensorFlow's order of operations: a weighted sum would leave 99.99999 of a flat 100, and the cut 99.
    """
    pixels = image.astype(np.float32)
    for axis in (1, 0):
        at = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(pixels.shape[axis] / side)
        at -= np.float32(0.5)
        low = np.floor(at).astype(int)
        last = pixels.shape[axis] - 1
        first = np.take(pixels, np.clip(low, 0, last), axis)
        second = np.take(pixels, np.clip(low + 1, 0, last), axis)
        share = (at - low).astype(np.float32).reshape((-1,) + (1,) * (pixels.ndim - axis - 1))
        pixels = first + (second - first) * share
    return pixels.astype(np.uint8)


def load_tensorflow(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """MedSigLIP from its repository or a folder, with the resize of its model card."""
    return as_tensorflow(PROCESSOR.load(card, device, weights, offline))


def untrained_tensorflow(card: Card, device: str) -> Encoder:
    """The same image tower under torch's current random state, with the resize of the model card."""
    assert PROCESSOR.untrained is not None
    return as_tensorflow(PROCESSOR.untrained(card, device))


PROCESSOR = checkpoint(
    "SiglipVisionModel",
    {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
     "patch_size": 14, "image_size": SIDE},
    whole=878_300_338,
    name="medsiglip",
    repo="google/medsiglip-448",
    licence="HAI-DEF",
    gated=True,
    parameters=428_565_440,
    input=INPUT,
    sites=sites(27, 1152, 32, prefix=0, vectors={"pooled": 1152, "joint": 1152}),
    text=True,
    note="revision resolved at first load; the pooled vector is the joint embedding",
    unverified="interpolation, size of the file",
)  # fmt: skip
CHECKPOINTS = (
    PROCESSOR,
    Checkpoint(
        card=replace(PROCESSOR.card, name="medsiglip-tf", input=TENSORFLOW),
        load=load_tensorflow,
        untrained=untrained_tensorflow,
        network=PROCESSOR.network,
        sources=PROCESSOR.sources,
    ),
)
