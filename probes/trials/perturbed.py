"""Deletion and insertion: what becomes of a score when cells are blurred away, or brought back, in the order of a map.

Petsiuk et al. 2018 (RISE, arXiv:1806.07421, section 4.1), with the blurred image behind what is deleted and a signed
score, so that a map must know what speaks for the answer and what against it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.attribution import Subject
from probes.trials.cells import cell_of

if TYPE_CHECKING:
    pass

STEPS = 12
CHUNK = 16


def margins(
    subject: Subject, maps: np.ndarray, grid: tuple[int, int], *, done: Callable[[int], Any] = lambda _n: None
) -> np.ndarray:
    """Area under insertion less area under deletion, [n], in units of the score, for maps on cells [n, *grid].

    The greatest value of a map comes first. 0 is a map whose order says nothing; the largest is the map that knows the
    score best. `done(n)` is told of images that are finished.
    """
    order = np.argsort(-maps.reshape(len(maps), -1), axis=1, kind="stable")
    cells = order.shape[1]
    counts = np.unique(np.rint(np.linspace(0, 1, STEPS + 1) * cells).astype(int))
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(cells)[None].repeat(len(order), axis=0), axis=1)
    where = cell_of(tuple(subject.images.shape[2:]), grid)  # type: ignore[arg-type]
    found = np.zeros(len(maps))
    for k in range(len(maps)):
        place = rank[k][where]  # the turn of each pixel
        turns = [place < count for count in counts]
        deleted, inserted = _curve(subject, k, turns, away=True), _curve(subject, k, turns, away=False)
        found[k] = np.trapezoid(inserted - deleted, counts / cells)
        done(1)
    return found


def _curve(subject: Subject, k: int, turns: list[np.ndarray], *, away: bool) -> np.ndarray:
    """Scores of image k with the cells of each turn blurred away, or of the blurred image with them brought back."""
    import torch

    full, blank = subject.images[k], subject.blurred[k]
    first, second = (blank, full) if away else (full, blank)
    scores: list[torch.Tensor] = []
    for start in range(0, len(turns), CHUNK):
        masks = torch.as_tensor(np.stack(turns[start : start + CHUNK]), device=full.device)[:, None]
        with torch.no_grad():
            batch = torch.where(masks, first[None], second[None])
            scores.append(subject.score(batch, torch.full((len(batch),), k)))
    return torch.cat(scores).double().cpu().numpy()


def ends(subject: Subject) -> np.ndarray:
    """The score of each image and of its blurred twin, float64 [n, 2]."""
    import torch

    rows = torch.arange(len(subject.images))
    with torch.no_grad():
        pairs = [
            torch.stack([subject.score(subject.images[r], r), subject.score(subject.blurred[r], r)], dim=1)
            for r in rows.split(CHUNK)
        ]
    return torch.cat(pairs).double().cpu().numpy()
