"""The list of mutants keeps up with the code: each can be planted, and its tests exist."""

from collections import Counter

import pytest

from tests.mutants import Mutant, mutants
from tests.paths import ROOT


def test_there_are_enough_and_no_two_are_the_same() -> None:
    found = mutants()
    assert len(found) >= 300
    assert max(Counter((one.file, one.old, one.new) for one in found).values()) == 1


@pytest.mark.parametrize("mutant", mutants(), ids=lambda one: one.name)
def test_a_mutant_can_be_planted(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert not name or f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8")
