"""What is registered, as a table, as one card, as JSON and in the documents."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import encoders
from encoders import Card, Site
from experiments import list as command
from experiments._exit import DONE, USAGE
from slitlamp.reports.cards import END, START, bring_up_to_date, condensed, count, fetched, markdown, short
from slitlamp.reports.text import table
from tests.paths import ROOT

PAGE = ROOT / "docs" / "encoders.md"
HUB = Card(name="a", repo="some/model", revision="c" * 40)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path / "models--some--model" / "snapshots" / ("c" * 40)


def ran(*argv: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = command.main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.usefixtures("cache")
def test_every_encoder_has_one_line_and_one_object(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    narrow = ran("encoders", capsys=capsys)[1]
    assert [line.split()[0] for line in narrow.splitlines()[1:] if line][: len(encoders.names())] == list(
        encoders.names()
    )
    monkeypatch.delenv("COLUMNS")
    code, out, err = ran("encoders", capsys=capsys)
    assert code == DONE
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(encoders.names())
    assert max(map(len, out.splitlines())) < 190
    assert "never checked against real weights" in err
    rows = json.loads(ran("encoders", "--json", capsys=capsys)[1])
    assert [row["name"] for row in rows] == list(encoders.names())
    for row in rows:
        card = encoders.card(row["name"])
        assert (row["bytes"], row["bytes_whole"], row["parameters"]) == (card.bytes, card.bytes_whole, card.parameters)
        assert row["sites"].keys() == card.sites.keys()
        assert row["local"] == ("yes" if card.repo is None and (card.synthetic or not card.parameters) else "no")


@pytest.mark.usefixtures("cache")
def test_one_card_is_said_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran("encoders", "biomedclip", capsys=capsys)
    card = encoders.card("biomedclip")
    assert code == DONE
    for part in (card.repo, card.revision, card.licence, f"{card.parameters:,}", f"{card.bytes:,}", card.unverified):
        assert str(part) in out
    assert re.search(r"block\.0-11 final +14 × 14 of 768: cls, mean, halves, grid3", out)


def test_an_unknown_name_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran("encoders", "biomedclp", capsys=capsys)
    assert (code, out) == (USAGE, "")
    assert "did you mean 'biomedclip'?" in err


def test_a_table_fits_the_terminal() -> None:
    rows: list[dict[str, Any]] = [{"name": "n" * 20, "licence": "l" * 60}, {"name": "m", "licence": "k"}]
    assert len(table(rows).splitlines()[1]) == 82
    shown = table(rows, 60).splitlines()
    assert max(map(len, shown)) == 60
    assert shown[1].endswith("l…")
    assert max(map(len, table(rows, 10).splitlines())) == 34, "below that nothing could be read"


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        ([f"block.{i}" for i in range(12)] + ["final", "pooled"], "block.0-11 final pooled"),
        (["stage.1", "stage.2", "joint"], "stage.1-2 joint"),
        (["block.0", "connector", "deepstack.0", "deepstack.1"], "block.0 connector deepstack.0-1"),
        ([], ""),
    ],
)
def test_sites_are_named_in_few_words(sites: list[str], words: str) -> None:
    assert condensed(sites) == words


def test_numbers_are_for_people() -> None:
    def of(part: int | None, whole: int | None = None) -> str:
        return fetched(Card(name="a", bytes=part, bytes_whole=whole))

    assert of(648_982_528, 15_133_495_296) == "649 MB of 15.1 GB"
    assert of(1_352_000_000, 1_352_000_000) == "1.35 GB"
    assert of(88_226_304) == "88.2 MB"
    assert of(900, 2000) == "0.90 kB of 2.00 kB"
    assert of(0) == of(None) == count(None) == ""
    assert count(324_491_264) == "324 M"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "part"),
        (("config.json",), "part"),
        (("config.json", "model.safetensors"), "yes"),
        (("config.json", "vision-0123abcd.safetensors"), "yes"),
        (("config.json", "vision-0123abcd.safetensors.incomplete", "vision-0123abcd.safetensors.journal"), "part"),
        (("model.safetensors.index.json", "one.safetensors"), "part"),
        (("model.safetensors.index.json", "one.safetensors", "two.safetensors"), "yes"),
        (("model.safetensors.index.json", "vision-0123abcd.safetensors"), "yes"),
    ],
)
def test_what_lies_in_the_cache_is_seen(files: tuple[str, ...], said: str, cache: Path) -> None:
    from hub.repository import cached_state

    assert cached_state("some/model", "c" * 40) == "no"
    cache.mkdir(parents=True)
    for name in files:
        (cache / name).write_text('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')
    assert cached_state("some/model", "c" * 40) == said
    assert cached_state("some/model", "d" * 40) == "no"
    assert cached_state("some/model", None) == "no"
    (cache.parents[1] / "refs").mkdir()
    (cache.parents[1] / "refs" / "main").write_text("c" * 40)
    assert cached_state("some/model", None) == said


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys\nfrom experiments.list import main\nmain(['encoders', '--json'])\n"
        "assert not {'torch', 'transformers', 'timm', 'open_clip', 'httpx', 'httpx2'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_documents_hold_the_table_as_it_is_generated() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition(START)[2].partition(END)[0].strip()
    assert table == markdown().strip(), "`python -m experiments.list encoders --markdown docs/encoders.md` mends it"
    named = [line.split("`")[1] for line in table.splitlines()[2:]]
    assert named == list(encoders.names())


def test_a_document_is_brought_up_to_date_between_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\nstale\n{END}\nafter\n")
    assert ran("encoders", "--markdown", str(page), capsys=capsys)[0] == DONE
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert markdown() in text
    bring_up_to_date(page)
    assert page.read_text(encoding="utf-8") == text
    assert ran("encoders", "--markdown", capsys=capsys)[1] == markdown()
    page.write_text("no marks")
    code, _, err = ran("encoders", "--markdown", str(page), capsys=capsys)
    assert code == USAGE
    assert START in err
    assert page.read_text() == "no marks"


def test_a_card_with_views_or_queries_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from slitlamp.reports.cards import lines

    site = Site(width=8, grid=(4, 4), views=(encoders.View(grid=(4, 4)), encoders.View(grid=(4, 4))))
    card = Card(name="a", sites={"final": site, "connector": Site(width=5, queries=3)}, gated=True, licence="X")
    monkeypatch.setattr(encoders, "card", lambda _: card)
    assert "4 × 4 of 8 in 2 views of a square image" in lines("a")
    assert "3 queries of 5: mean, queries" in lines("a")
    assert short("a")["licence"] == "X, gated"


@pytest.mark.parametrize(
    ("name", "said"),
    [("dinov2-b14", "yes: any multiple of its patch of 14 pixels, by --image-size"), ("llava-med", "no: its own"),
     ("pixels", "no: its own"), ("siglip-so400m", "yes: any multiple of its patch of 14 pixels")],
)  # fmt: skip
def test_a_card_says_whether_another_size_can_be_asked(name: str, said: str) -> None:
    from slitlamp.reports.cards import lines

    assert f"any size     {said}" in lines(name)
    assert (", any size" in short(name)["input"]) == said.startswith("yes")


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_resnet", "open_clip:ViT-S-32-alt"])
def test_the_card_of_an_architecture_is_that_of_its_network(name: str) -> None:
    told, built = encoders.architecture(name), encoders.load(f"random:{name}").card
    assert told.name == name
    for what in ("sites", "input", "parameters", "any_size"):
        assert getattr(told, what) == getattr(built, what), what


def test_the_card_of_an_architecture_takes_no_memory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    made, create = [], timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *given, **more: made.append(create(*given, **more)) or made[-1])
    code, out, _ = ran("encoders", "timm:vit_giant_patch14_dinov2", capsys=capsys)
    assert code == DONE
    assert {value.device.type for model in made for value in model.parameters()} == {"meta"}
    assert "1,136,479,232 (image side)" in out
    assert re.search(r"block\.0-39 final +37 × 37 of 1536: cls, mean", out)
    assert "any size     yes: any multiple of its patch of 14 pixels" in out
    assert "any size     yes: from 32 pixels on" in ran("encoders", "timm:resnet18", capsys=capsys)[1]
    code, out, err = ran("encoders", "timm:vit_giantt", capsys=capsys)
    assert (code, out) == (USAGE, "")
    assert "timm has no model 'vit_giantt'" in err


def test_every_command_is_listed_and_a_wrong_name_gets_the_nearest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    code, out, _ = ran("commands", capsys=capsys)
    assert code == DONE
    files = [path.stem for path in (ROOT / "experiments").glob("*.py") if not path.stem.startswith("_")]
    assert {f"python -m experiments.{name}" for name in files} == {line.split("  ")[0] for line in out.splitlines()[1:]}
    assert max(map(len, out.splitlines())) <= 160
    code, _, err = ran("commands", "ablatoin", capsys=capsys)
    assert code == USAGE
    assert "did you mean 'ablation'?" in err


@pytest.mark.parametrize("words", [("commands",), ("encoders",), ("tasks",), ("probes",), ("encoders", "llava-med")])
def test_lists_fit_a_terminal_and_a_row_stays_a_line_elsewhere(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert command.main(list(words)) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    monkeypatch.delenv("COLUMNS")
    assert command.main([*words, "--json"]) == command.main(list(words)) == 0
    document, end, text = capsys.readouterr().out.partition("\n]\n")
    if len(words) == 1:
        assert len(text.splitlines()) == len(json.loads(document + end)) + 1
