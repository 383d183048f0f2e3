"""What an audit of visual prompts would take, before it starts: pictures to encode, bytes, time, what is missing."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cache
from encoders import EncoderError
from slitlamp.ablation.priced import words_of
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.encoding.fill import pace_key, space_of
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError, none_of, said_of
from slitlamp.log import say
from slitlamp.prompts.controls import marker_controls
from slitlamp.prompts.presentations import open_task, prompted, showing
from slitlamp.prompts.probed import READOUTS, Points, audited_encoders, points_of, shown_to
from slitlamp.prompts.run import both_ways, pairs_of
from slitlamp.prompts.settings import NAME, Asked, command_line
from slitlamp.reports.result import CommandResult
from slitlamp.settings import portable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UNPRICED = "the search for marks, the readouts, and the audit itself"


def priced(asked: Asked) -> CommandResult:
    """A row for each encoder, and the totals in words; no hub is asked, and nothing is encoded or written.

    Raises:
        UsageError: a model's answers are audited, which encodes nothing; EncoderError: no encoder is on this machine.
    """
    if asked.answers is not None:
        raise UsageError("--dry-run has nothing to say beside --answers: what a model said is audited in seconds")
    store, settings = cache.Store(cache.default_root()), asked.settings
    task, source, items, _ = open_task(settings.source, store)
    marks = 0 if settings.source.task[0].startswith("orientation") else 3
    shown: Callable[[Points], Sequence[tuple[str, ImageSet, Points]]]
    if marks:
        given = prompted(task, source, items)
        shows = [showing(given, size, store) for size in (None, *asked.sizes)]
        markers = marker_controls(given, settings.probe.seed, store)
        shown = lambda points: shown_to(points, shows, markers)  # noqa: E731
    else:
        _, pictures = both_ways(items, pairs_of(task.name, source.name, items), store)
        shown = lambda points: [("", pictures, points)]  # noqa: E731
    rows, failed = [], []
    offline = replace(asked, settings=settings.but(offline=True))
    for encoder in audited_encoders(offline, store, marks):
        try:
            points = points_of(encoder, marks, READOUTS)
        except EncoderError as error:
            failed.append(said_of(portable(encoder.spec), error))
            continue
        rows.append({"encoder": encoder.label, "items": len(items)} | _price(encoder, shown(points), source.policy))
    if not rows:
        raise EncoderError(none_of(failed))
    for line in failed:
        say(f"error: {line}")
    seconds = [row["seconds"] for row in rows]
    totals: dict[str, Any] = {name: sum(row[name] for row in rows) for name in ("images_to_encode", "bytes_to_store")}
    totals["seconds"] = None if None in seconds else sum(seconds)
    return CommandResult(
        experiment=NAME, tables={"plan": rows}, sentences=words_of(totals, UNPRICED), command=command_line(asked),
        summary="nothing was encoded", failed=failed,
    )  # fmt: skip


def _price(
    encoder: StoredEncoder, shown: "Sequence[tuple[str, ImageSet, Points]]", policy: "Mapping[str, Any]"
) -> dict[str, Any]:
    """The pictures that an encoder has not seen, with bytes and seconds; those never hashed are told by their make."""
    space, images, size = space_of(encoder, policy), set(), 0
    for _, pictures, points in shown:
        names, contents = [f"{site}/{readout}" for site, readout, _ in points], pictures.known()
        if contents is None:
            todo = {p.identity or name for p, name in zip(pictures.pictures, pictures.names, strict=True)}
        else:
            todo = {contents[i] for i in space.missing(contents, names, verify=False)}
        images |= todo
        size += 2 * sum(width for _, _, width in points) * len(todo)
    pace = encoder.store.memo("pace").get_many([key := pace_key(encoder)]).get(key)
    seconds = len(images) * pace["seconds"] / pace["images"] if pace else None if images else 0.0
    return {"images_to_encode": len(images), "bytes_to_store": size, "seconds": seconds}
