"""From a frozen torch module and its hooks to an Encoder with card, fingerprint and files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoders._base import Card, Encoder, Input, Site
from encoders.extraction.hooks import Direct, Hook, reader
from encoders.identity.fingerprint import of_module

BASE = ("numpy", "pillow", "torch")


def assemble(
    card: Card,
    module: torch.nn.Module,
    *,
    run: Direct,
    hooks: Mapping[str, Hook],
    sites: Mapping[str, Site],
    preprocess: Callable[[np.ndarray], Any],
    input: Input | None,  # noqa: A002  the card's word for it
    device: str,
    architecture: Any,
    libraries: Sequence[str],
    files: Sequence[Path] = (),
    text: Callable[[Sequence[str]], np.ndarray] | None = None,
    image_side: Sequence[torch.nn.Module] = (),
    layout: Callable[[Any], Mapping[str, Site]] | None = None,
    at_size: Callable[[int], Encoder] | None = None,
) -> Encoder:
    """The encoder; its card says what was loaded, which may differ from what was expected.

    `image_side` are the modules whose parameters the card counts, all of `module` by default.
    """
    counted = {id(p): p.numel() for part in image_side or (module,) for p in part.parameters()}
    count = sum(counted.values())
    loaded = replace(
        card,
        sites=dict(sites),
        input=input,
        parameters=count,
        text=text is not None,
        any_size=at_size is not None,
    )
    libraries = tuple(sorted({*BASE, *libraries}))
    return Encoder(
        card=loaded,
        preprocess=preprocess,
        forward=reader(card.name, run, hooks, device),
        fingerprint=of_module(module, loaded, architecture, libraries),
        device=device,
        text=text,
        files=tuple(files),
        module=module,
        libraries=libraries,
        layout=layout,
        hooks=dict(hooks),
        at_size=at_size,
    )
