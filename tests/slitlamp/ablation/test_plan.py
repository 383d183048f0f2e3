"""What a plan says of time rests on what was measured, and counts what units share once."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cache import Store
from slitlamp.ablation.check import Unit
from slitlamp.ablation.grid import grid_of
from slitlamp.ablation.plan import expected
from slitlamp.ablation.priced import totals_of
from slitlamp.probing.pace import Measured, kind_of, seconds_of
from slitlamp.settings import Settings

RUN = grid_of({"grid": {"encoder": ["pixels"]}}, "g", 9).runs[0]
UNIT = Unit(
    run=RUN, task="mirror", encoder="pixels", settings=Settings(), cells={"a": 2.0, "b": 4.0, "c": 6.0},
    known=frozenset("a"), images={"x": 0.5, "y": 0.5},
)  # fmt: skip


def test_known_cells_take_no_time_and_shared_ones_count_once() -> None:
    assert expected([UNIT], 1) == 2 * 0.5 + 4 + 6
    assert expected([UNIT], 8) == 2 * 0.5 + (4 + 6) / 2  # no more at once than there are
    assert expected([UNIT, replace(UNIT, encoder="lowlevel", cells={"c": 6.0, "d": 1.0}, images={"y": 0.5})], 1) == 12
    assert expected([replace(UNIT, known=frozenset("abc"), images={})], 1) == 0


def test_where_a_part_was_never_timed_no_number_is_given() -> None:
    assert expected([replace(UNIT, images={"x": None})], 1) is None
    assert expected([replace(UNIT, images={})], 1) == 10
    assert expected([replace(UNIT, cells={"b": None})], 1) is None
    assert expected([replace(UNIT, cells={"a": None})], 1) == 1  # known, so that nobody asks how long it takes


def test_a_cell_takes_what_the_nearest_took_where_one_is_near() -> None:
    known = {"100x64": 2.0, "180x64": 9.0}
    assert seconds_of(known, 110, 64) == pytest.approx(2.2)
    assert seconds_of(known, 170, 64) == pytest.approx(8.5)
    assert seconds_of(known, 361, 64) is None
    assert seconds_of(known, 100, 31) is None
    assert seconds_of({}, 100, 64) is None


def test_what_was_timed_before_is_kept_beside_what_is_timed_now(tmp_path: Path) -> None:
    store, kind = Store(tmp_path), kind_of("ridge", "full", 19, 2, nested=True, detect=False)
    for items, seconds in ((40, 1.0), (90, 3.0)):
        measured = Measured()
        plan = SimpleNamespace(headline="ridge", permuted=np.zeros((19, items)), repeats=2)
        features = SimpleNamespace(x=np.zeros((items, 8)))
        job = SimpleNamespace(
            key="k", features=features, plan=plan, probe=None, level="full", nested=True, detect=False
        )
        measured.begun(job)  # type: ignore[arg-type]
        measured.done("k", seconds)
        measured.keep(store)
    assert store.memo("pace").get_many([kind]) == {kind: {"40x8": 1.0, "90x8": 3.0}}
    others = [kind_of("knn", "full", 19, 2, nested=True, detect=False), *(
        kind_of("ridge", "full", n, 2, nested=a, detect=b) for n, a, b in ((99, True, False), (19, False, False),
                                                                          (19, True, True)))]  # fmt: skip
    assert len({kind, *others}) == 5


def test_the_totals_of_one_command_hold_the_images_of_all_its_questions() -> None:
    one = replace(UNIT, stored={"space:site": (16, frozenset("xy"))})
    other = replace(UNIT, images={"y": 0.5, "z": 0.5}, cells={"d": 1.0}, known=frozenset("d"), untrained=3,
                    stored={"space:site": (16, frozenset("yz"))})  # fmt: skip
    broken = replace(UNIT, problem="no such column", images={"q": None})
    found = totals_of([one, other, broken], 1)
    assert found == {"images_to_encode": 3, "bytes_to_store": 3 * 16, "cells": 4, "cells_known": 2,
                     "untrained_cells_at_most": 3, "seconds": 3 * 0.5 + 4 + 6}  # fmt: skip
    alone = totals_of([one, replace(other, cells={"d": None}, known=frozenset())], 1, cells=False)
    assert alone == {"images_to_encode": 3, "bytes_to_store": 3 * 16, "seconds": 3 * 0.5}  # whatever the cells take
    assert totals_of([replace(one, images={"x": None})], 1, cells=False)["seconds"] is None
