"""DICOM: windows, compressed syntaxes, padding, palettes, frames, groups, and what never leaves the reader."""

import contextlib
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, UnknownName
from tasks.images.decode import DecodePolicy, LastOpened, list_frames
from tests.tasks.images.documented import documents
from tests.tasks.images.helpers import colour, ct, dicom, hounsfield, picture, read, save, windowed

QUIET = ("how they lie", "own group", "patient")  # of what is said of every made-up file


def said(path: Path, **choices: Any) -> list[str]:
    """The counted notes on a source, without those that hold for every file made here."""
    return [w for w in tasks.open_source(str(path), **choices).warnings if not any(q in w for q in QUIET)]


def stored(bits: int = 12, signed: bool = False) -> np.ndarray:
    """Numbers that fill so many bits, without symmetry."""
    values = (np.add.outer(np.arange(40) * 7, np.arange(56) * 73) % 2**bits).astype(np.int32)
    values[39, 50:] = 0, 2**bits - 1, 0, 2 ** (bits - 1), 2**bits - 1, 1
    return values - 2 ** (bits - 1) * signed


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Greys from the least to the greatest value, by a formula of the test's own."""
    return np.clip(np.rint((values.astype(float) - low) * 255 / (high - low)), 0, 255)


def rewrite(path: Path, **tags: Any) -> Path:
    """The same file with other tags; those that are None are left out."""
    import pydicom

    data = pydicom.dcmread(path)
    for name, value in tags.items():
        if value is None:
            delattr(data, name)
        elif name == "PixelPaddingValue":
            data[name] = pydicom.DataElement(name, "US", value)
        else:
            setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def lookup(entries: np.ndarray, *described: int) -> Any:
    """An item of a sequence of tables."""
    import pydicom

    made = pydicom.Dataset()
    made["LUTDescriptor"] = pydicom.DataElement("LUTDescriptor", "US", list(described))
    made["LUTData"] = pydicom.DataElement("LUTData", "OW", entries.astype("<u2").tobytes())
    return made


def item(**tags: Any) -> Any:
    import pydicom

    made = pydicom.Dataset()
    for name, value in tags.items():
        setattr(made, name, value)
    return made


@documents("DICOM: CT")
def test_ct_is_shown_in_the_fixed_window_and_the_files_own_is_ignored_unless_asked(tmp_path: Path) -> None:
    path = ct(tmp_path / "a.dcm", hounsfield(), WindowCenter=[300, -500], WindowWidth=[600, 1500])
    np.testing.assert_array_equal(read(path), windowed(hounsfield(), 40, 400))
    np.testing.assert_array_equal(read(path, window="soft"), windowed(hounsfield(), 40, 400))
    np.testing.assert_array_equal(read(path, window="bone"), windowed(hounsfield(), 400, 1800))
    own = read(path, window="file").astype(int)
    assert np.abs(own - windowed(hounsfield(), 300, 600)).max() <= 1


@documents("DICOM: RLE, JPEG-LS, JPEG 2000")
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


@documents("DICOM: JPEG of 8 bits")
def test_jpeg_baseline_is_read_in_grey_and_in_colour(tmp_path: Path) -> None:
    path, expected = encapsulated(tmp_path / "a.dcm", picture(), "MONOCHROME2")
    assert np.abs(read(path).astype(int) - expected).max() <= 1
    path, expected = encapsulated(tmp_path / "b.dcm", colour(), "YBR_FULL_422")
    assert np.abs(read(path).astype(int) - expected).max() <= 2


@documents("DICOM: lossless JPEG")
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


@documents("DICOM: JPEG of 12 bits")
def test_twelve_bit_jpeg_is_read(tmp_path: Path) -> None:
    import imagecodecs

    stored = (hounsfield() + 1024).astype(np.uint16)
    path = ct(tmp_path / "a.dcm", hounsfield())
    stream = imagecodecs.jpeg8_encode(stored, level=100, bitspersample=12)
    wrap(path, bytes(stream), "1.2.840.10008.1.2.4.51")
    assert np.abs(read(path).astype(int) - windowed(hounsfield(), 40, 400)).max() <= 3


@documents("DICOM: big endian")
def test_big_endian_files_equal_their_little_endian_twin() -> None:
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    if not (folder / "MR_small_bigendian.dcm").exists():
        pytest.skip("this pydicom ships no test files")
    np.testing.assert_array_equal(read(folder / "MR_small_bigendian.dcm"), read(folder / "MR_small.dcm"))


@documents("DICOM: MONOCHROME1")
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


@documents("DICOM: padding")
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


@documents("DICOM: a window table")
def test_a_voi_table_is_followed_by_its_descriptor_and_one_that_is_none_is_not(tmp_path: Path) -> None:
    squares = np.arange(256) ** 2
    path = dicom(tmp_path / "a.dcm", picture(), Modality="DX", VOILUTSequence=[lookup(squares, 256, 0, 16)])
    expected = picture().astype(float) ** 2 / 255
    assert np.abs(read(path) - expected).max() <= 0.5
    assert tasks.open_source(str(path)).rows[0].columns["window"] == "table"
    assert said(path) == []
    curve = np.arange(4096) ** 2 // 4095  # 12 bits, as mammographs write it
    deep = dicom(tmp_path / "b.dcm", stored().astype(np.uint16), BitsStored=12, Modality="MG")
    rewrite(deep, VOILUTSequence=[lookup(curve, 4096, 0, 12)])
    assert np.abs(read(deep) - curve[stored()] / 4095 * 255).max() <= 0.5
    skipped = "1 of 1 images name a table that is none, which is no window"
    for wrong in (lookup(squares, 300, 0, 16), lookup(squares[:0], 256, 0, 16), lookup(squares * 0, 256, 0, 16)):
        rewrite(path, VOILUTSequence=[wrong])
        np.testing.assert_array_equal(read(path), picture())
        assert said(path) == [
            "1 of 1 images name a table that is none, which is no window; shown as if they named none"
        ]
    rewrite(path, VOILUTSequence=[lookup(squares, 300, 0, 16), lookup(squares, 256, 0, 16)])
    assert np.abs(read(path) - expected).max() <= 0.5
    assert said(path) == [f"{skipped}; shown in the first that is one"]


@documents("DICOM: 8 bits without a window, and RGB")
def test_eight_bit_and_colour_dicom_come_back_as_stored(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(dicom(tmp_path / "a.dcm", picture(), Modality="US")), picture())
    np.testing.assert_array_equal(read(dicom(tmp_path / "b.dcm", colour(), Modality="US")), colour())
    scaled = dicom(tmp_path / "c.dcm", picture(), Modality="NM", RescaleSlope=10, RescaleIntercept=0)
    p = picture()
    np.testing.assert_array_equal(read(scaled), ramp(p * 10.0, p.min() * 10.0, p.max() * 10.0))  # and not white


@documents("DICOM: YBR")
def test_uncompressed_ybr_becomes_rgb(tmp_path: Path) -> None:
    from PIL import Image

    ybr = np.asarray(Image.fromarray(colour()).convert("YCbCr"))
    path = dicom(tmp_path / "a.dcm", np.array(ybr), PhotometricInterpretation="YBR_FULL", Modality="US")
    assert np.abs(read(path).astype(int) - colour()).max() <= 3


@documents("DICOM: a palette")
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


@documents("DICOM: several frames")
def test_each_frame_of_a_multi_frame_file_is_an_image_of_one_group(tmp_path: Path) -> None:
    stack = np.stack([picture(seed=s) for s in range(4)])
    source = tasks.open_source(str(dicom(tmp_path / "a.dcm", stack, Modality="US", syntax="RLELossless")))
    assert [r.columns["frame"] for r in source.rows] == ["1", "2", "3", "4"]
    assert len({r.group for r in source.rows}) == 1
    assert len({r.id for r in source.rows}) == len({r.picture.identity for r in source.rows}) == 4
    for row, frame in zip(source.rows, stack, strict=True):
        np.testing.assert_array_equal(row.picture.read(), frame)


@documents("DICOM: more than 8 bits without a window")
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


@documents("DICOM: rows that lie otherwise than a radiologist hangs them")
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
    with pytest.raises(
        DataError,
        match=r"1 of 4 images cannot be read .*cut\.dcm: its pixels cannot be decoded: 4480 bytes",
    ):
        tasks.check(source)


CODED = ("", "RLELossless", "1.2.840.10008.1.2.2", "JPEG2000", "JPEGLS", "LJPEG")


def coded(path: Path, cells: np.ndarray, how: str, **tags: Any) -> Path:
    """A file of 12 bits in 16 whose cells reach the decoder with all their bits, however they are compressed."""
    import imagecodecs
    import pydicom
    from pydicom import uid

    tags = {"Modality": "MR", "HighBit": 11, **tags}
    whole = rewrite(dicom(path, cells), BitsStored=12, **tags)
    codes = cells.view(np.uint16)
    if how == "RLELossless":
        data = pydicom.dcmread(path)
        data.BitsStored, data.HighBit = 16, 15  # as a compressor that looks at whole cells
        data.compress(uid.RLELossless, generate_instance_uid=False)
        data.BitsStored, data.HighBit = 12, tags["HighBit"]
        data.save_as(path, enforce_file_format=True)
    elif how == "1.2.840.10008.1.2.2":
        data = pydicom.Dataset()
        data.update(pydicom.dcmread(path))
        data.file_meta = pydicom.dcmread(path).file_meta
        data.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
        for words in (data["PixelData"], *(table["LUTData"] for table in data.get("ModalityLUTSequence", []))):
            words.value = np.frombuffer(words.value, np.uint16).byteswap().tobytes()
        data.save_as(path, implicit_vr=False, little_endian=False)
    elif how == "JPEG2000":
        wrap(path, bytes(imagecodecs.jpeg2k_encode(codes, codecformat="j2k", level=0, reversible=True)), f"{JPEG}.90")
    elif how == "JPEGLS":
        wrap(path, bytes(imagecodecs.jpegls_encode(codes)), f"{JPEG}.80")
    elif how == "LJPEG":
        wrap(path, bytes(imagecodecs.ljpeg_encode(codes, bitspersample=16)), f"{JPEG}.70")
    return whole


JPEG = "1.2.840.10008.1.2.4"


@documents("DICOM: bits beyond BitsStored")
@pytest.mark.parametrize("how", CODED)
def test_bits_beyond_those_stored_are_no_part_of_the_number(tmp_path: Path, how: str) -> None:
    plain, signed = stored(), stored(signed=True)
    shown = ramp(plain, 0, 4095)
    over = plain.astype(np.uint16)
    over[4:20, 4:20] |= 0x8000  # an overlay plane
    cases = {
        "overlay": coded(tmp_path / "overlay.dcm", over, how),
        "sign not extended": coded(
            tmp_path / "bare.dcm", (signed & 0xFFF).astype(np.uint16), how, PixelRepresentation=1
        ),
        "sign extended": coded(tmp_path / "signed.dcm", signed.astype(np.int16), how),
        "something above": coded(
            tmp_path / "above.dcm", ((signed & 0xFFF) | 0x5000).astype(np.uint16), how, PixelRepresentation=1
        ),
    }
    for path in cases.values():
        np.testing.assert_array_equal(read(path), shown)  # by the range, which the other bits do not stretch
        np.testing.assert_array_equal(read(path, window="full"), shown)
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    path = coded(tmp_path / "window.dcm", over, how, **window)
    np.testing.assert_array_equal(read(path), np.clip(np.rint(plain * 255 / 4095), 0, 255))
    table = lookup(4095 - np.arange(4096), 4096, 0, 16)
    path = coded(tmp_path / "table.dcm", over, how, ModalityLUTSequence=[table], RescaleType="US")
    np.testing.assert_array_equal(read(path), ramp(4095 - plain, 0, 4095))
    path = coded(tmp_path / "pad.dcm", over, how, PixelPaddingValue=int(plain[10, 10]))
    expected = np.where(plain == plain[10, 10], 0, shown)
    np.testing.assert_array_equal(read(path), expected)


@documents("DICOM: HighBit above BitsStored - 1")
@pytest.mark.parametrize("how", CODED)
def test_numbers_in_higher_bits_are_shifted_and_that_is_said(tmp_path: Path, how: str) -> None:
    for signed in (False, True):
        cells = (stored(signed=signed) << 4).astype(np.int16 if signed else np.uint16)
        path = coded(tmp_path / f"{signed}.dcm", cells | 5, how, HighBit=15)
        np.testing.assert_array_equal(read(path), ramp(stored(), 0, 4095))
        assert [w for w in said(path) if "compressed stream" not in w] == [
            "1 of 1 images keep their numbers in other bits than the lowest (HighBit is not BitsStored - 1) "
            "and were shifted by it"
        ]


def test_bits_beyond_those_stored_in_frames_and_in_colours(tmp_path: Path) -> None:
    frames = np.stack([stored(), stored()[::-1]]).astype(np.uint16)
    rows = tasks.open_source(str(rewrite(dicom(tmp_path / "a.dcm", frames | 0x9000), BitsStored=12, HighBit=11))).rows
    for row, frame in zip(rows, frames, strict=True):
        np.testing.assert_array_equal(row.picture.read(), ramp(frame, 0, 4095))
    deep = np.stack([stored(), stored()[::-1], stored()[:, ::-1]], axis=-1).astype(np.uint16)
    path = rewrite(dicom(tmp_path / "b.dcm", deep | 0x7000), BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read(path), ramp(deep, 0, 4095))
    byte = rewrite(dicom(tmp_path / "c.dcm", colour().astype(np.uint16) | 0x1200), BitsStored=8, HighBit=7)
    np.testing.assert_array_equal(read(byte), colour())


def test_numbers_beyond_those_stored_in_a_lossy_stream_are_refused(tmp_path: Path) -> None:
    import imagecodecs

    cells = stored().astype(np.uint16)
    for name, block in (("plain", 0), ("overlay", 0x8000)):
        cells[4:30, 4:30] |= block
        path = rewrite(dicom(tmp_path / f"{name}.dcm", cells), BitsStored=12, HighBit=11, Modality="MR")
        stream = bytes(imagecodecs.jpeg2k_encode(cells, codecformat="j2k", level=90, reversible=False))
        wrap(path, stream, f"{JPEG}.91")
    assert np.abs(read(tmp_path / "plain.dcm") - ramp(stored(), 0, 4095)).mean() < 3
    with pytest.raises(DataError, match=r"its lossy stream holds -?\d+ to \d+, more than the 12 bits stored"):
        read(tmp_path / "overlay.dcm")


@documents("DICOM: a compressed stream that contradicts the header")
def test_a_stream_of_another_size_or_depth_is_refused_and_of_another_sign_is_said(tmp_path: Path) -> None:
    import imagecodecs

    cells = stored().astype(np.uint16)
    for how, syntax in (("jpeg2k", 90), ("jpegls", 80), ("ljpeg", 70)):
        stream = bytes(getattr(imagecodecs, f"{how}_encode")(cells, **({"level": 0} if how == "jpeg2k" else {})))
        turned = dicom(tmp_path / f"{how}.dcm", np.ascontiguousarray(cells.T), Modality="MR")
        wrap(turned, stream, f"{JPEG}.{syntax}")
        with pytest.raises(DataError, match="its header says 40 x 56 pixels of 1 numbers, its stream 56 x 40 of 1"):
            read(turned)
        colours = dicom(tmp_path / f"{how}3.dcm", np.dstack([cells] * 3), Modality="MR")
        wrap(colours, stream, f"{JPEG}.{syntax}")
        with pytest.raises(DataError, match="its header says 56 x 40 pixels of 3 numbers, its stream 56 x 40 of 1"):
            read(colours)
        narrow = dicom(tmp_path / f"{how}8.dcm", picture(), Modality="MR")
        wrap(narrow, stream, f"{JPEG}.{syntax}")
        with pytest.raises(DataError, match="its header allocates 8 bits, its stream has 1"):
            read(narrow)
    sign = "1 of 1 images differ between header and compressed stream in whether their numbers have a sign"
    for signed in (False, True):
        values = stored(signed=signed).astype(np.int16 if signed else np.uint16)
        for reader in (False, True):
            path = dicom(tmp_path / "sign.dcm", values, BitsStored=12, Modality="MR", PixelRepresentation=int(reader))
            wrap(
                path,
                bytes(imagecodecs.jpeg2k_encode(values, codecformat="j2k", level=0, reversible=True)),
                f"{JPEG}.90",
            )
            held = values.astype(int) & 0xFFF
            expected = np.where(held > 2047, held - 4096, held) if reader else held
            np.testing.assert_array_equal(read(path, window="minmax"), ramp(expected, expected.min(), expected.max()))
            assert said(path) == ([f"{sign}; read by the header"] if signed != reader else [])
    few = stored(bits=10, signed=True)  # a stream that is less deep than BitsStored has its own highest bit
    path = dicom(tmp_path / "few.dcm", few.astype(np.int16), BitsStored=12, Modality="MR")
    codes = (few & 0x3FF).astype(np.uint16)
    stream = imagecodecs.jpeg2k_encode(codes, codecformat="j2k", level=0, reversible=True, bitspersample=10)
    wrap(path, bytes(stream), f"{JPEG}.90")
    np.testing.assert_array_equal(read(path), ramp(few, -512, 511))


@documents("DICOM: bits, samples or kinds of colour that contradict each other")
@pytest.mark.parametrize(
    ("tags", "line"),
    [
        ({"BitsStored": 17, "HighBit": 16}, "its bits contradict each other: 17 stored up to bit 16, 16 allocated"),
        ({"BitsStored": 12, "HighBit": 7}, "its bits contradict each other: 12 stored up to bit 7, 16 allocated"),
        ({"BitsStored": 0}, "its BitsStored is 0"),
        ({"BitsAllocated": 12}, "its BitsAllocated is 12; read are 1, 8, 16 and 32"),
        ({"SamplesPerPixel": 3}, "it says MONOCHROME2 and 3 samples per pixel, which contradict each other"),
        ({"PhotometricInterpretation": "RGB"}, "it says RGB and 1 samples per pixel, which contradict"),
        ({"PhotometricInterpretation": "HSV"}, "its PhotometricInterpretation is HSV; read are MONOCHROME1, MONO"),
        ({"PhotometricInterpretation": None}, "it does not say what its numbers mean"),
        ({"PixelRepresentation": 2}, "its PixelRepresentation is 2"),
        ({"Rows": 0}, "its Rows is 0"),
        ({"Columns": None}, "its Columns is missing"),
        ({"NumberOfFrames": -3}, "its NumberOfFrames is -3"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "its RescaleSlope is 0, which makes all its numbers one"),
        ({"RescaleSlope": [1, 2], "RescaleIntercept": 5}, "its RescaleSlope has 2 values, of which one may be"),
        ({"RescaleSlope": "NaN", "RescaleIntercept": 5}, "its RescaleSlope is no number"),
        ({"RescaleSlope": 1, "RescaleIntercept": "inf"}, "its RescaleIntercept is no number"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_header_that_contradicts_itself_is_refused_in_one_line(tmp_path: Path, tags: Any, line: str) -> None:
    path = dicom(tmp_path / "a.dcm", stored().astype(np.uint16), Modality="MR")
    assert said(path) == []
    with pytest.raises(DataError) as caught:
        tasks.open_source(str(rewrite(path, **tags)))
    assert f"a.dcm: {line}" in str(caught.value)


@documents("DICOM: a rescale or a modality table")
def test_the_modality_transform_is_applied_and_half_of_one_is_said(tmp_path: Path) -> None:
    values = stored()
    path = dicom(tmp_path / "a.dcm", values.astype(np.uint16), BitsStored=12, Modality="PT")
    rewrite(path, RescaleSlope=0.25, RescaleIntercept=-7.5, WindowCenter=100, WindowWidth=200)
    expected = ramp(values * 0.25 - 7.5, 0, 199)  # LINEAR: its width less one, in the units after the rescale
    assert np.abs(read(path) - expected).max() <= 1
    assert (read(path) != expected).mean() < 0.001
    assert said(path) == []
    rewrite(path, RescaleSlope=-1, RescaleIntercept=0, WindowCenter=-2048, WindowWidth=4096)
    np.testing.assert_array_equal(read(path), 255 - np.clip(np.rint((values - 1) * 255 / 4095), 0, 255))
    rewrite(path, RescaleSlope=1000, WindowCenter=1e6, WindowWidth=500)  # narrower than a step: no negative
    np.testing.assert_array_equal(read(path), np.where(values * 1000.0 > 1e6 - 250, 255, 0))
    rewrite(path, RescaleSlope=None, RescaleIntercept=3, WindowCenter=2051, WindowWidth=4096)
    np.testing.assert_array_equal(read(path), np.rint(values * 255 / 4095))
    assert said(path) == ["1 of 1 images have a RescaleIntercept without a RescaleSlope; the slope was taken for 1"]
    rewrite(path, RescaleSlope=2, RescaleIntercept="")
    assert said(path) == ["1 of 1 images have a RescaleSlope without a RescaleIntercept; the intercept was taken for 0"]
    both = rewrite(path, RescaleIntercept=0, ModalityLUTSequence=[lookup(4095 - np.arange(4096), 4096, 0, 16)])
    np.testing.assert_array_equal(read(both, window="minmax"), ramp(4095 - values, 0, 4095))
    assert said(path) == [
        "1 of 1 images hold a modality table and a rescale, of which one may be; the table was followed"
    ]
    rewrite(path, RescaleSlope=1)
    assert said(path) == []
    rewrite(path, ModalityLUTSequence=[lookup(np.arange(100), 4096, 0, 16)])
    with pytest.raises(DataError, match="its modality table promises 4096 entries and holds 100"):
        read(path)


@documents("DICOM: CT without a rescale")
def test_ct_whose_numbers_have_no_unit_is_said(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", hounsfield().astype(np.int16), Modality="CT")
    np.testing.assert_array_equal(read(path), windowed(hounsfield(), 40, 400))
    assert said(path) == [
        "1 of 1 images are CT without a rescale, whose stored numbers were taken for Hounsfield units"
    ]
    assert said(path, window="full") == []
    assert said(ct(tmp_path / "b.dcm", hounsfield())) == []


WINDOWED = {  # function: greys of values under centre and width, PS3.3 C.11.2.1.2 and C.11.2.1.3
    "LINEAR": lambda v, c, w: np.clip(((v - (c - 0.5)) / (w - 1) + 0.5) * 255, 0, 255),
    "LINEAR_EXACT": lambda v, c, w: np.clip(((v - c) / w + 0.5) * 255, 0, 255),
    "SIGMOID": lambda v, c, w: 255 / (1 + np.exp(-4 * (v - c) / w)),
}


@documents("DICOM: a window of its own")
@pytest.mark.parametrize("function", WINDOWED)
def test_the_files_own_window_is_followed_by_its_function(tmp_path: Path, function: str) -> None:
    path = dicom(tmp_path / "a.dcm", stored().astype(np.uint16), BitsStored=12, Modality="MR")
    rewrite(path, WindowCenter=[1500, 9], WindowWidth=[900, 9], VOILUTFunction=function)
    assert np.abs(read(path) - WINDOWED[function](stored(), 1500, 900)).max() <= 0.5001
    (row,) = tasks.open_source(str(path)).rows
    assert row.columns["window"] == "1500/900" + ("" if function == "LINEAR" else f" {function.lower()}")
    assert said(path) == []
    rewrite(path, WindowCenter=1500, WindowWidth=1)
    shown = read(path)
    if function == "LINEAR":  # its narrowest: a threshold
        np.testing.assert_array_equal(shown, np.where(stored() > 1499.5, 255, 0))
        rewrite(path, WindowCenter=1500.5)  # PS3.3: not above centre - 0.5 is black
        np.testing.assert_array_equal(read(path), np.where(stored() > 1500, 255, 0))
        assert (stored() == 1500).any()
    assert shown[stored() < 1400].max() == 0
    assert shown[stored() > 1600].min() == 255
    assert said(path) == []


@documents("DICOM: a window that is none")
@pytest.mark.filterwarnings("ignore")
def test_a_window_that_is_none_is_skipped_and_said(tmp_path: Path) -> None:
    plain = dicom(tmp_path / "a.dcm", stored().astype(np.uint16), BitsStored=12, Modality="MR")
    none = read(plain)
    end = "which is no window; shown as if they named none"
    for tags, why in (
        ({"WindowCenter": 2048, "WindowWidth": 0}, "a window of width 0"),
        ({"WindowCenter": 2048, "WindowWidth": -4096}, "a window of width -4096"),
        ({"WindowCenter": 2048, "WindowWidth": 0.5}, "a window of width 0.5"),
        ({"WindowCenter": 2048, "WindowWidth": "NaN"}, "a window of width nan"),
        ({"WindowCenter": "inf", "WindowWidth": 100}, "a window without a centre"),
        ({"WindowCenter": 2048, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"}, "a window of width 0"),
        ({"WindowCenter": 2048, "WindowWidth": -1, "VOILUTFunction": "LINEAR_EXACT"}, "a window of width -1"),
        ({"WindowCenter": 2048, "WindowWidth": 9, "VOILUTFunction": "LOG"}, "the unknown window function LOG"),
        ({"WindowCenter": 2048, "WindowWidth": "", "VOILUTFunction": "LINEAR"}, "1 window centres and 0 widths"),
    ):
        path = rewrite(plain, **tags)
        np.testing.assert_array_equal(read(path), none)
        assert tasks.open_source(str(path)).rows[0].columns["window"] == "minmax"
        assert said(path) == [f"1 of 1 images name {why}, {end}"]
        assert said(path, window="40/400") == []  # it acts on nothing there
    rewrite(plain, WindowCenter=[2048, 1500, 7], WindowWidth=[0, 900, 7])
    assert np.abs(read(plain) - WINDOWED["LINEAR"](stored(), 1500, 900)).max() <= 0.5001
    assert said(plain) == ["1 of 1 images name a window of width 0, which is no window; shown in the first that is one"]
    assert said(rewrite(plain, WindowCenter="", WindowWidth="")) == []


@documents("DICOM: windows and rescales of each frame")
def test_frames_have_windows_and_rescales_of_their_own(tmp_path: Path) -> None:
    frames = np.stack([stored()] * 3).astype(np.uint16)
    path = dicom(tmp_path / "a.dcm", frames, BitsStored=12, Modality="MR")
    own = [
        item(
            FrameVOILUTSequence=[item(WindowCenter=centre, WindowWidth=width)],
            PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0)],
        )
        for centre, width, slope in ((2048, 4096, 1), (100, 50, 2), (2048, 0, 2))
    ]
    source = tasks.open_source(str(rewrite(path, PerFrameFunctionalGroupsSequence=own)))
    assert [row.columns["window"] for row in source.rows] == ["2048/4096", "100/50", "minmax"]
    first, second, third = (row.picture.read() for row in source.rows)
    assert np.abs(first - WINDOWED["LINEAR"](stored(), 2048, 4096)).max() <= 0.5001
    assert np.abs(second - WINDOWED["LINEAR"](stored() * 2, 100, 50)).max() <= 0.5001
    np.testing.assert_array_equal(third, ramp(stored() * 2, 0, 8190))
    assert "1 of 3 images name a window of width 0, which is no window; shown as if they named none" in source.warnings
    bytes_ = dicom(tmp_path / "b.dcm", np.stack([picture()] * 2), Modality="US")
    later = [item(FrameAcquisitionNumber=1), item(FrameVOILUTSequence=[item(WindowCenter=100, WindowWidth=50)])]
    rows = tasks.open_source(str(rewrite(bytes_, PerFrameFunctionalGroupsSequence=later))).rows
    assert [row.columns["window"] for row in rows] == ["minmax", "100/50"]
    with pytest.raises(DataError, match="it has 3 frames, of which 2 are described"):
        read(rewrite(path, PerFrameFunctionalGroupsSequence=own[:2]))


@documents("DICOM: a Presentation LUT Shape that contradicts MONOCHROME1 or MONOCHROME2")
def test_a_lut_shape_that_contradicts_the_photometric_interpretation_is_said(tmp_path: Path) -> None:
    bright = ramp(stored(), 0, 4095)
    for kind, shape, inverted in (
        ("MONOCHROME1", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "", True),
        ("MONOCHROME1", "LIN OD", True),
    ):
        path = dicom(tmp_path / "a.dcm", stored().astype(np.uint16), BitsStored=12, Modality="DX")
        rewrite(path, PhotometricInterpretation=kind, PresentationLUTShape=shape)
        np.testing.assert_array_equal(read(path), 255 - bright if inverted else bright)
        contradicts = shape in ("IDENTITY", "INVERSE") and inverted != (kind == "MONOCHROME1")
        low = "bright" if inverted else "dark"
        line = (
            f"{kind} and the LUT shape {shape}, which contradict each other; shown by the LUT shape, low values {low}"
        )
        assert said(path) == ([f"1 of 1 images say {line}"] if contradicts else [])


@documents("DICOM: more or fewer frames than the file holds")
@pytest.mark.parametrize("syntax", [None, "RLELossless", "JPEG2000Lossless"])
def test_frames_that_a_header_promises_are_held_against_the_file(tmp_path: Path, syntax: str | None) -> None:
    frames = np.stack([picture(seed=seed) for seed in range(3)])
    path = dicom(tmp_path / "a.dcm", frames, Modality="US", syntax=syntax)
    assert said(path) == []
    assert said(rewrite(path, NumberOfFrames=2)) == [
        "2 of 2 images hold more pixels than their rows, columns and frames say, which are not shown"
    ]
    if syntax is None:
        for tags in ({"Rows": 39}, {"Columns": 54}):  # what is left over is at least a row
            assert said(rewrite(path, NumberOfFrames=3, **tags))[0].startswith("3 of 3 images hold more pixels than")
        rewrite(path, Rows=40, Columns=56)
    for count in (4, 3_000_000, 2_147_483_647):
        with pytest.raises(DataError, match=rf"a\.dcm: its header promises {count} frames, the file holds 3"):
            tasks.open_source(str(rewrite(path, NumberOfFrames=count)))


@documents("DICOM: video, and other codings without a decoder")
def test_a_coding_without_a_decoder_is_named(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", picture(), Modality="ES")
    wrap(path, b"\0" * 100, f"{JPEG}.102")
    with pytest.raises(DataError, match=r"coded as MPEG-4 AVC/H\.264 .* which no decoder here reads"):
        tasks.open_source(str(path))


@documents("DICOM: pixels that are not square")
def test_pixels_that_are_not_square_are_said(tmp_path: Path) -> None:
    for tags, square in (
        ({"PixelSpacing": [0.7, 0.7]}, True),
        ({"PixelSpacing": [0.7, 3]}, False),
        ({"PixelAspectRatio": [1, 1]}, True),
        ({"PixelAspectRatio": [4, 3]}, False),
        ({"PixelSpacing": [0, 3]}, True),
    ):
        path = rewrite(dicom(tmp_path / "a.dcm", picture(), Modality="US"), **tags)
        np.testing.assert_array_equal(read(path), picture())
        line = "1 of 1 images have pixels that are not square and are shown as stored"
        assert said(path) == ([] if square else [line])


def test_a_padding_value_that_the_bits_stored_cannot_hold_is_one_of_the_whole_cell(tmp_path: Path) -> None:
    cells = stored().astype(np.uint16)
    cells[:, :6] = 63536  # -2000 as older scanners write it; its low bits are 2096, which is also a value
    cells[0, 10] = 2096
    path = rewrite(dicom(tmp_path / "a.dcm", cells), BitsStored=12, HighBit=11, Modality="MR", PixelPaddingValue=63536)
    expected = ramp(stored(), *((stored()[:, 6:].min()), stored()[:, 6:].max()))
    expected[0, 10] = ramp(np.array(2096), stored()[:, 6:].min(), stored()[:, 6:].max())
    expected[:, :6] = 0
    np.testing.assert_array_equal(read(path), expected)


def test_an_intercept_is_refused_where_files_say_themselves_what_their_numbers_mean(tmp_path: Path) -> None:
    path = ct(tmp_path / "a.dcm", hounsfield())
    with pytest.raises(DataError, match="--intercept -1024 has nothing to act on: DICOM and NIfTI"):
        tasks.open_source(str(path), intercept=-1024.0)
    with pytest.raises(DataError, match="--intercept nan: it is a number"):
        tasks.open_source(str(path), intercept=float("nan"))
    save(stored().astype(np.uint16), tmp_path / "b.png")
    mixed = said(tmp_path, intercept=-1024.0, window="40/400")
    assert "--intercept does not act on 1 of 2 images, DICOM or NIfTI files with their own rescale" in mixed


HUGE = "9" * 400  # more than a number can be


@pytest.mark.parametrize("window", ["40/0", "40/-400", "nan/400", "40/inf", f"{HUGE}/400", f"40/{HUGE}"])
def test_a_window_of_the_users_that_is_none_is_refused(tmp_path: Path, window: str) -> None:
    path = ct(tmp_path / "a.dcm", hounsfield())
    with pytest.raises(UnknownName, match=r"it is CENTRE/WIDTH such as 40/400 \(the width above 0\), or"):
        tasks.open_source(str(path), window=window)


def test_floating_point_pixels_run_over_their_finite_values(tmp_path: Path) -> None:
    import pydicom

    values = stored() / 7 - 3
    path = dicom(tmp_path / "a.dcm", stored().astype(np.int32), Modality="MR")
    data = pydicom.dcmread(path)
    for name in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(data, name)
    held = values.astype(np.float32)
    held[0, :3] = np.nan, np.inf, -np.inf
    data["FloatPixelData"] = pydicom.DataElement("FloatPixelData", "OF", held.tobytes())
    data.save_as(path, enforce_file_format=True)
    expected = ramp(held.astype(float), -3, 4095 / 7 - 3)
    expected[0, :3] = 0
    np.testing.assert_array_equal(read(path), expected)
    with pytest.raises(DataError, match="--window full: its numbers have a fraction"):
        tasks.check(tasks.open_source(str(path), window="full"))


def test_each_frame_says_how_it_lies(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", np.stack([picture()] * 3), Modality="MR")
    lies = ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, -1, 0, 1, 0, 0])
    own = [item(PlaneOrientationSequence=[item(ImageOrientationPatient=lie)]) for lie in lies]
    source = tasks.open_source(str(rewrite(path, PerFrameFunctionalGroupsSequence=own)))
    assert [(row.columns["left"], row.columns["up"]) for row in source.rows] == [("R", "A"), ("R", "H"), ("P", "R")]
    assert any(w.startswith("1 of 3 images lie turned from") for w in source.warnings)


@documents("DICOM: a dose")
def test_a_dose_is_scaled_by_its_grid_scaling(tmp_path: Path) -> None:
    cells = stored().astype(np.uint32) * 100_000
    path = dicom(tmp_path / "a.dcm", cells, Modality="RTDOSE", DoseGridScaling="1e-7")
    np.testing.assert_array_equal(read(path, window="20/40"), ramp(cells * 1e-7, 0, 40))
    with pytest.raises(DataError, match="its DoseGridScaling is 0"):
        read(rewrite(path, DoseGridScaling="0"))


@documents("DICOM: single bits")
def test_frames_of_single_bits_follow_one_another_without_a_gap(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 13, 11), dtype=np.uint8)
    path = rewrite(
        dicom(tmp_path / "a.dcm", bits, Modality="SEG"),
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelData=np.packbits(bits, bitorder="little").tobytes() + b"\0",
    )
    rows = tasks.open_source(str(path)).rows
    np.testing.assert_array_equal(np.stack([row.picture.read() for row in rows]), bits * np.uint8(255))


def test_the_first_value_of_a_window_table_has_the_sign_of_the_values_that_it_maps(tmp_path: Path) -> None:
    curve = np.arange(4096) ** 2 // 4095
    path = dicom(tmp_path / "a.dcm", stored().astype(np.uint16), BitsStored=12, Modality="MR")
    rewrite(path, RescaleSlope=1, RescaleIntercept=-1024, VOILUTSequence=[lookup(curve, 4096, 64512, 12)])
    assert np.abs(read(path) - curve[stored()] / 4095 * 255).max() <= 0.5
    rewrite(path, RescaleIntercept=40000, VOILUTSequence=[lookup(curve, 4096, 40000, 12)])
    assert np.abs(read(path) - curve[stored()] / 4095 * 255).max() <= 0.5


@documents("DICOM: a table of offsets that does not name where frames begin")
def test_frames_are_where_the_table_of_offsets_says_or_the_file_is_refused(tmp_path: Path) -> None:
    import pydicom
    from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

    frames = np.stack([picture(seed=seed) for seed in range(3)])
    path = dicom(tmp_path / "a.dcm", frames, Modality="US", syntax="JPEG2000Lossless")
    streams = [*generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=3)]
    for pieces, table in ((1, True), (1, False), (3, True), (3, False)):
        rewrite(path, PixelData=encapsulate(streams, fragments_per_frame=pieces, has_bot=table))
        assert said(path) == []
        for row, frame in zip(tasks.open_source(str(path)).rows, frames, strict=True):
            np.testing.assert_array_equal(row.picture.read(), frame)
    assert "hold more pixels" in said(rewrite(path, NumberOfFrames=2))[0]  # in three fragments each, without a table
    pixels, offsets, lengths = encapsulate_extended(streams)
    rewrite(path, NumberOfFrames=3, PixelData=pixels, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    np.testing.assert_array_equal(tasks.open_source(str(path)).rows[2].picture.read(), frames[2])
    with pytest.raises(DataError, match="its extended table of offsets is of another number or size of frames"):
        read(rewrite(path, ExtendedOffsetTableLengths=lengths[:16] + struct.pack("<Q", 100)))
    size = len(streams[2]) + len(streams[2]) % 2  # the fragment is padded to an even one
    for length, fits in ((size, True), (size - 1, True), (size - 2, False), (size + 1, False)):
        said_of = lengths[:16] + struct.pack("<Q", length)
        with contextlib.nullcontext() if fits else pytest.raises(DataError, match="extended table of offsets"):
            list_frames(rewrite(path, ExtendedOffsetTableLengths=said_of), DecodePolicy(), LastOpened())
    pixels = encapsulate(streams, has_bot=True)
    path = dicom(tmp_path / "b.dcm", frames, Modality="US", syntax="JPEG2000Lossless")
    for wrong in (bytes(12), pixels[8:12] + pixels[16:20] + pixels[12:16]):
        with pytest.raises(DataError, match="its table of offsets does not say where its frames begin"):
            read(rewrite(path, PixelData=pixels[:8] + wrong + pixels[20:]))


@documents("DICOM: a JPEG stream without an end")
@pytest.mark.parametrize("syntax", [f"{JPEG}.51", f"{JPEG}.80"])
def test_a_jpeg_stream_that_is_cut_is_refused(tmp_path: Path, syntax: str) -> None:
    import imagecodecs

    numbers = stored().astype(np.uint16)
    path = dicom(tmp_path / "a.dcm", numbers, BitsStored=12)
    jls = syntax.endswith("80")
    whole = imagecodecs.jpegls_encode(numbers) if jls else imagecodecs.jpeg8_encode(numbers, bitspersample=12)
    wrap(path, bytes(whole), syntax)
    assert read(path).shape == (40, 56)
    wrap(path, bytes(whole[: len(whole) // 2]), syntax)
    with pytest.raises(DataError, match="the JPEG has no end"):
        read(path)


@documents("DICOM: a JPEG 2000 stream whose colours are coded otherwise than the header says")
def test_colours_of_jpeg_2000_are_those_of_the_stream(tmp_path: Path) -> None:
    import imagecodecs

    path = dicom(tmp_path / "a.dcm", colour(), Modality="ES")
    line = "1 of 1 images differ between header and compressed stream in how their colours are coded; shown by the"
    for kind, mixed, differ in (
        ("YBR_RCT", True, False),
        ("RGB", True, False),
        ("RGB", False, False),
        ("YBR_FULL", True, True),
        ("YBR_RCT", False, True),
    ):
        stream = imagecodecs.jpeg2k_encode(colour(), level=0, codecformat="J2K", reversible=True, mct=mixed)
        wrap(path, bytes(stream), f"{JPEG}.90")
        rewrite(path, PhotometricInterpretation=kind)
        np.testing.assert_array_equal(read(path), colour())
        assert said(path) == [f"{line} stream"] * differ


@documents("DICOM: a stream too short for its pixels")
def test_a_stream_that_is_too_short_for_its_pixels_is_refused_at_once(tmp_path: Path) -> None:
    flat = dicom(tmp_path / "a.dcm", np.zeros((512, 512), np.uint16), syntax="RLELossless")
    assert not read(flat).any()  # as short as RLE gets
    for syntax in ("RLELossless", "JPEG2000Lossless"):
        path = dicom(tmp_path / "b.dcm", stored().astype(np.uint16), syntax=syntax)
        with pytest.raises(DataError, match="its header promises 512000000 bytes of pixels, its stream has"):
            read(rewrite(path, Rows=16000, Columns=16000))


def test_a_deflated_file_is_read_within_a_stated_number_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pydicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    from tasks.images import dicom_pixels

    def deflated(name: str, behind: int = 0, before: int = 0) -> Path:
        data = pydicom.dcmread(dicom(tmp_path / name, np.stack([picture(), picture(seed=1)])))
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        data.PixelData += bytes(behind)
        if before:
            data.add_new(0x00090010, "LO", "made up")
            data.add_new(0x00091001, "OB", bytes(before))
        data.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    rows = tasks.open_source(str(deflated("good.dcm"))).rows
    assert len(rows) == 2
    np.testing.assert_array_equal(rows[1].picture.read(), picture(seed=1))
    monkeypatch.setattr(dicom_pixels, "LARGEST_DEFLATED", 2**20)
    monkeypatch.setattr(dicom_pixels, "HEADER", 2**18)
    assert len(tasks.open_source(str(deflated("good.dcm"))).rows) == 2
    for options in ({"behind": 2**21}, {"before": 2**21}):
        with pytest.raises(DataError, match=r"bad\.dcm: it holds more than 1 MiB when inflated"):
            tasks.open_source(str(deflated("bad.dcm", **options)))
    with pytest.raises(DataError, match=r"bad\.dcm: its header takes more than 0 MiB"):
        tasks.open_source(str(deflated("bad.dcm", before=2**19)))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_rle_is_unpacked_as_it_was_packed_and_what_is_cut_or_odd_is_refused(tmp_path: Path, kind: type) -> None:
    from tasks.images import rle

    values = stored(16).astype(kind)
    path = dicom(tmp_path / "a.dcm", values, syntax="RLELossless")
    import pydicom
    from pydicom.encaps import get_frame

    stream = get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)
    shape = (*values.shape, 1)
    np.testing.assert_array_equal(rle.decode(stream, shape, values.dtype), values)
    for odd, message in (
        (stream[:40], "begins with 64 bytes"),
        (stream[: len(stream) // 2], "segment"),
        (struct.pack("<I", 9) + stream[4:], "segments, not 9"),
        (stream[:4] + struct.pack("<I", 2**31) + stream[8:], "do not lie one behind the other"),
    ):
        with pytest.raises(DataError, match=message):
            rle.decode(odd, shape, values.dtype)
