"""What is to be encoded: the images of each question, or every image of a source, and where each encoder is read."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import encoders
from cache import Store
from encoders.extraction.readouts import AT_MARK, VECTOR
from encoders.extraction.volumes import flat_only
from slitlamp.encoding.encoder import StoredEncoder, check_points, stored_encoders
from slitlamp.encoding.images import ImageSet
from slitlamp.log import say
from slitlamp.probing.state import CONTROLS
from slitlamp.questions import ask
from slitlamp.reports.text import question_line
from slitlamp.settings import Settings
from slitlamp.sources import identify, list_source
from tasks import DataError
from tasks.sources.rows import ids_of, pictures_of

Points = list[tuple[str, str, int]]
EVERY = "every image"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Images to encode, under one decode policy.

    `lazily` says that none was decoded yet, so that some may be unreadable; `before` are those that were found so in
    listing them (id, reason), `limit` the largest share.
    """

    name: str
    pictures: ImageSet
    policy: Mapping[str, Any]
    lazily: bool = False
    before: Sequence[tuple[str, str]] = ()
    limit: float = 0.0


def asked_of(settings: Settings, store: Store) -> list[Asked]:
    """The images of every task of the settings, as `linear_probe` asks for them; without a task those of --data.

    Raises:
        DataError, UsageError: as `linear_probe` refuses them.
    """
    source = settings.source
    if source.data is None or source.task or source.label:
        try:
            questions = ask(source, store)
        except DataError as error:
            raise DataError(f"{error}{_limited(settings)}") from None
        for question in questions:
            say(question_line(question.facts))
            for warning in question.warnings:
                say(f"warning: {question.name}: {warning}")
        return [
            Asked(name=one.name, pictures=dataclasses.replace(one.pictures, room=0), policy=one.source.policy)
            for one in questions
        ]
    found = list_source(source, source.data, store)
    if not found.rows:
        raise DataError(f"{found.name} holds no image{_limited(settings)}")
    for warning in found.warnings:
        say(f"warning: {warning}")
    for name, reason in found.unreadable:
        say(f"unreadable, left out: {name}: {reason}")
    say(f"{found.name}: {len(found.rows):,} {'volumes' if source.volumes else 'images'}, each as it is (no --task)")
    identify(found)
    pictures = ImageSet(
        pictures=pictures_of(found.rows), names=ids_of(found.rows), store=store,
        volumes=source.volumes, room=0,
    )  # fmt: skip
    return [
        Asked(name=EVERY, pictures=pictures, policy=found.policy, lazily=True, before=found.unreadable,
              limit=source.unreadable)
    ]  # fmt: skip


def _limited(settings: Settings) -> str:
    limit = settings.source.limit
    return "" if limit is None else f" (with --limit {limit})"


def encoders_of(settings: Settings, store: Store, *, controls: bool) -> list[StoredEncoder]:
    """The encoders that are asked, then the untrained draws that --twins names, then the `controls` of every probe."""
    asked = stored_encoders(settings.encoder, store)
    if settings.source.volumes and not any(one.reads_volumes for one in asked):
        raise flat_only(asked[0].spec)

    def more(spec: str, device: str, dtype: str) -> StoredEncoder:
        return StoredEncoder(spec=spec, settings=settings.encoder, store=store, device=device, dtype=dtype)

    own = settings.encoder
    networks = [e.spec for e in asked if e.spec not in CONTROLS and not e.source.startswith("random:")]
    draws = [
        more(f"random:{spec}" + (f"#{draw}" if draw else ""), asked[0].device, own.dtype)
        for spec in networks for draw in range(own.twins or 0)
    ]  # fmt: skip
    plain = [more(spec, "cpu", "float32") for spec in CONTROLS if spec not in {e.spec for e in asked}]
    return [*asked, *draws, *(plain if controls else [])]


def refuse_nowhere(asked: Sequence[StoredEncoder], settings: Settings, sets: Sequence[Asked]) -> None:
    """Refuse sites and readouts that no encoder has, and say where some are not, before anything is encoded."""
    if settings.encoder.site or settings.encoder.readout:
        for note in check_points(asked, sorted({one.pictures.marked for one in sets})):
            say(f"warning: {note}")


def points_of(encoder: StoredEncoder, marks: int, *, by_name: bool) -> Points:
    """Where an encoder is read, as a probe of every point reads it; see `probing.points.points_of`."""
    if encoder.spec not in CONTROLS:
        return encoder.points(marks)
    every = encoder.points(marks) if by_name else encoders.points(encoder.card, marks)
    usual = [point for point in every if point[1] in (VECTOR.name, AT_MARK.name)]
    return usual or (every if by_name else usual)
