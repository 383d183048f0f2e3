"""What a report says of a method is what the code does: intervals, scaling, limits, pools, licences, marks."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import slitlamp
from slitlamp.paper import answers, checklist, design, methods, tables
from slitlamp.paper.gathered import Claim, gather
from slitlamp.paper.page import page
from tests.slitlamp.paper import probed


def first(entries: Iterable[checklist.Entry]) -> checklist.Entry:
    return next(iter(entries))


def claim(score: float = 0.8, **record: Any) -> Claim:
    made = probed.claim("x", "t", score)
    return dataclasses.replace(made, best=dataclasses.replace(made.best, n_groups=60, n_classes=2, **record))


@pytest.mark.parametrize(
    ("score", "rare", "record", "holds", "not_"),
    [
        (0.8, 40, {}, ["cluster-robust error of held-out items", "planted signals", "Student's t on groups"], "Wilson"),
        (0.8, 40, {"screened": True}, ["permuted labels"], "planted"),
        (0.97, 40, {}, ["as Wilson's interval of as many items"], "binomial"),
        (1.0, 40, {}, ["exact binomial", "40 groups"], "cluster"),
        (1.0, 12, {}, ["Wilson", "12 groups", "planted"], "binomial"),
        (0.8, 12, {"p_from": "folds"}, ["Wilson", "corrected resampling"], "permuted"),
        (0.8, 40, {"p_from": "folds"}, ["corrected resampling"], "Wilson"),
        (1.0, 40, {"p_from": "folds"}, ["exact binomial"], "resampling"),
        (0.97, None, {}, ["concordance"], "Wilson"),
    ],
)  # fmt: skip
def test_an_interval_is_named_by_the_rule_that_gave_it(
    score: float, rare: int | None, record: dict[str, Any], holds: list[str], not_: str
) -> None:
    words, cited = design._interval(claim(score, **record), rare)
    assert all(word in words for word in holds), words
    assert not_ not in words
    assert ("nadeau2003" in cited) == ("resampling" in words)


def test_scaling_is_said_as_each_probe_does_it() -> None:
    said = {probe: design.scaling(probe) for probe in ("ridge 0.3", "linear-v1", "knn", "mine")}
    assert "over all items" in said["ridge 0.3"]
    assert "inside training parts" in said["linear-v1"]
    assert "standardised over" not in said["knn"] + said["mine"]
    entry = first(checklist._procedure(claim(probe="ridge 0.3")))
    assert said["ridge 0.3"] in entry.evidence


def test_what_is_excluded_holds_at_every_point() -> None:
    run = probed.other("x", "t")
    first = next(r for r in run.records if r.role == "encoder")
    run.records = tuple(
        dataclasses.replace(first, verdict="absent", readout=name, limit=limit, reason=f"A, chance 0.50. At {limit}.")
        for name, limit in (("vector", 0.65), ("mean", 0.83))
    )
    made = dataclasses.replace(probed.claim("x", "t", verdict="absent", run=run), best=run.records[0])
    assert made.limit == 0.83
    assert "0.83" in answers.unshown(made)
    assert "0.83" in answers.answer(made)
    assert "0.83" in " ".join(methods.plain(one) for one in methods._verdicts([made]))
    assert "≥ 0.83" in tables.as_markdown(tables.sheets(probed.of([made]))[0])
    shown = page(probed.of([made]), [], {}, {}, probed.folder(), "", "")
    assert "≥.83" in shown
    assert "≥.65" not in shown.partition("Every point")[0].partition("Table with controls</h2>")[2]


def test_a_pool_and_a_number_of_differences_are_said() -> None:
    made = probed.claim("x", "t", verdict="inconclusive")
    assert "--pool" not in " ".join(methods._verdicts([made]))
    pooled = dataclasses.replace(made, best=dataclasses.replace(made.best, command="python -m x --pool films"))
    assert "--pool" in " ".join(methods._verdicts([pooled]))
    one = probed.compared(["x", "y"], "t", ["a", "b"])
    assert "1 difference was taken" in " ".join(methods._compared(probed.of([made], one)))


def test_a_licence_is_that_of_the_card_behind_a_label() -> None:
    import encoders

    weights = "synthetic training, phantom-clip, fingerprint 12ab"
    assert methods.licence("mine", weights) == encoders.card("phantom-clip").licence
    assert methods.licence("mine", f"other weights, {weights}").startswith("not known")
    assert methods.licence("random:phantom-clip", "untrained").startswith("none needed")
    assert methods.licence("mine", "fingerprint 12ab") == "not on a card of this program"


def test_a_control_around_marks_is_no_thumbnail() -> None:
    run = probed.other("x", "t")
    made = probed.claim("x", "t", run=run)
    best = dataclasses.replace(made.best, credit="pixels", control_pixels=0.91, reason="")
    plain = dataclasses.replace(made, best=best)
    assert "marks" not in answers.unshown(plain)
    mark = dataclasses.replace(best, role="control", encoder="pixels", readout="at-mark")
    run.records = (*run.records, mark)
    assert "brightness around the marks" in answers.unshown(plain)
    assert "brightness around the marks" in first(checklist._controls(plain)).evidence
    assert "brightness around the marks" in methods._controls(plain)


def test_answers_that_a_task_makes_ask_for_no_readers() -> None:
    command = "python -m experiments.linear_probe --data films"
    for task, status in (("orientation", "does not apply"), ("label sex", "missing")):
        made = probed.claim("x", task)
        made = dataclasses.replace(made, best=dataclasses.replace(made.best, command=command))
        assert first(checklist._labels(made)).status == status


def test_too_few_groups_and_a_claim_without_credit_are_shown() -> None:
    claims = [probed.claim("x", "t"), probed.claim("y", "t")]
    claims[0] = dataclasses.replace(claims[0], best=dataclasses.replace(claims[0].best, credit="learned"))
    rows = probed.compared(["x", "y"], "t", ["", ""]).tables["ranking"]
    found = probed.compared(["x", "y"], "t", ["", ""])
    for row in rows:
        row |= {"group": None, "p_best": None, "rank_low": None, "rank_high": None}
    gathered = probed.of(claims, dataclasses.replace(found, tables={**found.tables, "ranking": rows}))
    assert tables.as_tex({one.name: one for one in tables.sheets(gathered)}["ranking"])
    assert "learned" in page(gathered, [], {}, {}, probed.folder(), "", "")


def test_only_a_linear_probe_is_called_one() -> None:
    linear, other = claim(probe="ridge 0.3"), claim(probe="knn")
    assert "that a linear probe finds" in answers.used([linear])
    assert "that a probe finds" in answers.used([linear, other])
    assert methods._shown([other]).startswith("A probe shows")


def test_methods_name_encoders_together_and_apart_where_their_rules_differ(tmp_path: Path) -> None:
    home = tmp_path / "run"
    slitlamp.probe(("pixels", "lowlevel"), "mirror", items=60, permutations=19, site="pooled", out=str(home))
    claims = gather([home]).claims
    assert methods._each(claims, lambda _: "\0 read.") == ["pixels and lowlevel were read."]
    assert methods._each(claims, lambda c: f"\0 read at {c.encoder}.") == [
        "pixels was read at pixels.", "lowlevel was read at lowlevel."
    ]  # fmt: skip
    assert methods._each(claims, lambda _: "One rule.") == ["One rule."]
    assert methods._each(claims, lambda c: f"Rule {c.encoder}.") == [
        "For “mirror” (pixels): Rule pixels.", "For “mirror” (lowlevel): Rule lowlevel."
    ]  # fmt: skip
    assert methods._each(claims, lambda c: "One rule." * (c.encoder == "pixels")) == ["One rule."]
