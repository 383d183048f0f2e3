"""Runs put together: what differs is found, what does not is not, and what cannot be compared is refused by name."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import probes
import slitlamp
from experiments.compare import main
from probes.stats import curve, paired
from probes.stats.paired import variances
from probes.stats.ranking import probability_best
from slitlamp.comparison import curve as curves
from slitlamp.comparison import figures, found, words
from slitlamp.comparison.arms import Arm, Asked, families
from slitlamp.comparison.curve import drawn_again
from slitlamp.comparison.differs import why_apart
from slitlamp.comparison.found import find
from slitlamp.comparison.independent import _row
from slitlamp.errors import UsageError
from slitlamp.reports.plots import save
from slitlamp.runs import StoredRun, distinct_names, open_runs
from tasks import DataError
from tests.paths import ROOT
from tests.undrawn import no_figures

BLOCKS = str(ROOT / "tests" / "numpy_encoder.py")
HOSTILE = (
    "</script><script>x",
    "a_b%c&$e$^{2}",
    "two\nlines",
    "\u202eevil",
    "x" * 300,
    "=cmd()",
    "\x1b[31m",
    "{{7*7}}",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs: a of two controls, b of blocks, both of the same 30 phantoms; c of another seed; curve/GROUPS-DRAW."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLITLAMP_CACHE", str(folder / "store"))
        no_figures(patch)
        usual: dict[str, Any] = {"task": "mirror", "items": 60, "permutations": 99, "repeats": 2}
        slitlamp.probe(["pixels", "lowlevel"], **usual, out=str(folder / "a"))
        slitlamp.probe(BLOCKS, **usual, twins=0, out=str(folder / "b"))
        slitlamp.probe(["pixels", "lowlevel"], **usual, seed=1, out=str(folder / "c"))
        few = usual | {"items": 88, "permutations": 19, "site": "thumbnail.8", "repeats": 1}
        for groups, draw in itertools.product((20, 40), (0, 1)):
            slitlamp.probe("pixels", **few, take_groups=groups, draw=draw, out=str(folder / f"{groups}-{draw}"))
        slitlamp.probe("pixels", **few, out=str(folder / "all"))
        yield folder


def changed(folder: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a run with another document."""
    shutil.copytree(folder, to)
    document = json.loads((to / "results.json").read_text())
    change(document)
    (to / "results.json").write_text(json.dumps(document))
    return to


def of_another_hospital(folder: Path, to: Path, prefix: str) -> Path:
    """A copy of a run whose items and groups have other names."""
    shutil.copytree(folder, to)
    for path in (to / "cells").glob("plan-*.json"):
        made = json.loads(path.read_text())
        for key in ("ids", "groups", "copies"):
            made[key] = made[key] and [prefix + one for one in made[key]]
        path.with_name(f"plan-{prefix}.json").write_text(json.dumps(made))
    document = json.loads((to / "results.json").read_text())
    for r in document["records"]:
        r["plan_key"] = prefix
    (to / "results.json").write_text(json.dumps(document))
    return to


def test_paired_differences_are_those_of_an_independent_implementation(home: Path) -> None:
    runs = open_runs([home / "a", home / "b"])
    rows = find(runs, site=["thumbnail.8", "pooled"], readout=["vector"], task=["mirror"]).table("comparisons")
    held = {
        (r.encoder, r.site): pq.read_table(run.folder / "cells" / f"{r.cell}.parquet").to_pylist()
        for run in runs for r in run.records if r.role == "encoder"
    }  # fmt: skip
    alone = find(runs, site=["pooled"], readout=["vector"]).table("comparisons")
    assert {(row["a"], row["b"]) for row in alone} == set(itertools.combinations(("pixels", "lowlevel", "blocks"), 2))
    assert len(rows) == 3
    for row in alone:
        difference, error = by_hand(held[row["a"], "pooled"], held[row["b"], "pooled"])
        arms = [next((run, r) for run in runs for r in run.records if (r.role, r.encoder, r.site) ==
                     ("encoder", row[side], "pooled")) for side in ("a", "b")]  # fmt: skip
        a, b = (run.measurement(r) for run, r in arms)
        assert probes.compare(a, b, arms[0][0].plan(arms[0][1])).score == pytest.approx(difference, abs=1e-12)
        assert row["difference"] == pytest.approx(difference, abs=1e-9)
        spread = a.scored.minus(b.scored).error(a.plan.groups).mean()
        assert spread == pytest.approx(error, abs=1e-9)
        assert (row["high"] - row["low"]) / 2 >= 2.04 * error * 0.999  # phi only makes it wider
        low, high = (row["score_a"] - row["score_b"] + end for end in (-1, 1))
        assert low < row["difference"] < high


def by_hand(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> tuple[float, float]:
    """The difference of balanced accuracies and its clustered error without phi, from predictions, in plain loops."""
    scores, errors = [], []
    for repeat in sorted({row["repeat"] for row in a}):
        right: list[dict[str, float]] = []
        contributions: dict[str, float] = {}
        for sign, rows in ((1, a), (-1, b)):
            mine = [row for row in rows if row["repeat"] == repeat]
            classes = sorted({row["label"] for row in mine})
            ok = {}
            for row in mine:
                values = {name: row[f"score {name}"] for name in classes}
                tied = [name for name in classes if values[name] >= max(values.values()) - 1e-6]
                hit = (
                    1 / len(tied) if len(tied) > 1 and row["label"] in tied else float(row["predicted"] == row["label"])
                )
                ok[row["item"]] = 0.0 if len(tied) > 1 and row["label"] not in tied else hit
            of = {c: [ok[row["item"]] for row in mine if row["label"] == c] for c in classes}
            share = {c: sum(of[c]) / len(of[c]) for c in classes}
            right.append(share)
            for row in mine:
                c = row["label"]
                part = (ok[row["item"]] - share[c]) / (len(classes) * len(of[c]))
                contributions[row["group"]] = contributions.get(row["group"], 0.0) + sign * part
        first, second = (sum(share.values()) / len(share) for share in right)
        scores.append(first - second)
        count = len(contributions)
        errors.append((count / (count - 1) * sum(v * v for v in contributions.values())) ** 0.5)
    return sum(scores) / len(scores), sum(errors) / len(errors)


def test_encoders_of_two_runs_are_compared_at_their_best_points_and_all_is_paid_for(home: Path) -> None:
    result = slitlamp.compare(home / "a", home / "b")
    rows = result.table("comparisons")
    assert [(row["a"], row["b"]) for row in rows] == [*itertools.combinations(("pixels", "lowlevel", "blocks"), 2)]
    verdicts = {v["encoder"]: v["score"] for run in open_runs([home / "a", home / "b"]) for v in run.verdicts}
    for row in rows:
        assert row["at"] == "best point"
        assert row["paired"] is True
        assert row["score_a"] == pytest.approx(verdicts[row["a"]])
        assert row["simultaneous_low"] < row["low"] < row["high"] < row["simultaneous_high"]
    assert [row["p_holm"] for row in rows] == pytest.approx(probes.holm([row["p"] for row in rows]).tolist(), rel=1e-6)
    assert rows[0]["says"] == "a reads more"  # thumbnails know left from right, low-level statistics do not
    assert rows[1]["says"] != "a reads more"
    ranked = result.table("ranking")
    assert ranked[-1]["name"] == "lowlevel"
    assert sum(row["p_best"] for row in ranked) == pytest.approx(1)
    assert (ranked[-1]["rank_low"], ranked[-1]["rank_high"], ranked[-1]["group"]) == (3, 3, "b")
    assert ranked[0]["group"] == ranked[1]["group"] == "a"
    assert "told apart" in result.sentences[0]
    again = slitlamp.compare(slitlamp.load(home / "a"), [str(home / "b")])
    assert again.table("comparisons") == rows


def test_a_curve_pairs_draws_by_their_number_and_looks_back_to_about_half_the_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def rise(less: Any, more: Any) -> tuple[float, float]:
        seen.extend(zip((one.name for one in less), (one.name for one in more), strict=True))
        return 1.0, 0.1

    monkeypatch.setattr("probes.stats.curve.rise", rise)
    sizes = {
        size: {k: SimpleNamespace(name=f"{size}-{k}", measurement=SimpleNamespace(plan=SimpleNamespace(n_groups=size)))
               for k in numbers}
        for size, numbers in ((20, (0, 1)), (36, (0,)), (40, (2, 1, 0)))
    }  # fmt: skip
    assert curves._rising(sizes, 40, whole=False) is True
    assert seen == [("20-0", "40-0"), ("20-1", "40-1")]
    seen.clear()
    assert curves._rising(sizes | {44: {5: sizes[40][2]}}, 44, whole=True) is True
    assert seen == [("20-0", "40-2"), ("20-1", "40-2")]
    assert curves._rising({size: sizes[size] for size in (36, 40)}, 40, whole=False) is None
    assert curves._rising({20: {7: sizes[20][0]}, 40: sizes[40]}, 40, whole=False) is None  # no draw is in both


def test_intervals_of_a_curve_count_draws_for_what_is_new_in_them_and_seeds_and_probes_have_their_own(
    home: Path,
) -> None:
    from scipy.special import stdtrit

    def again(flag: str, names: tuple[str, ...] = ("20-0", "20-1", "40-0", "40-1")) -> list[StoredRun]:
        found = []
        for run in open_runs([home / name for name in names]):
            document = json.loads((run.folder / "results.json").read_text())
            for r in document["records"]:
                r["command"] += flag
            found.append(StoredRun(folder=run.folder, name=f"{run.name}{flag}", document=document))
        return found

    rows, _ = curves.curve_rows(again(""), Asked())
    for row, size in zip(rows, (20, 40), strict=True):
        draws = []
        for run in open_runs([home / f"{size}-{draw}" for draw in (0, 1)]):
            (r,) = [r for r in run.records if r.role == "encoder"]
            draws.append(curve.Draw(measurement=run.measurement(r), groups=run.material(r.plan_key)["groups"]))
        error = curve.mean_error(draws)
        assert error is not None
        assert row["score"] == pytest.approx(np.mean([one.score for one in draws]))
        assert row["low"] == pytest.approx(row["score"] - stdtrit(size - 1, 0.975) * error)
    both, _ = curves.curve_rows([*again(""), *again(" --seed 5", ("20-0", "40-0"))], Asked())
    assert [(row["at"].rpartition(" · ")[2], row["draws"]) for row in both] == [
        ("seed 0", 2), ("seed 0", 2), ("seed 5", 1), ("seed 5", 1)
    ]  # fmt: skip
    probed, _ = curves.curve_rows([*again(""), *again(" --probe ridge")], Asked())
    assert [row["at"].endswith(" · probe ridge") for row in probed] == [False, False, True, True]


def test_spread_over_seeds_is_the_standard_deviation_of_runs_beside_the_mean_error_over_patients(home: Path) -> None:
    def later(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r["command"] += " --seed 7"

    runs = [*open_runs([home / "a", home / "c"]), copied(home, Path("later"), later)]
    row = next(row for row in curves.variation_rows(runs, Asked()) if row["encoder"] == "pixels")
    arms = [families([run], "encoder", Asked())[0].arms[0].measurement for run in runs]
    assert (row["over"], row["runs"]) == ("seed", 3)
    assert row["sd"] == pytest.approx(np.std([m.estimate.score for m in arms], ddof=1))
    assert row["se_patients"] == pytest.approx(np.mean([m.error for m in arms]))


def test_a_run_beside_itself_differs_by_exactly_nothing(home: Path, tmp_path: Path) -> None:
    copy = changed(home / "a", tmp_path / "copy", lambda _: None)
    result = slitlamp.compare(home / "a", copy)
    rows = {(row["a"], row["b"]): row for row in result.table("comparisons")}
    same = rows["pixels (a)", "pixels (copy)"]
    assert (same["difference"], same["low"], same["simultaneous_high"], same["p"]) == (0, 0, 0, 1)
    assert same["says"] == "equal within 0.1"
    assert any("exactly 0 between pixels (a) and pixels (copy)" in note for note in result.notes)
    assert rows["pixels (a)", "lowlevel (copy)"]["says"] == "a reads more"


def test_sites_and_readouts_are_compared_one_thing_at_a_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sites = find(open_runs([home / "a"]), over=["site"])
    assert {row["at"] for row in sites.table("comparisons")} == {"pixels · vector"}
    monkeypatch.setattr(found, "MANY", 2)
    many = find(open_runs([home / "a"]), over=["site"])
    assert {row["b"] for row in many.table("comparisons")} == {"best site"}
    assert len(many.table("comparisons")) == len(many.table("ranking"))
    assert any("compared with the best, which inner folds" in note for note in many.notes)
    named = find(open_runs([home / "a"]), over=["site"], reference="pooled")
    assert {row["b"] for row in named.table("comparisons")} == {"pooled"}
    with pytest.raises(UsageError, match="--reference poled: did you mean 'pooled'"):
        find(open_runs([home / "a"]), over=["site"], reference="poled")


def refusal(home: Path, *names: str | Path, **flags: Any) -> str:
    with pytest.raises(DataError) as raised:
        find(open_runs([home / name for name in names]), **flags)
    notes = find(open_runs([home / name for name in names]), refuse=False, **flags).notes
    assert any(str(raised.value) in note for note in notes)
    return str(raised.value)


def test_runs_that_cannot_be_compared_are_refused_with_their_difference(home: Path, tmp_path: Path) -> None:
    assert "b and c cannot be compared: other folds (--seed 0 and 1)" in refusal(home, "b", "c")
    assert "a and 20-0 cannot be compared: other items:" in refusal(home, "a", "20-0")

    def other_pixels(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r["data_key"] = "another"

    def other_window(document: dict[str, Any]) -> None:
        other_pixels(document)
        document["questions"][0]["decode"]["window"] = "lung"
        for r in document["records"]:
            r["command"] += " --window lung"

    def other_probe(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r["command"] += " --probe knn"

    pixels = changed(home / "b", tmp_path / "pixels", other_pixels)
    assert "the same items with other pixels" in refusal(home, "a", pixels)
    window = changed(home / "b", tmp_path / "window", other_window)
    assert "other decode policy (window None and lung): --over window compares that" in refusal(home, "a", window)
    probe = changed(home / "b", tmp_path / "probe", other_probe)
    assert "other probe (default; knn): --over probe compares that" in refusal(home, "a", probe)

    def of_another_path(document: dict[str, Any]) -> None:
        other_window(document)
        for r in document["records"]:
            r["command"] += " --data ./elsewhere/manifest.csv"

    twin = changed(home / "a", tmp_path / "lung", of_another_path)
    rows = slitlamp.compare(home / "a", twin, over="window").table("comparisons")
    assert [(row["a"], row["b"], row["at"]) for row in rows] == [
        ("default", "lung", f"{name} · best point") for name in ("pixels", "lowlevel")
    ]


def test_a_run_without_its_plan_is_left_out_with_a_note(home: Path, tmp_path: Path) -> None:
    lost = changed(home / "b", tmp_path / "lost", lambda _: None)
    (plan,) = (lost / "cells").glob("plan-*.json")
    plan.unlink()
    runs = open_runs([lost, home / "a"])
    with pytest.raises(UsageError, match=f"{plan.name} is missing or damaged"):
        find(runs)
    found = find(runs, refuse=False)
    assert any(note.startswith("left out: ") and plan.name in note for note in found.notes)
    assert [(row["a"], row["b"]) for row in found.table("comparisons")] == [("pixels", "lowlevel")]


def test_differences_of_plans_are_named(home: Path, tmp_path: Path) -> None:
    a = open_runs([home / "a"])[0]
    key = a.records[0].plan_key
    for name, change, said in (
        ("groups", lambda m: m["groups"].__setitem__(0, "elsewhere"), "other groups for 1 of 60 items"),
        ("answers", lambda m: m["answers"].__setitem__(0, 1 - m["answers"][0]), "other answers for 1 of 60 items"),
        ("classes", lambda m: m.update(classes=["x", "y"]), "other answers (classes as taken, mirrored; classes x, y)"),
        ("number", lambda m: m.update(classes=None), "other answers (classes as taken, mirrored; a number)"),
        ("folds", lambda m: m["asked"].update(folds=4), "other folds (--folds default and 4)"),
        ("permuted", lambda m: m["asked"].update(permutations=9), "other permuted labels (--permutations 99 and 9)"),
        ("copies", lambda m: m.update(copies=None), "other source images of the items"),
        (
            "order",
            lambda m: [m[key].reverse() for key in ("ids", "groups", "answers", "copies")],
            "the items stand in another order",
        ),
        ("version", lambda m: m.update(folds=["1", "2"]), "folds of another version of the statistics"),
    ):

        def rename(document: dict[str, Any]) -> None:
            for r in document["records"]:
                r["plan_key"] = "other"

        folder = changed(home / "a", tmp_path / name, rename)
        made = json.loads((folder / "cells" / f"plan-{key}.json").read_text())
        change(made)
        (folder / "cells" / "plan-other.json").write_text(json.dumps(made))
        assert said in why_apart(a, open_runs([folder])[0], Asked())
    assert why_apart(a, open_runs([home / "b"])[0], Asked()) == ""
    some = copied(home, Path("some"), lambda d: [r.update(limited=True) for r in d["records"]])
    assert why_apart(a, some, Asked()) == "some is limited (--limit)"


def test_curves_hold_the_draws_and_the_spread_of_runs_is_no_part_of_an_interval(home: Path) -> None:
    names = [f"{groups}-{draw}" for groups in (20, 40) for draw in (0, 1)]
    result = slitlamp.compare([home / name for name in (*names, "all")])
    rows = result.table("curve")
    assert [(row["groups"], row["draws"]) for row in rows] == [(20, 2), (40, 2), (44, 1)]
    whole = open_runs([home / "all"])[0].verdicts[0]
    assert (rows[2]["low"], rows[2]["high"]) == pytest.approx((whole["low"], whole["high"]))
    assert rows[0]["rising"] is None
    assert rows[1]["rising"] is not None
    assert all(row["low"] < row["score"] < row["high"] or row["score"] == row["high"] for row in rows)
    assert rows[0]["mde"] > rows[1]["mde"]
    assert rows[0]["draws_sd"] is None  # of two draws only the range
    spread = result.table("variation")
    assert [(row["over"], row["runs"], row["sd"]) for row in spread] == [("draw", 2, None), ("draw", 2, None)]
    assert spread[0]["lowest"] <= spread[0]["mean"] <= spread[0]["highest"]
    seeds = slitlamp.compare(home / "a", home / "c")
    assert {(row["encoder"], row["over"], row["runs"]) for row in seeds.table("variation")} == {
        ("pixels", "seed", 2), ("lowlevel", "seed", 2)
    }  # fmt: skip
    assert len(seeds.table("comparisons")) == 1  # one seed is compared, not each with each
    left = drawn_again(open_runs([home / name for name in names]), Asked()).left
    assert {name for name, _, _ in left} == {"20-0", "20-1", "40-1"}


def test_independent_sets_are_compared_only_where_no_group_is_in_both(home: Path, tmp_path: Path) -> None:
    other = of_another_hospital(home / "a", tmp_path / "other", "h2-")
    rows = slitlamp.compare(home / "a", other, unpaired=True).table("comparisons")
    assert {row["at"] for row in rows} == {"pixels · best point", "lowlevel · best point"}
    assert all(row["paired"] is False and row["difference"] == 0 for row in rows)
    paired = slitlamp.compare(home / "a", home / "b").table("comparisons")[0]
    assert rows[0]["n_groups"] == 2 * paired["n_groups"]
    assert rows[0]["simultaneous_high"] > rows[0]["high"] > 0
    with pytest.raises(DataError, match="30 groups are in both"):
        slitlamp.compare(home / "a", home / "c", unpaired=True)
    with pytest.raises(DataError, match="other items: 0 in common of 60 in a and 60 in other"):
        slitlamp.compare(home / "a", other)


def test_a_result_in_hand_is_compared_where_nothing_was_written(home: Path) -> None:
    usual: dict[str, Any] = {"task": "mirror", "items": 60, "permutations": 99, "repeats": 2}
    result = slitlamp.probe("pixels", **usual)
    rows = slitlamp.compare(result, home / "b").table("comparisons")
    assert [(row["a"], row["b"]) for row in rows] == [("pixels", "blocks")]
    with pytest.raises(UsageError, match="a dict is no run"):
        slitlamp.compare({"home": 1}, home / "b")  # type: ignore[arg-type]


def test_what_is_nothing_to_compare_is_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    broken = changed(home / "a", tmp_path / "broken", lambda _: None)
    run = open_runs([broken])[0]
    lost = next(r for r in run.records if (r.role, r.encoder) == ("encoder", "lowlevel")).cell
    cell = broken / "cells" / f"{lost}.npz"
    cell.write_bytes(cell.read_bytes()[:-9])
    other = tmp_path / "maps"
    other.mkdir()
    grid = changed(home / "a", tmp_path / "grid" / "runs" / "0", lambda _: None).parent.parent
    one = {"name": "0", "folder": "runs/0", "settings": {"seed": 0}, "status": "done"}
    (grid / "results.json").write_text(json.dumps({"schema": 3, "experiment": "ablation", "runs": [one]}))
    (other / "results.json").write_text('{"schema": 3, "experiment": "embedding_plot"}')
    for words_given, code, said in (
        ([], 2, "no run is named"),
        ([home / "a", home / "a"], 2, "is named twice"),
        ([grid, grid / "runs" / "0"], 2, "is named twice: by itself, and as a run of its grid"),
        ([home / "all"], 2, "nothing to compare: all has one encoder, pixels; give another run"),
        ([other, home / "a"], 2, "is a run of embedding_plot, and not of linear_probe"),
        ([broken], 2, "is missing or damaged; make it again"),
        ([home / "a", "--over", "window"], 2, "--over window: the runs do not differ in it"),
        ([home / "a", "--site", "poled"], 2, "--site poled: no run has it; did you mean 'pooled'"),
        ([home / "b", home / "c"], 3, "cannot be compared: other folds"),
        ([home / "a", "--unpaired", "--over", "site"], 2, "independent sets differ in their data alone"),
    ):
        assert main([str(word) for word in words_given]) == code
        assert said in capsys.readouterr().err
    left_out = find(open_runs([broken, home / "b"]), refuse=False)
    assert [(row["a"], row["b"]) for row in left_out.table("comparisons")] == [("pixels", "blocks")]
    assert any("missing or damaged" in note for note in left_out.notes)
    assert main([str(home / "a"), str(home / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["experiment"] == "compare"
    assert any(path.name.startswith("a-b-") for path in (tmp_path / "runs" / "compare").iterdir())


def test_a_grid_is_compared_in_its_axes_and_its_runs_of_one_encoder_are_one_arm(home: Path) -> None:
    grid = [
        StoredRun(folder=home / "g" / "runs" / str(k), name=f"cell {k}", settings={"site": site},
                  document=_only(open_runs([home / "a"])[0], site))
        for k, site in enumerate(("thumbnail.8", "pooled"))
    ]  # fmt: skip
    shutil.copytree(home / "a", home / "g" / "runs" / "0")
    shutil.copytree(home / "a", home / "g" / "runs" / "1")
    rows = find(grid).table("comparisons")
    assert {(row["over"], row["a"], row["b"]) for row in rows} == {
        ("encoder", "pixels", "lowlevel"), ("site", "thumbnail.8", "pooled")
    }  # fmt: skip


def _only(run: StoredRun, site: str) -> dict[str, Any]:
    records = [r for r in run.document["records"] if r["site"] == site]
    return dict(run.document) | {"records": records}


def test_resolutions_of_one_encoder_are_compared_and_a_changed_network_is_not_taken_for_it(
    home: Path, tmp_path: Path
) -> None:
    def run(name: str, said: str, flag: str) -> Path:
        def change(document: dict[str, Any]) -> None:
            for r in document["records"]:
                r["weights"] = f"local weights, {said}"
                r["command"] += f" --{flag}"

        return changed(home / "b", tmp_path / name, change)

    sizes = [run(str(k), f"at {k} pixels, fingerprint {k}ab", f"image-size {k}") for k in (32, 64)]
    (row,) = find(open_runs(sizes), over=["image_size"]).table("comparisons")
    assert (row["over"], row["a"], row["b"], row["paired"]) == ("image_size", "32", "64", True)
    changes = [run(f"w{k}", f"fingerprint {k}ab", f"window 0/{k}") for k in (1, 2)]
    with pytest.raises(DataError, match="blocks has other weights"):
        find(open_runs(changes), over=["window"])


def test_arms_of_one_name_are_told_apart_by_their_weights_and_a_flag_is_compared_over_one_set_of_pixels(
    home: Path,
) -> None:
    def run(name: str, settings: dict[str, Any], **other: str) -> StoredRun:
        document = json.loads((home / "b" / "results.json").read_text())
        flag = other.pop("flag", "")
        for r in document["records"]:
            r |= other
            r["command"] += flag
        return StoredRun(folder=home / "b" / "runs" / name, name=name, document=document, settings=settings)

    a = run("a", {"site": "pooled"})
    for weights, arms in (({}, 1), ({"weights": "others"}, 2)):
        found = families([a, run("b", {"site": "pooled"}, **weights)], "encoder", Asked())
        assert [len(one.arms) for one in found] == [arms] * (arms > 1)
    for pixels, count in (({}, 1), ({"data_key": "another"}, 0)):
        knn = run("knn", {}, flag=" --probe knn", probe="knn", **pixels)
        assert len(families([a, knn], "probe", Asked())) == count
    both = run("both", {}, flag=" --probe knn --dtype bfloat16", probe="knn")
    assert families([a, both], "probe", Asked()) == []  # two flags differ


def test_several_plans_pay_for_one_another(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (families(open_runs([home / name]), "encoder", Asked())[0] for name in ("a", "c"))
    alone, both = found._measured([one], None, [])[0].shown[0], found._measured([one, other], None, [])[0].shown[0]
    assert both.difference == alone.difference
    assert both.low < alone.low
    assert both.low > alone.low - 0.5 * (alone.high - alone.low)
    asked: list[Any] = []

    def pairs_of(measurements: Any, pairs: Any, plan: Any, confidence: float) -> Any:
        asked.append((plan.seed, len(measurements), len(pairs), confidence))
        return sound(measurements, pairs, plan, confidence)

    sound = paired.pairs_of
    monkeypatch.setattr(paired, "pairs_of", pairs_of)
    found._measured([one, other], None, [])
    assert asked == [(seed, 2, 1, pytest.approx(0.95**0.5)) for seed in (0, 1)]  # each on folds of its own


def test_families_of_one_plan_pay_for_one_another_and_p_values_are_adjusted_over_all(home: Path) -> None:
    runs = open_runs([home / "a"])
    alone, both = (find(runs, over=over).table("comparisons") for over in (["encoder"], ["encoder", "site"]))
    assert {row["over"] for row in both} == {"encoder", "site"}
    assert (both[0]["a"], both[0]["b"], both[0]["low"]) == (alone[0]["a"], alone[0]["b"], alone[0]["low"])
    assert both[0]["simultaneous_low"] < alone[0]["simultaneous_low"]
    p = [row["p"] for row in both]
    np.testing.assert_allclose([row["p_holm"] for row in both], probes.holm(p), rtol=1e-4)
    np.testing.assert_allclose([row["q_bh"] for row in both], probes.benjamini_hochberg(p), rtol=1e-4)


def test_what_a_row_says_rests_on_the_interval_that_holds_for_all_and_on_the_margin_of_its_items(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = families(open_runs([home / "a"]), "encoder", Asked())[0]
    (one,) = found._measured([family], None, [])
    (row,) = found._pair_rows(replace(one, shown=[replace(one.shown[0], low=-0.3, high=0.6)]))
    assert row["low"] > 0  # alone it would be told apart
    assert row["says"] == "not told apart"
    assert one.margin == row["margin"] == one.family.plan.margin
    a, b = (Arm(name="x", points=tuple((run, r) for r in run.records if r.encoder == "pixels")[:1])
            for run in open_runs([home / "all", home / "20-0"]))  # fmt: skip
    for many, share in ((89, 1), (60, 1), (40, 0.5)):  # from so many items on half the margin; of two sets the smaller
        monkeypatch.setattr("probes.stats.loss.MANY", many)
        assert _row("mirror", "pixels", a, b, Asked(), 1)["margin"] == share * a.measurement.plan.margin
    assert found._measured([family], None, [])[0].margin == one.margin / 2


def test_each_arm_has_the_probability_and_ranks_of_its_own_differences(home: Path) -> None:
    (family,) = families(open_runs([home / "a"]), "site", Asked(site=("thumbnail.*", "pooled")))
    (one,) = found._measured([family], None, [])
    count, plan = len(family.arms), family.plan
    score = np.array([arm.measurement.estimate.score for arm in family.arms])
    assert (np.diff(score) > 0).any()  # not in the order of the ranking
    p = probability_best(score, variances(one.every, count), plan.n_groups - 1.0, plan.seed)
    rows = found._ranked(one)
    assert [row["score"] for row in rows] == sorted(score, reverse=True)
    assert {row["name"]: row["p_best"] for row in rows} == {
        arm.name: float(p[k]) for k, arm in enumerate(family.arms)
    }  # fmt: skip


def test_words_follow_the_interval_that_holds_for_all() -> None:
    for low, high, said in (
        (0.01, 0.2, "a reads more"), (-0.2, -0.01, "b reads more"), (-0.04, 0.09, "equal within 0.1"),
        (-0.04, 0.1, "not told apart"), (-0.1, 0.04, "not told apart"), (None, None, "not told apart"),
        (0.0, 0.2, "not told apart"),
    ):  # fmt: skip
        assert words.says(low, high, 0.1) == said
    row = {"task": "mirror", "at": "best point", "a": "x", "b": "y", "difference": -0.3, "simultaneous_low": -0.4,
           "simultaneous_high": -0.2, "says": "b reads more"}  # fmt: skip
    assert words.pair(row) == "mirror, best point: y reads 0.30 [0.20, 0.40] more than x."
    near = row | {"simultaneous_low": -0.596, "simultaneous_high": -0.004}
    assert words.pair(near).endswith("y reads 0.300 [0.004, 0.596] more than x.")
    row |= {"difference": 0.05, "simultaneous_low": -0.08, "simultaneous_high": 0.18, "says": "not told apart",
            "detectable": 0.21}  # fmt: skip
    assert words.pair(row).endswith(
        "are not told apart: the difference is 0.05 [-0.08, 0.18]; one of 0.21 would be seen 8 times in 10."
    )


def test_sentences_on_many_arms_count_those_told_apart_and_name_the_middle_detectable_difference() -> None:
    key = ("mirror", "site", "best point")
    ranked: list[dict[str, Any]] = [
        {"task": "mirror", "over": "site", "at": "best point", "name": name, "score": score, "p_best": p,
         "group": group, "p": 0.001}
        for name, score, p, group in (("w", 0.9, 0.7, "a"), ("x", 0.8, 0.3, "ab"), ("y", 0.7, 0.0, "b"),
                                      ("z", 0.6, 0.0, "b"))
    ]  # fmt: skip
    rows = [
        {"task": "mirror", "over": "site", "at": "best point", "a": a, "b": b, "detectable": seen}
        for (a, b), seen in zip(itertools.combinations("wxyz", 2), (0.1, 0.2, 0.3, 0.3, 0.4, 0.9), strict=True)
    ]
    (line,) = words.family(key, rows, ranked)
    assert line == (
        "mirror, sites, best point: w reads most, 0.90 (P = 0.70 best); it is told apart from 2 of 3, but not from x. "
        "A difference of about 0.30 would be seen 8 times in 10."
    )
    (line,) = words.family(key, rows, [row | {"p": 0.2} for row in ranked])
    assert line.endswith("None is shown to read more than chance.")
    (line,) = words.family(key, rows, [*ranked[:-1], ranked[-1] | {"p": 0.2}])
    assert "None is shown" not in line


def test_a_curve_says_of_its_last_point_whether_it_still_rises() -> None:
    row: dict[str, Any] = {"task": "mirror", "encoder": "x", "at": "best point", "groups": 20, "score": 0.7, "low": 0.6,
                           "high": 0.8, "mde": None, "rising": None}  # fmt: skip
    for rising, said in ((True, "still rising"), (False, "no rise is shown over half as many"),
                         (None, "whether it rises is open")):  # fmt: skip
        (line,) = words.curves([row, row | {"groups": 40, "score": 0.8, "low": None, "rising": rising}])
        assert line == f"mirror, x, best point: with 40 groups 0.80, {said}."


def test_notes_name_limited_runs_other_versions_and_probes_without_refits(home: Path) -> None:
    runs = open_runs([home / "a"])
    plain = words.notes_of(runs, families(runs, "encoder", Asked()), [])
    assert plain == []
    other = copied(home, Path("other"), lambda d: [r.update(limited=True, code_version="9.9") for r in d["records"]])
    (family,) = families(runs, "encoder", Asked())
    arms = tuple(SimpleNamespace(name=arm.name, measurement=replace(arm.measurement, permuted=None))
                 for arm in family.arms)  # fmt: skip
    bare: Any = SimpleNamespace(arms=arms, over="encoder", task="mirror")
    first, versions, limited = words.notes_of([*runs, other], [bare], [])
    assert first.startswith("pixels, lowlevel: the probe is not refitted to permuted labels")
    assert versions.endswith(f"({runs[0].records[0].code_version}, 9.9)")
    assert limited == "limited runs (--limit): other"


def test_what_was_compared_with_one_reference_alone_says_nothing_of_other_pairs(home: Path) -> None:
    family = next(f for f in families(open_runs([home / "a"]), "site", Asked()) if len(f.arms) > 2)
    name = family.arms[1].name
    (one,) = found._measured([family], name, [])
    assert one.told is one.shown
    sure = [replace(pair, high=pair.difference.score) for pair in one.every]
    assert {row["group"] for row in found._ranked(replace(one, every=sure, told=()))} == {"a"}
    rows: list[dict[str, Any]] = [row | {"p_holm": 1.0, "q_bh": 1.0} for row in found._pair_rows(one)]
    rows[0]["says"] = "b reads more"
    for row in rows[1:]:
        row["says"] = "not told apart"
    (line,) = words.family(family.key, rows, found._ranked(one))
    said = f"reading less: {rows[0]['a']}; not told apart from it: {words._list([row['a'] for row in rows[1:]])}."
    assert f"beside {name} alone, {rows[0]['score_b']:.2f}, {said}" in line


def rows_of(names: tuple[str, ...], *, known: bool = True) -> tuple[list[dict[str, Any]], ...]:
    """Rows of comparisons, ranking and curve for arms of these names."""
    where = {"task": "a task", "over": "encoder", "at": "best point"}
    score = {name: 0.9 - 0.4 * k / len(names) for k, name in enumerate(names)}
    pairs = [
        where | {"a": a, "b": b, "score_a": score[a], "score_b": score[b], "difference": score[a] - score[b],
                 "low": 0.0 if known else None, "high": 0.3 if known else None, "margin": 0.1,
                 "simultaneous_low": -0.1 if known else None, "simultaneous_high": 0.4 if known else None,
                 "says": "not told apart"}
        for a, b in itertools.combinations(names, 2)
    ]  # fmt: skip
    ranked = [
        where | {"name": name, "score": s, "low": s - 0.1 if known else None, "high": s + 0.05 if known else None,
                 "p_best": 0.1 if known else None, "group": "ab" if known else None, "chance": 0.5,
                 "metric": "balanced accuracy"}
        for name, s in score.items()
    ]  # fmt: skip
    curve = [
        where | {"encoder": name, "groups": groups, "score": s, "low": s - 0.1 if known else None, "metric": "accuracy",
                 "high": s + 0.05 if known else None, "mde": 0.7 if known else None, "chance": 0.5, "rising": known}
        for name, s in score.items() for groups in (20, 40)
    ]  # fmt: skip
    return pairs, ranked, curve


@pytest.mark.parametrize(
    ("names", "known"),
    [(("a",), True), (HOSTILE, True), (tuple(f"e{k}" for k in range(40)), True), (("a", "b"), False)],
)
def test_figures_survive_one_arm_forty_missing_intervals_and_hostile_names(
    names: tuple[str, ...], known: bool, tmp_path: Path
) -> None:
    pairs, ranked, curve = rows_of(names, known=known)
    drawn = [lambda: figures.ranking(ranked, 85), lambda: figures.curve(curve, width=175)]
    for k, draw in enumerate(drawn + [lambda: figures.differences(pairs, 175)] * (len(names) > 1)):
        figure = draw()
        width, height = figure.get_size_inches() * 25.4
        assert width == pytest.approx(175 if k else 85)
        assert height < 330
        if len(names) == 2:
            assert save(figure, tmp_path / "one") == ["one.pdf", "one.svg", "one.png"]
            assert save(draw(), tmp_path / "two") == ["two.pdf", "two.svg", "two.png"]
            for suffix in ("pdf", "svg", "png"):
                assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    if len(names) == 40:
        texts = [text.get_text() for text in figures.differences(pairs).texts]
        assert any("39 of 780 pairs" in text for text in texts)
    with pytest.raises(UsageError, match="no comparison to draw"):
        figures.differences([])


def test_hostile_names_in_sentences_print_and_end() -> None:
    pairs, _, _ = rows_of(HOSTILE)
    for row in pairs:
        said = words.pair(row | {"detectable": 0.2})
        assert said.isprintable()
        assert len(said) < 300


def test_scores_are_read_as_numbers_of_the_field() -> None:
    assert [words._n(v) for v in (0.834, -0.05, 1.0, 0.0, -0.001, 0.999)] == [
        "0.83",
        "-0.05",
        "1.00",
        "0.00",
        "0.00",
        "1.00",
    ]
    assert [words._p(v) for v in (0.93, 0.999, 0.001)] == ["= 0.93", "> 0.99", "< 0.01"]
    np.testing.assert_equal(words._list(["a", "b", "c", "d", "e"]), "a, b, c, d and 1 more")


def copied(home: Path, to: Path, change: Callable[[dict[str, Any]], object]) -> StoredRun:
    """Run a in memory, under the name of a folder and with another document."""
    document = json.loads((home / "a" / "results.json").read_text())
    change(document)
    return StoredRun(folder=home / "a", name=to.name, document=document)


def test_points_of_another_probe_are_compared_by_the_ridge_beside_it(home: Path) -> None:
    def nested(document: dict[str, Any]) -> None:  # as from 200 groups on: here the twin is the cell itself
        for r in document["records"]:
            if r["site"] == "pooled":
                r |= {"probe": "linear-v1", "map_cell": r["cell"]}

    def lost(document: dict[str, Any]) -> None:
        nested(document)
        for r in document["records"]:
            r["map_cell"] = None

    whole = families(open_runs([home / "a"]), "site", Asked())[0]
    for change, at in ((nested, f"{whole.at} · by closed-form ridge"), (lost, whole.at)):
        found = families([copied(home, Path("x"), change)], "site", Asked())[0]
        assert (found.at, [arm.name for arm in found.arms]) == (at, [arm.name for arm in whole.arms])
    run = copied(home, Path("n"), nested)
    rows = find([run], over=["site"]).table("comparisons")
    plain = find(open_runs([home / "a"]), over=["site"]).table("comparisons")
    assert len(rows) == len(plain)  # no site is left out
    assert {row["at"] for row in rows} == {"pixels · vector · by closed-form ridge"}

    def later(document: dict[str, Any]) -> None:
        nested(document)
        for r in document["records"]:
            r["command"] += " --seed 7"

    both = find([*open_runs([home / "a"]), copied(home, Path("later"), later)])
    assert {(row["at"], row["runs"]) for row in both.table("variation")} == {("best point · by closed-form ridge", 2)}


def test_what_was_read_once_says_which_of_several_seeds_is_compared(home: Path) -> None:
    a, c = open_runs([home / "a", home / "c"])
    pixels, lowlevel = ([r for r in run.document["records"] if r["encoder"] == name] for run, name in
                        ((a, "pixels"), (c, "lowlevel")))  # fmt: skip
    runs = [
        StoredRun(folder=run.folder, name=name, document=dict(run.document) | {"records": records})
        for name, run, records in (
            ("first", a, pixels),
            ("again", c, [r for r in c.document["records"] if r["encoder"] == "pixels"]),
            ("other", c, lowlevel),
        )
    ]
    result = find(runs)
    assert [(row["a"], row["b"]) for row in result.table("comparisons")] == [("pixels", "lowlevel")]
    assert any("(first)" in note for note in result.notes)  # seed 0 is left out, not seed 1


def test_a_question_that_is_not_comparable_is_not_left_out_in_silence(home: Path) -> None:
    def two(document: dict[str, Any], **other: str) -> None:
        document["records"] += [r | {"task": "second"} | other for r in document["records"]]
        document["questions"] += [document["questions"][0] | {"task": "second"}]

    def changed_pixels(document: dict[str, Any]) -> None:
        two(document, data_key="another")
        for r in document["records"]:
            r["encoder"] += "2"

    runs = [copied(home, Path("one"), two), copied(home, Path("two"), changed_pixels)]
    with pytest.raises(DataError, match="one and two cannot be compared in second: the same items with other pixels"):
        find(runs)
    assert any("in second" in note for note in find(runs, refuse=False).notes)
    assert len(find(runs, task=["mirror"]).table("comparisons")) == 6


def test_letters_and_ranks_say_no_more_and_no_less_than_the_comparisons(home: Path) -> None:
    asked: tuple[dict[str, Any], ...] = ({}, {"over": ["site"]}, {"over": ["site"], "reference": "pooled"})
    for flags in asked:
        result = find(open_runs([home / "a", home / "b"]), **flags)
        ranked = {(row["at"], row["name"]): row for row in result.table("ranking")}
        for row in result.table("comparisons"):
            a, b = (ranked[row["at"], row[side]] for side in ("a", "b"))
            assert bool(set(a["group"]) & set(b["group"])) == (row["says"] not in ("a reads more", "b reads more"))


def test_a_flag_of_the_plan_is_refused_as_such(home: Path) -> None:
    with pytest.raises(UsageError, match="--over seed: runs that differ in it are never paired"):
        find(open_runs([home / "a", home / "c"]), over=["seed"])

    def ignore(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r["command"] += " --exif ignore"
            r["encoder"] += "2"

    ignored = copied(home, Path("ignored"), ignore)
    with pytest.raises(DataError, match=r"other decode policy \(exif\): --over exif compares that"):
        find([*open_runs([home / "a"]), ignored])


def test_independent_sets_hold_other_items_read_at_the_same_points(home: Path, tmp_path: Path) -> None:
    other = of_another_hospital(home / "a", tmp_path / "other", "h2-")
    plan = other / "cells" / "plan-h2-.json"
    made = json.loads(plan.read_text())
    plan.write_text(json.dumps(made | {"ids": [one.removeprefix("h2-") for one in made["ids"]]}))
    said = "60 items have the same names in a and other; if they are the same images"
    assert any(said in note for note in find(open_runs([home / "a", other]), unpaired=True).notes)
    plan.write_text(json.dumps(made))
    assert not any(said in note for note in find(open_runs([home / "a", other]), unpaired=True).notes)
    a, b = open_runs([home / "a", other])
    rows = find([a, b], unpaired=True).table("comparisons")
    np.testing.assert_allclose([row["p_holm"] for row in rows], probes.holm([row["p"] for row in rows]))
    for key, change, said in (
        ("classes", {"classes": ["x", "y"]}, r"other answers \(classes as taken, mirrored; classes x, y\)"),
        ("probe", {}, "they differ in probe too"),
    ):
        plan.write_text(json.dumps(made | change))
        document = json.loads((other / "results.json").read_text())
        for r in document["records"]:
            r["command"] += " --probe ridge" * (key == "probe")
        with pytest.raises(DataError, match=said):
            find([a, StoredRun(folder=b.folder, name=key, document=document)], unpaired=True)
    few = StoredRun(folder=b.folder, name="few", document=_only(b, "pooled"))
    with pytest.raises(DataError, match="read at other points"):
        find([a, few], unpaired=True)
    assert find([a, few], unpaired=True, site=["pooled"]).table("comparisons")


def test_runs_of_one_name_are_named_by_the_grids_that_hold_them() -> None:
    settings: list[dict[str, Any]] = [{"label": "view"}, {"label": "view"}, {}, {}]
    places = ("a/north/runs/label=view", "a/south/runs/label=view", "a/mirror", "b/mirror")
    runs = [
        StoredRun(folder=Path(place), name=Path(place).name, document={}, settings=axes)
        for place, axes in zip(places, settings, strict=True)
    ]
    assert distinct_names(runs) == ["north/label=view", "south/label=view", "a/mirror", "b/mirror"]
    assert distinct_names([*runs[2:3], *runs[2:3]])[0].endswith("#1")


def test_the_spread_of_a_curve_is_one_sentence_and_its_runs_stand_in_their_order(home: Path) -> None:
    names = [f"{groups}-{draw}" for groups in (20, 40) for draw in (0, 1)]
    found = slitlamp.compare(*(home / name for name in names), home / "all")
    assert sum("spread over draws" in line for line in found.sentences) == 1
    line = next(line for line in found.sentences if "spread over draws" in line)
    assert line.index("20 groups") < line.index("40 groups")
    note = next(line for line in found.notes if "are compared in one run of each" in line)
    places = [note.index(name) for name in names]
    assert places == sorted(places)


def test_sets_of_other_patients_are_refused_with_the_flag_that_compares_them(home: Path, tmp_path: Path) -> None:
    other = of_another_hospital(home / "a", tmp_path / "elsewhere", "north-")
    with pytest.raises(DataError, match="--unpaired compares sets of other patients"):
        slitlamp.compare(home / "a", other)


def test_results_that_were_written_nowhere_are_compared_and_no_line_repeats_it(home: Path) -> None:
    held = StoredRun(folder=home / "a", name="a", document={})
    with pytest.raises(UsageError, match="a StoredRun is no run"):
        slitlamp.compare(held)  # type: ignore[arg-type]
    assert slitlamp.compare(slitlamp.load(home / "a")).command.endswith("experiments.compare a")


def test_one_question_over_two_sources_is_two_families(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "a", tmp_path / "elsewhere")
    file = tmp_path / "elsewhere" / "results.json"
    document = json.loads(file.read_bytes())
    for record in document["records"]:
        record |= {"source": "elsewhere", "data_key": "0" * 16}
    file.write_text(json.dumps(document), encoding="utf-8")
    one, both = (find(open_runs(some), refuse=False) for some in ([home / "a"], [home / "a", tmp_path / "elsewhere"]))
    heads = [line.partition(": ")[0] for line in both.sentences]
    assert len(heads) == len(set(heads)) == 2 * len(one.sentences)
    assert {row["at"] for row in both.tables["ranking"]} >= {"best point · elsewhere"}
    assert {row["at"] for row in one.tables["ranking"]} == {"best point"}
    metrics = [{**row, "metric": name} for name in ("accuracy", "concordance") for row in one.tables["ranking"]]
    drawn = figures.ranking([{**row, "task": row["metric"]} for row in metrics], 85)
    assert "accuracy / concordance" in [axis.get_xlabel() for axis in drawn.axes]
