"""Occlusion: how much the score falls where a window of the image is blurred away.

Zeiler & Fergus 2014 (arXiv:1311.2901, section 4.2), with windows of 1/14 of the side that do not overlap and the
blurred image behind them, for a grey or black square is an edge of its own. The falls are captum's; its own loop spends
half of the time on masks, so that a pass of several windows is put together here.
"""

import numpy as np

from probes.attribution._base import CHUNK, Maps, Method, Subject

ACROSS = 14


def explain(subject: Subject) -> Maps:
    """Maps [n, H, W]: the fall of each window, spread over its pixels."""
    import torch

    sides = tuple(subject.images.shape[2:])
    window = tuple(max(1, round(side / ACROSS)) for side in sides)
    rows, columns = (torch.arange(side) // step for side, step in zip(sides, window, strict=True))
    number = rows[:, None] * (int(columns[-1]) + 1) + columns[None]  # the window of each pixel
    area = torch.bincount(number.ravel()).numpy()
    place = number.to(subject.images.device)
    found = []
    with torch.no_grad():
        for k in range(len(subject.images)):
            row, image, behind = torch.tensor([k]), subject.images[k], subject.blurred[k]
            parts = []
            for part in torch.arange(len(area), device=place.device).split(CHUNK):
                away = (place[None] == part[:, None, None])[:, None]
                parts.append(subject.score(torch.where(away, behind[None], image[None]), row.repeat(len(part))))
            falls = (subject.score(image[None], row) - torch.cat(parts)).double().cpu().numpy()
            found.append((falls / area)[number.numpy()])
    facts = {"window": f"{window[0]} x {window[1]}", "behind": "blurred image"}
    return Maps(values=np.stack(found).astype(np.float32), facts=facts)


METHOD = Method(
    name="occlusion",
    title="Occlusion",
    source="Zeiler & Fergus 2014, arXiv:1311.2901",
    signed=True,
    explain=explain,
)
