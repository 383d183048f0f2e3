"""One forward pass gives every wanted site and readout; tokens are reduced as they appear."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from encoders._base import Encoder, EncoderError
from encoders._readouts import stacked, unstack


def encode(
    encoder: Encoder, images: Sequence[np.ndarray], wanted: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """Features {"site/readout": float32 [n, d]} of `images`; see `encoders.encode`."""
    for site, readouts in wanted.items():
        _known(encoder, site, readouts)
    if not images or not wanted:
        raise EncoderError(f"{encoder.card.name} was asked for {len(wanted)} sites of {len(images)} images")
    batch = _batch(encoder, images)
    pools = {site: stacked(encoder.card.sites[site], tuple(readouts)) for site, readouts in wanted.items()}
    reduce = _reduce_arrays(pools) if encoder.module is None else _reduce_tensors(pools, encoder.device)
    pooled = encoder.forward(batch, tuple(wanted), reduce=reduce)
    found: dict[str, np.ndarray] = {}
    for site, readouts in wanted.items():
        value = pooled[site]
        array = value if isinstance(value, np.ndarray) else value.cpu().numpy()
        _shaped(encoder, site, array, (len(images), len(pools[site]), encoder.card.sites[site].width))
        for readout, vectors in unstack(array, readouts).items():
            found[f"{site}/{readout}"] = vectors
    return found


def _known(encoder: Encoder, site: str, readouts: Sequence[str]) -> None:
    card = encoder.card
    if site not in card.sites:
        raise EncoderError(_missing(card.name, "site", site, list(card.sites)))
    for readout in readouts:
        if readout not in card.sites[site].readouts:
            known = list(card.sites[site].readouts)
            raise EncoderError(_missing(f"{card.name} at {site}", "readout", readout, known))


def _missing(who: str, what: str, given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given, known, 1, 0.3)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{who} has no {what} {given!r}; {hint}it has {', '.join(known)}"


def _batch(encoder: Encoder, images: Sequence[np.ndarray]) -> Any:
    for image in images:
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
            raise EncoderError(
                f"{encoder.card.name} takes uint8 images [h, w] or [h, w, 3], not {image.dtype} {image.shape}"
            )
    if encoder.module is None:
        return [encoder.preprocess(image) for image in images]
    import torch

    return torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in images])


def _reduce_arrays(pools: Mapping[str, np.ndarray]) -> Any:
    def reduce(site: str, tokens: np.ndarray) -> np.ndarray:
        pool = pools[site]
        _tokens_fit(site, tokens.shape, pool.shape[1])
        return np.matmul(pool, tokens.astype(np.float32, copy=False))

    return reduce


def _reduce_tensors(pools: Mapping[str, np.ndarray], device: str) -> Any:
    import torch

    ready = {site: torch.from_numpy(pool).to(device) for site, pool in pools.items()}
    kind = torch.device(device).type

    def reduce(site: str, tokens: torch.Tensor) -> torch.Tensor:
        pool = ready[site]
        _tokens_fit(site, tuple(tokens.shape), pool.shape[1])
        # a pooling matrix in bfloat16 would put 3e-3 into every mean
        with torch.autocast(kind, enabled=False):
            tokens = tokens.float()
            return tokens.clone() if pool.shape == (1, 1) else torch.matmul(pool, tokens)

    return reduce


def _tokens_fit(site: str, shape: tuple[int, ...], expected: int) -> None:
    if len(shape) != 3 or shape[1] != expected:
        raise EncoderError(f"site {site!r} gave tokens of shape {shape}; its card says [images, {expected}, width]")


def _shaped(encoder: Encoder, site: str, array: np.ndarray, expected: tuple[int, int, int]) -> None:
    if array.shape != expected:
        raise EncoderError(
            f"{encoder.card.name} gave {array.shape} at {site!r} after pooling; its card says {expected}"
        )
