"""Encoders carried to a machine without a network: fetched from the stand-in hub, then run with the network cut."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError
from experiments._exit import DONE, ENCODER, PARTIAL, USAGE
from experiments.fetch import main
from hub.errors import HubError
from slitlamp.fetching import fetch
from tests import tiny_custom, tiny_llava
from tests.paths import ROOT
from tests.stand_in_hub import Hub, Repository, clip_folder, dinov2_folder, respelt, serving, stand_in

COMMIT = "c" * 40
TOKEN = "hf_secretSecretSecretSecretSecretSe"
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def _sharded(folder: Path) -> None:
    model = dinov2_folder(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="30KB")


def _authors(folder: Path) -> None:
    """LLaVA-Med as its authors have it: other names, another type, no image processor."""
    tiny_llava.plain(folder)
    spelling = (("vision_tower.vision_model.", "model.vision_tower.vision_tower.vision_model."),
                ("multi_modal_projector.linear_1.", "model.mm_projector.0."),
                ("multi_modal_projector.linear_2.", "model.mm_projector.2."))  # fmt: skip

    def spell(key: str) -> str:
        for ours, theirs in spelling:
            key = key.replace(ours, theirs)
        return key

    respelt(folder, spell)


MADE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "clip-b16": ("openai/clip-vit-base-patch16", clip_folder),
    "dinov2-b14": ("facebook/dinov2-base", _sharded),
    "llava-1.5-7b": ("llava-hf/llava-1.5-7b-hf", tiny_llava.plain),
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny snapshots by repository, with what repositories hold besides."""
    root = tmp_path_factory.mktemp("hub")
    found = {}
    for name, (repo, make) in MADE.items():
        make(root / name)
        found[repo] = root / name
        (root / name / "README.md").write_text("what nobody needs")
        (root / name / "flax_model.bin").write_bytes(b"x" * 50_000)
    tiny_custom.med_flamingo(root / "flamingo")
    return found | {
        "openai/clip-vit-large-patch14": root / "flamingo" / "clip",
        "med-flamingo/med-flamingo": root / "flamingo" / "flamingo",
    }


@pytest.fixture
def hub(shelf: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving(Hub(repositories={repo: Repository(folder=at, commit=COMMIT) for repo, at in shelf.items()})) as run:
        run.set_client(monkeypatch.setattr, tmp_path / "cache")
        yield run


def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: nothing answers, and what asks is an error."""
    import socket

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", never)
    monkeypatch.setattr(socket.socket, "connect", never)


def features(encoder: encoders.Encoder) -> dict[str, np.ndarray]:
    return encoders.encode(encoder, [IMAGE], {site: [of.readouts[0]] for site, of in encoder.card.sites.items()})


@pytest.mark.parametrize("name", [*MADE, "med-flamingo", "hf:facebook/dinov2-base", "hf:llava-hf/llava-1.5-7b-hf"])
def test_what_was_fetched_gives_the_features_of_the_hub_with_the_network_cut(
    name: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = features(stand_in(name))
    before = sum(one.sent for one in hub.repositories.values())
    found = fetch([name], tmp_path / "out")
    assert not found["failed"]
    (at,) = found["folders"].values()
    sent = sum(one.sent for one in hub.repositories.values()) - before
    carried = Path(shutil.copytree(at, tmp_path / "elsewhere" / "folder", symlinks=True))
    assert not [path for path in carried.rglob("*") if path.is_symlink()]
    assert not (carried / "README.md").exists()
    assert not (carried / "flax_model.bin").exists()
    sums = (carried / "SHA256SUMS").read_text().splitlines()
    held = {path.relative_to(carried).as_posix() for path in carried.rglob("*") if path.is_file()}
    assert held == {line[66:] for line in sums} | {"SHA256SUMS", "fetched.json"}
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=carried, check=False, capture_output=True)
    assert done.returncode == 0
    assert COMMIT in (carried / "fetched.json").read_text()
    if "llava" in name:
        whole = sum(path.stat().st_size for path in hub.repositories["llava-hf/llava-1.5-7b-hf"].folder.glob("model-*"))
        assert sent < whole
        assert [path.name for path in carried.glob("*.safetensors")] == [
            next(carried.glob("vision-????????.safetensors")).name
        ]
    cut(monkeypatch)
    found = features(stand_in(name, weights=carried, offline=True))
    assert found.keys() == expected.keys()
    for point, value in expected.items():
        np.testing.assert_allclose(found[point], value, rtol=0, atol=1e-6)


def test_a_whole_model_is_fetched_for_answers(hub: Hub, tmp_path: Path) -> None:
    fetch(["llava-1.5-7b"], tmp_path / "out", whole=True)
    folder = tmp_path / "out" / "llava-1.5-7b"
    there = {path.name for path in folder.iterdir()}
    source = hub.repositories["llava-hf/llava-1.5-7b-hf"].folder
    assert {path.name for path in source.glob("model*")} | {"tokenizer.json", "chat_template.json"} <= there
    stand_in("llava-1.5-7b", weights=folder)


def test_the_sizes_are_said_before_and_a_dry_run_fetches_no_weights(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["clip-b16", "llava-1.5-7b", "--out", str(out), "--dry-run"]) == DONE
    said = capsys.readouterr()
    assert not out.exists()
    assert hub.repositories["openai/clip-vit-base-patch16"].sent == 0
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"clip-b16: openai/clip-vit-base-patch16 at revision {COMMIT}: 5 files, ")
    assert " 1 file" not in lines[1]
    assert "vision-" in lines[1]
    assert said.out == ""


def test_each_file_is_a_line_and_what_is_there_is_not_fetched_again(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    names = ["clip-b16", "llava-1.5-7b"]
    assert main([*names, "--out", str(out)]) == DONE
    first = capsys.readouterr()
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in ("SHA256SUMS", "fetched.json")]
    assert len([line for line in first.err.splitlines() if ".json, " in line or ".safetensors, " in line]) >= len(files)
    assert f"clip-b16={out / 'clip-b16'}" in first.out
    assert "SHA-256 as the hub states" in first.err
    assert TOKEN not in first.err + first.out
    assert hub.tokens == {f"Bearer {TOKEN}"}
    sent = {repo: one.sent for repo, one in hub.repositories.items()}
    assert main([*names, "--out", str(out)]) == DONE
    assert capsys.readouterr().err.count("was there already") == len(files)
    again = {repo: one.sent for repo, one in hub.repositories.items()}
    assert again["openai/clip-vit-base-patch16"] == sent["openai/clip-vit-base-patch16"]
    headers = again["llava-hf/llava-1.5-7b-hf"] - sent["llava-hf/llava-1.5-7b-hf"]
    assert headers < sent["llava-hf/llava-1.5-7b-hf"] / 2  # what says where the tensors lie
    part = next((out / "llava-1.5-7b").glob("vision-*"))
    held = part.read_bytes()
    part.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    assert main(["llava-1.5-7b", "--out", str(out)]) == DONE
    assert capsys.readouterr().err.count("was there already") == len(list((out / "llava-1.5-7b").iterdir())) - 3
    assert part.read_bytes() == held


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["clip-b16", "llava-1.5-7b"])
def test_a_fetch_that_was_cut_goes_on(name: str, hub: Hub, tmp_path: Path) -> None:
    repository = hub.repositories[MADE[name][0]]
    repository.fault = "broken"
    found = fetch([name], tmp_path / "out")
    assert "could not be fetched" in found["failed"][name]
    assert not found["folders"]
    repository.fault = ""
    found = fetch([name], tmp_path / "out")
    stand_in(name, weights=found["folders"][name])
    assert not list((tmp_path / "out").rglob("*.incomplete"))


def test_bytes_with_another_hash_than_the_hub_states_are_not_kept(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi

    real = HfApi.repo_info

    def lying(self: Any, *args: Any, **options: Any) -> Any:
        info: Any = real(self, *args, **options)
        for one in info.siblings:
            if one.rfilename == "model.safetensors":
                one.lfs.sha256 = "f" * 64
        return info

    monkeypatch.setattr(HfApi, "repo_info", lying)
    found = fetch(["clip-b16"], tmp_path / "out")
    assert "model.safetensors came with another hash than the hub states" in found["failed"]["clip-b16"]
    assert not (tmp_path / "out" / "clip-b16" / "model.safetensors").exists()
    assert hub.asked


def test_a_newer_commit_replaces_what_an_older_one_brought(hub: Hub, tmp_path: Path) -> None:
    repository = hub.repositories["llava-hf/llava-1.5-7b-hf"]
    fetch(["llava-1.5-7b"], tmp_path / "out")
    before = stand_in("llava-1.5-7b", weights=tmp_path / "out" / "llava-1.5-7b").fingerprint
    folder = Path(shutil.copytree(repository.folder, tmp_path / "newer"))
    from safetensors.torch import load_file, save_file

    for file in folder.glob("model-*.safetensors"):
        state = load_file(file)
        save_file({k: v + 0.5 if "multi_modal" in k else v for k, v in state.items()}, file, metadata={"format": "pt"})
    repository.folder, repository.commit = folder, "d" * 40
    fetch(["llava-1.5-7b"], tmp_path / "out")
    assert stand_in("llava-1.5-7b", weights=tmp_path / "out" / "llava-1.5-7b").fingerprint != before


def test_one_that_cannot_be_had_costs_a_line_and_no_other(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["facebook/dinov2-base"].fault = "gated"
    out = str(tmp_path / "out")
    assert main(["dinov2-b14", "clip-b16", "pixels", "--out", out]) == PARTIAL
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "dinov2-b14: facebook/dinov2-base is gated: ask for access" in errors[0]
    assert "--weights" not in errors[0], "a local copy is what is being made"
    assert "phantom-clip" not in errors[0]
    assert "pixels ships with the project, or is a formula: there is nothing to fetch" in errors[1]
    assert (tmp_path / "out" / "clip-b16" / "model.safetensors").is_file()
    assert main(["medclip-vit", "--out", out]) == ENCODER
    assert "lies in no repository" in capsys.readouterr().err
    assert main(["clip-b61", "--out", out]) == USAGE
    assert "did you mean 'clip-b16'?" in capsys.readouterr().err
    assert main(["clip-b16", "--whole", "--out", out]) == ENCODER
    assert "clip-b16 has no language model" in capsys.readouterr().err
    assert main(["random:clip-b16", "--out", out]) == ENCODER
    assert "is untrained and needs no weights" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["clip-b16", "--out", str(tmp_path / "file")]) == USAGE
    assert "is a file; give a folder" in capsys.readouterr().err


def test_without_a_hub_the_line_says_where_to_fetch_and_no_flag_that_fetch_has_not(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.endpoint = "http://127.0.0.1:9"
    hub.set_client(monkeypatch.setattr, tmp_path / "other cache")
    line = fetch(["clip-b16"], tmp_path / "out")["failed"]["clip-b16"]
    assert line.startswith("clip-b16: openai/clip-vit-base-patch16 at revision main is not on this machine")
    assert line.endswith("fetch it where the hub can be reached, and carry its folder here")


def test_a_full_disk_is_said_before_a_byte_comes(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")(1, 1, 1000)
    monkeypatch.setattr("hub.wanted.shutil.disk_usage", lambda _: usage)
    found = fetch(["clip-b16"], tmp_path / "out")
    assert "bytes are to be fetched, and the disk has 1,000" in found["failed"]["clip-b16"]
    assert hub.repositories["openai/clip-vit-base-patch16"].sent == 0


def test_what_is_there_needs_no_room_and_a_damaged_text_comes_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    config = Path(fetch(["clip-b16"], tmp_path / "out")["folders"]["clip-b16"]) / "config.json"
    held = config.read_bytes()
    config.write_bytes(held[:-1] + b"?")
    usage = namedtuple("usage", "total used free")(1, 1, len(held))
    monkeypatch.setattr("hub.wanted.shutil.disk_usage", lambda _: usage)
    assert not fetch(["clip-b16"], tmp_path / "out")["failed"]
    assert config.read_bytes() == held
    assert hub.asked


def test_every_published_encoder_says_what_is_fetched_of_it() -> None:
    for name in encoders.names():
        card = encoders.card(name)
        if card.repo is None:
            with pytest.raises(EncoderError, match=r"nothing to fetch|no repository that can be pinned"):
                encoders.sources(name)
            continue
        repos = {one.repo for one in encoders.sources(name)}
        assert card.repo in repos
        assert all(one.revision == card.revision for one in encoders.sources(name) if one.repo == card.repo)


# a copy of the hub's own cache


def test_a_folder_of_the_hubs_cache_is_followed_to_its_snapshot(hub: Hub, tmp_path: Path) -> None:
    expected = stand_in("clip-b16").fingerprint
    stand_in("llava-1.5-7b")
    for name, model in (("clip-b16", "models--openai--clip-vit-base-patch16"),
                        ("llava-1.5-7b", "models--llava-hf--llava-1.5-7b-hf")):  # fmt: skip
        copied = Path(shutil.copytree(tmp_path / "cache" / model, tmp_path / "carried" / model, symlinks=True))
        found = stand_in(name, weights=copied)
        assert name != "clip-b16" or found.fingerprint == expected
    hub.repositories.clear()
    folder = tmp_path / "carried" / "models--openai--clip-vit-base-patch16"
    shutil.copytree(folder / "snapshots" / COMMIT, folder / "snapshots" / ("e" * 40), symlinks=True)
    stand_in("clip-b16", weights=folder)  # refs/main says which
    shutil.rmtree(folder / "refs")
    with pytest.raises(EncoderError, match=r"holds 2 snapshots .*; name one of them"):
        stand_in("clip-b16", weights=folder)
    shutil.rmtree(folder / "snapshots")
    with pytest.raises(EncoderError, match="holds no snapshot"):
        stand_in("clip-b16", weights=folder)


def test_links_that_lead_nowhere_are_named(hub: Hub, tmp_path: Path) -> None:
    stand_in("clip-b16")
    snapshot = tmp_path / "cache" / "models--openai--clip-vit-base-patch16" / "snapshots" / COMMIT
    copied = Path(shutil.copytree(snapshot, tmp_path / "carried", symlinks=True))
    with pytest.raises(
        EncoderError, match=r"\w+\.(json|safetensors) in .*carried is a link to .*blobs.* that leads nowhere"
    ) as caught:
        stand_in("clip-b16", weights=copied)
    assert "experiments.fetch" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert hub.asked


@pytest.mark.parametrize(
    ("spec", "named", "whole"),
    [("biomedclip", "biomedclip", False), ("random:clip-b16#2", "clip-b16", False), ("hf:a/b@c", "hf:a/b@c", False),
     ("llava-med", "llava-med --whole", True), ("path/to/mine.py", None, False)],
)  # fmt: skip
def test_weights_that_no_hub_gives_are_one_line_with_the_command_that_brings_them(
    spec: str, named: str | None, whole: bool
) -> None:
    from encoders._loading import as_encoder_error
    from hub.repository import Repository, unavailable

    away = unavailable(Repository(repo="a/b", revision="c"), "is not on this machine and the run is offline")
    with pytest.raises(EncoderError) as caught, as_encoder_error(spec, None, whole=whole):
        raise away
    said = str(caught.value)
    assert said.startswith("a/b at revision c is not on this machine and the run is offline: ")
    assert "hf download a/b --revision c" in said
    assert "--weights" in said
    assert ("experiments.fetch" in said) == (named is not None), "a user's own file fetches what it likes"
    assert named is None or f"`python -m experiments.fetch {named} --out DIR`" in said
    assert "\n" not in said


def test_what_a_repository_does_not_hold_is_one_line(hub: Hub) -> None:
    from hub.wanted import Wanted, planned

    with pytest.raises(HubError, match=r"holds no nothing\.bin") as caught:
        planned(Wanted(repo="facebook/dinov2-base", weights=("nothing.bin",)))
    assert "\n" not in str(caught.value)
    assert hub.asked


def test_the_command_is_quick_to_say_what_it_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.fetch", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--dry-run" in done.stdout
