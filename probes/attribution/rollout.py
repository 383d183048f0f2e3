"""Attention rollout: how far the attention of all blocks carries each token into what is read. It asks no score."""

import numpy as np

from probes.attribution._base import Maps, Method, Subject, chunks, lacks_attention, on_grid

RESIDUAL = 0.5  # the share of a token that goes by its block: half, as in the paper


def explain(subject: Subject) -> Maps:
    """Maps r (I + A_L)/2 ... (I + A_1)/2, A the mean over heads, r the weights by which the readout reads tokens.

    One row goes through the matrices, not a product of matrices. A pooling head's own attention is the row that it
    begins with. What falls to prefix tokens is dropped.
    """
    import torch

    attention = subject.attention
    assert attention is not None
    found = []
    with torch.no_grad(), attention.watch(lambda weights: weights.mean(1)) as seen:
        for rows in chunks(subject):
            with torch.enable_grad():  # without gradients a subject may remember the score and make no pass
                subject.score(subject.images[rows], rows)
            *blocks, last = seen
            row = torch.as_tensor(attention.reads, dtype=last.dtype, device=last.device).expand(len(rows), 1, -1)
            row = row @ last if attention.head else RESIDUAL * row + (1 - RESIDUAL) * row @ last
            for matrix in reversed(blocks):
                row = RESIDUAL * row + (1 - RESIDUAL) * row @ matrix
            found.append(on_grid(attention, row[:, 0]))
    return Maps(values=np.concatenate(found), facts={"heads": "mean", "residual": RESIDUAL})


METHOD = Method(
    name="rollout",
    title="Attention rollout",
    source="Abnar & Zuidema 2020, arXiv:2005.00928",
    signed=False,
    explain=explain,
    lacks=lacks_attention,
)
