"""Draw maps of features, say how far they may be believed, and write figures, page and coordinates."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

import cache
import probes
from encoders import EncoderError
from encoders.extraction.readouts import CLS, MEAN, VECTOR
from encoders.extraction.volumes import flat_only
from plugins import UserFileError
from probes import ProbeError
from slitlamp.embedding import figures, page
from slitlamp.embedding.colours import Colouring, colourings
from slitlamp.embedding.looked import Looked, Seen, adjusted, by_strength, look, permutations_of, plans_of
from slitlamp.embedding.moved import Moved, moved_between
from slitlamp.embedding.settings import MapSettings
from slitlamp.embedding.words import ALWAYS, moved, sentences
from slitlamp.encoding.encoder import StoredEncoder, check_points, stored_encoders
from slitlamp.encoding.fill import NotFiniteError, encode_missing
from slitlamp.errors import UsageError, none_of, said_of
from slitlamp.log import say
from slitlamp.pairs.spaces import PREFERRED
from slitlamp.probing.words import synthetic
from slitlamp.questions import Question, ask
from slitlamp.reports.result import CommandResult
from slitlamp.reports.text import question_line
from slitlamp.settings import Settings, portable
from tasks import DataError

T = TypeVar("T")
READ = (VECTOR.name, MEAN.name, CLS.name)  # how a site is read where nothing is said, the first that it has


def embed(settings: Settings, own: MapSettings, command: str) -> CommandResult:
    """Maps of every point that is asked for, of the items of one question; see `slitlamp.embed`."""
    store = cache.Store(cache.default_root())
    if settings.probe.probe is not None:
        probes.load(settings.probe.probe)  # an unknown name is refused before anything is computed
    asked = stored_encoders(settings.encoder, store)
    (question,) = ask(settings.source, store)
    say(question_line(question.facts))
    if len(question.ids) < own.neighbours + 2:
        raise DataError(
            f"{len(question.ids)} items are too few for --neighbours {own.neighbours}, which needs "
            f"{own.neighbours + 2}; bring more, or ask for fewer neighbours"
        )
    failed: list[str] = []
    one_only = len(asked) == 1
    asked = [one for one in asked if _tried(one, one_only, failed, partial(_card_of, one, settings))]
    if not asked:
        raise EncoderError(none_of(failed))
    points, notes = _points(asked, question)
    chosen, said = colourings(settings, question, own.colour, store)
    plans, unplanned = plans_of(question, chosen, settings, len(points))
    count = permutations_of(len(chosen) * len(points) * len(own.map))
    looked, encoded = [], 0
    for encoder in asked:
        mine = [point for who, point in points if who is encoder]
        filled = partial(encode_missing, encoder, question.pictures, mine, question.source.policy)
        table = _tried(encoder, one_only, failed, filled) if mine else None
        if table is None:
            continue
        encoded += table.encoded
        for site, readout, _ in mine:
            features = table.read(f"{site}/{readout}")
            one = partial(look, (encoder, site, readout), features, question, chosen, plans, settings, own, count)
            found = _tried(encoder, one_only and len(mine) == 1, failed, one)
            looked += [] if found is None else [found]
    if not looked:
        raise EncoderError(none_of(failed))
    asked = [one for one in asked if any(each.encoder is one for each in looked)]
    notes += [f"left out: {line}" for line in failed]
    looked = adjusted(looked)
    pairs = [moved_between(looked[0], other) for other in looked[1:]]
    lines = sentences(looked)
    lines += [moved((one.first, one.second), one.mean, one.chance, own.neighbours) for one in pairs]
    trained = [one.label for one in asked if one.card.synthetic]
    made = synthetic("images" * question.source.synthetic, f"the weights of {', '.join(trained)}" if trained else "")
    told = [question_line(question.facts), *question.facts["notes"], *made, *notes, *said]
    told += [*dict.fromkeys([*unplanned, *(f"{one.name}: {note}" for one in looked for note in one.notes)]), ALWAYS]
    visible = question.source.synthetic or own.thumbnails
    view = page.View(
        question=question, looked=looked, colourings=_ordered(chosen, looked[0]), moved=pairs, sentences=lines,
        notes=told, visible=visible, own=own, seed=settings.source.seed, command=command,
    )  # fmt: skip
    return CommandResult(
        experiment="embedding_plot", tables=_tables(looked, pairs, question, own, settings), sentences=lines,
        notes=told, questions=[question.facts], command=command,
        figures=_figures(looked, pairs, question, own, visible),
        data={
            "coordinates.parquet": lambda path: cache.write_atomically(path, _parquet(looked, question)),
            "map.html": lambda path: cache.write_atomically(path, page.html(view)),
        },
        arrays={f"{one.name} {name}": xy for one in looked for name, xy in _all_maps(one).items()},
        failed=failed, summary=f"{encoded} images encoded, {len(looked)} point{'s' * (len(looked) != 1)} mapped",
    )  # fmt: skip


def _tried(encoder: StoredEncoder, alone: bool, failed: list[str], act: Callable[[], T]) -> T | None:
    """What `act` gives; None where it fails and others are left, which is said and joins `failed`."""
    try:
        return act()
    except (EncoderError, UserFileError, NotFiniteError, ProbeError) as error:
        if alone:
            raise
        failed.append(said_of(portable(encoder.spec), error))
        say(f"error: {failed[-1]}")
        return None


def _card_of(encoder: StoredEncoder, settings: Settings) -> Any:
    """The card of an encoder that reads what is asked; an error where there is none."""
    if settings.source.volumes and not encoder.reads_volumes:
        raise flat_only(encoder.label)
    return encoder.card


def _points(
    asked: Sequence[StoredEncoder], question: Question
) -> tuple[list[tuple[StoredEncoder, tuple[str, str, int]]], list[str]]:
    """Where each encoder is read: the sites that are named, or the one whose vector stands for the image."""
    marked = question.pictures.marked
    notes = check_points(asked, [marked])
    labels = [encoder.label for encoder in asked]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise UsageError(f"two encoders are called {twice[0]}: give their CARDs names of their own")
    found = []
    for encoder in asked:
        every = encoder.points(marked)
        sites = list(dict.fromkeys(point[0] for point in every))
        if sites and not encoder.settings.site:
            sites = [next((site for site in PREFERRED if site in sites), sites[-1])]
        for site in sites:
            here = {point[1]: point for point in every if point[0] == site}
            usual = next((here[name] for name in READ if name in here), next(iter(here.values())))
            found += [(encoder, p) for p in (here.values() if encoder.settings.readout else [usual])]
    return found, notes


def _tables(
    looked: Sequence[Looked], pairs: Sequence[Moved], question: Question, own: MapSettings, settings: Settings
) -> dict[str, list[dict[str, Any]]]:
    maps = [
        {
            "encoder": one.encoder.label, "site": f"{one.site}/{one.readout}", "map": name, "items": len(one.x),
            "neighbours": t.neighbours, "metric": own.metric, "seed": settings.source.seed,
            "trustworthiness": t.trustworthiness, "continuity": t.continuity, "preserved": t.preserved,
            "by_chance": t.chance, "variance_shown": float(one.shares.sum()) if name == "pca" else None,
        }
        for one in looked for name, t in one.trusts.items()
    ]  # fmt: skip
    answers = []
    for one in looked:
        found = one.measurement.estimate
        answers.append(
            {
                "encoder": one.encoder.label, "site": f"{one.site}/{one.readout}", "probe": one.measurement.probe,
                "metric": found.metric, "score": found.score, "low": found.low, "high": found.high,
                "chance": found.chance, "p": found.p, "p_adjusted": one.readable,
            }
        )  # fmt: skip
    colours = [_row(one, s) for one in looked for s in by_strength(one.seen)]
    tables = {"maps": maps, "probe": answers, "colours": colours}
    changed = [row for pair in pairs for row in pair.rows(question, own.moved)]
    return tables | ({"moved": changed} if changed else {})


def _ordered(chosen: Sequence[Colouring], first: Looked) -> list[Colouring]:
    """The colourings in the order of the tables, those last of which nothing could be read."""
    order = [s.colouring.name for s in by_strength(first.seen)]
    return sorted(chosen, key=lambda one: order.index(one.name) if one.name in order else len(order))


def _row(one: Looked, s: Seen) -> dict[str, Any]:
    found = s.original
    assert found is not None
    return {
        "encoder": one.encoder.label, "site": f"{one.site}/{one.readout}", "colour": s.colouring.name,
        "kind": s.colouring.kind, "items": found.items, "metric": found.metric, "score": found.score,
        "low": found.low, "high": found.high, "chance": found.chance, "p": found.p, "p_adjusted": s.adjusted,
        **{f"in_{name}": s.maps[name].score for name in s.maps},
        "silhouette": None if s.silhouette is None else s.silhouette.score,
        "silhouette_low": None if s.silhouette is None else s.silhouette.low,
        "silhouette_high": None if s.silhouette is None else s.silhouette.high,
        "reading": s.reading(),
    }  # fmt: skip


def _figures(
    looked: Sequence[Looked], pairs: Sequence[Moved], question: Question, own: MapSettings, visible: bool
) -> dict[str, Callable[[], Any]]:
    width = int(own.width)
    drawn: dict[str, Callable[[], Any]] = {"maps": partial(figures.maps, looked, question, width)}
    for number, one in enumerate(looked, 1):
        ordered = by_strength(one.seen)
        for name in one.maps:
            stem = f"colours-{name}" if len(looked) == 1 else f"colours-{number}-{name}"
            drawn[stem] = partial(figures.colours, one, name, ordered, width)
    for number, pair in enumerate(pairs, 1):
        if visible and own.moved and len(pair.order):
            stem = "moved" if len(pairs) == 1 else f"moved-{number}"
            drawn[stem] = partial(figures.moved, pair, question, min(own.moved, figures.SHOWN), width)
    return drawn


def _all_maps(one: Looked) -> Mapping[str, np.ndarray]:
    return {**one.maps, "probe": one.view}


def _parquet(looked: Sequence[Looked], question: Question) -> bytes:
    """Every coordinate: one row for each item of each map, in the order of the items."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    n = len(question.ids)
    answer = [str(question.classes[k]) for k in question.y] if question.classes else [f"{v:.10g}" for v in question.y]
    rows: dict[str, list[Any]] = {
        name: [] for name in ("encoder", "site", "readout", "map", "id", "group", "answer", "x", "y")
    }
    for one in looked:
        for name, xy in _all_maps(one).items():
            for key, value in (("encoder", one.encoder.label), ("site", one.site), ("readout", one.readout)):
                rows[key] += [value] * n
            rows["map"] += [name] * n
            rows["id"] += question.ids
            rows["group"] += [str(group) for group in question.groups]
            rows["answer"] += answer
            rows["x"] += xy[:, 0].tolist()
            rows["y"] += xy[:, 1].tolist()
    held = io.BytesIO()
    pq.write_table(pa.table(rows), held, compression="zstd")
    return held.getvalue()
