"""An encoder from a plain function of images: no torch, no weights, features by NumPy or anything else."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import Card, Encoder, EncoderError, Reduce
from encoders.identity.fingerprint import FEATURES, described, digest, file_digest, versions

LIBRARIES = ("numpy", "pillow")


def from_function(
    card: Card,
    function: Callable[[Sequence[np.ndarray]], Mapping[str, np.ndarray]],
    files: Sequence[str | Path] = (),
) -> Encoder:
    """The encoder; see `encoders.from_function`."""
    if not card.sites:
        raise EncoderError(
            f"{card.name}: a function's card must declare its sites, e.g. sites={{'pooled': Site(width=64)}}"
        )
    source = inspect.getsourcefile(inspect.unwrap(function))
    if source is None:
        raise EncoderError(f"{card.name}: the source file of its function cannot be found")
    rests_on = tuple(dict.fromkeys((Path(source), *(Path(file) for file in files))))

    def forward(
        batch: Any,
        sites: Sequence[str],
        grad: bool = False,  # noqa: ARG001  a function has no gradient; attribution asks `module` first
        reduce: Reduce | None = None,
    ) -> dict[str, Any]:
        given = function(batch)
        found: dict[str, Any] = {}
        for site in sites:
            tokens = _tokens(card, site, given, len(batch))
            found[site] = reduce(site, tokens) if reduce else tokens  # pyright: ignore[reportArgumentType]
        return found

    return Encoder(
        card=card,
        preprocess=lambda image: image,
        forward=forward,
        fingerprint=digest(
            FEATURES,
            described(card.sites),
            [file_digest(file) for file in rests_on],
            versions(LIBRARIES),
        ),
        files=rests_on,
        libraries=LIBRARIES,
    )


def _tokens(card: Card, name: str, given: Any, n: int) -> np.ndarray:
    """The function's answer at a site as tokens [n, t, d]; EncoderError where it is missing or misshapen."""
    if not isinstance(given, Mapping):
        raise EncoderError(f"{card.name}: its function must return {{site: array}}, not {type(given).__name__}")
    if name not in given:
        raise EncoderError(
            f"{card.name}: declares site {name!r}, which its function does not give ({', '.join(given)})"
        )
    site = card.sites[name]
    array = np.asarray(given[name], np.float32)
    count = site.prefix + (math.prod(site.grid) if site.grid else 1)
    if array.shape not in ((n, count, site.width), *(((n, site.width),) if count == 1 else ())):
        wanted = f"[{n}, {site.width}]" if count == 1 else f"[{n}, {count}, {site.width}]"
        raise EncoderError(f"{card.name}: gives {list(array.shape)} at {name!r} for {n} images; its card says {wanted}")
    return array.reshape(n, count, site.width)
