"""The attention of an encoder's blocks up to a site, watched in any number of passes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from encoders._base import Encoder
from encoders.attention.intercept import Handlers, Place, intercepted
from encoders.attention.reading import Reading, reading


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """What `probes.attribution.Attention` describes, of one encoder, site and readout."""

    watch: Callable[..., AbstractContextManager[list[torch.Tensor]]]
    reads: np.ndarray
    prefix: int
    grid: tuple[int, int]
    head: bool
    numbers: int


def attention(encoder: Encoder, site: str, readout: str) -> Watched:
    """The attention of the blocks up to the last that a readout reads, to be watched.

    Inside `watch(keep=None)` every pass of the network leaves the attention of each block in the list, [n, heads, t,
    t], first block first, and behind them with `head` that of the pooling head, [n, heads, q, t]. Where gradients are
    enabled as the block is entered they are in the graph, even where the images are not. `keep(attention)` is what is
    left in its stead. Nothing of the network is changed, features are what they were to 4e-6.

    Raises EncoderError, one line, where images are cut into tiles or windows, where a block has no one attention over
    all tokens (a convolutional network, windows, two attentions that are subtracted), and where several are read.
    """
    read = reading(encoder, site, readout)
    last = read.blocks[-1]
    return Watched(
        watch=lambda keep=None: _watch(read, keep),
        reads=read.weights,
        prefix=last.prefix,
        grid=last.grid,
        head=read.head is not None,
        numbers=read.numbers,
    )


@contextmanager
def _watch(read: Reading, keep: Callable[[torch.Tensor], torch.Tensor] | None) -> Iterator[list[torch.Tensor]]:
    seen: list[torch.Tensor] = []
    graph = torch.is_grad_enabled()

    def see(place: Place, weights: torch.Tensor) -> torch.Tensor:
        wanted = place.outside == read.head if place.block is None else place.block < len(read.blocks)
        if wanted:
            if graph and torch.is_grad_enabled() and not weights.requires_grad:
                weights.requires_grad_()
            seen.append(keep(weights) if keep else weights)
        return weights

    with intercepted([layer.module for layer in read.every], Handlers(weights=see), begin=seen.clear):
        yield seen
