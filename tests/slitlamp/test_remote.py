"""A folder to and from a store: every file once, whole, with the digest that it left with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache import Store
from experiments import features
from hub.objects import ObjectError, Stores
from slitlamp.errors import UsageError
from slitlamp.remote import SUMS, download, upload
from tests.object_store import KEY, NEVER, SECRET, bucket


@pytest.fixture
def store() -> Iterator[Any]:
    """The objects of memory://, by name."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield memory
    memory.store.clear()


def folder(home: Path) -> Path:
    for name, data in (("0/a b.h5", b"x" * 70_000), ("0/é#?.h5", b""), ("manifest.json", b"{}")):
        (home / "shards" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "shards" / name).write_bytes(data)
    return home / "shards"


def files(home: Path) -> dict[str, bytes]:
    return {p.relative_to(home).as_posix(): p.read_bytes() for p in home.rglob("*") if p.is_file()}


def test_a_folder_comes_back_from_a_bucket_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="needs the extra [remote]")
    s3 = bucket(monkeypatch)
    s3.put({})
    source, url = folder(tmp_path), f"s3://{s3.name}/store/one"
    told: list[tuple[int, int]] = []
    s3.lines.clear()
    assert upload(source, url, progress=lambda done, of: told.append((done, of))) == 3
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert s3.asked("PUT", "store/one/0/a%20b.h5") == 1
    assert download(url, tmp_path / "back") == 3
    assert files(tmp_path / "back") == files(source)
    assert s3.asked("GET", "store/one/0/a%20b.h5") == 1
    assert upload(source, url) == 3  # the same copy: nothing is written
    assert s3.asked("PUT", "store/one/0/a%20b.h5") == 1
    (source / "manifest.json").write_text("[]")
    for bad, words in ((url, "holds another copy already"), (f"s3://{KEY}:{SECRET}@{s3.name}/x", "credentials")):
        with pytest.raises((UsageError, ObjectError), match=words) as caught:
            upload(source, bad)
        assert not any(one in str(caught.value) for one in NEVER)
    with pytest.raises(ObjectError, match="no such bucket"):
        download("s3://nowhere/x", tmp_path / "none")


def test_a_broken_copy_is_refused_and_one_that_was_broken_off_goes_on(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, url, back = folder(tmp_path), "memory://copies/one", tmp_path / "back"
    upload(source, url)
    whole = bytes(store.cat("/copies/one/0/a b.h5"))
    store.pipe("/copies/one/0/a b.h5", whole[:-1] + b"y")
    with pytest.raises(ObjectError, match="it was changed or broken there"):
        download(url, back)
    assert "0/a b.h5" not in files(back)
    assert not [name for name in files(back) if ".part-" in name]
    store.pipe("/copies/one/0/a b.h5", whole)
    fetched: list[str] = []
    fetch = Stores.fetch
    monkeypatch.setattr(Stores, "fetch", lambda self, one, path: (fetched.append(one), fetch(self, one, path))[1])
    (back / "manifest.json").write_bytes(b"{}")
    download(url, back)
    assert files(back) == files(source)
    assert [one.rpartition("/")[2] for one in fetched].count("manifest.json") == 0  # it was there
    (back / "manifest.json").write_bytes(b"no")
    with pytest.raises(UsageError, match="with other bytes than memory://copies/one"):
        download(url, back)
    store.rm(f"/copies/one/{SUMS}")
    with pytest.raises(UsageError, match="no copy of a folder, or one that was broken off"):
        download(url, tmp_path / "other")


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "c:/out", "a\\out", ""])
def test_a_list_of_digests_that_names_what_lies_outside_is_refused(name: str, tmp_path: Path, store: Any) -> None:
    store.pipe(f"/copies/bad/{SUMS}", f"{'0' * 64}  {name}\n".encode())
    with pytest.raises(UsageError, match="line 1 is no digest of a file below it"):
        download("memory://copies/bad", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_what_cannot_be_copied_is_refused_before_anything_is_written(tmp_path: Path, store: Any) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no file"):
        upload(tmp_path / "empty", "memory://copies/none")
    source = folder(tmp_path)
    (source / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="is no file that can be copied"):
        upload(source, "memory://copies/none")
    with pytest.raises(UsageError, match="is no file"):
        upload(source, "https://127.0.0.1/copies")
    assert not store.store


def test_features_go_to_a_store_and_come_back_to_another(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = [f"{k:064x}" for k in range(5)]
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    with Store(tmp_path / "here").space({"of": "toy"}, "toy").writer({"block.0/mean": 4}) as writer:
        writer.add(contents, {"block.0/mean": x})
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "here"))
    url = f"memory://me:{SECRET}@copies/toy"
    assert features.main(["export", "toy", "--out", url, "--json"]) == 0
    assert features.main(["export", "toy", "--out", url]) == 0, "the same copy is left alone"
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "there"))
    assert features.main(["import", url]) == 0
    assert np.array_equal(Store(tmp_path / "there").space({"of": "toy"}).read(contents, "block.0/mean"), x)
    (shard,) = [name for name in store.store if name.endswith(".h5")]
    store.pipe(shard, b"another")
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "third"))
    assert features.main(["import", url]) == 3
    assert not [*tmp_path.glob("third/features/*")], "nothing of a broken copy is taken over"
    said = "".join(capsys.readouterr())
    assert SECRET not in said
    assert "memory://copies/toy" in said
