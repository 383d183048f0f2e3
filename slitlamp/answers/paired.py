"""Answers to pairs (MediConfusion, MMVP): set accuracy, confusion over readable pairs, and whether figures agree."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from encoders.answering.prompts import LETTERS
from probes.pairs.scores import INVALID, PairScores, Two, category_scores, consistent, pair_scores
from slitlamp.answers.formats import AnswerFile
from slitlamp.answers.rescored import OURS, THEIRS, UNKNOWN, Answered, Read, ends, shown_reader
from slitlamp.answers.truth import Known
from tasks.benchmarks.mediconfusion import CATEGORIES, PAIRS

Tables = dict[str, list[dict[str, Any]]]


def pair_tables(
    answered: Sequence[Answered], files: Sequence[AnswerFile], readers: Sequence[str]
) -> tuple[Tables, list[str]]:
    """Tables of pairs and of their categories by reader, and sentences; nothing where no item belongs to a pair."""
    rows: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    lines: list[str] = []
    for one in answered:
        whole, by_item = _pairs(one), {r.known.id: r for r in one.read}
        claims: dict[str, int] = {}
        for file in files:
            if file.model == one.model:
                claims |= dict(file.claims)
        keyed = [_keys(pair) for pair in whole]
        known = all(keys is not None for keys in keyed)
        keys = [k for k in keyed if k is not None] if known else [("A", "B")] * len(whole)
        if not whole or any(first == second for first, second in keys):
            continue  # no pair, or items that are none with opposite answers
        for reader in readers:
            if reader == THEIRS and all(r.theirs == UNKNOWN for r in one.read):
                continue
            choices = [_choices(pair, by_item, reader) for pair in whole]
            scores = pair_scores(choices, keys)
            rows.append(_row(one, reader, scores, choices, keys, whole, known=known))
            if known and all(member.categories for pair in whole for member in pair):
                categories += _category_rows(one, reader, choices, keys, whole)
            if reader == THEIRS:
                lines += _claims(one.model, scores, claims, known=known)
        lines += _said(one, rows)
    tables: Tables = {}
    if rows:
        tables["pairs"] = rows
    if categories:
        tables["categories"] = categories
    return tables, lines


def _pairs(one: Answered) -> list[tuple[Known, Known]]:
    """The two items of every pair; those without a pair's name by `PAIR-SIDE`, as MediConfusion's files have them."""
    members: dict[str, dict[str, Known]] = {}
    for known in [*(r.known for r in one.read), *one.missing]:
        pair, side = known.pair, known.side
        if not pair and one.task == "mediconfusion":
            pair, _, side = known.id.rpartition("-")
        if pair:
            members.setdefault(pair, {})[side] = known
    whole = {name: both for name, both in members.items() if len(both) == 2}
    return [tuple(both[side] for side in sorted(both)) for _, both in sorted(whole.items())]  # type: ignore[misc]


def _keys(pair: tuple[Known, Known]) -> Two | None:
    first, second = pair
    return None if first.answer is None or second.answer is None else (LETTERS[first.answer], LETTERS[second.answer])


def _choices(pair: tuple[Known, Known], by: Mapping[str, Read], reader: str) -> Two:
    """The two answers of a pair as letters, INVALID where none was read or given."""
    found = []
    for member in pair:
        read = by.get(member.id)
        chosen = -1 if read is None else read.chosen(reader)
        found.append(LETTERS[chosen] if chosen >= 0 else INVALID)
    return (found[0], found[1])


def _row(
    one: Answered, reader: str, scores: PairScores, choices: Sequence[Two], keys: Sequence[Two],
    whole: Sequence[tuple[Known, Known]], *, known: bool,
) -> dict[str, Any]:  # fmt: skip
    """A reader's scores over all pairs, with V, the readable ones, beside confusion, and intervals by component."""
    names = {group: k for k, group in enumerate(dict.fromkeys(first.group for first, _ in whole))}
    groups = np.array([names[first.group] for first, _ in whole])
    right = np.array([float(said == key) for said, key in zip(choices, keys, strict=True)])
    valid = np.array([INVALID not in said for said in choices])
    alike = np.array([float(a == b) for a, b in choices])
    low, high = ends(right, groups)
    confused = ends(alike[valid], groups[valid])
    return {
        "model": one.model, "task": one.task, "reader": shown_reader(reader),
        "pairs": scores.pairs, "readable_pairs": scores.valids,
        "set": scores.set_accuracy if known else None, "set_low": low if known else None,
        "set_high": high if known else None, "individual": scores.individual_accuracy if known else None,
        "confusion": scores.confusion if scores.valids else None, "confusion_low": confused[0],
        "confusion_high": confused[1],
        "invalid": scores.invalid_rate, "different": scores.valid_pairs,
        "precision": scores.precision if known else None, "exchanged": scores.swapped if known else None,
    }  # fmt: skip


def _category_rows(
    one: Answered, reader: str, choices: Sequence[Two], keys: Sequence[Two], whole: Sequence[tuple[Known, Known]]
) -> list[dict[str, Any]]:
    """Scores per label, weighted by image: a pair counts once for every image of it that carries the label."""
    labels = [(first.categories, second.categories) for first, second in whole]
    totals = CATEGORIES if one.task == "mediconfusion" and len(whole) == PAIRS else None
    found = category_scores(choices, keys, labels, totals)
    return [
        {
            "model": one.model, "reader": shown_reader(reader), "category": name, "images": scores.slots,
            "set": scores.set_accuracy, "individual": scores.individual_accuracy,
            "confusion": scores.confusion if scores.valids else None, "readable": scores.valids,
            "invalid": scores.invalid_rate,
        }
        for name, scores in found.items()
    ]  # fmt: skip


COUNTS = ("set_score", "individual_score", "confused", "invalid", "valids", "valid_pairs")


def _claims(model: str, scores: PairScores, claims: Mapping[str, int], *, known: bool) -> list[str]:
    """Whether the counts that a result file holds are those of its own answers, and can be of one set of answers."""
    if not claims:
        return []
    lines = []
    asked = COUNTS if known else COUNTS[2:]
    other = [name for name in asked if name in claims and claims[name] != getattr(scores, name)]
    if other:
        told = ", ".join(f"{name} {claims[name]} where the answers give {getattr(scores, name)}" for name in other)
        lines.append(f"{model}: the file's own scores are not those of its answers: {told}")
    if {"set_score", "individual_score", "confused", "valids"} <= set(claims):
        percent = [
            100 * part / total if total else 0.0
            for part, total in (
                (claims["set_score"], scores.pairs), (claims["individual_score"], scores.slots),
                (claims["confused"], claims["valids"]),
            )
        ]  # fmt: skip
        found = consistent(
            set_accuracy=percent[0], individual_accuracy=percent[1], confusion=percent[2], pairs=scores.pairs,
            all_valid=claims.get("invalid", 1) == 0, decimals=6,
        )  # fmt: skip
        if not found.possible:
            lines.append(f"{model}: the file's own scores are impossible: {found.reason}")
        if not known:
            lines.append(
                f"{model}: the file's own scores are set {percent[0]:.2f} %, individual {percent[1]:.2f} %, confusion "
                f"{percent[2]:.2f} % over V = {claims['valids']} readable pairs of {scores.pairs}"
            )
    return lines


def _said(one: Answered, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    own = [row for row in rows if row["model"] == one.model and row["task"] == one.task and row["reader"] == OURS]
    if not own:
        return []
    row = own[0]
    confusion = f"no pair of {row['pairs']} can be read, so that there is no confusion to tell"
    if row["confusion"] is not None:
        readable = f"{row['readable_pairs']} readable pairs of {row['pairs']}"
        confusion = f"confusion {row['confusion']:.3f} over V = {readable}"
    if row["set"] is None:
        return [f"{one.model}, {one.task}: {confusion}; set and individual accuracy need --data mediconfusion:PATH"]
    return [
        f"{one.model}, {one.task}: {row['set']:.3f} of {row['pairs']} pairs right twice (chance .25), "
        f"{row['exchanged']} exchanged, individual {row['individual']:.3f}, {confusion}"
    ]
