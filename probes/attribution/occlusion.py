"""Occlusion: how much the score falls where a window of the image is blurred away.

Zeiler & Fergus 2014 (arXiv:1311.2901, section 4.2), with windows of 1/14 of the side that do not overlap and the
blurred image behind them, for a grey or black square is an edge of its own. Computed by captum, several per pass.
"""

import numpy as np

from probes.attribution._base import CHUNK, Maps, Method, Subject

ACROSS = 14


def explain(subject: Subject) -> Maps:
    """Maps [n, H, W], constant over each window."""
    import torch
    from captum.attr import Occlusion

    channels, *sides = subject.images.shape[1:]
    window = tuple(max(1, round(side / ACROSS)) for side in sides)
    method = Occlusion(subject.score)
    found = []
    for k in range(len(subject.images)):  # alone: its windows fill the passes
        row = torch.tensor([k])
        with torch.no_grad():
            part = method.attribute(
                subject.images[row], sliding_window_shapes=(channels, *window), strides=(channels, *window),
                baselines=subject.blurred[row], perturbations_per_eval=CHUNK, additional_forward_args=(row,),
            )  # fmt: skip
        found.append(part.detach()[:, 0].cpu().numpy())  # a window falls on all channels alike
    # captum gives every pixel of a window the whole fall: shared out, the map of windows sums to the sum of falls
    values = np.concatenate(found).astype(np.float32) / (window[0] * window[1])
    return Maps(values=values, facts={"window": f"{window[0]} x {window[1]}", "behind": "blurred image"})


METHOD = Method(
    name="occlusion",
    title="Occlusion",
    source="Zeiler & Fergus 2014, arXiv:1311.2901",
    signed=True,
    explain=explain,
)
