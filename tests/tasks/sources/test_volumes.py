"""Volumes are items: whole NIfTI files and DICOM series, their controls and readouts, and the command over them."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
import tasks
from encoders import Card, EncoderError, Site
from encoders.extraction.pooling import matrix
from experiments import duplicates, features
from experiments.linear_probe import main
from slitlamp.encoding import fill
from tasks import DataError
from tests import tiny_custom
from tests.paths import ROOT
from tests.tasks.images.helpers import ct, dicom, nifti

RNG = np.random.default_rng(0)
HU = RNG.integers(-200, 300, (10, 12, 6))  # to the right, to the front, to the head
AXIAL = [1, 0, 0, 0, 1, 0]


def series(folder: Path, values: np.ndarray = HU, *, make: Any = ct, first: int = 0, **tags: Any) -> Path:
    """A DICOM series of the axial slices of [x, y, z], in files whose names and numbers tell nothing of the order.

    A tag that is a function is asked for the value of each level.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = {"ImageOrientationPatient": AXIAL, "SeriesInstanceUID": f"1.2.{zlib.crc32(folder.name.encode())}"}
    given |= {"ImagePositionPatient": lambda z: [0, 0, 2.5 * z], "InstanceNumber": lambda z: z * 5 % 7}
    for name, z in enumerate(np.random.default_rng(first).permutation(values.shape[2])):
        own = {k: v(int(z)) if callable(v) else v for k, v in {**given, **tags}.items()}
        make(folder / f"{name}.dcm", values[::-1, ::-1, z].T, **{k: v for k, v in own.items() if v is not None})
    return folder


def plain(path: Path, plane: np.ndarray, **tags: Any) -> Path:
    """`ct` for stored values as they are."""
    return dicom(path, np.ascontiguousarray(plane).astype(np.uint16), **tags)


def opened(path: Path, limit: float = 0.05, **choices: Any) -> tasks.Source:
    source = tasks.open_source(str(path), volumes=True, unreadable_limit=limit, **choices)
    return tasks.check(source, unreadable_limit=limit)


# from files to volumes


def test_a_nifti_volume_is_its_slices_from_the_feet_up(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", HU.astype(np.int16), "LPI")
    (row,) = opened(path, window="soft").rows
    slices = tasks.open_source(str(path), window="soft").rows
    np.testing.assert_array_equal(row.picture.read(), np.stack([s.picture.read() for s in slices]))
    assert row.columns["slices"] == "6"
    assert row.group == slices[0].group
    assert row.picture.identity not in {s.picture.identity for s in slices}
    assert row.picture.identity != opened(path, window="lung").rows[0].picture.identity


def test_slices_keep_the_policy_and_with_it_the_keys_that_they_had(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", HU.astype(np.int16))
    assert "volumes" not in tasks.open_source(str(path)).policy
    whole = tasks.open_source(str(path), volumes=True).policy
    assert {k: v for k, v in whole.items() if k != "volumes"} == tasks.open_source(str(path)).policy


def test_a_dicom_series_is_sorted_by_where_its_slices_lie_and_equals_the_nifti_of_it(tmp_path: Path) -> None:
    (row,) = opened(series(tmp_path / "d"), window="soft").rows
    (same,) = opened(nifti(tmp_path / "a.nii", HU.astype(np.int16)), window="soft").rows
    np.testing.assert_array_equal(row.picture.read(), same.picture.read())
    assert (row.columns["slices"], row.columns["modality"], row.columns["up"]) == ("6", "CT", "A")
    assert row.group == tasks.open_source(str(tmp_path / "d")).rows[0].group, "grouped by patient, as slices are"


@pytest.mark.parametrize("turned", [[-1, 0, 0, 0, -1, 0], [1, 0, 0, 0, -1, 0]])
def test_slices_run_from_the_feet_up_whichever_way_the_plane_is_turned(tmp_path: Path, turned: list[int]) -> None:
    (row,) = opened(series(tmp_path / "d", ImageOrientationPatient=turned), window="soft").rows
    (same,) = opened(series(tmp_path / "e"), window="soft").rows
    np.testing.assert_array_equal(row.picture.read(), same.picture.read())


def test_black_and_white_of_slices_without_a_window_are_those_of_the_volume(tmp_path: Path) -> None:
    stored = HU + 300
    (row,) = opened(series(tmp_path / "d", stored, make=plain, Modality="MR")).rows
    scaled = (stored - stored.min()) / (stored.max() - stored.min()) * 255
    np.testing.assert_array_equal(row.picture.read(), np.rint(scaled)[::-1, ::-1].T)


def test_windows_that_differ_from_slice_to_slice_are_said(tmp_path: Path) -> None:
    stored = HU + 300
    tags = {"Modality": "MR", "WindowCenter": lambda z: 200 + z, "WindowWidth": 300}
    source = opened(series(tmp_path / "d", stored, make=plain, **tags))
    assert any("1 of 1 volumes have slices with windows of their own that differ" in w for w in source.warnings)
    alone = tasks.open_source(str(tmp_path / "d"), window="file").rows
    planes = {r.picture.read().tobytes() for r in alone}
    assert {p.tobytes() for p in source.rows[0].picture.read()} == planes


def test_time_points_are_volumes_of_one_group(tmp_path: Path) -> None:
    four = np.stack([HU, HU[::-1]], axis=3).astype(np.int16)
    rows = opened(nifti(tmp_path / "a.nii", four), window="soft").rows
    assert [r.columns["time"] for r in rows] == ["1", "2"]
    assert len({r.group for r in rows}) == 1
    assert len({r.id for r in rows}) == len({r.picture.identity for r in rows}) == 2
    np.testing.assert_array_equal(rows[0].picture.read(), rows[1].picture.read()[:, :, ::-1])


def test_a_file_of_several_frames_is_a_volume_sorted_by_what_each_frame_says(tmp_path: Path) -> None:
    from pydicom import Dataset

    def group(name: str, attribute: str, value: list[float]) -> Dataset:
        outer, inner = Dataset(), Dataset()
        setattr(inner, attribute, value)
        setattr(outer, name, [inner])
        return outer

    order = [3, 0, 5, 1, 4, 2]
    stored = (HU + 300).astype(np.uint16)
    frames = np.ascontiguousarray(stored[::-1, ::-1, order].T)
    lies = group("PlaneOrientationSequence", "ImageOrientationPatient", [float(v) for v in AXIAL])
    spots = [group("PlanePositionSequence", "ImagePositionPatient", [0, 0, 2.0 * z]) for z in order]
    tags = {"SharedFunctionalGroupsSequence": [lies], "PerFrameFunctionalGroupsSequence": spots, "Modality": "MR"}
    dicom(tmp_path / "a.dcm", frames, **tags)
    (row,) = opened(tmp_path / "a.dcm").rows
    scaled = (stored - float(stored.min())) / (int(stored.max()) - int(stored.min())) * 255
    np.testing.assert_array_equal(row.picture.read(), np.rint(scaled)[::-1, ::-1].T)
    dicom(tmp_path / "b.dcm", frames, Modality="MR")
    source = opened(tmp_path)
    assert len(source.rows) == 2, "each such file is a volume, although both name one series"
    assert any("1 of 2 volumes do not say where their slices lie" in w for w in source.warnings)
    np.testing.assert_array_equal(source.rows[0].picture.read()[order], source.rows[1].picture.read())


def test_a_manifest_names_folders_of_one_series_each(tmp_path: Path) -> None:
    for k in range(3):
        series(tmp_path / f"p{k}", HU + k, first=k, PatientID=f"P{k}")
    (tmp_path / "m.csv").write_text("file,patient,sick\np0,A,yes\np1,A,no\np2,B,yes\n")
    source = opened(tmp_path / "m.csv", group="patient", columns_needed=["sick"], window="soft")
    assert [r.columns["sick"] for r in source.rows] == ["yes", "no", "yes"]
    assert len({r.group for r in source.rows}) == 2
    with pytest.raises(DataError, match="p0: a folder, which is one item with --volumes"):
        tasks.open_source(str(tmp_path / "m.csv"))
    (tmp_path / "p1").rename(tmp_path / "p2" / "inner")
    (tmp_path / "m.csv").write_text("file\np0\np2\n")
    with pytest.raises(DataError, match=r"of 2 volumes cannot be read.*p2: the folder holds 2 volumes"):
        opened(tmp_path / "m.csv")


def test_rows_of_slices_become_one_volume_where_they_agree_on_the_answer(tmp_path: Path) -> None:
    series(tmp_path / "d")
    rows = [f"d/{k}.dcm,{'yes' if k else 'SICK'},{k}" for k in range(6)]
    (tmp_path / "m.csv").write_text("file,sick,slice\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"d/0\.dcm and 5 more slices: its slices differ in 'sick' \('SICK', 'yes'\)"):
        opened(tmp_path / "m.csv", columns_needed=["sick"])
    (tmp_path / "m.csv").write_text(("file,sick,slice\n" + "\n".join(rows) + "\n").replace("SICK", "yes"))
    (row,) = opened(tmp_path / "m.csv", columns_needed=["sick"]).rows
    assert row.columns["sick"] == "yes"
    assert "slice" not in row.columns, "what differs from slice to slice is no fact of the volume"


# what is no volume


def test_slices_that_do_not_say_where_they_lie_go_by_their_numbers_and_that_is_said(tmp_path: Path) -> None:
    number = {"InstanceNumber": lambda z: z + 1, "ImagePositionPatient": None}
    source = opened(series(tmp_path / "d", **number), window="soft")
    assert any("1 of 1 volumes do not say where their slices lie" in w for w in source.warnings)
    (told,) = opened(series(tmp_path / "e"), window="soft").rows
    np.testing.assert_array_equal(source.rows[0].picture.read(), told.picture.read())


def test_a_missing_slice_is_said_and_whole_series_are_not_blamed(tmp_path: Path) -> None:
    series(tmp_path / "d")
    assert not any("uneven" in w for w in opened(tmp_path / "d").warnings)
    series(tmp_path / "e", ImagePositionPatient=lambda z: [0, 0, 2.5 * (z + (z > 3))])
    assert any("1 of 1 volumes have uneven gaps" in w for w in opened(tmp_path / "e").warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ImagePositionPatient": lambda z: [0, 0, z // 2]}, "3 of its 6 slices lie where another does"),
        ({"ImageOrientationPatient": lambda z: AXIAL if z else [0, 1, 0, 0, 0, -1]}, "do not lie parallel"),
        ({"ImagePositionPatient": None, "InstanceNumber": 1}, "neither where they lie nor in which order"),
        ({"SeriesInstanceUID": ""}, "does not name the series"),
    ],
)
def test_a_series_that_is_no_volume_is_told_in_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    series(tmp_path / "d", **change)
    with pytest.raises(DataError, match=rf"[16] of [16] volumes cannot be read: \d\.dcm.*: .*{message}") as found:
        opened(tmp_path / "d")
    assert "\n" not in str(found.value)


def test_mixed_sizes_single_slices_and_colours_make_no_volume(tmp_path: Path) -> None:
    series(tmp_path / "a")
    series(tmp_path / "b", HU[:, :8, :2], SeriesInstanceUID="1.3")
    series(tmp_path / "b2", HU[:, :, :1], SeriesInstanceUID="1.3", ImagePositionPatient=[0, 0, 99])
    series(tmp_path / "c", HU[:, :, :1], SeriesInstanceUID="1.4")
    colour = np.repeat(HU[..., None].astype(np.uint8), 3, axis=3)
    colour[..., 1] = 7
    for k in range(3):
        (tmp_path / "d").mkdir(exist_ok=True)
        dicom(tmp_path / "d" / f"{k}.dcm", colour[:, :, k], SeriesInstanceUID="1.5", InstanceNumber=k)
    source = opened(tmp_path, limit=0.9, window="soft")
    assert len(source.rows) == 1
    told = "; ".join(why for _, why in source.unreadable)
    assert "b2/0.dcm and 2 more slices: its slices differ in size (10 x 12 and 10 x 8 pixels)" in told
    assert "c/0.dcm: it holds one slice, which is no volume; leave --volumes out" in told
    assert "d/0.dcm and 2 more slices: its slices are in colour, and a volume is grey" in told


def test_one_broken_slice_makes_its_volume_unreadable_and_is_named(tmp_path: Path) -> None:
    series(tmp_path / "a", SeriesInstanceUID="1.3")
    broken = series(tmp_path / "b", SeriesInstanceUID="1.4") / "2.dcm"
    broken.write_bytes(broken.read_bytes()[:-50])
    source = opened(tmp_path, limit=0.5)
    assert len(source.rows) == 1
    ((_, why),) = source.unreadable
    assert why.startswith("b/0.dcm and 5 more slices: slice ")
    assert "of 6: its pixels cannot be decoded" in why


def test_flat_images_marks_slices_by_number_and_benchmarks_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png: a flat image; --volumes makes items of NIfTI files and DICOM series"):
        opened(tmp_path / "x.png")
    nifti(tmp_path / "a.nii", HU.astype(np.int16))
    (tmp_path / "m.csv").write_text("file,red_x,red_y\na.nii,3,4\n")
    with pytest.raises(DataError, match=r"a\.nii: the red mark has x and y, which are no place in a volume"):
        opened(tmp_path / "m.csv", window="soft")
    (tmp_path / "m.csv").write_text("file,frame\na.nii,4\n")
    with pytest.raises(DataError, match=r"a\.nii: it has 1 volume, not frame 4"):
        opened(tmp_path / "m.csv", window="soft")
    with pytest.raises(DataError, match="--volumes has nothing to act on: the images of medblink are flat"):
        opened(Path("medblink"))
    with pytest.raises(DataError, match=r"b\.nii: its slices have 3 x 12 pixels; a volume has at least 4 x 4"):
        opened(nifti(tmp_path / "b.nii", HU[:3].astype(np.int16)), window="soft")


def test_an_affine_without_directions_is_told_in_one_line(tmp_path: Path) -> None:
    import nibabel

    image: Any = nibabel.Nifti1Image(HU.astype(np.int16), np.eye(4))
    image.header.set_sform(np.diag([0, 1, 1, 1.0]), 1)
    image._affine = None  # so that the header is kept as it is
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(DataError, match=r"a\.nii: its affine gives an axis no direction"):
        tasks.open_source(str(tmp_path / "a.nii"))


def test_volumes_are_turned_slice_by_slice(tmp_path: Path) -> None:
    values = RNG.integers(0, 200, (16, 24, 5)).astype(np.int16)
    source = opened(nifti(tmp_path / "a.nii", values))
    here = source.rows[0].picture.read()
    for name, turn in (("mirror", here[:, :, ::-1]), ("orientation", here[:, ::-1, ::-1])):
        items = list(tasks.load(name).items(source, np.random.default_rng(0), None))
        np.testing.assert_array_equal(items[0].picture.read(), here)
        np.testing.assert_array_equal(items[1].picture.read(), turn)


# controls and readouts


def test_the_pixels_of_a_volume_are_exact_means_of_its_parts() -> None:
    from encoders.pixels import features as pixels
    from encoders.pixels import small_volume

    volume = RNG.integers(0, 256, (7, 20, 37), dtype=np.uint8)
    here = small_volume(volume)
    assert here.shape == (4, 16, 16)
    assert here.mean() == pytest.approx(volume.mean() / 255, abs=1e-6)
    np.testing.assert_array_equal(small_volume(volume[::-1, ::-1, ::-1]), here[::-1, ::-1, ::-1])
    cells = RNG.integers(0, 256, (4, 16, 16), dtype=np.uint8)
    large = np.kron(cells, np.ones((3, 2, 5), np.uint8))
    np.testing.assert_allclose(small_volume(large), cells / 255, atol=1e-7)
    both = pixels([volume, volume[0]])
    assert both["pooled"].shape == (2, 1024)
    np.testing.assert_array_equal(both["pooled"][0], here.ravel())
    np.testing.assert_array_equal(both["pooled"][1], pixels([volume[0]])["pooled"][0])
    np.testing.assert_allclose(both["final"][0].mean(), here.mean(), rtol=1e-6)


def test_lowlevel_counts_over_all_slices_and_knows_no_place_in_them() -> None:
    from encoders.lowlevel import NAMES, describe

    volume = RNG.integers(0, 256, (6, 24, 24), dtype=np.uint8)
    volume[0] //= 2
    told = describe(volume)
    np.testing.assert_array_equal(describe(volume[:1]), describe(volume[0]), "one slice is an image")
    for other in (volume[::-1], volume[:, ::-1], volume[:, :, ::-1], np.rot90(volume, axes=(1, 2))):
        np.testing.assert_array_equal(describe(other), told)
    named = dict(zip(NAMES, told, strict=True))
    assert named["log area"] == pytest.approx(np.log(volume.size))
    assert named["red mean"] == pytest.approx(volume.mean() / 255)
    smooth = np.repeat(volume[:1], 6, axis=0)
    entropy = NAMES.index("step entropy")
    assert describe(smooth)[entropy] < told[entropy] - 0.5, "slices that are alike make small steps"


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_halves_and_thirds_of_a_volume_are_those_of_its_plane_and_then_of_its_slices(depth: int) -> None:
    site = Site(width=1, grid=(depth, 4, 6))
    grid = RNG.normal(size=site.grid or ())
    fine = np.kron(grid, np.ones((6, 1, 1)))
    deep = {"halves": np.split(fine, 2), "grid3": np.split(fine, 3)}
    plane = grid.mean(axis=0)
    halves = [plane[:, :3], plane[:, 3:], plane[:2], plane[2:]]
    read = matrix(site, "halves") @ grid.ravel()
    np.testing.assert_allclose(read, [x.mean() for x in (*halves, *deep["halves"])], atol=1e-6)
    rows = np.kron(plane, np.ones((3, 1)))
    nine = [rows[4 * i : 4 * i + 4, 2 * j : 2 * j + 2].mean() for i in range(3) for j in range(3)]
    np.testing.assert_allclose(matrix(site, "grid3") @ grid.ravel(), [*nine, *map(np.mean, deep["grid3"])], atol=1e-6)
    np.testing.assert_allclose(matrix(site, "mean") @ grid.ravel(), [grid.mean()], atol=1e-6)
    widths = {readout: width for _, readout, width in encoders.points(Card(name="x", sites={"s": site}))}
    assert widths == {"mean": 1, "halves": 6, "grid3": 12}


def test_a_users_torch_module_reads_volumes_as_maps_and_as_tokens_of_a_declared_grid() -> None:
    import torch

    class StoredEncoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = torch.nn.AvgPool3d(4)
            self.tokens = torch.nn.Flatten(2)
            self.last = torch.nn.Identity()

        def forward(self, x: Any) -> Any:
            return self.last(self.tokens(self.map(x)).transpose(1, 2))

    def prepare(volume: np.ndarray) -> Any:
        return torch.from_numpy(volume[:8, :16, :16].astype(np.float32))[None]

    grid = (2, 4, 4)
    card = Card(name="eye", volumes=True, sites={"final": Site(width=1, grid=grid)})
    encoder = encoders.from_module(card, StoredEncoder(), prepare, {"stage.1": "map", "final": "last"})
    assert encoder.card.sites["stage.1"].grid == encoder.card.sites["final"].grid == grid
    volume = RNG.integers(0, 256, (8, 16, 16), dtype=np.uint8)
    found = encoders.encode(encoder, [volume], {"stage.1": ["halves"], "final": ["halves"]})
    halves = [volume[:, :, :8], volume[:, :, 8:], volume[:, :8], volume[:, 8:], volume[:4], volume[4:]]
    for vectors in found.values():
        np.testing.assert_allclose(vectors[0], [x.mean() for x in halves], rtol=1e-5)
    with pytest.raises(EncoderError, match=r"32 tokens.* no square grid.*grid=\(depth, height, width\)"):
        encoders.from_module(Card(name="eye", volumes=True), StoredEncoder(), prepare, {"final": "last"})


# the command

DOCUMENT = ROOT / "docs" / "encoders.md"
RAMP = np.array([0, 0, 0, 0, 20, 40, 60, 80])


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Volumes whose slices brighten in the upper or in the lower half, all equally bright; NIfTI and DICOM."""
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr("slitlamp.reports.files._figure", lambda *_: [])
    page = DOCUMENT.read_text(encoding="utf-8").partition("## Your own encoder of volumes")[2]
    (tmp_path / "cells.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    rows = ["file,patient,scan,where"]
    for k in range(20):
        rng = np.random.default_rng(k)
        values = rng.integers(0, 60, (20, 20, 8)) + (RAMP if k % 2 else RAMP[::-1])
        if k < 16:
            nifti(tmp_path / f"v{k}.nii", values.astype(np.int16))
            rows.append(f"v{k}.nii,p{k // 2},{k},{'above' if k % 2 else 'below'}")
        else:
            series(tmp_path / f"s{k}", values, first=k, SeriesInstanceUID=f"1.7.{k}")
            rows.append(f"s{k},p{k // 2},{k},{'above' if k % 2 else 'below'}")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def probe(folder: Path, *more: str, encoder: str = "cells.py") -> int:
    name = str(folder / encoder) if encoder.endswith(".py") else encoder
    words = ["--encoder", name, "--data", str(folder / "m.csv"), "--label", "where", "--group", "patient", "--volumes"]
    words += ["--window", "30/200", "--permutations", "19", "--repeats", "2", "--jobs", "1", "--copies", "warn"]
    return main([*words, "--out", str(folder / "out"), *more])


def test_the_command_reads_what_lies_in_the_slices_and_not_what_does_not(
    planted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probe(planted, "--dry-run", "--json", "--twins", "0") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["volumes"]
    assert {row["items"] for row in plan["plan"]} == {20}
    assert probe(planted, "--twins", "0") == 0
    out, err = capsys.readouterr()
    assert "20 items in 10 groups" in out
    assert "60 volumes encoded" in err
    assert "--volumes" in out.rpartition("To repeat:")[2]
    records = json.loads((planted / "out" / "results.json").read_text())["records"]
    score = {(r["encoder"], r["site"], r["readout"]): r["score"] for r in records if r["role"] != "control"}
    assert score["cells", "final", "halves"] > 0.95
    assert score["cells", "final", "grid3"] > 0.95
    assert score["cells", "final", "mean"] < 0.75
    assert score["cells", "pooled", "vector"] < 0.75
    control = {r["encoder"]: r["score"] for r in records if r["role"] == "control" and ":" not in r["encoder"]}
    assert control["pixels"] > 0.95
    assert control["lowlevel"] < 0.75
    before = (planted / "out" / "results.json").read_bytes()
    monkeypatch.setattr(fill, "_encode", lambda *_a, **_k: pytest.fail("encoded again"))
    assert probe(planted, "--twins", "0") == 0
    assert (planted / "out" / "results.json").read_bytes() == before
    assert features.main(["verify"]) == 0


def test_radfm_and_its_untrained_twin_read_volumes_from_the_command(
    planted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from encoders.networks.perceiver import Perceiver

    def network() -> Any:
        from encoders.networks.radfm import RadFMVision

        reads = Perceiver(48, 5, depth=2, heads=2, inner=72)
        return RadFMVision(width=48, blocks=1, heads=2, inner=64, perceiver=reads, language=40)

    monkeypatch.setattr("encoders.radfm.network", network)
    tiny_custom.radfm(planted / "radfm", blocks=1)
    more = (
        "--weights",
        str(planted / "radfm"),
        "--other-weights",
        "--site",
        "block.0",
        "--twins",
        "1",
        "--limit",
        "8",
        "--folds",
        "4",
        "--readout",
        "halves",
    )
    more += ("--group", "scan")  # fewer volumes fill the folds
    assert probe(planted, *more, encoder="radfm") == 0
    out, _ = capsys.readouterr()
    assert "LIMITED RUN" in out
    records = json.loads((planted / "out" / "results.json").read_text())["records"]
    score = {(r["role"], r["encoder"], r["readout"]): r["score"] for r in records}
    assert score["encoder", "radfm (other weights)", "halves"] > 0.95
    assert ("control", "random:radfm (other weights)", "halves") in score


def test_an_encoder_of_flat_images_is_refused_before_anything_is_read(
    planted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.open_source", lambda *_a, **_k: pytest.fail("read"))
    assert probe(planted, encoder="clip-b16") == 4
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: clip-b16 reads one image at a time, not volumes: give slices as items (leave ")
    assert "or use an encoder of volumes (radfm, or a file of your own whose CARD says volumes=True)" in last
    assert main(["--encoder", "radfm", "--volumes"]) == 2
    assert "--volumes needs --data SOURCE" in capsys.readouterr().err


def test_beside_an_encoder_of_volumes_one_of_flat_images_is_named_and_left_out(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--site", "pooled", "--twins", "0")
    words = ["--encoder", str(planted / "cells.py"), "clip-b16"]
    assert probe(planted, *words, *more) == 5
    assert "error: clip-b16 reads one image at a time, not volumes" in capsys.readouterr().err


def test_copies_of_volumes_are_found_across_groups_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    for k, name in enumerate("abc"):
        values = HU if name != "b" else RNG.integers(-200, 300, HU.shape)
        series(tmp_path / "d" / name, values, first=k, PatientID=name, SeriesInstanceUID=f"1.{k + 3}")
    words = ["--data", str(tmp_path / "d"), "--volumes", "--window", "soft"]
    written, sheet = tmp_path / "groups.csv", tmp_path / "pairs.png"
    assert duplicates.main([*words, "--write", str(written), "--thumbnails", str(sheet)]) == 3
    out, err = capsys.readouterr()
    assert "3 volumes in 3 groups; 1 clusters of copies (2 volumes), 1 of them across groups (1 identical)" in out
    assert "--group group --volumes" in err
    assert sheet.exists()
    assert len(written.read_text().splitlines()) == 1 + 3 * HU.shape[2]
    again = ["--data", str(written), "--group", "group", "--volumes", "--window", "soft"]
    assert duplicates.main(again) == 0
    assert "3 volumes in 2 groups" in capsys.readouterr().out
