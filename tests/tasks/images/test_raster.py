"""JPEG, PNG and other raster files are decoded to the pixels that an independent reading of them gives."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided
from tasks.images import raster
from tasks.images.decode import DecodePolicy, LastOpened, list_frames
from tests.tasks.images.documented import documents
from tests.tasks.images.helpers import colour, exif, picture, read, save, wide, windowed


@documents("PNG, GIF, WebP, BMP, JPEG: grey stored as colour")
def test_grey_that_is_stored_as_colour_is_grey_and_nearly_grey_stays_colour(tmp_path: Path) -> None:
    grey = np.repeat(picture()[..., None], 3, axis=2)
    assert read(save(grey, tmp_path / "a.png")).shape == (40, 56)
    grey[17, 23, 2] ^= 1
    np.testing.assert_array_equal(read(save(grey, tmp_path / "b.png")), grey)


@documents("JPEG: 8 bits")
def test_a_jpeg_is_what_libjpeg_says(tmp_path: Path) -> None:
    import imagecodecs

    path = save(colour(), tmp_path / "a.jpg", quality=90)
    expected = imagecodecs.jpeg8_decode(path.read_bytes())
    assert np.abs(read(path).astype(int) - expected).max() <= 1


@documents("PNG, GIF, BMP: a palette, or single bits")
def test_palettes_and_single_bits_become_the_colours_they_mean(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "p.png"
    Image.fromarray(colour()).quantize(16).save(path)
    np.testing.assert_array_equal(read(path), np.asarray(Image.open(path).convert("RGB")))
    bits = picture() > 80
    np.testing.assert_array_equal(read(save(bits, tmp_path / "b.png")), bits * np.uint8(255))
    np.testing.assert_array_equal(read(save(bits, tmp_path / "b.tif")), bits * np.uint8(255))


@documents("PNG, GIF, WebP: transparency")
def test_transparency_lies_over_black_and_full_opacity_changes_nothing(tmp_path: Path) -> None:
    rgba = np.dstack([colour(), np.full((40, 56), 255, np.uint8)])
    np.testing.assert_array_equal(read(save(rgba, tmp_path / "a.png")), colour())
    rgba[:20, :, 3] = 0
    rgba[20:30, :, 3] = 128
    found = read(save(rgba, tmp_path / "b.png")).astype(int)
    assert not found[:20].any()
    assert np.abs(found[20:30] - colour()[20:30] * (128 / 255)).max() <= 1
    np.testing.assert_array_equal(found[30:], colour()[30:])


@documents("JPEG: CMYK and YCCK")
def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    import imagecodecs
    from PIL import Image

    flat = np.zeros((16, 16, 3), np.uint8)
    flat[:, :8], flat[:, 8:] = (250, 10, 10), (10, 10, 250)
    found = read(save(flat, tmp_path / "a.jpg", "CMYK", quality=95)).astype(int)
    assert found.shape == (16, 16, 3)
    assert np.abs(found - flat).max() < 30
    inverted = 255 - np.asarray(Image.fromarray(flat).convert("CMYK"))  # as Adobe's marker means it
    data = imagecodecs.jpeg8_encode(inverted, level=95, colorspace="CMYK", outcolorspace="YCCK")
    (tmp_path / "b.jpg").write_bytes(data)
    away = [0, 1, 2, 13, 14, 15]  # columns where the subsampled colour of the other half does not reach
    assert np.abs(read(tmp_path / "b.jpg").astype(int) - flat)[:, away].max() < 30


@documents("JPEG, PNG, WebP: EXIF orientation")
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_exif_orientation_is_applied_as_pillow_applies_it(tmp_path: Path, name: str, orientation: int) -> None:
    from PIL import Image, ImageOps

    path = exif(tmp_path / name, picture(), orientation)
    np.testing.assert_array_equal(read(path), np.asarray(ImageOps.exif_transpose(Image.open(path))))
    np.testing.assert_array_equal(read(path, exif="ignore"), np.asarray(Image.open(path)))
    (row,) = tasks.open_source(str(path)).rows
    assert row.columns["exif_orientation"] == str(orientation)


@documents("PNG: 16 bits")
def test_16_bit_colour_png_is_not_cut_to_8_bits_unasked(tmp_path: Path) -> None:
    import imagecodecs

    deep = colour().astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    with pytest.raises(Undecided):
        read(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", window="full"), colour())
    alpha = np.dstack([deep, picture().astype(np.uint16) * 257])
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(alpha))
    over = np.rint(deep * (alpha[..., 3:] / 65535))
    np.testing.assert_array_equal(read(tmp_path / "b.png", window="2000/40000"), windowed(over, 2000, 40000))


@documents("PNG: a broken checksum")
def test_a_png_with_a_broken_checksum_is_refused(tmp_path: Path) -> None:
    path = save(picture(), tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    where = data.index(b"IDAT") + 12
    data[where] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
        read(path)


def png(path: Path, values: np.ndarray, bits: int, *chunks: tuple[bytes, bytes], kind: int = 0) -> Path:
    """A PNG made by hand (kind 0 grey, 3 of a palette), with chunks before its pixels."""
    if bits == 16:
        rows = values.astype(">u2").view(np.uint8).reshape(len(values), -1)
    else:
        unpacked = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
        rows = np.packbits(unpacked.reshape(len(values), -1), axis=1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")):
        data += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    path.write_bytes(data)
    return path


@documents("PNG: 1, 2 or 4 bits")
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_bits_has_its_greatest_number_as_white(tmp_path: Path, bits: int) -> None:
    values = picture() >> (8 - bits)
    expected = np.rint(values * 255.0 / (2**bits - 1)).astype(np.uint8)
    np.testing.assert_array_equal(read(png(tmp_path / "a.png", values, bits)), expected)


@documents("PNG: sBIT, gAMA and colour profiles")
def test_what_a_png_says_about_its_bits_and_gamma_is_not_followed(tmp_path: Path) -> None:
    chunks = ((b"sBIT", b"\x0c"), (b"gAMA", struct.pack(">I", 22000)))
    found = read(png(tmp_path / "a.png", wide(), 16, *chunks), window="1000/2000")
    np.testing.assert_array_equal(found, windowed(wide().astype(float), 1000, 2000))
    np.testing.assert_array_equal(read(png(tmp_path / "b.png", picture(), 8, (b"gAMA", chunks[1][1]))), picture())


@documents("PNG, GIF, WebP: several images")
@pytest.mark.parametrize("disposal", [1, 2])
@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_every_image_of_an_animation_is_one_as_it_is_shown(tmp_path: Path, name: str, disposal: int) -> None:
    import imagecodecs
    from PIL import Image

    images = []
    for k in range(5):
        image = Image.new("RGBA", (56, 40), (0, 0, 0, 0))
        image.paste((40 * k + 20, 250 - 40 * k, 90, 255), (4 * k, 3 * k, 4 * k + 20, 3 * k + 12))
        images.append(image)
    extra: dict[str, Any] = {"lossless": True} if name == "a.webp" else {"disposal": disposal}
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:], **extra)
    decode = {"gif": imagecodecs.gif_decode, "png": imagecodecs.apng_decode, "webp": None}[name[2:]]
    expected = [np.asarray(image)[..., :3] * (np.asarray(image)[..., 3:] > 0) for image in images]
    if decode is not None:
        shown = decode((tmp_path / name).read_bytes())
        expected = [one[..., :3] * (one[..., 3:] > 0) for one in shown]
    rows = tasks.open_source(str(tmp_path / name)).rows
    assert [row.columns["frame"] for row in rows] == ["1", "2", "3", "4", "5"]
    for k in (0, 1, 2, 3, 4, 1, 4, 0):  # in any order
        np.testing.assert_array_equal(rows[k].picture.read(), expected[k])


@pytest.mark.parametrize("kept", [raster.KEPT, 0])
@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_a_long_animation_is_read_in_linear_time(
    tmp_path: Path, name: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    images = [Image.fromarray(picture(seed=k)) for k in range(40)]
    extra: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:], **extra)
    rows = tasks.open_source(str(tmp_path / name)).rows
    monkeypatch.setattr(raster, "KEPT", kept)
    steps = []
    with Image.open(tmp_path / name) as opened:
        kind = type(opened)
    true = kind.seek
    monkeypatch.setattr(kind, "seek", lambda self, frame: (steps.append(1), true(self, frame))[1])
    for row, image in zip(rows, images, strict=True):
        np.testing.assert_array_equal(row.picture.read(), np.asarray(image))
    assert len(steps) == len(rows)
    for k in reversed(range(len(rows))):  # as a table may name them
        np.testing.assert_array_equal(rows[k].picture.read(), np.asarray(images[k]))
    assert len(steps) == len(rows) or not kept


def test_an_animation_keeps_no_more_frames_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    images = [Image.fromarray(picture(seed=k)) for k in range(8)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:])
    most = (tmp_path / "a.png").stat().st_size + 2 * picture().nbytes
    monkeypatch.setattr(raster, "KEPT", most)
    animation = raster._Animation(tmp_path / "a.png")
    for k in range(8):
        np.testing.assert_array_equal(animation.frame(k), np.asarray(images[k]))
    assert animation.held == most
    assert len(animation._kept) == 2


def test_a_table_may_name_frames_of_several_animations_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    images = [Image.fromarray(picture(seed=k)) for k in range(40)]
    for name, some in (("a.gif", images), ("b.gif", images[::-1])):
        some[0].save(tmp_path / name, save_all=True, append_images=some[1:])
    lines = [f"{name},{k + 1}" for k in range(40) for name in ("a.gif", "b.gif")]
    (tmp_path / "t.csv").write_text("\n".join(["file,frame", *lines]))
    steps = []
    with Image.open(tmp_path / "a.gif") as opened:
        kind = type(opened)
    rows, true = tasks.open_source(str(tmp_path / "t.csv")).rows, kind.seek
    monkeypatch.setattr(kind, "seek", lambda self, frame: (steps.append(1), true(self, frame))[1])
    for row, k in zip(rows, (k for i in range(40) for k in (i, 39 - i)), strict=True):
        np.testing.assert_array_equal(row.picture.read(), np.asarray(images[k]))
    assert len(steps) == len(rows)


@documents("PNG: several images of 16 bits")
def test_an_animated_png_of_16_bits_is_refused(tmp_path: Path) -> None:
    control = (b"acTL", struct.pack(">II", 2, 0))
    frame = (b"fcTL", struct.pack(">IIIIIHHBB", 0, 56, 40, 0, 0, 1, 1, 0, 0))
    with pytest.raises(DataError, match="an animated PNG of 16 bits is not read"):
        read(png(tmp_path / "a.png", wide(), 16, control, frame), window="full")


@documents("BMP: 16 and 32 bits")
def test_bmps_of_16_and_32_bits(tmp_path: Path) -> None:
    def bmp(bits: int, masks: tuple[int, ...], pixels: np.ndarray) -> Path:
        size = 40 + 4 * len(masks)
        head = struct.pack("<IiiHHIIiiII", size, 56, 40, 1, bits, 3 if masks else 0, pixels.nbytes, 0, 0, 0, 0)
        head += b"".join(struct.pack("<I", mask) for mask in masks)
        data = b"BM" + struct.pack("<IHHI", 14 + size + pixels.nbytes, 0, 0, 14 + size) + head + pixels.tobytes()
        (tmp_path / "a.bmp").write_bytes(data)
        return tmp_path / "a.bmp"

    red, green, blue = (colour()[::-1, :, k].astype(np.uint16) for k in range(3))
    path = bmp(16, (0xF800, 0x07E0, 0x001F, 0), (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3)
    stored, greatest = colour().astype(int) >> np.array([3, 2, 3]), np.array([31, 63, 31])
    np.testing.assert_array_equal(read(path), stored * 255 // greatest)
    bgra = np.dstack([colour()[..., ::-1], picture()])[::-1]
    np.testing.assert_array_equal(read(bmp(32, (), bgra)), colour())
    blended = np.rint(colour() * (picture()[..., None] / 255)).astype(np.uint8)
    found = read(bmp(32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), bgra))
    assert np.abs(found.astype(int) - blended).max() <= 1


@documents("PNG: a transparent grey of 1, 2 or 4 bits")
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_transparent_grey_is_found_among_its_bits(tmp_path: Path, bits: int) -> None:
    values = picture() >> (8 - bits)
    grey = np.rint(values * (255 / (2**bits - 1)))
    for key in range(2**bits):
        path = png(tmp_path / "a.png", values, bits, (b"tRNS", struct.pack(">H", key)))
        np.testing.assert_array_equal(read(path), np.where(values == key, 0, grey))
        assert list_frames(path, DecodePolicy(), LastOpened())[0].revision == (1 if bits == 1 else 2)


@documents("PNG: a number beyond its palette")
@pytest.mark.parametrize("bits", [4, 8])
def test_a_number_that_a_palette_has_no_colour_for_is_refused(tmp_path: Path, bits: int) -> None:
    colours = np.arange(15, dtype=np.uint8)[::-1].reshape(5, 3)
    whole = png(tmp_path / "a.png", picture() % 5, bits, (b"PLTE", colours.tobytes()), kind=3)
    np.testing.assert_array_equal(read(whole), colours[picture() % 5])
    with pytest.raises(DataError, match="the number 4, which its palette has no colour for"):
        read(png(tmp_path / "b.png", picture() % 5, bits, (b"PLTE", colours[:4].tobytes()), kind=3))


@documents("PNG: more images promised than the file holds")
@pytest.mark.parametrize("default", [False, True])
def test_images_that_an_animated_png_promises_are_held_against_the_file(tmp_path: Path, default: bool) -> None:
    from PIL import Image

    path = tmp_path / "a.png"
    images = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    images[0].save(path, save_all=True, append_images=images[1:], default_image=default)
    rows = tasks.open_source(str(path)).rows
    for row, image in zip(rows, images, strict=True):
        np.testing.assert_array_equal(row.picture.read(), np.asarray(image))
    data = bytearray(path.read_bytes())
    at = data.index(b"acTL")
    data[at + 4 : at + 8] = struct.pack(">I", 2**31 - 1)
    data[at + 12 : at + 16] = struct.pack(">I", zlib.crc32(data[at : at + 12]))
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"its header promises 2147483647 images, the file holds {3 - default}"):
        tasks.open_source(str(path))


@pytest.mark.parametrize("kind", ["raw profile", "xmp"])
def test_an_orientation_that_a_png_holds_as_text_is_followed(tmp_path: Path, kind: str) -> None:
    from PIL import Image, PngImagePlugin

    said = PngImagePlugin.PngInfo()
    if kind == "xmp":
        said.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>')
    else:
        tags = Image.Exif()
        tags[raster.ORIENTATION] = 6
        said.add_text("Raw profile type exif", f"\nexif\n{len(tags.tobytes())}\n{tags.tobytes().hex()}\n")
    save(picture(), tmp_path / "a.png", pnginfo=said)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), raster.turned(picture(), 6))


@documents("GIF: no end mark")
def test_a_gif_without_an_end_is_said(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "a.gif"
    Image.fromarray(picture()).save(path, save_all=True, append_images=[Image.fromarray(picture(seed=1))])
    whole = path.read_bytes()
    line = "1 of 1 images are GIFs without an end mark: perhaps images of theirs are missing"
    for data, lines in (
        (whole, 0),
        (whole + b"\0\0", 0),
        (whole + bytes(500), 0),
        (whole[: whole.rindex(b"\x21\xf9")], 1),
    ):
        path.write_bytes(data)
        assert [w for w in tasks.open_source(str(path)).warnings if "GIF" in w] == [line] * lines


@documents("PNG, GIF, WebP: a header that promises more pixels than its bytes can hold")
@pytest.mark.parametrize("end", ["png", "gif"])
def test_a_large_image_that_its_bytes_cannot_hold_is_refused_at_once_and_a_blank_one_is_read(
    tmp_path: Path, end: str
) -> None:
    from PIL import Image

    blank = tmp_path / f"blank.{end}"
    Image.new("1" if end == "png" else "P", (6000, 4000)).save(blank)  # as few bytes as there can be
    assert read(blank).shape == (4000, 6000)
    data = bytearray(blank.read_bytes())
    if end == "png":
        data[16:24] = struct.pack(">II", 20, 4_000_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        data[6:10] = struct.pack("<HH", 20000, 4000)
        del data[2000:-1]
    cut = tmp_path / f"cut.{end}"
    cut.write_bytes(data)
    with pytest.raises(DataError, match=r"promises \d+ x \d+ pixels, which its \d+ bytes cannot hold"):
        list_frames(cut, DecodePolicy(), LastOpened())
