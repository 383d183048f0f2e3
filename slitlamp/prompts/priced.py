"""What an audit of visual prompts would take, before it starts: pictures to encode, bytes, time, what is missing."""

from dataclasses import replace
from typing import TYPE_CHECKING

import cache
from encoders import EncoderError
from slitlamp.ablation.priced import plan_result, price_of
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError, said_of
from slitlamp.prompts.controls import marker_controls
from slitlamp.prompts.presentations import open_task, prompted, showing
from slitlamp.prompts.probed import READOUTS, Points, audited_encoders, points_of, shown_to
from slitlamp.prompts.run import both_ways, pairs_of
from slitlamp.prompts.settings import NAME, Asked, command_line
from slitlamp.reports.result import CommandResult
from slitlamp.settings import portable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        rows.append({"encoder": encoder.label, "items": len(items)} | price_of(encoder, shown(points), source.policy))
    return plan_result(NAME, command_line(asked), rows, failed, UNPRICED)
