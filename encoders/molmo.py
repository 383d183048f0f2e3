"""Molmo, the release of 2024: a CLIP tower of 23 blocks over overlapping crops. Deitke et al. 2024, arXiv:2409.17146.

The tower has no last norm, so there is neither `final` nor `pooled`. The adapter reads its last block but one and its
last but eight, joins two by two patches by attention, and hands on the whole image and then the crops as one map, each
place once. The column tokens that the language model receives between the rows are no image tokens and left out.
"""

from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Encoder, Input, View
from encoders._registry import Checkpoint
from encoders.extraction.tiles import Box, site
from encoders.networks.files import molmo
from hub.wanted import Wanted

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
CUT = [(i, j, i + 0.6, j + 0.6) for i in (0.0, 0.4) for j in (0.0, 0.4)]  # two by two crops of 336 on 560 pixels
TOWER = site(1024, [View(grid=(24, 24), box=box) for box in (WHOLE, *CUT)], prefix=1, cls=True)


def _checkpoint(name: str, repo: str, inner: int, language: int, parameters: int, whole: int) -> Checkpoint:
    connector = site(language, (View(grid=(12, 12)), View(grid=(20, 20))))
    card = Card(
        name=name,
        repo=repo,
        licence="Apache-2.0",
        parameters=parameters,
        bytes=4 * parameters,
        bytes_whole=whole,
        input=Input(
            size=(336, 336),
            resize="tiles",
            crop=None,
            interpolation="bilinear",
            backend="torch",
            **CLIP_NORM,
        ),
        sites={f"block.{i}": TOWER for i in range(23)} | {"connector": connector},
        note="at most 12 overlapping crops beside the whole image; the whole checkpoint's bytes are to 1 %",
        unverified="configuration, shard placement, and that the checkpoint is in float32",
    )

    def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        from encoders.networks.molmo import load as read

        return read(card, device, weights, offline)

    def network() -> Any:
        from encoders.networks.molmo import network as build

        return build(inner, language)

    def untrained(card: Card, device: str) -> Encoder:
        from encoders.networks.molmo import encoder

        return encoder(card, network(), device)

    assert card.repo is not None
    read = (Wanted(repo=card.repo, needed=("config.json",), keep=molmo),)
    return Checkpoint(card=card, load=load, untrained=untrained, network=network, sources=read)


CHECKPOINTS = (
    _checkpoint("molmo-7b-d", "allenai/Molmo-7B-D-0924", 18944, 3584, 404_950_016, 32_080_000_000),
    _checkpoint("molmo-7b-o", "allenai/Molmo-7B-O-0924", 11008, 4096, 365_890_560, 30_660_000_000),
    _checkpoint("molmo-72b", "allenai/Molmo-72B-0924", 29568, 8192, 601_033_728, 293_200_000_000),
)
