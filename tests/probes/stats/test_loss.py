"""How much less a point reads than a reference: found where planted, not where not, and never of what was not shown."""

import dataclasses

import numpy as np
import pytest

import probes
from benchmarks.judgement import loss, measured, question, site
from probes.stats.best import simultaneous
from probes.stats.loss import Less, Reference, _loss, losses
from probes.stats.measurement import Difference

PLAN = question(100, 0, 99, repeats=2)
MADE = {
    k: measured(site(np.random.default_rng([n, 7]), PLAN, s), PLAN)
    for n, (k, s) in enumerate({"early": 0.95, "noise": 0.5, "late": 0.65, "thumb": 0.9}.items())
}


def test_a_planted_loss_is_found_and_none_where_nothing_is_lost_or_nothing_was_to_be_read() -> None:
    found = loss(8, 0.95, 0.6, n=100)
    assert found["material"] + found["reads less"] >= 7
    for before, after in ((0.8, 0.8), (0.5, 0.5), (0.6, 0.95)):
        other = loss(6, before, after, n=100)
        assert other["material"] + other["reads less"] == 0, (before, after)


def test_the_difference_is_paired_named_by_kind_and_holds_for_the_whole_map() -> None:
    early = Reference(name="early", kind="earlier", measurement=MADE["early"])
    thumb = Reference(name="thumb", kind="thumbnail", measurement=MADE["thumb"])
    none, found = losses([MADE["early"], MADE["late"]], [[], [early, thumb]], PLAN)
    assert none is None
    assert found is not None
    assert found.whole.reference == "early"
    assert [one.kind for one in found.kinds] == ["earlier", "thumbnail"]
    assert found.score == MADE["late"].estimate.score
    for less, name in zip(found.kinds, ("early", "thumb"), strict=True):
        plain = probes.compare(MADE[name], MADE["late"], PLAN)
        assert less.difference.score == pytest.approx(plain.score)
        assert less.difference.low is not None
        assert plain.low is not None
        assert less.difference.low <= plain.low
    parts = [MADE[name].scored.part - MADE["late"].scored.part for name in ("early", "thumb")]
    one = [(MADE["early"].scored.part - MADE["late"].scored.part).mean(axis=0)]
    assert simultaneous([p.mean(axis=0) for p in parts], PLAN) >= simultaneous(one, PLAN) >= 1


@pytest.mark.parametrize(
    ("low", "high", "reference", "state"),
    [
        (0.11, 0.3, "early", "material"),
        (0.09, 0.3, "early", "reads less"),
        (-0.1, 0.09, "early", "kept"),
        (-0.1, 0.11, "early", "open"),
        (0.11, 0.3, "noise", "open"),
        (None, None, "early", "open"),
    ],
)
def test_the_state_follows_from_the_interval_and_from_what_the_reference_reads(
    low: float | None, high: float | None, reference: str, state: str
) -> None:
    less = Less(
        reference=reference, kind="earlier", score=0.9, difference=Difference(score=0.2, low=low, high=high, p=None)
    )
    of = MADE["early"]
    if reference == "noise":
        of = dataclasses.replace(of, estimate=dataclasses.replace(of.estimate, p=0.051))
    found = _loss(MADE["late"], [(less, of)], 0.1)
    assert found.state == state
    assert (found.low, found.high) == (low, high)


def test_every_interval_of_a_map_is_as_much_wider_as_all_together_need() -> None:
    one = Reference(name="early", kind="earlier", measurement=MADE["early"])
    points = [MADE["late"], MADE["noise"], MADE["thumb"]]
    found = losses(points, [[one]] * 3, PLAN)
    parts = [(MADE["early"].scored.part - m.scored.part).mean(axis=0) for m in points]
    wider = simultaneous([p for part in parts for p in (part, part)], PLAN)
    assert wider > 1.1
    for m, loss_of in zip(points, found, strict=True):
        plain = probes.compare(MADE["early"], m, PLAN)
        assert plain.low is not None
        assert loss_of is not None
        assert loss_of.margin == PLAN.margin
        assert loss_of.low == pytest.approx(plain.score - wider * (plain.score - plain.low))


def test_with_many_items_half_the_margin_is_material() -> None:
    plan = question(700, 0, 19, repeats=1)
    m = measured(site(np.random.default_rng(1), plan, 0.8), plan)
    (found,) = losses([m], [[Reference(name="same", kind="other", measurement=m)]], plan)
    assert found is not None
    assert found.margin == 0.05
    assert found.state == "kept"


def test_one_measurement_under_two_names_stands_for_the_first_kind() -> None:
    early, again = (Reference(name=kind, kind=kind, measurement=MADE["early"]) for kind in ("earlier", "other"))
    (found,) = losses([MADE["late"]], [[early, again]], PLAN)
    assert found is not None
    assert [one.kind for one in found.kinds] == ["earlier"]
