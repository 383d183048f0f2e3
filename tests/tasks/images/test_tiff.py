"""TIFF: every image of a file, its numbers and colours; what a file says of itself is held against what it holds."""

import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided
from tests.tasks.images.documented import documents
from tests.tasks.images.helpers import colour, exif, picture, read, wide, windowed

STACK = np.stack([picture(seed=k) for k in range(6)])
COLOURS = np.stack([np.roll(colour(), k, axis=0) for k in range(3)])
DEEP = (wide() // 4 * 4).clip(0, 4095)


def write(path: Path, values: np.ndarray, **extra: Any) -> Path:
    import tifffile

    tifffile.imwrite(path, values, **{"photometric": "minisblack", **extra})
    return path


def pages(path: Path, values: Sequence[np.ndarray] | np.ndarray, description: str, **extra: Any) -> Path:
    """A page for each array, the first with the description."""
    import tifffile

    with tifffile.TiffWriter(path) as tiff:
        for k, one in enumerate(values):
            tiff.write(one, metadata=None, description=None if k else description, **extra)
    return path


def by_hand(values: bytes, w: int, h: int, *more: tuple[int, int, int, bytes], bits: int = 8, photo: int = 1) -> bytes:
    """A little-endian TIFF of one strip; `more` are tags as (code, type, count, value that lies elsewhere)."""
    fixed = {256: w, 257: h, 258: bits, 259: 1, 262: photo, 273: 8, 277: 1, 278: h, 279: len(values)}
    extra, entries = b"", [struct.pack("<HHII", tag, 4, 1, value) for tag, value in fixed.items()]
    for code, kind, count, value in more:
        entries.append(struct.pack("<HHII", code, kind, count, 8 + len(values) + len(extra)))
        extra += value
    body = b"II*\0" + struct.pack("<I", 8 + len(values) + len(extra)) + values + extra
    return body + struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of numbers of so many bits, each row filled up to a byte."""
    unpacked = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(*values.shape, 2), axis=2)
    return np.packbits(unpacked[..., 16 - bits :].reshape(len(values), -1), axis=1).tobytes()


def shown(path: Path, **choices: Any) -> tuple[list[np.ndarray], list[dict[str, str]], str]:
    """The images of a file, their columns, and what is said of them."""
    source = tasks.open_source(str(path), **choices)
    return (
        [row.picture.read() for row in source.rows],
        [{k: v for k, v in row.columns.items() if k != "exif_orientation"} for row in source.rows],
        "; ".join(source.warnings),
    )


# ---- every image of a file


@documents(
    "TIFF: a stack, a page for each slice",
    "TIFF: a stack behind one page",
    "TIFF: ImageDepth",
    "TIFF: ImageJ",
    "TIFF: OME",
    "TIFF: compressed, predicted, tiled, BigTIFF, big endian",
)
@pytest.mark.parametrize(
    ("extra", "column"),
    [
        ({}, ""),
        ({"compression": "zlib", "predictor": True}, ""),
        ({"compression": "lzw"}, ""),
        ({"tile": (16, 16)}, ""),
        ({"bigtiff": True}, ""),
        ({"byteorder": ">"}, ""),
        ({"truncate": True}, ""),
        ({"truncate": True, "byteorder": ">"}, ""),
        ({"metadata": {"axes": "TYX"}}, "time"),
        ({"truncate": True, "metadata": {"axes": "ZYX"}}, "slice"),
        ({"volumetric": True}, "slice"),
        ({"volumetric": True, "tile": (2, 16, 16)}, "slice"),
        ({"imagej": True, "metadata": {"axes": "ZYX"}}, "slice"),
        ({"imagej": True, "truncate": True, "metadata": {"axes": "TYX"}}, "time"),
        ({"ome": True, "metadata": {"axes": "ZYX"}}, "slice"),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_every_slice_of_a_stack_is_an_image(tmp_path: Path, extra: dict[str, Any], column: str, deep: bool) -> None:
    values = STACK.astype(np.uint16) * 16 if deep else STACK
    found, columns, _ = shown(write(tmp_path / "a.tif", values, **extra), window="1000/2000" if deep else None)
    expected = windowed(values.astype(float), 1000, 2000) if deep else values
    np.testing.assert_array_equal(found, expected)
    assert columns == [{"frame": str(k)} | ({column: str(k)} if column else {}) for k in range(1, 7)]


def test_a_stack_in_colour_behind_one_page(tmp_path: Path) -> None:
    for extra in ({}, {"imagej": True, "metadata": {"axes": "ZYXS"}}):
        path = write(tmp_path / "a.tif", COLOURS, photometric="rgb", truncate=True, **extra)
        np.testing.assert_array_equal(shown(path)[0], COLOURS)


def test_an_ome_stack_whose_planes_lie_behind_one_page(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.ome.tif", STACK[:1], ome(n=6, blocks='<TiffData IFD="0" PlaneCount="6"/>'))
    path.write_bytes(behind(path, STACK))
    found, columns, _ = shown(path)
    np.testing.assert_array_equal(found, STACK)
    assert columns[5] == {"frame": "6", "slice": "6"}


def behind(path: Path, stack: np.ndarray) -> bytes:
    """The file with the pixels of its one page moved to its end, and those of the others behind them."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages.first.tags[273].valueoffset
    data = bytearray(path.read_bytes())
    data[entry : entry + 4] = struct.pack("<I", len(data))
    return bytes(data) + stack.tobytes()


@documents("TIFF: channels of a composite (ImageJ, OME, axis C)")
def test_channels_are_named_and_said_and_are_no_slices(tmp_path: Path) -> None:
    cube = STACK.reshape(2, 3, *STACK.shape[1:])
    for name, extra in {
        "a.tif": {"imagej": True, "metadata": {"axes": "ZCYX"}},
        "b.tif": {"imagej": True, "truncate": True, "metadata": {"axes": "ZCYX"}},
        "c.tif": {"ome": True, "metadata": {"axes": "ZCYX"}},
        "d.tif": {"metadata": {"axes": "ZCYX"}},
    }.items():
        found, columns, said = shown(write(tmp_path / name, cube, **extra))
        np.testing.assert_array_equal(found, STACK)
        assert columns[3] == {"frame": "4", "slice": "2", "channel": "1"}
        assert "6 of 6 images are one channel each of an image that holds several (column channel)" in said
    assert "channel" not in shown(write(tmp_path / "e.tif", STACK, imagej=True, metadata={"axes": "ZYX"}))[2]
    assert (
        "channel"
        not in shown(write(tmp_path / "f.tif", COLOURS, photometric="rgb", ome=True, metadata={"axes": "ZYXS"}))[2]
    )


def ome(n: int, blocks: str, uuid: str = "urn:1") -> str:
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    size = f'SizeX="56" SizeY="40" SizeC="1" SizeZ="{n}" SizeT="1"'
    return (
        f'<?xml version="1.0"?><OME xmlns="{schema}" UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYZCT" Type="uint8" {size}><Channel ID="C" SamplesPerPixel="1"/>{blocks}</Pixels>'
        "</Image></OME>"
    )


@documents("TIFF: OME in several files")
def test_each_file_of_an_ome_set_gives_its_own_planes(tmp_path: Path) -> None:
    places = [
        ("a.ome.tif", "urn:1", 0),
        ("a.ome.tif", "urn:1", 1),
        ("b.ome.tif", "urn:2", 0),
        ("b.ome.tif", "urn:2", 1),
    ]
    blocks = "".join(
        f'<TiffData FirstZ="{z}" IFD="{ifd}" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for z, (name, uuid, ifd) in enumerate(places)
    )
    pages(tmp_path / "a.ome.tif", STACK[:2], ome(4, blocks, "urn:1"))
    pages(tmp_path / "b.ome.tif", STACK[2:4], ome(4, blocks, "urn:2"))
    rows = tasks.open_source(str(tmp_path)).rows
    assert [row.columns["slice"] for row in rows] == ["1", "2", "3", "4"]
    np.testing.assert_array_equal([row.picture.read() for row in rows], STACK[:4])
    pages(tmp_path / "a.ome.tif", STACK[:1], ome(4, blocks, "urn:1"))
    with pytest.raises(DataError, match=r"a\.ome\.tif: its OME description promises 2 images .* room for 1"):
        tasks.open_source(str(tmp_path))


@documents("TIFF: several series, pages of other sizes")
def test_series_follow_one_another(tmp_path: Path) -> None:
    import tifffile

    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(STACK[:2], photometric="minisblack")
        tiff.write(COLOURS, photometric="rgb")
        tiff.write(STACK[2, :16], photometric="minisblack")
    found = shown(tmp_path / "a.tif")[0]
    assert len(found) == 6
    for one, expected in zip(found, [*STACK[:2], *COLOURS, STACK[2, :16]], strict=True):
        np.testing.assert_array_equal(one, expected)


@documents("TIFF: reduced copies, masks, levels below a page")
@pytest.mark.parametrize("extra", [{}, {"ome": True}])
def test_pyramids_and_masks_are_no_images(tmp_path: Path, extra: dict[str, Any]) -> None:
    import tifffile

    with tifffile.TiffWriter(tmp_path / "a.tif", **extra) as tiff:
        tiff.write(STACK, subifds=2, photometric="minisblack", metadata={"axes": "ZYX"})
        tiff.write(STACK[:, ::2, ::2], subfiletype=1)
        tiff.write(STACK[:, ::4, ::4], subfiletype=1)
    found, _, said = shown(tmp_path / "a.tif")
    np.testing.assert_array_equal(found, STACK)
    assert "below" not in said
    with tifffile.TiffWriter(tmp_path / "b.tif") as tiff:
        tiff.write(picture(), metadata=None)
        tiff.write(picture() > 3, subfiletype=4, photometric=4, metadata=None)
        tiff.write(picture()[::-1], metadata=None)
    np.testing.assert_array_equal(shown(tmp_path / "b.tif")[0], [picture(), picture()[::-1]])


@documents("TIFF: other images in directories below a page")
def test_full_images_below_a_page_are_said(tmp_path: Path) -> None:
    import tifffile

    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(picture(), subifds=1, metadata=None)
        tiff.write(picture()[::-1], metadata=None)
    found, _, said = shown(tmp_path / "a.tif")
    assert len(found) == 1
    assert "1 of 1 images hold further images in directories below their pages, which are not shown" in said


@documents("TIFF: whole slides (Aperio, Hamamatsu, Leica, Philips, Ventana, PerkinElmer)")
def test_a_whole_slide_is_its_first_level(tmp_path: Path) -> None:
    import tifffile

    big = np.kron(colour(), np.ones((8, 8, 1), np.uint8))
    with tifffile.TiffWriter(tmp_path / "a.svs") as tiff:
        name = "Aperio Image Library v1"
        tiff.write(big, tile=(64, 64), photometric="rgb", description=f"{name} 448x320 |MPP = 0.5", metadata=None)
        tiff.write(big[::8, ::8], photometric="rgb", description=f"{name} thumbnail", metadata=None)
        tiff.write(big[::2, ::2], tile=(64, 64), photometric="rgb", description=f"{name} level", metadata=None)
        tiff.write(big[:40, :40], photometric="rgb", subfiletype=1, description=f"{name} label", metadata=None)
        tiff.write(big[:50, :90], photometric="rgb", subfiletype=9, description=f"{name} macro", metadata=None)
    found, _, said = shown(tmp_path / "a.svs")
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], big)
    assert "1 of 1 images are whole slides, shown at full size" in said


@documents("TIFF: MetaMorph STK, Zeiss LSM")
def test_stk_and_lsm_files(tmp_path: Path) -> None:
    import tifffile

    record = np.zeros((), [(name, form) for name, form in tifffile.TIFF.CZ_LSMINFO])
    for name, value in {"MagicNumber": 67127628, "StructureSize": record.nbytes, "DimensionTime": 1}.items():
        record[name] = value
    for z, kept in ((3, True), (6, False)):
        record["DimensionZ"] = z
        with tifffile.TiffWriter(tmp_path / "a.lsm") as tiff:
            for k in range(3):
                tags = [] if k else [(34412, "B", record.nbytes, record.tobytes(), True)]
                tiff.write(STACK[k], photometric="minisblack", metadata=None, extratags=tags)
                tiff.write(STACK[k, ::4, ::4], subfiletype=1, photometric="minisblack", metadata=None)
        if kept:
            np.testing.assert_array_equal(shown(tmp_path / "a.lsm")[0], STACK[:3])
        else:
            with pytest.raises(DataError, match="LSM description promises 6 images and the file holds 3"):
                shown(tmp_path / "a.lsm")
    for n in (6, 9):
        planes = b"".join(struct.pack("<6I", k + 1, 1, 0, 0, 0, 0) for k in range(n))
        data = by_hand(STACK.tobytes(), 56, 40, (33628, 4, n, b"\0" * 8 * n), (33629, 5, n, planes))
        (tmp_path / "a.stk").write_bytes(data.replace(struct.pack("<I", STACK.size), struct.pack("<I", STACK[0].size)))
        if n == 6:
            np.testing.assert_array_equal(shown(tmp_path / "a.stk")[0], STACK)
        else:
            with pytest.raises(DataError, match="MetaMorph description promises 9 images and the file has room for 6"):
                shown(tmp_path / "a.stk")


# ---- what a file says of itself, held against what it holds


@documents("TIFF: a description that promises more images than the file holds")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: pages(p, STACK[:1], "ImageJ=1.53t\nimages=6\nslices=6\n"),
            "promises 6 images and the file has room for",
        ),
        (lambda p: pages(p, STACK[:4], "ImageJ=1.53t\nimages=6\nslices=6\n"), "promises 6 images and the file holds 4"),
        (
            lambda p: pages(p, STACK[:1], "ImageJ=1.53t\nimages=6\nslices=6\n", compression="zlib"),
            "promises 6 images and the file holds one packed page",
        ),
        (lambda p: pages(p, STACK[:1], "ImageJ=1.53t\nimages=2000000000\nslices=2000000000\n"), "promises 2000000000"),
        (lambda p: pages(p, STACK[:1], '{"shape": [1000000000000, 40, 56]}'), "promises 1000000000000 images"),
        (lambda p: pages(p, STACK[:2], '{"shape": [6, 40, 56]}'), "promises 6 images and the file holds 2"),
        (lambda p: pages(p, STACK[:1, ::2], '{"shape": [6, 40, 56]}'), r"promises a stack of the shape \(6, 40, 56\)"),
        (lambda p: pages(p, STACK[:1], ome(10**9, "<TiffData/>")), "OME description promises 1000000000 images"),
        (
            lambda p: pages(p, STACK[:5], ome(6, "<TiffData/>")),
            "OME description promises 6 images and the file holds 5",
        ),
        (lambda p: pages(p, STACK[:1], ome(1, "").replace("<OME", "<!DOCTYPE a><OME")), "defines entities"),
    ],
)
def test_promises_that_are_not_kept(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(make(tmp_path / "a.ome.tif"))


@documents("TIFF: a description of another image, or of fewer")
@pytest.mark.parametrize(
    "description",
    [
        "",
        "a film of the left hand",
        "ImageJ=1.53t\nimages=1\nslices=1\n",
        '{"shape": [80, 112]}',
        '{"shape": [80, 112, 3]}',
    ],
)
def test_descriptions_that_promise_nothing_more_are_no_hindrance(tmp_path: Path, description: str) -> None:
    np.testing.assert_array_equal(read(pages(tmp_path / "a.tif", STACK[:1], description)), STACK[0])
    np.testing.assert_array_equal(shown(pages(tmp_path / "b.tif", STACK[:3], description))[0], STACK[:3])


@documents("TIFF: cut, empty, in a circle, or larger than its file")
@pytest.mark.parametrize("extra", [{}, {"truncate": True}, {"compression": "zlib"}, {"imagej": True}, {"ome": True}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_cut_stack_loses_no_page_in_silence(tmp_path: Path, extra: dict[str, Any], share: float) -> None:
    path = write(tmp_path / "a.tif", STACK, **extra)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"a\.tif: .*(cut\?|beyond)"):
        shown(path)


def test_directories_that_lie_end_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture())
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack("<I", data[4:8])
    (n,) = struct.unpack("<H", data[at : at + 2])
    data[at + 2 + 12 * n : at + 6 + 12 * n] = struct.pack("<I", at)
    cases = {
        "run in a circle": bytes(data),
        "directory of page 1 is empty": b"II*\0" + struct.pack("<I", 8) + struct.pack("<HI", 0, 8),
        "lies beyond the end of the file": b"II*\0" + struct.pack("<I", 999),
        "holds no page": b"II*\0" + bytes(60),
        "promises 19600000000 bytes of pixels and the file holds": by_hand(bytes(256), 140000, 140000),
        "page 1 is 0 pixels wide and 16 high": by_hand(bytes(256), 0, 16, bits=16),
        r"its colours \(photometric interpretation 99\)": by_hand(bytes(256), 16, 16, photo=99),
    }
    start = time.monotonic()
    for message, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"a\.tif: .*{message}"):
            read(path)
    assert time.monotonic() - start < 20


def test_an_odd_file_among_good_ones_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    for k in range(20):
        write(tmp_path / f"{k}.tif", DEEP)
    (tmp_path / "0.tif").write_bytes((tmp_path / "0.tif").read_bytes()[:900])
    source = tasks.open_source(str(tmp_path), window="full")
    assert [why.split(":")[0] for _, why in source.unreadable] == ["0.tif"]
    assert len(source.rows) == 19


# ---- numbers and colours


@documents("TIFF: 16 bits and more, signed, floats", "TIFF: numbers packed in 2, 4 or 12 bits")
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("form", ["i1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
def test_numbers_of_every_type_go_under_a_window_as_they_are_stored(tmp_path: Path, form: str, order: str) -> None:
    values = (picture() % 120 - (40 if form[0] != "u" else 0)).astype(form)
    path = write(tmp_path / "a.tif", values, byteorder=order)
    real = values.astype(float)
    np.testing.assert_array_equal(read(path, window="40/80"), windowed(real, 40, 80))
    middle, width = (real.min() + real.max()) / 2, real.max() - real.min()
    np.testing.assert_array_equal(read(path, window="minmax"), windowed(real, middle, width))
    if form[0] != "f":
        low, high = float(np.iinfo(form).min), float(np.iinfo(form).max)
        full = np.clip(np.rint((real - low) / (high - low) * 255), 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(read(path, window="full"), full)


def test_packed_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for bits in (1, 2, 4):
        values = picture() >> (8 - bits)
        expected = np.rint(values * 255.0 / (2**bits - 1)).astype(np.uint8)
        path.write_bytes(by_hand(packed(values, bits), 56, 40, bits=bits))
        np.testing.assert_array_equal(read(path), expected)
        path.write_bytes(by_hand(packed(values, bits), 56, 40, bits=bits, photo=0))
        np.testing.assert_array_equal(read(path), 255 - expected)
    path.write_bytes(by_hand(packed(DEEP, 12), 56, 40, bits=12))
    np.testing.assert_array_equal(read(path, window="2000/400"), windowed(DEEP.astype(float), 2000, 400))


@documents("TIFF: a palette")
def test_palettes_of_16_and_of_8_bits(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 65535, (3, 256)).astype(np.uint16)
    expected = (colours.T[picture()] >> 8).astype(np.uint8)
    for table in (colours, colours >> 8):
        found = read(write(tmp_path / "a.tif", picture(), photometric="palette", colormap=table))
        np.testing.assert_array_equal(found, expected)


@documents("TIFF: RGB", "TIFF: alpha")
def test_colour_with_and_without_alpha(tmp_path: Path) -> None:
    path, deep = tmp_path / "a.tif", colour().astype(np.uint16) * 257
    with pytest.raises(Undecided, match="hold more than 8 bits"):
        read(write(path, deep, photometric="rgb"))
    for values, extra in (
        (deep, {}),
        (np.moveaxis(deep, -1, 0), {"planarconfig": "separate"}),
        ((deep / 65535).astype(np.float32), {"compression": "zlib", "predictor": True}),
    ):
        np.testing.assert_array_equal(read(write(path, values, photometric="rgb", **extra), window="full"), colour())
    alpha = picture()[::-1, :, None]
    both = np.concatenate([colour(), alpha], axis=2)
    blended = np.rint(colour() * (alpha / 255)).astype(np.uint8)
    for kind, expected in (("unassalpha", blended), ("assocalpha", colour())):
        np.testing.assert_array_equal(read(write(path, both, photometric="rgb", extrasamples=[kind])), expected)
    share = (both / 255).astype(np.float32)
    found = read(write(path, share, photometric="rgb", extrasamples=["unassalpha"]), window="full")
    assert np.abs(found.astype(int) - blended).max() <= 1


@documents("TIFF: JPEG")
def test_jpeg_inside_a_tiff(tmp_path: Path) -> None:
    import tifffile

    path = write(tmp_path / "a.tif", colour(), photometric="ycbcr", compression="jpeg", subsampling=(2, 2))
    np.testing.assert_array_equal(read(path), tifffile.imread(path))
    path = write(tmp_path / "b.tif", DEEP, compression="jpeg", bitspersample=12)
    np.testing.assert_array_equal(
        read(path, window="2000/400"), windowed(tifffile.imread(path).astype(float), 2000, 400)
    )


@documents("TIFF: CMYK, CIELAB, YCbCr without JPEG, complex numbers, an unknown or no photometric interpretation")
def test_colours_that_need_a_profile_are_refused(tmp_path: Path) -> None:
    path, four = tmp_path / "a.tif", np.dstack([colour(), picture()])
    for message, values, extra in (
        ("CMYK", four, {"photometric": "separated"}),
        ("CIELAB", colour(), {"photometric": "cielab"}),
        ("YCbCr", colour(), {"photometric": "ycbcr"}),
        ("complex64", picture().astype(np.complex64), {}),
        ("4 channels whose meaning is not said", four, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
    ):
        with pytest.raises(DataError, match=rf"a\.tif: .*{message}"):
            read(write(path, values, **extra), window="minmax" if message == "complex64" else None)
    path.write_bytes(
        by_hand(bytes(256), 16, 16).replace(struct.pack("<HHI", 262, 4, 1), struct.pack("<HHI", 261, 4, 1))
    )
    with pytest.raises(DataError, match="does not say what its numbers mean"):
        read(path)


@documents("TIFF: an ImageJ calibration")
def test_a_calibration_is_said_and_not_applied(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", [DEEP], "ImageJ=1.53t\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=gray value\n")
    found, _, said = shown(path, window="2000/400")
    np.testing.assert_array_equal(found[0], windowed(DEEP.astype(float), 2000, 400))
    assert "carry an ImageJ calibration of their values, which is not applied" in said
    path = pages(tmp_path / "b.tif", [DEEP], "ImageJ=1.53t\nmin=0\nmax=255\n")
    assert "calibration" not in shown(path, window="2000/400")[2]


@documents("TIFF: channels without a meaning")
def test_a_float_tiff_in_another_channel_count_is_refused_in_words(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"a\.tif: .*5 channels whose meaning is not said"):
        read(tmp_path / "a.tif")


@documents("TIFF: orientation")
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_same_tag_in_a_tiff_has_the_same_effect(tmp_path: Path, orientation: int) -> None:
    import tifffile
    from PIL import Image, ImageOps

    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", picture(), extratags=[tag], photometric="minisblack")
    counterpart = exif(tmp_path / "a.png", picture(), orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(counterpart)))
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), expected)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", exif="ignore"), picture())


@documents("TIFF: floats without a range, NaN")
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


@documents("TIFF: white is zero")
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
