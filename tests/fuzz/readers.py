"""What is fuzzed: small good files of every kind, each with the function that reads it and the errors it may raise.

A file may be read, or be refused by an error of the project's own; anything else is a fault.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import struct
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests.slitlamp.answers import answer_files
from tests.tasks.images.helpers import colour, dicom, nifti, picture, save, wide

FRAMES = 3  # of a file that are decoded


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of input: its good files, the function that reads one, and its share of all inputs."""

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], None]
    share: int


# ---- images


def images(folder: Path) -> list[Path]:
    """An image of every format, and of every way of packing it that is known to be special."""
    import tifffile
    from PIL import Image

    grey, tall, rgb = picture(24, 20), wide()[:24, :20], colour(24, 20)
    for end in ("png", "bmp", "jpg", "gif", "webp", "tif", "jp2"):
        save(grey, folder / f"grey.{end}")
        save(rgb, folder / f"rgb.{end}")
    save(tall, folder / "deep.png")
    save(grey, folder / "palette.png", "P")
    frames = [Image.fromarray(np.roll(rgb, k, axis=0)) for k in range(4)]
    for name in ("apng.png", "moving.gif", "moving.webp"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    frames[0].save(folder / "more.mpo", save_all=True, append_images=frames[1:2])
    (folder / "more.mpo").rename(folder / "more.jpg")
    tags = Image.Exif()
    tags[274] = 6
    save(rgb, folder / "turned.jpg", exif=tags)
    stack = np.stack([tall, tall[::-1], tall // 2])
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "x.ome.tif", stack, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    tifffile.imwrite(folder / "shaped.tif", stack, photometric="minisblack")
    tifffile.imwrite(folder / "big.tif", stack[0], bigtiff=True, compression="zlib", tile=(16, 16))
    tifffile.imwrite(folder / "lzw.tif", rgb, compression="lzw", byteorder=">")
    tifffile.imwrite(folder / "float.tif", tall.astype(np.float32))
    for name, head, body in (("p5.pgm", b"P5 20 24 255\n", grey), ("p2.pgm", b"P2 2 2 9\n", b"1 2 3 4\n"),
                             ("p6.ppm", b"P6 20 24 255\n", rgb.tobytes()), ("p4.pbm", b"P4 20 24\n", bytes(72)),
                             ("wide.pgm", b"P5 # x\n20 24 4095\n", tall.astype(">u2").tobytes()),
                             ("f.pfm", b"Pf\n20 24\n-1.0\n", tall.astype("<f4").tobytes()),
                             ("p7.pam", b"P7\nWIDTH 20\nHEIGHT 24\nDEPTH 1\nMAXVAL 255\nENDHDR\n", grey)):  # fmt: skip
        (folder / name).write_bytes(head + bytes(body))
    return sorted(path for path in folder.iterdir() if path.is_file())


def medical(folder: Path) -> list[Path]:
    """DICOM of several syntaxes and NIfTI."""
    import pydicom
    from pydicom import uid

    grey, tall, rgb = picture(40, 36), wide()[:40, :36], colour(40, 36)
    stack = np.stack([tall, tall[::-1], tall // 2])
    dicom(folder / "grey.dcm", grey, PatientOrientation=["L", "F"])
    dicom(folder / "ct.dcm", tall, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, BitsStored=12,
          WindowCenter=[40, 50], WindowWidth=[400, 500], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
          ImagePositionPatient=[0, 0, 1], PixelSpacing=[1, 1])  # fmt: skip
    dicom(folder / "frames.dcm", stack, BitsStored=12)
    dicom(folder / "rgb.dcm", rgb)
    for name, syntax in (("rle", "RLELossless"), ("j2k", "JPEG2000Lossless"), ("jls", "JPEGLSLossless")):
        dicom(folder / f"{name}.dcm", tall if name != "rle" else stack, syntax=syntax)
    data = pydicom.dcmread(folder / "frames.dcm")
    data.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    data.save_as(folder / "x.deflated.dcm", enforce_file_format=True)
    for name, syntax in (("big", "ExplicitVRBigEndian"), ("implicit", "ImplicitVRLittleEndian")):
        data = pydicom.dcmread(folder / "ct.dcm")
        data.PixelData = tall.astype(">u2" if name == "big" else "<u2").tobytes()
        data.file_meta.TransferSyntaxUID = getattr(uid, syntax)
        pydicom.dcmwrite(folder / f"{name}.dcm", data, little_endian=name != "big", implicit_vr=name == "implicit")
    block = np.moveaxis(stack, 0, -1).astype(np.int16)
    nifti(folder / "x.nii", block)
    nifti(folder / "x.nii.gz", block)
    nifti(folder / "times.nii", np.stack([block, block + 1], axis=-1))
    return sorted(path for path in folder.iterdir() if path.is_file())


def read_image(path: Path) -> None:
    """List the frames of a file under each policy, and decode the first."""
    from tasks import DataError
    from tasks.images.content import Content, picture
    from tasks.images.decode import DecodePolicy, LastOpened, list_frames

    for policy in (DecodePolicy(), DecodePolicy(window="minmax"), DecodePolicy(window="40/400", exif="ignore"),
                   DecodePolicy(window="minmax", volumes=True)):  # fmt: skip
        opened = LastOpened()
        try:
            frames = list_frames(path, policy, opened)
        except DataError as error:
            _require_clean(error, path)
            continue
        for frame in frames[:FRAMES]:
            shown = picture(frame, Content(path), policy, path.name)
            str(shown.identity)
            for read in (shown.read, frame.stored):
                if read is None:
                    continue
                try:
                    values = read()
                except DataError as error:
                    _require_clean(error, path)
                    continue
                if read is shown.read and not policy.volumes:
                    assert values.dtype == np.uint8, values.dtype
                    assert values.ndim == 2 or values.shape[2] == 3, values.shape
                    assert frame.shape in (None, values.shape[:2]), (frame.shape, values.shape)


def _require_clean(error: Exception, path: Path) -> None:
    assert str(path.parent) not in str(error), "the folder's path is in an error"
    assert str(error), "an error without words"


# ---- tables, and images inside them


def tables(folder: Path) -> list[Path]:
    """Manifests as programs and spreadsheets write them; the images that they name lie beside them."""
    import pyarrow as pa
    from pyarrow import parquet

    for k in range(4):
        save(picture(12, 12, seed=k), folder / f"{k}.png")
    head = ["file", "dx", "patient", "frame", "red_x", "red_y", "region"]
    rows = [[f"{k}.png", "ab"[k % 2], f"P{k // 2}", "1", "3", "4.5", "1 1 5 5"] for k in range(4)]
    for name, mark in (("comma.csv", ","), ("semicolon.csv", ";"), ("tab.tsv", "\t")):
        (folder / name).write_text("\n".join(mark.join(row) for row in [head, *rows]) + "\n")
    quoted = "\r\n".join(",".join(f'"{cell}"' for cell in row) for row in [head, *rows])
    (folder / "excel.csv").write_text(f"\ufeffsep=,\r\n{quoted}\r\n", encoding="utf-8")
    columns = {name: [row[k] for row in rows] for k, name in enumerate(head)}
    parquet.write_table(pa.table(columns), folder / "names.parquet")
    held = [{"bytes": (folder / f"{k}.png").read_bytes(), "path": f"{k}.png"} for k in range(4)]
    parquet.write_table(pa.table({"image": held, "dx": list("abab")}), folder / "images.parquet", compression="none")
    members = {f"{k}.png": (folder / f"{k}.png").read_bytes() for k in range(4)}
    said = {f"{k}.json": json.dumps({"dx": "ab"[k % 2], "patient": f"P{k // 2}", "region": "1 1 5 5"}).encode()
            for k in range(4)}  # fmt: skip
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(folder / f"form{form}.tar", "w", format=form) as tar:
            for name, data in sorted((members | said).items()):
                member = tarfile.TarInfo(f"{'long/' * 30 * (form > 0)}é{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return sorted(path for path in folder.iterdir() if path.suffix != ".png")


def read_manifest(path: Path) -> None:
    """Open a manifest, decode its images, ask its labels, and read where its evidence lies."""
    import tasks
    from slitlamp.errors import LONGEST, one_line
    from tasks import DataError

    for choices in ({}, {"group": "patient", "columns_needed": ("dx",), "evidence": "region", "window": "minmax"}):
        try:
            source = tasks.check(tasks.open_source(str(path), unreadable_limit=0.9, **choices), unreadable_limit=0.9)
            rng = np.random.default_rng(0)
            for item in tasks.load("label").items(source, rng, "dx"):
                str(item.label)
            for row in source.rows[:2]:
                for region in row.regions.values():
                    region()
        except DataError as error:
            _require_short(one_line(error), 2 * LONGEST)


def _require_short(words: str, most: int) -> None:
    assert len(words) < most, "an error of many letters"


# ---- answers


def answers(folder: Path) -> list[Path]:
    """Files of answers in every format."""
    made = [answer_files.lmms(folder / shape, shape) for shape in ("absent", "flat", "deep", "nested")]
    made += [answer_files.vlmevalkit(folder, kind) for kind in ("xlsx", "tsv", "csv")]
    made += [answer_files.inspect(folder, kind) for kind in ("json", "eval")]
    made += [answer_files.mediconfusion(folder, {"1": ("A", "B"), "2": ("(B)", "x")})]
    made += [answer_files.blink(folder, "Jigsaw", [("A", "(A)", "A"), ("B", "no", "B")])]
    (folder / "plain.csv").write_text("item,answer\n0,A\n1,it is B\n")
    (folder / "plain.jsonl").write_text('{"item": "0", "answer": "A"}\n{"item": 1, "answer": "no"}\n')
    return [*made, folder / "plain.csv", folder / "plain.jsonl"]


def read_answer_file(path: Path) -> None:
    from slitlamp.answers.formats import read_answers
    from slitlamp.errors import UsageError
    from tasks import DataError

    with contextlib.suppress(DataError, UsageError):
        for record in read_answers(str(path)).records:
            assert record.reply is None or isinstance(record.reply, str)
            hash((record.item, record.repeat))


# ---- grids, runs


GRID = """
[fixed]
encoder = ["pixels", "lowlevel"]
task = "orientation"
folds = 3
permutations = 19
[grid]
seed = [0, 1]
readout = [["mean"], ["grid3", "cls"]]
[[zip]]
folds = [3, 4]
repeats = [1, 2]
[[exclude]]
seed = 1
folds = 4
""".replace("folds = 3\npermutations", "permutations")


def grids(folder: Path) -> list[Path]:
    (folder / "grid.toml").write_text(GRID)
    return [folder / "grid.toml"]


def read_grid_file(path: Path) -> None:
    from plugins import UnknownName
    from slitlamp.ablation.grid import read_grid
    from slitlamp.errors import UsageError

    with contextlib.suppress(UsageError, UnknownName):
        read_grid(str(path), 100)


def runs(folder: Path) -> list[Path]:
    from slitlamp.records import SCHEMA

    told = {"experiment": "linear_probe", "schema": SCHEMA, "command": "python -m x", "records": [], "verdicts": []}
    (folder / "results.json").write_text(json.dumps(told))
    return [folder / "results.json"]


def read_run(path: Path) -> None:
    from slitlamp.errors import UsageError
    from slitlamp.runs import read_document

    with contextlib.suppress(UsageError):
        read_document(path)


# ---- weights


def weights(folder: Path) -> list[Path]:
    head = json.dumps({"__metadata__": {"format": "pt"},
                       "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                       "b.c": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]}}).encode()  # fmt: skip
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(22))
    placed = {"metadata": {"total_size": 22}, "weight_map": {"a": "model-1.safetensors", "b.c": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(placed))
    return sorted(folder.iterdir())


def read_weights(path: Path) -> None:
    from hub.errors import HubError
    from hub.safetensors_header import local
    from hub.tensors import index_of

    with contextlib.suppress(HubError):
        if path.suffix == ".json":
            index_of(path)
        else:
            for entry in local(path).entries.values():
                assert 0 <= entry.start <= entry.stop <= path.stat().st_size, "bytes outside the file"


@cache
def _tower() -> Path:
    """A tiny checkpoint in the format of transformers, made once."""
    from tests import tiny_towers

    return tiny_towers.rad_dino(Path(tempfile.mkdtemp(prefix="fuzz-tower-")) / "tower").folder


def towers(folder: Path) -> list[Path]:
    del folder
    return [path for path in sorted(_tower().iterdir()) if path.suffix == ".json"]


def read_tower(path: Path) -> None:
    """Load the checkpoint with this file in the place of its own, and encode an image."""
    import encoders
    from encoders import EncoderError
    from plugins import UnknownName

    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "tower"
        shutil.copytree(_tower(), folder)
        shutil.copy(path, folder / path.name)
        with contextlib.suppress(EncoderError, UnknownName):
            encoder = encoders.load("rad-dino", weights=folder, other_weights=True)
            encoders.encode(encoder, [picture(12, 12)], {"pooled": ["vector"]})


# ---- the store


MATERIAL = {"made": "for fuzzing"}


def shards(folder: Path) -> list[Path]:
    """A closed shard and the specification beside it."""
    from cache import Store

    space = Store(folder).space(MATERIAL)
    with space.writer({"a/mean": 4, "b/cls": 2}, total=3) as writer:
        writer.add([f"{k:064x}" for k in range(3)], {"a/mean": np.ones((3, 4), "f4"), "b/cls": np.ones((3, 2), "f4")})
    return sorted(path for path in space.folder.iterdir() if path.suffix in (".h5", ".json"))


def read_store(path: Path) -> None:
    """Put the file into a store, as damaged by chance and as if someone meant it, and read, list and verify that."""
    from cache import Store, StoreError

    home = path.parent / "store"
    with contextlib.suppress(StoreError):
        space = Store(home).space(MATERIAL)
        space.folder.mkdir(parents=True)
        name, data = path.name, path.read_bytes()
        if path.suffix == ".h5":
            length = int(re.findall(r"-(\d+)\.h5", name)[0])
            sealed = hashlib.sha256(data[:length]).hexdigest()[:32]
            (space.folder / f"shard-{sealed}-{length}.h5").write_bytes(data)
        (space.folder / name).write_bytes(data)
        contents = [f"{k:064x}" for k in range(3)]
        for act in (lambda: space.missing(contents, ["a/mean"]), lambda: space.read(contents, "a/mean"),
                    Store(home).ls, Store(home).verify):  # fmt: skip
            with contextlib.suppress(StoreError):
                act()


def memos(folder: Path) -> list[Path]:
    from cache import Store

    Store(folder).memo("fuzz").put_many({f"key {k}": {"value": k} for k in range(30)})
    return [folder / "memo" / "fuzz.sqlite"]


def read_memo(path: Path) -> None:
    """Ask a memo, tell it something, and ask again: what it says is what was told."""
    from cache import Store, StoreError

    home = path.parent / "store"
    (home / "memo").mkdir(parents=True)
    (home / "memo" / path.name).write_bytes(path.read_bytes())
    memo = Store(home).memo("fuzz")
    with contextlib.suppress(StoreError):
        for key, value in memo.get_many([f"key {k}" for k in range(30)]).items():
            assert value == {"value": int(key[4:])}, (key, value)
        memo.put_many({"new": 1})
        assert memo.get_many(["new"]) == {"new": 1}


def planted(folder: Path) -> list[Path]:
    """A file that no mutation leaves as it is, for the reader below."""
    (folder / "x.bin").write_bytes(bytes(range(256)))
    return [folder / "x.bin"]


def read_with_faults(path: Path) -> None:
    """A reader with every fault that is looked for; good files are read."""
    data = path.read_bytes()
    if data == bytes(range(256)):
        return
    match sum(data) % 4:
        case 0:
            raise IndexError("a fault of a decoder")
        case 1:
            np.ones(2**27, np.uint8)
        case 2:
            while True:
                pass
        case _:
            os.abort()


PLANTED = "planted"  # is asked for by the test of the fuzzer alone
KINDS = {
    "images": Kind(make=images, read=read_image, share=36),
    "medical": Kind(make=medical, read=read_image, share=20),
    "tables": Kind(make=tables, read=read_manifest, share=12),
    "answers": Kind(make=answers, read=read_answer_file, share=10),
    "grids": Kind(make=grids, read=read_grid_file, share=6),
    "runs": Kind(make=runs, read=read_run, share=2),
    "weights": Kind(make=weights, read=read_weights, share=6),
    "towers": Kind(make=towers, read=read_tower, share=2),
    "shards": Kind(make=shards, read=read_store, share=3),
    "memos": Kind(make=memos, read=read_memo, share=3),
    PLANTED: Kind(make=planted, read=read_with_faults, share=0),
}
