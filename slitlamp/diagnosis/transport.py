"""What a probe reads at one stage, looked for at a later one: features and pools of both, for `probes.stages`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import probes
from probes.stages.contrast import Contrast
from probes.stages.transport import Reader, Transport, transported
from slitlamp.diagnosis.chain import ReadStage
from slitlamp.encoding.fill import encode_missing
from slitlamp.keys import digest
from slitlamp.probing.state import Cell, Run
from slitlamp.questions import Question

KINDS = (Transport, Reader, Contrast)  # what a transport is made of, beside what every cell is


def carried(run: Run, question: Question, before: ReadStage, after: Sequence[Cell]) -> Transport:
    """Whether what the stage before reads is still there at one of the cells behind it; see `same_point`.

    Images of --pool are encoded at both points, and tie the stages together beside the training items. What was found
    is kept beside the cells of the run, and taken from there.
    """
    assert before.cell is not None
    target, pool = same_point(before.cell, after), question.pool
    cells = replace(run.cells, types=dict(run.cells.types) | {kind.__name__: kind for kind in KINDS})
    key = digest(
        [
            "transported", run.key(before.cell), run.key(target), run.plan_key(question), run.settings.probe.seed,
            None if pool is None else [pool.pictures.contents, dict(pool.source.policy)],
        ]
    )  # fmt: skip
    known = cells.load(key)
    if known is not None:
        return known
    first, second = (features(run, question, cell) for cell in (before.cell, target))
    pools: dict[str, Any] = {}
    if pool is not None:
        pools = {
            "pool_before": _pooled(run, question, before.cell), "pool_after": _pooled(run, question, target)
        }  # fmt: skip
    found = transported(first, second, run.plan(question), seed=run.settings.probe.seed, **pools)
    cells.save(key, found)
    return found


def same_point(before: Cell, after: Sequence[Cell]) -> Cell:
    """The cell that is read as the one before is, or that which keeps most of the tokens where none is."""
    same = [cell for cell in after if cell.readout == before.readout]
    if same:
        return same[-1]
    widths = {f"{site}/{readout}": width for site, readout, width in after[0].encoder.points()}
    return max(after, key=lambda cell: widths.get(cell.name, 0))


def features(run: Run, question: Question, cell: Cell) -> probes.FeatureSet:
    """The features of a cell with the answers of the question."""
    return question.features(run.filled[question.name, cell.encoder.spec].read(cell.name))


def _pooled(run: Run, question: Question, cell: Cell) -> np.ndarray:
    pool = question.pool
    assert pool is not None
    point = next(p for p in cell.encoder.points() if f"{p[0]}/{p[1]}" == cell.name)
    table = encode_missing(cell.encoder, pool.pictures, [point], pool.source.policy)
    run.encoded += table.encoded
    return table.read(cell.name)
