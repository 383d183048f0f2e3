"""LeGrad: where more attention would raise the score, summed over the blocks."""

import numpy as np

from probes.attribution._base import Maps, Method, Subject, chunks, lacks_attention, on_grid


def explain(subject: Subject) -> Maps:
    """Maps sum_l mean over heads and queries of (dscore/dA_l)+, over blocks l and the pooling head if there is one.

    The paper takes at every block the score of that block's own tokens, for which it needs a classifier that reads
    any of them; a probe reads its site alone, so that here the slope is that of the one score at every block.
    """
    import torch

    attention = subject.attention
    assert attention is not None
    found = []
    with torch.enable_grad(), attention.watch() as seen:
        for rows in chunks(subject):
            score = subject.score(subject.images[rows], rows)
            gradients = torch.autograd.grad(score.sum(), seen)
            found.append(
                on_grid(attention, torch.stack([slope.clamp(min=0).mean((1, 2)) for slope in gradients]).sum(0))
            )
            del score, gradients
    return Maps(values=np.concatenate(found), facts={"heads": "mean"})


METHOD = Method(
    name="legrad",
    title="LeGrad",
    source="Bousselham et al. 2024, arXiv:2404.03214; one score at every block",
    signed=False,
    explain=explain,
    lacks=lacks_attention,
)
