"""Why two images are alike to an encoder: which token of the one with which token of the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from encoders._base import Encoder, EncoderError
from encoders.attention.response import WITHIN, behind, response


@dataclass(frozen=True, kw_only=True, eq=False)
class Interactions:
    """The similarity of two images token by token, each against its reference.

    `values` [t, t] float64, tokens of the first image by those of the second, `prefix` tokens of no place first, then
    a `grid` (h, w) in raster order. `similarity` is s(a, b), `due` is s(a, b) - s(a, s) - s(r, b) + s(r, s) with the
    references r of a and s of b, and `error` is |sum of values - due| / |due|. `tokens` says which tokens they are,
    `nodes` are those of the two integrals (0: exact).
    """

    values: np.ndarray
    prefix: int
    grid: tuple[int, int]
    similarity: float
    due: float
    error: float
    tokens: str
    nodes: tuple[int, int]

    @property
    def places(self) -> np.ndarray:
        """The part [h * w, h * w] between places."""
        return self.values[self.prefix :, self.prefix :]

    @property
    def of_prefix(self) -> float:
        """The sum of what has a prefix token on either side."""
        return float(self.values.sum() - self.places.sum())


def interactions(
    encoder: Encoder,
    site: str,
    readout: str,
    first: Sequence[Any],
    second: Sequence[Any],
    first_references: Sequence[Any],
    second_references: Sequence[Any],
    *,
    normalise: bool = True,
    within: float = WITHIN,
) -> list[Interactions]:
    """The interactions of n pairs of prepared images, M_a M_b' of their responses to single tokens (`response`).

    All four are n prepared images [c, H, W], as `encoder.preprocess` gives them; references are images without what is
    compared, e.g. blurred. s is the inner product of embeddings divided by the two images' norms: the cosine, with
    those norms held fixed as the images go over into their references; without `normalise` it is not divided. Second
    order: what a token adds on its own, whatever the other image shows, cancels in the four terms of `due`.

    Raises EncoderError as `behind` does, and where the numbers of images differ or an embedding is zero.
    """
    counts = [len(given) for given in (first, second, first_references, second_references)]
    if len(set(counts)) != 1 or not counts[0]:
        raise EncoderError(f"pairs need as many first and second images and references; given are {counts}")
    network, found = behind(encoder, site, readout), []
    for a, b, r, s in zip(first, second, first_references, second_references, strict=True):
        one, other = (
            response(encoder, site, readout, *both, within=within, network=network) for both in ((a, r), (b, s))
        )
        norm = float(np.linalg.norm(one.embedding) * np.linalg.norm(other.embedding)) if normalise else 1.0
        if not norm:
            raise EncoderError(f"{encoder.card.name} at {site}/{readout} gives an embedding of length 0: no cosine")
        values = one.values @ other.values.T / norm
        due = float((one.embedding - one.reference) @ (other.embedding - other.reference)) / norm
        missed = abs(float(values.sum()) - due)
        found.append(
            Interactions(
                values=values,
                prefix=one.prefix,
                grid=one.grid,
                similarity=float(one.embedding @ other.embedding) / norm,
                due=due,
                error=missed / abs(due) if due else float(missed > 0),
                tokens=one.tokens,
                nodes=(one.nodes, other.nodes),
            )
        )
    return found
