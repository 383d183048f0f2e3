"""Every kind of file is decoded to the pixels that an independent reading of it gives."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided, UnknownName
from tests.paths import SHARED


def picture(h: int = 40, w: int = 56, seed: int = 0) -> np.ndarray:
    """A grey image without symmetry: a ramp, a bright corner, a little noise."""
    rng = np.random.default_rng([seed, 7])
    image = np.add.outer(np.arange(h) * 2, np.arange(w)).astype(float)
    image[: h // 4, : w // 5] += 90
    return np.clip(image + rng.integers(0, 9, (h, w)), 0, 255).astype(np.uint8)


def colour(h: int = 40, w: int = 56) -> np.ndarray:
    return np.stack([picture(h, w, 0), picture(h, w, 1)[::-1], picture(h, w, 2)[:, ::-1]], axis=-1)


def save(array: np.ndarray, path: Path, mode: str | None = None, **extra: Any) -> Path:
    from PIL import Image

    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **extra)
    return path


def read(path: Path, **choices: Any) -> np.ndarray:
    """The one image of a file."""
    (row,) = tasks.open_source(str(path), **choices).rows
    return row.picture.read()


# ---- 8-bit raster files


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.pgm", "a.gif", "a.webp", "a.jp2"])
def test_a_grey_image_comes_back_bit_for_bit_from_every_lossless_format(tmp_path: Path, name: str) -> None:
    extra: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
    found = read(save(picture(), tmp_path / name, **extra))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, picture())


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp"])
def test_colours_come_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    extra: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
    np.testing.assert_array_equal(read(save(colour(), tmp_path / name, **extra)), colour())


def test_grey_that_is_stored_as_colour_is_grey_and_nearly_grey_stays_colour(tmp_path: Path) -> None:
    grey = np.repeat(picture()[..., None], 3, axis=2)
    assert read(save(grey, tmp_path / "a.png")).shape == (40, 56)
    grey[17, 23, 2] ^= 1
    np.testing.assert_array_equal(read(save(grey, tmp_path / "b.png")), grey)


def test_a_jpeg_is_what_libjpeg_says(tmp_path: Path) -> None:
    import imagecodecs

    path = save(colour(), tmp_path / "a.jpg", quality=90)
    expected = imagecodecs.jpeg8_decode(path.read_bytes())
    assert np.abs(read(path).astype(int) - expected).max() <= 1


def test_palettes_and_single_bits_become_the_colours_they_mean(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "p.png"
    Image.fromarray(colour()).quantize(16).save(path)
    np.testing.assert_array_equal(read(path), np.asarray(Image.open(path).convert("RGB")))
    bits = picture() > 80
    np.testing.assert_array_equal(read(save(bits, tmp_path / "b.png")), bits * np.uint8(255))
    np.testing.assert_array_equal(read(save(bits, tmp_path / "b.tif")), bits * np.uint8(255))


def test_transparency_lies_over_black_and_full_opacity_changes_nothing(tmp_path: Path) -> None:
    rgba = np.dstack([colour(), np.full((40, 56), 255, np.uint8)])
    np.testing.assert_array_equal(read(save(rgba, tmp_path / "a.png")), colour())
    rgba[:20, :, 3] = 0
    rgba[20:30, :, 3] = 128
    found = read(save(rgba, tmp_path / "b.png")).astype(int)
    assert not found[:20].any()
    assert np.abs(found[20:30] - colour()[20:30] * (128 / 255)).max() <= 1
    np.testing.assert_array_equal(found[30:], colour()[30:])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    flat = np.zeros((16, 16, 3), np.uint8)
    flat[:, :8], flat[:, 8:] = (250, 10, 10), (10, 10, 250)
    found = read(save(flat, tmp_path / "a.jpg", "CMYK", quality=95)).astype(int)
    assert found.shape == (16, 16, 3)
    assert np.abs(found - flat).max() < 30


def test_a_float_tiff_in_another_channel_count_is_refused_in_words(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"a\.tif: .*5 channels whose meaning is not said"):
        read(tmp_path / "a.tif")


# ---- files that are broken


def test_a_truncated_file_raises_and_is_not_half_read(tmp_path: Path) -> None:
    for name, cut in (("a.jpg", 0.6), ("a.png", 0.6), ("a.tif", 0.6), ("b.jpg", 0.97)):
        path = save(picture(200, 200), tmp_path / name)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
        with pytest.raises(DataError, match=f"{name}: cannot be") as caught:
            read(path, unreadable_limit=0.9)
        assert str(tmp_path) not in str(caught.value)


def test_a_file_that_is_no_image_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "fake.png").write_text("not an image")
    with pytest.raises(DataError, match=r"1 of 1 images cannot be read: fake\.png: cannot be opened"):
        read(tmp_path / "fake.png")


# ---- EXIF


def exif(path: Path, array: np.ndarray, orientation: int) -> Path:
    from PIL import Image

    tags = Image.Exif()
    tags[274] = orientation
    extra: dict[str, Any] = {"quality": 95} if path.suffix == ".jpg" else {}
    return save(array, path, exif=tags, **extra)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation_is_applied_as_pillow_applies_it(tmp_path: Path, name: str, orientation: int) -> None:
    from PIL import Image, ImageOps

    path = exif(tmp_path / name, picture(), orientation)
    np.testing.assert_array_equal(read(path), np.asarray(ImageOps.exif_transpose(Image.open(path))))
    np.testing.assert_array_equal(read(path, exif="ignore"), np.asarray(Image.open(path)))
    (row,) = tasks.open_source(str(path)).rows
    assert row.columns["exif_orientation"] == str(orientation)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_same_tag_in_a_tiff_has_the_same_effect(tmp_path: Path, orientation: int) -> None:
    import tifffile
    from PIL import Image, ImageOps

    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", picture(), extratags=[tag], photometric="minisblack")
    twin = exif(tmp_path / "a.png", picture(), orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(twin)))
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), expected)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", exif="ignore"), picture())


# ---- wide values


def wide() -> np.ndarray:
    """CT-like: Hounsfield units + 1024 from air to bone."""
    return (picture().astype(np.uint16) * 12).astype(np.uint16)


def windowed(hu: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.clip(np.rint((hu - (centre - width / 2)) / width * 255), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bit_files_wait_for_a_window_and_then_keep_their_greys(tmp_path: Path, name: str) -> None:
    path = save(wide(), tmp_path / name)
    low, high = wide().min(), wide().max()
    with pytest.raises(Undecided, match=rf"{low} to {high}.*--window 40/400 --intercept -1024.*full.*minmax"):
        read(path)
    hu = wide().astype(float) - 1024
    np.testing.assert_array_equal(read(path, window="40/400", intercept=-1024.0), windowed(hu, 40, 400))
    np.testing.assert_array_equal(read(path, window="lung", intercept=-1024.0), windowed(hu, -600, 1500))
    np.testing.assert_array_equal(read(path, window="full"), np.rint(wide() / 65535 * 255).astype(np.uint8))
    stretched = read(path, window="minmax")
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert len(np.unique(stretched)) == len(np.unique(wide()))


def test_a_float_tiff_needs_a_range_and_nan_is_refused(tmp_path: Path) -> None:
    import tifffile

    values = picture().astype(np.float32) / 255
    tifffile.imwrite(tmp_path / "a.tif", values)
    with pytest.raises(Undecided, match="a decision is needed"):
        read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif", window="full"), picture())
    tifffile.imwrite(tmp_path / "b.tif", values * 3)
    with pytest.raises(Undecided, match="full means 0 to 1"):
        read(tmp_path / "b.tif", window="full")
    values[3, 3] = np.nan
    tifffile.imwrite(tmp_path / "c.tif", values)
    with pytest.raises(DataError, match=r"c\.tif: .*NaN"):
        read(tmp_path / "c.tif", window="minmax")


def test_16_bit_colour_png_is_not_cut_to_8_bits_unasked(tmp_path: Path) -> None:
    import imagecodecs

    deep = colour().astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    with pytest.raises(Undecided):
        read(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", window="full"), colour())


def test_white_is_zero_tiffs_are_inverted(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", 255 - picture(), photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), picture())
    tifffile.imwrite(tmp_path / "b.tif", 65535 - picture().astype(np.uint16) * 257, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "b.tif", window="full"), picture())


def test_pages_of_a_tiff_are_images_of_one_group_and_reduced_copies_are_none(tmp_path: Path) -> None:
    import tifffile

    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(picture(seed=1), subfiletype=0)
        tiff.write(picture(seed=1)[::2, ::2], subfiletype=1)
        tiff.write(picture(seed=2), subfiletype=0)
    rows = tasks.open_source(str(tmp_path / "a.tif")).rows
    assert len(rows) == 2
    assert len({r.group for r in rows}) == 1
    assert len({r.id for r in rows}) == len({r.picture.identity for r in rows}) == 2
    for row, seed in zip(rows, (1, 2), strict=True):
        np.testing.assert_array_equal(row.picture.read(), picture(seed=seed))


def test_a_window_that_nobody_knows_or_needs_is_refused(tmp_path: Path) -> None:
    save(picture(), tmp_path / "a.png")
    with pytest.raises(UnknownName, match="no window 'sotf'; did you mean soft"):
        read(tmp_path / "a.png", window="sotf")
    with pytest.raises(DataError, match="--window soft has nothing to act on"):
        read(tmp_path / "a.png", window="soft")
    with pytest.raises(DataError, match="--intercept -1024 has nothing to act on"):
        read(tmp_path / "a.png", intercept=-1024.0)


# ---- DICOM


def dicom(path: Path, array: np.ndarray, *, syntax: str | None = None, **tags: Any) -> Path:
    """A DICOM file made with pydicom alone; `tags` override the defaults."""
    import pydicom
    from pydicom import uid
    from pydicom.dataset import FileMetaDataset

    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID = uid.SecondaryCaptureImageStorage
    data.SOPInstanceUID = uid.generate_uid(entropy_srcs=[str(path)])
    data.StudyInstanceUID = data.SeriesInstanceUID = "1.2.3"
    data.PatientID, data.PatientName, data.Modality = "SECRET-17", "DOE^JANE", "OT"
    frames = array.ndim - (2 if array.shape[-1] != 3 else 3)
    shape = array.shape[frames:]
    data.Rows, data.Columns = shape[0], shape[1]
    data.SamplesPerPixel = 3 if len(shape) == 3 else 1
    data.PhotometricInterpretation = "RGB" if len(shape) == 3 else "MONOCHROME2"
    if len(shape) == 3:
        data.PlanarConfiguration = 0
    if frames:
        data.NumberOfFrames = array.shape[0]
    bits = 8 * array.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    if "BitsStored" in tags:
        data.HighBit = tags["BitsStored"] - 1
    data["PixelData"] = pydicom.DataElement("PixelData", "OW" if bits > 8 else "OB", array.tobytes())
    if syntax is not None:
        data.compress(getattr(uid, syntax), generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    return path


def ct(path: Path, hu: np.ndarray, **tags: Any) -> Path:
    stored = (hu + 1024).astype(np.uint16)
    given = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "BitsStored": 12}
    return dicom(path, stored, **{**given, **tags})


def hounsfield() -> np.ndarray:
    return wide().astype(int) - 1024


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


# ---- NIfTI


def nifti(path: Path, values: np.ndarray, axes: str = "RAS", **codes: int) -> Path:
    """A volume stored along `axes`; `values` are given in canonical order [to right, to front, to head]."""
    import nibabel
    from nibabel import orientations as o

    moved = o.ornt_transform(o.axcodes2ornt("RAS"), o.axcodes2ornt(tuple(axes)))
    stored = o.apply_orientation(values, moved)
    affine = np.eye(4) @ o.inv_ornt_aff(moved, values.shape)
    image: Any = nibabel.Nifti1Image(stored, affine)
    image.set_sform(affine, codes.get("code", 1))
    image.set_qform(affine, codes.get("code", 1))
    nibabel.save(image, path)
    return path


def volume() -> np.ndarray:
    values = np.zeros((20, 24, 5), np.int16)
    values[15:, :, :] += 100  # the patient's right
    values[:, 18:, :] += 50  # the front
    return values + np.arange(5, dtype=np.int16)


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


def test_nifti_in_hounsfield_units_waits_for_a_window(tmp_path: Path) -> None:
    hu = (volume() * 8 - 1000).astype(np.int16)
    path = nifti(tmp_path / "a.nii", hu)
    source = tasks.open_source(str(path))
    with pytest.raises(Undecided, match=r"-1000 to .*Hounsfield.*--window soft"):
        tasks.check(source)
    rows = tasks.open_source(str(path), window="40/400").rows
    np.testing.assert_array_equal(rows[2].picture.read(), windowed(hu[::-1, ::-1, 2].T, 40, 400))
    assert tasks.open_source(str(path), window="minmax").rows[0].picture.read().max() > 200


def test_a_nifti_that_does_not_say_how_it_lies_is_flagged_and_a_cut_one_is_unreadable(tmp_path: Path) -> None:
    source = tasks.open_source(str(nifti(tmp_path / "a.nii", volume(), code=0)))
    assert any("do not say how they lie" in w for w in source.warnings)
    assert not any("how they lie" in w for w in tasks.open_source(str(nifti(tmp_path / "b.nii", volume()))).warnings)
    whole = gzip.compress((tmp_path / "b.nii").read_bytes())
    (tmp_path / "c.nii.gz").write_bytes(whole[:-60])
    cut = tasks.open_source(str(tmp_path / "c.nii.gz"))
    with pytest.raises(DataError, match=r"5 of 5 images cannot be read: c\.nii\.gz: its voxels cannot be read"):
        tasks.check(cut)


# ---- what identifies an image


def test_identity_follows_bytes_policy_and_frame_and_nothing_else(tmp_path: Path) -> None:
    def identity(path: Path, **choices: Any) -> str | None:
        return tasks.open_source(str(path), **choices).rows[0].picture.identity

    a = save(wide(), tmp_path / "a.png")
    first = identity(a, window="40/400")
    assert first == identity(a, window="40/400")
    (tmp_path / "else").mkdir()
    copy = tmp_path / "else" / "other.png"
    copy.write_bytes(a.read_bytes())
    assert identity(copy, window="40/400") == first
    assert identity(a, window="40/401") != first
    assert identity(a, window="40/400", intercept=-1024.0) != first
    assert identity(a, window="40/400", exif="ignore") != first
    changed = wide()
    changed[0, 0] += 1
    assert identity(save(changed, copy), window="40/400") != first


def test_identity_of_a_file_that_went_away_is_none_and_reading_says_so(tmp_path: Path) -> None:
    path = save(picture(), tmp_path / "a.png")
    (row,) = tasks.open_source(str(path)).rows
    path.unlink()
    assert row.picture.identity is None
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
        row.picture.read()


def test_pictures_survive_pickling(tmp_path: Path) -> None:
    import pickle

    (row,) = tasks.open_source(str(save(picture(), tmp_path / "a.png"))).rows
    again = pickle.loads(pickle.dumps(row))
    np.testing.assert_array_equal(again.picture.read(), picture())
    assert again.picture.identity == row.picture.identity


def test_a_png_with_a_broken_checksum_is_refused(tmp_path: Path) -> None:
    path = save(picture(), tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    where = data.index(b"IDAT") + 12
    data[where] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
        read(path)


# ---- real images, where they are


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip("the shared images are not on this machine (SLITLAMP_SHARED)")
    return path


def test_real_ct_as_16_bit_png_and_as_dicom_equals_the_8_bit_images_shipped_with_it() -> None:
    folder = shared("ct_contrast")
    shown = tasks.open_source(str(folder), group="group")
    deep = tasks.open_source(str(folder), group="group", image_column="hu16", window="40/400", intercept=-1024.0)
    assert len(deep.rows) == len(shown.rows) == 61
    pairs = {}
    for a, b, name in zip(shown.rows, deep.rows, _names(folder), strict=True):
        pairs[name] = a.picture.read().astype(int)
        assert np.abs(pairs[name] - b.picture.read()).max() <= 1
        assert a.group == b.group
    found = 0
    for path in sorted((folder / "dicom").iterdir()):
        if path.stem in pairs:
            assert np.abs(read(path).astype(int) - pairs[path.stem]).max() <= 1
            found += 1
    assert found >= 3


def _names(folder: Path) -> list[str]:
    import csv

    with (folder / "manifest.csv").open() as file:
        return [Path(line["file"]).stem for line in csv.DictReader(file)]


def test_real_ct_patients_have_the_same_group_in_manifest_and_dicom() -> None:
    folder = shared("ct_contrast")
    manifest = {r.group for r in tasks.open_source(str(folder), group="group").rows}
    tree = tasks.open_source(str(folder / "dicom"))
    assert len(manifest) == 36
    assert len({r.group for r in tree.rows} & manifest) >= 3
