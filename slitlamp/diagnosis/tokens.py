"""How well the tower's patches are got back from what the connector hands on: full tokens, streamed, never held."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from encoders import Encoder, EncoderError, Site
from encoders.extraction.encode import collate
from probes import ProbeError
from probes.stages.information import reconstruction
from slitlamp.encoding.encoder import StoredEncoder, errors_of_device
from slitlamp.keys import digest
from slitlamp.log import progress
from slitlamp.questions import Question

SCHEMA = 2
FOLDS = 5
WIDEST = 4096  # of tokens, merged ones too: their products would not fit into the memory of a desk


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """The squared error of the tower's patches, got back by a straight line, over their variance, by place.

    `error` is over all patches (1: nothing is got back), `per_patch` [h][w] by place on the connector's grid, `each`
    [n] by image. `site` is that of the tower.
    """

    site: str
    error: float
    per_patch: tuple[tuple[float, ...], ...]
    each: tuple[float, ...]


def rebuilt(encoder: StoredEncoder, question: Question, site: str, behind: str) -> Rebuilt:
    """Patches at `site` from the tokens `behind`, over all images of a question; remembered.

    Images are held out by the question's groups.

    Raises:
        ProbeError: tokens that have no common place at both sites, or that are too wide.
    """
    places_of(encoder.card.sites[site], encoder.card.sites[behind], f"{encoder.label} {site} and {behind}")
    memo = encoder.store.memo("patches")
    key = digest(
        [
            SCHEMA, FOLDS, encoder.fingerprint, encoder.device.split(":")[0], encoder.dtype, site, behind,
            list(question.pictures.contents), dict(question.source.policy), [str(g) for g in question.groups],
        ]
    )  # fmt: skip
    known = memo.get_many([key]).get(key)
    if known is None:
        known = _rebuilt(encoder, question, site, behind)
        memo.put_many({key: known})
    return Rebuilt(
        site=site, error=known["error"], per_patch=tuple(tuple(row) for row in known["per_patch"]),
        each=tuple(known["each"]),
    )  # fmt: skip


def _rebuilt(encoder: StoredEncoder, question: Question, site: str, behind: str) -> dict[str, Any]:
    network, grids = encoder.load(), set()

    def images() -> Iterator[tuple[np.ndarray, np.ndarray, object]]:
        with progress(len(question.ids), f"{encoder.label}: patches of {site} from {behind}") as bar:
            for i in range(len(question.ids)):
                with errors_of_device(encoder.spec, encoder.device):
                    before, after, grid = tokens_of(network, question.pictures.read(i), site, behind)
                grids.add(grid)
                if len(grids) > 1:
                    raise ProbeError(f"{encoder.label}: images differ in their grids of tokens: no place is common")
                yield after, before, str(question.groups[i])
                bar.update(1)

    found = reconstruction(images, folds=min(FOLDS, len(set(question.groups))))
    return {
        "error": found.error, "each": found.each.tolist(), "per_patch": found.map(grids.pop()).tolist(),
    }  # fmt: skip


def tokens_of(
    network: Encoder, image: np.ndarray, site: str, behind: str
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Tokens [t, d] of one image at a site of the tower and [t, e] behind it, at common places, and their grid [h, w].

    Where the connector merges neighbouring patches, those of one token stand side by side.
    """
    prepared = network.preprocess(image)
    sites = network.layout(prepared) if network.layout else network.card.sites
    grid, merged = places_of(sites[site], sites[behind], f"{network.card.name} {site} and {behind}")
    batch = [prepared] if network.module is None else collate([prepared])
    found = network.forward(batch, (site, behind))
    before, after = (_array(found[name])[0, sites[name].prefix :] for name in (site, behind))
    h, w = grid
    before = before.reshape(h, merged[0], w, merged[1], -1).swapaxes(1, 2).reshape(h * w, -1)
    return before, after, grid


def _array(tokens: Any) -> np.ndarray:
    return tokens if isinstance(tokens, np.ndarray) else tokens.detach().float().cpu().numpy()


def places_of(before: Site, behind: Site, what: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """The grid behind, and how many patches of before lie in one of its places, down and across.

    Raises:
        ProbeError: tokens without places, of several views, or of grids that do not fit; or too wide.
    """
    a, b = before.grid, behind.grid
    if a is None or b is None or len(a) != 2 or len(b) != 2 or before.views or behind.views:
        raise ProbeError(f"{what}: tokens without a common flat grid of places: no patch can be got back by place")
    if a[0] % b[0] or a[1] % b[1]:
        raise ProbeError(f"{what}: a grid of {a[0]} x {a[1]} patches does not divide into {b[0]} x {b[1]} tokens")
    merged = (a[0] // b[0], a[1] // b[1])
    wide = max(before.width * merged[0] * merged[1], behind.width)
    if wide > WIDEST:
        raise ProbeError(f"{what}: tokens of {wide} numbers are too wide to be got back, {WIDEST} is the most")
    return (b[0], b[1]), merged


def tower_site(encoder: StoredEncoder, names: list[str], behind: str, preferred: str) -> str:
    """The site of the tower whose patches are got back: the preferred one, else the last with a grid that fits.

    Raises:
        EncoderError: there is none.
    """
    sites = encoder.card.sites
    for name in (preferred, *reversed(names)):
        try:
            places_of(sites[name], sites[behind], name)
        except ProbeError:
            continue
        return name
    raise EncoderError(f"{encoder.label} has no patches before {behind} that lie on a grid as its tokens do")
