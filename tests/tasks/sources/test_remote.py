"""Sources in object stores: read like the same files on this disk, once each, and credentials are seen nowhere."""

import csv
import gc
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

import tasks
from tasks import DataError
from tasks.sources import remote
from tests.object_store import KEY, NEVER, SECRET, SIGNATURE, Bucket, bucket, web
from tests.paths import ROOT

pytest.importorskip("s3fs", reason="needs the extra [remote]")
COUNT = 24


@pytest.fixture(autouse=True)
def _scratch(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a scratch folder of its own, in which nothing is left once its source is gone."""
    monkeypatch.setattr(remote, "SCRATCH", remote._Scratch())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("scratch")))


def same(one: tasks.Source, other: tasks.Source) -> bool:
    pairs = zip(one.rows, other.rows, strict=True)
    return all(np.array_equal(a.picture.read(), b.picture.read()) for a, b in pairs)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    return bucket(monkeypatch)


def png(k: int) -> bytes:
    rng = np.random.default_rng(k)
    image = rng.integers(0, 200, (24, 24), dtype=np.uint8)
    image[:12] += np.uint8(6 * (k % 2))
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png")
    return stream.getvalue()


def rows() -> list[dict[str, str]]:
    return [
        {"file": f"images/{k:03d}.png", "finding": ("clear", "mass")[k % 2], "patient": f"p{k // 2}"}
        for k in range(COUNT)
    ]


def manifest(lines: Sequence[Mapping[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0].keys())
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def folder_files() -> dict[str, bytes]:
    return {row["file"]: png(k) for k, row in enumerate(rows())} | {"manifest.csv": manifest(rows())}


def tar(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def tar_files() -> dict[str, bytes]:
    shards: dict[str, bytes] = {}
    for s in range(2):
        members: dict[str, bytes] = {}
        for k, row in list(enumerate(rows()))[s * COUNT // 2 : (s + 1) * COUNT // 2]:
            said = {"finding": row["finding"], "patient": row["patient"]}
            members |= {row["file"]: png(k), row["file"].replace(".png", ".json"): json.dumps(said).encode()}
        shards[f"shards-{s:03d}.tar"] = tar(members)
    return shards


def parquet(lines: Sequence[tuple[bytes, int, str]], names: Sequence[str] = ("clear", "mass")) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"scan": {"_type": "Image"}, "finding": {"names": [*names], "_type": "ClassLabel"}}
    table = pa.table({
        "scan": pa.array([{"bytes": data, "path": f"{k}.png"} for k, (data, _, _) in enumerate(lines)], kind),
        "finding": pa.array([label for _, label, _ in lines], pa.int64()),
        "patient": [patient for *_, patient in lines],
    }).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})  # fmt: skip
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=8)
    return stream.getvalue()


def parquet_files() -> dict[str, bytes]:
    every = [(png(k), k % 2, row["patient"]) for k, row in enumerate(rows())]
    half = COUNT // 2
    return {f"data/train-{s:05d}-of-00002.parquet": parquet(every[s * half : (s + 1) * half]) for s in range(2)}


def save(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def seen(source: tasks.Source) -> list[tuple[str, str, str | None]]:
    return [(row.group, row.columns["finding"], row.picture.identity) for row in source.rows]


def opened(spec: str, **more: Any) -> tasks.Source:
    return tasks.open_source(spec, group="patient", columns_needed=("finding",), **more)


def message(spec: str, **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        tasks.open_source(spec, **more)
    text = str(caught.value)
    assert "\n" not in text
    assert not any(one in text for one in NEVER)
    return text


# ---- the same images, wherever they lie


def test_a_bucket_tars_and_parquet_are_the_folder_they_were_made_of(tmp_path: Path, s3: Bucket) -> None:
    local = opened(str(save(tmp_path / "films", folder_files())))
    hub = {f"hub/{name}": data for name, data in parquet_files().items()}
    files = {f"films/{name}": data for name, data in (folder_files() | tar_files() | hub).items()}
    s3.put(files)
    base = f"s3://{s3.name}/films"
    s3.lines.clear()
    for spec, ids in (
        (base, True),
        (f"{base}/manifest.csv", True),
        (f"{base}/shards-{{000..001}}.tar", True),
        (f"{base}/hub/", False),
    ):
        source = opened(spec)
        assert source.name.startswith(base)
        assert seen(source) == seen(local)
        assert not ids or [row.id for row in source.rows] == [row.id for row in local.rows]
        for k in (0, COUNT - 1):
            assert np.array_equal(source.rows[k].picture.read(), local.rows[k].picture.read())
    # once for each source that read it, by its listing, its digest and its pixels alike
    assert (s3.asked("GET", "films/images/000.png"), s3.asked("GET", "films/shards-000.tar")) == (2, 1)
    assert s3.asked("HEAD", "films/images/000.png") == 0
    local_tars = opened(str(save(tmp_path / "tars", tar_files())))
    assert (seen(local_tars), [r.id for r in local_tars.rows]) == (seen(local), [r.id for r in local.rows])
    shards = opened(str(save(tmp_path / "hub", parquet_files())))
    assert seen(shards) == seen(local)
    assert {row.columns["split"] for row in shards.rows} == {"train"}


def test_a_run_on_each_gives_the_same_numbers_and_tells_no_credentials(
    tmp_path: Path, s3: Bucket, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest, undrawn: None,
) -> None:  # fmt: skip
    from experiments.linear_probe import main

    del undrawn
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr("slitlamp.reports.plots.layer_curve", lambda records: records)
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "films", folder_files())
    s3.put({f"run/{n}": d for n, d in (folder_files() | tar_files() | parquet_files()).items()})
    host = web(request, tar_files()).address.removeprefix("http://")
    signed = f"http://{KEY}:{quote(SECRET, safe='')}@{host}/shards-{{000..001}}.tar?X-Amz-Signature={SIGNATURE}&id=3"
    run = f"s3://{s3.name}/run"
    found, keys = [], []
    for k, spec in enumerate(("films", run, signed, f"{run}/data")):
        words = ["--encoder", str(ROOT / "tests" / "numpy_encoder.py"), "--site", "pooled", "--data", spec, "--label",
                 "finding", "--group", "patient", "--permutations", "19", "--repeats", "1", "--folds", "3", "--jobs",
                 "1", "--twins", "0", "--out", str(tmp_path / f"out{k}")]  # fmt: skip
        assert main(words) == 0
        document = json.loads((tmp_path / f"out{k}" / "results.json").read_text())
        names = ("role", "encoder", "score", "low", "high", "p_value", "n_items", "n_groups")
        found.append([[one[name] for name in names] for one in document["records"]])
        keys.append(document["records"][0]["data_key"])
        told = capfd.readouterr()
        assert ("0 images encoded" in told.err) == (k > 0)  # what was known of the folder is known of its copies
        assert not any(one in told.out + told.err for one in NEVER)
    assert all(one == found[0] for one in found)
    assert any(0.5 < score < 1 for _, _, score, *_ in found[0])  # numbers that could differ
    assert set(keys[:3]) == {keys[0]}
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.parts[-2] != "films"]
    assert len(left) > 10
    assert not any(one.encode() in path.read_bytes() for path in left for one in NEVER)


# ---- what goes wrong, one line each


def test_a_row_whose_object_cannot_be_had_is_an_unreadable_file(s3: Bucket, request: pytest.FixtureRequest) -> None:
    served = web(request, {"a.png": png(1)})
    lines = [{"file": name} for name in (
        "000.png", "gone.png", "s3://nowhere/0.png", f"{served.address}/a.png", f"{served.address}/fault/403/b.png",
        f"{served.address}/fault/503/c.png?token={SIGNATURE}", f"{served.address}/fault/cut/d.png",
        "../../../out.png", "file:///etc/hostname.png", "http://127.0.0.1:9/e.png",
    )]  # fmt: skip
    s3.put({"bad/manifest.csv": manifest(lines), "bad/000.png": png(0)})
    spec = f"s3://{s3.name}/bad/manifest.csv"
    source = tasks.open_source(spec, unreadable_limit=0.9)
    assert [row.place for row in source.rows] == ["row 1", "row 4"]
    assert {len(row.picture.read()) for row in source.rows} == {24}
    why = [text for _, text in source.unreadable]
    wanted = ("no such object", "no such bucket", "access is denied", "the store answers 503", "the transfer broke",
              "leads out of the store", "a path of one machine", "cannot be reached")  # fmt: skip
    assert len(why) == len(wanted)
    assert all(words in text for words, text in zip(wanted, why, strict=True)), why
    assert not any(one in text for text in why for one in NEVER)
    assert "8 of 10 images cannot be read" in message(spec)


def test_what_names_no_source_is_said_in_one_line(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put({"empty/readme.txt": b"x"})
    for spec, words in (
        ("s3://nowhere/films/", "no such bucket"),
        (f"s3://{s3.name}/nothing/", "holds no object"),
        (f"s3://{s3.name}/empty/", "holds no image (1 other objects)"),
        (f"s3://{s3.name}/nothing.csv", "no such object"),
        (f"s3://{KEY}:{SECRET}@{s3.name}/films", "credentials in the address are not used"),
        ("https://127.0.0.1/films/", "a web address is not listed"),
        (f"ftp://me:{SIGNATURE}@host/films", "ftp:// is no store that is read here"),
        ("memory://nowhere/films", "holds no object"),
    ):
        assert words in message(spec)
    assert "holds no object" in message(f"s3://{s3.name}/nothing/", offline=True)  # a store is no hub
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert "gs:// needs gcsfs: `pip install 'slitlamp[remote]'`" in message("gs://films/a.csv")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "no credentials were found" in message(f"s3://{s3.name}/films")


@pytest.mark.usefixtures("s3")
def test_a_store_that_denies_hangs_or_is_not_trusted(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    address = web(request, {}).address
    quick = {"config_kwargs": {"read_timeout": 0.2, "connect_timeout": 0.2, "retries": {"max_attempts": 0}}}
    monkeypatch.setitem(fsspec.config.conf, "s3", quick)
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    assert "access is denied" in message("s3://fault/403/a.csv")
    assert "did not answer in time" in message("s3://fault/hang/a.csv")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address.replace("http:", "https:"))
    assert "certificate is not trusted" in message("s3://films/a.csv")
    monkeypatch.setattr("hub.objects.QUIET", 0.2)
    assert "did not answer in time" in message(f"{address}/fault/hang/a.csv")
    assert "certificate is not trusted" in message(f"{address.replace('http:', 'https:')}/a.csv?sig={SIGNATURE}")


# ---- the scratch folder


def test_objects_are_fetched_again_only_beyond_the_bound_and_nothing_is_left(s3: Bucket) -> None:
    s3.put({f"few/{k}.png": png(k) for k in range(6)})
    spec, home = f"s3://{s3.name}/few/", Path(tempfile.gettempdir())
    s3.lines.clear()
    source = tasks.open_source(spec)
    pixels = [row.picture.read() for row in source.rows]
    names = [row.picture.identity for row in source.rows]
    assert [s3.asked("GET", f"few/{k}.png") for k in range(6)] == [1] * 6
    assert len([*home.rglob("*.png")]) == 6
    remote.SCRATCH.largest = len(png(0)) * 2
    again = [row.picture.read() for row in source.rows]
    assert len([*home.rglob("*.png")]) <= 3
    assert all(np.array_equal(a, b) for a, b in zip(pixels, again, strict=True))
    assert sum(s3.asked("GET", f"few/{k}.png") for k in range(6)) > 6
    assert [row.picture.identity for row in source.rows] == names
    s3.put({"few/0.png": png(77)})  # another picture now
    _ = [row.picture.read() for row in source.rows[1:]]
    with pytest.raises(DataError, match="changed in the store while it was read"):
        source.rows[0].picture.read()
    del source
    gc.collect()
    assert [*home.rglob("*.png")] == []


class Kept(dict[str, Any]):
    """A memory of headers."""

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        return {key: self[key] for key in keys if key in self}

    def put_many(self, values: Mapping[str, Any]) -> None:
        self |= values


def test_headers_of_objects_that_did_not_change_are_known_without_fetching_them(tmp_path: Path, s3: Bucket) -> None:
    from tests.tasks.images.helpers import dicom, picture

    dicom(tmp_path / "d.dcm", picture(12, 12), PatientID="Somebody")
    names = ("a.png", "b.png", "d.dcm")
    s3.put({"kept/a.png": png(0), "kept/b.png": png(1), "kept/d.dcm": (tmp_path / "d.dcm").read_bytes(),
            "rows.csv": manifest([{"file": f"kept/{name}"} for name in names])})  # fmt: skip
    for spec in (f"s3://{s3.name}/kept/", f"s3://{s3.name}/rows.csv"):
        kept = Kept()
        first = tasks.open_source(spec, headers=kept)
        assert "Somebody" not in json.dumps(kept)
        assert len(kept) == 2  # nothing of DICOM is kept
        s3.lines.clear()
        again = tasks.open_source(spec, headers=kept)
        assert [row.picture.identity for row in again.rows] == [row.picture.identity for row in first.rows]
        assert [s3.asked("GET", f"kept/{name}") for name in names] == [0, 0, 1]
        assert same(again, first)
        s3.lines.clear()
        other = tasks.open_source(spec, headers=kept, window="minmax")  # read by another policy
        assert [s3.asked("GET", f"kept/{name}") for name in names] == [1, 1, 1]
        assert other.rows[0].picture.identity != first.rows[0].picture.identity
        s3.put({"kept/a.png": png(7 + len(spec))})
        changed = tasks.open_source(spec, headers=kept)
        assert changed.rows[0].picture.identity != first.rows[0].picture.identity
        assert changed.rows[1].picture.identity == first.rows[1].picture.identity
        s3.put({"kept/a.png": png(0)})


def test_a_killed_process_leaves_nothing_that_the_next_does_not_remove(s3: Bucket) -> None:
    s3.put({"one/0.png": png(0)})
    program = (
        "import os, signal, tempfile, tasks; from pathlib import Path\n"
        f"tempfile.tempdir = {tempfile.gettempdir()!r}\n"
        f"source = tasks.open_source('s3://{s3.name}/one/0.png'); source.rows[0].picture.read()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode < 0, done.stderr
    home = Path(tempfile.gettempdir())
    assert len([*home.rglob("*.png")]) == 1
    source = tasks.open_source(f"s3://{s3.name}/one/0.png")
    assert len([*home.rglob("*.png")]) == 1
    assert len([*home.iterdir()]) == 1
    del source


def test_files_of_every_kind_volumes_masks_and_endings_are_read_as_on_this_disk(tmp_path: Path) -> None:
    import fsspec

    from tests.tasks.images.helpers import dicom, wide

    folder = tmp_path / "films"
    folder.mkdir()
    for k in range(4):
        place: dict[str, Any] = {"ImagePositionPatient": [0, 0, k], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        dicom(folder / f"slice{k}", wide()[:40, :36] + k, SeriesInstanceUID="1.2.3", **place)
    save(folder, {"mask.png": png(3), "note.bin": b"no image"})
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/kinds/", recursive=True)
    for volumes in (False, True):
        one, other = (
            tasks.open_source(spec, window="minmax", volumes=volumes, unreadable_limit=0.5)
            for spec in (str(folder), "memory://kinds/films")
        )
        assert [r.id for r in one.rows] == [r.id for r in other.rows]
        assert [r.picture.identity for r in one.rows] == [r.picture.identity for r in other.rows]
        assert same(one, other)
    assert one.rows[0].picture.read().shape == (4, 40, 36)
