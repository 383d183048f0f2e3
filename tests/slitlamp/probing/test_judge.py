"""From cells to verdicts: keys, controls, permuted labels and the price of searching, on made-up features."""

import dataclasses
from functools import cache as once
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cache
from probes.stats.measurement import Measurement
from slitlamp.encoding.fill import FeatureTable, space_of
from slitlamp.probing.cells import Cells
from slitlamp.probing.judge import adjusted, hardest, judge
from slitlamp.probing.state import Cell, QuestionCells, Role, Run
from slitlamp.probing.workers import measure
from slitlamp.records import Record
from slitlamp.reports.table import legend
from slitlamp.settings import Settings

TWO = ("upright", "turned")
Y, GROUPS = np.arange(120) % 2, np.arange(120) // 2
SETTINGS = Settings.of(encoder=("tower",), permutations=99, repeats=2, out="nowhere")


def features(kind: str, width: int = 6) -> np.ndarray:
    """`signal` tells the answer, every other name is noise of its own."""
    x = np.random.default_rng([len(kind), *kind.encode()]).standard_normal((120, width))
    return x + 3 * np.outer(Y, np.eye(1, width)) if kind == "signal" else x


def question(**change: Any) -> Any:
    given = {
        "name": "orientation", "y": Y, "groups": GROUPS, "classes": TWO, "copies": None, "data_key": "d" * 64,
        "ids": tuple(str(i) for i in range(120)), "limited": False, "pool": None,
        "source": SimpleNamespace(name="made", synthetic=False),
    }  # fmt: skip
    return SimpleNamespace(**(given | change))


def tower(spec: str) -> Any:
    card = SimpleNamespace(name=spec, repo=None, revision=None, synthetic=False, other_weights=False, sites={})
    return SimpleNamespace(
        spec=spec, label=spec, card=card, weights=None, fingerprint="f" * 64, device="cpu", dtype="float32"
    )


def cell(asked: Any, spec: str, role: Role, site: str = "pooled", **change: Any) -> Cell:
    level = "screen" if role is Role.SHUFFLED else "full"
    given = {"site": site, "readout": "vector", "level": level, "nested": False}
    return Cell(question=asked, encoder=tower(spec), role=role, **(given | change))


def started(asked: Any, kinds: dict[str, str], settings: Settings = SETTINGS) -> Run:
    """A run whose store holds the named kind of features for each encoder."""
    run = Run(settings=settings, store=SimpleNamespace(), cells=Cells(folder=Path("nowhere"), types={}))  # type: ignore[arg-type]
    for spec, kind in kinds.items():
        space: Any = SimpleNamespace(digest=f"{kind:0<64}", read=lambda _contents, _name, kind=kind: features(kind))
        run.filled[asked.name, spec] = FeatureTable(space=space, contents=(), encoded=0)
    return run


@once
def seen(kind: str, *, shuffled: bool = False) -> Measurement:
    asked = question()
    run = started(asked, {"tower": kind})
    return measure(run.job(cell(asked, "tower", Role.SHUFFLED if shuffled else Role.ENCODER)))[1]


def judged(kinds: dict[str, str], sites: dict[str, Measurement] | None = None) -> tuple[dict[str, dict], dict]:
    """Records by encoder and site, and the verdict, where each encoder has features of the named kind."""
    asked = question()
    run = started(asked, kinds)
    own = [cell(asked, "tower", Role.ENCODER, site) for site in sites or {"pooled": None}]
    draws = [spec for spec in kinds if spec.startswith("random:")]
    twins = [cell(asked, spec, Role.UNTRAINED, c.site) for spec in draws for c in own]
    shuffled = [dataclasses.replace(c, role=Role.SHUFFLED, level="screen") for c in own]
    basic = [cell(asked, spec, Role.CONTROL) for spec in ("lowlevel", "pixels")]
    for c in (*own, *twins, *shuffled, *basic):
        run.measured[run.key(c)] = seen(kinds[c.encoder.spec], shuffled=c.role is Role.SHUFFLED)
    for site, m in (sites or {}).items():
        run.measured[run.key(next(c for c in own if c.site == site))] = m
    cells = QuestionCells(encoder=own, untrained={"tower": twins} if twins else {}, shuffled=shuffled, control=basic)
    records, verdicts = judge(run, asked, cells, "linear_probe")
    found = {f"{r.encoder}/{r.site}": dataclasses.asdict(r) for r in records}
    return found, verdicts[0]


QUIET = {"tower": "signal", "lowlevel": "noise", "pixels": "other", "random:tower": "third"}


@pytest.mark.parametrize(
    ("reads", "credit"),
    [(None, "learned"), ("random:tower", "architecture"), ("pixels", "pixels"), ("lowlevel", "nuisance")],
)
def test_each_control_takes_the_credit_when_it_reads_as_well_and_only_then(reads: str | None, credit: str) -> None:
    records, verdict = judged(QUIET | ({reads: "signal"} if reads else {}))
    mine = records["tower/pooled"]
    assert mine["verdict"] == verdict["verdict"] == "present"
    assert mine["credit"] == verdict["credit"] == credit
    for name, spec in (("lowlevel", "lowlevel"), ("pixels", "pixels"), ("random", "random:tower")):
        assert mine[f"control_{name}"] == records[f"{spec}/pooled"]["score"]
        assert (mine[f"control_{name}"] > 0.9) == (spec == reads), name
    assert mine["control_shuffled"] == records["shuffled:tower/pooled"]["score"]
    verbs = {"random:tower": "untrained reads it", "pixels": "pixels reads it", "lowlevel": "layout) read it"}
    assert reads is None or verbs[reads] in mine["reason"]


def test_without_an_untrained_twin_learning_is_never_credited_and_the_lack_is_said() -> None:
    records, verdict = judged({k: v for k, v in QUIET.items() if k != "random:tower"})
    assert verdict["credit"] == "architecture"
    assert records["tower/pooled"]["control_random"] is None
    assert "No comparison with the same network untrained was made" in records["tower/pooled"]["reason"]


@pytest.mark.parametrize("best", ["random:tower", "random:tower#1", "random:tower#2", None])
def test_learning_is_credited_only_when_every_untrained_draw_is_surpassed(best: str | None) -> None:
    draws = {"random:tower": "third", "random:tower#1": "fourth", "random:tower#2": "fifth"}
    records, verdict = judged(QUIET | draws | ({best: "signal"} if best else {}))
    mine = records["tower/pooled"]
    assert verdict["credit"] == ("architecture" if best else "learned")
    scores = {spec: records[f"{spec}/pooled"]["score"] for spec in draws}
    assert mine["control_random"] in scores.values()
    if best:
        assert mine["control_random"] == scores[best] > 0.9
        assert "But the same network untrained (the hardest to beat of 3 draws) reads it as well" in mine["reason"]
    text = legend([Record(**r) for r in records.values()])
    assert "random weights, the hardest to beat of 3 draws; shuffled" in text


def test_the_hardest_draw_is_the_one_surpassed_least_surely_and_not_the_one_that_scores_most() -> None:
    def draw(score: float, low: float | None) -> Any:
        return SimpleNamespace(), SimpleNamespace(score=score, low=low)

    near, unsure = draw(0.05, 0.02), draw(0.08, -0.01)
    assert hardest([near, unsure]) is unsure
    assert hardest([draw(0.2, None), few := draw(0.1, None)]) is few, "below 20 groups there is no interval"


# permuted labels


def test_the_shuffled_control_is_fitted_to_exchanged_labels_and_the_encoder_to_the_true_ones() -> None:
    asked = question()
    run = started(asked, {"tower": "signal"})
    true, exchanged = (run.job(cell(asked, "tower", role)) for role in (Role.ENCODER, Role.SHUFFLED))
    np.testing.assert_array_equal(true.features.y, Y)
    for labels in (exchanged.features.y, exchanged.plan.y):
        np.testing.assert_array_equal(labels, run.plan(asked).permuted[0])
        assert 0.2 < (labels == Y).mean() < 0.8
    np.testing.assert_array_equal(run.plan(asked).y, Y, "the plan that all others share is left as it was")
    assert seen("signal").estimate.score > 0.9
    assert seen("signal", shuffled=True).estimate.score < 0.75


# the search over a map


def with_null(statistic: list[float], m: Measurement, p: float) -> Measurement:
    null = dataclasses.replace(m.null, statistic=np.array(statistic))
    return dataclasses.replace(m, null=null, estimate=dataclasses.replace(m.estimate, p=p))


def test_a_map_pays_for_all_of_its_points_with_the_largest_of_the_null() -> None:
    rng = np.random.default_rng(0)
    tables = rng.random((5, 100))
    points = [with_null(list(t), seen("noise"), float((t >= t[0]).mean())) for t in tables]
    by_hand = [float((1 + (tables[:, 1:].max(axis=0) >= t[0]).sum()) / 100) for t in tables]
    assert adjusted(points) == pytest.approx(by_hand)
    raw = [float((t >= t[0]).mean()) for t in tables]
    assert all(np.array(adjusted(points)) > raw), "a search is never free"
    assert adjusted(points[:1]) == pytest.approx(raw[:1]), "one point searches nothing"


def test_a_map_that_cannot_be_replayed_pays_by_holm_s_rule() -> None:
    points = [with_null([0.0, 0.0], seen("noise"), p) for p in (0.01, 0.04, 0.03)]
    blind = [dataclasses.replace(m, permuted=None) for m in points]
    assert adjusted(blind) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted(blind[:1]) == pytest.approx([0.01])


def test_a_point_that_is_present_alone_is_not_when_the_search_that_found_it_is_paid_for() -> None:
    lucky = with_null([0.7] + [0.5] * 99, seen("signal"), 0.01)
    wild = with_null([0.5] + [0.8] * 10 + [0.5] * 89, seen("noise"), 1.0)
    alone, _ = judged(QUIET, {"block.0": lucky})
    among, _ = judged(QUIET, {"block.0": lucky, "block.1": wild})
    one, other = alone["tower/block.0"], among["tower/block.0"]
    assert (one["p_value"], one["p_adjusted"], one["verdict"]) == (0.01, 0.01, "present")
    assert (other["p_value"], other["p_adjusted"], other["verdict"]) == (0.01, 0.11, "inconclusive")


def test_silence_is_called_absence_only_with_its_limit_of_detection() -> None:
    from probes.stats.detection import Limit

    m = dataclasses.replace(seen("noise"), upper=0.55, leak=False, nonlinear_upper=0.55)
    m = with_null([0.5] + [0.6] * 99, m, 1.0)
    limit = Limit(
        lod=0.8, rates={0.9: 1.0}, self_check=0.03, valid=True, sure=True, directions=40, held=0.95, images=None
    )
    bare, told = judged(QUIET, {"block.0": m})
    known, verdict = judged(QUIET, {"block.0": dataclasses.replace(m, limit=limit)})
    assert told["verdict"] == bare["tower/block.0"]["verdict"] == "inconclusive"
    assert bare["tower/block.0"]["lod"] is None
    assert "silence is no evidence of absence" in bare["tower/block.0"]["reason"]
    assert verdict["verdict"] == known["tower/block.0"]["verdict"] == "absent"
    assert known["tower/block.0"]["lod"] == 0.8


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
        {"role": Role.SHUFFLED},
    ],
    ids=[
        "seed", "folds", "repeats", "permutations", "probe", "features", "data", "site", "readout", "level",
        "nested", "labels",
    ],
)  # fmt: skip
def test_whatever_a_measurement_rests_on_is_in_its_key(other: dict[str, Any]) -> None:
    assert key(**other) != key()


def test_the_source_of_the_statistics_is_in_the_key_of_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr("slitlamp.probing.state.code_digest", lambda _package: "other code")
    assert key() != before


def test_what_cannot_change_a_measurement_is_not_in_its_key() -> None:
    other = SETTINGS.but(out="elsewhere", jobs=3, batch_size=1, json=True, encoder=("tower", "pixels"))
    assert key(other) == key()


def test_two_cells_of_one_run_never_share_a_key() -> None:
    asked = question()
    run = started(asked, QUIET)
    cells = [
        cell(asked, spec, role, site, level=level)
        for spec, role in zip(
            ("tower", "tower", "random:tower", "pixels"),
            (Role.ENCODER, Role.SHUFFLED, Role.UNTRAINED, Role.CONTROL),
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
        seen_beside.append(len(given["layout"]))
        return plain(measurement, **given)

    monkeypatch.setattr(probes, "verdict", watched, raising=False)
    asked = question()
    run = started(asked, QUIET)
    own = [cell(asked, "tower", Role.ENCODER, "connector", readout=name) for name in ("mean", other)]
    shuffled = [dataclasses.replace(c, role=Role.SHUFFLED, level="screen") for c in own]
    basic = [cell(asked, spec, Role.CONTROL) for spec in ("lowlevel", "pixels")]
    for c in (*own, *shuffled, *basic):
        run.measured[run.key(c)] = seen(QUIET[c.encoder.spec], shuffled=c.role is Role.SHUFFLED)
    judge(run, asked, QuestionCells(encoder=own, untrained={}, shuffled=shuffled, control=basic), "linear_probe")
    assert seen_beside[0] == held


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
