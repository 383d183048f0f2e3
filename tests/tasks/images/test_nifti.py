"""NIfTI: slices are hung alike however a volume is stored, and Hounsfield units wait for a window."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks import DataError, Undecided
from tests.tasks.images.helpers import nifti, windowed


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
