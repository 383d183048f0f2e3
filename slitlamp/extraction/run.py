"""One extraction: what is asked, encoded by this process or by actors of Ray, counted, and summed over ranks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cache
import encoders
from encoders import EncoderError, draw_of
from encoders.extraction.readouts import AT_MARK
from encoders.extraction.volumes import flat_only
from plugins import UserFileError
from slitlamp.ablation.plan import in_words, time_of
from slitlamp.encoding.encoder import StoredEncoder, described_device
from slitlamp.encoding.fill import Filled, NotFiniteError, fill, pace_key, space_of
from slitlamp.extraction.asked import Asked, asked_of, encoders_of, points_of, refuse_nowhere
from slitlamp.extraction.part import Part, device_of, part_of
from slitlamp.extraction.reading import Unreadable, noun_of
from slitlamp.extraction.settings import ExtractSettings
from slitlamp.extraction.summaries import Summaries
from slitlamp.log import say, without_bars
from slitlamp.reports.result import CommandResult
from slitlamp.reports.text import human_size as human
from slitlamp.settings import Settings, portable
from tasks.sources.check import refuse_above

THREADS = 8  # that decode ahead of a device other than the CPU, at most
TELL = 10.0  # seconds between two lines of a rank


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every pass of one extraction needs."""

    settings: Settings
    own: ExtractSettings
    store: cache.Store
    part: Part
    sets: Sequence[Asked]
    encoders: Sequence[StoredEncoder]

    def points(self, encoder: StoredEncoder, one: Asked) -> list[tuple[str, str, int]]:
        """Where an encoder is read."""
        return points_of(encoder, one.pictures.marked, by_name=encoder.spec in self.settings.encoder.encoder)


def extract(settings: Settings, own: ExtractSettings, line: str) -> CommandResult:
    """Fill the store with what is asked; see `slitlamp.extract`. Rank 0 sums up for all ranks, the others are silent.

    Raises:
        DataError: more images than --unreadable accepts cannot be read; what was encoded is stored all the same.
        EncoderError: no encoder could be asked.
    """
    began = time.perf_counter()
    part = part_of(own.shard)
    if own.engine == "ray":
        from slitlamp.extraction.ray_engine import require_ray

        require_ray(part)
    settings = settings.but(device=device_of(settings.encoder.device, part))
    store = cache.Store(cache.default_root())
    work = Work(
        settings=settings, own=own, store=store, part=part, sets=asked_of(settings, store),
        encoders=encoders_of(settings, store, controls=own.controls),
    )  # fmt: skip
    refuse_nowhere(work.encoders, settings, work.sets)
    if settings.output.dry_run:
        return planned(work, line)
    say(f"device: {described_device(work.encoders[0].device)}; features in {store.root}")
    summaries = Summaries(store, line, part)
    if own.engine == "ray":
        from slitlamp.extraction.ray_engine import filled_by_ray as filled
    else:
        filled = filled_here
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    for one in work.sets:
        for encoder in work.encoders:
            try:
                rows.append(_one(work, encoder, one, filled, summaries))
            except (EncoderError, UserFileError, NotFiniteError) as error:
                if len(work.encoders) == 1:
                    raise
                failed.append(f"{portable(encoder.spec)}: {' '.join(str(error).split())}")
                say(f"error: {failed[-1]}")
    if failed and not rows:
        raise EncoderError("; ".join(failed))
    summaries.leave(rows, finished=True)
    if part.rank:
        return CommandResult(experiment="extract", tables={}, failed=failed, summary=_summed(rows, 0, began))
    every, missing = summaries.of_all(rows)
    failed += missing
    _refuse_unreadable(work, every)
    return CommandResult(
        experiment="extract",
        tables={"encoded": _by_set(every, work), "time": _times(every, work)},
        sentences=_sentences(every, work),
        command=line,
        failed=failed,
        summary=_summed(every, sum(len(one.before) for one in work.sets) * len(work.encoders), began),
    )


Fill = Callable[[Work, StoredEncoder, Asked, list[tuple[str, str, int]], Summaries], tuple[Filled, dict[str, Any]]]


def _one(work: Work, encoder: StoredEncoder, one: Asked, filled: Fill, summaries: Summaries) -> dict[str, Any]:
    """Encode one set of images with one encoder, and what came of it as a row."""
    if one.pictures.volumes and not encoder.reads_volumes:
        raise flat_only(encoder.label)
    points = work.points(encoder, one)
    began = time.perf_counter()
    if not points:  # of the sites and readouts that were asked for it has none, which was said
        found, more = Filled(space=None), {}
    else:
        try:
            found, more = filled(work, encoder, one, points, summaries)
        except encoders.UnseenMarkError as error:
            if AT_MARK.name in work.settings.encoder.readout:
                raise
            say(f"warning: {portable(encoder.spec)} is not read under the marks: {error}")
            found, more = filled(work, encoder, one, [p for p in points if p[1] != AT_MARK.name], summaries)
    return {
        "images": one.name, "encoder": encoder.label, "part": work.part.index, "total": len(one.pictures.pictures),
        "pictures": found.pictures, "encoded": found.encoded, "known": found.known,
        "unreadable": len(found.unreadable), "points": len(points), "bytes": found.bytes, "load": found.load,
        "decode": found.decode, "waiting": found.waiting, "encode": found.encode, "write": found.write,
        "seconds": time.perf_counter() - began, "why": [why for _, why in found.unreadable[:3]], **more,
    }  # fmt: skip


def filled_here(
    work: Work, encoder: StoredEncoder, one: Asked, points: list[tuple[str, str, int]], summaries: Summaries
) -> tuple[Filled, dict[str, Any]]:
    """Encode the part of this process in this process."""
    places = work.part.places(len(one.pictures.pictures))
    threads = work.own.threads
    if threads is None:
        from slitlamp.probing.workers import workers

        threads = 0 if encoder.device.startswith("cpu") else max(1, min(THREADS, workers()))
    unreadable = Unreadable(one)
    told = _teller(encoder, summaries)
    if work.part.world > 1:
        with without_bars():
            return fill(encoder, one.pictures, points, one.policy, places=places, threads=threads,
                        unreadable=unreadable, told=told), {}  # fmt: skip
    return fill(encoder, one.pictures, points, one.policy, places=places, threads=threads,
                unreadable=unreadable), {}  # fmt: skip


def _teller(encoder: StoredEncoder, summaries: Summaries) -> Callable[[int], None]:
    """What a rank says of its progress, a line now and then, and the sign of life that it leaves."""
    began = last = time.monotonic()
    start: list[int] = []

    def told(left: int) -> None:
        nonlocal last
        if not start:
            start.append(left + 1)
        now = time.monotonic()
        if now - last < TELL and left:
            return
        last = now
        done = start[0] - left
        rate = done / max(now - began, 1e-9)
        say(
            f"{encoder.label}: {done:,} of {start[0]:,} images, {rate:.0f} images/s"
            + (f", {in_words(left / rate)} left" if left else "")
        )
        summaries.leave([], finished=False)

    return told


def _refuse_unreadable(work: Work, rows: Sequence[dict[str, Any]]) -> None:
    """Raise DataError where more images of a source cannot be read than --unreadable accepts, over all ranks."""
    for one in work.sets:
        mine = [row for row in rows if row["images"] == one.name and row["encoder"] == rows[0]["encoder"]]
        count = sum(row["unreadable"] for row in mine)
        bad = [*one.before, *(("", why) for row in mine for why in row["why"])]
        bad += [("", "")] * (count + len(one.before) - len(bad))
        refuse_above(bad, len(one.pictures.pictures) + len(one.before), one.limit, noun_of(one))


def _by_set(rows: Sequence[dict[str, Any]], work: Work) -> list[dict[str, Any]]:
    """A row for each set of images and encoder, over all ranks."""
    before = {one.name: len(one.before) for one in work.sets}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["images"], row["encoder"])
        into = found.setdefault(key, {"images": row["images"], "encoder": row["encoder"], "points": row["points"]})
        for name in ("pictures", "encoded", "known", "unreadable", "bytes"):
            more = before[row["images"]] if name in ("pictures", "unreadable") and name not in into else 0
            into[name] = into.get(name, 0) + row[name] + more
    return list(found.values())


def _times(rows: Sequence[dict[str, Any]], work: Work) -> list[dict[str, Any]]:
    """Where the time went, a row for each set, encoder and rank."""
    found = []
    for row in rows:
        shown = {"images": row["images"], "encoder": row["encoder"]}
        if work.part.world > 1:
            shown["rank"] = row["part"] % work.part.world
        shown |= {name: round(row[name], 3) for name in ("seconds", "load", "decode", "encode", "write", "waiting")}
        shown["images_per_second"] = round(row["encoded"] / row["seconds"], 1) if row["encoded"] else None
        shown |= {name: row[name] for name in ("workers", "largest_worker_mb") if name in row}
        found.append(shown)
    return found


def _sentences(rows: Sequence[dict[str, Any]], work: Work) -> list[str]:
    """What the tables say, in words."""
    encoded, known = (sum(row[name] for row in rows) for name in ("encoded", "known"))
    found = []
    if work.part.of > 1:
        which = f"shard {work.own.shard}" if work.own.shard else ""
        ranks = f"{work.part.world} ranks" if work.part.world > 1 else ""
        found.append(f"This was {' by '.join(one for one in (which, ranks) if one)} of the images.")
    if not encoded:
        return [*found, f"Nothing was to encode: all {known:,} lay in the store."]
    spent = {name: sum(row[name] for row in rows) for name in ("load", "decode", "encode", "write")}
    whole = sum(spent.values()) or 1.0
    shares = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in spent.items())
    waited = sum(row["waiting"] for row in rows) / (sum(row["seconds"] for row in rows) or 1.0)
    found.append(f"Of the work, {shares}; encoders waited {waited:.0%} of their time for images.")
    repeats = sum(row["pictures"] - row["encoded"] - row["known"] - row["unreadable"] for row in rows)
    if repeats > 0:
        found.append(f"{repeats:,} images repeat the pixels of another and were counted with it.")
    return found


def _summed(rows: Sequence[dict[str, Any]], before: int, began: float) -> str:
    seconds = time.perf_counter() - began
    encoded, known, bad = (sum(row[name] for row in rows) for name in ("encoded", "known", "unreadable"))
    bad += before
    rate = f", {encoded / seconds:.0f} images/s" if encoded else ""
    stored = human(sum(row["bytes"] for row in rows))
    return f"{encoded:,} encoded now, {known:,} known before, {bad:,} unreadable; {seconds:.1f} s{rate}, {stored}"


def planned(work: Work, line: str) -> CommandResult:
    """What there is to encode, how much that is on the disk, and how long it takes; nothing is decoded or fetched."""
    rows, notes = [], []
    for one in work.sets:
        digests = one.pictures.digests
        places = work.part.places(len(digests))
        for encoder in work.encoders:
            rows.append(_plan(work, encoder, one, places))
        unknown = sum(digests[i] is None for i in places)
        if unknown:
            notes.append(
                f"{one.name}: {unknown:,} of {len(places):,} were never decoded here; they count as to encode, and "
                "some may be copies of one another"
            )  # fmt: skip
    seconds = [row["seconds"] for row in rows]
    images, stored = sum(row["to_encode"] for row in rows), sum(row["bytes"] for row in rows)
    sentences = [f"{images:,} images to encode, {human(stored)} to store."]
    if all(one is not None for one in seconds):
        sentences.append(time_of(sum(seconds), "images"))
    else:
        sentences.append("Time: not known: such images were never timed here; a run with --limit 40 times them.")
    return CommandResult(
        experiment="extract", tables={"plan": rows}, sentences=sentences, notes=notes, command=line,
        summary="nothing was encoded",
    )  # fmt: skip


def _plan(work: Work, encoder: StoredEncoder, one: Asked, places: Sequence[int]) -> dict[str, Any]:
    """A row of the plan; of an encoder that was never loaded here everything is to encode."""
    pictures, pace = one.pictures, None
    todo = {i if pictures.digests[i] is None else pictures.content(i) for i in places}
    if encoder.remembered is not None or draw_of(encoder.source)[0].endswith(".py"):
        points = work.points(encoder, one)
        contents = [one for one in todo if isinstance(one, str)]
        space = space_of(encoder, one.policy)
        lacking = space.missing(contents, [f"{s}/{r}" for s, r, _ in points], verify=False) if points else []
        left = len(todo) - len(contents) + len(lacking)
        pace = work.store.memo("pace").get_many([key := pace_key(encoder)]).get(key)
    else:
        card = encoders.card(encoder.source)
        points, left = encoders.points(card, pictures.marked), len(todo)
    each = pace["seconds"] / pace["images"] if pace else None
    return {
        "images": one.name, "encoder": encoder.spec, "pictures": len(places) + len(one.before), "to_encode": left,
        "points": len(points), "bytes": left * 2 * sum(width for _, _, width in points),
        "seconds": 0.0 if not left else None if each is None else round(left * each, 1),
    }  # fmt: skip
