"""The command about attribution: what is explained, the verdict on every map, and what is written."""

import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

import cache
from cache import write_atomically
from encoders import EncoderError
from plugins import UserFileError
from probes.trials.trial import CONTROL, EDGES, PROBE, RANDOM, UNTRAINED
from probes.trials.verdict import EXPLAINS, Lying, Verdict, judge, lying
from slitlamp.attribution.explained import explain
from slitlamp.attribution.figures import pictures
from slitlamp.attribution.judged import Judged, Sheet
from slitlamp.attribution.page import page
from slitlamp.attribution.settings import AttributionSettings
from slitlamp.attribution.target import Target, chosen_items, companions, pair_target, probe_target, text_target
from slitlamp.attribution.tokens import token_pairs
from slitlamp.disk import stems
from slitlamp.encoding.encoder import StoredEncoder, check_points, stored_encoders
from slitlamp.encoding.fill import encode_missing
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError, none_of, said_of
from slitlamp.log import say
from slitlamp.pairs.spaces import chosen_point, open_images
from slitlamp.probing.words import synthetic
from slitlamp.questions import Question, ask
from slitlamp.reports.result import CommandResult
from slitlamp.reports.text import question_line
from slitlamp.settings import Settings, portable

UNREAD = "nothing to explain"


def attribute(settings: Settings, own: AttributionSettings, command: str) -> CommandResult:
    """Explain what was asked; see `slitlamp.attribute`."""
    store = cache.Store(cache.default_root())
    asked = stored_encoders(settings.encoder, store)
    if own.pair:
        sheets = [_pair(settings, own, asked, store)]
    else:
        questions = ask(settings.source, store)
        for question in questions:
            say(question_line(question.facts))
        sheets = [_sheet(settings, own, asked, question) for question in questions]
    rows = _tables(sheets)
    sentences = [line for sheet in sheets for one in sheet.judged for line in _sentences(sheet, one)]
    sentences += [line for sheet in sheets for one in sheet.tokens for line in one.sentences()]
    notes = list(dict.fromkeys(note for sheet in sheets for note in sheet.notes))
    named = stems([sheet.name for sheet in sheets])
    drawn = [(sheet, pictures(sheet, stem)) for sheet, stem in zip(sheets, named, strict=True)]
    computed = sum(one.explained.computed for sheet in sheets for one in sheet.judged)
    maps = sum(len(one.explained.tried) * len(sheet.ids) for sheet in sheets for one in sheet.judged)
    return CommandResult(
        failed=list(dict.fromkeys(line for sheet in sheets for line in sheet.failed)),
        experiment="attribution", tables=rows, sentences=sentences, notes=notes, command=command,
        figures={picture.name: picture.draw for _, some in drawn for picture in some},
        questions=[dict(sheet.facts) for sheet in sheets if sheet.facts is not None],
        data={
            "maps.npz": lambda path: write_atomically(path, _npz(sheets)),
            "attribution.html": lambda path: write_atomically(path, page(drawn, sentences, notes, rows, command)),
        },
        arrays={f"{sheet.name}/{one.label}/{tried.method}": tried.maps[PROBE]
                for sheet in sheets for one in sheet.judged for tried in one.explained.tried},
        summary=f"{maps} maps with their trials, {computed} methods computed now",
    )  # fmt: skip


def _sheet(settings: Settings, own: AttributionSettings, asked: Sequence[StoredEncoder], question: Question) -> Sheet:
    for note in (
        check_points(asked, [question.pictures.marked]) if settings.encoder.site or settings.encoder.readout else ()
    ):
        say(f"warning: {note}")
    items = chosen_items(question, own.items, own.count, settings.source.seed)
    regions = [question.evidence[k] for k in items] if question.evidence else []

    def target(encoder: StoredEncoder) -> Target:
        if not own.text:
            return probe_target(encoder, question, items, settings)
        if "joint" not in encoder.card.sites:
            raise UsageError(f"{encoder.label} has no joint space that a text could be compared in")
        point = next(p for p in _every_point(encoder) if p[0] == "joint")
        table = encode_missing(encoder, question.pictures, [point], question.source.policy)
        return text_target(encoder, table.read(f"{point[0]}/{point[1]}"), items, own.text)

    judged, notes, failed = _judged(
        asked, target, question.pictures, items, question.groups[items], own, settings, regions
    )
    answers = [
        f"{question.y[k]:g}" if question.classes is None else question.classes[int(question.y[k])] for k in items
    ]
    visible = question.source.synthetic or own.thumbnails
    return Sheet(
        name=f"text {question.name}" if own.text else question.name, ids=[question.ids[k] for k in items],
        groups=question.groups[items], answers=answers, judged=judged, probed=not own.text, failed=failed,
        visible=visible, facts=question.facts,
        notes=[*question.warnings, *_synthetic(question.source.synthetic, asked), *_hidden(visible), *notes],
    )  # fmt: skip


def _hidden(visible: bool) -> list[str]:
    return [] if visible else ["your own images are not drawn, the panels are grey: --thumbnails shows them"]


def _every_point(encoder: StoredEncoder) -> list[tuple[str, str, int]]:
    import encoders

    return encoders.points(encoder.card)


def _synthetic(images: bool, asked: Sequence[StoredEncoder]) -> list[str]:
    trained = [one.label for one in asked if one.card.synthetic]
    return synthetic("images" * images, f"the weights of {', '.join(trained)}" if trained else "")


def _judged(
    asked: Sequence[StoredEncoder], target: Any, pictures: ImageSet, items: Sequence[int], groups: np.ndarray,
    own: AttributionSettings, settings: Settings, regions: Sequence[Any],
) -> tuple[list[Judged], list[str], list[str]]:  # fmt: skip
    """Every encoder explained and judged, sentences, and those that could not be and were left out."""
    found, notes, failed = [], [], []
    numbers = np.unique(groups, return_inverse=True)[1].ravel()
    for encoder in asked:
        try:
            one = target(encoder)
            made = explain(one, pictures, items, own.method, regions=regions, seed=settings.source.seed)
        except (EncoderError, UserFileError) as error:
            if len(asked) == 1:
                raise
            failed.append(said_of(portable(encoder.spec), error))
            say(f"error: {failed[-1]}")
            continue
        verdicts = judge([tried.trial for tried in made.tried], numbers)
        if one.unread:
            verdicts = [replace(verdict, state=UNREAD, reason=one.unread) for verdict in verdicts]
        found.append(
            Judged(
                explained=made, verdicts=verdicts,
                lying={tried.method: lying(tried.trial.evidence, numbers) for tried in made.tried},
            )
        )  # fmt: skip
        notes += [*one.notes, *made.notes]
        notes += [f"{encoder.label}: no {name}: {why}" for name, why in made.refused.items()]
        if not made.untrained:
            notes.append(
                f"{encoder.label}: no untrained network is compared with, so that architecture is not excluded"
            )
    if not found:
        raise EncoderError(none_of(failed))
    return found, [*notes, *(f"left out: {line}" for line in failed)], failed


def _pair(settings: Settings, own: AttributionSettings, asked: Sequence[StoredEncoder], store: Any) -> Sheet:
    images = open_images(settings, store)
    places = [images.place(name) for name in own.pair]
    if places[0] == places[1]:
        raise UsageError(f"--pair names {images.ids[places[0]]!r} twice: a pair is two images")

    def features(encoder: StoredEncoder) -> tuple[tuple[str, str, int], np.ndarray]:
        site, readout = next(iter(settings.encoder.site), None), next(iter(settings.encoder.readout), None)
        point = chosen_point(encoder, site, readout)
        found = encode_missing(encoder, images.pictures, [point], images.source.policy)
        return point, found.read(f"{point[0]}/{point[1]}")

    groups, seed = images.groups, settings.source.seed
    every = [*places, *companions(features(asked[0])[1], groups, places, seed)]
    strangers = _strangers(groups, every, seed)

    def target(encoder: StoredEncoder) -> Target:
        point, x = features(encoder)
        return pair_target(encoder, x, every, strangers, point)

    of_pair = np.repeat(np.arange(len(every) // 2), 2)
    judged, notes, failed = _judged(asked, target, images.pictures, every, of_pair, own, settings, [])
    if len(every) > 2:
        notes.append(
            f"one pair cannot try a method: the trials are made on {len(every) // 2 - 1} more pairs of other groups, "
            f"those as similar to {asked[0].label}"
        )
    tokens = []
    for one in judged:
        aim = one.explained.target
        try:
            tokens.append(token_pairs(aim.encoder, aim.site, aim.readout, [images.pictures.read(k) for k in places]))
        except EncoderError as error:
            notes.append(f"{one.label}: no pairs of tokens: {error}")
    visible = images.source.synthetic or own.thumbnails
    return Sheet(
        name="pair", probed=False, failed=failed, tokens=tokens, ids=[images.ids[k] for k in every], groups=of_pair,
        answers=[f"pair {k + 1}" for k in of_pair], judged=judged,
        visible=visible, notes=[*images.notes(asked), *_hidden(visible), *notes],
    )  # fmt: skip


def _strangers(groups: np.ndarray, places: Sequence[int], seed: int) -> list[int]:
    """For each image of the pairs another one of a third group, drawn by a seed."""
    rng = np.random.default_rng([seed, len(groups), 89])
    found = []
    for k in range(len(places)):
        own = {groups[places[k]], groups[places[k ^ 1]]}
        free = [other for other in range(len(groups)) if groups[other] not in own]
        if not free:
            raise UsageError("--pair needs images of a third group, as the control of the similarity; give more images")
        found.append(int(rng.choice(free)))
    return found


def _tables(sheets: Sequence[Sheet]) -> dict[str, list[dict[str, Any]]]:
    verdicts: list[dict[str, Any]] = []
    evidence: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    for sheet in sheets:
        for one in sheet.judged:
            for verdict, tried in zip(one.verdicts, one.explained.tried, strict=True):
                verdicts.append(_verdict_row(sheet, one, verdict, tried))
                evidence += [
                    {"task": sheet.name, "encoder": one.label, "method": tried.method} | _lying_row(row, verdict)
                    for row in one.lying[tried.method]
                ]
            for name, group, answer, score in zip(
                sheet.ids, sheet.groups, sheet.answers, one.explained.target.scores, strict=True
            ):
                images.append(
                    {"task": sheet.name, "encoder": one.label, "item": name, "group": str(group), "answer": answer,
                     "score": float(score)}
                )  # fmt: skip
    tables: dict[str, list[dict[str, Any]]] = {
        "verdicts": verdicts,
        "explained": [dict(one.explained.target.facts) for sheet in sheets for one in sheet.judged],
    }
    if evidence:
        tables["evidence"] = evidence
    pairs = [row for sheet in sheets for one in sheet.tokens for row in one.rows()]
    if pairs:
        tables["tokens"] = pairs
    return tables | {"images": images}


def _verdict_row(sheet: Sheet, one: Judged, verdict: Verdict, tried: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "task": sheet.name, "encoder": one.label, "method": verdict.method,
        "verdict": sheet.stated(verdict.state),
    }  # fmt: skip
    for name in (PROBE, CONTROL, UNTRAINED, RANDOM, EDGES):
        row[f"margin_{name}"] = float(tried.trial.margin[name].mean()) if name in tried.trial.margin else None
    for name, gain in verdict.over.items():
        row |= {f"over_{name}": gain.value, f"over_{name}_low": gain.low, f"over_{name}_high": gain.high,
                f"over_{name}_p": gain.p}  # fmt: skip
    row |= {
        "untrained_is": verdict.untrained, "like_untrained": verdict.like_untrained,
        "like_control": verdict.like_control, "completeness": verdict.completeness,
        "on_border": verdict.border, "on_largest_tokens": verdict.tokens,
        "reason": verdict.reason, "cautions": "; ".join(verdict.cautions),
        "settings": "; ".join(f"{key} {value}" for key, value in tried.facts.items()),
    }  # fmt: skip
    return row


def _lying_row(row: Lying, verdict: Verdict) -> dict[str, Any]:
    """A row of the table; an answer rests on nothing by a map that does not explain it."""
    plain: dict[str, Any] = asdict(row) | {"rests": row.rests and verdict.state == EXPLAINS}
    own = plain.pop("own")
    return plain | {
        "over_control": None if own is None else own["value"], "over_control_low": None if own is None else own["low"],
        "over_control_high": None if own is None else own["high"], "over_control_p": None if own is None else own["p"],
    }  # fmt: skip


def _sentences(sheet: Sheet, one: Judged) -> list[str]:
    """What may be said of each encoder: first the methods that explain, then why the others do not."""
    target = one.explained.target
    found = [
        f"{one.label}, {sheet.name}, {target.site}/{target.readout}: {target.words} is explained; "
        f"control: {target.control_words}"
    ]
    if target.unread:
        return [*found, f"{one.label}: {target.unread}"]
    for verdict in sorted(one.verdicts, key=lambda v: v.state != EXPLAINS):
        cautions = "".join(f"; {line}" for line in verdict.cautions)
        found.append(f"{one.label}, {verdict.method}: {sheet.stated(verdict.state)}: {verdict.reason}{cautions}")
    what = "the answer" if sheet.probed else "the similarity"
    for verdict in one.verdicts:
        if verdict.state != EXPLAINS:
            continue
        for row in one.lying[verdict.method]:
            if row.rests and row.own is not None:
                found.append(
                    f"{one.label}, {verdict.method}: {what} rests on {row.region}: {row.share:+.2f} of the map's "
                    f"mass lies there, {row.control_share:+.2f} of the control's (difference {row.own.value:+.2f} "
                    f"[{row.own.low:+.2f}, {row.own.high:+.2f}]; it is {row.area:.0%} of the image)"
                )
    return found


def _npz(sheets: Sequence[Sheet]) -> bytes:
    """Arrays by name: TASK/ENCODER/METHOD/WHOSE [n, h, w], TASK/ids [n], TASK/ENCODER/image as the network sees it."""
    arrays: dict[str, np.ndarray] = {}
    for sheet in sheets:
        arrays[f"{sheet.name}/ids"] = np.array(sheet.ids)
        for one in sheet.judged:
            if sheet.visible:
                arrays[f"{sheet.name}/{one.label}/image"] = one.explained.shown.astype(np.float32)
        for pairs in sheet.tokens:
            arrays[f"{sheet.name}/{pairs.encoder.label}/tokens"] = pairs.found.values
        for one in sheet.judged:
            for tried in one.explained.tried:
                for whose, values in tried.maps.items():
                    arrays[f"{sheet.name}/{one.label}/{tried.method}/{whose}"] = values
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
