"""What graded changes of the images do to features: movement, retrieval, and whether the change is read."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cache
from probes.pairs.perturbation import Moved, Threshold, moved, threshold
from slitlamp.encoding.encoder import StoredEncoder, named
from slitlamp.encoding.images import ImageSet
from slitlamp.keys import code_digest, digest
from slitlamp.pairs.figures import dose_figure
from slitlamp.pairs.result import PairResult
from slitlamp.pairs.settings import PerturbSettings
from slitlamp.pairs.spaces import Embedded, Images, embed, open_images
from slitlamp.settings import Settings
from tasks import DataError, Mark, Picture
from tasks.images import perturb as changes
from tasks.images.perturb import Perturbation, perturbation
from tasks.marks.draw import COLOURS, draw

MARKERS = "marker-recolour"
RECOLOURED = Perturbation(
    name=MARKERS, unit="steps through red, green, blue", strengths=(1.0, 2.0), change=lambda image, _: image
)


def perturb(settings: Settings, own: PerturbSettings, command: str) -> PairResult:
    """Change every image in every way and strength, and compare with the image as it was; see `slitlamp.perturb`."""
    store = cache.Store(cache.default_root())
    images = open_images(settings, store)
    marked = bool(images.rows[0].marks) and all({m.name for m in row.marks} == set(COLOURS) for row in images.rows)
    if MARKERS in own.perturbation and not marked:
        raise DataError(f"{MARKERS} exchanges the colours of {', '.join(COLOURS)} marks, and not every image has them")
    names = own.perturbation or (*changes.PERTURBATIONS, *((MARKERS,) if marked else ()))
    asked = [RECOLOURED if name == MARKERS else perturbation(name) for name in names]
    rows: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    curves: dict[str, dict[str, list[Moved]]] = {}
    sentences: list[str] = []
    encoders: list[StoredEncoder] = []
    for spec in named(settings.encoder):
        one = embed(spec, settings, images, store)
        encoders.append(one.encoder)
        mine = curves.setdefault(one.encoder.label, {})
        for change in asked:
            mine[change.name] = _curve(one, images, change, settings)
            rows += [_row(one, change, found) for found in mine[change.name]]
            limit = _limit(change, mine[change.name], images, settings.probe.seed)
            summary.append(_line(one, change, mine[change.name], limit))
        sentences += _sentences(one, mine)
    drawn = {"dose": partial(dose_figure, curves, {change.name: change.unit for change in asked})}
    return PairResult(
        experiment="pairs perturb", tables={"changes": summary, "strengths": rows}, sentences=sentences,
        notes=images.notes(encoders), figures=drawn, command=command,
        summary=f"{len(images)} images, {sum(len(c.strengths) for c in asked)} changes of each",
    )  # fmt: skip


def _curve(one: Embedded, images: Images, change: Perturbation, settings: Settings) -> list[Moved]:
    """The change at each of its strengths."""
    code = code_digest(str(Path(changes.__file__).parent))
    found = []
    for strength in change.strengths:

        def shown(k: int, strength: float = strength) -> np.ndarray:
            image = images.pictures.read(k)
            return (
                _recoloured(image, images.rows[k].marks, int(strength))
                if change is RECOLOURED
                else change(image, strength)
            )

        pictures = ImageSet(
            pictures=[
                Picture(
                    read=partial(shown, k),
                    identity=digest(["perturbed", change.name, strength, content, code, _marks(images, k, change)]),
                )
                for k, content in enumerate(images.pictures.contents)
            ],
            names=images.ids,
            store=images.pictures.store,
        )
        groups = np.unique(images.groups, return_inverse=True)[1]
        found.append(moved(one.x, one.of(pictures, images.source), groups, strength, settings.probe.seed))
    return found


def _marks(images: Images, k: int, change: Perturbation) -> list[list[Any]]:
    """The marks that a change of them rests on."""
    return [[m.name, m.x, m.y] for m in images.rows[k].marks] if change is RECOLOURED else []


def _recoloured(image: np.ndarray, marks: Sequence[Mark], steps: int) -> np.ndarray:
    """The image with every mark drawn over in the colour that stands `steps` further in the list of colours."""
    names = list(COLOURS)
    moved = [Mark(name=names[(names.index(m.name) + steps) % len(names)], x=m.x, y=m.y) for m in marks]
    return draw(image, moved)


def _limit(change: Perturbation, curve: Sequence[Moved], images: Images, seed: int) -> Threshold | None:
    """The strength at which the change is told beside the original; None of a change that has one strength."""
    if len(curve) < 2 or change.name in (MARKERS, "quarter-turn"):
        return None
    groups = np.unique(images.groups, return_inverse=True)[1]
    return threshold(np.array(change.strengths), np.stack([one.told for one in curve]), groups, seed)


def _row(one: Embedded, change: Perturbation, found: Moved) -> dict[str, Any]:
    return {
        "encoder": one.name, "change": change.name, "strength": found.strength, "movement": found.movement,
        "rank1": found.rank1.value, "rank1_low": found.rank1.low, "rank1_high": found.rank1.high,
        "common": found.common, "common_p": found.p, "beside": found.afc.value, "beside_low": found.afc.low,
        "beside_high": found.afc.high, "alone": found.absolute, "alone_low": found.absolute_low,
        "alone_high": found.absolute_high, "alone_p": found.absolute_p,
    }  # fmt: skip


def _line(one: Embedded, change: Perturbation, curve: Sequence[Moved], limit: Threshold | None) -> dict[str, Any]:
    """A line per change: what its greatest strength does, and from which strength it is told beside the original."""
    last = curve[-1]
    reached = "-" if limit is None else _words(limit)
    return {
        "encoder": one.name, "change": change.name, "unit": change.unit, "strongest": last.strength,
        "movement": last.movement, "rank1": last.rank1.value, "common": last.common, "common_p": last.p,
        "beside": last.afc.value, "alone": last.absolute, "alone_p": last.absolute_p, "told_from": reached,
    }  # fmt: skip


def _words(limit: Threshold) -> str:
    if limit.strength is None:
        return "no strength tried"
    if limit.below:
        return f"{limit.strength:g} (the weakest tried) or weaker"
    low, high = ("?" if end is None else f"{end:.3g}" for end in (limit.low, limit.high))
    return f"{limit.strength:.3g} [{low}, {high}]"


def _sentences(one: Embedded, curves: Mapping[str, Sequence[Moved]]) -> list[str]:
    blind = [name for name, curve in curves.items() if all(m.movement == 0 for m in curve)]
    beside = [
        name for name, curve in curves.items()
        if curve[-1].movement > 0 and curve[-1].afc.low > 0.5 and not curve[-1].absolute_p <= 0.05
    ]  # fmt: skip
    lines = []
    if blind:
        lines.append(f"{one.name} does not move at all under {', '.join(blind)}: it is blind to it by construction")
    if beside:
        lines.append(
            f"{one.name}: {', '.join(beside)} is told beside the original and not shown to be told alone, which is "
            "what a model that sees one image would need"
        )
    return lines
