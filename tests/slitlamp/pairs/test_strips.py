"""Mined pairs on disk: the same file whoever mined which strip, killed or not, and a cap that is counted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from probes.pairs import mining
from probes.pairs.mining import Box, Filter, Miner, at_quantile, cosine_space
from slitlamp.pairs import strips
from slitlamp.pairs.strips import mine_to_file
from tests.paths import ROOT


def miner(n: int = 600, copies: int = 1, share: float = 0.98) -> Miner:
    rng = np.random.default_rng(n)
    x, y = (np.repeat(rng.normal(size=(n, 24)), copies, axis=0) for _ in range(2))
    first, second = cosine_space(x, "a", centre=True), cosine_space(y, "b", centre=True)
    box = Box(at_least=at_quantile(first, share), at_most=at_quantile(second, 0.5))
    groups = Filter(name="group", codes=np.arange(n * copies) // 3)
    return Miner(first=first, second=second, box=box, filters=[groups])


def ids(one: Miner) -> list[str]:
    return [f"img{k:05}" for k in range(len(one.first))]


@pytest.fixture(autouse=True)
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "ROWS", 64)
    # which type is faster, and so how many candidates a screen lets through, is not the same at every moment
    monkeypatch.setattr(mining, "_number_type", lambda _device: torch.float32)


def test_the_file_is_the_same_whoever_mined_which_strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = miner()
    files = []
    for threads, broken in ((1, None), (3, None), (2, 4)):
        path = tmp_path / f"{threads}-{broken}"
        if broken is not None:  # a run that ended after some strips
            whole = strips._mine_strip
            left = iter(range(broken))

            def until(*args: object, whole: object = whole, left: object = left) -> None:
                next(left)  # type: ignore[call-overload]
                whole(*args)  # type: ignore[operator]

            monkeypatch.setattr(strips, "_mine_strip", until)
            with pytest.raises((StopIteration, RuntimeError)):
                mine_to_file(path, one, ids(one), key="k", threads=1)
            assert not (path / "k.parquet").exists()
            assert len([*path.glob("k/*.json")]) == broken
            monkeypatch.setattr(strips, "_mine_strip", whole)
        found = mine_to_file(path, one, ids(one), key="k", threads=threads)
        assert found.path == path / "k.parquet"
        assert not [*path.glob("k/*.parquet")]
        files.append(found.path.read_bytes())
        held = pq.read_table(found.path)
        assert found.kept == held.num_rows > 500
        assert found.tally.pairs == 600 * 599 // 2
        assert found.tally.removed["group"] >= 0
    assert files[0] == files[1] == files[2]
    assert held.column_names == ["id_1", "id_2", "similarity", "reference_similarity"]
    order = [*zip(held["id_1"].to_pylist(), held["id_2"].to_pylist(), strict=True)]
    assert len(set(order)) == len(order)
    assert all(a < b for a, b in order)


def test_a_file_of_another_key_is_made_again_and_one_of_the_same_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, path = miner(100), tmp_path
    first = mine_to_file(path, one, ids(one), key="one")
    calls: list[int] = []
    whole = strips._mine_strip
    monkeypatch.setattr(strips, "_mine_strip", lambda *a: (calls.append(1), whole(*a)))
    again = mine_to_file(path, one, ids(one), key="one")
    assert (again.kept, again.capped, again.tally) == (first.kept, first.capped, first.tally)
    assert not calls
    mine_to_file(path, one, ids(one), key="two")
    assert calls


def test_the_cap_keeps_the_pairs_that_differ_most_and_counts_the_others(tmp_path: Path) -> None:
    one = miner(300, share=0.9)
    every = mine_to_file(tmp_path, one, ids(one), key="all")
    found = mine_to_file(tmp_path, one, ids(one), key="some", cap=3)
    whole, some = (pq.read_table(tmp_path / f"{n}.parquet").to_pylist() for n in ("all", "some"))
    gaps: dict[str, list[float]] = {}
    for row in whole:
        for end in ("id_1", "id_2"):
            gaps.setdefault(row[end], []).append(row["similarity"] - row["reference_similarity"])
    least = {name: sorted(values, reverse=True)[:3][-1] for name, values in gaps.items()}
    wanted = [
        row for row in whole
        if all(row["similarity"] - row["reference_similarity"] >= least[row[end]] for end in ("id_1", "id_2"))
    ]  # fmt: skip
    assert some == wanted
    assert 0 < found.kept < every.kept
    assert every.capped == 0
    assert found.capped == every.kept - found.kept
    assert max(np.unique([row[end] for row in some for end in ("id_1", "id_2")], return_counts=True)[1]) <= 3


def test_memory_does_not_grow_with_the_hits() -> None:
    """Hits leave a strip as they are found: the largest piece held is bounded, however many there are."""
    one = miner(400, share=0.0)
    pieces = [len(h) for strip in one.strips for h in one.strip(*strip, mining.Tally())]
    assert sum(pieces) > 30_000
    assert max(pieces) <= mining.CANDIDATES


KILLS = 4  # ten and more by hand
SCRIPT = """
import sys, time
import torch
sys.path.insert(0, {root!r})
from pathlib import Path
import probes.pairs.mining as mining
from slitlamp.pairs import strips
sys.path.insert(0, {here!r})
import importlib.util
spec = importlib.util.spec_from_file_location("held", {file!r}); held = importlib.util.module_from_spec(spec)
spec.loader.exec_module(held)
mining.ROWS = 64
mining._number_type = lambda device: torch.float32
whole = strips._mine_strip
def slow(*a):
    time.sleep(0.05); whole(*a); print("strip", flush=True)
strips._mine_strip = slow
one = held.miner()
strips.mine_to_file(Path({path!r}), one, held.ids(one), key="k", threads=2)
print("done", flush=True)
"""


@pytest.mark.slow
def test_killed_again_and_again_and_resumed_it_writes_the_same_file(tmp_path: Path) -> None:
    one = miner()
    whole = mine_to_file(tmp_path / "whole", one, ids(one), key="k")
    path = tmp_path / "killed"
    text = SCRIPT.format(root=str(ROOT), here=str(Path(__file__).parent), file=__file__, path=str(path))
    for number in range(KILLS + 1):
        run = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env=os.environ)
        assert run.stdout is not None
        if number == KILLS:
            out, _ = run.communicate(timeout=120)
            assert "done" in out
            break
        line = run.stdout.readline()
        assert line
        time.sleep(0.01 * number)
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
        if "done" in line:
            break
    assert (path / "k.parquet").read_bytes() == whole.path.read_bytes()
    about = json.loads((pq.read_metadata(path / "k.parquet").metadata or {})[b"slitlamp"])
    assert about["tally"]["pairs"] == 600 * 599 // 2
