"""From cells to verdicts: keys, controls, the price of searching, loss and order, on made-up features."""

import dataclasses
from functools import cache as once
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cache
from probes.stats.best import nested_best
from probes.stats.exclusion import Exclusion
from probes.stats.loss import Less, Loss
from probes.stats.measurement import Difference, Measurement
from slitlamp.encoding.fill import FeatureTable, space_of
from slitlamp.probing.cells import Cells, _types
from slitlamp.probing.judge import _losses, _order, _summary, adjusted, judge, layout_of
from slitlamp.probing.judged import Best, ListTold
from slitlamp.probing.order import ListOrder, order_of
from slitlamp.probing.points import cells_of, headline_sites, relative_depth, screened
from slitlamp.probing.run import _draws_matter, could_be_absent
from slitlamp.probing.state import Cell, QuestionCells, Role, Run
from slitlamp.probing.words import _absent, _betrayed, _layout, _less, _moved, _origin, _readable, _told
from slitlamp.probing.workers import measure
from slitlamp.questions import Question
from slitlamp.records import Record, best_of
from slitlamp.reports.table import legend, table, verdict_text
from slitlamp.settings import Settings

TWO = ("upright", "turned")
Y, GROUPS = np.arange(120) % 2, np.arange(120) // 2
SETTINGS = Settings.of(encoder=("tower",), permutations=99, repeats=2, out="nowhere")


def features(kind: str, width: int = 6) -> np.ndarray:
    """`signal` tells the answer, `weak` a little of it, every other name is noise of its own."""
    x = np.random.default_rng([len(kind), *kind.encode()]).standard_normal((120, width))
    return x + {"signal": 3, "weak": 0.5}.get(kind, 0) * np.outer(Y, np.eye(1, width))


def question(**change: Any) -> Any:
    given = {
        "name": "orientation", "y": Y, "groups": GROUPS, "classes": TWO, "copies": None, "data_key": "d" * 64,
        "ids": tuple(str(i) for i in range(120)), "limited": False, "pool": None,
        "source": SimpleNamespace(name="made", synthetic=False), "pictures": SimpleNamespace(volumes=False),
    }  # fmt: skip
    made: Any = SimpleNamespace(**(given | change))
    made.features = partial(Question.features, made)
    return made


def tower(spec: str) -> Any:
    card = SimpleNamespace(name=spec, repo=None, revision=None, synthetic=False, other_weights=False, sites={})
    return SimpleNamespace(
        spec=spec,
        label=spec,
        source=spec,
        card=card,
        weights=None,
        image_size=None,
        fingerprint="f" * 64,
        device="cpu",
        dtype="float32",
        has_network=True,
    )


def cell(asked: Any, spec: str, role: Role, site: str = "pooled", **change: Any) -> Cell:
    given = {"site": site, "readout": "vector", "level": "full", "nested": False}
    return Cell(question=asked, encoder=tower(spec), role=role, **(given | change))


def started(asked: Any, kinds: dict[str, str], settings: Settings = SETTINGS) -> Run:
    """A run whose store holds the named kind of features for each encoder."""
    run = Run(settings=settings, store=SimpleNamespace(), cells=Cells(folder=Path("nowhere"), types={}))  # type: ignore[arg-type]
    for spec, kind in kinds.items():
        space: Any = SimpleNamespace(digest=f"{kind:0<64}", read=lambda _contents, _name, kind=kind: features(kind))
        run.filled[asked.name, spec] = FeatureTable(space=space, contents=(), encoded=0)
    return run


@once
def seen(kind: str) -> Measurement:
    asked = question()
    run = started(asked, {"tower": kind})
    return measure(run.job(cell(asked, "tower", Role.ENCODER)))[1]


def judged(
    kinds: dict[str, str], sites: dict[str, Measurement] | None = None, settings: Settings = SETTINGS, *,
    controls: dict[str, Measurement] | None = None, plan: Any = None, **change: Any,
) -> tuple[dict[str, dict], dict]:  # fmt: skip
    """Records by encoder and site, and the verdict, where each encoder has features of the named kind.

    A name `pixels@thumbnail.8` is the control's cell at that site.
    """
    asked = question()
    run = started(asked, {spec.partition("@")[0]: kind for spec, kind in kinds.items()}, settings)
    if plan is not None:
        run.plans[asked.name] = plan
    own = [cell(asked, "tower", Role.ENCODER, site, **change) for site in sites or {"pooled": None}]
    draws = [spec for spec in kinds if spec.startswith("random:")]
    twins = [cell(asked, spec, Role.UNTRAINED, c.site) for spec in draws for c in own]
    basic = {s: cell(asked, s.partition("@")[0], Role.CONTROL, s.partition("@")[2] or "pooled") for s in kinds}
    basic = {spec: c for spec, c in basic.items() if c.encoder.spec in ("lowlevel", "pixels")}
    for c in (*own, *twins):
        run.measured[run.key(c)] = seen(kinds[c.encoder.spec])
    for spec, c in basic.items():
        run.measured[run.key(c)] = seen(kinds[spec])
    for site, m in (sites or {}).items():
        run.measured[run.key(next(c for c in own if c.site == site))] = m
    for spec, m in (controls or {}).items():
        run.measured[run.key(basic[spec])] = m
    cells = QuestionCells(encoder=own, untrained={"tower": twins} if twins else {}, control=list(basic.values()))
    (paid,) = adjusted([[run.measurement(c) for c in own]])
    records, verdicts, _ = judge(run, asked, cells, paid, "linear_probe")
    found = {f"{r.encoder}/{r.site}": dataclasses.asdict(r) for r in records}
    return found, verdicts[0]


DRAWS = {"random:tower": "third", "random:tower#1": "fourth", "random:tower#2": "fifth"}
QUIET = {"tower": "signal", "lowlevel": "noise", "pixels": "other", **DRAWS}


@pytest.mark.parametrize(
    ("reads", "credit"),
    [((), "learned"), (tuple(DRAWS), "architecture"), (("pixels",), "pixels"), (("lowlevel", "pixels"), "nuisance")],
)
def test_each_control_takes_the_credit_when_it_reads_as_well_and_only_then(reads: tuple[str, ...], credit: str) -> None:
    records, verdict = judged(QUIET | dict.fromkeys(reads, "signal"))
    mine = records["tower/pooled"]
    assert mine["verdict"] == verdict["verdict"] == "present"
    assert mine["credit"] == verdict["credit"] == credit
    for name in ("lowlevel", "pixels"):
        assert mine[f"control_{name}"] == records[f"{name}/pooled"]["score"]
        assert (mine[f"control_{name}"] > 0.9) == (name in reads), name
    untrained = [records[f"{spec}/pooled"]["score"] for spec in DRAWS]
    assert mine["control_random"] == pytest.approx(np.mean(untrained))
    if reads:
        assert "not shown to read less at this number of items" in mine["reason"]
        assert "as well" not in mine["reason"]


def test_one_untrained_draw_that_reads_spoils_the_population_also_where_the_others_do_not() -> None:
    records, verdict = judged(QUIET | {"random:tower": "signal"})
    assert verdict["credit"] in ("open", "architecture")
    assert records["tower/pooled"]["control_random"] < 0.8


def test_without_an_untrained_network_learning_is_never_credited_and_the_lack_is_said() -> None:
    alone = {k: v for k, v in QUIET.items() if k not in DRAWS}
    records, verdict = judged(alone)
    assert verdict["credit"] == "open"
    assert records["tower/pooled"]["control_random"] is None
    assert "No comparison with untrained networks was made" in records["tower/pooled"]["reason"]
    few, _ = judged(alone | {"random:tower": "third"})
    assert few["tower/pooled"]["credit"] == "open", "one draw bounds no other network"
    assert "1 draw, too few to stand for others: 3 are needed" in few["tower/pooled"]["reason"]


def test_a_control_that_was_asked_for_by_name_is_credited_with_nothing() -> None:
    asked = question()
    run = started(asked, QUIET)
    own, other = cell(asked, "pixels", Role.ENCODER), cell(asked, "lowlevel", Role.CONTROL)
    run.measured[run.key(own)], run.measured[run.key(other)] = seen("signal"), seen("other")
    records, (verdict,), _ = judge(run, asked, QuestionCells(encoder=[own], control=[other]), [0.01], "linear_probe")
    assert (verdict["verdict"], verdict["credit"], records[-1].credit, records[-1].loss) == (
        "present",
        None,
        None,
        None,
    )
    assert "credit" not in records[-1].reason


def test_the_thumbnail_that_is_hardest_to_surpass_takes_the_credit_and_is_named() -> None:
    records, verdict = judged(QUIET | {"pixels@thumbnail.8": "signal"})
    assert verdict["credit"] == "pixels"
    mine = records["tower/pooled"]
    assert mine["control_pixels"] == records["pixels/thumbnail.8"]["score"] > 0.9 > records["pixels/pooled"]["score"]
    assert "a thumbnail of 8 × 8 pixels reads it too" in mine["reason"]


def test_the_shuffled_column_is_mean_and_range_of_the_refits_at_hand() -> None:
    mine = judged(QUIET)[0]["tower/pooled"]
    under = seen("signal").null.fixed.score
    assert len(under) == 99
    spread = [mine[f"control_shuffled{end}"] for end in ("", "_low", "_high")]
    assert spread == pytest.approx([under.mean(), under.min(), under.max()])
    assert spread[1] < 0.5 < spread[2]


def test_a_record_holds_what_was_measured_and_of_how_much() -> None:
    asked = question(limited=True)
    own, screen = cell(asked, "tower", Role.ENCODER), cell(asked, "pixels", Role.CONTROL, level="screen")
    full = cell(asked, "pixels", Role.CONTROL)
    run = started(asked, QUIET)
    m = seen("signal")
    e = dataclasses.replace(m.estimate, score=0.8, low=0.61, high=0.93, chance=0.34, mde=0.7)
    nested = dataclasses.replace(e, score=0.81, low=0.71, high=0.91)
    run.measured[run.key(own)] = dataclasses.replace(
        m, estimate=e, nested=nested, companions={"R2 of normal scores": 0.4, "R2 of the number": 0.3}
    )
    run.measured[run.key(full)] = seen("other")
    run.measured[run.key(screen)] = dataclasses.replace(seen("signal"), screened=True)
    cells = QuestionCells(encoder=[own], control=[full, screen])
    (records, (verdict,), _) = judge(run, asked, cells, [0.04], "linear_probe")
    assert [(r.role, r.screened) for r in records] == [("control", False), ("encoder", False)]
    r = records[-1]
    assert (r.score, r.low, r.high, r.chance, r.mde, r.p_value, r.p_adjusted, r.confidence) == (
        0.8, 0.61, 0.93, 0.34, 0.7, m.estimate.p, 0.04, 0.95,
    )  # fmt: skip
    assert (r.nested, r.nested_low, r.nested_high, r.r2_scores, r.r2_number) == (0.81, 0.71, 0.91, 0.4, 0.3)
    assert (r.n_items, r.n_groups, r.n_classes, r.folds, r.repeats, r.permutations, r.seed) == (120, 60, 2, 5, 2, 99, 0)
    assert (r.weights, records[0].weights, r.limited, r.margin) == ("fingerprint " + "f" * 12, "none", True, 0.1)
    assert (r.data_key, r.features_key) == ("d" * 16, "signal" + "0" * 10 + ":pooled/vector")
    assert r.control_pixels == seen("other").estimate.score, "a control that was measured as the cell was"
    assert (verdict["score"], verdict["low"], verdict["high"]) == (0.8, 0.61, 0.93)


@pytest.mark.parametrize(("lowest", "rings"), [(0.2, True), (0.05, False)])
def test_the_leak_alarm_is_judged_once_for_the_map(lowest: float, rings: bool) -> None:
    """The lowest of two points among the lowest of exchanged labels; by itself each lies lower than all of its own."""
    low = with_null([0.1] + [0.5] * 99, seen("noise"), 1.0)
    low = dataclasses.replace(low, estimate=dataclasses.replace(low.estimate, score=0.2, low=0.1, high=0.3), leak=True)
    wild = with_null([0.5] + [lowest] * 20 + [0.5] * 79, seen("other"), 1.0)
    records, verdict = judged(QUIET, {"block.0": low, "block.1": wild})
    assert records["tower/block.0"]["reason"].startswith("LEAK:") is rings
    assert any("LEAK:" in one for one in verdict["sentences"]) is rings


# what is said


def said(m: Measurement | None = None, **verdict: Any) -> Any:
    """A judged point, of which a sentence looks at little."""
    given = {
        "state": "present",
        "credit": "pixels",
        "reason": "why.",
        "size_open": False,
        "leak": False,
        "excluded": None,
    }
    m = seen("signal") if m is None else m
    loss = verdict.pop("loss", None)
    record = SimpleNamespace(
        score=0.9, low=0.8, high=0.95, simultaneous_low=0.7, simultaneous_high=0.99, metric="accuracy", chance=0.5
    )
    return SimpleNamespace(
        cell=SimpleNamespace(
            name=verdict.pop("name", "final/cls"), site="final", readout=verdict.pop("readout", "vector"),
            encoder=SimpleNamespace(card=SimpleNamespace(synthetic=verdict.pop("synthetic", False))),
        ),
        measurement=m, verdict=SimpleNamespace(**(given | verdict)), p=0.012, controls={}, loss=loss,
        credit_words="Said.", record=record,
    )  # fmt: skip


def scoring(score: float, kind: str = "noise", **change: Any) -> Measurement:
    m = seen(kind)
    return dataclasses.replace(
        m, estimate=dataclasses.replace(m.estimate, score=score, low=score - 0.1, high=score + 0.1), **change
    )


def test_the_first_sentence_has_the_interval_that_paid_for_the_choice_and_the_nested_number() -> None:
    top, learned = said(), said(scoring(0.83), credit="learned", name="block.3/mean")
    text = _readable([top, learned], Best(row=top, of=7, nested=scoring(0.77)))
    assert text == (
        "Present at 2 of 7 points, p = 0.012. With the point chosen inside the training folds: accuracy 0.77 "
        "[0.67, 0.87], chance 0.50. Best: final/cls 0.90 [0.70, 0.99], the highest of 7 points, chosen on these data. "
        "Said. Credited to learning at 1 point, best block.3/mean (0.83 [0.73, 0.93])."
    )
    best = said(credit="learned", size_open=True)
    text = _readable([best, learned], Best(row=best, of=2, nested=None))
    assert "How well is open: the interval touches chance." in text
    assert "Credited to learning at" not in text
    none = said(state="inconclusive")
    assert _readable([none], Best(row=none, of=2, nested=None)).startswith(
        "Nowhere shown to be readable. Best: final/cls"
    )
    assert _readable([none], Best(row=none, of=1, nested=None)) == "Not shown to be readable. why."
    assert _readable([top], Best(row=top, of=1, nested=None)) == "why."


def loss_of(state: Any, low: float, sure: float = 0.15) -> Any:
    def less(name: str, low: float) -> Less:
        return Less(
            reference=name,
            kind="earlier",
            score=0.9,
            difference=Difference(score=low + 0.1, low=low, high=low + 0.2, p=None),
        )

    kinds = (less("early", sure), less("thumb", -0.1))
    return Loss(state=state, margin=0.1, score=0.6, whole=less("early", low), kinds=kinds)


def test_of_what_reads_less_the_last_that_is_material_is_told_against_what_is_sure() -> None:
    points = [said(loss=loss_of(state, low)) for state, low in (
        ("material", 0.3), ("material", 0.2), ("reads less", 0.05), ("kept", -0.1), ("open", -0.2),
    )]  # fmt: skip
    for k, one in enumerate(points):
        one.cell.site = f"block.{k}"
    (text,) = _less(points)
    assert text.startswith(
        "The block.1 vector reads 0.60: 0.25 [0.15, 0.35] less than early (0.90) (all by closed-form"
    )
    assert "thumb" not in text
    assert text.endswith("So 3 points of 5 read less than a reference on the same items, 2 of them by more than 0.1.")
    assert _less(points[3:]) == []
    assert "reads 0.60: 0.15 [0.05, 0.25] less than early" in _less([said(loss=loss_of("reads less", 0.05, -0.1))])[0]
    for readout, starts in {
        "halves": "Halves of final read 0.60", "grid3": "3 × 3 regions of final read 0.60",
        "at-mark": "The tokens at the marks of final read 0.60", "queries": "Queries of final read 0.60",
        "cls": "CLS token of final reads 0.60", "mean": "Mean of patches of final reads 0.60",
    }.items():  # fmt: skip
        (text,) = _less([said(loss=loss_of("reads less", 0.05, -0.1), readout=readout)])
        assert text.startswith(starts)


def test_absent_is_said_of_those_that_are_with_what_all_of_them_exclude() -> None:
    points = [said(state="absent", excluded=x, reason=f"excluded {x}", name=f"b{x}/cls") for x in (0.67, 0.81, 0.7)]
    (sentence,) = _absent([*points, said()], [])
    assert sentence.startswith("Absent at 3 points (b0.67/cls, b0.81/cls, b0.7/cls).")
    assert "b0.81/cls: excluded 0.81" in sentence
    assert _absent([said()], []) == []


@pytest.mark.parametrize(
    ("m", "starts"),
    [
        (scoring(0.8, state="present"), "WARNING: image statistics without layout"),
        (scoring(0.56, state="inconclusive"), "Caution: image statistics without layout reach 0.56 [0.46, 0.66]"),
        (scoring(0.54, state="inconclusive"), None),
    ],
)
def test_image_statistics_that_tell_the_answer_are_a_warning_and_where_they_may_a_caution(
    m: Measurement, starts: str | None
) -> None:
    control = SimpleNamespace(encoder=SimpleNamespace(spec="lowlevel"))
    run, cells = SimpleNamespace(measurement=lambda _: m), QuestionCells(encoder=[], control=[control])  # type: ignore[list-item]
    found = _betrayed(run, "tower", cells)
    assert [one.startswith(starts or "") for one in found] == [True] * (starts is not None)
    assert _betrayed(run, "lowlevel", cells) == []


def test_a_mean_that_surely_reads_less_than_halves_is_the_averaging_s_and_an_unsure_one_is_nobody_s() -> None:
    def readouts(mean: str, halves: str) -> list[Any]:
        return [said(seen(mean), readout="mean"), said(seen(halves), readout="halves")]

    run = SimpleNamespace(plan=lambda _: seen("noise").plan)
    (text,) = _layout(run, question(), readouts("noise", "signal"))
    assert text.startswith(
        "Layout: at 1 of 1 sites the mean over patches reads less than halves or thirds of the image"
    )
    higher, lower = sorted(("noise", "other", "third", "fourth"), key=lambda kind: seen(kind).estimate.score)[::-3]
    assert seen(higher).estimate.score > seen(lower).estimate.score
    assert _layout(run, question(), readouts(lower, higher)) == [], "not sure"


def test_what_is_made_here_and_what_the_plan_warns_of_is_said() -> None:
    made = question(source=SimpleNamespace(name="made", synthetic=True))
    assert _origin(question(), [said()]) == []
    assert "weights of this encoder are made by this project" in _origin(question(), [said(synthetic=True)])[0]
    assert "images and the weights of this encoder" in _origin(made, [said(synthetic=True)])[0]
    few = with_plan(seen("noise"), warnings=("the smallest class has 7 groups",))
    _, verdict = judged(QUIET, {"pooled": few}, plan=few.plan)
    assert "Note: the smallest class has 7 groups." in verdict["sentences"]


def with_plan(m: Measurement, **change: Any) -> Measurement:
    return dataclasses.replace(m, plan=dataclasses.replace(m.plan, **change))


def test_the_verdict_of_an_encoder_is_absent_only_where_every_point_is() -> None:
    states = {
        "present": ("absent", "present"),
        "absent": ("absent", "absent"),
        "inconclusive": ("absent", "inconclusive"),
    }
    for due, each in states.items():
        points = [said(state=state) for state in each]
        for one in points:
            one.record.encoder, one.record.verdict, one.record.reason = "tower", one.verdict.state, "Undecided."
        found = _summary(question(), points, Best(row=points[0], of=2, nested=scoring(0.77)), ["said"])
        assert found["verdict"] == due
        assert found["points"] == {s: each.count(s) for s in ("present", "absent", "inconclusive")}
        assert (found["score"], found["highest"], found["highest_high"]) == (0.77, 0.9, 0.99)
        assert not found["blind"]


def test_an_encoder_is_blind_where_no_other_point_is_open() -> None:
    for other, due in (("absent", True), ("inconclusive", False), ("present", False)):
        points = [said(state="inconclusive"), said(state=other)]
        for one, reason in zip(points, ("Blind to this question by construction: …", "Something else."), strict=True):
            one.record.encoder, one.record.verdict, one.record.reason = "tower", one.verdict.state, reason
        found = _summary(question(), points, Best(row=points[0], of=2, nested=scoring(0.5)), ["said"])
        assert found["blind"] == due, other


# the search over maps, encoders and tasks


def with_null(statistic: list[float], m: Measurement, p: float) -> Measurement:
    null = dataclasses.replace(m.null, statistic=np.array(statistic))
    return dataclasses.replace(m, null=null, estimate=dataclasses.replace(m.estimate, p=p))


def test_a_task_pays_for_all_points_of_all_encoders_with_the_largest_of_the_null() -> None:
    rng = np.random.default_rng(0)
    tables = rng.random((5, 100))
    points = [with_null(list(t), seen("noise"), float((t >= t[0]).mean())) for t in tables]
    by_hand = [float((1 + (tables[:, 1:].max(axis=0) >= t[0]).sum()) / 100) for t in tables]
    assert adjusted([points])[0] == pytest.approx(by_hand)
    raw = [float((t >= t[0]).mean()) for t in tables]
    assert all(np.array(adjusted([points])[0]) > raw), "a search is never free"
    assert adjusted([points[:1]])[0] == pytest.approx(raw[:1]), "one point searches nothing"


def test_tasks_pay_by_holm_s_rule_and_one_that_is_read_only_in_part_still_counts() -> None:
    def point(p: float) -> Measurement:
        return with_null([1.0] + [1.0] * round(100 * p - 1) + [0.0] * (100 - round(100 * p)), seen("noise"), p)

    each = [float(p[0]) for p in adjusted([[point(0.01)], [point(0.04)], [point(0.03)]])]
    assert each == pytest.approx([0.03, 0.06, 0.06])
    wild = with_null([0.5] + [0.8] * 99, seen("noise"), 1.0)
    (part, other) = adjusted([[with_null([2.0] + [0.0] * 99, seen("signal"), 0.01), wild], [point(0.04)]])
    assert part[0] == pytest.approx(0.02)
    assert other == pytest.approx([0.08]), "a null point of the first task can still be called present"
    assert adjusted([[point(0.01)], [point(0.04)]])[1] == pytest.approx([0.04])


def test_probes_that_are_not_refitted_pay_for_every_point_of_every_task_by_holm_s_rule() -> None:
    points = [with_null([0.0, 0.0], seen("noise"), p) for p in (0.01, 0.04, 0.03)]
    blind = [dataclasses.replace(m, permuted=None) for m in points]
    assert adjusted([blind])[0] == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([blind[:1], blind[1:]]) == [pytest.approx([0.03]), pytest.approx([0.06, 0.06])]


def test_a_point_that_is_present_alone_is_not_when_the_search_that_found_it_is_paid_for() -> None:
    lucky = with_null([0.7] + [0.5] * 99, seen("signal"), 0.01)
    wild = with_null([0.5] + [0.8] * 10 + [0.5] * 89, seen("noise"), 1.0)
    alone, _ = judged(QUIET, {"block.0": lucky})
    among, _ = judged(QUIET, {"block.0": lucky, "block.1": wild})
    one, other = alone["tower/block.0"], among["tower/block.0"]
    assert (one["p_value"], one["p_adjusted"], one["verdict"]) == (0.01, 0.01, "present")
    assert (other["p_value"], other["p_adjusted"], other["verdict"]) == (0.01, 0.11, "inconclusive")
    printed = table([Record(**r) for r in among.values()], "tower").split("\n")
    assert "0.110" in next(line for line in printed if line.startswith("block.0"))


# best, loss, order


def test_the_best_is_one_point_everywhere_and_its_number_is_the_nested_one() -> None:
    sites = {"block.0": seen("noise"), "block.1": seen("signal"), "pooled": seen("other")}
    records, verdict = judged(QUIET, sites)
    own = [Record(**r) for r in records.values() if r["role"] == "encoder"]
    assert verdict["best"] == "block.1/vector"
    nested = nested_best(list(sites.values()), seen("noise").plan)
    assert nested is not None
    assert verdict["score"] == nested.estimate.score
    assert f"{nested.estimate.score:.2f} [" in verdict["sentences"][0]
    assert "block.1/vector" in verdict["sentences"][0]
    assert "the highest of 3 points, chosen on these data" in verdict["sentences"][0]
    marked = [line for line in table(own, "tower").split("\n") if "← best of 3" in line]
    assert [line.split()[0] for line in marked] == ["block.1"]
    row = records["tower/block.1"]
    assert row["simultaneous_low"] < row["low"]
    assert verdict["highest_low"] == row["simultaneous_low"]
    present = dataclasses.replace(own[0], verdict="present", score=0.6)
    assert best_of([dataclasses.replace(own[0], verdict="inconclusive", score=0.7), present]) is present


def test_what_a_point_loses_is_the_second_thing_said_and_its_twin_loses_nothing() -> None:
    records, verdict = judged(QUIET, {"block.0": seen("signal"), "pooled": seen("weak")})
    late = records["tower/pooled"]
    assert late["loss_state"] == "material"
    assert late["reference"] == "the block.0 vector"
    assert late["loss"] == pytest.approx(records["tower/block.0"]["score"] - late["score"])
    assert late["loss_low"] > 0.1
    assert verdict["sentences"][1].startswith(f"The pooled vector reads {late['score']:.2f}: {late['loss']:.2f} [")
    assert "less than the block.0 vector" in verdict["sentences"][1]
    records, verdict = judged(QUIET, {"block.0": seen("signal"), "pooled": seen("signal")})
    assert records["tower/pooled"]["loss_state"] == "kept"
    assert not any(" vector reads " in one for one in verdict["sentences"])


def test_nothing_is_lost_that_was_never_shown() -> None:
    records, verdict = judged(QUIET | {"tower": "noise"}, {"block.0": seen("noise"), "pooled": seen("other")})
    assert records["tower/pooled"]["loss_state"] == "open"
    assert not any("loses" in one or " vector reads " in one for one in verdict["sentences"])


def test_a_loss_is_told_along_the_map_where_the_headline_is_another_measure() -> None:
    asked = question()
    run = started(asked, QUIET)
    run.plans[asked.name] = dataclasses.replace(seen("noise").plan, headline="linear")
    own = [cell(asked, "tower", Role.ENCODER, site) for site in ("block.0", "pooled")]
    for one, kind in zip(own, ("signal", "weak"), strict=True):
        run.measured[run.key(one)] = seen("signal")
        run.measured[run.key(screened(one))] = seen(kind)
    _, late = _losses(run, QuestionCells(encoder=own, control=[]), own)
    assert late is not None
    assert (late.state, late.score) == ("material", seen("weak").estimate.score)


def test_a_reference_that_is_named_is_the_only_one() -> None:
    sites = {"block.0": seen("signal"), "pooled": seen("weak")}
    records, _ = judged(QUIET, sites, SETTINGS.but(reference="pixels"))
    assert records["tower/pooled"]["reference"] == "a thumbnail of 32 × 32 pixels"
    assert records["tower/pooled"]["loss_state"] != "material"
    records, _ = judged(QUIET, sites, SETTINGS.but(reference="block.0/vector"))
    assert records["tower/pooled"]["reference"] == "the block.0 vector"


def leaking(m: Measurement, score: float = 0.3) -> Measurement:
    """A measurement that lies below chance by more than its exchanged labels ever do."""
    statistic = np.concatenate([[0.1], np.full(199, 0.5)])
    estimate = dataclasses.replace(m.estimate, score=score, low=score - 0.1, high=score + 0.1, p=1.0)
    return dataclasses.replace(m, null=dataclasses.replace(m.null, statistic=statistic), estimate=estimate)


def test_a_leak_at_one_point_leaves_no_other_point_of_the_map_absent() -> None:
    nothing = seen("noise")
    limit = Exclusion(limit=0.7, asked=0.9, rates={0.5: 1.0, 0.7: 0.01}, self_check=0.05, groups=None)
    silent = dataclasses.replace(with_null([0.5] * 100, nothing, 0.6), limit=limit, kernel_p=0.5)
    at_chance = dataclasses.replace(silent.estimate, score=0.51, low=0.41, high=0.61)  # so that it rings nowhere itself
    silent = dataclasses.replace(silent, estimate=at_chance)
    records, _ = judged(QUIET | {"tower": "noise"}, {"block.0": silent, "pooled": silent})
    assert records["tower/block.0"]["verdict"] == "absent"
    assert "LEAK" not in verdict_text(Record(**records["pixels/pooled"]))
    records, verdict = judged(QUIET | {"tower": "noise"}, {"block.0": silent, "pooled": leaking(nothing)})
    assert records["tower/block.0"]["verdict"] == records["tower/pooled"]["verdict"] == "inconclusive"
    assert records["tower/block.0"]["reason"].startswith("Nothing found")
    assert records["tower/pooled"]["reason"].startswith("LEAK")
    assert sum("LEAK: " in sentence for sentence in verdict["sentences"]) == 1
    records, _ = judged(QUIET | {"tower": "noise"}, {"block.0": silent}, controls={"pixels": leaking(nothing)})
    assert records["tower/block.0"]["verdict"] == "absent", "a control's alarm is told of the control"
    assert verdict_text(Record(**records["pixels/pooled"])) == "inconclusive, LEAK"


def test_controls_raise_one_alarm_together_and_not_each_its_own() -> None:
    rare = np.concatenate([[0.3], np.full(1, 0.2), np.full(198, 0.5)])  # by itself 2 of 200, with the other 4
    other = np.concatenate([[0.5], np.full(1, 0.5), np.full(2, 0.1), np.full(196, 0.5)])
    low = leaking(seen("noise"))
    low = dataclasses.replace(low, null=dataclasses.replace(low.null, statistic=rare), leak=True)
    quiet = dataclasses.replace(seen("other"), null=dataclasses.replace(seen("other").null, statistic=other))
    records, _ = judged(QUIET, controls={"lowlevel": low, "pixels": quiet})
    assert "LEAK" not in verdict_text(Record(**records["lowlevel/pooled"]))


def test_no_reason_is_said_twice() -> None:
    def reasons(sites: dict[str, Measurement]) -> list[str]:
        records, verdict = judged(QUIET | {"tower": "noise"}, sites)
        told = " ".join(verdict["sentences"])
        return [r["reason"] for r in records.values() if r["role"] == "encoder" and told.count(r["reason"]) > 1]

    limit = Exclusion(limit=0.7, asked=0.9, rates={0.5: 1.0, 0.7: 0.01}, self_check=0.05, groups=None)
    silent = dataclasses.replace(with_null([0.5] * 100, seen("noise"), 0.6), limit=limit, kernel_p=0.5)
    assert reasons({"block.0": silent, "pooled": silent}) == []
    assert reasons({"block.0": silent, "pooled": with_null([0.6] + [0.5] * 99, seen("weak"), 0.06)}) == []
    assert reasons({"block.0": silent, "block.1": leaking(seen("other")), "pooled": leaking(seen("noise"), 0.2)}) == []


def test_the_highest_of_what_is_present_is_not_called_the_highest_of_all() -> None:
    read, more = seen("weak"), seen("signal")
    wide = with_null([0.5] + [0.6] * 99, more, 0.9)
    _, verdict = judged(QUIET, {"block.0": with_null([0.9] + [0.5] * 99, read, 0.01), "pooled": wide})
    assert verdict["best"] == "block.0/vector"
    assert "the highest of the 1 point that is present, chosen on these data" in verdict["sentences"][0]


@pytest.mark.parametrize(
    ("score", "low", "p", "starts"),
    [(0.51, 0.46, 0.6, None), (0.51, 0.46, 0.01, "Caution"), (0.9, 0.8, 0.6, "Caution"), (0.9, 0.8, 0.01, "WARNING")],
)
def test_how_loud_the_order_of_the_list_is_goes_by_what_it_reads(
    score: float, low: float, p: float, starts: str | None
) -> None:
    estimate = dataclasses.replace(seen("noise").estimate, score=score, low=low, high=score + 0.05, p=0.045)
    told = ListTold(measurement=dataclasses.replace(seen("noise"), estimate=estimate), p=p)
    assert [sentence.partition(":")[0] for sentence in _told(told)] == ([] if starts is None else [starts])
    betrayed = _betrayed(
        SimpleNamespace(measurement=lambda _: dataclasses.replace(told.measurement, state="present")),
        "tower",
        QuestionCells(encoder=[], control=[cell(question(), "lowlevel", Role.CONTROL)]),
    )
    assert betrayed[0].startswith("WARNING" if low > 0.5 else "Caution")


def listed(drifts: bool, place: np.ndarray) -> tuple[dict, dict]:
    """A run over a list whose items lie at these places, with images that drift along it or do not."""
    asked = question()
    run = started(asked, {"tower": "signal", "lowlevel": "noise", "pixels": "other", **DRAWS})
    if drifts:
        drifting = features("noise") + np.outer(place / 20, np.eye(1, 6))
        space: Any = SimpleNamespace(digest="e" * 64, read=lambda _contents, _name: drifting)
        run.filled[asked.name, "lowlevel"] = FeatureTable(space=space, contents=(), encoded=0)
    order = ListOrder(places=(place.astype(float),))
    run.filled[asked.name, "order"] = order
    own = cell(asked, "tower", Role.ENCODER)
    basic = [cell(asked, spec, Role.CONTROL) for spec in ("lowlevel", "pixels")]
    basic.append(dataclasses.replace(basic[0], encoder=order))
    twins = [cell(asked, spec, Role.UNTRAINED) for spec in DRAWS]
    for c in (own, *basic, *twins):
        run.measured[run.key(c)] = measure(run.job(c))[1]
    cells = QuestionCells(encoder=[own], untrained={"tower": twins}, control=basic)
    records, (verdict,), _ = judge(run, asked, cells, adjusted([[run.measurement(own)]])[0], "linear_probe")
    return {r.encoder: dataclasses.asdict(r) for r in records}, verdict


SORTED = np.argsort(np.argsort(Y, kind="stable"))  # all items of one answer before those of the other


def test_a_sorted_list_along_which_the_images_drift_is_never_credited_to_learning_and_is_named() -> None:
    records, verdict = listed(True, SORTED)
    assert verdict["credit"] == "nuisance"
    assert records["tower"]["control_order"] == records["order"]["score"] > 0.9
    assert records["order"]["verdict"] == "present"
    assert any(s.startswith("WARNING: the place in the list") and "drift along" in s for s in verdict["sentences"])


def test_a_sorted_list_without_drift_is_a_caution_and_a_mixed_one_says_nothing() -> None:
    _, verdict = listed(False, SORTED)
    assert verdict["credit"] == "learned"
    assert any(s.startswith("Caution: the place in the list") for s in verdict["sentences"])
    mixed = np.random.default_rng(3).permutation(120)
    records, verdict = listed(True, mixed)
    assert verdict["credit"] == "learned"
    assert records["order"]["verdict"] != "present"
    assert "place in the list" not in " ".join(verdict["sentences"])


def test_the_drift_is_looked_for_in_the_features_of_the_highest_point() -> None:
    asked = question()
    run = started(asked, {"tower": "signal", "lowlevel": "noise"})
    drifting = features("signal") + np.outer(SORTED / 20, np.eye(1, 6, 3))
    space: Any = SimpleNamespace(
        digest="e" * 64, read=lambda _contents, name: drifting if name == "pooled/vector" else features("other")
    )
    run.filled[asked.name, "tower"] = FeatureTable(space=space, contents=(), encoded=0)
    order = ListOrder(places=(SORTED.astype(float),))
    run.filled[asked.name, "order"] = order
    own = [cell(asked, "tower", Role.ENCODER, site) for site in ("block.0", "pooled")]
    control = dataclasses.replace(own[0], encoder=order, role=Role.CONTROL, site="pooled")
    for one in (*own, control):
        run.measured[run.key(one)] = measure(run.job(one))[1]
    told = _order(run, asked, QuestionCells(encoder=own, control=[control]), own)
    assert told is not None
    assert told.carried
    quiet = _order(run, asked, QuestionCells(encoder=own, control=[control]), own[:1])
    assert quiet is not None
    assert not quiet.carried


def test_a_legend_says_what_was_computed() -> None:
    records, _ = judged(QUIET, {"block.0": seen("signal"), "pooled": seen("noise")})
    own = [Record(**r) for r in records.values()]
    text = legend(own)
    assert "p: permutation test, paid for all points" in text
    assert "mean of 3 draws" in text
    assert "from the spread over folds" in legend([dataclasses.replace(r, p_from="folds") for r in own])
    nested = [dataclasses.replace(r, probe="linear-v1") for r in own]
    assert "spread" not in legend(nested), "nested logistic regression is refitted to permuted labels"
    mixed = [
        dataclasses.replace(r, probe="knn") if r.site == "pooled" else dataclasses.replace(r, screened=True)
        for r in own
    ]
    assert "closed-form ridge; the other scores are those of knn." in legend(mixed)
    one = [r for r in own if r.site == "block.0" or r.role == "control"]
    assert "paid for" not in legend([r for r in one if not r.encoder.startswith("random:")])
    assert max(map(len, text.split("\n"))) <= 110, "as wide as the sentences above it"
    assert "or as --twins" in legend([r for r in one if not r.encoder.startswith("random:")])


def test_exchanged_labels_that_can_hardly_move_are_explained() -> None:
    plan = SimpleNamespace(number=False, y=Y, classes=TWO, chance=0.5, permuted=np.tile(Y, (50, 1)))
    assert "100% of the exchanged labels agree" in _moved(plan)[0]
    free = SimpleNamespace(number=False, y=Y, classes=TWO, chance=0.5, permuted=seen("noise").plan.permuted)
    assert _moved(free) == []
    rare = np.arange(120) < 12  # each class counts alike, as it does in balanced accuracy
    kept = np.where(np.arange(99)[:, None] % 2, rare, np.roll(rare, 12)).astype(np.int64)
    uneven = SimpleNamespace(number=False, y=rare.astype(int), classes=TWO, chance=0.5, permuted=kept)
    assert "Note: 72% of the exchanged" in _moved(uneven)[0]


@pytest.mark.parametrize(
    ("kinds", "twins", "matter"),
    [
        ({}, None, True),
        ({"pixels": "signal"}, None, False),
        ({"lowlevel": "signal"}, None, False),
        ({"tower": "noise"}, None, False),
        ({"tower": "noise"}, 2, True),
    ],
)
def test_untrained_networks_are_asked_where_both_controls_of_the_image_are_surpassed(
    kinds: dict[str, str], twins: int | None, matter: bool
) -> None:
    asked, of = question(), QUIET | kinds
    run = started(asked, of, SETTINGS.but(twins=twins))
    own, *basic = (
        cell(asked, spec, Role.ENCODER if spec == "tower" else Role.CONTROL) for spec in ("tower", "lowlevel", "pixels")
    )
    for c in (own, *basic):
        run.measured[run.key(c)] = seen(of[c.encoder.spec])
    assert _draws_matter(run, QuestionCells(encoder=[own], control=basic), "tower") is matter


@pytest.mark.parametrize(
    ("change", "could"), [({}, True), ({"leak": True}, False), ({"p": 0.05}, False), ({"rare": 19}, False)]
)
def test_a_pool_is_asked_for_what_could_be_absent(change: dict[str, Any], could: bool) -> None:
    p = change.pop("p", 0.06)
    m = with_plan(with_null([1.0] + [1.0] * round(100 * p - 1) + [0.0] * round(100 - 100 * p), seen("noise"), p),
                  rare=change.pop("rare", 20))  # fmt: skip
    assert could_be_absent(dataclasses.replace(m, **({"leak": False, "limit": None} | change))) is could


@pytest.mark.parametrize(("site", "depth"), [("block.0", 1 / 3), ("block.2", 1.0), ("final", None)])
def test_the_depth_of_a_block_is_its_share_of_all(site: str, depth: float | None) -> None:
    assert relative_depth(site, ["block.0", "block.1", "block.2", "final"]) == depth
    assert headline_sites([(name, "cls", 3) for name in ("block.0", "block.1", "final")]) == {"block.1", "final"}


@pytest.mark.parametrize("role", [Role.ENCODER, Role.CONTROL])
@pytest.mark.parametrize("headline", ["ridge", "linear"])
def test_from_200_groups_on_inner_blocks_are_screened_and_controls_measured_both_ways(
    role: Role, headline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [(site, "vector", 3) for site in ("block.0", "block.1", "pooled")]
    monkeypatch.setattr("slitlamp.probing.points.points_of", lambda *_, **__: points)
    asked = question()
    run = started(asked, QUIET)
    run.plans[asked.name] = dataclasses.replace(seen("noise").plan, headline=headline)
    found = [(c.site, c.level) for c in cells_of(run, asked, tower("tower"), role)]
    full = [("block.1", "full"), ("pooled", "full")]
    if headline == "ridge":
        assert found == [("block.0", "full"), *full]
    elif role is Role.ENCODER:
        assert found == [("block.0", "screen"), *full]
    else:
        assert [one for one in found if one[1] == "full"] == full
        assert {site for site, level in found if level == "screen"} == {"block.0", "block.1", "pooled"}


def test_a_cell_on_disk_is_what_was_measured_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    m = seen("weak")
    cells = Cells(folder=tmp_path, types=_types(), leave=("plan",))
    cells.save("k" * 64, m, TWO)
    again = cells.load("k" * 64, plan=m.plan)
    assert (again.estimate, again.state, again.leak) == (m.estimate, m.state, m.leak)
    assert np.array_equal(again.predictions.score, m.predictions.score)
    rows = pq.read_table(tmp_path / f"{'k' * 32}.parquet").to_pylist()
    p = m.predictions
    assert len(rows) == 2 * 120
    for k in (0, 1, 119, 120, 239):
        r, i = divmod(k, 120)
        one = rows[k]
        assert (one["item"], one["group"], one["repeat"], one["fold"]) == (str(i), str(i // 2), r, p.fold[r][i])
        assert (one["label"], one["predicted"]) == (TWO[Y[i]], TWO[int(p.predicted[r, i])])
        assert [one[f"score {name}"] for name in TWO] == pytest.approx(p.score[r, i].tolist())
    assert any(one["label"] != one["predicted"] for one in rows)
    path = tmp_path / f"{'k' * 32}.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    assert cells.load("k" * 64, plan=m.plan) is None


def test_a_large_cell_stays_on_the_disk_and_a_damaged_one_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slitlamp.probing.cells

    m = seen("weak")
    cells = Cells(folder=tmp_path, types=_types(), leave=("plan",))
    cells.save("k" * 64, m, TWO)
    assert cells.kept("k" * 64, m, plan=m.plan) is m, "what is small stays in memory"
    monkeypatch.setattr(slitlamp.probing.cells, "MAPPED", 1000)
    monkeypatch.setattr(slitlamp.probing.cells, "LARGE", 1000)
    again = cells.kept("k" * 64, m, plan=m.plan)
    assert isinstance(again.null.fixed_margin, np.memmap)
    assert again.permuted is not None
    assert m.permuted is not None
    assert again.permuted.part is again.null.fixed.part or again.permuted.part is again.null.chosen.part
    assert np.array_equal(again.null.fixed_margin, m.null.fixed_margin)
    assert np.array_equal(again.permuted.part, m.permuted.part)
    assert (again.estimate, again.state, again.leak) == (m.estimate, m.state, m.leak)
    path = tmp_path / f"{'k' * 32}.npz"
    whole = path.read_bytes()
    del again
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    assert cells.load("k" * 64, plan=m.plan) is None
    assert cells.kept("k" * 64, m, plan=m.plan) is m


def test_a_control_that_cannot_be_measured_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import probes

    def refused(*_: Any, **__: Any) -> None:
        raise probes.ProbeError("these labels cannot be held out")

    monkeypatch.setattr(probes, "measure", refused, raising=False)
    asked = question()
    run = started(asked, {"tower": "signal", "pixels": "other"})
    assert isinstance(measure(run.job(cell(asked, "pixels", Role.CONTROL)))[1], probes.ProbeError)
    with pytest.raises(probes.ProbeError):
        measure(run.job(cell(asked, "tower", Role.ENCODER)))


# keys


def key(settings: Settings = SETTINGS, kind: str = "signal", asked: Any = None, **change: Any) -> str:
    put = question() if asked is None else asked
    role = change.pop("role", "encoder")
    return started(put, {"tower": kind}, settings).key(cell(put, "tower", role, **({"level": "full"} | change)))


@pytest.mark.parametrize(
    "other",
    [
        {"settings": SETTINGS.but(seed=1)},
        {"settings": SETTINGS.but(folds=4)},
        {"settings": SETTINGS.but(repeats=3)},
        {"settings": SETTINGS.but(permutations=199)},
        {"settings": SETTINGS.but(probe="knn")},
        {"kind": "noise"},
        {"asked": question(data_key="e" * 64)},
        {"site": "block.0"},
        {"readout": "mean"},
        {"level": "screen"},
        {"nested": True},
    ],
    ids=[
        "seed", "folds", "repeats", "permutations", "probe", "features", "data", "site", "readout", "level",
        "nested",
    ],
)  # fmt: skip
def test_whatever_a_measurement_rests_on_is_in_its_key(other: dict[str, Any]) -> None:
    assert key(**other) != key()


def test_the_source_of_the_statistics_is_in_the_key_of_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr("slitlamp.probing.state.code_digest", lambda _package: "other code")
    assert key() != before


def test_what_a_user_s_probe_does_is_in_the_key_of_a_measurement(tmp_path: Path) -> None:
    def written(body: str) -> str:
        (tmp_path / "mine.py").write_text(f"def probe(given, folds, rng):\n    return {body}\n")
        return key(SETTINGS.but(probe=str(tmp_path / "mine.py")))

    assert written("None") != written("folds")


def test_labels_change_places_among_the_copies_of_an_image() -> None:
    asked = question(groups=np.arange(120) // 6, copies=tuple(str(i // 2) for i in range(120)))
    plan = started(asked, QUIET).plan(asked)
    assert (plan.permuted.reshape(99, 60, 2).sum(axis=2) == 1).all()
    assert plan.permuted.shape == (99, 120)


def test_what_cannot_change_a_measurement_is_not_in_its_key() -> None:
    other = SETTINGS.but(out="elsewhere", jobs=3, batch_size=1, json=True, encoder=("tower", "pixels"))
    assert key(other) == key()


def test_two_cells_of_one_run_never_share_a_key() -> None:
    asked = question()
    run = started(asked, QUIET)
    cells = [
        cell(asked, spec, role, site, level=level)
        for spec, role in zip(
            ("tower", "random:tower", "pixels"),
            (Role.ENCODER, Role.UNTRAINED, Role.CONTROL),
            strict=True,
        )
        for site in ("block.0", "pooled")
        for level in ("full", "screen")
    ]
    assert len({run.key(c) for c in cells}) == len(cells)


@pytest.mark.parametrize(
    ("change", "policy"),
    [
        ({"fingerprint": "e" * 64}, {}),
        ({"dtype": "bfloat16"}, {}),
        ({"device": "cuda:0"}, {}),
        ({}, {"exif": "ignore"}),
    ],
)
def test_features_of_another_preprocessing_precision_or_decoding_are_never_reused(
    tmp_path: Path, change: dict[str, str], policy: dict[str, str]
) -> None:
    store = cache.Store(tmp_path)

    def space(policy: dict[str, str], **change: str) -> str:
        return space_of(SimpleNamespace(**(vars(tower("tower")) | {"store": store} | change)), policy).digest  # type: ignore[arg-type]

    assert space({"exif": "apply"} | policy, **change) != space({"exif": "apply"})
    assert space({"exif": "apply"}, label="another name") == space({"exif": "apply"})


@pytest.mark.parametrize(("other", "held"), [("queries", 1), ("at-mark", 1), ("halves", 1), ("cls", 0)])
def test_a_mean_is_judged_beside_what_keeps_the_tokens_apart(
    other: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import probes

    seen_beside: list[int] = []
    plain = probes.verdict

    def watched(measurement: Any, **given: Any) -> Any:
        seen_beside.extend([len(given["layout"])] if "layout" in given else [])  # controls have none
        return plain(measurement, **given)

    monkeypatch.setattr(probes, "verdict", watched, raising=False)
    asked = question()
    run = started(asked, QUIET)
    own = [cell(asked, "tower", Role.ENCODER, "connector", readout=name) for name in ("mean", other)]
    basic = [cell(asked, spec, Role.CONTROL) for spec in ("lowlevel", "pixels")]
    for c in (*own, *basic):
        run.measured[run.key(c)] = seen(QUIET[c.encoder.spec])
    judge(run, asked, QuestionCells(encoder=own, control=basic), [0.5, 0.5], "linear_probe")
    assert seen_beside[0] == held


def test_a_vector_is_judged_beside_the_last_tokens_before_it_as_the_cls_token_of_that_site_is() -> None:
    asked = question()
    points = [
        cell(asked, "tower", Role.ENCODER, site, readout=readout)
        for site, readouts in {
            "block.0": ("cls", "grid3"),
            "final": ("cls", "halves", "grid3"),
            "pooled": ("vector",),
        }.items()
        for readout in readouts
    ]
    beside = {c.name: [other.name for other in layout_of(c, points)] for c in points}
    assert beside["pooled/vector"] == beside["final/cls"] == ["final/halves", "final/grid3"]
    assert beside["block.0/cls"] == ["block.0/grid3"]
    assert beside["final/grid3"] == ["final/halves"]
    assert layout_of(points[-1], points[-1:]) == []


def test_what_silence_excludes_is_asked_once_and_its_pool_is_in_the_key() -> None:
    def keys(pool: Any, contents: tuple[str, ...] = ()) -> dict[bool, tuple[str, bool]]:
        asked = question(pool=pool)
        run = started(asked, QUIET)
        if contents:
            space: Any = run.filled["orientation", "tower"].space
            run.pools["orientation", "tower"] = FeatureTable(space=space, contents=contents, encoded=0)
        cells = {pooled: cell(asked, "tower", Role.ENCODER, pooled=pooled) for pooled in (False, True)}
        return {pooled: (run.key(c), run.job(c).detect) for pooled, c in cells.items()}

    alone, one, two = keys(None), keys(SimpleNamespace(), ("a", "b")), keys(SimpleNamespace(), ("a", "c"))
    assert alone[False][1]
    assert (one[False][1], one[True][1]) == (False, True)  # with a pool it waits for the pool's images
    assert len({alone[False][0], one[False][0], one[True][0], two[True][0]}) == 4
    control = cell(question(), "tower", Role.CONTROL)
    assert not started(question(), QUIET).job(control).detect


def test_a_command_keeps_its_small_matrix_products_to_one_thread_and_no_other_library_s() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    from slitlamp.probing.workers import spare_threads

    def threads(api: str) -> set[int]:
        return {found["num_threads"] for found in threadpool_info() if found["user_api"] == api}

    with threadpool_limits(2):
        others = threads("openmp")
        assert threads("blas") == {2}
        spare_threads()
        assert threads("blas") == {1}
        assert threads("openmp") == others


def test_what_another_encoder_of_the_command_reads_is_a_reference_of_a_loss() -> None:
    asked = question()
    run = started(asked, {"tower": "weak", "rival": "signal", "pixels": "noise"})
    own, rival = (cell(asked, spec, Role.ENCODER) for spec in ("tower", "rival"))
    shown = cell(asked, "pixels", Role.ENCODER)  # a control that was asked by name is no other encoder
    for one, kind in ((own, "weak"), (rival, "signal"), (shown, "signal")):
        run.measured[run.key(one)] = seen(kind)
    cells = QuestionCells(encoder=[own, rival, shown], control=[])
    (loss,) = _losses(run, cells, [own])
    assert loss is not None
    assert loss.whole.reference == "the pooled vector of rival"
    assert (loss.low or 0) > 0
    (none,) = _losses(run, cells, [rival])
    assert none is not None
    assert none.whole.difference.score < 0, "nothing is lost against one that reads less"


def test_the_place_of_an_item_is_that_of_its_row_and_of_its_file() -> None:
    def rows(*files: int | None) -> Any:
        return SimpleNamespace(rows=[SimpleNamespace(id=str(k), in_folder=at) for k, at in enumerate(files)])

    def places(ids: str, *files: int | None, copies: Any = None) -> list[list[float]] | None:
        made = order_of(SimpleNamespace(ids=tuple(ids), source=rows(*files), copies=copies))  # type: ignore[arg-type]
        return None if made is None else [place.tolist() for place in made.places]

    assert places("201", None, None, None) == [[2, 0, 1]]
    assert places("012", 7, 3, 5) == [[0, 1, 2], [7, 3, 5]]
    assert places("012", 3, 5, 9) == [[0, 1, 2]], "a folder in the same order is no second list"
    assert places("0ab", None, None, None) == [[0, 1, 2]], "items that a task makes lie as it makes them"
    assert places("012", 7, 3, 5, copies=np.zeros(3)) is None, "of copies with all answers no place tells anything"
