"""Phi-3-vision and Phi-3.5-vision: CLIP-L/336 over a whole image and its tiles. Abdin et al. 2024, arXiv:2404.14219.

The connector joins two by two tokens of the last block but one, without CLS. The language model receives the tiles,
as one map, and then the whole image; the learnt separators at the end of each row and between the two are left out
here. Tiles are padded with white; a processor of 4 tiles or of 16 comes with the one repository or the other.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Encoder, Input, Site, View
from encoders._registry import Checkpoint
from encoders.extraction.tiles import site, tiles
from encoders.networks.files import phi3_vision
from hub.wanted import Wanted

WHOLE = View(grid=(24, 24))


def _sites(tiling: int) -> dict[str, Site]:
    """The sites of a square image, cut into tiling x tiling tiles."""
    block = site(1024, (WHOLE, *tiles(tiling, tiling, (24, 24))), prefix=1, cls=True)
    connector = site(3072, (View(grid=(12 * tiling, 12 * tiling)), View(grid=(12, 12))))
    ends = {"final": block, "pooled": Site(width=1024), "connector": connector}
    return {f"block.{i}": block for i in range(24)} | ends


NEW = Card(
    name="phi-3.5-vision",
    repo="microsoft/Phi-3.5-vision-instruct",
    licence="MIT",
    parameters=325_541_888,
    bytes=651_083_776,
    bytes_whole=8_293_242_880,
    input=Input(
        size=(336, 336),
        resize="tiles",
        crop=None,
        interpolation="bilinear",
        backend="pillow",
        **CLIP_NORM,
    ),
    sites=_sites(2),
    note="at most 4 tiles beside the whole image",
    unverified="shard placement, and sizes in bytes",
)
OLD = replace(
    NEW,
    name="phi-3-vision",
    repo="microsoft/Phi-3-vision-128k-instruct",
    sites=_sites(4),
    note="at most 16 tiles beside the whole image",
)


def _checkpoint(card: Card, crops: int) -> Checkpoint:
    def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        from encoders.networks.phi3_vision import load as read

        return read(card, crops, device, weights, offline)

    def untrained(card: Card, device: str) -> Encoder:
        from encoders.networks.phi3_vision import encoder

        return encoder(card, network(), crops, device)

    assert card.repo is not None
    read = (Wanted(repo=card.repo, needed=("config.json",), keep=phi3_vision),)
    return Checkpoint(card=card, load=load, untrained=untrained, network=network, sources=read)


def network() -> Any:
    """The image side in full size."""
    from encoders.networks.phi3_vision import network as build

    return build()


CHECKPOINTS: tuple[Checkpoint, ...] = (_checkpoint(NEW, 4), _checkpoint(OLD, 16))
