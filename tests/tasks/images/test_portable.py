"""Portable maps are read by their format: the stored numbers, maxval as white, every map of a file."""

from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided
from tests.tasks.images.documented import documents
from tests.tasks.images.helpers import colour, picture, read, wide, windowed

GREY, RGB = picture(), colour()
DEEP = (wide() // 4 * 4).clip(0, 4095)  # 12 bits
BITS = GREY > 80
WHITE_IF_UNSET = ~BITS * np.uint8(255)


def made(path: Path, header: str, values: np.ndarray) -> Path:
    path.write_bytes(header.encode() + values.tobytes())
    return path


def letters(values: np.ndarray) -> np.ndarray:
    return np.frombuffer(" ".join(map(str, values.ravel())).encode(), np.uint8)


@documents(
    "PGM, PPM: maxval 255",
    "PGM, PPM: maxval below 255",
    "PBM",
    "PAM: grey, colour, bits, alpha",
    "P1, P2, P3: numbers in letters",
)
@pytest.mark.parametrize(
    ("header", "values", "expected"),
    [
        ("P5\n# a comment\n56 40\n255\n", GREY, GREY),
        ("P6 56 40 255\n", RGB, RGB),
        ("P5\n56 40\n15\n", GREY >> 4, (GREY >> 4) * np.uint8(17)),
        ("P6\n56 40\n3\n", RGB >> 6, (RGB >> 6) * np.uint8(85)),
        ("P4\n56 40\n", np.packbits(BITS, axis=1), WHITE_IF_UNSET),
        ("P4\n53 40\n", np.packbits(BITS[:, :53], axis=1), WHITE_IF_UNSET[:, :53]),
        ("P1\n56 40\n", letters(BITS.astype(int)), WHITE_IF_UNSET),
        ("P2\n56 40\n255 # white\n", letters(GREY), GREY),
        ("P3\n56 40\n255\n", letters(RGB), RGB),
        ("P7\nWIDTH 56\nHEIGHT 40\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n", GREY, GREY),
        ("P7\nWIDTH 56\nHEIGHT 40\nDEPTH 1\nMAXVAL 1\nTUPLTYPE BLACKANDWHITE\nENDHDR\n", BITS, BITS * np.uint8(255)),
        (
            "P7\n# layers\nWIDTH 56\nHEIGHT 40\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n",
            np.dstack([RGB, GREY]),
            np.rint(RGB * (GREY[..., None] / 255)).astype(np.uint8),
        ),
    ],
)
def test_maps_of_up_to_8_bits(tmp_path: Path, header: str, values: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(read(made(tmp_path / "a.pnm", header, values)), expected)


@documents("PGM, PPM, PAM: maxval above 255", "PFM")
@pytest.mark.parametrize(
    ("header", "values", "stored"),
    [
        ("P5\n56 40\n4095\n", DEEP.astype(">u2"), DEEP),
        ("P2\n56 40\n4095\n", letters(DEEP), DEEP),
        ("P7\nWIDTH 56\nHEIGHT 40\nDEPTH 1\nMAXVAL 4095\nENDHDR\n", DEEP.astype(">u2"), DEEP),
        ("P6\n56 40\n65535\n", (RGB.astype(np.uint16) * 9).astype(">u2"), RGB.astype(np.uint16) * 9),
        ("Pf\n56 40\n-1.0\n", DEEP.astype("<f4")[::-1], DEEP.astype(np.float32)),
        ("PF\n56 40\n1.0\n", (RGB * 9.0).astype(">f4")[::-1], (RGB * 9.0).astype(np.float32)),
    ],
)
def test_wide_maps_are_their_stored_numbers_under_a_window(
    tmp_path: Path, header: str, values: np.ndarray, stored: np.ndarray
) -> None:
    path = made(tmp_path / "a.pnm", header, values)
    with pytest.raises(Undecided, match=rf"the first {stored.min():g} to {stored.max():g}"):
        read(path)
    np.testing.assert_array_equal(read(path, window="1500/2000"), windowed(stored.astype(float), 1500, 2000))
    if stored.dtype == np.uint16:
        np.testing.assert_array_equal(read(path, window="full"), np.rint(stored / 65535 * 255).astype(np.uint8))


@documents("PGM, PPM, PAM: several maps in one file")
def test_every_map_of_a_file_is_an_image(tmp_path: Path) -> None:
    one = b"P5\n56 40\n255\n"
    path = tmp_path / "a.pgm"
    path.write_bytes(one + GREY.tobytes() + one + GREY[::-1].tobytes() + b"\nP6\n56 40\n255\n" + RGB.tobytes() + b"\n")
    rows = tasks.open_source(str(path)).rows
    assert [row.columns["frame"] for row in rows] == ["1", "2", "3"]
    for row, expected in zip(rows, (GREY, GREY[::-1], RGB), strict=True):
        np.testing.assert_array_equal(row.picture.read(), expected)


@documents("PNM, PAM, PFM: what the header and the numbers contradict")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P5\n56 40\n255\n" + GREY.tobytes()[:-7], r"promises 2240 bytes of pixels and holds 2233 \(cut"),
        (b"P5\n56000 4000\n255\n" + GREY.tobytes(), "promises 224000000 bytes"),
        (b"P5\n560000 400000\n255\n" + GREY.tobytes(), "promises 560000 x 400000 pixels"),
        (b"P2\n56 40\n255\n" + b"1 " * 2239, r"promises 2240 numbers and holds 2239 \(cut"),
        (b"P2\n56 40\n255\n" + b"-3 " * 2300, "holds -3, which is not between 0 and its maxval 255"),
        (b"P5\n56 40\n100\n" + GREY.tobytes(), r"holds \d+, which is not between 0 and its maxval 100"),
        (b"P5\n0 40\n255\n" + GREY.tobytes(), "width, height, depth or maxval is 0"),
        (b"P5\n56 40\n70000\n" + GREY.tobytes(), "maxval is 70000"),
        (b"P5\n56", "header is not that of a portable map"),
        (
            b"P7\nWIDTH 9\nHEIGHT 9\nDEPTH 5\nMAXVAL 255\nTUPLTYPE SPECTRUM\nENDHDR\n",
            "5 channels of the kind 'SPECTRUM'",
        ),
        (b"Pf\n2 2\n-1\n" + np.array([1, 2, np.nan, 3], "<f4").tobytes(), "NaN"),
    ],
)
def test_maps_that_contradict_themselves_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.pnm").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.pnm", window="minmax") if data[:2] == b"Pf" else read(tmp_path / "a.pnm")


def test_a_map_whose_pixels_changed_has_another_identity_and_others_keep_theirs(tmp_path: Path) -> None:
    import json

    from tasks.images.content import Content, identity

    def known(header: str, values: np.ndarray) -> tuple[str | None, str | None]:
        path = made(tmp_path / "a.pgm", header, values)
        source = tasks.open_source(str(path), window="minmax" if values.dtype != np.uint8 else None)
        policy = json.dumps(source.policy, sort_keys=True)
        return source.rows[0].picture.identity, identity(Content(path), policy, 1)

    now, before = known("P5\n56 40\n255\n", GREY)
    assert now == before
    now, before = known("P5\n56 40\n4095\n", DEEP.astype(">u2"))
    assert now != before


@documents("PGM, PPM, PAM: bytes behind the last map")
def test_bytes_behind_the_last_map_are_counted_and_padding_is_not(tmp_path: Path) -> None:
    for behind, lines in ((b"", 0), (b"\n", 0), (b"\0" * 9, 0), (b"junk", 1)):
        path = made(tmp_path / "a.pgm", "P5\n56 40\n255\n", GREY)
        path.write_bytes(path.read_bytes() + behind)
        warnings = [w for w in tasks.open_source(str(path)).warnings if "own group" not in w]
        assert warnings == ["1 of 1 images hold bytes behind their pixels, which are not shown"] * lines
