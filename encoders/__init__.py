"""Encoders: `names()` lists the registered ones, `load(spec, …)` builds one, `encode(…)` gives its features.

Nothing here imports torch before an encoder is loaded that needs it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import Card, Encoder, EncoderError, Input, Site, UnseenMarkError, View
from encoders._registry import card, draw_of, located, names
from encoders.answering.model import Prompt, Reply, WholeModel
from encoders.extraction.readouts import AT_MARK, READOUTS, Readout
from plugins import UnknownName

__all__ = [
    "READOUTS",
    "Card",
    "Encoder",
    "EncoderError",
    "Input",
    "Prompt",
    "Readout",
    "Reply",
    "Site",
    "UnknownName",
    "UnseenMarkError",
    "View",
    "WholeModel",
    "architecture",
    "card",
    "draw_of",
    "encode",
    "from_function",
    "from_module",
    "load",
    "load_whole",
    "located",
    "names",
    "points",
    "sources",
    "whole_names",
]


def load(
    spec: str,
    device: str = "cpu",
    dtype: str = "float32",
    weights: str | Path | None = None,
    offline: bool = False,
    other_weights: bool = False,
    image_size: int | None = None,
    compile: bool = False,  # noqa: A002  the flag's name
) -> Encoder:
    """Build the encoder that `spec` names: it holds the weights that were asked for, or an error is raised.

    `spec` is a registered name, `random:NAME` (the same architecture, untrained; `random:NAME#7` is another
    draw), `pixels`, `lowlevel`, `timm:MODEL`, `open_clip:MODEL/TAG`, `hf:REPO@REV`, or a path to a Python
    file that defines `CARD` and `load(device)`. `weights` is a file or folder in the library's own on-disk
    format and replaces the hub; `offline` never asks one. What was loaded is held against the card of a registered
    name, and against the architecture that `timm:` and `open_clip:` name; with `other_weights` what differs is no
    error, and the encoder's card says other_weights. `dtype` is "float32", or "bfloat16" (or "float16"
    on a GPU) by autocast, whose first batch must agree with float32. `image_size` is the side in pixels of the images
    that the network sees, where that is to be another than its own: positions are interpolated as its library does,
    and the resize before a crop grows with it. Its own size changes nothing.

    With `compile` its modules are compiled by torch, under another fingerprint; the first batch at each site must agree
    with the plain network.

    Before it is returned, one image is encoded alone, among others, and alone again.

    Raises UnknownName for a name that nothing holds, EncoderError where the encoder, its weights or its size cannot be
    had as asked, and where the features of an image are not its own.
    """
    from encoders._loading import load as build

    return build(
        spec,
        device=device,
        dtype=dtype,
        weights=None if weights is None else Path(weights),
        offline=offline,
        other_weights=other_weights,
        image_size=image_size,
        compile=compile,
    )


def load_whole(
    spec: str,
    device: str = "cpu",
    dtype: str = "float32",
    weights: str | Path | None = None,
    offline: bool = False,
    other_weights: bool = False,
) -> WholeModel:
    """Load the multimodal model that `spec` names with its language model: a registered name, or `hf:REPO@REV`.

    `weights` is a folder in the format of its repository and replaces the hub, which `offline` never asks. All tensors
    are read and brought to `dtype`; "float16" on a GPU alone. Memory is looked at before a tensor is. What was loaded
    is held against the card as by `load`.

    Raises UnknownName for a name that nothing holds, EncoderError for a model that cannot be had whole, does not fit
    into memory, has no chat template, or whose processor and tower would see different pixels.
    """
    from encoders.answering.load import load as build

    return build(
        spec,
        device=device,
        dtype=dtype,
        weights=None if weights is None else Path(weights),
        offline=offline,
        other_weights=other_weights,
    )


def architecture(spec: str) -> Card:
    """Who `timm:MODEL` or `open_clip:MODEL[/TAG]` is by its architecture: sites, parameters, preprocessing.

    Nothing is fetched, and the network is built without memory. Raises UnknownName for one that the library does not
    have, EncoderError for another kind of spec and for a network whose sites cannot be told.
    """
    from encoders._loading import architecture as of

    return of(spec)


def sources(spec: str, *, whole: bool = False) -> tuple[Any, ...]:
    """The repositories and files (`hub.wanted.Wanted`) that `spec` is loaded from, with `whole` its language model too.

    Raises UnknownName for a name that nothing holds, EncoderError where there is nothing to fetch.
    """
    from encoders._fetch import sources as of

    return of(spec, whole=whole)


def whole_names() -> tuple[str, ...]:
    """The registered models that `load_whole` can load, sorted."""
    from encoders.answering.load import names as of_whole

    return of_whole()


def encode(
    encoder: Encoder,
    images: Sequence[np.ndarray],
    wanted: Mapping[str, Sequence[str]],
    marks: Sequence[Sequence[tuple[float, float]]] = (),
) -> dict[str, np.ndarray]:
    """Features of `images` (uint8, [h, w] or [h, w, 3]) at every wanted site and readout, in one forward pass.

    Returns {"site/readout": float32 [n, d]}. Tokens are reduced as they appear, with sums in float32; images
    that the model cuts into different tiles are passed through in groups of one layout. An encoder of volumes
    also takes uint8 [d, h, w]. `marks` are the points (x, y) of each image in its pixels, equally many for all:
    the readout "at-mark" is the token under each, one behind the other.
    Raises EncoderError for a site or readout that the encoder does not have, and UnseenMarkError for
    a mark that it does not see.
    """
    from encoders.extraction.encode import encode as run

    return run(encoder, images, wanted, marks)


def points(card: Card, marks: int = 0) -> list[tuple[str, str, int]]:
    """Every (site, readout, width) that an encoder can be asked for, in the order of every table.

    `marks` is how many marks each image carries: a flat grid of tokens can then be read under them, where the
    card says how images are prepared, for only then is it known which token that is.
    """
    from encoders.extraction.pooling import parts

    found = []
    for name, site in card.sites.items():
        found += [(name, readout, site.width * parts(site, readout)) for readout in site.readouts]
        known = card.input is not None or bool(site.views)
        if marks and known and site.grid is not None and len(site.grid) == 2:
            found.append((name, AT_MARK.name, site.width * marks))
    return found


def from_module(
    card: Card,
    module: Any,
    preprocess: Input | Callable[[np.ndarray], Any],
    sites: Mapping[str, str],
    **options: Any,
) -> Encoder:
    """An encoder from any torch module; `sites` maps each site to the submodule whose output is read there.

    Options: `device`; `prefix` (tokens before the patches, e.g. 1 for a CLS token) and `cls` (whether the
    first of them is one); `files` that the weights came from; `example` (uint8 image for the dry run).
    Where the card says `volumes`, `preprocess` is a function of uint8 [d, h, w], maps are [b, c, d, h, w], and
    a site of tokens takes its grid (d, h, w) from the card.
    Raises EncoderError where a submodule does not exist or gives no tokens, map or vector.
    """
    from encoders.custom.module import from_module as build

    return build(card, module, preprocess, sites, **options)


def from_function(
    card: Card,
    function: Callable[[Sequence[np.ndarray]], Mapping[str, np.ndarray]],
    files: Sequence[str | Path] = (),
) -> Encoder:
    """An encoder from a function of images: it returns {site: [n, d] or [n, t, d]} as `card.sites` declares.

    Where the card says `volumes`, images may be uint8 [d, h, w] and a grid (d, h, w). Its identity is the source
    file of the function and `files`.
    """
    from encoders.custom.function import from_function as build

    return build(card, function, files)
