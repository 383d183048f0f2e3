"""What an identity rests on is read again only where the system's stamp of a file does not tell that it is the same."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import encoders
from encoders.identity import snapshot as module
from encoders.identity.fingerprint import file_digest
from encoders.identity.snapshot import recall, snapshot

Remembered = tuple[Path, dict[str, Any], list[Path]]


@pytest.fixture
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Remembered]:
    """An encoder's file, what is remembered of it from an earlier process, and the files that are read from then on."""

    def make(settled: float) -> Remembered:
        monkeypatch.setattr(module, "SETTLED", settled)
        module._digest_of.cache_clear()
        file = tmp_path / "model.safetensors"
        file.write_bytes(b"weights")
        encoder = replace(encoders.load("pixels"), files=(file,))
        record = json.loads(json.dumps(snapshot("pixels", encoder)))
        read: list[Path] = []
        monkeypatch.setattr(module, "file_digest", lambda path: (read.append(path), file_digest(path))[1])
        module._digest_of.cache_clear()
        assert recall(record) == (encoder.card, encoder.fingerprint)
        return file, record, read

    return make


def test_a_file_whose_stamp_is_the_same_is_not_read_again(remembered: Callable[..., Remembered]) -> None:
    file, record, read = remembered(settled=-1.0)
    assert not read
    file.with_name("other").write_bytes(file.read_bytes())
    file.with_name("other").replace(file)  # another file of the same bytes
    assert recall(record) is not None
    assert read == [file]
    assert recall(record) is not None
    assert read == [file]  # once in a process


def test_a_change_that_hides_its_size_and_date_is_seen(remembered: Callable[..., Remembered]) -> None:
    file, record, _ = remembered(settled=-1.0)
    before = file.stat()
    time.sleep(0.02)  # the system's clock of files ticks in hundredths of seconds
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert recall(record) is None


def test_of_a_file_that_changed_a_moment_before_no_stamp_is_believed(remembered: Callable[..., Remembered]) -> None:
    file, record, read = remembered(settled=3.0)
    assert record["files"][0]["stamp"] is None
    assert read == [file]
    assert recall(record) is not None
    assert read == [file] * 2
    file.write_bytes(b"WEIGHTS")
    assert recall(record) is None
