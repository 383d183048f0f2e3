"""The `Encoder`: a card that describes it, and functions that turn images into tokens at sites."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.extraction.readouts import CLS, GRID3, HALVES, LAST, MEAN, QUERIES, VECTOR
from hub.errors import HubError

if TYPE_CHECKING:
    import torch


class EncoderError(HubError):
    """An encoder or its weights cannot be had; the message is one line for the user (exit 4)."""


class UnseenMarkError(EncoderError):
    """A mark lies where the encoder does not look, outside its crop; the message is one line."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A rectangle of the image as a grid of tokens: one tile, or the thumbnail, of a model that cuts images up.

    `box` is (top, left, bottom, right) in fractions of the image; it reaches past 0 or 1 where the view is padded.
    """

    grid: tuple[int, int]
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A place where features are read, and how its tokens lie.

    `grid` is (h, w), or (d, h, w) of a volume, of the patch tokens in raster order; None where the site is
    one vector, or `queries` learnt tokens that stand for no place. `prefix` tokens stand before the patches;
    the first of them is CLS when `cls` is true. With `views` the tokens are those of each view in turn, each
    with its own `prefix`, and `grid` is that of the first. `last` says that behind them, or alone, stands the last
    token of a prompt, as a language model has it.
    """

    width: int
    grid: tuple[int, ...] | None = None
    prefix: int = 0
    cls: bool = False
    queries: int = 0
    views: tuple[View, ...] = ()
    last: bool = False

    @property
    def readouts(self) -> tuple[str, ...]:
        """The readouts that are defined here for every image, in the order of every table.

        Where images carry marks and the site is a flat grid, `at-mark` is another.
        """
        last = (LAST.name,) if self.last else ()
        if self.queries:
            return (MEAN.name, QUERIES.name, *last)
        if self.grid is None:
            return last or (VECTOR.name,)
        layout = (MEAN.name, HALVES.name, GRID3.name) if min(self.grid[-2:]) >= 3 else (MEAN.name,)
        return ((CLS.name,) if self.cls else ()) + layout + last


@dataclass(frozen=True, kw_only=True)
class Input:
    """How an image becomes pixels for the model; every field enters the feature key."""

    size: tuple[int, int]
    resize: str  # "shortest", "squash" or "none"
    crop: str | None  # "center" or None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    backend: str  # the library whose transform it is, e.g. "open_clip" or "timm"
    edge: int | None = None  # the shorter side after the resize, where it is longer than the crop


CLIP_NORM: dict[str, Any] = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
IMAGENET_NORM: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF_NORM: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


@dataclass(frozen=True, kw_only=True)
class Card:
    """Who an encoder is. `revision` is a 40-hex commit, or None where it is resolved at first load.

    `parameters` counts the image side: tower, heads and connector. `volumes` says that uint8 [d, h, w] is
    understood beside flat images. `bytes` is what a load fetches, out of the
    `bytes_whole` of the checkpoint's weights; None where it is not known before the hub is asked. `unverified`
    names what of this card was never checked against real weights.
    """

    name: str
    repo: str | None = None
    revision: str | None = None
    licence: str = "unknown"
    gated: bool = False
    parameters: int | None = None
    bytes: int | None = None
    bytes_whole: int | None = None
    input: Input | None = None
    sites: Mapping[str, Site] = field(default_factory=dict)
    text: bool = False
    volumes: bool = False
    other_weights: bool = False  # not those of the encoder that this card is of: said wherever it is shown
    read: str = ""  # which of several states or files was read, where there was a choice
    synthetic: bool = False  # weights trained on synthetic images only: said wherever it is shown
    any_size: bool = False  # takes images of other sizes than its input's, where `image_size` asks for one
    note: str = ""
    unverified: str = ""


Reduce = Callable[[str, "torch.Tensor"], Any]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A loaded encoder: a value that holds functions.

    `preprocess(image)` takes uint8 [h, w] or [h, w, 3] and returns a float32 array or tensor [c, H, W], or
    for a model with more than one input {name: tensor} without the batch axis; a model of volumes also takes
    uint8 [d, h, w], as its card says.
    `forward(batch, sites, grad=False, reduce=None)` returns {site: tokens [b, t, d]}, patches in raster
    order behind the site's prefix tokens; a vector site has t = 1. With `reduce`, each site's value is
    `reduce(site, tokens)`, applied inside the hook so that full tokens are never held for all sites.
    `text(sentences)` returns [n, d] float32 in the joint space, un-normalised.
    `fingerprint` is a sha256 over tensors (name, shape, dtype, bytes), preprocessing and compute dtype.
    `files` are the files that identity rests on (weights, configuration, source); of a user's own file only where
    it declares FILES.
    `module` is the torch module behind it, None for an encoder that computes without torch.
    `libraries` are the distributions that compute; their versions are part of the identity.
    `hooks` are, by site, where a site is read by a hook (`extraction.hooks.Hook`): module and layout of its output.
    `layout(prepared)` gives the sites as they are for one preprocessed image, where the number of tiles or
    tokens follows from its shape; None where every image has the card's sites.
    `at_size(side)` is the encoder for images of side x side pixels; it changes the module in place, so that this
    encoder is used up. None where there is no such way, and of what `encoders.load` gives.
    """

    card: Card
    preprocess: Callable[[np.ndarray], Any]
    forward: Callable[..., Mapping[str, Any]]
    fingerprint: str
    device: str = "cpu"
    dtype: str = "float32"
    text: Callable[[Sequence[str]], np.ndarray] | None = None
    files: tuple[Path, ...] = ()
    module: Any = None
    libraries: tuple[str, ...] = ()
    layout: Callable[[Any], Mapping[str, Site]] | None = None
    hooks: Mapping[str, Any] = field(default_factory=dict)
    at_size: "Callable[[int], Encoder] | None" = None
