"""Why two images are alike, token by token: which place of the one with which place of the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from encoders import EncoderError
from encoders.attention.interactions import Interactions, interactions
from encoders.extraction.differentiable import differentiable
from probes.trials.trial import spearman
from slitlamp.attribution.explained import blurred, untrained_of
from slitlamp.encoding.encoder import StoredEncoder, errors_of_device

MOST = 8  # pairs of places that are listed and drawn
COMPLETE = 0.01
FEW = 0.1  # of the similarity: below, the pairs of places are not what it rests on


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenPairs:
    """The interactions of two images in one encoder, and how like they are to those of the untrained network."""

    encoder: StoredEncoder
    found: Interactions
    like_untrained: float | None

    def strongest(self) -> list[tuple[tuple[int, int], tuple[int, int], float]]:
        """The strongest pairs of places: (row, column) of each image, from 0, and the value; each place once."""
        w = self.found.grid[1]
        places = self.found.places
        rows: list[tuple[tuple[int, int], tuple[int, int], float]] = []
        used: tuple[set[int], set[int]] = set(), set()
        for at in np.argsort(-places, axis=None, kind="stable"):
            a, b = (int(k) for k in np.unravel_index(at, places.shape))
            if a in used[0] or b in used[1] or places[a, b] <= 0:
                continue
            used[0].add(a)
            used[1].add(b)
            rows.append((divmod(a, w), divmod(b, w), float(places[a, b])))
            if len(rows) == MOST:
                break
        return rows

    def rows(self) -> list[dict[str, Any]]:
        """The table of the strongest pairs, places counted from 1."""
        whole = self.found.due or 1.0
        return [
            {"encoder": self.encoder.label, "rank": k, "row": a[0] + 1, "column": a[1] + 1, "other_row": b[0] + 1,
             "other_column": b[1] + 1, "interaction": value, "share": value / whole}
            for k, (a, b, value) in enumerate(self.strongest(), start=1)
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """What may be said of them."""
        found = self.found
        whole, name = found.due or 1.0, self.encoder.label
        among = float(found.places.sum()) / whole
        lines = [
            f"{name}, token by token ({found.tokens}): pairs of tokens sum to {found.values.sum():+.4f} of the "
            f"similarity {found.similarity:.4f} (cosine, not centred; {found.due:+.4f} is due against blurred images, "
            f"error {found.error:.2%}); pairs of places carry {among:.0%} of it, the rest has a token of no place"
        ]
        if abs(among) < FEW:
            lines.append(
                f"{name}: what places share went over into a token of no place before: these pairs say little; "
                "--readout mean at a block explains places"
            )
        if found.error > COMPLETE:
            lines.append(f"{name}: pairs of tokens do not add up within {COMPLETE:.0%}: not to be believed")
        if self.like_untrained is not None and self.like_untrained >= 0.3:
            lines.append(
                f"{self.encoder.label}: the untrained network pairs much the same tokens (Spearman "
                f"{self.like_untrained:.2f}): it shows image and architecture"
            )
        return lines


def token_pairs(encoder: StoredEncoder, site: str, readout: str, images: Sequence[np.ndarray]) -> TokenPairs:
    """The interactions of two images at a point; EncoderError where the last block cannot be opened."""

    def of(one: StoredEncoder) -> Interactions:
        network = one.load()
        prepared = differentiable(network, site, readout, images).images
        blank = blurred(prepared)
        (found,) = interactions(network, site, readout, [prepared[0]], [prepared[1]], [blank[0]], [blank[1]])
        return found

    with errors_of_device(encoder.spec, encoder.device):
        found = of(encoder)
        like = None
        draw = untrained_of(encoder)
        if draw is not None:
            try:
                other = of(draw)
                like = float(spearman(np.abs(found.places)[None], np.abs(other.places)[None])[0])
            except EncoderError:
                like = None
    return TokenPairs(encoder=encoder, found=found, like_untrained=like)
