"""An encoder as a function that gradients pass: from prepared pixels to the vector of a site and readout."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from encoders._base import Encoder, EncoderError
from encoders.extraction.at_mark import frame, matrix
from encoders.extraction.pooling import matrix as pooling_matrix
from encoders.extraction.readouts import AT_MARK
from encoders.extraction.volumes import is_volume


@dataclass(frozen=True, kw_only=True, eq=False)
class Differentiable:
    """Some images, prepared, and the function from their pixels to the features of one site and readout.

    `images` float32 [n, c, H, W] are what the network sees. Passes without a gradient are remembered by their pixels,
    so that several heads on the same features cost one pass.
    """

    encoder: Encoder
    site: str
    readout: str
    images: torch.Tensor
    others: Mapping[str, torch.Tensor]  # what the network takes beside the pixels, [n, …]
    pixels: str  # the name of the pixels among what the network takes, empty where they are all
    pool: torch.Tensor  # [n, parts, tokens]
    seen: dict[bytes, torch.Tensor] = field(default_factory=dict)
    watchers: list[bool] = field(default_factory=list)

    def features(self, batch: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Features float32 [m, d] of variants [m, c, H, W] of the images `rows` [m], in the graph where gradients are.

        Raises:
            EncoderError: the site gives no gradient.
        """
        if torch.is_grad_enabled():
            found = self._pass(batch, rows, grad=True)
            if batch.requires_grad and not found.requires_grad:
                raise EncoderError(
                    f"{self.encoder.card.name} gives no gradient at {self.site}: its pass leaves torch's graph on the "
                    "way; occlusion and `experiments.pairs explain` need none"
                )
            return found
        key = hashlib.blake2b(batch.detach().cpu().numpy().tobytes(), digest_size=16)
        key.update(rows.cpu().numpy().tobytes())
        name = key.digest()
        if self.watchers or name not in self.seen:
            self.seen[name] = self._pass(batch, rows, grad=False).clone()
        return self.seen[name]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Run every pass while somebody watches the network, also those whose features are remembered."""
        self.watchers.append(True)
        try:
            yield
        finally:
            self.watchers.pop()

    def _pass(self, batch: torch.Tensor, rows: torch.Tensor, *, grad: bool) -> torch.Tensor:
        rows = rows.to(self.pool.device)
        given: Any = batch
        if self.pixels:
            given = {name: value[rows.to(value.device)] for name, value in self.others.items()} | {self.pixels: batch}
        tokens = self.encoder.forward(given, [self.site], grad=grad)[self.site]
        return torch.einsum("mpt,mtd->mpd", self.pool[rows].to(tokens.device), tokens.float()).flatten(1)

    def tokens(self, site: str) -> np.ndarray:
        """The tokens [n, t, d] of the images at another site, without gradients."""
        parts = []
        for k in range(len(self.images)):
            given: Any = self.images[k : k + 1]
            if self.pixels:
                given = {name: value[k : k + 1] for name, value in self.others.items()} | {self.pixels: given}
            parts.append(self.encoder.forward(given, [site])[site].cpu().numpy())
        return np.concatenate(parts)


def differentiable(
    encoder: Encoder, site: str, readout: str, images: Sequence[np.ndarray], marks: Sequence[Any] = ()
) -> Differentiable:
    """Prepare images for one site and readout of an encoder; `marks` are their points where `at-mark` is read.

    Raises:
        EncoderError: an encoder without torch, of tiles or of volumes, one that does not compute in float32, or
            images that it prepares to different sizes.
    """
    name = encoder.card.name
    if encoder.module is None:
        raise EncoderError(
            f"{name} computes without torch, so that no gradient passes it: `experiments.pairs explain` leaves regions "
            "out of the images of any encoder"
        )
    if encoder.dtype != "float32":
        raise EncoderError(f"{name} in {encoder.dtype}: attribution takes differences of logits, use --dtype float32")
    if any(is_volume(image) for image in images):
        raise EncoderError(f"{name}: maps are of flat images; give slices as items (leave --volumes out)")
    known = encoder.card.sites[site]
    if encoder.layout is not None or known.views:
        raise EncoderError(
            f"{name} cuts images into tiles or packs them by their size: a map of one image has no place for that; "
            "`experiments.pairs explain` leaves regions out of the images of any encoder"
        )
    prepared = [encoder.preprocess(image) for image in images]
    if isinstance(prepared[0], Mapping):
        named: list[dict[str, torch.Tensor]] = [
            {k: torch.as_tensor(v) for k, v in one.items()}
            for one in prepared  # type: ignore[union-attr]
        ]
        pixels = [k for k, v in named[0].items() if v.is_floating_point() and v.ndim == 3]
        if len(pixels) != 1:
            raise EncoderError(f"{name} takes {', '.join(named[0])}, of which {len(pixels)} are one image's pixels")
        others = {k: torch.stack([one[k] for one in named]) for k in named[0] if k != pixels[0]}
        arrays, key = [one[pixels[0]] for one in named], pixels[0]
    else:
        arrays, others, key = [torch.as_tensor(one) for one in prepared], {}, ""
    if len({tuple(one.shape) for one in arrays}) != 1 or arrays[0].ndim != 3:
        shapes = " and ".join(sorted({" x ".join(map(str, one.shape)) for one in arrays}))
        raise EncoderError(f"{name} prepares these images to {shapes}: maps need one size of flat images")
    batch = torch.stack(arrays).float().to(encoder.device)
    return Differentiable(
        encoder=encoder, site=site, readout=readout, images=batch, others=others, pixels=key,
        pool=_pool(encoder, site, readout, images, marks),
    )  # fmt: skip


def _pool(
    encoder: Encoder, site: str, readout: str, images: Sequence[np.ndarray], marks: Sequence[Any]
) -> torch.Tensor:
    known = encoder.card.sites[site]
    if readout != AT_MARK.name:
        return torch.as_tensor(pooling_matrix(known, readout)).expand(len(images), -1, -1)
    rows = [
        matrix(known, frame(encoder.card.input, *image.shape[:2]), image.shape, points)
        for image, points in zip(images, marks, strict=True)
    ]
    return torch.as_tensor(np.stack(rows))
