"""Maps of one target by every method, with the trial of each: computed once, then found in the store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import encoders
import probes
from encoders import EncoderError
from encoders.extraction.differentiable import Differentiable, differentiable
from probes import attribution
from probes.attribution import Attention, Maps, Method, Subject
from probes.trials.cells import cell_sums, grid_of
from probes.trials.trial import CONTROL, PROBE, UNTRAINED, Evidence, Ground, Trial, attempt
from slitlamp.attribution.evidence import in_frame
from slitlamp.attribution.inside import attention_of, layers
from slitlamp.attribution.target import Head, Target
from slitlamp.encoding.encoder import StoredEncoder, errors_of_device
from slitlamp.encoding.images import ImageSet
from slitlamp.keys import array_digest, code_digest, digest
from slitlamp.log import progress
from slitlamp.probing.cells import Cells

BLUR = 1 / 5  # of the shorter side: METHOD 6.1
Regions = Sequence[Mapping[str, Callable[[], np.ndarray]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tried:
    """The maps [n, h, w] of one method by what gave them, its trial, and what the method chose."""

    method: str
    maps: Mapping[str, np.ndarray]
    trial: Trial
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """What came of one target: the images as the network sees them, the maps of each method, and why some have none.

    `shown` [n, H, W] or [n, H, W, 3] from 0 to 1; `ends` [n, 2] are the scores of each image and its blurred twin.
    `untrained` names the network that was never trained, empty where there is none.
    """

    target: Target
    shown: np.ndarray
    grid: tuple[int, int]
    tried: Sequence[Tried]
    refused: Mapping[str, str]
    untrained: str
    computed: int
    regions: Sequence[str]
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """What the maps of one target need; networks are loaded when a map is missing."""

    target: Target
    pictures: ImageSet
    places: Sequence[int]
    seed: int
    notes: list[str] = field(default_factory=list)

    @cached_property
    def images(self) -> list[np.ndarray]:
        return [self.pictures.read(k) for k in self.places]

    @cached_property
    def marks(self) -> list[Any]:
        return [self.pictures.marks[k] for k in self.places] if self.pictures.marks else []

    @cached_property
    def network(self) -> Differentiable:
        return self._of(self.target.encoder)

    def _of(self, encoder: StoredEncoder) -> Differentiable:
        return differentiable(encoder.load(), self.target.site, self.target.readout, self.images, self.marks)

    def subject(self, network: Differentiable, head: Head) -> Subject:
        """The subject of one head on one network."""
        loaded, site, readout = network.encoder, self.target.site, self.target.readout
        try:
            attention, absent = _each_pass(attention_of(loaded, site, readout), network), ""
        except EncoderError as error:
            attention, absent = None, str(error)
        return Subject(
            name=loaded.card.name, images=network.images, blurred=blurred(network.images),
            score=lambda batch, rows: head.of(network.features(batch, rows), rows), layers=layers(loaded, site),
            attention=attention, absent=absent, seed=self.seed,
        )  # fmt: skip

    @cached_property
    def probe(self) -> Subject:
        return self.subject(self.network, self.target.head)

    @cached_property
    def control(self) -> Subject:
        return self.subject(self.network, self.target.control)

    @cached_property
    def untrained(self) -> tuple[str, Subject | None]:
        """The same head on the same network with random weights."""
        encoder = self.target.encoder
        draw = untrained_of(encoder)
        if draw is None:
            return "", None
        try:
            return draw.spec, self.subject(self._of(draw), self.target.head)
        except EncoderError as error:
            self.notes.append(f"{encoder.label}: no untrained network to compare with ({error})")
            return "", None

    @cached_property
    def norms(self) -> np.ndarray | None:
        """The norms [n, h, w] of the tokens at the site, or behind the last block where the site is one vector."""
        sites = self.network.encoder.card.sites
        flat = [name for name, site in sites.items() if site.grid is not None and len(site.grid) == 2]
        if not flat:
            return None
        name = self.target.site if self.target.site in flat else flat[-1]
        site = sites[name]
        assert site.grid is not None
        tokens = self.network.tokens(name)[:, site.prefix :]
        return np.linalg.norm(tokens, axis=2).reshape(len(tokens), *site.grid)


def _each_pass(attention: Attention, network: Differentiable) -> Attention:
    """The attention, which is there in every pass that is watched: none is answered from memory."""

    @contextmanager
    def watch(*keep: Any) -> Iterator[list[Any]]:
        with network.watched(), attention.watch(*keep) as seen:
            yield seen

    return replace(attention, watch=watch)


def explain(
    target: Target, pictures: ImageSet, places: Sequence[int], methods: Sequence[str], *, regions: Regions = (),
    seed: int = 0,
) -> Explained:  # fmt: skip
    """Maps and trials of a target on some pictures by every method that applies, or by those named.

    Raises:
        EncoderError: an encoder that no gradient passes, or a named method that it does not have.
    """
    job = _Job(target=target, pictures=pictures, places=places, seed=seed)
    encoder = target.encoder
    with errors_of_device(encoder.spec, encoder.device):
        subject = job.probe
        grid = grid_of(_tokens(job), tuple(subject.images.shape[2:]))  # type: ignore[arg-type]
        chosen, refused = _methods(subject, methods)
        shares = _shares(job, regions, grid)
        cells = Cells(
            folder=encoder.store.root / "attributions",
            types={kind.__name__: kind for kind in (Tried, Trial, Evidence, Ground)},
        )
        key = _key(job, grid, shares)
        found: dict[str, Tried] = {}
        for method in chosen:
            known = cells.load(digest([key, method.name, method.version]))
            if known is not None:
                found[method.name] = known
        missing = [method for method in chosen if method.name not in found]
        if missing:
            for method, tried in _computed(job, missing, grid, shares, cells, key):
                found[method.name] = tried
    return Explained(
        target=target, shown=_shown(job.network), grid=grid, tried=[found[method.name] for method in chosen],
        refused=refused, untrained=job.untrained[0] if missing else _untrained_name(encoder, found),
        computed=len(missing), regions=list(shares), notes=job.notes,
    )  # fmt: skip


def untrained_of(encoder: StoredEncoder) -> StoredEncoder | None:
    """The same network with random weights; None for one that was never trained."""
    if encoder.source.startswith("random:"):
        return None
    return replace(encoder, spec=f"random:{encoder.spec}", loaded=[])


def _untrained_name(encoder: StoredEncoder, found: Mapping[str, Tried]) -> str:
    return f"random:{encoder.spec}" if any(UNTRAINED in tried.maps for tried in found.values()) else ""


def _methods(subject: Subject, named: Sequence[str]) -> tuple[list[Method], dict[str, str]]:
    """The methods that apply, and why others do not; a named one that does not apply is an error."""
    chosen, refused = [], {}
    for name in named or attribution.names():
        method = attribution.load(name)
        lack = method.lacks(subject)
        if not lack:
            chosen.append(method)
        else:
            refused[name] = lack
    if not chosen or (named and refused):
        name, why = next(iter(refused.items()))
        have = ", ".join(one for one in attribution.names() if not attribution.load(one).lacks(subject))
        raise EncoderError(f"{subject.name}: {name} does not apply: {why}; it has {have or 'no method'}")
    return chosen, refused


def _computed(
    job: _Job,
    methods: Sequence[Method],
    grid: tuple[int, int],
    shares: Mapping[str, np.ndarray],
    cells: Cells,
    key: str,
) -> Any:
    label = job.target.encoder.label
    n = len(job.places)
    with progress(n * (7 + 3 * len(methods)), f"trials with {label}") as bar:
        ground = cells.load(digest([key, "ground"]))
        if ground is None:
            ground = Ground.of(job.probe, grid, bar.update)
            cells.save(digest([key, "ground"]), ground)
        for method in methods:
            bar.set_description(f"{method.name} with {label}")
            made: Maps = method.explain(job.probe)
            maps = {PROBE: made.values, CONTROL: method.explain(job.control).values}
            other = job.untrained[1]
            if other is not None and not method.lacks(other):
                maps[UNTRAINED] = method.explain(other).values
            for name, values in maps.items():
                if not np.isfinite(values).all():
                    raise EncoderError(f"{label}: {method.name} gives NaN or infinite values ({name} map)")
            trial = attempt(
                job.probe, ground, maps, method=method.name, signed=method.signed, completeness=made.completeness,
                regions=shares, norms=job.norms, done=bar.update,
            )  # fmt: skip
            tried = Tried(method=method.name, maps=maps, trial=trial, facts=dict(made.facts))
            cells.save(digest([key, method.name, method.version]), tried)
            yield method, tried


def _key(job: _Job, grid: tuple[int, int], shares: Mapping[str, np.ndarray]) -> str:
    """Everything that the maps and trials rest on."""
    import captum
    import torch

    target = job.target
    return digest(
        [
            target.encoder.fingerprint, target.encoder.device.split(":")[0], target.site, target.readout,
            target.head.material, target.control.material,
            [job.pictures.contents[k] for k in job.places], list(grid), job.seed,
            {name: array_digest(share) for name, share in shares.items()},
            captum.__version__, torch.__version__, code_digest(str(Path(probes.__file__).parent / "attribution")),
            code_digest(str(Path(probes.__file__).parent / "trials")),
            code_digest(str(Path(__file__).parent)),  # the blur, the cells and how they are laid on images
            code_digest(str(Path(encoders.__file__).parent / "attention")),
        ]
    )  # fmt: skip


def blurred(images: Any) -> Any:
    """Prepared images [n, c, H, W] without detail: a Gaussian of a fifth of the shorter side (METHOD 6.1)."""
    import torch
    from scipy.ndimage import gaussian_filter

    sigma = BLUR * min(images.shape[2:])
    found = gaussian_filter(images.cpu().numpy(), (0, 0, sigma, sigma), mode="nearest")
    return torch.as_tensor(found, device=images.device)


def _tokens(job: _Job) -> tuple[int, int] | None:
    site = job.network.encoder.card.sites[job.target.site]
    if site.grid is not None and len(site.grid) == 2:
        return (int(site.grid[0]), int(site.grid[1]))
    blocks = [one.grid for one in job.network.encoder.card.sites.values() if one.grid is not None and one.prefix]
    return (int(blocks[0][0]), int(blocks[0][1])) if blocks and len(blocks[0]) == 2 else None


def _shares(job: _Job, regions: Regions, grid: tuple[int, int]) -> dict[str, np.ndarray]:
    """The share of each cell that belongs to a region, [n, *grid]; nan for images without it."""
    names = list(dict.fromkeys(name for one in regions for name in one))
    encoder = job.network.encoder
    size = (int(job.network.images.shape[2]), int(job.network.images.shape[3]))
    pixels = size[0] * size[1] / (grid[0] * grid[1])
    found = {}
    for name in names:
        share = np.full((len(job.places), *grid), np.nan)
        for k, one in enumerate(regions):
            if name in one:
                mask = one[name]()
                share[k] = cell_sums(in_frame(mask, encoder, size, job.images[k].shape[:2])[None], grid)[0] / pixels
        if np.isfinite(share).any():
            found[name] = share
    return found


def _shown(network: Differentiable) -> np.ndarray:
    """The prepared images for the eye: from 0 to 1, in colour where they are, each by its own range."""
    images = network.images.cpu().numpy().astype(np.float64)
    card = network.encoder.card
    if card.input is not None and len(card.input.mean) == images.shape[1]:
        images = images * np.reshape(card.input.std, (1, -1, 1, 1)) + np.reshape(card.input.mean, (1, -1, 1, 1))
        images = images.clip(0, 1)
    else:
        low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
        images = (images - low) / np.where(high > low, high - low, 1)
    if images.shape[1] != 3 or np.abs(images - images.mean(axis=1, keepdims=True)).max() < 0.02:
        return images.mean(axis=1)
    return images.transpose(0, 2, 3, 1)
