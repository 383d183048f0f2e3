"""What a method of attribution is: from a subject, one number of each image, to maps of what the number rests on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

CHUNK = 8  # images per pass: one pass of 64 is 42 % slower on a CPU


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A layer of tokens inside the network.

    The output of `module` becomes tokens [n, t, d] by `tokens`: `prefix` tokens of no place, then those of a `grid`
    (h, w) in raster order. A gradient of the output is laid out by the same function. `block` says that it is a block
    of a transformer, whose tokens of places may no longer be read behind the last one.
    """

    name: str
    module: Any
    tokens: Callable[[Any], "torch.Tensor"]
    prefix: int
    grid: tuple[int, int]
    block: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention:
    """The attention of the blocks up to the site that is read.

    Inside `watch()` every pass of the network leaves the attention of each block in the list, [n, heads, t, t], first
    block first; features are what they were to 4e-6, and afterwards everything is as before. Where gradients are
    enabled as it is entered the attention is in the graph, even where the images are not. `watch(keep)` leaves
    `keep(attention)` in its stead. `reads` [t] are the weights by which the readout reads the tokens behind the last
    block; they sum to one. With `head` a pooling head reads them: its attention [n, heads, q, t] is the last in the
    list, and `reads` [q] are the weights of its queries. Tokens are `prefix` tokens of no place, then a `grid` (h, w)
    in raster order. `numbers` is how many weights of attention one image has.
    """

    watch: Callable[..., AbstractContextManager[list["torch.Tensor"]]]
    reads: np.ndarray
    prefix: int
    grid: tuple[int, int]
    head: bool = False
    numbers: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What is explained: one number of each prepared image, through a frozen network.

    `score(batch, rows)` gives it for a batch [m, c, H, W], float32 [m] in the graph; `rows` int64 [m] says of which of
    the n images that are explained each is a variant, for each may have a readout of its own (its out-of-fold probe).
    `blurred` [n, c, H, W] are the images without detail, the baseline of methods that need one. `layers` are the layers
    of tokens up to the site that is read, first to last; `attention` is that of its blocks. `absent` says why there is
    no attention, in one line.
    """

    name: str
    images: "torch.Tensor"
    blurred: "torch.Tensor"
    score: Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
    layers: tuple[Layer, ...] = ()
    attention: Attention | None = None
    absent: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """Maps [n, h, w] float32 of a method, on the pixels of the prepared images or on a grid of tokens.

    Positive values speak for a larger score where the method is `signed`; otherwise they only say where. `completeness`
    [n] is |sum of the map - (score - score of the baseline)| over the mean of |score - score of the baseline|, None for
    a method that promises no sum. `facts` is what the method chose (steps, baseline), for the record.
    """

    values: np.ndarray
    completeness: np.ndarray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method under the name by which it is asked for.

    `signed` says that positive and negative values mean for and against. `lacks(subject)` is why it cannot explain a
    subject, in words that follow "NAME: ", empty where it can. `version` changes whenever a map would.
    """

    name: str
    title: str
    source: str
    signed: bool
    explain: Callable[[Subject], Maps]
    lacks: Callable[[Subject], str] = lambda _subject: ""
    version: int = 1


def completeness(values: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """The error of completeness [n] (METHOD 6.2): |sum of a map - its difference of scores| over the mean of those.

    `values` [n, h, w]; `difference` [n], the score of each image less that of its baseline.
    """
    error = np.abs(values.sum(axis=(1, 2), dtype=np.float64) - difference)
    scale = float(np.abs(difference).mean())
    return error / scale if scale > 0 else np.where(error > 0, np.inf, 0.0)


WEIGHTS_HELD = 2**28  # numbers of attention that a pass may keep: 1 GiB


def chunks(subject: Subject) -> Iterator["torch.Tensor"]:
    """The rows of the images, in passes of at most CHUNK whose attention stays within WEIGHTS_HELD numbers."""
    import torch

    numbers = subject.attention.numbers if subject.attention else 0
    size = max(1, min(CHUNK, WEIGHTS_HELD // max(numbers, 1)))
    yield from torch.arange(len(subject.images)).split(size)


def lacks_attention(subject: Subject) -> str:
    """Why a method of attention cannot explain a subject, empty where it can."""
    return "" if subject.attention else subject.absent or "the encoder has no attention"


def on_grid(attention: Attention, tokens: "torch.Tensor") -> np.ndarray:
    """Values of tokens [n, t] as maps [n, h, w], prefix tokens dropped."""
    return tokens[:, attention.prefix :].detach().float().unflatten(1, attention.grid).cpu().numpy()
