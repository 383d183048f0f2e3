"""What is kept along the stages besides accuracy: usable information, description length, neighbours, patches.

METHOD 2.2 and 4.2: V-information of held-out predictions in bits per item and its paired differences, the online code,
neighbours before and behind, patches got back. Information may become easier to read along a chain; it cannot rise
above what a non-linear probe reads before, and where it does, something is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

import probes
from encoders import EncoderError
from probes import ProbeError
from probes.stages.contrast import Contrast, contrast, margins_of
from probes.stages.information import Information, codelength, difference, overlap, v_information_of
from probes.stats.loss import margin_of
from slitlamp.diagnosis.chain import ReadStage, at_map
from slitlamp.diagnosis.stages import Stages
from slitlamp.diagnosis.tokens import rebuilt, tower_site
from slitlamp.diagnosis.transport import features, same_point
from slitlamp.keys import digest
from slitlamp.probing.state import Cell, Run
from slitlamp.questions import Question

SCHEMA = 1
NEAREST = 10  # neighbours of an item
NONLINEAR = "rbf"


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """Rows of the tables `information`, `kept` and `patches`, what the rule needs of a `rise`, and lines to say."""

    rows: dict[str, list[dict[str, Any]]]
    rise: Contrast | None
    lines: list[str] = field(default_factory=list)


def read_information(run: Run, question: Question, got: Stages, tower: Sequence[Cell], behind: Sequence[Cell]) -> Kept:
    """What the stages of one task keep; `tower` are the cells of the tower, `behind` those at the connector.

    Raises:
        EncoderError: the model cannot be asked for its tokens.
    """
    plan = run.plan(question)
    chain = [one for one in got.chain if one.stage != "reference"]
    rows, rise = _bits(run, question, chain, plan)
    lines = _said(rows)
    kept: list[dict[str, Any]] = []
    patches: list[dict[str, Any]] = []
    if got.connector is not None and behind:
        kept.append(_neighbours(run, question, got.encoder, got.connector, behind, plan))
        if got.image is not None and got.image.cell is not None:
            kept.append(_neighbours(run, question, got.connector, got.image, [got.image.cell], plan))
        lines += [_neighbour_words(row) for row in kept]
        if behind[0].encoder.card.sites[behind[0].site].grid is None:
            return Kept(rows={"information": rows, "kept": kept, "patches": []}, rise=rise, lines=lines)
        try:
            kept[0] |= _patches(question, got.encoder, tower, behind[0], patches)
            lines.append(
                f"patches of {kept[0]['patches_of']} are got back from behind the connector with an error of "
                f"{kept[0]['patch_error']:.2f} of their variance (0: all is there, 1: nothing)"
            )
        except (ProbeError, EncoderError) as error:
            lines.append(f"patches are not got back: {error}")
    return Kept(rows={"information": rows, "kept": kept, "patches": patches}, rise=rise, lines=lines)


def _bits(
    run: Run, question: Question, chain: Sequence[ReadStage], plan: Any
) -> tuple[list[dict[str, Any]], Contrast | None]:
    """A row of bits for each stage, and the rise above what was there before that is surest."""
    linear = [v_information_of(margins_of(one.measurement), plan) for one in chain]
    deep = [_nonlinear(run, question, one, plan) if one.trained and one.cell is not None else None for one in chain]
    rows: list[dict[str, Any]] = []
    for one, plain, curved in zip(chain, linear, deep, strict=True):
        code = _code(run, question, one.cell, plan) if one.trained and one.cell is not None else {}
        rows.append(
            {
                "task": question.name, "stage": one.stage, "name": one.name, "at": one.place,
                "n_items": len(question.ids), "bits": plain.bits,
                "low": plain.low, "high": plain.high, "nonlinear_bits": None if curved is None else curved.bits,
                "nonlinear_bits_low": None if curved is None else curved.low,
                "nonlinear_bits_high": None if curved is None else curved.high, "code": code.get("bits"),
                "code_uniform": code.get("uniform"), "compression": code.get("compression"),
                "code_exchanged": code.get("control"), "to": None, "loss": None, "loss_low": None, "loss_high": None,
                "loss_p": None, "rise": None, "rise_low": None, "rise_high": None,
            }
        )  # fmt: skip
    rises = []
    for k, (a, b) in enumerate(pairwise(linear)):
        d = difference(a, b, plan)
        rows[k] |= {"to": chain[k + 1].name, "loss": d.score, "loss_low": d.low, "loss_high": d.high, "loss_p": d.p}
        before = deep[k]
        if before is None or deep[k + 1] is None:
            continue  # an answer is no probe of these items
        most = max((before, a), key=lambda one: one.bits)  # what any probe before reads
        found = difference(b, most, plan)
        rows[k + 1] |= {"rise": found.score, "rise_low": found.low, "rise_high": found.high}
        if found.low is not None:
            rises.append(contrast(found, margin_of(plan)))
    return rows, max(rises, key=lambda one: one.low or -np.inf, default=None)


def _nonlinear(run: Run, question: Question, stage: ReadStage, plan: Any) -> Information:
    """Bits of a kernel probe at the stage's usual point."""
    assert stage.cell is not None
    memo, key = run.store.memo("information"), _key(run, stage.cell, NONLINEAR)
    known = memo.get_many([key]).get(key)
    if known is None:
        found = probes.measure(
            features(run, question, stage.cell), plan, probe=NONLINEAR, seed=plan.seed, detect=False, nested=False
        )
        read = v_information_of(margins_of(found), plan)
        known = {"bits": read.bits, "low": read.low, "high": read.high, "pvi": read.pvi.tolist()}
        memo.put_many({key: known})
    return Information(
        bits=known["bits"], low=known["low"], high=known["high"], pvi=np.asarray(known["pvi"], np.float64)
    )


def _code(run: Run, question: Question, cell: Cell, plan: Any) -> dict[str, float]:
    """The online code of the answers from what is read at a point, in bits."""
    memo, key = run.store.memo("information"), _key(run, cell, "code")
    known = memo.get_many([key]).get(key)
    if known is None:
        found = codelength(features(run, question, cell).x, plan, seed=plan.seed)
        known = {
            "bits": found.bits, "uniform": found.uniform, "compression": float(found.compression),
            "control": found.control,
        }  # fmt: skip
        memo.put_many({key: known})
    return known


def _key(run: Run, cell: Cell, what: str) -> str:
    return digest([SCHEMA, run.key(at_map(run, cell)), what])


def _neighbours(
    run: Run, question: Question, before: ReadStage, after: ReadStage, cells: Sequence[Cell], plan: Any
) -> dict[str, Any]:
    """How many of each item's neighbours are the same before and behind, read alike at both."""
    assert before.cell is not None
    target = same_point(before.cell, cells)
    x, y = (features(run, question, cell).x for cell in (before.cell, target))
    largest = int(np.bincount(plan.groups).max())
    k = min(NEAREST, max(1, (len(x) - largest) // 2))
    found = overlap(x, y, k, plan.groups, seed=plan.seed)
    return {
        "task": question.name, "before": before.name, "before_at": before.cell.name, "behind": after.name,
        "behind_at": target.name, "k": k, "neighbours_kept": found.value, "low": found.low, "high": found.high,
        "random_projection": found.projected, "chance": found.chance, "patches_of": None, "patch_error": None,
        "patch_error_mean": None, "patch_error_sd": None,
    }  # fmt: skip


def _patches(
    question: Question, before: ReadStage, tower: Sequence[Cell], behind: Cell, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """The error with which patches are got back; its map is put into `rows`."""
    assert before.cell is not None
    encoder = behind.encoder
    names = list(dict.fromkeys(cell.site for cell in tower))
    site = tower_site(encoder, names, behind.site, before.cell.site)
    found = rebuilt(encoder, question, site, behind.site)
    rows += [
        {"task": question.name, "site": site, "row": row, "column": column, "error": error}
        for row, line in enumerate(found.per_patch)
        for column, error in enumerate(line)
    ]
    mean = float(np.mean(found.each))
    spread = float(np.std(found.each))
    return {"patches_of": site, "patch_error": found.error, "patch_error_mean": mean, "patch_error_sd": spread}


def _said(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The bits along the stages in one sentence, and the code in another."""
    bits = ", ".join(f"{row['name']} {row['bits']:.2f}{_ends(row['low'], row['high'])}" for row in rows)
    lines = [f"usable information in bits per item: {bits}; near 0 it is no evidence of absence"]
    codes = [f"{row['name']} {row['code']:.0f}" for row in rows if row["code"] is not None]
    if codes:
        uniform = next(row["code_uniform"] for row in rows if row["code"] is not None)
        lines.append(f"description length of the answers in bits: {', '.join(codes)}; without features {uniform:.0f}")
    return lines


def _neighbour_words(row: dict[str, Any]) -> str:
    return (
        f"{row['before']} to {row['behind']}: {row['neighbours_kept']:.0%} of the {row['k']} nearest neighbours stay"
        f"{_ends(row['low'], row['high'])}; a random projection keeps {row['random_projection']:.0%}, chance "
        f"{row['chance']:.0%}"
    )


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
