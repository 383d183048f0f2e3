"""Gradient x input: the gradient of the score, weighted by how much each pixel differs from the blurred image.

Simonyan et al. 2014 (arXiv:1312.6034, section 3) for the gradient; the product with x - x' for the baseline x' is the
first term of the completeness sum of integrated gradients, and exact for a linear network. Computed by captum.
"""

import numpy as np

from probes.attribution._base import CHUNK, Maps, Method, Subject


def explain(subject: Subject) -> Maps:
    """Maps [n, H, W], summed over channels."""
    return Maps(values=_times(subject, gradient(subject)), facts={"baseline": "blurred image"})


def gradient(subject: Subject) -> np.ndarray:
    """The gradient of the score, float32 [n, c, H, W]."""
    import torch
    from captum.attr import Saliency

    method = Saliency(subject.score)
    found = []
    for rows in torch.arange(len(subject.images)).split(CHUNK):
        with torch.enable_grad():
            part = method.attribute(
                subject.images[rows].clone().requires_grad_(), abs=False, additional_forward_args=(rows,)
            )
        found.append(part.detach().cpu().numpy())
    return np.concatenate(found)


def _times(subject: Subject, gradients: np.ndarray) -> np.ndarray:
    away = (subject.images - subject.blurred).cpu().numpy()
    return np.asarray((gradients * away).sum(axis=1), np.float32)


METHOD = Method(
    name="gradient-input",
    title="Gradient × input",
    source="Simonyan et al. 2014, arXiv:1312.6034",
    signed=True,
    explain=explain,
)
