"""How much less a point reads than a reference: found where planted, not where not, and never of what was not shown."""

import numpy as np
import pytest

import probes
from benchmarks.judgement import loss, measured, question, site
from probes.stats.best import simultaneous
from probes.stats.loss import Reference, losses

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
    ("reference", "state"), [("early", "material"), ("noise", "open"), ("late", "kept")], ids=["loss", "noise", "same"]
)
def test_the_state_follows_from_the_interval_and_from_what_the_reference_reads(reference: str, state: str) -> None:
    one = Reference(name=reference, kind="other", measurement=MADE[reference])
    (found,) = losses([MADE["late"]], [[one]], PLAN)
    assert found is not None
    assert found.margin == PLAN.margin == 0.1
    if reference == "early":
        assert found.low is not None
        assert (found.state == "material") == (found.low > 0.1)
        assert found.state in ("material", "reads less")
    else:
        assert found.state == state or (reference == "late" and MADE["late"].estimate.p > 0.05)  # type: ignore[operator]


def test_with_many_items_half_the_margin_is_material() -> None:
    plan = question(700, 0, 19, repeats=1)
    m = measured(site(np.random.default_rng(1), plan, 0.8), plan)
    (found,) = losses([m], [[Reference(name="same", kind="other", measurement=m)]], plan)
    assert found is not None
    assert found.margin == 0.05
    assert found.state == "kept"
