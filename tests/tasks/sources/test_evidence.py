"""Boxes and mask files of a manifest become regions of its images; what does not fit is refused by row and value."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tasks
from tasks import DataError, Source
from tasks.images.decode import DecodePolicy, LastOpened, list_frames
from tasks.images.raster import turned
from tasks.sources.evidence import boxes, drawn
from tests.tasks.images.helpers import ct, nifti

H, W = 24, 32


def films(folder: Path, cells: list[str], column: str = "box", exif: int = 1) -> Path:
    """A manifest of grey images, 24 high and 32 wide as stored, with one cell each."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"file,{column}"]
    for i, cell in enumerate(cells):
        image = Image.fromarray(np.random.default_rng(i).integers(0, 255, (H, W), dtype=np.uint8))
        tags = image.getexif()
        tags[274] = exif
        image.save(folder / f"{i}.png", exif=tags)
        lines.append(f'{i}.png,"{cell}"')
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def opened(folder: Path, evidence: str = "box", **choices: object) -> Source:
    return tasks.open_source(str(folder), evidence=evidence, **choices)  # type: ignore[arg-type]


def block(top: int, bottom: int, left: int, right: int, shape: tuple[int, ...] = (H, W)) -> np.ndarray:
    out = np.zeros(shape, bool)
    out[..., top:bottom, left:right] = True
    return out


def test_boxes_are_the_pixels_they_touch_and_rows_without_one_are_counted(tmp_path: Path) -> None:
    cells = [
        "4 6 10 9",
        "",
        "0 0 32 24; 1 1 2 2",
        "3.5,2.5,5.2,3.6",
        "[1, 2, 3, 4]; 10 10 12 13",
        "nan",
        "-0.4 0 3 24.6",
    ]
    source = opened(films(tmp_path, cells))
    masks = [row.regions["box"]() if row.regions else None for row in source.rows]
    wanted = [block(6, 9, 4, 10), None, block(0, H, 0, W), block(2, 4, 3, 6), block(2, 4, 1, 3) | block(10, 13, 10, 12),
              None, block(0, H, 0, 3)]  # fmt: skip
    for found, want in zip(masks, wanted, strict=True):
        assert (found is None) == (want is None)
        assert want is None or (found is not None and np.array_equal(found, want))
    assert "2 of 7 images have no box, so no evidence is known in them" in source.warnings
    plain = tasks.open_source(str(tmp_path))
    assert [r.picture.identity for r in plain.rows] == [r.picture.identity for r in source.rows]
    assert not any(row.regions for row in plain.rows)
    assert plain.policy == source.policy


def test_four_columns_are_a_box_by_its_corner_and_size(tmp_path: Path) -> None:
    films(tmp_path, ["4,6,6,3", ",,,", "10.5,0,2,1"], column="bbox_x,bbox_y,bbox_w,bbox_h")
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text().replace('"', ""))
    source = opened(tmp_path, "bbox_x,bbox_y,bbox_w,bbox_h")
    first, second, third = source.rows
    assert np.array_equal(first.regions["bbox"](), block(6, 9, 4, 10))
    assert not second.regions
    assert np.array_equal(third.regions["bbox"](), block(0, 1, 10, 13))
    path.write_text(path.read_text().replace("10.5,0,2,1", "10.5,0,wide,1"))
    with pytest.raises(DataError, match=r"row 3: bbox_x = '10.5', .*bbox_w = 'wide'.*all four are numbers"):
        opened(tmp_path, "bbox_x,bbox_y,bbox_w,bbox_h")
    with pytest.raises(DataError, match="name one column, or four"):
        opened(tmp_path, "bbox_x,bbox_y")


CELLS = {
    "10 5 4 9": "x1 must be larger than x0",
    "1 9 4 9": "y1 must be larger than y0",
    "1 2 3": "no four numbers",
    "1 2 x 4": "no four numbers",
    "1 2 3 4 5": "no four numbers",
    "0 0 34 4": "leaves its image, which is 32 x 24 pixels",
    "40 30 50 35": "leaves its image",
    "-3 0 4 4": "leaves its image",
    "32 0 33 4": "leaves its image",
    "left lung": "no such file; a box is x0 y0 x1 y1",
    "masks/none.png": "no such file",
    "small.png": "the mask has 30 x 24 pixels and its image 32 x 24",
    "broken.png": "cannot be opened",
    "ring.jpg": "a JPEG is no exact mask",
    "two.tif": "it holds 2 masks and 1.png 1 images",
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_that_does_not_fit_is_refused_when_the_source_is_opened(cell: str, tmp_path: Path) -> None:
    import tifffile

    folder = films(tmp_path, ["1 1 4 4", cell])
    Image.fromarray(block(2, 5, 2, 5, (24, 30))).save(folder / "small.png")
    Image.fromarray(block(2, 5, 2, 5)).save(folder / "ring.jpg")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    tifffile.imwrite(folder / "two.tif", np.zeros((2, H, W), np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=CELLS[cell]) as caught:
        opened(folder)
    said = str(caught.value)
    assert f"{folder.name}/manifest.csv: row 2: box = {cell!r}" in said
    assert "\n" not in said


def test_columns_that_are_not_there_or_empty_are_refused(tmp_path: Path) -> None:
    folder = films(tmp_path / "films", ["", ""])
    with pytest.raises(DataError, match=r"--evidence box: no row of films/manifest.csv has a value there"):
        opened(folder)
    with pytest.raises(DataError, match=r"--evidence: films/manifest.csv has no column 'bx'; did you mean 'box'"):
        opened(folder, "bx")
    with pytest.raises(DataError, match=r"row 1: box = '9 1 4 4'.*; and 1 more such cells"):
        opened(films(tmp_path / "wrong", ["9 1 4 4", "9 1 4 4", "1 1 4 4"]))
    with pytest.raises(DataError, match="--evidence has nothing to act on: mmvp holds no boxes or masks"):
        opened(Path("mmvp"))


def written(folder: Path, name: str, values: np.ndarray) -> str:
    import imagecodecs
    import tifffile

    if name.endswith(".tif"):
        tifffile.imwrite(folder / name, values, photometric="minisblack" if values.ndim == 2 else "rgb")
    elif values.dtype == np.uint16:
        (folder / name).write_bytes(imagecodecs.png_encode(values))
    else:
        Image.fromarray(values).save(folder / name)
    return name


@pytest.mark.parametrize(
    ("name", "dtype", "value"),
    [("m.png", bool, 1), ("m.png", np.uint8, 1), ("m.png", np.uint16, 300), ("m.tif", np.uint16, 1),
     ("m.tif", np.uint8, 7), ("m.tif", np.float32, 0.01), ("m.tif", np.int16, -3)],
)  # fmt: skip
def test_every_pixel_of_a_mask_that_is_not_zero_is_evidence_and_no_window_acts(
    name: str, dtype: type, value: float, tmp_path: Path
) -> None:
    folder, there = films(tmp_path, ["m.png"]), block(3, 9, 5, 20)
    values = np.zeros((H, W), dtype)
    values[there] = value
    values[4, 6] = np.array(40_000 if dtype is np.uint16 else value, dtype)
    (folder / "manifest.csv").write_text(f"file,box\n0.png,{written(folder, name, values)}\n")
    for window in (None, "minmax"):
        if window is None or dtype not in (bool, np.uint8):
            assert np.array_equal(opened(folder).rows[0].regions["box"](), there)


def test_colours_count_in_any_channel_and_what_is_transparent_does_not(tmp_path: Path) -> None:
    folder, there = films(tmp_path, ["c.png", "a.png", "w.png"]), block(3, 9, 5, 20)
    colour = np.zeros((H, W, 3), np.uint8)
    colour[there, 2] = 9
    written(folder, "c.png", colour)
    for name, dtype in (("a.png", np.uint8), ("w.png", np.uint16)):
        alpha = np.where(there, np.iinfo(dtype).max, 0).astype(dtype)
        written(folder, name, np.dstack([np.full((H, W, 3), 200, dtype), alpha]))
    for row in opened(folder).rows:
        assert np.array_equal(row.regions["box"](), there)


def test_a_mask_that_is_empty_or_not_finite_is_refused_when_it_is_read(tmp_path: Path) -> None:
    folder = films(tmp_path, ["m.png", "n.tif", "s.tif"])
    written(folder, "m.png", np.zeros((H, W), np.uint8))
    written(folder, "n.tif", np.full((H, W), np.nan, np.float32))
    written(folder, "s.tif", np.ones((H, W + 1), np.uint16))
    empty, odd, small = opened(folder).rows
    with pytest.raises(DataError, match=r"row 1: box = 'm.png': the mask is empty"):
        empty.regions["box"]()
    with pytest.raises(DataError, match=r"row 2: box = 'n.tif': the mask holds numbers that are not finite"):
        odd.regions["box"]()
    with pytest.raises(DataError, match=r"row 3: box = 's.tif': the mask has 33 x 24 pixels and its image 32 x 24"):
        small.regions["box"]()


@pytest.mark.parametrize(("exif", "shape"), [("apply", (W, H)), ("ignore", (H, W))])
def test_boxes_and_masks_lie_on_the_image_as_it_is_shown(exif: str, shape: tuple[int, int], tmp_path: Path) -> None:
    folder = films(tmp_path, ["1 2 5 4", "m.png"], exif=6)
    high, wide = shape
    (folder / "m.png").unlink(missing_ok=True)
    Image.fromarray(block(2, 4, 1, 5, shape)).save(folder / "m.png")
    for row in opened(folder, exif=exif).rows:
        assert row.picture.read().shape == shape
        assert np.array_equal(row.regions["box"](), block(2, 4, 1, 5, shape))
    with pytest.raises(DataError, match=f"has {wide} x {high} pixels and its image {high} x {wide}"):
        opened(folder, exif="ignore" if exif == "apply" else "apply")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_a_mask_with_an_orientation_of_its_own_is_turned_as_the_image_is(
    exif: str, dtype: type, tmp_path: Path
) -> None:
    folder, stored = films(tmp_path, ["m.png"], exif=6), block(2, 4, 1, 5)
    tags = Image.Exif()
    tags[274] = 6
    Image.fromarray(stored.astype(dtype) * 3).save(folder / "m.png", exif=tags)
    found = opened(folder, exif=exif).rows[0].regions["box"]()
    assert np.array_equal(found, turned(stored, 6) if exif == "apply" else stored)


def test_slices_of_a_volume_have_the_slices_of_their_mask(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 400, (6, 5, 3)).astype(np.int16)
    labels = np.zeros((6, 5, 3), np.int16)
    labels[1:3, 2:4, 1], labels[4, 0, 2], labels[0, 0, 0] = 1, 2000, 7
    nifti(tmp_path / "v.nii.gz", values)
    nifti(tmp_path / "m.nii.gz", labels, "LPS")  # stored the other way round
    (tmp_path / "manifest.csv").write_text("file,mask,group\nv.nii.gz,m.nii.gz,a\n")
    rows = opened(tmp_path, "mask").rows
    shown = np.transpose(labels[::-1, ::-1], (2, 1, 0)) != 0  # as slices are: right first, front up
    assert len(rows) == 3
    for row, want in zip(rows, shown, strict=True):
        assert np.array_equal(row.regions["mask"](), want)
    labels[:, :, 1] = 0
    nifti(tmp_path / "m.nii.gz", labels, "LPS")
    source = opened(tmp_path, "mask")
    assert [bool(row.regions) for row in source.rows] == [True, False, True]
    assert "1 of 3 images have no mask, so no evidence is known in them" in source.warnings
    nifti(tmp_path / "m.nii.gz", labels[..., :2], "LPS")
    with pytest.raises(DataError, match=r"it holds 2 masks and v.nii.gz 3 images"):
        opened(tmp_path, "mask")
    shown = np.transpose(labels[::-1, ::-1], (2, 1, 0)) != 0
    nifti(tmp_path / "m.nii.gz", labels, "LPS")
    (whole,) = opened(tmp_path, "mask", volumes=True).rows
    assert np.array_equal(whole.regions["mask"](), shown)
    assert whole.picture.read().shape == shown.shape
    (tmp_path / "manifest.csv").write_text("file,mask,group\nv.nii.gz,1 1 2 2,a\n")
    with pytest.raises(DataError, match="a box has no depth"):
        opened(tmp_path, "mask", volumes=True)


def test_a_dicom_slice_takes_boxes_and_masks_of_its_own_kind_but_no_nifti(tmp_path: Path) -> None:
    ct(tmp_path / "a.dcm", np.full((H, W), 40))
    stored = np.zeros((H, W), int)
    stored[3:9, 5:20] = 1
    ct(tmp_path / "m.dcm", stored - 1024)
    nifti(tmp_path / "m.nii.gz", np.ones((W, H, 1), np.int16))
    for cell, want in (("m.dcm", block(3, 9, 5, 20)), ("1 2 5 4", block(2, 4, 1, 5))):
        (tmp_path / "manifest.csv").write_text(f"file,where\na.dcm,{cell}\n")
        assert np.array_equal(opened(tmp_path, "where").rows[0].regions["where"](), want)
    (tmp_path / "manifest.csv").write_text("file,where\na.dcm,m.nii.gz\n")
    with pytest.raises(DataError, match="a NIfTI mask lies in the patient's axes"):
        opened(tmp_path, "where")


def test_marks_of_a_manifest_are_a_region_too(tmp_path: Path) -> None:
    films(tmp_path, [""])
    (tmp_path / "manifest.csv").write_text("file,red_x,red_y\n0.png,10,12\n")
    mask = tasks.open_source(str(tmp_path)).rows[0].regions["marks"]()
    assert mask[12, 10]
    assert 100 < mask.sum() < 140  # a disc of radius 6
    assert np.argwhere(mask).mean(0).tolist() == [12, 10]


def test_boxes_are_read_as_they_are_usually_written() -> None:
    assert boxes("1 2 3 4") == boxes("1,2,3,4") == boxes("(1, 2, 3, 4);") == [(1.0, 2.0, 3.0, 4.0)]
    assert drawn([(0.0, 0.0, 1.0, 1.0), (2.2, 1.9, 3.1, 2.0)], (3, 4)).astype(int).tolist() == [
        [1, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 0, 0],
    ]


def test_headers_tell_the_size_that_decoding_gives(tmp_path: Path) -> None:
    for exif in range(1, 9):
        films(tmp_path / str(exif), ["", ""], exif=exif)
    ct(tmp_path / "a.dcm", np.full((H, W), 40))
    nifti(tmp_path / "v.nii", np.zeros((6, 5, 3), np.int16), "AIL")
    written(tmp_path, "deep.png", np.zeros((H, W), np.uint16))
    (tmp_path / "p.pgm").write_bytes(b"P5 32 24 255\n" + bytes(H * W))
    known = 0
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".csv"):
        for exif in ("apply", "ignore"):
            for volumes in (False, True) if path.suffix == ".nii" else (False,):
                policy = DecodePolicy(exif=exif, window=None if path.suffix == ".dcm" else "minmax", volumes=volumes)
                for frame in list_frames(path, policy, LastOpened()):
                    assert frame.shape == frame.read().shape, path.name
                    known += 1
    assert known == 8 * 2 * 2 + 2 + 2 * (3 + 1) + 2 + 2
