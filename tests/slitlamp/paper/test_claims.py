"""What a report says of a claim follows its records: each p, interval, count and stamp, at the bounds of the rules."""

import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from probes.stats.plan import FEW, RARE
from slitlamp.paper import answers, card, changes, checklist, design, figures, methods, run, tables, trackers
from slitlamp.paper import page as pages
from slitlamp.paper.gathered import Other, _failures, claims_of
from slitlamp.records import Record
from slitlamp.reports.result import CommandResult
from tests.slitlamp.paper import probed

MISSING, STANDS = checklist.MISSING, checklist.STANDS


def made(
    encoder: str = "x", task: str = "t", *, score: float | None = 0.8, verdict: str = "present",
    said: dict[str, Any] | None = None, points: int = 1, name: str = "run", highest: float = 0.82, **record: Any,
) -> Any:  # fmt: skip
    """A claim (`Any`, since its run can be changed) with the best point first, all points as `record` says."""
    one = probed.claim(encoder, task, score, verdict, run=probed.other(encoder, task, name))
    best = dataclasses.replace(one.best, **({"n_groups": 60, "n_items": 120, "score": highest} | record))
    others = [dataclasses.replace(best, readout="mean", score=best.score - k / 10) for k in range(1, points)]
    controls = [r for r in one.run.records if r.role == "control" and r.encoder == "lowlevel"]
    vars(one.run).update(
        records=(*controls, best, *others), verdicts=[one.verdict], material=probed.gathered().runs[0].material
    )
    return dataclasses.replace(one, best=best, verdict={**one.verdict, **(said or {})})


def asked(one: Any, **facts: Any) -> Any:
    one.run.questions = {one.task: {**one.question, **facts}}
    return one


def plain(sentences: Any) -> str:
    return " ".join(methods.plain(one) for one in sentences)


def test_p_is_the_one_with_the_search_paid_for() -> None:
    one, single = made(p_value=0.01, p_adjusted=0.04), made(p_value=0.01, p_adjusted=None)
    assert (one.p, single.p) == (0.04, 0.01)
    gathered = probed.of([one])
    assert [sheet.rows[0]["p"] for sheet in tables.sheets(gathered)] == [0.04, 0.04]
    assert pages._claim(gathered, one)["p"] == "0.040"
    assert run._claims(gathered)[0]["p"] == 0.04
    assert (changes._p(one.best), changes._p(single.best), changes._p(None)) == (0.04, 0.01, None)
    assert "orientation" not in trackers.metrics(tables.sheets(gathered)[0])
    assert trackers.metrics(tables.sheets(gathered)[0])["t/x/p"] == 0.04


def test_a_point_chosen_on_the_data_has_an_interval_for_all_points() -> None:
    ends: dict[str, Any] = {"low": 0.7, "high": 0.9, "simultaneous_low": 0.61, "simultaneous_high": 0.95}
    one = made(score=None, points=2, said={"highest_low": 0.61, "highest_high": 0.95}, **ends)
    nested = made(score=0.78, points=2, **ends)
    assert one.ends == (0.61, 0.95)
    row = tables.sheets(probed.of([one]))[0].rows[0]
    assert (row["score"], row["low"], row["high"]) == (0.82, 0.61, 0.95)
    assert figures._score(one) == (0.82, 0.61, 0.95)
    assert pages._claim(probed.of([one]), one)["score"] == "0.820* [0.610, 0.950]"
    assert pages._claim(probed.of([nested]), nested)["score"] == "0.780 [0.680, 0.880]"
    assert "of its highest point" in methods._chosen(one)
    assert "inner folds" in methods._chosen(nested)
    assert [list(checklist._procedure(c))[-1].status for c in (one, nested)] == [MISSING, STANDS]
    assert ["all points at once" in next(iter(checklist._interval(c))).evidence for c in (one, nested)] == [True, False]
    on_the_hub = [card.front_matter(probed.of([c]), "t") for c in (one, nested)]
    assert ["value: 0.82" in text for text in on_the_hub] == [True, False]
    assert "value: 0.78" in on_the_hub[1]


def test_one_maximum_pays_only_where_every_point_is_refitted() -> None:
    one = made(points=2, p_value=0.01, p_adjusted=0.02)
    first, *rest = one.run.records[1:]
    mixed = made(points=2, p_value=0.01, p_adjusted=0.02)
    mixed.run.records = (first, *(dataclasses.replace(r, p_from="folds") for r in rest))
    assert (one.refitted, mixed.refitted) == (True, False)
    said = [next(iter(checklist._permutation(c))).evidence for c in (one, mixed)]
    assert ["maximum statistic" in text for text in said] == [True, False]
    assert "Holm's rule" in said[1]


def of_two_questions(**record: Any) -> Any:
    first, second = made(**record), made(task="u", **record)
    held = SimpleNamespace(
        **{**vars(first.run), "records": (*first.run.records, *second.run.records),
           "verdicts": [first.verdict, second.verdict], "questions": first.run.questions | second.run.questions},
    )  # fmt: skip
    return probed.of([dataclasses.replace(c, run=held) for c in (first, second)])


def test_a_claim_rests_on_the_points_of_its_own_question() -> None:
    gathered = of_two_questions()
    found = claims_of(gathered.runs[0])
    assert [c.best.task for c in found] == [c.task for c in found] == ["t", "u"]
    assert [len(c.records) for c in found] == [1, 1]


def test_questions_are_paid_for_by_the_rule_that_paid() -> None:
    rule = "Over the questions of a command Holm's rule followed"
    assert rule in plain(methods._multiplicity(of_two_questions()))
    assert rule not in plain(methods._multiplicity(of_two_questions(p_from="folds")))
    many = probed.of([made(), made(name="again")])
    assert "Over the 2 runs shown here nothing more was paid for" in plain(methods._multiplicity(many))
    assert "nothing more" not in plain(methods._multiplicity(of_two_questions()))


def test_too_few_permutations_for_many_questions_are_missing() -> None:
    for gathered, status in (
        (probed.of([made(permutations=59)]), STANDS),
        (of_two_questions(permutations=59), MISSING),
    ):
        entries = list(checklist._permutation(gathered.claims[0]))
        assert (MISSING in [one.status for one in entries]) == (status == MISSING)


def test_what_is_paid_for_is_every_point_of_every_encoder() -> None:
    one, other = made(points=2, p_adjusted=0.01), made("y", points=3)
    one.run.records += tuple(r for r in other.run.records if r.role == "encoder")
    assert "paid for 5 points of 2 encoders" in next(iter(checklist._permutation(one))).evidence


def test_claims_of_several_runs_are_held_against_all_of_them() -> None:
    claims = [made(name=f"run{k}", p_value=0.02, p_adjusted=0.04) for k in range(2)]
    over_all = [e for claim, e in checklist._multiplicity(probed.of(claims)) if claim is None]
    assert [one.status for one in over_all] == [MISSING]
    assert "would not hold at .05" in over_all[0].evidence
    sure = [made(name=f"run{k}", p_value=0.001, p_adjusted=0.002) for k in range(2)]
    over_all = [e for claim, e in checklist._multiplicity(probed.of(sure)) if claim is None]
    assert [one.status for one in over_all] == [STANDS]


def test_every_line_on_what_failed_is_kept() -> None:
    said = (("one", "failed", "no disk"), ("two", "failed", "x"), ("three", "pending", None), ("four", "done", None))
    runs = [{"name": name, "status": status, "error": error} for name, status, error in said]
    found = _failures({"failed": ["y: no weights", "one: no disk"], "runs": runs})
    assert found == ["y: no weights", "one: no disk", "two: x", "three: not computed yet"]
    gathered = dataclasses.replace(probed.of([made()]), failed=found)
    assert "two: x" in card.card(gathered, "")


def test_an_answer_says_what_is_open_and_gives_no_control_credit() -> None:
    reason = "Present, chance 0.50, p = 0.01. Credited to what was learnt."
    one = made(size_open=True, credit="learned", reason=reason, n_classes=2)
    assert "How well is open" in answers.answer(one)
    assert "How well is open" not in answers.answer(made(credit="learned", reason=reason))
    assert "It is itself a control: nothing is credited." in answers.answer(made("pixels", credit="learned"))
    assert answers.unshown(made(credit="learned", reason="")) == "credited to what was learnt"
    assert "untrained networks" in answers.unshown(made(credit="architecture", reason=""))
    better = "Present. But thumbnails read it better (0.91): no credit"
    assert answers.unshown(made(credit="learned", reason=better)) == "thumbnails read it better (0.91)"


def test_several_runs_are_told_with_both_ends_and_the_largest_p() -> None:
    ends = ((0.7, 0.2, "inconclusive"), (0.9, 0.001, "present"))
    some = [made(score=s, p_value=p, p_adjusted=p, verdict=v) for s, p, v in ends]
    assert answers.short(some).startswith("0.70 [0.60, 0.80] to 0.90 [0.80, 1.00], p 0.2 at most")
    assert answers.reads(some) == "reads it in 1 of 2 runs, not decided in 1 of 2 runs"


def test_a_leak_anywhere_is_stamped() -> None:
    one, whole = made(points=2), made(points=2, name="whole")
    *others, last = one.run.records
    one.run.records = (*others, dataclasses.replace(last, reason="LEAK: the order of the list"))
    assert "LEAK" in answers.stamps(one)
    assert "LEAK" not in answers.stamps(whole)
    shown = pages._question(probed.of([one, whole]), one.question["source"], "t", [one, whole])
    assert shown["first"][0]["leak"]


@pytest.mark.parametrize(("copies", "status"), [("warn", MISSING), ("unite", STANDS), ("refuse", STANDS)])
def test_copies_that_were_let_pass_are_missing(copies: str, status: str) -> None:
    one = made(command=f"python -m x --data films.csv --group patient --copies {copies}")
    assert [entry.status for entry in checklist._splits(one)] == [status]


def test_every_text_tells_of_a_limited_run() -> None:
    one = asked(made(limited=True, command="python -m x --data films.csv --group patient"), limited=True)
    assert [entry.status for entry in checklist._splits(one)] == [STANDS, MISSING]
    assert "limited to a part" in methods._asked_of(one)
    assert any("a limited run" in line for line in card._limits([one]))
    whole = asked(made(), limited=False)
    assert "limited" not in methods._asked_of(whole) + " ".join(card._limits([whole]))
    drawn = figures.figures(probed.of([one]))["map"].draw(85)
    assert "LIMITED RUN" in "".join(text.get_text() for text in drawn.texts)


def with_draws(count: int, sites: int = 2, **record: Any) -> Any:
    one = made(**{"credit": "learned", **record})
    draws = [
        dataclasses.replace(one.best, role="control", encoder=f"random:x#{k}", site=f"s{site}", verdict="present")
        for k in range(count) for site in range(sites)
    ]  # fmt: skip
    one.run.records = (*one.run.records, *draws)
    return one


def test_untrained_draws_are_counted_once_and_three_are_a_population() -> None:
    for count, status in ((0, MISSING), (1, MISSING), (2, MISSING), (3, STANDS)):
        one = with_draws(count, control_lowlevel=0.5, control_pixels=0.6)
        assert list(checklist._controls(one))[-1].status == status
        assert bool(methods._population(one)) == (status == STANDS)
    assert "2 untrained draws of the network" in methods._controls(with_draws(2))


def test_a_control_that_was_not_measured_is_missing() -> None:
    one = made(control_lowlevel=0.5, control_pixels=None, control_order=None, credit="pixels")
    entries = list(checklist._controls(one))
    assert [e.evidence for e in entries if e.status == MISSING] == ["The control pixels was not measured beside it."]
    (line,) = card._controls([one])
    assert "; not measured: thumbnails, order of the list" in line
    assert "image statistics 0.50" in line
    row = pages._claim(probed.of([one]), one)
    assert (row["lowlevel"], row["pixels"]) == ("0.500", "–")


def test_an_entry_names_its_claims_unless_it_holds_for_all() -> None:
    claims = [made(name), made("y"), made("z")] if (name := "x") else []
    gathered = probed.of(claims)
    entry = checklist.Entry(status=MISSING, evidence="gone")
    two = checklist._merged(gathered, [(c, entry) for c in claims[:2]])
    assert [len(one.claims) for one in two] == [2]
    assert [one.claims for one in checklist._merged(gathered, [(c, entry) for c in claims])] == [()]


def test_the_largest_loss_is_the_one_that_is_named() -> None:
    one = made(points=2, loss=0.04, loss_low=0.01, loss_high=0.07, loss_state="reads less", reference="y")
    *rest, last = one.run.records
    one.run.records = (*rest, dataclasses.replace(last, loss=0.2, loss_state="material"))
    entry = checklist._less(one, measured=False)
    assert "2 of 2 points" in entry.evidence
    assert " by 0.20 [" in entry.evidence
    assert pages._loss(one.records) == "less at 2 of 2"
    kept = [dataclasses.replace(r, loss_state="kept") for r in one.records]
    assert pages._loss(kept) == "none shown"


def test_an_absence_whose_plantings_are_gone_is_missing() -> None:
    one = made(verdict="absent")
    one.run.measurement = lambda _: SimpleNamespace(limit=None, kernel_p=None)
    (entry,) = checklist._negative(one)
    assert entry.status == MISSING


def test_layout_is_kept_by_readouts_of_the_same_site() -> None:
    one = made(readout="mean", site="block5")
    near, far = (dataclasses.replace(one.best, readout="grid3", site=site) for site in ("block5", "block2"))
    one.run.records = (far, one.best, near)
    assert [r.site for r in checklist._layout(one)] == ["block5"]


def test_a_map_stands_where_each_has_its_control() -> None:
    rows: list[dict[str, Any]] = [
        dict.fromkeys(("over_random", "over_control", "over_untrained"), 0.1) for _ in range(2)
    ]
    rows[1]["over_control"] = None
    other: Any = SimpleNamespace(folder=probed.folder(), document={"tables": {"verdicts": rows}})
    assert [entry.status for entry in checklist._attributed(other)] == [STANDS, MISSING, STANDS]


def test_methods_tell_what_was_left_out_screened_and_who_the_groups_are() -> None:
    one = asked(made(command="python -m x --data films.csv", points=3), left_out={"no answer": 4}, images=60, groups=60)
    assert "left out: 4 no answer" in methods._asked_of(one)
    assert methods._groups(one) == "Each image was taken for a group of its own."
    assert methods._groups(asked(one, groups=30)) == "Groups were those of the source."
    first, *rest = [r for r in one.run.records if r.role == "encoder"]
    one.run.records = (first, *(dataclasses.replace(r, screened=True) for r in rest))
    assert "2 of the 3 points were screened" in methods._probe(one)
    assert "spread over folds" in methods._permuted(made(p_from="folds"))
    assert "It is called absent only where" in plain(methods._verdicts([made(verdict="inconclusive")]))
    assert "It is called absent only where" not in plain(methods._verdicts([made()]))


def test_differences_that_are_not_paired_are_not_counted_as_paired() -> None:
    found = probed.compared(["x", "y", "z"], "t", ["a", "a", "a"])
    found.tables["comparisons"][0]["paired"] = False
    assert "2 differences were taken, 1 of them paired" in plain(methods._compared(probed.of([made()], found)))


def test_those_who_read_it_stand_first_and_controls_last() -> None:
    claims = [made("pixels", score=0.99), made("low", score=0.6), made("most", score=0.9),
              made("not", score=0.95, verdict="absent")]  # fmt: skip
    source = claims[0].question["source"]
    shown = pages._question(probed.of(claims), source, "t", claims)
    assert [row["encoder"] for row in shown["first"]] == ["most", "low", "not", "pixels"]
    both = [made("x"), made("x", verdict="absent")]
    assert pages._question(probed.of(both), source, "t", both)["first"][0]["state"] == "mixed"
    assert pages._question(probed.of(both), source, "t", both[:1])["first"][0]["state"] == "present"


def test_only_what_is_synthetic_is_said_to_be() -> None:
    real, fake = made("x", said={"sentences": []}), made("y")
    assert fake.synthetic
    assert not real.synthetic
    assert not [line for line in pages._alarms(probed.of([real, fake])) if "SYNTHETIC" in line]
    assert [line for line in pages._alarms(probed.of([fake])) if "SYNTHETIC" in line]
    assert pages._stamps([real, fake], synthetic=True) == ["SYNTHETIC images of y"]


def test_other_runs_that_are_synthetic_are_named_first_and_real_ones_are_not() -> None:
    made_here, real = (
        Other(folder=Path(name), document={"experiment": "diagnose", "notes": notes})
        for name, notes in (("tiny", ["Synthetic: images are made by this project"]), ("films", []))
    )
    alone = dataclasses.replace(probed.of([made("x", said={"sentences": []})]), others=[made_here, real])
    assert [line.partition(":")[0] for line in pages._alarms(alone)] == ["SYNTHETIC, diagnose (tiny)"]
    assert not pages._alarms(dataclasses.replace(alone, others=[real]))


def test_a_comparison_is_said_of_its_own_source() -> None:
    claims = [asked(made(name), source=source) for name, source in (("x", "films"), ("y", "phantoms"))]
    said = CommandResult(experiment="compare", tables={}, sentences=["t, encoder · films: x reads more."])
    gathered = probed.of(claims, said)
    for claim, line in zip(claims, (["x reads more."], []), strict=True):
        assert pages._question(gathered, claim.question["source"], "t", [claim])["said"] == line


def test_differences_have_the_interval_for_all_of_them() -> None:
    found = probed.compared(["x", "y"], "t", ["a", "a"])
    (row,) = found.tables["comparisons"]
    shown = pages._difference(row)
    assert (shown["difference_low"], shown["difference_high"]) == (-0.12, 0.02)
    sheet = next(one for one in tables.sheets(probed.of([made()], found)) if one.name == "comparisons")
    assert "-0.050 [-0.120, 0.020]" in tables.as_markdown(sheet).replace("\\", "")
    alone = pages._difference({**row, "simultaneous_low": None, "simultaneous_high": None})
    assert (alone["difference_low"], alone["difference_high"]) == (-0.1, 0.004)
    ranks = next(one for one in tables.sheets(probed.of([made()], found)) if one.name == "ranking")
    assert [one["ranks"] for one in ranks.rows] == ["1–2", "1–2"]


def test_points_that_are_present_exclude_nothing() -> None:
    one = made(points=2, limit=0.62)
    *rest, last = one.run.records
    one.run.records = (*rest, dataclasses.replace(last, verdict="absent", limit=0.7))
    assert [row["limit"] for row in tables.sheets(probed.of([one]))[1].rows] == [None, 0.7]


def test_parquet_and_latex_hold_each_row() -> None:
    one = made(points=3)
    table = pq.read_table(io.BytesIO(tables.as_parquet(probed.of([one]))))
    assert table["score"].to_pylist() == pytest.approx([r.score for r in one.run.records])
    assert table["encoder"].to_pylist() == [r.encoder for r in one.run.records]
    many = tables.sheets(probed.of([made(f"e{k}", score=0.5 + k / 200) for k in range(81)]))[0]
    tex = tables.as_tex(many)
    assert [rf"\slit{{e{k}}}{{t}}{{score}}" in tex for k in range(81)] == [True] * 81
    once = tables.sheets(probed.of([made()]))[1]
    twice = dataclasses.replace(once, rows=[*once.rows] * 2, paths=[*once.paths] * 2)
    assert len(tables.macros(twice)) == 2 * len(tables.macros(once))


def test_the_card_lists_no_control_and_one_licence_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one, control = made(weights="synthetic training, phantom-clip"), made("pixels")
    text = card.front_matter(probed.of([one, control]), "t")
    assert text.count("type: linear-probe") == 1
    assert "pixels" not in text
    monkeypatch.setattr(card, "licence", lambda encoder, _: {"x": "MIT", "y": "Apache-2.0"}[encoder])
    assert "license: mit\n" in card.front_matter(probed.of([one]), "t")
    assert "license: other\n" in card.front_matter(probed.of([one, made("y")]), "t")
    assert any("credited to architecture" in line for line in card._shortcuts([made(credit="architecture")]))
    assert list(card._encoders([made("phantom-clip", weights="synthetic training")]))
    assert not list(card._encoders([made("phantom-clip", weights="other weights, fingerprint 1")]))


def test_a_change_is_told_in_half_widths_with_the_largest_first_and_what_turned() -> None:
    before, after = (of_two_questions(low=0.7, high=0.9, highest=0.8) for _ in range(2))
    first, second = (r for r in after.runs[0].records if r.role == "encoder")
    shifted = (dataclasses.replace(first, score=0.85, features_key="other:site/mean"),
               dataclasses.replace(second, score=0.6))  # fmt: skip
    after.runs[0].records = shifted
    turned = dataclasses.replace(after.claims[0], verdict={**after.claims[0].verdict, "verdict": "absent"})
    after = dataclasses.replace(after, claims=[turned, *after.claims[1:]])
    points = [row for row in changes._points(before, after) if row["change"] == "changed"]
    assert [row["shift"] for row in points] == pytest.approx([0.5, -2])
    (verdict,) = changes._verdicts(before, after)
    assert (verdict["verdict_old"], verdict["verdict_new"], verdict["differs"]) == ("present", "absent", "verdict")
    sentence = changes._sentence("a", "b", points, [], 4)
    assert "the largest change of a score is 0.800 to 0.600" in sentence
    other = ("features", "t · x", before.claims[0].best.features_key.partition(":")[0], "other")
    assert other in list(changes._rested_on(before, after))


def test_a_flag_of_either_run_differs() -> None:
    before, after = of_two_questions(), of_two_questions()
    before.runs[0].flags, after.runs[0].flags = {"seed": ("1",)}, {"seed": ("1",), "window": ("lung",)}
    for pair, said in (((before, after), ("not given", "lung")), ((after, before), ("lung", "not given"))):
        assert [row[2:] for row in changes._flags_and_decoding(*pair) if row[0] == "--window"] == [said]


def test_a_whole_run_stands_before_draws_and_more_groups_before_fewer() -> None:
    drawn = [made(n_groups=n, command=f"python -m x --take-groups {n} --draw {d}", name=f"{n}.{d}")
             for n, d in ((20, 0), (40, 1), (40, 0))]  # fmt: skip
    curve = CommandResult(experiment="compare", tables={}, figures={"curve": lambda: None})
    kept = figures._without_draws(probed.of(drawn, curve)).claims
    assert [c.run.name for c in kept] == ["40.0"]
    whole = made(n_groups=30, name="whole")
    assert [c.run.name for c in figures._without_draws(probed.of([*drawn, whole], curve)).claims] == ["whole"]


def test_what_is_drawn_of_probabilities_and_confusions() -> None:
    held = SimpleNamespace(
        label=np.array([0, 0, 0, 1]), predicted=np.array([[0, 0, 1, 1]]), groups=np.arange(4),
        probability=np.array([[[0.9, 0.1, 0], [0.9, 0.1, 0], [0.2, 0.8, 0], [0.3, 0.7, 0]]]),
    )  # fmt: skip
    panel = figures.confusion_figure([("x", held, ["a", "b"])], 85).axes[0]
    written = {text.get_position(): text.get_text() for text in panel.texts}
    assert written == {(0, 0): "0.67", (1, 0): "0.33", (0, 1): "0.00", (1, 1): "1.00"}
    np.testing.assert_allclose(panel.images[0].get_array(), [[2 / 3, 1 / 3], [0, 1]])
    found = figures.reliability(held)
    assert found.gap == pytest.approx(abs(np.mean([0.9, 0.9, 0.8, 0.7]) - 0.75))
    apart = dataclasses.replace(
        found, sure=np.array([0.6, 0.9]), right=np.array([0.8, 0.7]), low=np.array([0.5, 0.65]),
        high=np.array([0.85, 0.95]), count=np.array([1, 1]),
    )  # fmt: skip
    assert apart.gap == pytest.approx(0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "reliability", lambda _: apart)
        axis = figures.calibration_figure([("x", held)], 85).axes[0]
    bars = axis.containers[0][2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], [[0.5, 0.85], [0.65, 0.95]])
    assert axis.get_xlim()[0] < 1 / 3  # three classes: the least that can be most probable
    low, high = figures._wilson(0.5, 40)
    assert (low, high) == pytest.approx((0.3520, 0.6480), abs=1e-3)


def test_the_map_is_coloured_by_the_way_from_chance_and_its_key_has_its_marks() -> None:
    import matplotlib as mpl

    drawn = figures.figures(probed.of([made(score=0.75)]))["map"].draw(85)
    assert drawn.axes[0].patches[0].get_facecolor() == pytest.approx(mpl.colormaps["cividis"](0.5))
    key = "".join(text.get_text() for text in drawn.texts)
    *usual, blind = figures.MARKS.values()
    assert all(f"{mark} {state}" in key for state, mark in zip(figures.MARKS, usual, strict=False))
    assert blind not in key
    reason: dict[str, Any] = {"reason": "Blind to this question by construction: …", "verdict": "inconclusive"}
    drawn = figures.figures(probed.of([made(**reason, score=0.5, said=reason)]))["map"].draw(85)
    assert "".join(text.get_text() for text in drawn.texts).count(f"{blind} blind") == 1
    assert any(text.get_text().startswith(f"{blind} ") or blind in text.get_text() for text in drawn.axes[0].texts)


def test_a_control_that_is_asked_as_an_encoder_keeps_both_rows() -> None:
    one = made("pixels")
    control = dataclasses.replace(one.best, role="control")
    one.run.records = (control, *one.run.records)
    kept: list[Record] = figures._of([one])
    assert [(r.role, r.encoder) for r in kept if r.encoder == "pixels"] == [
        ("control", "pixels"),
        ("encoder", "pixels"),
    ]


def test_a_report_says_what_could_not_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    from slitlamp.comparison import found
    from slitlamp.errors import UsageError

    def refused(*_: object, **__: object) -> None:
        raise UsageError("no folds in common")

    monkeypatch.setattr(found, "find", refused)
    two: Any = [made().run, made("y").run]
    assert run.compared(two) == (None, ["Nothing is compared: no folds in common"])
    assert run.compared(two[:1]) == (None, [])


def test_the_page_prints_every_stamp_warning_and_note() -> None:
    warning = "WARNING: two groups share an image"
    one = made(score=None, points=2, said={"sentences": [warning]})
    *rest, last = one.run.records
    vars(one.run)["records"] = (*rest, dataclasses.replace(last, reason="LEAK: the list"))
    found = CommandResult(experiment="compare", tables={}, sentences=["t, encoder: x reads more."], notes=["left out"])
    gathered = dataclasses.replace(probed.of([one], found), failed=["two: no disk"])
    text = pages.page(gathered, [], {}, {}, probed.folder(), "", "", ["no folds in common"])
    leak = '<strong class="red">LEAK</strong>'
    first, full = text.index('id="answers"'), text.index('id="full"')
    table, points = text.index('id="table"'), text.index('id="points"')
    parts = text[first:full], text[full:table], text[table:points]
    assert [part.count(leak) for part in parts] == [2, 1, 1]  # of the question and of its encoder
    assert [part.count(f'<p class="red">{warning}</p>') for part in parts] == [1, 1, 0]
    assert '<p class="said">Compared: x reads more.</p>' in parts[0]
    assert "*: the highest point, chosen on these data" in parts[2]
    assert all(f"<li>{line}</li>" in text for line in ("left out", "no folds in common", warning))
    assert '<li class="red">two: no disk</li>' in text
    sure = pages.page(probed.of([made(points=2)]), [], {}, {}, probed.folder(), "", "")
    assert "LEAK" not in sure
    assert "*: the highest point, chosen on these data" not in sure


def test_a_class_is_rare_below_the_bound_of_the_rule() -> None:
    said = [design._interval(made(n_classes=2), RARE - k)[0] for k in (0, 1)]
    assert ["the smallest class has" in words for words in said] == [False, True]
    few = [design._interval(made(n_groups=FEW - k), 10)[0] for k in (0, 1)]
    assert [words.startswith("none, since") for words in few] == [False, True]


def diagnosis(failure: str, *, asks: int = 10, causal: bool = True, transported: bool = True) -> Any:
    """A document of `diagnose` on encoder x and task t, as far as the checklist reads it."""
    ends = {"task": "t", "low": 0.4, "high": 0.6}
    tables: dict[str, Any] = {
        "verdicts": [{"model": "x", "task": "t", "failure": failure, "code": "C", "confidence": "strong"}],
        "losses": [ends | {"between": f"tower to connector, {'transported' if transported else 'trained anew'}",
                           "loss": 0.31, "state": "material", "margin": 0.1}],
        "answers": [ends | {"what": "bias-free AUC", "value": 0.5, "asks": asks}],
        "causal": [ends | {"edit": "erased", "effect": 0.07}] if causal else [],
    }  # fmt: skip
    return SimpleNamespace(experiment="diagnose", folder=SimpleNamespace(name="d"),
                           document={"tables": tables, "command": "diagnose --causal off --paraphrases 1"})  # fmt: skip


def test_a_verdict_on_a_language_model_needs_bias_free_answers_ways_of_asking_and_a_causal_check() -> None:
    def told(*others: Any) -> Any:
        ((_, entry),) = checklist._language(dataclasses.replace(probed.of([made()]), others=others))
        return entry

    assert told().status == told(diagnosis("encoder")).status == checklist.IDLE
    whole = told(diagnosis("language_model"))
    assert (whole.status, whole.fill) == (STANDS, "")
    assert "bias-free AUC 0.50 [0.40, 0.60] over 10 ways" in whole.evidence
    assert "erased: 0.07 [0.40, 0.60]" in whole.evidence
    older = diagnosis("language_model")
    older.document["tables"]["causal"] = [{"task": "t", "edit": "erased", "loss": 0.07, "low": 0.4, "high": 0.6}]
    assert told(older).evidence == whole.evidence
    few, unchecked = told(diagnosis("language_model", asks=9)), told(diagnosis("language_model", causal=False))
    assert (few.status, few.fill) == (MISSING, "diagnose --causal off --paraphrases 5")
    assert (unchecked.status, unchecked.fill) == (MISSING, "diagnose --paraphrases 1 --causal on")


def test_a_loss_is_told_by_the_transported_probe_of_the_same_model_and_task() -> None:
    def told(claim: Any, *others: Any) -> Any:
        return list(checklist._losses(dataclasses.replace(probed.of([claim]), others=others)))

    lost: dict[str, Any] = {
        "loss": 0.3, "loss_low": 0.2, "loss_high": 0.4, "loss_state": "material", "reference": "pixels"
    }  # fmt: skip
    one = made(**lost)
    ((_, alone),) = told(one)
    assert alone.status == MISSING
    (_, carried), (_, beside) = told(one, diagnosis("connector"))
    assert (carried.status, beside.status) == (STANDS, STANDS)
    assert "0.31 [0.40, 0.60], material at a margin of 0.1" in carried.evidence
    assert [e.status for _, e in told(made(task="u", **lost), diagnosis("connector"))] == [STANDS, MISSING]
    assert [e.status for _, e in told(one, diagnosis("connector", transported=False))] == [MISSING]
    assert told(made("phantom-clip", **lost))[0][1].fill == (
        "python -m experiments.diagnose --model phantom-clip --task t"
    )
    assert "reads less" in told(made("dinov2-b14", **lost))[0][1].fill


def test_what_is_blind_by_construction_has_no_p_and_is_not_called_open() -> None:
    reason = "Blind to this question by construction: its features are equal for items of every answer …"
    facts = {"score": 0.5, "highest": 0.5, "verdict": "inconclusive", "p_value": 1.0, "p_adjusted": 1.0}
    blind, undecided = made(reason=reason, **facts), made(reason="Not decided.", **facts)
    assert (blind.p, undecided.p) == (None, 1.0)
    assert answers.short([blind]).endswith("; blind to it by construction.")
    assert answers.short([undecided]).endswith("p = 1; neither shown nor excluded.")
    shown = pages._claim(probed.of([blind]), blind)
    assert (shown["p"], shown["verdict"]) == ("–", "blind by construction")
    assert pages._claim(probed.of([undecided]), undecided)["verdict"] == "inconclusive"
    assert (answers.reads([blind]), answers.reads([undecided])) == ("is blind to it by construction", "not decided")
    assert (blind.ends, undecided.ends is None) == (None, False), "an interval around what cannot vary says nothing"
    assert tables.sheets(probed.of([blind]))[0].rows[0]["verdict"] == "blind by construction"
    assert "of no number of items" in next(iter(checklist._negative(blind))).evidence
    assert [sheet.rows[0]["p"] for sheet in tables.sheets(probed.of([blind]))] == [None, None]
    (entry,) = checklist._permutation(blind)
    assert (entry.status, "nothing to permute" in entry.evidence) == (STANDS, True)
    assert "blind by construction" in next(iter(checklist._falsified(blind))).evidence
    assert "no verdict was reached" in next(iter(checklist._falsified(undecided))).evidence
    many = [e for claim, e in checklist._multiplicity(probed.of([blind, made(name="run2")])) if claim is None]
    assert "over all 2 claims" in many[0].evidence  # it was asked too
