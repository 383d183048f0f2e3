"""Planted truths of contrastive models: tower, joint space and texts whose failure is known, and the verdict on them.

Towers are those of `probes.stages.planted`: Gaussian features with a power-law spectrum. The joint space is a turn of
the whitened tower, in which the classes' texts lie along the fact's direction, or along another.
"""

from dataclasses import dataclass, replace

import numpy as np

from probes._base import FeatureSet, ProbeError
from probes.stages.contrast import contrast
from probes.stages.failure import Failure, Stage, Text, decide, stage_of
from probes.stages.planted import REFERENCE, STRENGTH, WEAK, Drawn, shift, turn, unit
from probes.stats.loss import margin_of
from probes.stats.measurement import Measurement

WORKS, EMPTY, PROJECTION = "texts fit the images", "contrastive tower lost it", "joint space lost it"
DIRECTION, OFFSET, FAINT = "texts misaligned", "texts' threshold off", "weak signal, texts fit"
TEXT_TRUTHS = (WORKS, EMPTY, PROJECTION, DIRECTION, OFFSET, FAINT)
PROMPTS = 8  # texts of each class
COSINE = 0.075  # of the fact's and the texts' direction, where they are misaligned (METHOD 4.5)
AWAY = 3.2  # standard deviations by which an offset moves all images along the texts' direction


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantedTexts:
    """Stages and texts of one planted truth.

    y, groups [n]; features [n, width] of reference, tower and joint space; pool_* [m, width] the same of images without
    labels; texts of each class [8, width].
    """

    truth: str
    y: np.ndarray
    groups: np.ndarray
    reference: np.ndarray
    tower: np.ndarray
    joint: np.ndarray
    pool_tower: np.ndarray
    pool_joint: np.ndarray
    texts: list[np.ndarray]


def planted_texts(
    truth: str, n: int, groups: int, width: int, rng: np.random.Generator, *, pool: int | None = None
) -> PlantedTexts:
    """Draw stages and texts of n items in so many groups, and `pool` images without labels (3 x width by default).

    Raises:
        ProbeError: a truth that is none, or more groups than items.
    """
    if truth not in TEXT_TRUTHS:
        raise ProbeError(f"'{truth}' is no planted truth of texts; there are {', '.join(TEXT_TRUTHS)}")
    drawn = Drawn.of(n, groups, width, rng, pool)
    y, noise = drawn.y, drawn.noise
    held = {EMPTY: 0.5, FAINT: WEAK}.get(truth, STRENGTH)
    spread = np.arange(1, width + 1) ** -0.5
    v, turned = unit(rng, width), turn(rng, width)
    z = noise + shift(drawn.classes, held) * v
    joint = ((z - (z @ v)[:, None] * v) if truth == PROJECTION else z) @ turned
    fact = v @ turned
    aside = unit(rng, width)
    aside -= (aside @ fact) * fact
    aside /= np.linalg.norm(aside)
    along = COSINE * fact + np.sqrt(1 - COSINE**2) * aside if truth == DIRECTION else fact
    joint = joint + AWAY * along * (truth == OFFSET)
    common = 2 * rng.standard_normal(width)
    common -= (common @ along) * along  # else the two classes' texts are of unequal length
    texts = [
        common + (c - 0.5) * 20 * along + 0.5 * rng.standard_normal((PROMPTS, width)) / np.sqrt(width) for c in (0, 1)
    ]
    other = rng.standard_normal((n, width)) + shift(y, WEAK if truth == FAINT else REFERENCE) * unit(rng, width)
    tower = z * spread
    return PlantedTexts(
        truth=truth, y=y, groups=drawn.groups, reference=other * spread, tower=tower[:n], joint=joint[:n],
        pool_tower=tower[n:], pool_joint=joint[n:], texts=texts,
    )  # fmt: skip


def judge_texts(given: PlantedTexts, *, seed: int = 0, permutations: int = 199, repeats: int | None = None) -> Failure:
    """The verdict of the instrument: probes, the transported probe, the two terms of the texts, `failure.decide`."""
    from probes.stages.alignment import alignment
    from probes.stages.transport import transported
    from probes.stats.difference import compare
    from probes.stats.measure import measure
    from probes.stats.multiplicity import low_over_map
    from probes.stats.plan import plan as plan_of
    from probes.stats.verdict import rings

    plan = plan_of(given.y, given.groups, classes=("no", "yes"), seed=seed, permutations=permutations, repeats=repeats)
    ids = [str(i) for i in range(len(given.y))]

    def features(x: np.ndarray) -> FeatureSet:
        return FeatureSet(x=x, y=given.y, groups=given.groups, ids=ids, classes=("no", "yes"))

    tower, joint = features(given.tower), features(given.joint)
    encoder = measure(tower, plan, probe="ridge", nested=False)
    reference = measure(features(given.reference), plan, probe="ridge", level="screen", detect=False)
    behind = measure(joint, plan, probe="ridge", level="screen", detect=False)
    dl, reads = margin_of(plan), encoder.state == "present"
    crossed = (
        transported(tower, joint, plan, pool_before=given.pool_tower, pool_after=given.pool_joint) if reads else None
    )
    a = alignment(given.joint, given.texts, plan)
    lowest = low_over_map([m.null.statistic for m in (encoder, behind)])

    def stage(name: str, m: Measurement) -> Stage:
        return replace(stage_of(name, m), leak=rings(lowest, m.estimate))

    return decide(
        encoder=stage("tower", encoder), reference=stage("reference", reference),
        against_reference=contrast(compare(reference, encoder, plan), dl), connector=stage("joint space", behind),
        to_connector=None if crossed is None else crossed.loss,
        accessible=contrast(compare(encoder, behind, plan), dl),
        text=Text(
            direction=a.direction, threshold=a.threshold, zero_shot=a.zero_shot.value, text_1d=a.text_1d.value,
            probe=a.probe.value, correlation=a.correlation.value,
        ),
        margin=dl,
    )  # fmt: skip
