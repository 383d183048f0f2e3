"""The verdict follows from the measurement: state, credit, reason, and the items that would decide."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import probes
from probes import Estimate, FeatureSet
from probes.stats.detection import Limit
from probes.stats.measurement import Difference, Measurement

TWO = ("upright", "turned")


def base(n: int = 240) -> Measurement:
    rng = np.random.default_rng(0)
    y, groups = np.arange(n) % 2, np.arange(n) // 2
    plan = probes.plan(y, groups, classes=TWO, permutations=99)
    x = rng.standard_normal((n, 6))
    return probes.measure(
        FeatureSet(x=x, y=y, groups=groups, ids=[str(i) for i in range(n)], classes=TWO),
        plan,
        detect=False,
        nested=False,
    )


BASE = base()


def seen(score: float, *, error: float = 0.03, p: float = 0.5, **change: Any) -> Measurement:
    half = 1.98 * error
    estimate = Estimate(
        metric="balanced accuracy", score=score, low=score - half, high=score + half, chance=0.5, p=p, mde=0.6
    )
    upper = score + 1.66 * error
    return dataclasses.replace(
        BASE,
        **{"estimate": estimate, "error": error, "null_error": error, "upper": upper, "leak": False, **change},
    )


def silent(**change: Any) -> Measurement:
    """A measurement to which nothing is missing for an absence."""
    limit = Limit(
        lod=0.84, rates={0.5: 0.03, 0.9: 1.0}, self_check=0.03, valid=True, sure=True, directions=40, held=0.95,
        images=None,
    )  # fmt: skip
    return seen(0.5, **{"limit": limit, "nonlinear_upper": 0.56, **change})


def limited(**change: Any) -> Measurement:
    found = silent().limit
    assert found is not None
    return silent(limit=dataclasses.replace(found, **change))


def test_present_needs_the_permutation_test_and_the_interval() -> None:
    assert probes.verdict(seen(0.7, p=0.001)).state == "present"
    one, other = probes.verdict(seen(0.7, p=0.2)), probes.verdict(seen(0.56, error=0.035, p=0.01))
    assert one.state == other.state == "inconclusive"
    assert "permutation test does not confirm it (p = 0.2)" in one.reason
    assert "permutation test sees something (p = 0.01)" in other.reason


def test_the_multiplicity_rule_can_take_a_present_back() -> None:
    assert probes.verdict(seen(0.7, p=0.02), adjusted=0.3).state == "inconclusive"
    assert probes.verdict(seen(0.7, p=0.02), adjusted=0.04).state == "present"


def test_absent_when_nothing_is_missing_and_says_what_it_means() -> None:
    found = probes.verdict(silent())
    assert found.state == "absent"
    assert found.credit is None
    assert "accuracy 0.84 or more would have been found here 95 times in 100" in found.reason
    assert "95% of what varies" in found.reason
    assert "do not read it, not that the features lack it" in found.reason
    assert "lost" not in found.reason


@pytest.mark.parametrize(
    ("m", "says"),
    [
        (silent(limit=None), "no limit of detection was computed"),
        (silent(limit=None, screened=True), "was screened only"),
        (limited(valid=False, self_check=0.4), "called readable in 40% of trials"),
        (limited(sure=False, rates={0.5: 0.0, 0.9: 0.7}, lod=0.95), r"found in 70% of trials\). About \d+ items would"),
        (limited(held=0.6, images=1200), "hold 60% of what varies .* about 1200 unlabelled images"),
        (silent(nonlinear_upper=0.7), "a probe that is not linear reads or may read it"),
        (seen(0.5, error=0.09), "Undecided: .* About [0-9]+ items would decide, if there is nothing to read"),
        (seen(0.57, error=0.04), "About [0-9]+ items would decide, if the score stayed as it is"),
    ],
)
def test_each_missing_piece_makes_it_inconclusive_and_is_named(m: Measurement, says: str) -> None:
    found = probes.verdict(m)
    assert found.state == "inconclusive"
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(found.reason)


def test_a_readout_with_layout_that_reads_forbids_absence_and_one_that_does_not_allows_it() -> None:
    found = probes.verdict(silent(), layout=[seen(0.8, p=0.001)])
    assert found.state == "inconclusive"
    assert "keeps the layout reads or may read it" in found.reason
    assert probes.verdict(silent(), layout=[seen(0.51, error=0.02)]).state == "absent"


def test_below_chance_is_a_leak_and_nothing_else() -> None:
    found = probes.verdict(seen(0.2, leak=True))
    assert (found.state, found.leak) == ("inconclusive", True)
    assert found.reason.startswith("LEAK")


def test_the_items_that_would_decide_fall_with_the_effect() -> None:
    near, far = probes.verdict(seen(0.56, error=0.04)), probes.verdict(seen(0.59, error=0.05, p=0.09))
    assert near.items_needed is not None
    assert far.items_needed is not None
    assert near.items_needed > far.items_needed > len(BASE.plan.y)


def difference(low: float) -> Difference:
    return Difference(score=low + 0.1, low=low, high=low + 0.2, p=0.01)


READS, CHANCE = seen(0.7, p=0.001), seen(0.5)


@pytest.mark.parametrize(
    ("lows", "who", "credit", "says"),
    [
        ((-0.1, 0.1, 0.1), READS, "nuisance", "plain image statistics .* reads? it as well"),
        ((0.1, -0.1, 0.1), READS, "pixels", "a thumbnail of 1024 pixels read"),
        ((0.1, 0.1, -0.1), READS, "architecture", "untrained reads it as well"),
        ((0.1, 0.1, 0.1), READS, "learned", "credited to what was learnt"),
        ((-0.1, 0.1, 0.1), CHANCE, "nuisance", "may be zero, so no more than that can be credited"),
        ((-0.4, 0.1, 0.1), READS, "nuisance", "reads? it better"),
        ((-0.1, -0.1, -0.1), READS, "nuisance", "plain image statistics"),
    ],
)
def test_credit_goes_to_the_weakest_explanation_not_excluded(
    lows: tuple[float, ...], who: Measurement, credit: str, says: str
) -> None:
    controls = {name: (who, difference(low)) for name, low in zip(("lowlevel", "pixels", "random"), lows, strict=True)}
    found = probes.verdict(seen(0.8, p=0.001), controls=controls)
    assert (found.state, found.credit) == ("present", credit)
    assert found.material == (credit == "learned")
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(found.reason)


def test_a_control_that_was_not_run_is_not_excluded() -> None:
    controls = {name: (CHANCE, difference(0.1)) for name in ("lowlevel", "pixels")}
    found = probes.verdict(seen(0.8, p=0.001), controls=controls)
    assert found.credit == "architecture"
    assert "No comparison with the same network untrained was made" in found.reason
    assert probes.verdict(seen(0.8, p=0.001)).credit is None


def test_nothing_is_credited_where_nothing_is_present() -> None:
    controls = {name: (CHANCE, difference(0.1)) for name in ("lowlevel", "pixels", "random")}
    assert probes.verdict(silent(), controls=controls).credit is None


def test_too_few_groups_say_nothing_at_all() -> None:
    y, groups = np.arange(24) % 2, np.arange(24) // 2
    plan = probes.plan(y, groups, classes=TWO, folds=3, permutations=99)
    m = probes.measure(
        FeatureSet(x=y[:, None] + np.zeros((24, 2)), y=y, groups=groups, ids=[str(i) for i in range(24)], classes=TWO),
        plan,
        nested=False,
    )
    assert m.estimate.score == 1
    assert m.estimate.low is None
    assert m.estimate.p is not None
    assert m.state == "inconclusive"
    assert "12 independent groups: too few" in m.reason


def test_a_rare_class_is_never_absent_and_says_why_it_may_be_present() -> None:
    rng = np.random.default_rng(1)
    y, groups = (np.arange(200) < 25).astype(int), np.arange(200)
    plan = probes.plan(y, groups, classes=TWO, permutations=199)
    for shift, state, says in ((0.0, "inconclusive", ""), (4.0, "present", "rests on the permutation test")):
        x = rng.standard_normal((200, 10)) + shift * y[:, None] * (np.arange(10) < 1)
        given = FeatureSet(x=x, y=y, groups=groups, ids=[str(i) for i in range(200)], classes=TWO)
        m = probes.measure(given, plan, probe="ridge", nested=False)
        assert m.state == state
        assert says in m.reason
        assert m.limit is None
