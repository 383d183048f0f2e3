"""Encoders of a run compared: what is planted is found, what is alike is not told apart, all pairs are paid for."""

import numpy as np
import pytest

import probes
from probes.stats.multiplicity import benjamini_hochberg
from slitlamp.probing.paired import differences
from tests.probes.stats.test_ranking import measured


def test_the_planted_better_is_found_and_equals_are_not_told_apart() -> None:
    plan, (good, same, poor) = measured(120, (0.8, 0.8, 0.0))
    rows = differences([("mirror", plan, {"good": good, "same": same, "poor": poor}), ("age", plan, {"good": good})])
    told = {(row["a"], row["b"]): row for row in rows}
    assert set(told) == {("good", "same"), ("good", "poor"), ("same", "poor")}, "a question of one encoder has no pair"
    for name in ("good", "same"):
        row = told[name, "poor"]
        assert row["says"] == "a reads more"
        assert row["simultaneous_low"] > 0
        assert row["p_holm"] < 0.01
        assert row["simultaneous_high"] - row["simultaneous_low"] > row["high"] - row["low"] + 1e-6, "as all hold"
    assert told["good", "same"]["says"] != "a reads more"
    assert told["good", "same"]["p_holm"] > 0.05
    np.testing.assert_allclose([row["q_bh"] for row in rows], benjamini_hochberg([row["p"] for row in rows]))
    assert [row["q_bh"] for row in rows] != [row["p_holm"] for row in rows]
    one = probes.compare(good, poor, plan)
    assert (told["good", "poor"]["difference"], told["good", "poor"]["p"]) == (one.score, one.p)


def test_p_is_adjusted_over_all_questions_and_what_cannot_be_chosen_is_left_out() -> None:
    plan, (good, fair, poor) = measured(120, (3.0, 1.0, 0.0))
    alone = differences([("mirror", plan, {"good": good, "fair": fair})])
    both = differences([("mirror", plan, {"good": good, "fair": fair, "none": None}),
                        ("age", plan, {"fair": fair, "poor": poor})])  # fmt: skip
    assert [(row["task"], row["a"], row["b"]) for row in both] == [("mirror", "good", "fair"), ("age", "fair", "poor")]
    assert both[0]["p"] == alone[0]["p"]
    np.testing.assert_allclose([row["p_holm"] for row in both], probes.holm([row["p"] for row in both]))
    assert both[0]["simultaneous_high"] > alone[0]["simultaneous_high"]
    assert differences([("mirror", plan, {"good": good})]) == []


@pytest.mark.parametrize(("many", "margin"), [(121, 0.1), (120, 0.05)])
def test_with_many_items_half_the_margin_is_told_apart(
    many: int, margin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.stats.loss.MANY", many)
    plan, some = measured(120, (3.0, 0.0))
    (row,) = differences([("mirror", plan, dict(zip(("a", "b"), some, strict=True)))])
    assert len(plan.y) == 120
    assert row["margin"] == margin


@pytest.mark.parametrize("groups", [12])
def test_below_twenty_groups_nothing_is_told_apart(groups: int) -> None:
    plan, many = measured(groups, (3.0, 0.0))
    (row,) = differences([("mirror", plan, dict(zip(("a", "b"), many, strict=True)))])
    assert row["simultaneous_low"] is None
    assert row["says"] == "not told apart"
