"""The store is filled alike by whoever fills it: the same keys, the same bytes, nothing twice, nothing lost."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import slitlamp
from cache import Store
from cache.index import texts_of
from cache.shard import load
from cache.space import shard_paths
from encoders import points
from experiments._exit import DATA, DONE, USAGE
from experiments.extract import main
from slitlamp import UsageError
from slitlamp.encoding.images import AHEAD, ImageSet
from slitlamp.extraction.part import Part, part_of
from slitlamp.extraction.ray_engine import require_ray
from slitlamp.extraction.summaries import Summaries
from tasks import DataError, Picture
from tests import numpy_encoder
from tests.paths import ROOT

ENCODER = str(ROOT / "tests/numpy_encoder.py")
N = 60
DIES = '''
"""Block means; one process that asks for them is killed in its second batch, once."""
import os, signal, time
from pathlib import Path
from tests.numpy_encoder import CARD, features
import encoders

FILES = ()
calls = []

def dying(images):
    calls.append(1)
    mark = Path({mark!r})
    while os.environ.get("RANK") == "1" and not mark.exists() and not [*Path({store!r}).glob("features/*/shard-*.h5")]:
        time.sleep(0.05)  # until the other rank has closed its shard
    if os.environ.get("RANK") == "1" and len(calls) == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return features(images)

def load(device):
    return encoders.from_function(CARD, dying)
'''


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two sizes, one of which repeats another's pixels in another format."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    for i in range(N):
        image = Image.fromarray(rng.integers(0, 256, (32, 48 if i % 3 else 40), dtype=np.uint8))
        image.save(folder / f"{i:02d}.png")
        if i == 5:
            image.save(folder / "05-copy.bmp")  # beside it, so that one part holds both
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def held(root: Path) -> dict[tuple[str, str, str], bytes]:
    """Every row of a store by its space, content and name; that no content is held twice is checked on the way."""
    found: dict[tuple[str, str, str], bytes] = {}
    for folder in sorted((root / "features").iterdir()):
        for shard in map(load, shard_paths(folder)):
            for name, column in shard.columns.items():
                if "/" not in name:
                    continue
                rows = np.empty((shard.n, column.width), np.float32)
                shard.read(name, 0, rows)
                for content, row in zip(texts_of(shard.digests), rows, strict=True):
                    assert (folder.name, content, name) not in found, "stored twice"
                    found[folder.name, content, name] = row.tobytes()
    return found


def test_it_stores_what_a_probe_would_have_stored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"encoder": ENCODER, "task": "mirror", "items": 40}
    made = slitlamp.extract(**asked, controls=True)
    by_extract = held(home / "store")
    assert sum(row["encoded"] for row in made.table("encoded")) == 120
    small: dict[str, Any] = {"permutations": 99, "repeats": 1, "twins": 0, "jobs": 1}
    after = slitlamp.probe(**asked, **small)
    assert after.encoded == 0
    assert held(home / "store") == by_extract, "the probe adds nothing"
    monkeypatch.setenv("SLITLAMP_CACHE", str(home / "other"))
    assert slitlamp.probe(**asked, **small).encoded == 120
    assert held(home / "other") == by_extract


def test_shards_store_the_bytes_of_one_process_whatever_their_size(
    films: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = home / "films"
    some.mkdir()
    for path in sorted(films.iterdir())[:20]:  # with the copy, a batch that is not full for each shard
        (some / path.name).symlink_to(path)
    asked: dict[str, Any] = {"encoder": "phantom-clip", "data": some, "site": ["pooled", "block.1"], "batch_size": 8}
    whole = slitlamp.extract(**asked)
    assert whole.table("time")[0]["load"] > 0
    assert whole.table("encoded")[0] | {"bytes": 0, "points": 0} == {
        "images": "every image", "encoder": "phantom-clip", "pictures": 20, "encoded": 19, "known": 0,
        "unreadable": 0, "bytes": 0, "points": 0,
    }  # fmt: skip
    assert any("repeat the pixels" in sentence for sentence in whole.sentences)
    monkeypatch.setenv("SLITLAMP_CACHE", str(home / "shards"))
    counts = [slitlamp.extract(**asked, shard=f"{k}/3").table("encoded")[0]["encoded"] for k in (1, 2, 3)]
    assert min(counts) > 0
    assert sum(counts) == 19
    assert held(home / "shards") == held(home / "store")
    again = slitlamp.extract(**asked)
    assert (again.table("encoded")[0]["encoded"], again.table("encoded")[0]["known"]) == (0, 19)
    assert again.table("time")[0]["load"] == 0


def test_each_image_is_decoded_once_in_this_run_and_not_at_all_in_the_next(home: Path) -> None:
    del home
    reads: list[int] = []
    asked = _counted(reads, 40)
    assert _filled(asked).encoded == 40
    assert sorted(reads) == list(range(40))
    assert _filled(_counted(reads, 40)).known == 40
    assert len(reads) == 40
    assert _filled(_counted(reads, 50)).encoded == 10
    assert len(reads) == 50
    unnamed = _counted(reads, 50)
    unnamed.pictures = [Picture(read=picture.read) for picture in unnamed.pictures]
    found = _filled(unnamed)
    assert (found.encoded, found.known, len(reads)) == (0, 50, 100), "decoded to be known, and not encoded again"


def test_a_network_is_always_asked_for_a_full_batch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    sizes: list[int] = []

    def encode(network: Any, images: Any, wanted: Any, marks: Any) -> dict[str, np.ndarray]:
        del network, marks
        sizes.append(len(images))
        return {f"{site}/{readout}": np.full((len(images), WIDTHS[site, readout]), len(sizes), np.float32)
                for site, readouts in wanted.items() for readout in readouts}  # fmt: skip

    monkeypatch.setattr("slitlamp.encoding.fill.encoders.encode", encode)
    assert _filled(_counted([], 40), module="a network").encoded == 40
    assert sizes == [16, 16, 16]


def test_threads_decode_ahead_to_the_same_bytes_and_hold_few_images(home: Path) -> None:
    reads: list[int] = []
    _filled(_counted(reads, 100, Store(home / "plain")))
    one = _counted(reads, 100, Store(home / "threads"))
    stream, alive, most = one.stream(range(100), 2), 0, 0
    lock = threading.Lock()
    for picture in one.pictures:
        read = picture.read

        def counted(read: Any = read) -> np.ndarray:
            nonlocal alive, most
            with lock:
                alive += 1
                most = max(most, alive)
            return read()

        picture.read = counted
    for index, decoded in enumerate(stream):
        assert decoded.index == index
        with lock:
            alive -= 1
    assert 2 < most <= AHEAD * 2 + 1
    assert _filled(_counted(reads, 100, Store(home / "threads")), threads=2).encoded == 100
    assert held(home / "threads") == held(home / "plain")


def _counted(reads: list[int], n: int, store: Store | None = None) -> ImageSet:
    def read(i: int) -> np.ndarray:
        reads.append(i)
        return np.random.default_rng(i).integers(0, 256, (16, 16), dtype=np.uint8)

    pictures = [Picture(read=lambda i=i: read(i), identity=f"{i}") for i in range(n)]
    store = store or Store(Path(os.environ["SLITLAMP_CACHE"]))
    return ImageSet(pictures=pictures, names=[str(i) for i in range(n)], room=0, store=store)


WIDTHS = {(site, readout): width for site, readout, width in points(numpy_encoder.CARD)}


def _filled(pictures: ImageSet, module: Any = None, **more: Any) -> Any:
    from slitlamp.encoding.encoder import stored_encoders
    from slitlamp.encoding.fill import fill
    from slitlamp.settings import EncoderSettings

    (encoder,) = stored_encoders(EncoderSettings(encoder=(ENCODER,)), pictures.store)
    if module is not None:
        encoder.loaded.append(replace(encoder.load(), module=module))
        del encoder.loaded[0]
    return fill(encoder, pictures, encoder.points(), {}, **more)


def test_what_is_unreadable_is_left_out_said_and_limited(
    films: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home / "films"
    folder.mkdir()
    for path in films.glob("*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    torn = (folder / "07.png").read_bytes()[:400]  # its head is sound, so that only decoding tells
    (folder / "07.png").write_bytes(torn)
    words = ["--encoder", ENCODER, "--data", str(folder), "--json"]
    assert main(words) == DONE
    out, err = capsys.readouterr()
    assert json.loads(out)["tables"]["encoded"][0] | {"bytes": 0, "points": 0} == {
        "images": "every image", "encoder": "blocks", "pictures": N, "encoded": N - 1, "known": 0, "unreadable": 1,
        "bytes": 0, "points": 0,
    }  # fmt: skip
    assert "unreadable, left out: " in err
    assert "07.png: cannot be decoded" in err
    assert main(["--encoder", ENCODER, "--data", str(folder), "--dry-run", "--json"]) == DONE
    (planned,) = json.loads(capsys.readouterr().out)["tables"]["plan"]
    assert planned["pictures"] == N, "what listing found unreadable is a picture too, in the plan as in the run"
    assert main([*words, "--shard", "1/6"]) == DONE, "the limit is a share of all images, not of a shard's"
    capsys.readouterr()
    for k in range(10, 20):
        (folder / f"{k}.png").write_bytes(torn + bytes([k]))
    assert main([*words, "--limit", "40"]) == DATA
    assert "cannot be read (--unreadable 0.05 accepts" in capsys.readouterr().err


def test_dry_run_decodes_nothing_and_says_what_a_run_would_take(
    films: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {"encoder": ENCODER, "data": films}
    words = ["--encoder", ENCODER, "--data", str(films), "--dry-run"]
    with monkeypatch.context() as patched:
        patched.setattr("slitlamp.encoding.images.ImageSet.read", lambda *_: pytest.fail("decoded"))
        assert main(words) == DONE
    assert not (home / "store" / "features").exists()
    slitlamp.extract(**asked, shard="1/2")
    capsys.readouterr()
    assert main([*words, "--json"]) == DONE
    (row,) = json.loads(capsys.readouterr().out)["tables"]["plan"]
    assert (row["pictures"], row["to_encode"]) == (N + 1, 29)
    assert row["seconds"] is not None
    assert row["bytes"] == 2 * 29 * 142


@pytest.mark.parametrize(
    ("words", "environ", "line"),
    [
        (["--shards", "1/2"], {}, "did you mean --shard?"),
        (["--shard", "3/2"], {}, "--shard 3/2: give which of how many"),
        (["--actors", "2"], {}, "--actors 2 has nothing to act on without --engine ray"),
        (["--engine", "ray", "--shard", "1/2"], {}, "nothing to act on with --engine ray"),
        (["--threads", "-1"], {}, "--threads -1: must be at least 0"),
        ([], {"RANK": "0"}, "RANK is set and WORLD_SIZE is not: torchrun sets all of"),
        ([], {"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK=2 and WORLD_SIZE=2"),
        ([], {"RANK": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK='x' is no whole number"),
    ],
)
def test_what_does_not_fit_is_one_line(
    words: list[str], environ: dict[str, str], line: str, home: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    del home
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(words) == USAGE
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1


def test_parts_hold_every_image_once() -> None:
    for total in (0, 1, 5, 61, 1000):
        for of in (1, 2, 3, 8):
            parts = [Part(index=k, of=of).places(total) for k in range(of)]
            assert sorted(place for part in parts for place in part) == list(range(total))
            assert max(map(len, parts)) - min(map(len, parts)) <= 16
    two = part_of("2/3", {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"})
    assert (two.index, two.of, two.rank, two.local) == (5, 12, 1, 1)


def test_a_rank_without_a_summary_is_named_and_an_old_one_is_not_taken_for_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slitlamp.extraction.summaries.PATIENCE", 0.2)
    monkeypatch.setattr("slitlamp.extraction.summaries.LOOK", 0.05)
    store = Store(home / "store")
    parts = [Part(index=k, of=3, rank=k, world=3) for k in range(3)]
    Summaries(store, "line", parts[1]).leave([{"rank": 1}], finished=True)
    old = Summaries(store, "line", parts[2])
    old.leave([{"rank": 2}], finished=True)
    path = old.folder / "rank-2.json"
    told = json.loads(path.read_text())
    for change in ({"at": 0.0}, {"attempt": "1"}):
        path.write_text(json.dumps(told | change))
        assert old._read(2) is None
    rows, missing = Summaries(store, "line", parts[0]).of_all([{"rank": 0}])
    assert [row["rank"] for row in rows] == [0, 1]
    assert missing == ["rank 2 left no summary: its images may lack; give the same line again"]


def test_ranks_of_torchrun_share_the_work_and_one_that_is_killed_comes_back(
    films: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = home / "dies.py"
    encoder.write_text(DIES.format(mark=str(home / "mark"), store=str(home / "store")))
    words = ["--encoder", str(encoder), "--data", str(films), "--batch-size", "8", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1",
         "-m", "experiments.extract", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (home / "mark").exists()
    document = json.loads(done.stdout)
    (row,) = document["tables"]["encoded"]
    assert (row["pictures"], row["encoded"] + row["known"], row["unreadable"]) == (N + 1, N, 0)
    assert row["known"] > 0, "what the rank that lived had stored before is not encoded again"
    assert [one["rank"] for one in document["tables"]["time"]] == [0, 1]
    ours = [line for line in done.stderr.splitlines() if "blocks: " in line and "images/s" in line]
    assert ours
    assert all(line.startswith("[rank ") for line in ours)
    several = held(home / "store")
    monkeypatch.setenv("SLITLAMP_CACHE", str(home / "alone"))
    assert main(words) == DONE
    assert held(home / "alone") == several
    assert list((home / "store" / "extract").iterdir()) == []


RAY = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: ./uv sync --extra ray")


@RAY
def test_ray_stores_the_bytes_of_one_process_and_leaves_out_what_cannot_be_read(
    films: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "films"
    folder.mkdir()
    for path in films.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "07.png").write_bytes((folder / "07.png").read_bytes()[:400])
    words = ["--encoder", ENCODER, "--data", str(folder), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.extract", *words, "--engine", "ray"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == DONE, done.stderr
    tables = json.loads(done.stdout)["tables"]
    assert [tables["encoded"][0][name] for name in ("pictures", "encoded", "unreadable")] == [N + 1, N - 1, 1]
    assert tables["time"][0]["workers"] >= 2
    assert tables["time"][0]["largest_worker_mb"] > 10
    monkeypatch.setenv("SLITLAMP_CACHE", str(home / "alone"))
    assert main(words) == DONE
    assert held(home / "alone") == held(home / "store")


DRIVER = """
import json, sys, threading, time
from pathlib import Path
import slitlamp
from slitlamp.extraction import ray_engine

encoder, films, store, nodes = sys.argv[1:]
ray_engine.STORED, ray_engine.DECODED, address = 8, 4, None
if nodes == "2":
    from ray.cluster_utils import Cluster
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 5, "include_dashboard": False})
    second, address = cluster.add_node(num_cpus=2), cluster.address
    def remove():
        while not [*Path(store).glob("features/*/shard-*.h5")]:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)
        Path(store, "removed").touch()
    threading.Thread(target=remove, daemon=True).start()
made = slitlamp.extract(encoder, data=films, engine="ray", actors=2, address=address)
print(json.dumps(made.table("encoded")))
"""
SLOW = '''
"""Block means, slowly; the first actor that asks for a second batch is killed, once."""
import os, signal, sys, time
from pathlib import Path
from tests.numpy_encoder import CARD, features
import encoders

FILES = ()
calls = []

def slow(images):
    calls.append(1)
    mark = Path({mark!r})
    if len(calls) == 2 and not mark.exists() and "worker" in sys.argv[0]:  # no driver
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    return features(images)

def load(device):
    return encoders.from_function(CARD, slow)
'''


@RAY
def test_ray_goes_on_where_an_actor_and_a_node_die_and_the_line_again_where_the_driver_does(
    films: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, store, alone = home / "slow.py", home / "store", home / "alone"
    encoder.write_text(SLOW.format(mark=str(home / "mark")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")
    line = [sys.executable, "-c", DRIVER, str(encoder), str(films), str(store)]
    driver = subprocess.Popen([*line, "1"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not [*store.glob("features/*/shard-*.h5")]:
        assert driver.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    assert (home / "mark").exists(), "an actor was killed"
    some = held(store)
    assert 0 < len({content for _, content, _ in some}) < N
    (home / "mark").unlink()
    done = subprocess.run([*line, "2"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (home / "mark").exists(), "an actor was killed"
    assert (store / "removed").exists(), "a node was removed"
    (row,) = json.loads(done.stdout.splitlines()[-1])
    assert (row["pictures"], row["encoded"] + row["known"], row["unreadable"]) == (N + 1, N, 0)
    assert row["known"] > 0
    several = held(store)
    assert several.items() >= some.items()
    monkeypatch.setenv("SLITLAMP_CACHE", str(alone))
    slitlamp.extract(str(encoder), data=films)
    assert held(alone) == several


def test_without_ray_one_line_says_how_to_install_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del home
    monkeypatch.setattr("slitlamp.extraction.ray_engine.find_spec", lambda _: None)
    assert main(["--engine", "ray"]) == USAGE
    assert "--engine ray needs Ray: pip install 'ray[data]" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr("slitlamp.extraction.ray_engine.find_spec", lambda _: True)
    with pytest.raises(UsageError, match="start it once, without torchrun"):
        require_ray(Part(world=2, of=2))


def test_an_image_that_only_a_second_encoder_cannot_take_costs_that_encoder_alone(films: Path, home: Path) -> None:
    bad = home / "bad.py"
    bad.write_text(
        "import encoders, numpy as np\nFILES = ()\n"
        "CARD = encoders.Card(name='bad', licence='MIT', sites={'pooled': encoders.Site(width=1)})\n"
        "def f(images): return {'pooled': np.full((len(images), 1), np.nan)}\n"
        "def load(device): return encoders.from_function(CARD, f)\n"
    )
    made = slitlamp.extract([ENCODER, str(bad)], data=films)
    assert [row["encoder"] for row in made.table("encoded")] == ["blocks"]
    assert len(made.failed) == 1
    assert "bad gives NaN" in made.failed[0]
    with pytest.raises(DataError, match="gives NaN"):
        slitlamp.extract(str(bad), data=films)
    with pytest.raises(UsageError, match="no argument 'shards'; did you mean"):
        slitlamp.extract(ENCODER, shards="1/2")
