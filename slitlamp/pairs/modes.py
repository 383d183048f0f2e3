"""The kinds of images that are confused: components of the mined graph, and modes of the difference of two kernels."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

import cache
from probes.pairs.inference import components
from probes.pairs.modes import Modes, modes
from slitlamp.pairs.figures import strip_figure
from slitlamp.pairs.mine import Mined, long_captioned, mined_pairs
from slitlamp.pairs.result import PairResult
from slitlamp.pairs.settings import ModesSettings
from slitlamp.pairs.spaces import Images, open_images
from slitlamp.settings import Settings

STRIP = 8  # images of a kind that are shown
EDGES = 2_000_000  # pairs whose graph is taken apart
FRONT = 0.5  # members of a mode reach this share of its largest entry


def kinds(settings: Settings, own: ModesSettings, command: str) -> PairResult:
    """Take the mined graph and the difference of the kernels apart; see `slitlamp.modes`."""
    store = cache.Store(cache.default_root())
    images = long_captioned(open_images(settings, store), own)
    found, notes = mined_pairs(settings, own, images, store)
    tables: dict[str, list[dict[str, Any]]] = {"modes": [], "components": []}
    strips: list[tuple[str, list[int]]] = []
    sentences: list[str] = []
    for one in found:
        spectrum = modes(
            one.encoder.x, one.reference.x, count=own.count, permutations=settings.probe.permutations or 99,
            seed=settings.source.seed,
        )  # fmt: skip
        ends = f"{one.encoder.encoder.label} against {one.reference.encoder.label}"
        for k in range(len(spectrum.value)):
            members = _members(spectrum, k)
            tables["modes"].append(_mode_row(one, spectrum, k, members, images, own.label))
            title = f"mode {k + 1} of {ends}, p {spectrum.p[k]:.3g}, {_many(members, images)}"
            strips.append((title, _one_each(members, images)))
        sentences.append(_words(spectrum, ends))
        groups, looked_at = _graph(one, images)
        for k, members in enumerate(groups[: own.count]):
            tables["components"].append(
                {
                    "encoder": one.encoder.name,
                    "reference": one.reference.name,
                    "component": k + 1,
                    "images": len(members),
                }
                | _shares(members, images, own.label)
            )
            title = f"component {k + 1} of {ends}, {_many(members, images)}"
            strips.append((title, _one_each(members, images)))
        sentences.append(
            (f"the first {looked_at:,} of " if looked_at < one.file.kept else "")
            + f"the {one.file.kept:,} mined pairs of {ends} hang together in {len(groups):,} components, the largest "
            f"of {len(groups[0]) if groups else 0} images"
        )
    said = images.notes([found[0].encoder.encoder, *(one.reference.encoder for one in found)])
    visible = images.source.synthetic or own.thumbnails
    shown = visible and any(members for _, members in strips)
    drawn = {"kinds": lambda: strip_figure([(t, [images.pictures.read(k) for k in m]) for t, m in strips])}
    if not visible:
        notes.append("your own images are not shown; --thumbnails shows them")
    return PairResult(
        experiment="pairs modes", tables=tables, sentences=sentences, notes=[*said, *notes],
        figures=drawn if shown else {}, data={name: save for one in found for name, save in one.data.items()},
        command=command, summary=f"{len(images)} images",
    )  # fmt: skip


def _members(spectrum: Modes, k: int) -> list[int]:
    """The images of a mode, its centre first."""
    vector = spectrum.vector[:, k]
    order = np.argsort(-vector, kind="stable")
    return [int(i) for i in order if vector[i] >= FRONT * vector[order[0]]]


def _mode_row(
    one: Mined, spectrum: Modes, k: int, members: Sequence[int], images: Images, labels: Sequence[str]
) -> dict[str, Any]:
    return {
        "encoder": one.encoder.name, "reference": one.reference.name, "mode": k + 1,
        "eigenvalue": float(spectrum.value[k]), "null_mean": float(spectrum.null.mean()), "p": float(spectrum.p[k]),
        "kept_by_reference": float(spectrum.kept[k]), "images": len(members), **_shares(members, images, labels),
    }  # fmt: skip


def _shares(members: Sequence[int], images: Images, labels: Sequence[str]) -> dict[str, Any]:
    """How the members are made up: groups, and each column's most frequent value beside its share of all images."""
    groups = images.groups
    found: dict[str, Any] = {"groups": len({groups[k] for k in members})}
    for column in labels:
        values = [str(value) for value in images.answers(column)[0]]
        value, count = Counter(values[k] for k in members).most_common(1)[0]
        share = values.count(value) / len(values)
        found[column] = f"{value or '-'} {100 * count / len(members):.0f} % (of all: {100 * share:.0f} %)"
    return found


def _words(spectrum: Modes, ends: str) -> str:
    many = int((spectrum.p <= 0.05).sum())
    if not many:
        return (
            f"{ends}: no kind of image that the first puts together and the second does not (p {spectrum.p[0]:.3g}); "
            "the modes below are what noise gives"
        )
    return (
        f"{ends}: {many} of {len(spectrum.value)} modes are larger than when the dimensions of both are dealt anew "
        f"(p {spectrum.p[0]:.3g} for the first, {len(spectrum.null)} permutations); the second "
        f"keeps {100 * float(spectrum.kept[0]):.0f} % of "
        "the first mode"
    )


def _one_each(members: Sequence[int], images: Images) -> list[int]:
    """The first members to be shown, one of each group: copies and repeats say nothing of the kind."""
    groups = images.groups
    first: dict[str, int] = {}
    for k in members:
        first.setdefault(groups[k], k)
    return [*first.values()][:STRIP]


def _many(members: Sequence[int], images: Images) -> str:
    groups = len({images.groups[k] for k in members})
    return f"{len(members)} images" + (f" of {groups} groups, one each is shown" if groups < len(members) else "")


def _graph(one: Mined, images: Images) -> tuple[list[list[int]], int]:
    """The images of each component of the mined graph, largest component first, and how many pairs were looked at."""
    import pyarrow.parquet as pq

    place = {name: k for k, name in enumerate(images.ids)}
    first: list[int] = []
    second: list[int] = []
    with pq.ParquetFile(one.file.path) as file:
        for batch in file.iter_batches(1 << 16, columns=["id_1", "id_2"]):
            first += [place[name] for name in batch.column(0).to_pylist()]
            second += [place[name] for name in batch.column(1).to_pylist()]
            if len(first) >= EDGES:
                break
    if not first:
        return [], 0
    label = components(np.array(first), np.array(second))
    found: dict[int, set[int]] = {}
    for k, a, b in zip(label.tolist(), first, second, strict=True):
        found.setdefault(k, set()).update((a, b))
    degree = Counter([*first, *second])
    ordered = [
        sorted(members, key=lambda k: (-degree[k], k))
        for members in sorted(found.values(), key=lambda members: (-len(members), min(members)))
    ]
    return ordered, len(first)
