"""Identities of pictures: what they follow, and what they do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError
from tests.tasks.images.helpers import picture, save, wide


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
    with pytest.raises(DataError, match=r"^a\.png: no such file"):
        row.picture.read()


def test_pictures_survive_pickling(tmp_path: Path) -> None:
    import pickle

    (row,) = tasks.open_source(str(save(picture(), tmp_path / "a.png"))).rows
    again = pickle.loads(pickle.dumps(row))
    np.testing.assert_array_equal(again.picture.read(), picture())
    assert again.picture.identity == row.picture.identity
