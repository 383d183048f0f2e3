"""Integrated gradients from the blurred image, with as many nodes as completeness asks for.

Sundararajan et al. 2017 (arXiv:1703.01365, equation 1): the gradient along the straight line from the baseline to the
image, times the difference. Gauss-Legendre nodes, 16 at first, doubled for the images whose maps do not sum to the
difference of scores within 2 %. The baseline is the blurred image: a black one makes an artefact of every black border
of a film. Computed by captum, a few nodes per pass.
"""

import numpy as np

from probes.attribution._base import CHUNK, Maps, Method, Subject, completeness

FIRST, MOST = 16, 64  # nodes
WITHIN = 0.02  # of the mean absolute difference of scores


def explain(subject: Subject) -> Maps:
    """Maps [n, H, W], summed over channels, with their completeness."""
    import torch
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(subject.score)
    n = len(subject.images)
    rows = torch.arange(n)
    with torch.no_grad():
        parts = [
            (subject.score(subject.images[r], r) - subject.score(subject.blurred[r], r)) for r in rows.split(CHUNK)
        ]
    difference = torch.cat(parts).cpu().numpy().astype(np.float64)
    values = np.zeros((n, *subject.images.shape[2:]), np.float32)
    nodes, used = FIRST, np.zeros(n, int)
    open_ = np.arange(n)
    while len(open_) and nodes <= MOST:
        for k in open_:  # alone: nodes of one image fill a pass
            row = rows[k : k + 1]
            with torch.enable_grad():
                part = method.attribute(
                    subject.images[row], baselines=subject.blurred[row], n_steps=nodes, method="gausslegendre",
                    internal_batch_size=CHUNK, additional_forward_args=(row,),
                )  # fmt: skip
            values[k] = part.detach().sum(dim=1)[0].cpu().numpy()
        used[open_] = nodes
        open_ = np.flatnonzero(completeness(values, difference) > WITHIN)
        nodes *= 2
    return Maps(
        values=values,
        completeness=completeness(values, difference),
        facts={"nodes": f"{used.min()} to {used.max()}", "baseline": "blurred image", "rule": "Gauss-Legendre"},
    )


METHOD = Method(
    name="integrated-gradients",
    title="Integrated gradients",
    source="Sundararajan et al. 2017, arXiv:1703.01365",
    signed=True,
    explain=explain,
)
