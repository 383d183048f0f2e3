"""Pictures for an audit's controls, without marks and with moved marks; and where marks lie among tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cache import Store
from encoders import Encoder, Input, Site, View
from encoders.extraction.at_mark import _cell, _sees, frame
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.encoding.images import ImageSet
from slitlamp.keys import digest
from slitlamp.log import say
from slitlamp.prompts.presentations import ASSIGNMENTS, VERSION, Prompted, _Base, reach, shown
from tasks import Mark, Picture
from tasks.marks import draw

TRIALS = 200  # places that are tried for three marks
EDGE = 0.4  # of the shorter side, from the middle: moved marks stay within what an encoder that crops sees


@dataclass(frozen=True, kw_only=True)
class MarkerControls:
    """Pictures of images whose marks could be moved: the images' numbers [m], and what is shown of them.

    none: without marks, read at the places where they were. moved: the marks of the image as it is, at other places, no
    mark where its own kind was. own: the image with the colours of `assignment` [m]. The two last are read at the three
    marks' places and then at the three others, in the order of those as they are.
    """

    image: np.ndarray
    assignment: np.ndarray
    none: ImageSet
    own: ImageSet
    moved: ImageSet


def marker_controls(given: Prompted, seed: int, store: Store) -> MarkerControls | None:
    """The controls' pictures; images without room for three more marks are left out and told. None where none has."""
    kept, places = [], []
    for i, (marks, shape) in enumerate(zip(given.marks, given.shapes, strict=True)):
        where = move_marks(marks, shape, reach(shape, given.drawn), np.random.default_rng([seed, 11, i]))
        if where is not None:
            kept.append(i)
            places.append(where)
    if len(kept) < len(given.items):
        say(
            f"warning: {len(given.items) - len(kept)} images have no room for marks elsewhere: left out of the controls"
        )
    if not kept:
        return None
    kinds = np.random.default_rng([seed, 12]).integers(0, 6, len(kept))
    shared, made = _Base(), {"none": [], "own": [], "moved": []}
    for i, kind, where in zip(kept, kinds, places, strict=True):
        item, marks = given.items[i], given.marks[i]
        base = item.picture.identity
        all_marks = [[m.name, float(m.x), float(m.y)] for m in (*marks, *where)]
        own = partial(shown, shared, item, marks, ASSIGNMENTS[kind], None)
        for name, read, more in (
            ("none", partial(shared.erased, item, marks), []),
            ("own", own, [int(kind)]),
            ("moved", partial(_moved, shared, given, i, where), [given.drawn]),
        ):
            key = None if base is None else digest(["aside", VERSION, name, base, all_marks, *more])
            made[name].append(Picture(read=read, identity=key))
    first = [[(float(m.x), float(m.y)) for m in given.marks[i]] for i in kept]
    both = [own + [(float(m.x), float(m.y)) for m in where] for own, where in zip(first, places, strict=True)]
    names = [given.items[i].id for i in kept]
    lists = {
        name: ImageSet(
            pictures=made[name], names=[f"{n}:{name}" for n in names], store=store,
            marks=first if name == "none" else both,
        )
        for name in made
    }  # fmt: skip
    return MarkerControls(image=np.array(kept), assignment=kinds, **lists)


def _moved(base: _Base, given: Prompted, i: int, where: Sequence[Mark]) -> np.ndarray:
    item, marks = given.items[i], given.marks[i]
    image, found = base.measured(item, marks)
    rgb = {m.name: (round(m.colour[0]), round(m.colour[1]), round(m.colour[2])) for m in found}
    clean = base.erased(item, marks)
    return draw.draw(clean, where, reach=reach(image.shape[:2], given.drawn), colours=rgb)


def move_marks(
    marks: Sequence[Mark], shape: tuple[int, int], radius: int, rng: np.random.Generator
) -> tuple[Mark, ...] | None:
    """The marks at random places that touch neither each other nor where a mark was; None where no room is found."""
    h, w = shape
    side, distance = EDGE * min(h, w) - radius, 2 * radius + 3
    taken, out = [(m.x, m.y) for m in marks], []
    for x, y in rng.uniform(-side, side, (TRIALS, 2)) + np.array(((w - 1) / 2, (h - 1) / 2)):
        spot = (float(round(x)), float(round(y)))
        if all(np.hypot(spot[0] - a, spot[1] - b) > distance for a, b in taken):
            taken.append(spot)
            out.append(spot)
        if len(out) == 3:
            return tuple(Mark(name=m.name, x=a, y=b) for m, (a, b) in zip(marks, out, strict=True))
    return None


def phases(encoder: StoredEncoder, site: str, given: Prompted) -> np.ndarray | None:
    """How far each mark's centre lies from the nearest border between the site's tokens, in tokens, [n, 3].

    None where the place of tokens in the image is not known.
    """
    card = encoder.card
    known = card.sites[site]
    if known.grid is None or len(known.grid) != 2 or card.input is None:
        return None
    varies = card.input.resize in ("tiles", "native")
    network = encoder.load() if varies else None
    found: dict[tuple[int, int], tuple[View, ...]] = {}
    for shape in given.shapes:
        if shape not in found:
            found[shape] = _views(network, card.input, known, site, shape)
    return np.array(
        [[_phase(found[shape], (m.x + 0.5) / shape[1], (m.y + 0.5) / shape[0]) for m in own]
         for own, shape in zip(given.marks, given.shapes, strict=True)]
    )  # fmt: skip


def _views(encoder: Encoder | None, spec: Input, known: Site, site: str, shape: tuple[int, int]) -> tuple[View, ...]:
    if encoder is not None and encoder.layout is not None:
        known = encoder.layout(encoder.preprocess(np.zeros((*shape, 3), np.uint8)))[site]
    assert known.grid is not None
    return known.views or (View(grid=(known.grid[0], known.grid[1]), box=frame(spec, *shape)),)


def _phase(views: Sequence[View], x: float, y: float) -> float:
    seeing = [view for view in views if _sees(view, (y, x))] or [*views]
    view = min(seeing, key=_cell)
    top, left, bottom, right = view.box
    at = np.array([(y - top) / (bottom - top) * view.grid[0], (x - left) / (right - left) * view.grid[1]])
    return float(np.abs(at - np.round(at)).min())
