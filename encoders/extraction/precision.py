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
            agree(encoder.card.name, site, found[site], exact[site], LEAST, f"in {dtype}", "use --dtype float32")
        seen.update(fresh)
        return found

    return replace(encoder, forward=forward, dtype=dtype, fingerprint=digest(encoder.fingerprint, "autocast", dtype))


def agree(name: str, site: str, low: Any, high: Any, least: float, how: str, remedy: str) -> None:
    """Refuse tokens `low` of a batch, made `how` it says, where the cosine of an image's to `high` is below `least`."""
    cosine = torch.nn.functional.cosine_similarity(
        low.detach().flatten(1).cpu().double(), high.flatten(1).cpu().double(), dim=1
    )
    smallest = float(cosine.min())
    if not smallest >= least:  # NaN is no agreement
        other = "float32" if how.startswith("in ") else "the plain network"
        raise EncoderError(
            f"{name} {how} departs from {other} at {site!r} (smallest cosine {smallest:.6g}, at least {least} "
            f"needed): {remedy}"
        )
