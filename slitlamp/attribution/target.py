"""What is explained: a probe's answer, the similarity of a pair or that to a text, and the control of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import probes
from encoders import EncoderError
from probes.solvers.hyperplanes import exchanged, hyperplanes
from probes.stats.scores import scored
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.encoding.fill import encode_missing
from slitlamp.errors import UsageError
from slitlamp.keys import array_digest
from slitlamp.questions import Question
from slitlamp.settings import ProbeSettings, Settings

if TYPE_CHECKING:
    import torch

DRAWS = 8  # probes trained on exchanged labels; each image has one of them as its control
FEW_ITEMS = 400  # up to which every readout is tried for the point that reads best
COMPANIONS, LOOKED_AT = 9, 1000
PLAIN = ("cls", "mean", "vector")
AS_GOOD = 0.01  # of points whose scores differ by less, the deepest is explained
UNRELATED = (  # texts that say nothing of a medical image: the control of a text
    "a street at night", "a bowl of fruit", "two dogs on a beach", "a page of printed text", "a red car",
    "a mountain in winter", "a wooden chair", "people at a concert",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """One number of features x for each of n images: x . weights + intercept.

    With `unit` x is first made a unit vector, less `centre` where there is one. weights [n, d], intercept [n],
    centre [d] or None.
    """

    weights: np.ndarray
    intercept: np.ndarray
    centre: np.ndarray | None = None
    unit: bool = False

    def of(self, features: "torch.Tensor", rows: "torch.Tensor") -> "torch.Tensor":
        """The number of features [m, d] of variants of the images `rows` [m], in the graph."""
        import torch

        x = features.double()
        at = rows.cpu().numpy()
        if self.centre is not None:
            x = x - torch.as_tensor(self.centre, device=x.device)
        if self.unit:
            x = torch.nn.functional.normalize(x, dim=1)
        weights = torch.as_tensor(self.weights[at], device=x.device)
        return ((x * weights).sum(dim=1) + torch.as_tensor(self.intercept[at], device=x.device)).float()

    def take(self, where: Sequence[int]) -> "Head":
        """The head of some of the images."""
        at = list(where)
        return replace(self, weights=self.weights[at], intercept=self.intercept[at])

    @property
    def material(self) -> list[Any]:
        """What identifies it, for a key."""
        parts = (self.weights, self.intercept, *(() if self.centre is None else (self.centre,)))
        return [self.unit, *(array_digest(p) for p in parts)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """What is explained of one encoder: the head and its control at one point, and what is known of the probe.

    `words` name the number that is explained, `control` what the control is; `facts` go into the table of probes;
    `unread` says that the probe does not read the answer, so that there is nothing to explain.
    """

    encoder: StoredEncoder
    site: str
    readout: str
    head: Head
    control: Head
    words: str
    control_words: str
    scores: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)
    unread: str = ""
    notes: tuple[str, ...] = ()


def probe_target(encoder: StoredEncoder, question: Question, items: Sequence[int], settings: Settings) -> Target:
    """The logit of the out-of-fold probe of each item: its true answer's score less its strongest rival's."""
    plan = plan_of(question, settings.probe)
    point, tried = _point(encoder, question, plan, settings)
    site, readout = point[0], point[1]
    features = _features(encoder, question, point)
    given = replace(features, y=plan.y)  # of numbers the normal scores, on which probes are trained
    name = settings.probe.probe or plan.headline
    measured = probes.measure(features, plan, probe=name, seed=settings.probe.seed, detect=False, nested=False)
    planes = hyperplanes(given, plan.folds, items, _rng(settings), probe=name, penalty=plan.penalty)
    where = np.arange(len(items))
    scores = planes.scores(given.x[list(items)])
    if question.classes is None:
        mine, rival = np.zeros(len(items), int), None
        words = f"the probe's {question.task.unit or 'number'}, as a normal score"
    else:
        mine = question.y[list(items)]
        others = scores.copy()
        others[where, mine] = -np.inf
        rival = others.argmax(axis=1)
        words = "the probe's score of the true answer less that of its strongest rival"
    head = _contrast(planes, mine, rival)
    control = _control(given, plan, items, mine, rival, name, settings)
    estimate = measured.estimate
    facts = {
        "encoder": encoder.label, "task": question.name, "site": site, "readout": readout, "probe": measured.probe,
        "metric": estimate.metric, "score": estimate.score, "low": estimate.low, "high": estimate.high,
        "chance": estimate.chance, "p": estimate.p, "items": len(question.ids),
        "groups": plan.n_groups, "points_tried": tried,
    }  # fmt: skip
    unread = ""
    if estimate.p is not None and estimate.p > 0.05:
        unread = (
            f"the probe does not read the answer here ({estimate.metric} {estimate.score:.2f}, chance "
            f"{estimate.chance:.2f}, p = {estimate.p:.2f}): there is nothing to explain"
        )
    chosen = f"{encoder.label}: read at {site}/{readout}, the deepest of those that read best among {tried} points, "
    notes = (f"{chosen}on these very items",) if tried > 1 else ()
    return Target(
        encoder=encoder, site=site, readout=readout, head=head, control=control, words=words,
        control_words="the same probe trained on exchanged labels", facts=facts, unread=unread, notes=notes,
        scores=scores[where, mine] - (0 if rival is None else scores[where, rival]),
    )  # fmt: skip


def plan_of(question: Question, asked: ProbeSettings) -> Any:
    """Folds, exchanged labels and rules of a question."""
    return probes.plan(
        question.y, question.groups, classes=question.classes, seed=asked.seed, folds=asked.folds,
        repeats=asked.repeats, permutations=asked.permutations, copies=question.copies,
    )  # fmt: skip


def _rng(settings: Settings) -> np.random.Generator:
    return np.random.default_rng([settings.probe.seed, 74])  # as the probe's own predictions are drawn


def _features(encoder: StoredEncoder, question: Question, point: tuple[str, str, int]) -> Any:
    found = encode_missing(encoder, question.pictures, [point], question.source.policy)
    return question.features(found.read(f"{point[0]}/{point[1]}"))


def _point(encoder: StoredEncoder, question: Question, plan: Any, settings: Settings) -> tuple[Any, int]:
    """The point that is named, or the deepest of those where the answer is read best; and how many were tried."""
    points = encoder.points(question.pictures.marked)
    if not points:
        raise UsageError(f"{encoder.label} has no point of the site and readout that are asked")
    if not settings.encoder.readout and len(question.ids) > FEW_ITEMS:
        points = [point for point in points if point[1] in PLAIN] or points
    points = [point for point in points if not encoder.card.sites[point[0]].views]
    if not points:
        raise EncoderError(f"{encoder.label} cuts images into tiles: a map of one image has no place for that")
    if len(points) == 1:
        return points[0], 1
    table = encode_missing(encoder, question.pictures, points, question.source.policy)
    scores = []
    for site, readout, _ in points:
        given = probes.FeatureSet(
            x=table.read(f"{site}/{readout}"), y=plan.y, groups=question.groups, ids=question.ids,
            classes=question.classes,
        )  # fmt: skip
        found = probes.load("ridge")(given, plan.folds[:1], _rng(settings), penalty=plan.penalty)
        scores.append(scored(found, None if plan.classes is None else len(plan.classes)).mean)
    within = [k for k, score in enumerate(scores) if score >= max(scores) - AS_GOOD]
    return points[within[-1]], len(points)


def _contrast(planes: Any, mine: np.ndarray, rival: np.ndarray | None) -> Head:
    where = np.arange(len(mine))
    weights, intercept = planes.weights[where, mine], planes.intercept[where, mine]
    if rival is not None:
        weights, intercept = weights - planes.weights[where, rival], intercept - planes.intercept[where, rival]
    return Head(weights=weights, intercept=intercept)


def _control(
    given: Any, plan: Any, items: Sequence[int], mine: np.ndarray, rival: np.ndarray | None, name: str,
    settings: Settings,
) -> Head:  # fmt: skip
    """Probes trained on exchanged labels, a draw for each of up to eight shares of the items."""
    draws = plan.draws(min(DRAWS, len(items)), 5)
    folds = plan.folds[:1] if name == "linear" else plan.folds  # nested fits of every draw would take minutes
    planes = exchanged(given, folds, items, draws, _rng(settings), probe=name, penalty=plan.penalty)
    return _contrast(planes, mine, rival)


def pair_target(
    encoder: StoredEncoder, x: np.ndarray, places: Sequence[int], others: Sequence[int], point: tuple[str, str, int]
) -> Target:
    """The similarity of pairs of images, centred cosine, explained in each of them; the control is another image.

    x [n, d] are the features of all images; `places` the two images of each pair in turn, `others` an image for each
    that is no part of its pair.
    """
    centre = x.mean(axis=0, dtype=np.float64)
    away = x.astype(np.float64) - centre
    norm = np.linalg.norm(away, axis=1, keepdims=True)
    if not (norm[[*places, *others]] > 0).all():
        raise EncoderError(f"{encoder.label} gives an image exactly the mean of all: no cosine is known")
    unit = away / norm
    partner = np.asarray(places).reshape(-1, 2)[:, ::-1].ravel()
    scores = (unit[list(places)] * unit[partner]).sum(axis=1)
    zero = np.zeros(len(places))
    return Target(
        encoder=encoder, site=point[0], readout=point[1],
        head=Head(weights=unit[partner], intercept=zero, centre=centre, unit=True),
        control=Head(weights=unit[list(others)], intercept=zero, centre=centre, unit=True),
        words="the similarity of the two images (centred cosine)",
        control_words="the similarity to an image of another group", scores=scores,
        facts={
            "encoder": encoder.label, "task": "pair", "site": point[0], "readout": point[1], "score": float(scores[0]),
            "metric": "centred cosine", "items": len(x),
        },
    )  # fmt: skip


def companions(x: np.ndarray, groups: np.ndarray, places: Sequence[int], seed: int) -> list[int]:
    """Further pairs, each image once and each group in one pair, whose similarity is nearest to that of a pair.

    One pair cannot try a method; up to nine others as similar can. x [n, d]; at most 1,000 images, drawn by a seed, are
    looked at.
    """
    rng = np.random.default_rng([seed, len(x), 97])
    free = np.array([k for k in range(len(x)) if groups[k] not in {groups[p] for p in places}], dtype=int)
    free = np.sort(rng.permutation(free)[:LOOKED_AT])
    away = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    unit = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-30)
    distance = np.abs(unit[free] @ unit[free].T - float(unit[places[0]] @ unit[places[1]]))
    upper = np.triu_indices(len(free), 1)
    found: list[int] = []
    used: set[Any] = set()
    for k in np.argsort(distance[upper], kind="stable"):
        a, b = int(free[upper[0][k]]), int(free[upper[1][k]])
        if groups[a] in used or groups[b] in used or groups[a] == groups[b]:
            continue
        used |= {groups[a], groups[b]}
        found += [a, b]
        if len(found) == 2 * COMPANIONS:
            break
    return found


def text_target(encoder: StoredEncoder, x: np.ndarray, items: Sequence[int], texts: Sequence[str]) -> Target:
    """The similarity of images to a text in the joint space, or to the first text less that to the second."""
    network = encoder.load()
    if network.text is None:
        raise UsageError(
            f"{encoder.label} reads no text; `python -m experiments.list encoders` marks the encoders with a text tower"
        )
    t = network.text([*texts, *UNRELATED]).astype(np.float64)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    own = t[0] - t[1] if len(texts) == 2 else t[0]
    free = t[len(texts) :]
    draw = np.arange(len(items)) % len(free)
    control = free[draw] - (np.roll(free, 1, axis=0)[draw] if len(texts) == 2 else 0.0)
    z = x[list(items)].astype(np.float64)
    scores = (z / np.linalg.norm(z, axis=1, keepdims=True)) @ own
    zero = np.zeros(len(items))
    named = " less that to ".join(repr(text) for text in texts)
    return Target(
        encoder=encoder, site="joint", readout="vector",
        head=Head(weights=np.repeat(own[None], len(items), axis=0), intercept=zero, unit=True),
        control=Head(weights=control, intercept=zero, unit=True),
        words=f"the similarity to {named} (cosine)", control_words="the similarity to texts that say nothing of it",
        scores=scores,
        facts={
            "encoder": encoder.label, "task": "text", "site": "joint", "readout": "vector", "metric": "cosine",
            "score": float(scores.mean()), "items": len(items),
        },
    )  # fmt: skip


def chosen_items(question: Question, ids: Sequence[str], count: int, seed: int) -> list[int]:
    """The items named by id or file, or `count` drawn by a seed: of every answer in turn, of different groups first.

    Raises:
        UsageError: an id that no item has.
    """
    from plugins import hint
    from tasks import item_id

    place = {name: k for k, name in enumerate(question.ids)}
    if ids:
        names = [name if name in place else item_id(name) for name in ids]
        for given, name in zip(ids, names, strict=True):
            if name not in place:
                raise UsageError(
                    f"no item {given!r} of {question.name}; {hint(given, place)}an item is named by its id, which "
                    "`results.json` lists, or by its file as the source spells it"
                )
        return [place[name] for name in dict.fromkeys(names)]
    rng = np.random.default_rng([seed, len(place), 79])
    order = rng.permutation(len(place))
    if question.classes is None:
        bins = np.argsort(np.argsort(question.y, kind="stable"), kind="stable") * 4 // max(len(place), 1)
    else:
        bins = question.y
    queues = {int(b): [int(k) for k in order if bins[k] == b] for b in np.unique(bins)}
    found: list[int] = []
    used: set[Any] = set()
    while len(found) < min(count, len(place)):
        for queue in queues.values():
            fresh = next((k for k in queue if question.groups[k] not in used), queue[0] if queue else None)
            if fresh is None or len(found) == count:
                continue
            queue.remove(fresh)
            used.add(question.groups[fresh])
            found.append(fresh)
    return found
