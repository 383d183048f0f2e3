"""Maps of one encoder at one site, and every number that says how far they may be believed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

import probes
from probes import ProbeError
from probes.embedding.agreement import Agreement, held_out, own_group, seen, silhouette
from probes.embedding.neighbours import neighbours, prepared
from probes.embedding.project import beside, principal, umap
from probes.embedding.trust import Trust, trust
from slitlamp.embedding.colours import Colouring
from slitlamp.embedding.settings import MapSettings
from slitlamp.log import say
from slitlamp.questions import Question
from slitlamp.settings import Settings

PERMUTATIONS = 999
VISIBLE = 0.3  # strength from which the eye sees it: .65 of two equal classes told right, or a concordance of .6
SHOWN, OPEN = "shown, borne out", "shown, left open by the features"
EMPTY = "a pretty cluster without substance"
NEAR, UNSEEN = "near in the features, not in the map", "not seen"
TITLES = {"pca": "PCA", "umap": "UMAP", "probe": "view of the probe"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What one colouring comes to: in the features, held out by group, and in each map, to the eye.

    `original` is None where nothing can be held out. `across` is what neighbours of other groups tell in each map: a
    map may show what the features bury under noise. `adjusted` is the p of `original`, `visible` and `apart` those of
    `maps` and `across`, paid for over all colourings and points.
    """

    colouring: Colouring
    original: Agreement | None
    maps: Mapping[str, Agreement]
    silhouette: Agreement | None = None
    adjusted: float | None = None
    visible: Mapping[str, float] = field(default_factory=dict)
    across: Mapping[str, Agreement] = field(default_factory=dict)
    apart: Mapping[str, float] = field(default_factory=dict)

    @property
    def told(self) -> bool:
        """Whether neighbours in the features tell it at all, by the permutation test: of images of other groups."""
        found = self.original
        return found is not None and self.adjusted is not None and self.adjusted <= 0.05 and found.score > found.chance

    @property
    def borne_out(self) -> bool:
        """Whether they tell it, and the whole interval lies above chance."""
        found = self.original
        return self.told and found is not None and (found.low is None or found.low > found.chance)

    def shown(self, name: str) -> bool:
        """Whether the eye sees it in a map: neighbours there, of whatever group, tell it, and not by luck."""
        return self.maps[name].strength >= VISIBLE and self.visible.get(name, 1.0) <= 0.05

    def reading(self, *names: str) -> str:
        """The verdict on the maps of these names, or on all, in words."""
        seen = [name for name in names or self.maps if self.shown(name)]
        if seen:
            held = self.told or any(self.apart.get(name, 1.0) <= 0.05 for name in seen)
            elsewhere = [self.original, *(self.across.get(name) for name in seen)]
            held |= any(one is not None and one.strength >= VISIBLE for one in elsewhere)  # of few images p says little
            return SHOWN if self.borne_out else OPEN if held else EMPTY
        return NEAR if self.borne_out else UNSEEN


@dataclass(frozen=True, kw_only=True, eq=False)
class Looked:
    """One point of an encoder: its features as distances are taken, its maps, and what was read of each colouring."""

    encoder: Any
    site: str
    readout: str
    x: np.ndarray
    places: np.ndarray
    maps: Mapping[str, np.ndarray]
    trusts: Mapping[str, Trust]
    shares: np.ndarray
    measurement: Any
    seen: Sequence[Seen] = ()
    readable: float | None = None  # the p of the probe, paid for over points
    notes: Sequence[str] = field(default=())

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return f"{self.encoder.label} {self.site}/{self.readout}"

    @cached_property
    def view(self) -> np.ndarray:
        """The view of the probe [n, 2]: held-out decision values of the first repeat, and what else is large.

        The decision value is for the second class against the first; of more classes it is the main direction of their
        scores, and of a number the prediction.
        """
        score = np.asarray(self.measurement.predictions.score[0], np.float64)
        classes = self.measurement.plan.classes
        if classes is None:
            value = score[:, 0]
        elif len(classes) == 2:
            value = score[:, -1] - score[:, 0] if score.shape[1] == 2 else score[:, 0]
        else:
            value = principal(score - score.mean(axis=0), 1)[0][:, 0]
        return beside(value, self.x)

    @property
    def read_by_probe(self) -> bool:
        """Whether the probe reads the answer, paid for over points."""
        found = self.measurement.estimate
        return self.readable is not None and self.readable <= 0.05 and found.score > found.chance


def look(
    point: tuple[Any, str, str], features: np.ndarray, question: Question, colourings: Sequence[Colouring],
    plans: Mapping[str, Any], settings: Settings, own: MapSettings, permutations: int = PERMUTATIONS,
) -> Looked:  # fmt: skip
    """Maps of features [n, d] of a question's items, and what neighbours and the probe say of every colouring.

    `plans` are those of the colourings that can be held out, `permutations` those of what a map shows.

    Raises:
        ProbeError: features that cannot be mapped, or fewer items than neighbours, naming the encoder and the site.
    """
    encoder, site, readout = point
    seed = settings.source.seed
    try:
        x = prepared(features, own.metric)
        places, distances = neighbours(x, own.neighbours)
        shares = principal(x)[1]
        maps: dict[str, np.ndarray] = {}
        for name in dict.fromkeys(own.map):
            maps[name] = (
                principal(x)[0] if name == "pca"
                else umap(x, places, distances, seed=seed, min_dist=own.min_dist, first=_compiling)
            )  # fmt: skip
        measurement = probes.measure(
            question.features(x), plans["answer"], probe=settings.probe.probe, seed=settings.probe.seed, detect=False,
            nested=False,
        )  # fmt: skip
        notes: list[str] = []
        found = [
            one for colouring in colourings
            if (one := _seen(colouring, x, maps, plans.get(colouring.name), own, seed, notes, permutations))
            is not None
        ]  # fmt: skip
    except ProbeError as error:
        raise ProbeError(f"{encoder.label} {site}/{readout}: {error}") from None
    return Looked(
        encoder=encoder, site=site, readout=readout, x=x, places=places, maps=maps, shares=shares, seen=found,
        trusts={name: trust(x, places, shown, seed=seed) for name, shown in maps.items()}, measurement=measurement,
        notes=notes,
    )  # fmt: skip


def _compiling() -> None:
    say("UMAP: numba compiles once in every process, which takes 5 to 20 seconds; the fits after it are quick")


def _seen(
    colouring: Colouring, x: np.ndarray, maps: Mapping[str, np.ndarray], plan: Any, own: MapSettings, seed: int,
    notes: list[str], permutations: int,
) -> Seen | None:  # fmt: skip
    """What neighbours say of one colouring; None, and a note, where there is nothing to say."""
    k = own.neighbours
    if colouring.kind == "group":
        nearest = {
            name: own_group(neighbours(shown, k)[0], colouring.values, seed=seed) for name, shown in maps.items()
        }
        if any(one is None for one in nearest.values()):
            return None
        original = own_group(neighbours(x, k)[0], colouring.values, seed=seed, permutations=PERMUTATIONS)
        return Seen(colouring=colouring, original=original, maps={n: a for n, a in nearest.items() if a is not None})
    if plan is None:
        return None
    some = np.flatnonzero(colouring.known)
    try:
        found = {
            name: seen(neighbours(shown[some], k)[0], plan, seed=seed, permutations=permutations)
            for name, shown in maps.items()
        }
        original, *others = [
            held_out(neighbours(space[some], k, apart=plan.groups)[0], plan) for space in (x, *maps.values())
        ]
    except ProbeError as error:
        if colouring.kind == "answer":  # no map without the number that says what it is worth
            raise
        notes.append(f"{colouring.name} cannot be held out ({error})")
        return None
    return Seen(
        colouring=colouring, original=original, maps=found, across=dict(zip(maps, others, strict=True)),
        silhouette=silhouette(x[some], plan, seed=seed),
    )  # fmt: skip


def permutations_of(tests: int) -> int:
    """Permutations with which one p of so many can still come below .05 once all are paid for."""
    return max(PERMUTATIONS, 20 * tests - 1)


def plans_of(
    question: Question, colourings: Sequence[Colouring], settings: Settings, points: int = 1
) -> tuple[dict[str, Any], list[str]]:
    """A plan for each colouring that can be held out by group, and sentences on those that cannot.

    Raises:
        ProbeError: the answer itself cannot be held out.
    """
    asked = settings.probe.permutations
    count, many = asked or PERMUTATIONS, asked or permutations_of(len(colourings) * points)
    found: dict[str, Any] = {}
    notes = []
    answer = probes.plan(
        question.y, question.groups, classes=question.classes, seed=settings.probe.seed, permutations=count,
        copies=question.copies,
    )  # fmt: skip
    for one in colourings:
        if one.kind == "answer":
            found[one.name] = answer
        if one.kind != "nuisance":
            continue
        some = one.known
        try:
            found[one.name] = probes.plan(
                one.values[some], question.groups[some], classes=one.classes, seed=settings.probe.seed, repeats=1,
                permutations=many,
            )  # fmt: skip
        except ProbeError as error:
            notes.append(f"{one.name} cannot be held out ({error})")
    return {"answer": answer} | found, notes


def adjusted(looked: Sequence[Looked]) -> list[Looked]:
    """The same with every p paid for: of answer and probe over the points (Holm), of the rest by false discovery."""
    every = [s for one in looked for s in one.seen]
    held = {id(s): float(s.original.p) for s in every if s.original is not None and s.original.p is not None}
    answers = {id(s) for s in every if s.colouring.kind == "answer"}
    paid = _paid({k: p for k, p in held.items() if k in answers}, probes.holm)
    paid |= _paid({k: p for k, p in held.items() if k not in answers}, probes.benjamini_hochberg)
    seen_p = {(id(s), name): float(a.p) for s in every for name, a in s.maps.items() if a.p is not None}
    across_p = {(id(s), name): float(a.p) for s in every for name, a in s.across.items() if a.p is not None}
    visible: dict[Any, float] = {}
    apart: dict[Any, float] = {}
    for is_answer in (True, False):  # the answer does not pay for the number of columns
        for values, into in ((seen_p, visible), (across_p, apart)):
            mine = {key: p for key, p in values.items() if (key[0] in answers) == is_answer}
            into |= _paid(mine, probes.benjamini_hochberg)
    read = probes.holm([float(one.measurement.estimate.p) for one in looked])
    return [
        replace(
            one, readable=float(p),
            seen=[
                replace(s, adjusted=paid.get(id(s)), visible={n: visible.get((id(s), n), 1.0) for n in s.maps},
                        apart={n: apart.get((id(s), n), 1.0) for n in s.across})
                for s in one.seen
            ],
        )
        for one, p in zip(looked, read, strict=True)
    ]  # fmt: skip


def _paid(values: Mapping[Any, float], adjust: Callable[[Sequence[float]], np.ndarray]) -> dict[Any, float]:
    return dict(zip(values, map(float, adjust([*values.values()])), strict=True)) if values else {}


def by_strength(found: Sequence[Seen]) -> list[Seen]:
    """The answer, the group, then nuisances, those first that a map shows most."""
    kinds = ("answer", "group", "nuisance")
    return sorted(found, key=lambda s: (kinds.index(s.colouring.kind), -max(a.strength for a in s.maps.values())))
