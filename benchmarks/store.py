"""The feature store beside npy memmaps and safetensors: writing, reading, asking what is missing, size.

$ python benchmarks/store.py [--items 2000] [--sites 13] [--rounds 3]
$ python benchmarks/store.py --million [--shard-items 4096]

Peer and ours run interleaved in one process with one thread, from the same float32 batches, and must hold the
same bytes in the end. Ratios of CPU seconds are the result; above 1 ours is faster. `slabs` is ours without what
the peers do not do: no digest of what is written and no check that float16 holds it.

`--million` has no peer but NumPy: a million rows of three sites with 64 numbers, 0.42 GB, are written, and each thing
that a user does with them is done by a process of its own, which has imported what it needs.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_threads] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np  # noqa: E402  threads are set first

from cache import Space, Store  # noqa: E402
from cache.open_shard import OpenShard  # noqa: E402

BATCH, SHARD = 64, 4096
Arrays = Mapping[str, np.ndarray]


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return time.process_time() - cpu, time.perf_counter() - wall


def synced(path: Path) -> None:
    """Wait until a file is on the disk, as the store does."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_npy(root: Path, batch: Arrays, n: int) -> None:
    """One npy memmap per site/readout, preallocated; each batch is cast by the assignment."""
    root.mkdir()
    maps = {
        name: np.lib.format.open_memmap(root / name.replace("/", "-"), "w+", np.float16, (n, x.shape[1]))
        for name, x in batch.items()
    }
    for a in range(0, n, BATCH):
        for name, x in batch.items():
            maps[name][a : a + BATCH] = x[: n - a]
    for name, held in maps.items():
        held.flush()
        synced(root / name.replace("/", "-"))


def write_safetensors(root: Path, batch: Arrays, n: int) -> None:
    """A shard is gathered in memory and written at once, as the format wants it."""
    from safetensors.numpy import save_file

    root.mkdir()
    for start in range(0, n, SHARD):
        size = min(SHARD, n - start)
        held = {name: np.empty((size, x.shape[1]), np.float16) for name, x in batch.items()}
        for a in range(0, size, BATCH):
            for name, x in batch.items():
                held[name][a : a + BATCH] = x[: size - a]
        save_file(held, root / f"{start}.safetensors")
        synced(root / f"{start}.safetensors")


def write_slabs(root: Path, batch: Arrays, n: int) -> None:
    """The file operations of the store alone: HDF5 made by h5py, slabs of float16 written in place."""
    root.mkdir()
    for start in range(0, n, SHARD):
        size = min(SHARD, n - start)
        shard = OpenShard(root, "", {name: ("<f2", x.shape[1]) for name, x in batch.items()}, size)
        for a in range(0, size, BATCH):
            for name, x in batch.items():
                column, half = shard.columns[name], x[: size - a].astype(np.float16)
                shard._write(column.offset + a * column.row, half.reshape(-1).view(np.uint8).data)
        os.fsync(shard.file.fileno())
        shard.path.rename(root / f"{start}.h5")


def write_ours(root: Path, batch: Arrays, contents: list[str]) -> Space:
    """The store as a run uses it."""
    space = Store(root).space({"benchmark": 1})
    with space.writer({name: x.shape[1] for name, x in batch.items()}, total=len(contents)) as writer:
        for a in range(0, len(contents), BATCH):
            some = contents[a : a + BATCH]
            writer.add(some, {name: x[: len(some)] for name, x in batch.items()})
    return space


def report(what: str, peer: list[float], ours: list[float], size: float, goal: str) -> None:
    """Print the median of the ratios of each round, then what was measured."""
    ratio = float(np.median(np.divide(peer, ours)))
    spread = max(ours) / min(ours) - 1
    print(
        f"{what:34s} x{ratio:5.2f}   {f'goal {goal}' if goal else '':12s}"
        f"peer {size / min(peer):6.0f}, ours {size / min(ours):6.0f} MB/CPU-s"
        f"{f'   (rounds differ by {spread:.0%})' if spread > 0.1 else ''}"
    )


def writing(scratch: Path, batch: Arrays, contents: list[str], rounds: int, size: float) -> Space:
    """Write the same features four ways in turn; returns the store's."""
    import shutil

    n = len(contents)
    acts = {
        "npy": lambda root: write_npy(root, batch, n),
        "safetensors": lambda root: write_safetensors(root, batch, n),
        "slabs": lambda root: write_slabs(root, batch, n),
        "ours": lambda root: write_ours(root, batch, contents),
    }
    cpu: dict[str, list[float]] = {name: [] for name in acts}
    wall: dict[str, list[float]] = {name: [] for name in acts}
    for r in range(rounds + 1):  # the first is to warm up
        order = list(acts)[r % 4 :] + list(acts)[: r % 4]
        for name in order:
            shutil.rmtree(scratch / name, ignore_errors=True)
            seconds = timed(lambda name=name: acts[name](scratch / name))
            if r:
                cpu[name].append(seconds[0])
                wall[name].append(seconds[1])
    report("write, slabs / npy memmap", cpu["npy"], cpu["slabs"], size, ">= 1.4")
    report("write, slabs / safetensors", cpu["safetensors"], cpu["slabs"], size, ">= 1.6")
    report("write, as used / npy memmap", cpu["npy"], cpu["ours"], size, "")
    report("write, as used / safetensors", cpu["safetensors"], cpu["ours"], size, "")
    print("    wall MB/s: " + ", ".join(f"{name} {size / min(w):.0f}" for name, w in wall.items()))
    shutil.rmtree(scratch / "slabs")
    space = Store(scratch / "ours").space({"benchmark": 1})
    payload = sum(p.stat().st_size for p in space.folder.glob("shard-*"))
    print(f"{'size / payload':34s}  {payload / (size * 1e6):.4f}   goal <= 1.02")
    return space


def reading(scratch: Path, space: Space, names: list[str], contents: list[str], rounds: int) -> None:
    """One site/readout of all items, as float32, from warm pages; the payload was verified before."""

    def npy(name: str) -> np.ndarray:
        return np.load(scratch / "npy" / name.replace("/", "-")).astype(np.float32)

    peer: list[float] = []
    ours: list[float] = []
    some = [name for name in names if name.endswith("grid3")]
    for r in range(rounds + 1):
        for name in some:
            pair = [timed(lambda name=name: npy(name))[0], timed(lambda name=name: space.read(contents, name))[0]]
            if r:
                peer.append(pair[0])
                ours.append(pair[1])
    from safetensors.numpy import load_file

    other = load_file(scratch / "safetensors" / "0.safetensors")
    for name in names:
        want = npy(name)
        assert np.array_equal(space.read(contents, name), want), name
        assert np.array_equal(other[name].astype(np.float32), want[: len(other[name])]), name
    size = len(contents) * 6912 * 2 / 1e6
    report("read / npy load as float32", peer, ours, size, ">= 0.6")


def asking(space: Space, names: list[str], n_items: int, scratch: Path) -> None:
    """`nothing to encode` for items that are all known: the index alone, then with every byte hashed."""
    contents = [hashlib.sha256(f"known {i}".encode()).hexdigest() for i in range(n_items)]
    tiny = {name: np.ones((BATCH, 4), np.float32) for name in names[:52]}
    write_ours(scratch / "index", tiny, contents)
    seconds = []
    for _ in range(5):
        fresh = Store(scratch / "index").space({"benchmark": 1})
        seconds.append(timed(lambda fresh=fresh: fresh.missing(contents, names[:52], verify=False))[0])
        assert fresh.missing(contents, names[:52], verify=False) == []
    print(f"{f'missing, {n_items} known items':34s}  {min(seconds) * 1e3:.0f} ms  goal <= 50 ms of CPU")
    payload = sum(p.stat().st_size for p in space.folder.glob("shard-*")) / 1e6
    fresh = Store(space.folder.parent.parent).space({"benchmark": 1})
    known = fresh.stored()
    cpu = timed(lambda: fresh.missing(known, names))[0]
    again = timed(lambda: fresh.missing(known, names))[0]
    print(
        f"{'    verifying what is relied on':34s}  {cpu * 1e3:.0f} ms for {payload:.0f} MB "
        f"({payload / cpu:.0f} MB/CPU-s), once per process; then {again * 1e3:.0f} ms"
    )


COLD = """
import resource, sys, time
from pathlib import Path
import numpy as np
from cache import Store
from cache.index import texts_of
store, out, act = Store(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
contents = texts_of(np.random.default_rng(0).integers(0, 256, (int(sys.argv[4]), 32), np.uint8))
shuffled = [contents[i] for i in np.random.default_rng(1).permutation(len(contents))]
space, names, x = store.space({"million": 1}), ["a/mean", "b/mean", "c/mean"], None
acts = {
    "open the index": space.index,
    "ls": store.ls,
    "missing, all known": lambda: space.missing(contents, names),
    "missing, all known, in another order": lambda: space.missing(shuffled, names),
    "read one site": lambda: space.read(contents, "b/mean"),
    "read one site in another order": lambda: space.read(shuffled, "b/mean"),
    "mean of one site, in blocks": lambda: sum(b.sum(axis=0, dtype=float) for b in space.blocks(contents, "b/mean")),
    "verify": store.verify,
    "verify a sample of 5 %": lambda: store.verify_sample(0.05, np.random.default_rng(0)),
    "export": lambda: store.export(store.ls()[0].digest, out),
    "import": lambda: store.take_in(out),
    "NumPy alone: np.load of one site": lambda: np.load(out.parent / "b.npy").astype(np.float32),
    "NumPy alone: a set of the digests": lambda: set(contents),
}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wall, cpu = time.perf_counter(), time.process_time()
found = acts[act]()
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
if act.startswith("missing"):
    assert found == []
more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
print(f"{act:40s}{cpu * 1e3:8.0f} ms CPU{wall * 1e3:9.0f} ms wall{more:8.0f} MB more")
"""


def million(scratch: Path, rows: int, shard_items: int) -> None:
    """What a user does with so many rows, each in a process of its own."""
    from cache.index import texts_of

    contents = texts_of(np.random.default_rng(0).integers(0, 256, (rows, 32), np.uint8))
    x = np.random.default_rng(1).standard_normal((BATCH * SHARD // 64, 64), np.float32)
    space = Store(scratch / "store").space({"million": 1}, label="million")

    def write() -> None:
        names = ("a/mean", "b/mean", "c/mean")
        with space.writer(dict.fromkeys(names, 64), total=rows, shard_items=shard_items) as writer:
            for start in range(0, rows, len(x)):
                some = contents[start : start + len(x)]
                writer.add(some, dict.fromkeys(names, x[: len(some)]))

    cpu, wall = timed(write)
    print(f"{'write':40s}{cpu * 1e3:8.0f} ms CPU{wall * 1e3:9.0f} ms wall")

    def act(name: str, store: str = "store") -> None:
        words = [str(scratch / store), str(scratch / "carried"), name, str(rows)]
        subprocess.run([sys.executable, "-c", COLD, *words], check=True, cwd=Path(__file__).parent.parent)

    time.sleep(3)  # a file that was written a moment ago is not remembered
    for name in ("missing, all known", "missing, all known", "open the index", "ls",
                 "missing, all known, in another order", "read one site", "read one site in another order",
                 "mean of one site, in blocks", "verify", "verify a sample of 5 %", "export"):  # fmt: skip
        act(name)
    act("import", "other")
    np.save(scratch / "b.npy", space.read(contents, "b/mean").astype(np.float16))
    act("NumPy alone: np.load of one site")
    act("NumPy alone: a set of the digests")


def main() -> None:
    """Run all parts in a scratch folder that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=768, help="items with features at all sites")
    parser.add_argument("--known", type=int, default=10_000, help="items of the index")
    parser.add_argument("--sites", type=int, default=13, help="sites, with readouts of 768, 768, 3072 and 6912 numbers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="many rows instead, in a scratch folder of 1 GB")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of --million")
    parser.add_argument("--shard-items", type=int, default=4096, help="rows of a shard of --million")
    asked = parser.parse_args()
    if asked.million:
        with tempfile.TemporaryDirectory() as folder:
            million(Path(folder), asked.rows, asked.shard_items)
        return
    rng = np.random.default_rng(0)
    widths = {"cls": 768, "mean": 768, "halves": 3072, "grid3": 6912}
    batch = {
        f"block.{i}/{readout}": rng.standard_normal((BATCH, width), np.float32)
        for i in range(asked.sites)
        for readout, width in widths.items()
    }
    contents = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(asked.items)]
    size = asked.items * sum(x.shape[1] for x in batch.values()) * 2 / 1e6
    print(f"{asked.items} items x {len(batch)} datasets = {size:.0f} MB of float16, batches of {BATCH}")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        space = writing(scratch, batch, contents, asked.rounds, size)
        space.missing(contents, batch)
        reading(scratch, space, list(batch), contents, asked.rounds)
        asking(space, list(batch), asked.known, scratch)


if __name__ == "__main__":
    main()
