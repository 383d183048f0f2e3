"""What a number rests on is in its key: the source of the statistics too, in whatever folder it lies."""

from pathlib import Path

import pytest

from slitlamp.keys import code_digest


@pytest.mark.parametrize("changed", ["top.py", "stats/deep.py"])
def test_a_changed_source_file_changes_the_digest_of_its_package(changed: str, tmp_path: Path) -> None:
    (tmp_path / "stats").mkdir()
    for name in ("top.py", "stats/deep.py"):
        (tmp_path / name).write_text("x = 1\n")
    code_digest.cache_clear()
    before = code_digest(str(tmp_path))
    code_digest.cache_clear()
    assert code_digest(str(tmp_path)) == before
    (tmp_path / changed).write_text("x = 2\n")
    code_digest.cache_clear()
    assert code_digest(str(tmp_path)) != before
