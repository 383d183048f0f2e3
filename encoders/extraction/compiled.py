"""A network compiled by torch between the places where its sites are read, held against the plain one at every site.

What is compiled are the largest modules inside which no site is read, a block of a transformer for one. Hooks stand
around them, and fire as they do without: a hook inside compiled code would be traced once, and forgotten.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from encoders._base import Encoder, EncoderError, Reduce
from encoders.extraction.precision import LEAST, agree
from encoders.identity.fingerprint import digest

EXACT = 0.99999  # cosine of each image's tokens to the plain network, at every site; in half precision it is LEAST


def compiled(encoder: Encoder, backend: Any = "inductor") -> Encoder:
    """The encoder with its modules compiled for batches of one shape; its first batch at a site is run twice.

    Its fingerprint is another, as compiled code rounds otherwise. With gradients the plain network is asked.

    Raises EncoderError for an encoder without torch, and in the first `forward` where a module cannot be compiled
    whole, where shapes change so often that torch would give up, and where a site's smallest cosine to the plain
    network is below EXACT, or LEAST in half precision.
    """
    if encoder.module is None:
        raise EncoderError(f"{encoder.card.name} computes without torch: there is nothing to compile")
    units = list(units_of(encoder.module, {id(hook.module) for hook in encoder.hooks.values()}))
    plain = [unit.forward for unit in units]
    made = [torch.compile(one, backend=backend, fullgraph=True, dynamic=False) for one in plain]
    least = EXACT if encoder.dtype == "float32" else LEAST
    seen: set[str] = set()

    def forward(
        batch: Any, sites: Sequence[str], grad: bool = False, reduce: Reduce | None = None
    ) -> Mapping[str, Any]:
        if grad:
            return encoder.forward(batch, sites, grad=True, reduce=reduce)
        fresh = [site for site in sites if site not in seen]
        exact = encoder.forward(batch, fresh, reduce=reduce) if fresh else {}
        try:
            for unit, one in zip(units, made, strict=True):
                unit.forward = one
            found = encoder.forward(batch, sites, reduce=reduce)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            first = " ".join(str(error).split())[:200]
            raise EncoderError(
                f"{encoder.card.name} cannot be compiled ({type(error).__name__}: {first}); leave --compile out"
            ) from error
        finally:
            for unit, one in zip(units, plain, strict=True):
                unit.forward = one
        for site in fresh:
            agree(encoder.card.name, site, found[site], exact[site], least, "compiled", "leave --compile out")
        seen.update(fresh)
        return found

    name = f"{backend} {torch.__version__}"
    return replace(
        encoder,
        forward=forward,
        fingerprint=digest(encoder.fingerprint, "compiled", name),
        libraries=tuple(dict.fromkeys((*encoder.libraries, "torch"))),
    )


def units_of(module: Any, read: set[int]) -> Iterator[Any]:
    """The largest submodules with tensors of their own inside which no module of `read`, by its id, lies."""
    inside = (one for one in module.modules() if one is not module)
    if any(id(one) in read for one in inside):
        for child in module.children():
            yield from units_of(child, read)
    elif next(module.parameters(), None) is not None:
        yield module
