"""Lower precision by autocast, admitted only where the first batch agrees with float32 at every site."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from encoders._base import Encoder, EncoderError, Reduce
from encoders.identity.fingerprint import digest

LEAST = 0.999  # cosine of each image's tokens to float32, at every site


def lowered(encoder: Encoder, dtype: str) -> Encoder:
    """The encoder under autocast to `dtype`; its first batch is run twice and compared.

    Raises EncoderError for an encoder without torch, and in the first `forward` where a site's smallest
    cosine to float32 is below 0.999.
    """
    if encoder.module is None:
        raise EncoderError(f"{encoder.card.name} computes without torch: it has float32 only, not {dtype}")
    device_type = torch.device(encoder.device).type
    lower = getattr(torch, dtype)
    seen: set[str] = set()

    def forward(
        batch: Any, sites: Sequence[str], grad: bool = False, reduce: Reduce | None = None
    ) -> Mapping[str, Any]:
        fresh = [site for site in sites if site not in seen]
        exact = encoder.forward(batch, fresh, reduce=reduce) if fresh else {}
        with torch.autocast(device_type, lower):
            found = encoder.forward(batch, sites, grad=grad, reduce=reduce)
        for site in fresh:
            _agree(encoder.card.name, site, found[site], exact[site], dtype)
        seen.update(fresh)
        return found

    return replace(encoder, forward=forward, dtype=dtype, fingerprint=digest(encoder.fingerprint, "autocast", dtype))


def _agree(name: str, site: str, low: Any, high: Any, dtype: str) -> None:
    cosine = torch.nn.functional.cosine_similarity(
        low.detach().flatten(1).cpu().double(), high.flatten(1).cpu().double(), dim=1
    )
    least = float(cosine.min())
    if not least >= LEAST:  # NaN is no agreement
        raise EncoderError(
            f"{name} in {dtype} departs from float32 at {site!r} (smallest cosine {least:.4f}, at least {LEAST} "
            "needed): use --dtype float32"
        )
