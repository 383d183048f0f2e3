"""Grad-CAM: the activations of a layer, weighted by how much the score grows with each channel."""

from typing import TYPE_CHECKING, Any

import numpy as np

from probes.attribution._base import CHUNK, Layer, Maps, Method, Subject

if TYPE_CHECKING:
    pass


def layer(subject: Subject) -> Layer:
    """The layer that is drawn: of blocks the last but one, for behind the last CLS alone may be read; else the last."""
    *before, last = subject.layers
    return before[-1] if last.block and before else last


def explain(subject: Subject) -> Maps:
    """Maps sum_d a_d A_d on the layer's grid, a_d the mean over places of the score's gradient at channel d.

    Only what lies behind the layer is differentiated. Prefix tokens count neither for the weights nor for the map.
    The ReLU of the paper is left out: negative values speak for a smaller score.
    """
    import torch

    chosen = layer(subject)
    leaves: list[torch.Tensor] = []

    def cut(_module: Any, _given: Any, output: Any) -> Any:
        leaves[:] = [(output[0] if isinstance(output, tuple | list) else output).detach().requires_grad_()]
        tokens = leaves[0].clone()  # a later operation in place must not reach the leaf
        return type(output)((tokens, *output[1:])) if isinstance(output, tuple | list) else tokens

    found = []
    handle = chosen.module.register_forward_hook(cut, prepend=True)
    try:
        for rows in torch.arange(len(subject.images)).split(CHUNK):
            with torch.enable_grad():
                score = subject.score(subject.images[rows], rows)
                (gradient,) = torch.autograd.grad(score.sum(), leaves)
            tokens, slopes = (chosen.tokens(x)[:, chosen.prefix :].float() for x in (leaves[0].detach(), gradient))
            found.append((tokens @ slopes.mean(1)[..., None]).unflatten(1, chosen.grid)[..., 0].cpu().numpy())
    finally:
        handle.remove()
    return Maps(values=np.concatenate(found), facts={"layer": chosen.name})


METHOD = Method(
    name="grad-cam",
    title="Grad-CAM",
    source="Selvaraju et al. 2017, arXiv:1610.02391; over tokens as over the cells of a map",
    signed=True,
    explain=explain,
    lacks=lambda subject: "" if subject.layers else "the encoder has no layer of tokens on one grid",
)
