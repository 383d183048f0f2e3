"""Only what is needed is fetched: the wanted tensors and no others, whatever the hub or the disk does meanwhile."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hub import files as used
from hub import partial, ranges
from hub.errors import HubError
from hub.partial import layout
from hub.safetensors_header import SIZES, Entry, header
from hub.snapshots import snapshot
from hub.tensors import fetch, files_read, tensors
from tests.hub_server import Hub, Repository, serving
from tests.paths import ROOT

REPO, COMMIT = "some/model", "c" * 40
PIECE = 4096
KINDS = {"F16": torch.float16, "F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64, "U8": torch.uint8}


def wanted(name: str) -> bool:
    return name.startswith("vision")


def everything() -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    state = {f"lm.{i}": torch.randn((100, 50), generator=rng).half() for i in range(8)}
    state |= {f"vision.{i}.weight": torch.randn((60, 50), generator=rng).half() for i in range(8)}
    state |= {"vision.odd": torch.arange(7, dtype=torch.uint8), "vision.wide": torch.randn(33, generator=rng)}
    state |= {"vision.brain": torch.randn((3, 5), generator=rng).bfloat16(), "vision.one": torch.tensor(3)}
    return state | {"vision.none": torch.zeros((0, 4))}


def sharded(folder: Path) -> dict[str, torch.Tensor]:
    """Four shards; the first and the last hold nothing that is wanted."""
    from safetensors.torch import save_file

    folder.mkdir()
    state = everything()
    language, vision = [n for n in state if not wanted(n)], [n for n in state if wanted(n)]
    parts = [language[:3], [*vision[:5], language[3]], [language[4], *vision[5:]], language[5:]]
    index = {}
    for i, names in enumerate(parts, 1):
        file = f"model-{i:05d}-of-00004.safetensors"
        save_file({name: state[name] for name in names}, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "config.json").write_text("{}")
    return state


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    sharded(tmp_path / "shelf")
    monkeypatch.setattr(partial, "PIECE", PIECE)
    monkeypatch.setattr(ranges, "PAUSE", 0.001)
    return Repository(folder=tmp_path / "shelf", commit=COMMIT)


@pytest.fixture
def hub(shelf: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub(repositories={REPO: shelf})) as running:
        running.set_client(monkeypatch.setattr, tmp_path / "hub")
        yield running


def get(offline: bool = False, keep: Any = wanted) -> tuple[Path, str]:
    return fetch(REPO, COMMIT, keep, ["config.json"], offline=offline)


def equal(folder: Path, keep: Any = wanted) -> None:
    """What is read is bit for bit what is published."""
    found = tensors(folder, keep)
    due = {name: value for name, value in everything().items() if keep(name)}
    assert found.keys() == due.keys()
    for name, value in due.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


def left_over(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "hub").rglob("*") if p.suffix in (".incomplete", ".journal"))


def size() -> int:
    return sum(v.numel() * v.element_size() for n, v in everything().items() if wanted(n))


def headers(shelf: Repository, *shards: int) -> int:
    files = [shelf.folder / f"model-{i:05d}-of-00004.safetensors" for i in shards]
    return sum(8 + int.from_bytes(file.read_bytes()[:8], "little") for file in files)


@pytest.mark.usefixtures("hub")
def test_exactly_the_wanted_tensors_are_fetched(shelf: Repository, tmp_path: Path) -> None:
    from safetensors import safe_open

    folder, commit = get()
    assert commit == COMMIT == folder.name
    equal(folder)
    file = next(folder.glob("vision-*.safetensors"))
    assert [p.name for p in folder.glob("*.safetensors")] == [file.name]
    with safe_open(file, "pt") as opened:
        assert set(opened.keys()) == {name for name in everything() if wanted(name)}
        assert opened.metadata()["format"] == "pt"
    assert (folder / "config.json").exists()
    assert left_over(tmp_path) == []
    assert shelf.sent == size() + headers(shelf, 2, 3)


def test_shards_without_a_wanted_tensor_are_never_asked_for(hub: Hub) -> None:
    get()
    assert not any("00001-of" in path or "00004-of" in path for path in hub.asked)


def test_what_is_here_is_used_without_the_network(hub: Hub) -> None:
    folder, _ = fetch(REPO, None, wanted, ["config.json"])
    hub.asked.clear()
    assert fetch(REPO, None, wanted, ["config.json"], offline=True) == (folder, COMMIT)
    assert get(offline=True) == (folder, COMMIT)
    assert get(keep=lambda name: name.startswith("vision.3")) == (folder, COMMIT)
    equal(folder, lambda name: name.startswith("vision.3"))
    assert hub.asked == []


@pytest.mark.usefixtures("hub")
def test_another_set_of_tensors_lies_beside_the_first() -> None:
    def more(name: str) -> bool:
        return wanted(name) or name == "lm.3"

    get()
    folder, _ = get(keep=more)
    assert len(list(folder.glob("vision-*.safetensors"))) == 2
    equal(folder, more)
    equal(folder)


def test_a_whole_copy_in_the_cache_is_used(hub: Hub) -> None:
    folder, _ = snapshot(REPO, COMMIT, weights=("config.json",), needed=(), others=("*",))
    hub.asked.clear()
    assert get() == (folder, COMMIT)
    assert hub.asked == []
    assert not list(folder.glob("vision-*"))
    equal(folder)


@pytest.mark.usefixtures("hub")
def test_a_single_file_is_fetched_in_part_too(shelf: Repository) -> None:
    from safetensors.torch import save_file

    for path in shelf.folder.glob("model*"):
        path.unlink()
    save_file(everything(), shelf.folder / "model.safetensors")
    folder, _ = get()
    equal(folder)
    assert shelf.sent < 0.6 * (shelf.folder / "model.safetensors").stat().st_size


@pytest.mark.parametrize("form", ["pytorch_model.bin", "shards"])
@pytest.mark.usefixtures("hub")
def test_weights_of_torch_come_as_the_files_that_hold_any(form: str, shelf: Repository) -> None:
    from safetensors.torch import load_file

    for path in sorted(shelf.folder.glob("model-*")):
        torch.save(load_file(path), shelf.folder / f"pytorch_{path.stem}.bin")
        path.unlink()
    index = shelf.folder / "model.safetensors.index.json"
    if form == "shards":
        told = index.read_text().replace("model-0", "pytorch_model-0").replace(".safetensors", ".bin")
        (shelf.folder / "pytorch_model.bin.index.json").write_text(told)
    else:
        torch.save(everything(), shelf.folder / form)
    index.unlink()
    folder, _ = get()
    assert len(list(folder.glob("*.bin"))) == (2 if form == "shards" else 1)
    equal(folder)


@pytest.mark.parametrize("fault", ["cut", "short", "beside", "busy", "broken", "slow"])
@pytest.mark.usefixtures("hub")
def test_a_fault_that_ends_is_waited_for(fault: str, shelf: Repository, tmp_path: Path) -> None:
    shelf.fault, shelf.times = fault, 5
    folder, _ = get()
    equal(folder)
    assert left_over(tmp_path) == []
    if fault in ("cut", "busy", "broken"):  # what arrived before the cut is not asked for again
        assert shelf.sent == size() + headers(shelf, 2, 3)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("cut", "stopped at byte"),
        ("short", "a range of .* bytes comes as"),
        ("beside", "asked for bytes .* told bytes"),
        ("busy", "the hub answers 429"),
        ("broken", "the hub answers 503"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_a_fault_that_stays_is_one_line_and_no_weights(
    fault: str, said: str, shelf: Repository, tmp_path: Path
) -> None:
    shelf.fault = fault
    with pytest.raises(HubError, match=said) as caught:
        get()
    assert "\n" not in str(caught.value)
    assert f"hf download {REPO} --revision {COMMIT}" in str(caught.value)
    assert not list((tmp_path / "hub").rglob("vision-*.safetensors"))


@pytest.mark.usefixtures("hub")
def test_a_hub_that_asks_for_more_patience_than_there_is_gets_none(shelf: Repository) -> None:
    shelf.fault, shelf.retry_after = "busy", "86400"
    start = time.monotonic()
    with pytest.raises(HubError, match="429"):
        get()
    assert time.monotonic() - start < 3


@pytest.mark.usefixtures("hub")
def test_the_pause_that_the_hub_asks_for_is_kept(shelf: Repository) -> None:
    shelf.fault, shelf.times, shelf.retry_after = "busy", 1, "1"
    start = time.monotonic()
    equal(get()[0])
    assert time.monotonic() - start > 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("gated", f"is gated: ask for access at http.*/{REPO}"),
        ("gated-401", f"is gated: ask for access at http.*/{REPO}"),
        ("forbidden", rf"refuses .*\(403\): visit http.*/{REPO}"),
        ("absent", "does not exist at http"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_a_refusal_is_one_line_with_the_page_to_visit(fault: str, said: str, shelf: Repository, tmp_path: Path) -> None:
    shelf.fault = fault
    with pytest.raises(HubError, match=said) as caught:
        get()
    assert "\n" not in str(caught.value)
    assert "--weights PATH" in str(caught.value)
    assert left_over(tmp_path) == []


def test_a_server_without_ranges_gives_only_the_shards_that_matter(hub: Hub, shelf: Repository, tmp_path: Path) -> None:
    shelf.fault = "range-refused"
    folder, _ = get()
    assert [p.name for p in sorted(folder.glob("*.safetensors"))] == [
        "model-00002-of-00004.safetensors",
        "model-00003-of-00004.safetensors",
    ]
    assert not any("00001-of" in path for path in hub.asked)
    assert left_over(tmp_path) == []
    equal(folder)
    assert get(offline=True) == (folder, COMMIT)


def test_the_token_stays_with_the_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.cdn = True
    equal(get()[0])
    assert hub.tokens == {"Bearer hf_secret"}
    assert any(path.startswith("/cdn/") for path in hub.asked)
    assert hub.leaked == []


CHILD = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
from hub import partial, ranges
from hub.tensors import fetch
from huggingface_hub import constants
partial.PIECE, ranges.PAUSE = {piece}, 0.001
constants.ENDPOINT = "{endpoint}"
constants.HUGGINGFACE_CO_URL_TEMPLATE = "{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
constants.HF_HUB_CACHE = "{cache}"
print(fetch("{repo}", "{commit}", lambda name: name.startswith("vision"), ["config.json"])[0])
"""


def child(hub: Hub, cache: Path) -> "subprocess.Popen[str]":
    code = CHILD.format(piece=PIECE, endpoint=hub.endpoint, cache=cache, repo=REPO, commit=COMMIT)
    root = ROOT
    return subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)


def test_a_killed_fetch_goes_on_where_it_stopped(
    hub: Hub, shelf: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finished() -> set[int]:
        return {int(n) for p in (tmp_path / "hub").rglob("*.journal") for n in p.read_text().split()[1:]}

    shelf.fault, shelf.pause = "slow", 0.4
    process = child(hub, tmp_path / "hub")
    end = time.monotonic() + 20
    while len(finished()) < 3 and time.monotonic() < end and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert [name.partition(".")[2] for name in left_over(tmp_path)] == ["safetensors.incomplete", "safetensors.journal"]
    with pytest.raises(HubError, match=r"only in part \(wanting: .*half fetched.*the run is offline"):
        get(offline=True)
    done, bring, missing = finished(), partial._download_pieces, []
    assert len(done) >= 3

    def watched(place: Any, heads: Any, pieces: Any, ready: set[int], *rest: Any) -> None:
        assert ready == done
        missing.extend(piece.length for i, piece in enumerate(pieces) if i not in done)
        bring(place, heads, pieces, ready, *rest)

    monkeypatch.setattr(partial, "_download_pieces", watched)
    hub.repositories[REPO] = fresh = Repository(folder=shelf.folder, commit=COMMIT)
    equal(get()[0])
    assert left_over(tmp_path) == []
    assert missing
    assert fresh.sent == sum(missing) + headers(shelf, 2, 3)


def test_an_interrupted_fetch_ends_at_once_and_can_go_on(hub: Hub, shelf: Repository, tmp_path: Path) -> None:
    shelf.fault, shelf.pause = "slow", 1.5
    process = child(hub, tmp_path / "hub")
    end = time.monotonic() + 20
    while not list((tmp_path / "hub").rglob("*.journal")) and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    process.communicate()
    assert time.monotonic() - start < 5
    assert process.returncode != 0
    assert len(left_over(tmp_path)) == 2
    shelf.fault = ""
    equal(get()[0])


def test_two_processes_fetch_once(hub: Hub, shelf: Repository, tmp_path: Path) -> None:
    shelf.fault = "slow"
    both = [child(hub, tmp_path / "hub") for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    equal(Path(said[0]))
    assert shelf.sent <= size() + 2 * headers(shelf, 2, 3)


@pytest.mark.usefixtures("hub")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HubError, match="the disk is full while some/model") as caught:
        get()
    assert "\n" not in str(caught.value)
    assert left_over(tmp_path) == []
    assert not list((tmp_path / "hub").rglob("vision-*"))


@pytest.mark.usefixtures("hub")
def test_a_journal_of_another_plan_is_not_believed() -> None:
    folder, _ = get()
    file = next(folder.glob("vision-*"))
    part, journal = (file.with_name(file.name + end) for end in (".incomplete", ".journal"))
    part.write_bytes(bytes(file.stat().st_size))
    file.unlink()
    journal.write_text("f" * 64 + "\n0\n1\n2\n3\n")
    equal(get()[0])


@pytest.mark.usefixtures("hub")
def test_half_a_line_of_a_journal_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = get()
    file = next(folder.glob("vision-*"))
    plan: list[str] = []
    monkeypatch.setattr(partial, "_download_pieces", lambda *given: plan.append(given[-1].read_text()) or 1 / 0)
    file.unlink()
    with pytest.raises(HubError, match="ZeroDivisionError"):
        get()
    monkeypatch.undo()
    part, journal = (file.with_name(file.name + end) for end in (".incomplete", ".journal"))
    part.write_bytes(b"\0" * part.stat().st_size)
    assert partial._finished_pieces(part, journal, plan[0].strip(), part.stat().st_size) == set()
    journal.write_text(plan[0] + "1\n12")
    assert partial._finished_pieces(part, journal, plan[0].strip(), part.stat().st_size) == {1}
    assert partial._finished_pieces(part, journal, plan[0].strip(), part.stat().st_size + 1) == set()


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + length])
    name = "vision.0.weight"
    if how == "truncated":
        path.write_bytes(data[:-1000])
        return
    if how == "a length that cannot be":
        path.write_bytes((1 << 60).to_bytes(8, "little") + data[8:])
        return
    if how == "a flipped bit":
        path.write_bytes(data[:8] + bytes([data[8] ^ 1]) + data[9:])
        return
    if how == "another shape":
        table[name]["shape"] = [60, 49]
    if how == "another type":
        table[name]["dtype"] = "F32"
    if how == "an unknown type":
        table[name]["dtype"] = "F4"
    if how == "no such tensor":
        table[name + "x"] = table.pop(name)
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


DAMAGE = {
    "truncated": "is not a complete weight file: tensor .* ends at byte",
    "a length that cannot be": "is not a complete weight file",
    "a flipped bit": "has a header that cannot be read",
    "another shape": r"vision\.0\.weight .* has 6000 bytes where its shape \[60, 49\] of F16 has 5880",
    "another type": r"has 6000 bytes where its shape \[60, 50\] of F32 has 12000",
    "an unknown type": r"vision\.0\.weight .* is of type F4",
    "no such tensor": r"lack 1 tensor \(vision\.0\.weight\)",
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.usefixtures("hub")
def test_a_damaged_shard_is_named_before_its_tensors_are_fetched(how: str, shelf: Repository, tmp_path: Path) -> None:
    damage(shelf.folder / "model-00002-of-00004.safetensors", how)
    with pytest.raises(HubError, match=DAMAGE[how]) as caught:
        get()
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "hub").rglob("vision-*"))


@pytest.mark.parametrize("how", ["truncated", "a flipped bit", "no such tensor"])
def test_a_damaged_local_shard_is_one_line(how: str, shelf: Repository) -> None:
    damage(shelf.folder / "model-00002-of-00004.safetensors", how)
    with pytest.raises(HubError, match=r"model-00002-of-00004.safetensors") as caught:
        tensors(shelf.folder, wanted)
    assert "\n" not in str(caught.value)


def test_a_missing_shard_matters_only_if_a_wanted_tensor_lies_in_it(shelf: Repository) -> None:
    (shelf.folder / "model-00001-of-00004.safetensors").unlink()
    equal(shelf.folder)
    (shelf.folder / "model-00003-of-00004.safetensors").unlink()
    with pytest.raises(HubError, match=r"has no model-00003.*places vision\.5\.weight and 7 more"):
        tensors(shelf.folder, wanted)


def test_a_folder_of_something_else_is_said_to_be_so(shelf: Repository, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="holds no tensor of those that are read"):
        tensors(shelf.folder, lambda name: name == "visual")
    (tmp_path / "empty").mkdir()
    with pytest.raises(HubError, match=r"has none of model.safetensors"):
        tensors(tmp_path / "empty", wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"weight_map": {"a": "x', "is cut short or no JSON: delete it and fetch it again"),
        ("[1, 2]", "is no index of weights: its 'weight_map' must name a file for every tensor"),
        ('{"metadata": {}}', "is no index of weights"),
        ('{"weight_map": {"a": 3}}', "is no index of weights"),
    ],
)
def test_a_broken_index_is_told_in_words(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "model.safetensors.index.json"
    file.write_text(text)
    for read in (used.shards_of, lambda path: used.weights(path.parent)):
        with pytest.raises(HubError, match=message):
            read(file)


def test_an_index_cannot_lead_out_of_its_folder(shelf: Repository) -> None:
    index = shelf.folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00002", "../model-00002"))
    with pytest.raises(HubError, match="which is no file beside it"):
        tensors(shelf.folder, wanted)


def test_a_variant_of_a_model_shares_files_of_a_folder_beside_it(shelf: Repository, tmp_path: Path) -> None:
    """Variants that differ in part share the rest; further away an index leads nowhere, and a hub is not asked so."""
    import shutil

    index = "model.safetensors.index.json"
    whole = tensors(shelf.folder, wanted)
    other, variant = tmp_path / "other", tmp_path / "variant"
    shutil.copytree(shelf.folder, other)
    variant.mkdir()
    placed = {name: f"../other/{file}" for name, file in used.shards_of(other / index).items()}
    (variant / index).write_text(json.dumps({"weight_map": placed}))
    read = tensors(variant, wanted)
    assert read.keys() == whole.keys()
    assert all(torch.equal(read[name], value) for name, value in whole.items())
    assert all(file.parent == other for file in files_read(variant, wanted) if file.name != index)
    for away in ("../../other/", "../", "/other/", "../other/deeper/", "../.hidden/"):
        text = (variant / index).read_text()
        (variant / index).write_text(text.replace("../other/", away))
        with pytest.raises(HubError, match="which is no file beside it"):
            tensors(variant, wanted)
        (variant / index).write_text(text)


@pytest.mark.usefixtures("hub")
def test_a_repository_without_weights_or_with_a_file_missing_is_named(shelf: Repository) -> None:
    with pytest.raises(HubError, match=r"holds no preprocessor_config.json; name a revision"):
        fetch(REPO, COMMIT, wanted, ["preprocessor_config.json"])
    (shelf.folder / "model.safetensors.index.json").unlink()
    with pytest.raises(HubError, match=r"holds no model.safetensors or "):
        get()
    assert shelf.sent == 0


def test_offline_with_nothing_here_never_asks(hub: Hub) -> None:
    with pytest.raises(HubError, match=r"is not on this machine and the run is offline: run `hf download"):
        get(offline=True)
    assert hub.asked == []


def test_any_choice_of_tensors_makes_a_file_that_the_library_reads(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    rng = np.random.default_rng(0)
    for trial in range(30):
        state = {}
        for i in range(rng.integers(1, 12)):
            kind = rng.choice(sorted(KINDS))
            shape = tuple(rng.integers(0, 6, rng.integers(0, 4)))
            state[f"t{i}"] = torch.from_numpy(rng.integers(0, 99, shape)).to(KINDS[kind])
        source = tmp_path / "source.safetensors"
        save_file(state, source)
        data = source.read_bytes()
        told = header("source", lambda start, stop, data=data: (data[start:stop], len(data)))
        kept = [e for e in told.entries.values() if rng.random() < 0.6]
        head, pieces = layout(kept, [])
        out = bytearray(head)
        for piece in pieces:
            assert piece.target == len(out)
            out += data[piece.start : piece.start + piece.length]
        (tmp_path / "made.safetensors").write_bytes(out)
        table = json.loads(head[8:])
        assert all(table[e.name]["data_offsets"][0] % SIZES[e.dtype] == 0 for e in kept), "every tensor is aligned"
        found = load_file(tmp_path / "made.safetensors")
        assert found.keys() == {e.name for e in kept}, trial
        assert all(torch.equal(found[name], state[name]) for name in found)


def test_neighbours_are_one_request_and_long_runs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(name: str, start: int, count: int) -> Entry:
        return Entry(file="f", name=name, dtype="U8", shape=(count,), start=start, stop=start + count)

    monkeypatch.setattr(partial, "PIECE", 100)
    other = replace(entry("d", 205, 7), file="g")
    _, pieces = layout([entry("a", 10, 60), entry("b", 70, 60), entry("c", 200, 5), other], [])
    assert [(p.file, p.start, p.length) for p in pieces] == [
        ("f", 10, 100), ("f", 110, 20), ("f", 200, 5), ("g", 205, 7)
    ]  # fmt: skip


def test_a_transfer_that_brings_something_each_time_is_not_given_up(
    hub: Hub, shelf: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shelf.folder / "model-00002-of-00004.safetensors"
    monkeypatch.setattr(ranges, "TRIES", 3)
    shelf.fault, shelf.times = "cut", 6
    got = bytearray()

    def sink(at: int, chunk: bytes) -> None:
        assert at == 100 + len(got)
        got.extend(chunk)

    url = f"{hub.endpoint}/{REPO}/resolve/{COMMIT}/{file.name}"
    assert ranges.read_range(url, 100, 4196, sink, threading.Event()) == file.stat().st_size
    assert got == file.read_bytes()[100:4196]
    assert (shelf.sent, shelf.answers) == (4096, 7)


@pytest.mark.usefixtures("hub")
def test_a_file_that_changes_its_length_meanwhile_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hub import tensors as parts

    remote = parts.remote
    monkeypatch.setattr(parts, "remote", lambda *what: replace(remote(*what), size=12))
    with pytest.raises(HubError, match=r"model-0000.-of-00004.safetensors has .* bytes, and had 12 before"):
        get()
    assert not list((tmp_path / "hub").rglob("vision-*.safetensors"))


def test_a_dataset_is_a_repository_too(hub: Hub, shelf: Repository) -> None:
    hub.repositories["datasets/axiong/pmc_oa"] = Repository(folder=shelf.folder, commit="d" * 40)
    for offline in (False, True):
        folder, commit = snapshot(
            "axiong/pmc_oa", None, weights=("config.json",), needed=(), repo_type="dataset", offline=offline
        )
        assert (commit, folder.parent.parent.name) == ("d" * 40, "datasets--axiong--pmc_oa")
    hub.repositories["datasets/axiong/pmc_oa"].fault = "forbidden"
    with pytest.raises(HubError, match=r"visit http.*/datasets/axiong/pmc_oa"):
        snapshot("axiong/pmc_oa", "e" * 40, weights=("config.json",), needed=(), repo_type="dataset")
