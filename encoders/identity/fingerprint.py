"""The identity of a loaded encoder: a hash over everything that determines its features but the image."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from encoders._base import Card, Site

FEATURES = 1  # raised whenever the code between the image and the feature changes what it gives


def versions(libraries: Sequence[str]) -> dict[str, str]:
    """The installed version of each distribution, without importing it."""
    return {name: _version(name) for name in sorted(set(libraries))}


_version = cache(metadata.version)  # a distribution's files are parsed anew each time


def digest(*parts: Any) -> str:
    """A sha256 over the canonical JSON of `parts`."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def described(sites: Mapping[str, Site]) -> dict[str, Any]:
    """The sites as they enter an identity: what a site has not (a prompt's last token) is not among its fields."""
    every = {name: asdict(site) for name, site in sites.items()}
    return {name: {k: v for k, v in fields.items() if k != "last" or v} for name, fields in every.items()}


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_module(module: Any, card: Card, architecture: Any, libraries: Sequence[str]) -> str:
    """The fingerprint of a torch module: tensors, structure, preprocessing, sites and library versions.

    The structure counts because heads, activations and epsilons are not among the tensors.
    """
    return digest(
        FEATURES,
        tensors(module),
        repr(module),
        architecture,
        asdict(card.input) if card.input else None,
        described(card.sites),
        versions(libraries),
        "float32",
    )


def tensors(module: Any) -> str:
    """A sha256 over name, shape, dtype and bytes of every parameter and buffer, also unsaved ones."""
    import torch

    total = hashlib.sha256()
    named: Mapping[str, torch.Tensor] = dict(module.named_parameters()) | dict(module.named_buffers())
    for name in sorted(named):
        value = named[name].detach().cpu().contiguous()
        total.update(f"{name}|{tuple(value.shape)}|{value.dtype}|".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data)  # a view: bfloat16 has no NumPy twin
    return total.hexdigest()
