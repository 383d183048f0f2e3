"""Two thousand mutated files of every kind are read or refused, and a reader with faults is found out."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.mutate import mutated
from tests.fuzz.run import fuzz

COUNT = 2000  # `make fuzz` reads 100,000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux tells it")
def test_every_reader_reads_or_refuses_what_it_is_given(tmp_path: Path) -> None:
    found = fuzz(COUNT, seed=0, start=0, out=tmp_path)
    assert found.failures == []
    assert sum(found.done.values()) == COUNT
    assert len(found.done) == 10
    assert min(found.done.values()) >= 10


def test_a_reader_with_faults_is_found_out_and_its_inputs_are_saved(tmp_path: Path) -> None:
    found = fuzz(4, seed=0, start=6, out=tmp_path, memory=2**26, seconds=2.0, kinds="planted")
    said = {re.sub(r"[\d.-]+", "N", words.partition(" (")[0]) for _, _, words in found.failures}
    assert said == {
        "IndexError: a fault of a decoder", "N MiB of memory", "more than N s", "the process ended with N",
    }  # fmt: skip
    assert len(found.failures) == 4
    assert len(list(tmp_path.iterdir())) == 4
    again = fuzz(1, 0, found.failures[0][0], tmp_path, memory=2**26, seconds=2.0, kinds="planted")
    assert again.failures == found.failures[:1]  # an input is decided by the seed and its number


def test_inputs_are_decided_by_their_generator_and_differ() -> None:
    data = b'{"a": [1, 2, {"b": "c"}], "d": null}'
    made = [mutated(data, "json", np.random.default_rng([0, k])) for k in range(50)]
    assert made == [mutated(data, "json", np.random.default_rng([0, k])) for k in range(50)]
    assert len(set(made)) > 40
