"""DICOM: windows, compressed syntaxes, padding, palettes, frames, groups, and what never leaves the reader."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError
from tests.tasks.images.helpers import colour, ct, dicom, hounsfield, picture, read, windowed


def test_ct_is_shown_in_the_fixed_window_and_the_files_own_is_ignored_unless_asked(tmp_path: Path) -> None:
    path = ct(tmp_path / "a.dcm", hounsfield(), WindowCenter=[300, -500], WindowWidth=[600, 1500])
    np.testing.assert_array_equal(read(path), windowed(hounsfield(), 40, 400))
    np.testing.assert_array_equal(read(path, window="soft"), windowed(hounsfield(), 40, 400))
    np.testing.assert_array_equal(read(path, window="bone"), windowed(hounsfield(), 400, 1800))
    own = read(path, window="file").astype(int)
    assert np.abs(own - windowed(hounsfield(), 300, 600)).max() <= 1


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless"])
def test_compressed_syntaxes_give_the_same_pixels(tmp_path: Path, syntax: str) -> None:
    path = ct(tmp_path / "a.dcm", hounsfield(), syntax=syntax)
    np.testing.assert_array_equal(read(path), windowed(hounsfield(), 40, 400))


def wrap(path: Path, stream: bytes, syntax: str) -> None:
    """Replaces the pixels of a DICOM file by a compressed stream of them."""
    import pydicom
    from pydicom import encaps, uid

    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = uid.UID(syntax)
    data.PixelData = encaps.encapsulate([stream])
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)


def encapsulated(path: Path, array: np.ndarray, photometric: str) -> tuple[Path, np.ndarray]:
    """A JPEG-baseline DICOM file, and the pixels that Pillow sees in the same stream."""
    from PIL import Image

    box = io.BytesIO()
    Image.fromarray(array).save(box, "JPEG", quality=95, subsampling=0)
    dicom(path, array, PhotometricInterpretation=photometric)
    wrap(path, box.getvalue(), "1.2.840.10008.1.2.4.50")
    return path, np.asarray(Image.open(box))


def test_jpeg_baseline_is_read_in_grey_and_in_colour(tmp_path: Path) -> None:
    path, expected = encapsulated(tmp_path / "a.dcm", picture(), "MONOCHROME2")
    assert np.abs(read(path).astype(int) - expected).max() <= 1
    path, expected = encapsulated(tmp_path / "b.dcm", colour(), "YBR_FULL_422")
    assert np.abs(read(path).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"])
def test_lossless_jpeg_is_read_bit_for_bit(tmp_path: Path, uid: str) -> None:
    import imagecodecs

    stored = (hounsfield() + 1024).astype(np.uint16)
    path = ct(tmp_path / "a.dcm", hounsfield())
    wrap(path, bytes(imagecodecs.ljpeg_encode(stored, bitspersample=12)), uid)
    np.testing.assert_array_equal(read(path), windowed(hounsfield(), 40, 400))
    byte = dicom(tmp_path / "b.dcm", picture(), Modality="US")
    wrap(byte, bytes(imagecodecs.ljpeg_encode(picture())), uid)
    np.testing.assert_array_equal(read(byte), picture())


def test_twelve_bit_jpeg_is_read(tmp_path: Path) -> None:
    import imagecodecs

    stored = (hounsfield() + 1024).astype(np.uint16)
    path = ct(tmp_path / "a.dcm", hounsfield())
    stream = imagecodecs.jpeg8_encode(stored, level=100, bitspersample=12)
    wrap(path, bytes(stream), "1.2.840.10008.1.2.4.51")
    assert np.abs(read(path).astype(int) - windowed(hounsfield(), 40, 400)).max() <= 3


def test_big_endian_files_equal_their_little_endian_twin() -> None:
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    if not (folder / "MR_small_bigendian.dcm").exists():
        pytest.skip("this pydicom ships no test files")
    np.testing.assert_array_equal(read(folder / "MR_small_bigendian.dcm"), read(folder / "MR_small.dcm"))


def test_monochrome1_is_shown_with_low_values_bright(tmp_path: Path) -> None:
    values = picture().astype(np.uint16) * 16
    bright = read(dicom(tmp_path / "a.dcm", values, BitsStored=12, Modality="CR"))
    dark = read(
        dicom(tmp_path / "b.dcm", values, BitsStored=12, Modality="CR", PhotometricInterpretation="MONOCHROME1")
    )
    np.testing.assert_array_equal(dark, 255 - bright)
    given = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096, "Modality": "DX"}
    a = read(dicom(tmp_path / "c.dcm", values, **given))
    b = read(dicom(tmp_path / "d.dcm", 4095 - values, PhotometricInterpretation="MONOCHROME1", **given))
    assert np.corrcoef(a.ravel(), picture().ravel())[0, 1] > 0.999
    assert np.abs(a.astype(int) - b).max() <= 1


def test_padding_is_black_and_does_not_stretch_the_range(tmp_path: Path) -> None:
    values = picture().astype(np.int16) + 100
    values[:, :6] = -2000
    for pad in (-2000, 63536 - 65536):
        found = read(dicom(tmp_path / "a.dcm", values, Modality="MR", PixelPaddingValue=pad))
        assert not found[:, :6].any()
        assert found[:, 6:].min() == 0
        assert found[:, 6:].max() == 255
    inverse = read(
        dicom(
            tmp_path / "b.dcm",
            values,
            Modality="CR",
            PixelPaddingValue=-2000,
            PhotometricInterpretation="MONOCHROME1",
        )
    )
    assert not inverse[:, :6].any()


def test_a_voi_table_is_followed(tmp_path: Path) -> None:
    import pydicom

    table = pydicom.Dataset()
    table.LUTDescriptor = [256, 0, 16]
    entries = (np.arange(256) ** 2).astype(np.uint16)
    table["LUTData"] = pydicom.DataElement(0x00283006, "OW", entries.tobytes())
    path = dicom(tmp_path / "a.dcm", picture(), Modality="DX", VOILUTSequence=[table])
    found = read(path).astype(float)
    expected = picture().astype(float) ** 2
    assert np.abs(found - expected / 255).max() <= 1
    assert tasks.open_source(str(path)).rows[0].columns["window"] == "table"


def test_eight_bit_and_colour_dicom_come_back_as_stored(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(dicom(tmp_path / "a.dcm", picture(), Modality="US")), picture())
    np.testing.assert_array_equal(read(dicom(tmp_path / "b.dcm", colour(), Modality="US")), colour())


def test_uncompressed_ybr_becomes_rgb(tmp_path: Path) -> None:
    from PIL import Image

    ybr = np.asarray(Image.fromarray(colour()).convert("YCbCr"))
    path = dicom(tmp_path / "a.dcm", np.array(ybr), PhotometricInterpretation="YBR_FULL", Modality="US")
    assert np.abs(read(path).astype(int) - colour()).max() <= 3


def test_palette_colour_is_looked_up(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint16)
    tables = {"Red": ramp * 257, "Green": ramp[::-1] * 257, "Blue": (ramp // 2) * 257}
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", "Modality": "US"}
    for name, values in tables.items():
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = np.ascontiguousarray(values).tobytes()
    found = read(dicom(tmp_path / "a.dcm", picture(), **tags))
    p = picture()
    np.testing.assert_array_equal(found, np.stack([p, 255 - p, p // 2], axis=-1))


def test_each_frame_of_a_multi_frame_file_is_an_image_of_one_group(tmp_path: Path) -> None:
    stack = np.stack([picture(seed=s) for s in range(4)])
    source = tasks.open_source(str(dicom(tmp_path / "a.dcm", stack, Modality="US", syntax="RLELossless")))
    assert [r.columns["frame"] for r in source.rows] == ["1", "2", "3", "4"]
    assert len({r.group for r in source.rows}) == 1
    assert len({r.id for r in source.rows}) == len({r.picture.identity for r in source.rows}) == 4
    for row, frame in zip(source.rows, stack, strict=True):
        np.testing.assert_array_equal(row.picture.read(), frame)


def test_frames_without_a_window_share_one_range(tmp_path: Path) -> None:
    stack = np.stack([picture().astype(np.uint16) * k for k in (1, 4)])
    rows = tasks.open_source(str(dicom(tmp_path / "a.dcm", stack, Modality="MR"))).rows
    dim, bright = (r.picture.read() for r in rows)
    assert bright.max() == 255
    assert dim.max() < 70


def test_no_identifier_leaves_the_dicom_reader(tmp_path: Path) -> None:
    folder = tmp_path / "DOE_JANE"
    folder.mkdir()
    ct(folder / "SECRET-17.dcm", hounsfield(), PatientBirthDate="19420101", PatientAge="095Y")
    source = tasks.open_source(str(folder / "SECRET-17.dcm"))
    (row,) = source.rows
    told = repr((row.id, row.group, dict(row.columns), source.policy, source.warnings, source.undecided))
    for secret in ("SECRET", "DOE", "JANE", "1942", "1.2.3", str(tmp_path), "95"):
        assert secret not in told
    assert row.columns["age"] == "90"


def test_dicom_files_of_one_patient_are_one_group_and_those_of_two_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for i, patient in enumerate(["A", "B", "A"]):
        ct(folder / f"{i}.dcm", hounsfield() + i, PatientID=patient)
    first, second, third = (row.group for row in tasks.open_source(str(folder)).rows)
    assert first == third != second
    (folder / "m.csv").write_text("file,patient\n0.dcm,A\n1.dcm,B\n2.dcm,A\n")
    listed = tasks.open_source(str(folder / "m.csv"), group="patient")
    assert [row.group for row in listed.rows] == [first, second, third]


def test_orientation_letters_come_from_the_header_and_their_absence_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    ct(folder / "1.dcm", hounsfield(), ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    ct(folder / "2.dcm", hounsfield(), ImageOrientationPatient=[-1, 0, 0, 0, -1, 0])
    dicom(folder / "3.dcm", picture(), Modality="CR", PatientOrientation=["L", "F"])
    dicom(folder / "4.dcm", picture(), Modality="CR")
    source = tasks.open_source(str(folder))
    assert [(r.columns.get("left"), r.columns.get("up")) for r in source.rows] == [
        ("R", "A"),
        ("L", "P"),
        ("R", "H"),
        (None, None),
    ]
    assert any("1 of 4 images lie turned from the radiological display" in w for w in source.warnings)
    assert any("1 of 4 images do not say how they lie" in w for w in source.warnings)


def test_a_dicom_object_without_an_image_and_a_broken_one(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for i in range(3):
        ct(folder / f"{i}.dcm", hounsfield() + i)
    import pydicom

    report = pydicom.dcmread(folder / "0.dcm")
    for tag in ("Rows", "Columns", "PixelData"):
        del report[tag]
    report.save_as(folder / "report.dcm")
    whole = (folder / "1.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:-500])
    source = tasks.open_source(str(folder))
    assert any("1 DICOM files hold no image" in w for w in source.warnings)
    checked = tasks.check(source, unreadable_limit=0.3)
    assert len(checked.rows) == 3
    assert [why.split(":")[0] for _, why in checked.unreadable] == ["cut.dcm"]
    with pytest.raises(DataError, match=r"1 of 4 images cannot be read .*cut\.dcm: its pixels cannot be decoded"):
        tasks.check(source)
