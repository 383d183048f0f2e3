"""A report: what its page, checklist, methods and card say is what the records hold, whatever names they carry."""

import base64
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import slitlamp
from slitlamp.errors import UsageError
from slitlamp.paper import checklist as reviewer
from slitlamp.paper.answers import answers
from slitlamp.paper.gathered import gather
from slitlamp.paper.methods import AUTHORS, TITLE, as_markdown, bibliography
from tests.paths import ROOT

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
NAMES = (
    "<script>document.title='taken'</script>", 'a&b_c%d "quoted" \'it\'', "line\nbreak\ttab", "y" * 200, "مرحبا",
    "🫁👩‍⚕️",
    "\u202eturned\u2028\x1b[31m", "{{7*7}}{% raw %}", "\\input{/etc/passwd}", "lone\udce9byte", "]]><!--", "`a` |b|",
)  # fmt: skip
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mirror"
    slitlamp.probe(["pixels", "lowlevel"], "mirror", items=60, permutations=99, jobs=1, out=str(out))
    return out


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an encoder that reads the answer, and of one whose features are noise."""
    out, noise = tmp_path_factory.mktemp("silent") / "mirror", str(ROOT / "tests" / "noise_encoder.py")
    slitlamp.probe(["pixels", noise], "mirror", items=120, permutations=99, jobs=1, out=str(out))
    return out


@pytest.fixture(scope="module")
def made(run: Path) -> Path:
    from slitlamp.paper import figures

    out, every = run.parent / "report", figures.figures
    with pytest.MonkeyPatch.context() as patch:  # one figure: all of them have tests of their own
        patch.setattr(figures, "figures", lambda gathered: dict([next(iter(every(gathered).items()))]))
        slitlamp.report(run, out=str(out))
    return out


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures: they have tests of their own, and take the longest."""
    from slitlamp.paper import figures

    monkeypatch.setattr(figures, "figures", lambda _: {})


def edited(run: Path, to: Path, edit: Edit) -> Path:
    """A copy of a run whose document is another."""
    shutil.copytree(run, to)
    document = json.loads((to / "results.json").read_bytes())
    edit(document)
    (to / "results.json").write_text(json.dumps(document), encoding="utf-8")
    return to


def page_of(*runs: Path, out: Path, **flags: Any) -> str:
    slitlamp.report(*runs, out=str(out), **flags)
    return (out / "index.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_answers_first_and_needs_nothing_else(run: Path, made: Path) -> None:
    page = (made / "index.html").read_text(encoding="utf-8")
    found = Elements(page)
    verdict = gather([run]).claims[0].verdict
    number = f"{verdict['score']:.2f} [{verdict['low']:.2f}, {verdict['high']:.2f}]"
    first = page.index("Are left and right exchanged?")
    assert first < page.index(number) < page.index('id="full"') < page.index('id="table"') < page.index('id="figures"')
    order = ["failed", "missing", "provenance", "commands", "checklist"]
    places = [page.index(f'<section id="{name}"') for name in order]
    assert places == sorted(places)
    assert "script" not in found.tags
    assert dict(found.attributes)["lang"] == "en"
    assert any(
        name == "content" and value.startswith("default-src 'none'; img-src data:") for name, value in found.attributes
    )
    assert all(value.startswith("data:") for name, value in found.attributes if name == "src")
    links = [value for name, value in found.attributes if name == "href"]
    assert not [link for link in links if re.match(r"\w+:|//", link) and not link.startswith("data:")]
    assert all((made / link).is_file() for link in links if not link.startswith(("#", "data:")))
    assert found.tags.count("img") == sum(name == "alt" and bool(value) for name, value in found.attributes) > 0
    assert len(re.sub(r"data:image/png;base64,[\w+/=]+", "", page)) < 1_000_000


@pytest.mark.usefixtures("undrawn")
def test_the_same_runs_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        slitlamp.report(run, out=str(tmp_path / name))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 8
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_a_report_is_read_back_with_every_file(made: Path) -> None:
    again = slitlamp.load(made)
    assert again.experiment == "report"
    assert {"index.html", "methods.md", "methods.tex", "references.bib", "probe_card.md"} <= {
        p.name for p in again.files
    }
    assert all(path.is_file() for path in again.files)
    assert {path.parent.name for path in again.files} >= {"tables", "figures"}


def hostile(name: str) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r |= {"task": name, "source": name, "command": f"python -m experiments.linear_probe --encoder {name}"}
            r["encoder"] = name if r["encoder"] == "pixels" and r["role"] == "encoder" else r["encoder"]
            r["reason"] += name
        for v in document["verdicts"]:
            v |= {"task": name, "encoder": name if v["encoder"] == "pixels" else v["encoder"]}
            v["sentences"] = [f"WARNING: {name}"]
        for q in document["questions"]:
            q |= {"task": name, "source": name, "classes": {name: 30, f"{name}2": 30}, "notes": [name]}

    return edit


@pytest.mark.usefixtures("undrawn")
def test_no_name_breaks_a_file_of_the_report(run: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    runs = [edited(run, tmp_path / f"h{k}", hostile(name)) for k, name in enumerate(NAMES)]
    found = Elements(page_of(*runs, out=tmp_path / "report", title=NAMES[0]))
    assert "script" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    for name in (NAMES[0], NAMES[3], NAMES[4], NAMES[7], NAMES[10]):
        assert name in found.text
    assert not set(found.text) & {"\u202e", "\x1b", "\u2028"}
    card = ModelCard((tmp_path / "report" / "probe_card.md").read_text(encoding="utf-8"))
    front = card.data.to_dict()
    assert front["library_name"] == "slitlamp"
    assert sum(len(one["results"]) for one in front["model-index"]) == len(NAMES)
    assert "\\input{" not in (tmp_path / "report" / "methods.tex").read_text(encoding="utf-8")
    for name in ("methods.md", "checklist.md", "probe_card.md"):
        body = (tmp_path / "report" / name).read_text(encoding="utf-8").rpartition("\n---\n")[2]
        assert "<script" not in re.sub(r"(?s)(`+).*?\1", "", body), name


def by_number(runs: list[Path]) -> dict[int, reviewer.Item]:
    return {item.number: item for item in reviewer.checklist(gather(runs))}


def test_the_checklist_has_every_item_and_what_is_missing_first(run: Path) -> None:
    items = reviewer.checklist(gather([run]))
    assert sorted(item.number for item in items) == list(range(1, 15))
    status = [reviewer.ORDERED.index(item.status) for item in items]
    assert status == sorted(status)
    assert all(entry.fill for item in items for entry in item.entries if entry.status == reviewer.MISSING)
    best = gather([run]).claims[0].best
    evidence = next(item for item in items if item.number == 5).entries[0].evidence
    assert f"{best.permutations} permutations" in evidence
    assert "labels inside each group" in evidence  # an image and its mirror


@pytest.mark.parametrize(("more", "status"), [(" --group patient", reviewer.STANDS), ("", reviewer.MISSING)])
def test_patients_that_nobody_named_are_missing(run: Path, tmp_path: Path, more: str, status: str) -> None:
    def edit(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r["command"] += f" --data films.csv{more}"

    item = by_number([edited(run, tmp_path / "run", edit)])[1]
    assert item.status == status
    assert ("--group COLUMN" in "".join(entry.fill for entry in item.entries)) == (status == reviewer.MISSING)


def test_what_the_folder_does_not_hold_any_more_is_missing(run: Path, tmp_path: Path) -> None:
    assert by_number([run])[4].status == reviewer.STANDS
    assert "Blind by construction" in "".join(one.evidence for one in by_number([run])[4].entries)  # lowlevel
    bare = edited(run, tmp_path / "bare", lambda _: None)
    shutil.rmtree(bare / "cells")
    items = by_number([bare])
    assert items[4].status == items[5].status == reviewer.MISSING
    assert "Intervals" not in as_markdown(gather([bare]))


def test_an_absence_stands_on_what_was_planted(silent: Path) -> None:
    absent = next(claim for claim in gather([silent]).claims if claim.encoder == "noise")
    assert absent.verdict["verdict"] == "absent"
    entries = by_number([silent])[6].entries
    mine, present = (next(one for one in entries if name in one.claims[0]) for name in ("noise", "pixels"))
    assert mine.status == reviewer.STANDS
    assert f"excluded {absent.best.limit:.2f}" in mine.evidence
    assert f"kernel ridge p = {absent.measured.kernel_p:.3f}" in mine.evidence
    assert present.status == reviewer.IDLE


def test_the_methods_say_what_the_records_hold_and_cite_no_more(run: Path) -> None:
    gathered = gather([run])
    text, best = as_markdown(gathered), gathered.claims[0].best
    facts = gathered.claims[0].question
    for said in (
        f"{facts['items']} items of {facts['images']} images in {facts['groups']} groups",
        f"{best.folds} folds", f"drawn anew {best.repeats} times", f"{best.permutations} permuted label vectors",
        "penalty 0.3", best.code_version.split("+")[0],
    ):  # fmt: skip
        assert said in text, said
    keys = set(re.findall(r"@(\w+)", text))
    assert keys == set(re.findall(r"^@\w+\{(\w+),", bibliography(gathered), re.MULTILINE))
    assert "nadeau2003" not in keys  # the probe is refitted to permuted labels
    assert "zou2008" not in keys  # no class is rare
    assert "westfall1993" in keys
    assert ("holm1979" in keys) is False  # one question


def test_numbers_are_told_as_numbers_and_no_citation_becomes_a_link(run: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r |= {"n_classes": None, "metric": "concordance"}
        for q in document["questions"]:
            q |= {"classes": None, "range": [8.0, 47.0, 71.0]}

    text = as_markdown(gather([edited(run, tmp_path / "ages", edit)]))
    assert "(numbers from 8 to 71, median 47)" in text
    assert "[@hoeffding1948] (chance" in text
    assert "](" not in text


def test_a_command_to_repeat_has_each_flag_once(run: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r |= {"p_from": "folds", "command": "python -m experiments.linear_probe --encoder a b --probe knn --seed 1"}

    entries = by_number([edited(run, tmp_path / "folds", edit)])[5].entries
    assert entries[0].fill == "python -m experiments.linear_probe --encoder a b --seed 1 --probe ridge"


def test_the_project_is_cited_as_its_citation_file_says() -> None:
    said = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f'title: "{TITLE}"' in said
    assert f'name: "{AUTHORS}"' in said


def test_a_rare_class_is_cited_with_its_interval(run: Path, tmp_path: Path) -> None:
    rare = edited(run, tmp_path / "rare", lambda _: None)
    plan = next((rare / "cells").glob("plan-*.json"))
    made = json.loads(plan.read_bytes())
    made["groups"] = [f"g{k}" for k in range(len(made["answers"]))]
    made["answers"] = [int(k < 12) for k in range(len(made["answers"]))]
    plan.write_text(json.dumps(made))
    assert "@zou2008" in as_markdown(gather([rare]))
    assert "the smallest class has 12 groups" in as_markdown(gather([rare]))


@pytest.mark.usefixtures("undrawn")
def test_a_limited_run_is_said_in_red_and_a_whole_one_is_not(run: Path, made: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r["limited"] = True

    page = page_of(edited(run, tmp_path / "limited", edit), out=tmp_path / "report")
    assert '<p class="alarm">LIMITED' in page
    assert '<strong class="red">LIMITED to 60 items</strong>' in page
    assert '<p class="alarm">LIMITED' not in (made / "index.html").read_text(encoding="utf-8")


def grid(folder: Path, run: Path | None) -> Path:
    (folder / "runs").mkdir(parents=True)
    runs = [
        {
            "name": "lost",
            "folder": "runs/lost",
            "settings": {},
            "command": "x",
            "status": "failed",
            "error": "no <disk>",
        },
        {"name": "later", "folder": "runs/later", "settings": {}, "command": "x", "status": "pending", "error": None},
    ]
    if run is not None:
        shutil.copytree(run, folder / "runs" / "one")
        done = {"name": "one", "folder": "runs/one", "settings": {"seed": 0}, "command": "x", "status": "done"}
        runs.append(done | {"error": None})
    document = {"schema": 3, "experiment": "ablation", "command": "python -m experiments.ablation", "axes": {}}
    rest = {"failed": [], "sentences": [], "notes": [], "questions": [], "tables": {}, "files": []}
    (folder / "results.json").write_text(json.dumps({**document, "runs": runs, **rest}))
    return folder


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("done", [True, False])
def test_a_grid_shows_what_failed_and_what_is_not_computed(run: Path, tmp_path: Path, *, done: bool) -> None:
    page = page_of(grid(tmp_path / "grid", run if done else None), out=tmp_path / "report")
    assert '<li class="red">lost: no &lt;disk&gt;</li>' in page
    assert '<li class="red">later: not computed yet</li>' in page
    assert "FAILED OR MISSING: 2" in page
    assert ("No run is finished: there is no claim to report" in page) == (not done)
    notes = slitlamp.report(tmp_path / "grid").notes
    assert {"FAILED: lost: no <disk>", "MISSING: later: not computed yet"} <= set(notes)
    differ = slitlamp.report(diff=(tmp_path / "grid", tmp_path / "grid"))
    assert [line.rpartition("grid: ")[2] for line in differ.notes] == ["lost: no <disk>", "later: not computed yet"] * 2


def other(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "map.png").write_bytes(PNG)
    (folder / "false.png").write_text("<svg onload='x'>")
    (folder / "its.html").write_text("x")
    document = {
        "schema": 3, "experiment": "attribution", "command": "python -m experiments.attribution", "notes": [],
        "tables": {"verdicts": [{"over_random": 1.0, "over_random_low": 0.5, "over_random_high": 1.5,
                                 "over_control": None, "over_untrained": 2.0}]},
        "sentences": ["It rests on <b>the heart</b>."], "questions": [],
        "files": ["map.png", "false.png", "its.html", "../../secret.png", "gone.png"],
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(document))
    (folder.parent.parent / "secret.png").write_bytes(PNG)
    return folder


@pytest.mark.usefixtures("undrawn")
def test_runs_of_other_commands_are_shown_as_they_are(tmp_path: Path) -> None:
    outside, inside = other(tmp_path / "x" / "maps"), other(tmp_path / "report" / "sub" / "near")
    page = page_of(outside, inside, out=tmp_path / "report")
    assert page.count('<img alt="attribution: map"') == 2
    assert Elements(page).tags.count("img") == 2  # no picture that is none, and none from elsewhere
    assert page.index("It rests on &lt;b&gt;the heart") < page.index('aria-label="Contents"')  # on the first screen
    assert page.count('href="sub/near/its.html"') == 1
    assert page.count("Its own page is its.html") == 1
    item = by_number([outside])[11]
    assert [one.status for one in item.entries].count(reviewer.MISSING) == 1  # the control was not measured


@pytest.mark.usefixtures("undrawn")
def test_an_audit_of_marks_is_a_run_too(tmp_path: Path) -> None:
    home = tmp_path / "marks"
    home.mkdir()
    document = {
        "schema": 2, "experiment": "visual_prompts", "command": "python -m experiments.visual_prompts", "notes": [],
        "sentences": ["one: spatial. It <b>looks</b>."], "tables": {"responders": [{"responder": "one"}]},
        "questions": [], "files": [],
    }  # fmt: skip
    (home / "audit.json").write_text(json.dumps(document))
    page = page_of(home, out=tmp_path / "report")
    assert "one: spatial. It &lt;b&gt;looks&lt;/b&gt;." in page
    (home / "audit.json").write_text(json.dumps(document | {"schema": 1}))
    with pytest.raises(UsageError, match="is of version 1, and this program reads 2"):
        page_of(home, out=tmp_path / "report")


@pytest.mark.usefixtures("undrawn")
def test_what_an_earlier_report_left_is_removed_and_nothing_else(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    slitlamp.report(run, out=str(out))
    document = json.loads((out / "results.json").read_bytes())
    (out / "tables" / "old.tex").write_text("old")
    (out / "mine.txt").write_text("mine")
    (tmp_path / "outside.txt").write_text("mine")
    document["files"] += ["tables/old.tex", "../outside.txt"]
    (out / "results.json").write_text(json.dumps(document))
    slitlamp.report(run, out=str(out))
    assert not (out / "tables" / "old.tex").exists()
    assert (out / "mine.txt").exists()
    assert (tmp_path / "outside.txt").exists()


def test_equal_runs_differ_in_no_number(run: Path) -> None:
    found = slitlamp.report(diff=(run, run))
    assert "no number differs" in found.sentences[0]
    assert found.table("numbers") == []


def test_a_difference_is_named_with_what_changed_it(run: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        one = next(r for r in document["records"] if r["role"] == "encoder")
        one["score"] += (one["high"] - one["low"]) / 2
        for r in document["records"]:
            r |= {"command": r["command"] + " --window lung", "data_key": "other"}

    found = slitlamp.report(diff=(run, edited(run, tmp_path / "new", edit)))
    (row,) = found.table("numbers")
    assert (row["change"], row["differs"]) == ("changed", "score")
    assert row["shift"] == pytest.approx(1)
    settings = {(one["setting"], one["old"], one["new"]) for one in found.table("settings")}
    assert ("--window", "not given", "lung") in settings
    assert {one[0] for one in settings} == {"--window", "data"}
    assert "1 changed" in found.sentences[0]
    assert "--window, data" in found.sentences[0]


def test_points_that_appear_and_vanish_are_named(run: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["records"] = [r for r in document["records"] if r["encoder"] != "lowlevel" or r["role"] == "control"]
        document["verdicts"] = [v for v in document["verdicts"] if v["encoder"] != "lowlevel"]

    fewer = edited(run, tmp_path / "fewer", edit)
    for pair, change in (((run, fewer), "vanished"), ((fewer, run), "appeared")):
        rows = slitlamp.report(diff=pair).table("numbers")
        assert {(row["change"], row["encoder"]) for row in rows} == {(change, "lowlevel")}


def test_without_a_folder_the_answers_come_back(run: Path) -> None:
    found = slitlamp.report(run)
    assert not found.files
    said = answers(gather([run]))
    assert list(found.sentences[-len(said) :]) == said  # behind who reads most
    assert found.figures


def test_what_could_not_be_compared_is_a_note(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slitlamp.paper import run as command
    from slitlamp.reports.result import CommandResult

    found = CommandResult(experiment="compare", tables={}, notes=["x and y share no folds"])
    monkeypatch.setattr(command, "compared", lambda _: (found, ["nothing else"]))
    assert {"x and y share no folds", "nothing else"} <= set(slitlamp.report(run).notes)


def test_bad_input_is_one_line(run: Path, made: Path, tmp_path: Path) -> None:
    cut, foreign = tmp_path / "cut", tmp_path / "foreign"
    for folder, text in ((cut, (run / "results.json").read_text()[:2000]), (foreign, '{"a": 1}')):
        folder.mkdir()
        (folder / "results.json").write_text(text)
    old = edited(run, tmp_path / "old", lambda document: document.update(schema=2))
    half = edited(run, tmp_path / "half", lambda document: document.update(records=[]))
    (tmp_path / "empty").mkdir()
    whole = grid(tmp_path / "grid", run)
    for runs, said in (
        ((), "no run is named"),
        ((cut,), "no whole JSON document"),
        ((foreign,), "not a document of this program"),
        ((old,), "is of version 2"),
        ((half,), "is not whole"),
        ((tmp_path / "empty",), "holds no finished run"),
        ((run, f"{run}/"), "is named twice"),
        ((run, run / "results.json"), "is named twice"),
        ((made,), "is a report; name the runs"),
        ((whole, whole / "runs" / "one"), "which is named already"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            slitlamp.report(*runs)
        assert "\n" not in str(caught.value)
    for flags, said in (
        ({"diff": (run,)}, "takes two folders"),
        ({"diff": (run, other(tmp_path / "x" / "maps"))}, "is a run of attribution"),
        ({"diff": (run, run), "title": "x"}, "--title has nothing to act on"),
    ):
        with pytest.raises(UsageError, match=said):
            slitlamp.report(**flags)
    with pytest.raises(UsageError, match="is the folder of a run that is reported"):
        slitlamp.report(run, out=str(run), replace=True)


def test_results_are_reported_as_their_folders_are(run: Path) -> None:
    again = slitlamp.load(run)
    assert slitlamp.report(again).to_json() == slitlamp.report(run).to_json()
    assert "no number differs" in slitlamp.report(diff=(again, run)).sentences[0]
    with pytest.raises(UsageError, match="was written nowhere; ask for it with out="):
        slitlamp.report(slitlamp.report(run))


def test_a_loaded_report_is_the_report(made: Path) -> None:
    assert slitlamp.load(made).to_json() == (made / "results.json").read_text(encoding="utf-8")


def drawn(groups: int) -> Edit:
    """A run as of fewer groups, with folds and pixels of its own."""

    def edit(document: dict[str, Any]) -> None:
        for r in document["records"]:
            r |= {"n_groups": groups, "folds": 4, "plan_key": f"{r['plan_key']}{groups}", "data_key": f"{groups}",
                  "command": f"{r['command']} --take-groups {groups}"}  # fmt: skip
        for one in document["questions"]:
            one |= {"groups": groups, "items": 2 * groups, "left_out": {"not drawn": 9}}

    return edit


def test_draws_are_one_sentence_and_what_holds_for_some_groups_says_so(run: Path, tmp_path: Path) -> None:
    folders = [run, *(edited(run, tmp_path / str(n), drawn(n)) for n in (20, 26))]
    text = as_markdown(gather(folders))
    assert text.count("Images were decoded with") == 1
    assert "1 of 20 groups (40 items) and 1 of 26 groups (52 items)" in text
    assert "For “mirror” of 20 and 26 groups: No group was split over folds: 4 folds" in text
    assert "For “mirror” of" not in as_markdown(gather([run]))


def test_draws_of_a_curve_have_no_figures_of_their_own(run: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from slitlamp.paper.figures import figures
    from slitlamp.reports.result import CommandResult

    gathered = gather([run, *(edited(run, tmp_path / str(n), drawn(n)) for n in (20, 26))])
    curve = CommandResult(experiment="compare", tables={}, figures={"curve": lambda: None})
    layers = [sum(name.startswith("layers") for name in figures(replace(gathered, compared=one)))
              for one in (None, curve)]  # fmt: skip
    assert layers == [3, 1]
