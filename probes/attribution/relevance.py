"""Relevance of tokens by attention and its gradient: rollout that follows only what raises the score."""

import numpy as np

from probes.attribution._base import Maps, Method, Subject, chunks, lacks_attention, on_grid


def explain(subject: Subject) -> Maps:
    """Maps r (I + B_L) ... (I + B_1) - r, B = mean over heads of (A * dscore/dA)+, r the weights of the readout.

    Equations 5 and 6 of the paper, for one row; the row itself is taken off, which for CLS lies on no place and for a
    mean is the same everywhere. A pooling head's own B is the row that it begins with.
    """
    import torch

    attention = subject.attention
    assert attention is not None
    found = []
    with torch.enable_grad(), attention.watch() as seen:
        for rows in chunks(subject):
            score = subject.score(subject.images[rows], rows)
            gradients = torch.autograd.grad(score.sum(), seen)
            with torch.no_grad():
                *blocks, last = [(a * slope).clamp(min=0).mean(1) for a, slope in zip(seen, gradients, strict=True)]
                reads = torch.as_tensor(attention.reads, dtype=last.dtype, device=last.device).expand(len(rows), 1, -1)
                row = reads @ last if attention.head else reads + reads @ last
                for matrix in reversed(blocks):
                    row = row + row @ matrix
                found.append(on_grid(attention, (row if attention.head else row - reads)[:, 0]))
            del score, gradients
    return Maps(values=np.concatenate(found), facts={"heads": "mean"})


METHOD = Method(
    name="relevance",
    title="Attention relevance",
    source="Chefer, Gur & Wolf 2021, arXiv:2103.15679",
    signed=False,
    explain=explain,
    lacks=lacks_attention,
)
