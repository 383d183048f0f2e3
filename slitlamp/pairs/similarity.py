"""How alike the geometries of two encoders are, site by site, held against what whole groups exchanged would give."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

import cache
from probes import ProbeError
from probes.pairs.similarity import NAMES, Compared, biased_cka, compare
from slitlamp.encoding.encoder import StoredEncoder, named
from slitlamp.encoding.fill import encode_missing
from slitlamp.errors import UsageError
from slitlamp.pairs.figures import map_figure
from slitlamp.pairs.result import PairResult
from slitlamp.pairs.settings import SimilaritySettings
from slitlamp.pairs.spaces import Images, open_images, stored
from slitlamp.settings import Settings

LEAST = {"cka": 1, "rsa": 3, "knn": 2}  # features: with fewer, correlations (cosines) are 1 or -1 and nothing else
SITES_READOUT = ("vector", "mean", "cls")  # how a site is read where nothing is said, the first that it has


def similarity(settings: Settings, own: SimilaritySettings, command: str) -> PairResult:
    """Compare every site of an encoder with every site of each of the others; see `slitlamp.similarity`."""
    store = cache.Store(cache.default_root())
    images, notes = _some(open_images(settings, store), own.most, settings.source.seed)
    asked = [stored(spec, settings, store) for spec in named(settings.encoder)]
    every = [_features(one, settings, images) for one in asked]
    couples = [(0, k) for k in range(1, len(asked))] or [(0, 0)]
    tables: dict[str, list[dict[str, Any]]] = {}
    drawn: dict[str, Any] = {}
    sentences = []
    for index in own.index:
        rows: list[dict[str, Any]] = []
        sites = [_wide(index, one.label, points, notes) for one, points in zip(asked, every, strict=True)]
        for a, b in couples:
            found = compare(
                [x for _, x in sites[a]], [x for _, x in sites[b]], images.groups, index=index,  # type: ignore[arg-type]
                k=own.neighbours, permutations=settings.probe.permutations or 199, seed=settings.probe.seed,
            )  # fmt: skip
            names = [s for s, _ in sites[a]], [s for s, _ in sites[b]]
            labels = asked[a].label, asked[b].label
            rows += _rows(found, labels, names, [x for _, x in sites[a]], [x for _, x in sites[b]])
            drawn[f"{index}-{len(drawn) + 1}"] = partial(map_figure, found, labels, names, NAMES[index])
            sentences.append(_sentence(found, labels, names))
        tables[index] = rows
    notes.append(
        "an index says how alike two geometries are; an invertible map lowers it with the information unchanged, "
        "so that none of them can say that something was lost"
    )
    return PairResult(
        experiment="pairs similarity", tables=tables, sentences=sentences, notes=[*images.notes(asked), *notes],
        figures=drawn, command=command, summary=f"{len(images)} images compared",
    )  # fmt: skip


def _some(images: Images, most: int, seed: int) -> tuple[Images, list[str]]:
    """The images, or whole groups of them in a seeded order up to `most`; and a note that says so."""
    if len(images) <= most:
        return images, []
    groups = images.groups
    names = np.random.default_rng([seed, len(images), 43]).permutation(np.unique(groups))
    rank = {name: k for k, name in enumerate(names)}
    order = sorted(range(len(images)), key=lambda k: (rank[groups[k]], k))
    whole = [k for k in range(1, most + 1) if groups[order[k - 1]] != groups[order[k]]]  # no group is cut
    order = order[: whole[-1] if whole else most]
    note = f"{len(order)} of {len(images)} images are compared, whole groups in a seeded order; --most N takes more"
    return images.take(sorted(order)), [note]


def _features(encoder: StoredEncoder, settings: Settings, images: Images) -> list[tuple[str, np.ndarray]]:
    """Name and features of every site that is asked for, one readout each where none is named."""
    every = encoder.points(0)
    if settings.encoder.readout:
        points = [*every]
    else:
        sites = dict.fromkeys(p[0] for p in every)
        points = []
        for site in sites:
            here = {p[1]: p for p in every if p[0] == site}
            points.append(next((here[r] for r in SITES_READOUT if r in here), next(iter(here.values()))))
    if not points:
        raise UsageError(f"{encoder.label} has no features of whole images")
    table = encode_missing(encoder, images.pictures, points, images.source.policy)
    found = []
    for site, readout, _ in points:
        x = table.read(f"{site}/{readout}")
        if np.ptp(x, axis=0).max() == 0:
            raise ProbeError(f"{encoder.label} {site}/{readout}: all images have the same features; leave the site out")
        found.append((f"{site}/{readout}", x))
    return found


def _wide(
    index: str, label: str, points: Sequence[tuple[str, np.ndarray]], notes: list[str]
) -> list[tuple[str, np.ndarray]]:
    """The points with enough features for the index; what is left out goes into the notes."""
    least = LEAST[index]
    wide = [(name, x) for name, x in points if x.shape[1] >= least]
    narrow = [name for name, x in points if x.shape[1] < least]
    said = f"{label} {', '.join(narrow)}: fewer than {least} features have no {NAMES[index]}"
    if not wide:
        raise ProbeError(f"{said}; no other site is asked for")
    if narrow:
        notes.append(f"{said}, and are left out of it")
    return wide


def _rows(
    found: Compared, labels: tuple[str, str], names: tuple[Sequence[str], Sequence[str]],
    xs: Sequence[np.ndarray], ys: Sequence[np.ndarray],
) -> list[dict[str, Any]]:  # fmt: skip
    """A row per pair of sites, the most alike first."""
    rows = []
    p, tau, calibrated, expected = found.p, found.threshold, found.calibrated, found.expected
    for i, a in enumerate(names[0]):
        for j, b in enumerate(names[1]):
            rows.append(
                {
                    "encoder": labels[0], "site": a, "other": labels[1], "other_site": b,
                    "score": float(found.score[i, j]), "low": float(found.low[i, j]), "high": float(found.high[i, j]),
                    "biased": biased_cka(xs[i], ys[j]) if found.index == "cka" else None,
                    "null_mean": float(expected[i, j]), "tau": float(tau[i, j]), "calibrated": float(calibrated[i, j]),
                    "p": float(p[i, j]),
                }
            )  # fmt: skip
    return sorted(rows, key=lambda row: -row["calibrated"])


def _sentence(found: Compared, labels: tuple[str, str], names: tuple[Sequence[str], Sequence[str]]) -> str:
    i, j = divmod(int(found.score.argmax()), found.score.shape[1])
    ends = f"{labels[0]} {names[0][i]} and {labels[1]} {names[1][j]}"
    return (
        f"{NAMES[found.index]}: most alike are {ends}, {found.score[i, j]:.3f} [{found.low[i, j]:.3f}, "
        f"{found.high[i, j]:.3f}], {found.calibrated[i, j]:.3f} of what is left above chance "
        f"({found.threshold[i, j]:.3f}); "
        f"p {found.best_p:.3g}, paid for over {found.score.size} pairs of sites"
    )
