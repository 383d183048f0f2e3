"""Features of images: one forward pass gives every wanted site and readout, tokens reduced as they appear."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from encoders._base import Encoder, EncoderError, Site
from encoders.extraction.at_mark import WHOLE, Point, frame, matrix
from encoders.extraction.pooling import stacked, unstack
from encoders.extraction.readouts import AT_MARK
from encoders.extraction.volumes import flat_only, is_volume
from plugins import hint


def encode(
    encoder: Encoder,
    images: Sequence[np.ndarray],
    wanted: Mapping[str, Sequence[str]],
    marks: Sequence[Sequence[Point]] = (),
) -> dict[str, np.ndarray]:
    """Features {"site/readout": float32 [n, d]} of `images`; see `encoders.encode`."""
    for site, readouts in wanted.items():
        require_known(encoder, site, readouts)
    if not images or not wanted:
        raise EncoderError(f"{encoder.card.name} was asked for {len(wanted)} sites of {len(images)} images")
    marked = any(AT_MARK.name in readouts for readouts in wanted.values())
    count = _count(encoder, images, marks) if marked else 0
    found: dict[str, np.ndarray] = {}
    for rows, batch, sites in _groups(encoder, images):
        pools = {site: _pool(encoder, sites[site], readouts, images, marks, rows) for site, readouts in wanted.items()}
        pooled = _pass(encoder, batch, pools)
        for site, readouts in wanted.items():
            array, due = pooled[site], (len(rows), pools[site].shape[-2], encoder.card.sites[site].width)
            if array.shape != due:
                raise EncoderError(
                    f"{encoder.card.name} gave {array.shape} at {site!r} after pooling; its card says {due}"
                )
            # the readout that differs from image to image comes last, as in the matrix
            ordered = sorted(readouts, key=lambda readout: readout == AT_MARK.name)
            for readout, vectors in unstack(array, sites[site], ordered, count).items():
                all_of_them = found.setdefault(
                    f"{site}/{readout}", np.empty((len(images), vectors.shape[1]), np.float32)
                )
                all_of_them[rows] = vectors
    return found


def _count(encoder: Encoder, images: Sequence[np.ndarray], marks: Sequence[Sequence[Point]]) -> int:
    counts = {len(points) for points in marks}
    if len(marks) != len(images) or len(counts) != 1 or counts == {0}:
        raise EncoderError(
            f"{encoder.card.name}: 'at-mark' needs the same number of marks in every image; given are "
            f"{sorted(counts)} marks for {len(marks)} of {len(images)} images"
        )
    return counts.pop()


def _pool(
    encoder: Encoder,
    site: Site,
    readouts: Sequence[str],
    images: Sequence[np.ndarray],
    marks: Sequence[Sequence[Point]],
    rows: Sequence[int],
) -> np.ndarray:
    """The pooling matrix [parts, tokens] of a site, or one for each image [n, parts, tokens] where marks are read."""
    plain = tuple(r for r in readouts if r != AT_MARK.name)
    fixed = stacked(site, plain) if plain else None
    if len(plain) == len(readouts):
        assert fixed is not None
        return fixed
    at_marks = []
    for i in rows:
        box = WHOLE if site.views else frame(encoder.card.input, *images[i].shape[:2])
        at_marks.append(matrix(site, box, images[i].shape, marks[i]))
    each = np.stack(at_marks)
    if fixed is None:
        return each
    return np.concatenate([np.broadcast_to(fixed, (len(rows), *fixed.shape)), each], axis=1)


def _pass(encoder: Encoder, batch: Any, pools: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Pooled tokens of images that share a layout."""
    reduce = _reduce_arrays(pools) if encoder.module is None else _reduce_tensors(pools, encoder.device)
    pooled = encoder.forward(batch, tuple(pools), reduce=reduce)
    return {site: value if isinstance(value, np.ndarray) else value.cpu().numpy() for site, value in pooled.items()}


def require_known(encoder: Encoder, site: str, readouts: Sequence[str]) -> None:
    """Raise EncoderError, with the nearest name, for a site or readout that the encoder does not have."""
    card = encoder.card
    if site not in card.sites:
        raise EncoderError(_missing(card.name, "site", site, list(card.sites)))
    flat = len(card.sites[site].grid or ()) == 2
    for readout in readouts:
        if readout not in card.sites[site].readouts and not (readout == AT_MARK.name and flat):
            known = [*card.sites[site].readouts, *((AT_MARK.name,) if flat else ())]
            raise EncoderError(_missing(f"{card.name} at {site}", "readout", readout, known))


def _missing(who: str, what: str, given: str, known: Sequence[str]) -> str:
    return f"{who} has no {what} {given!r}; {hint(given, known)}it has {', '.join(known)}"


def _groups(encoder: Encoder, images: Sequence[np.ndarray]) -> Iterator[tuple[list[int], Any, Mapping[str, Site]]]:
    """Images of one layout together: their positions, their batch, and the sites as they are for them."""
    for image in images:
        _takes(encoder, image)
    if encoder.module is None:
        yield list(range(len(images))), [encoder.preprocess(image) for image in images], encoder.card.sites
        return
    groups: dict[Any, list[tuple[int, Any]]] = {}
    for i, image in enumerate(images):
        prepared = encoder.preprocess(image)
        shapes = {k: tuple(np.shape(v)) for k, v in prepared.items()} if isinstance(prepared, Mapping) else {}
        layout = encoder.layout(prepared) if encoder.layout else {}
        groups.setdefault((tuple(sorted(shapes.items())), tuple(layout.items())), []).append((i, prepared))
    for members in groups.values():
        sites = encoder.layout(members[0][1]) if encoder.layout else encoder.card.sites
        yield [i for i, _ in members], collate([prepared for _, prepared in members]), sites


def collate(prepared: Sequence[Any]) -> Any:
    """Preprocessed images of one shape as a batch: a tensor, or {name: tensor}."""
    import torch

    if isinstance(prepared[0], Mapping):
        return {key: torch.stack([torch.as_tensor(one[key]) for one in prepared]) for key in prepared[0]}
    return torch.stack([torch.as_tensor(one) for one in prepared])


def _takes(encoder: Encoder, image: np.ndarray) -> None:
    if image.size == 0:
        raise EncoderError(f"{encoder.card.name} was given an empty image {image.shape}: it has no pixels")
    flat = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    volumes = encoder.card.volumes
    if image.dtype == np.uint8 and (flat or (is_volume(image) and volumes)):
        return
    if image.dtype == np.uint8 and is_volume(image):
        raise flat_only(encoder.card.name, image.shape)
    shapes = "[h, w], [h, w, 3] or [d, h, w]" if volumes else "[h, w] or [h, w, 3]"
    raise EncoderError(f"{encoder.card.name} takes uint8 images {shapes}, not {image.dtype} {image.shape}")


def _reduce_arrays(pools: Mapping[str, np.ndarray]) -> Any:
    def reduce(site: str, tokens: np.ndarray) -> np.ndarray:
        pool = pools[site]
        _tokens_fit(site, tokens.shape, pool.shape[-1])
        return np.matmul(pool, tokens.astype(np.float32, copy=False))

    return reduce


def _reduce_tensors(pools: Mapping[str, np.ndarray], device: str) -> Any:
    import torch

    ready = {site: torch.from_numpy(pool).to(device) for site, pool in pools.items()}
    device_type = torch.device(device).type

    def reduce(site: str, tokens: torch.Tensor) -> torch.Tensor:
        pool = ready[site]
        _tokens_fit(site, tuple(tokens.shape), pool.shape[-1])
        # a pooling matrix in bfloat16 would put 3e-3 into every mean
        with torch.autocast(device_type, enabled=False):
            tokens = tokens.float()
            return tokens.clone() if pool.shape == (1, 1) else torch.matmul(pool, tokens)

    return reduce


def _tokens_fit(site: str, shape: tuple[int, ...], expected: int) -> None:
    if len(shape) != 3 or shape[1] != expected:
        raise EncoderError(f"site {site!r} gave tokens of shape {shape}; its card says [images, {expected}, width]")
