"""NIfTI: slices are hung alike however a volume is stored, and Hounsfield units wait for a window."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided
from tests.tasks.images.documented import documents
from tests.tasks.images.helpers import nifti, windowed


def volume() -> np.ndarray:
    values = np.zeros((20, 24, 5), np.int16)
    values[15:, :, :] += 100  # the patient's right
    values[:, 18:, :] += 50  # the front
    return values + np.arange(5, dtype=np.int16)


@documents("NIfTI: axes in any order")
@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "SRA"])
def test_nifti_slices_are_hung_alike_however_the_volume_is_stored(tmp_path: Path, axes: str) -> None:
    rows = tasks.open_source(str(nifti(tmp_path / "a.nii.gz", volume(), axes))).rows
    assert [r.columns["slice"] for r in rows] == list("12345")
    assert len({r.group for r in rows}) == 1
    for level, row in enumerate(rows):
        image = row.picture.read()
        assert image.shape == (24, 20)
        assert image[:, :5].mean() > image[:, -5:].mean()  # the patient's right is on the left
        assert image[:6].mean() > image[6:].mean()  # the front is up
        v = volume()
        expected = np.rint(v[::-1, ::-1, level].T / v.max() * 255)
        np.testing.assert_array_equal(image, expected)


@documents("NIfTI: Hounsfield units")
def test_nifti_in_hounsfield_units_waits_for_a_window(tmp_path: Path) -> None:
    hu = (volume() * 8 - 1000).astype(np.int16)
    path = nifti(tmp_path / "a.nii", hu)
    source = tasks.open_source(str(path))
    with pytest.raises(Undecided, match=r"-1000 to .*Hounsfield.*--window soft"):
        tasks.check(source)
    rows = tasks.open_source(str(path), window="40/400").rows
    np.testing.assert_array_equal(rows[2].picture.read(), windowed(hu[::-1, ::-1, 2].T, 40, 400))
    assert tasks.open_source(str(path), window="minmax").rows[0].picture.read().max() > 200


@documents("NIfTI: no orientation")
def test_a_nifti_that_does_not_say_how_it_lies_is_flagged_and_a_cut_one_is_unreadable(tmp_path: Path) -> None:
    source = tasks.open_source(str(nifti(tmp_path / "a.nii", volume(), code=0)))
    assert any("do not say how they lie and are shown as if stored in LAS order" in w for w in source.warnings)
    assert not any("how they lie" in w for w in tasks.open_source(str(nifti(tmp_path / "b.nii", volume()))).warnings)
    whole = gzip.compress((tmp_path / "b.nii").read_bytes())
    (tmp_path / "c.nii.gz").write_bytes(whole[:-60])
    with pytest.raises(DataError, match=r"1 of 1 images cannot be read: c\.nii\.gz: cannot be opened"):
        tasks.open_source(str(tmp_path / "c.nii.gz"))


def said(path: Path) -> list[str]:
    """The counted notes on a file, without those that hold for every file made here."""
    return [w for w in tasks.open_source(str(path)).warnings if "own group" not in w]


def header(path: Path, at: int, how: str, *values: Any) -> Path:
    """The same uncompressed file with numbers of its header written over, whatever they contradict."""
    raw = bytearray(path.read_bytes())
    struct.pack_into(f"<{how}", raw, at, *values)
    path.write_bytes(raw)
    return path


def formed(path: Path, sform: Any, qform: Any = None, values: np.ndarray | None = None) -> Path:
    """A volume with an sform, and a qform where one is given."""
    import nibabel

    made: Any = nibabel.Nifti1Image(volume() if values is None else values, np.eye(4))
    made.set_sform(np.array(sform, float), 1)
    made.set_qform(None if qform is None else np.array(qform, float), 0 if qform is None else 1)
    nibabel.save(made, path)
    return path


def turned(degrees: float, axis: int = 2) -> np.ndarray:
    """An affine that turns about an axis of the patient."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    found = np.eye(4)
    a, b = [k for k in range(3) if k != axis]
    found[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
    return found


@documents("NIfTI: a qform and an sform that disagree")
def test_two_orientations_that_disagree_are_said_and_the_sform_is_shown(tmp_path: Path) -> None:
    line = "5 of 5 images have a qform and an sform that disagree on which way the axes run; shown by the sform"
    right = tasks.open_source(str(formed(tmp_path / "right.nii", np.eye(4), np.eye(4)))).rows[2].picture.read()
    for qform, agree in (
        (np.diag([-1, 1, 1, 1]), False),  # left for right
        (np.diag([1, -1, 1, 1]), False),
        (turned(90), False),
        (turned(30), True),
        (np.diag([1, 1, 2.0, 1]), True),
        (np.eye(4), True),
    ):
        path = formed(tmp_path / "a.nii", np.eye(4), qform)
        assert said(path) == ([] if agree else [line])
        np.testing.assert_array_equal(tasks.open_source(str(path)).rows[2].picture.read(), right)
    assert said(formed(tmp_path / "b.nii", turned(44.99), turned(45.01))) == []  # one orientation, but for rounding


@documents("NIfTI: axes that are not perpendicular, voxels that are not square")
def test_sheared_and_oblong_voxels_are_said_and_shown_as_stored(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[1, 2] = 0.4  # a tilted gantry
    right = tasks.open_source(str(formed(tmp_path / "right.nii", np.eye(4)))).rows[2].picture.read()
    for affine, line in (
        (sheared, "5 of 5 images have axes that are not perpendicular and are shown as stored"),
        (np.diag([1, 2, 1, 1]), "5 of 5 images have voxels that are not square in the slice and are shown as stored"),
        (np.diag([1, 1, 5, 1]), ""),
        (turned(20, axis=0), ""),
    ):
        path = formed(tmp_path / "a.nii", affine)
        assert said(path) == ([line] if line else [])
        np.testing.assert_array_equal(tasks.open_source(str(path)).rows[2].picture.read(), right)


@documents("NIfTI: an axis without a direction")
@pytest.mark.filterwarnings("ignore")
def test_an_affine_without_a_direction_is_refused(tmp_path: Path) -> None:
    double = np.eye(4)
    double[:3, 1] = double[:3, 0]  # two axes run the same way
    for affine in (double, np.diag([1, 0, 1, 1.0])):
        with pytest.raises(DataError, match=r"a\.nii: its affine gives an axis no direction"):
            tasks.open_source(str(formed(tmp_path / "a.nii", affine)))
    nan = float("nan")
    for path in (
        header(formed(tmp_path / "b.nii", np.eye(4)), 280, "f", nan),  # srow_x
        header(nifti(tmp_path / "c.nii", volume(), code=0), 80, "f", nan),  # pixdim[1], and no form
    ):
        with pytest.raises(DataError, match="its affine gives an axis no direction"):
            tasks.open_source(str(path))


def test_a_voxel_size_that_is_none_is_said_where_it_counts(tmp_path: Path) -> None:
    line = "name a voxel size that is not above 0, which was taken for 1 or for its size without the sign"
    for size in (0.0, -1.0):
        path = header(nifti(tmp_path / "a.nii", volume(), code=0), 80, "f", size)
        assert f"5 of 5 images {line}" in said(path)
    assert said(header(formed(tmp_path / "b.nii", np.eye(4)), 80, "f", 0.0)) == []  # the sform has its own


@documents("NIfTI: a range of its own")
def test_a_volume_runs_from_its_least_to_its_greatest_finite_value(tmp_path: Path) -> None:
    values = volume().astype(np.float32)
    values[0, 0, 0], values[1, 0, 0] = np.nan, np.inf
    rows = tasks.open_source(str(nifti(tmp_path / "a.nii", values))).rows
    finite = np.where(np.isfinite(values), values, 0)
    expected = np.rint(finite[::-1, ::-1].T / finite.max() * 255)
    for level, row in enumerate(rows):
        np.testing.assert_array_equal(row.picture.read(), expected[level])


@documents("NIfTI: four dimensions")
def test_the_fourth_dimension_is_time_and_of_three_or_two_there_is_one(tmp_path: Path) -> None:
    times = np.stack([volume(), volume()[::-1]], axis=-1)
    rows = tasks.open_source(str(formed(tmp_path / "a.nii", np.eye(4), values=times))).rows
    assert [(r.columns["time"], r.columns["slice"]) for r in rows] == [(t, s) for t in "12" for s in "12345"]
    np.testing.assert_array_equal(rows[2].picture.read(), rows[7].picture.read()[:, ::-1])
    rows = tasks.open_source(str(formed(tmp_path / "b.nii", np.eye(4), values=times[:, :, :, None, :1]))).rows
    assert len(rows) == 5
    (flat,) = tasks.open_source(str(formed(tmp_path / "c.nii", np.eye(4), values=volume()[:, :, 2]))).rows
    np.testing.assert_array_equal(flat.picture.read(), np.rint((volume()[::-1, ::-1, 2].T - 2) / 150 * 255))


@documents("NIfTI: vectors, colours, complex numbers")
def test_voxels_of_several_numbers_are_refused(tmp_path: Path) -> None:
    import nibabel

    three = np.stack([volume()] * 3, axis=-1)
    for name, values, intent, line in (
        (
            "field",
            three[:, :, :, None, :],
            "vector",
            r"hold 3 numbers each \(dimensions \(20, 24, 5, 1, 3\)\): a vector",
        ),
        ("bare", three[:, :, :, None, :], "none", r"hold 3 numbers each \(dimensions \(20, 24, 5, 1, 3\)\): a vector"),
        ("fourth", three, "vector", r"hold 3 numbers each \(intent vector\): a vector"),
        ("warp", three, "displacement vector", "hold 3 numbers each"),
        ("complex", volume().astype(np.complex64), "none", "are colours or complex numbers"),
        ("rgb", three.astype(np.uint8).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0], "none", "are colours"),
    ):
        made: Any = nibabel.Nifti1Image(values, np.eye(4))
        made.header.set_intent(intent)
        nibabel.save(made, tmp_path / f"{name}.nii.gz")
        with pytest.raises(DataError, match=rf"{name}\.nii\.gz: its voxels {line}"):
            tasks.open_source(str(tmp_path / f"{name}.nii.gz"))
    scalar: Any = nibabel.Nifti1Image(volume(), np.eye(4))
    scalar.header.set_intent("vector")  # of one number
    nibabel.save(scalar, tmp_path / "one.nii")
    assert len(tasks.open_source(str(tmp_path / "one.nii")).rows) == 5


@documents("NIfTI: a scale that is 0 or no number")
def test_a_scale_of_0_means_none_and_one_that_is_no_number_is_said(tmp_path: Path) -> None:
    stored = volume() + 100
    nan = float("nan")
    line = "5 of 5 images have a scl_slope that is no number; their stored numbers are shown"
    for slope, inter, shown, lines in (
        (2.0, -100.0, stored * 2 - 100, []),
        (0.0, 77.0, stored, []),
        (nan, 0.0, stored, [line]),
        (float("inf"), 0.0, stored, [line]),
    ):
        path = header(nifti(tmp_path / "a.nii", stored), 112, "2f", slope, inter)
        assert said(path) == lines
        image = tasks.open_source(str(path), window="100/400").rows[2].picture.read()
        np.testing.assert_array_equal(image, windowed(shown[::-1, ::-1, 2].T, 100, 400))
    with pytest.raises(DataError, match="Valid slope but invalid intercept"):
        said(header(path, 112, "2f", 1.0, nan))


@documents("NIfTI: a header that promises more than the file holds")
@pytest.mark.parametrize(
    ("dims", "line"),
    [
        ((5, 4, 4, 32767, 32767, 1, 1, 1), "its header promises 34357641248 bytes of voxels"),
        ((4, 20, 24, 5, 32767, 1, 1, 1), r"its header promises 157281600 bytes of voxels \(20 x 24 x 5 x 32767\), the"),
        ((3, 32767, 32767, 32767, 1, 1, 1, 1), "its header promises 7036"),
        ((3, -20, 24, 5, 1, 1, 1, 1), "its header says -20 x 24 x 5 voxels in 3 dimensions"),
        ((3, 20, 0, 5, 1, 1, 1, 1), "its header says 20 x 0 x 5 voxels"),
        ((0, 20, 24, 5, 1, 1, 1, 1), "its header says no voxels in 0 dimensions"),
        ((1, 2400, 1, 1, 1, 1, 1, 1), "it holds one line of 2400 numbers"),
        ((9, 20, 24, 5, 1, 1, 1, 1), "a.nii"),
        ((3, 20, 24, 6, 1, 1, 1, 1), r"its header promises 5760 bytes of voxels \(20 x 24 x 6\), the file holds 4800"),
    ],
)
def test_a_nifti_header_is_held_against_the_file(tmp_path: Path, dims: tuple[int, ...], line: str) -> None:
    path = header(nifti(tmp_path / "a.nii", volume()), 40, "8h", *dims)
    with pytest.raises(DataError, match=line):
        tasks.open_source(str(path))
    if dims != (3, 20, 24, 6, 1, 1, 1, 1):  # one slice more could be there when it is unpacked
        packed = tmp_path / "b.nii.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        with pytest.raises(DataError, match=line.split(", the")[0].replace("a.nii", "b.nii")):
            tasks.open_source(str(packed))


def test_a_nifti_that_holds_more_than_its_header_says_is_counted(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", volume())
    assert said(path) == []
    header(path, 46, "h", 4)  # a slice less
    assert said(path) == ["4 of 4 images hold more voxels than their dimensions say, which are not shown"]


@documents("NIfTI: pairs of `.hdr` and `.img`")
def test_pairs_of_header_and_voxels_are_passed_over_and_counted(tmp_path: Path) -> None:
    import nibabel

    folder = tmp_path / "d"
    folder.mkdir()
    nifti(folder / "a.nii", volume())
    nibabel.save(nibabel.Nifti1Pair(volume(), np.eye(4)), folder / "b.img")
    assert "files that are no images were passed over: 1 .hdr, 1 .img" in said(folder)
    with pytest.raises(DataError, match="not an image of a known kind"):
        tasks.open_source(str(folder / "b.hdr"))


@documents("NIfTI: numbers beyond single precision")
@pytest.mark.parametrize("values", [volume().astype(np.int32) + 10**8, volume().astype(np.float64) + 1e9])
def test_numbers_that_single_precision_does_not_hold_keep_their_steps(tmp_path: Path, values: np.ndarray) -> None:
    rows = tasks.open_source(str(formed(tmp_path / "a.nii", np.eye(4), values=values))).rows
    low, high = float(values.min()), float(values.max())
    for level, row in enumerate(rows):
        expected = np.rint((values[::-1, ::-1, level].T - low) / (high - low) * 255)
        np.testing.assert_array_equal(row.picture.read(), expected)


@documents("NIfTI: a packed file whose checksum is broken")
def test_a_packed_file_is_read_to_its_checksum(tmp_path: Path) -> None:
    whole = nifti(tmp_path / "a.nii", volume()).read_bytes()
    expected = tasks.open_source(str(tmp_path / "a.nii")).rows[1].picture.read()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(whole[:500]) + gzip.compress(whole[500:]))  # in two members
    np.testing.assert_array_equal(tasks.open_source(str(path)).rows[1].picture.read(), expected)
    assert said(path) == []
    packed = bytearray(gzip.compress(whole))
    packed[-6] ^= 1
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"b\.nii\.gz: its voxels cannot be read \(BadGzipFile"):
        tasks.open_source(str(path)).rows[1].picture.read()


def test_more_voxels_in_a_packed_file_are_counted_and_sizes_follow_the_data_type(tmp_path: Path) -> None:
    plain = nifti(tmp_path / "a.nii", volume())
    assert said(header(plain, 72, "h", 8)) == []  # bitpix, which contradicts the data type
    assert said(header(plain, 72, "h", 32)) == []
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes() + b"\1" * 500))
    assert said(packed) == ["5 of 5 images hold more voxels than their dimensions say, which are not shown"]
    lying = header(plain, 40, "8h", 4, 1, 1, 1000, 2000, 1, 1, 1).read_bytes()
    packed.write_bytes(gzip.compress(lying + np.random.default_rng(0).bytes(4000)))  # 1032 times as much might be
    with pytest.raises(DataError, match=r"its header promises 4000000 bytes of voxels, the file holds 8800"):
        said(packed)
    with pytest.raises(DataError, match=r"its voxels begin at byte 0, inside its header"):
        said(header(plain, 108, "f", 0.0))  # vox_offset


def test_square_voxels_at_45_degrees_are_square(tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    affine = np.array([[half, -half, 0, 0], [half, half, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) * [2, 2, 2, 1]
    assert said(formed(tmp_path / "a.nii", affine)) == []


def test_a_packed_file_may_not_promise_far_more_than_gzip_saves_nor_hold_far_more_than_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.images import nifti as decoder

    empty = nifti(tmp_path / "x.nii.gz", np.zeros((64, 64, 64), np.int16))
    assert len(tasks.open_source(str(empty), window="minmax").rows) == 64
    monkeypatch.setattr(decoder, "SUSPECT", 2**19)
    monkeypatch.setattr(decoder, "RATIO", 100)
    with pytest.raises(DataError, match=r"promises 524288 bytes of voxels \(64 x 64 x 64\) from a file of"):
        tasks.open_source(str(empty), window="minmax")
    real = nifti(tmp_path / "y.nii.gz", np.random.default_rng(0).integers(0, 900, (64, 64, 64)).astype(np.int16))
    assert len(tasks.open_source(str(real), window="minmax").rows) == 64
    monkeypatch.setattr(decoder, "LARGEST", 2**19)
    with pytest.raises(DataError, match=r"they may take 0 GiB in memory"):
        tasks.open_source(str(real), window="minmax")
    monkeypatch.setattr(decoder, "LARGEST", 2**33)
    monkeypatch.setattr(decoder, "BEHIND", 2**12)
    (tmp_path / "y.nii.gz").write_bytes(gzip.compress(gzip.decompress(real.read_bytes()) + bytes(2**14)))
    with pytest.raises(DataError, match=r"promises 524288 bytes of voxels .* the file holds 540672"):
        tasks.open_source(str(real), window="minmax")
