"""The best of several sites, encoders and tasks: the nested score, the interval that holds for all, the search paid."""

import dataclasses

import numpy as np
import pytest

from benchmarks.judgement import best, measured, question, search, site
from probes.stats import best as best_of_sites
from probes.stats.best import Candidates, nested_best, simultaneous, widened
from probes.stats.intervals import error_of, floored_error, inflation

PLAN = question(60, 0, 99, repeats=2)
MADE = [measured(site(np.random.default_rng([k, 8]), PLAN, s), PLAN) for k, s in enumerate((0.5, 0.95, 0.5, 0.8))]


def test_a_null_command_of_many_encoders_is_rarely_present_where_each_map_paid_for_itself_it_often_is() -> None:
    alone, together = search(30)
    assert alone >= 4
    assert together <= 3


def test_the_nested_best_is_unbiased_where_the_highest_row_is_not() -> None:
    missed, held = best(10, 0.5, 12, n=60)
    assert missed["highest"] > 0.07
    assert abs(missed["nested"]) < 0.045
    assert held["nested"] >= 9


def test_every_fold_is_read_by_the_site_that_inner_folds_of_the_others_choose() -> None:
    candidates = Candidates.among(MADE, PLAN)
    found = nested_best(MADE, PLAN)
    assert found is not None
    picked = candidates.choices(range(len(MADE)))
    assert picked.shape == (*PLAN.folds.shape[:1], PLAN.n_folds)
    for r, fold in enumerate(PLAN.folds):
        for k in range(PLAN.n_folds):
            inner = [m.inner[r, k] for m in MADE if m.inner is not None]
            assert picked[r, k] == int(np.argmin(inner))
            held = fold == k
            np.testing.assert_array_equal(
                found.predictions.score[r, held], MADE[picked[r, k]].predictions.score[r, held]
            )
    with pytest.MonkeyPatch.context() as patch:  # of many items in parts
        patch.setattr(best_of_sites, "HELD", 60 * 20)
        parts = nested_best(MADE, PLAN)
        in_parts = simultaneous([m.scored.part[0] for m in MADE], PLAN)
    assert in_parts == pytest.approx(simultaneous([m.scored.part[0] for m in MADE], PLAN), rel=1e-9)
    assert parts is not None
    assert parts.estimate == found.estimate
    # a site that reads the held-out fold best, but not the others, is not chosen for it
    inner = MADE[0].inner
    assert inner is not None
    better = dataclasses.replace(MADE[0], inner=np.zeros_like(inner))
    assert (Candidates.among([better, *MADE[1:]], PLAN).choices(range(4)) == 0).all()


def test_a_replay_chooses_on_the_other_folds_and_its_spread_is_that_of_the_choice() -> None:
    found = nested_best(MADE, PLAN)
    assert found is not None
    assert found.permuted is not None
    assert len(found.permuted.score) == 99
    margins = np.stack([m.null.fixed_margin for m in MADE])
    codes = PLAN.permuted[:99] * 2.0 - 1
    fold = PLAN.folds[0]
    for b in range(99):
        mean = np.array([codes[b, fold != k].mean() for k in range(PLAN.n_folds)])[fold]
        error = np.square(margins[:, b] - (codes[b] - mean))
        for k in range(PLAN.n_folds):
            chosen = error[:, fold != k].sum(axis=1).argmin()
            np.testing.assert_array_equal(found.null.fixed_margin[b, fold == k], margins[chosen, b, fold == k])
    usual = MADE[1]  # which reads best by far, and what is to be read spreads scores further than exchanged labels do
    inflated = [m.error / float(floored_error(m.scored, PLAN.y, PLAN).mean()) for m in MADE]
    assert inflated[1] > inflation(found.permuted, PLAN)
    assert found.probe == usual.probe
    assert found.error == pytest.approx(error_of(found.scored, found.permuted, PLAN, inflated[1]))
    assert found.null.p == pytest.approx(
        (1 + (np.max([m.null.statistic for m in MADE], axis=0)[1:] >= max(m.null.statistic[0] for m in MADE)).sum())
        / 100
    )


def test_one_site_is_itself_and_sites_without_inner_folds_have_no_nested_best() -> None:
    assert nested_best(MADE[:1], PLAN) is MADE[0]
    assert nested_best([dataclasses.replace(MADE[0], inner=None), MADE[1]], PLAN) is None


def test_an_interval_for_all_sites_is_wider_the_more_they_differ_and_not_for_one() -> None:
    parts = np.random.default_rng(0).standard_normal((12, 60))
    parts -= parts.mean(axis=1, keepdims=True)
    plan = question(60, 0, 19, repeats=1)
    assert simultaneous(list(parts[:1]), plan) == pytest.approx(1, abs=0.05)
    assert simultaneous([parts[0]] * 12, plan) == pytest.approx(1, abs=0.05)
    assert simultaneous(list(parts), plan) == pytest.approx(1.46, abs=0.1)  # Sidak: t of (1 - .95 ** (1 / 12)) / 2
    assert simultaneous([np.zeros(60)], plan) == 1
    e = dataclasses.replace(MADE[0].estimate, score=0.6, low=0.5, high=0.65)
    assert widened(e, 1.5) == pytest.approx((0.45, 0.675))
    assert widened(e, 20.0) == (0.0, 1.0)
