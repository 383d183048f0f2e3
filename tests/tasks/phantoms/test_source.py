"""Every kind of phantom: what its seed says, with balanced labels, one synthetic patient a row."""

from collections import Counter

import numpy as np
import pytest

import tasks
from tasks import DataError
from tasks.phantoms.abdomen import axial
from tasks.phantoms.chest import child, film, marked
from tasks.phantoms.lumen import matched as lumen_matched
from tasks.phantoms.lumen import view
from tasks.phantoms.panorama import film as panorama
from tasks.phantoms.pelvis import film as pelvis
from tasks.phantoms.tissue import section
from tasks.phantoms.ultrasound import scan

MAKERS = {
    "chest": film.source,
    "age": child.source,
    "chest-marks": marked.source,
    "pelvis": pelvis.source,
    "abdomen": axial.source,
    "lumen": view.source,
    "lumen-matched": lumen_matched.source,
    "ultrasound": scan.source,
    "tissue": section.source,
    "panorama": panorama.source,
}
LABELLED = {
    "contrast": 40,
    "depth": 60,
    "age": 48,
    "relative-position": 48,
    "wave-depth": 18,
    "histology": 24,
    "teeth": 30,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_gives_the_same_bytes_in_any_order_of_reading(name: str) -> None:
    first, second = MAKERS[name](4, 7), MAKERS[name](6, 7)
    backwards = [row.picture.read() for row in reversed(second.rows[:4])][::-1]
    for row, other in zip(first.rows, backwards, strict=True):
        image = row.picture.read()
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert image.shape[:2] == (224, 224)
        assert np.array_equal(image, other)
    assert [r.picture.identity for r in first.rows] == [r.picture.identity for r in second.rows[:4]]
    assert [(dict(r.columns), r.marks) for r in first.rows] == [(dict(r.columns), r.marks) for r in second.rows[:4]]


@pytest.mark.parametrize("name", MAKERS)
def test_another_seed_row_or_size_gives_other_images_and_other_identities(name: str) -> None:
    base, other = MAKERS[name](2, 7), MAKERS[name](2, 8)
    images = [row.picture.read() for given in (base, other) for row in given.rows]
    assert not any(np.array_equal(a, b) for i, a in enumerate(images) for b in images[:i])
    for size in (96, 129):
        large = MAKERS[name](2, 7, size=size)
        assert len({row.picture.identity for given in (base, other, large) for row in given.rows}) == 6
        assert large.rows[0].picture.read().shape[:2] == (size, size)


@pytest.mark.parametrize("name", ["ultrasound", "panorama", "abdomen"])
def test_what_is_not_matched_has_an_identity_of_its_own(name: str) -> None:
    rows = [MAKERS[name](1, 3, matched=matched).rows[0] for matched in (True, False)]
    assert rows[0].picture.identity != rows[1].picture.identity


@pytest.mark.parametrize("name", MAKERS)
def test_every_row_is_one_synthetic_patient_with_its_true_parameters(name: str) -> None:
    given = MAKERS[name](5, 1)
    assert given.synthetic
    assert given.name == f"phantom:{name}"
    assert [row.id for row in given.rows] == [f"{name}-{i:06d}" for i in range(5)]
    assert len({row.group for row in given.rows}) == 5
    assert all(isinstance(value, str) for row in given.rows for value in row.columns.values())
    with pytest.raises(DataError, match="0 phantoms asked for; ask for at least 1"):
        MAKERS[name](0, 1)


@pytest.mark.parametrize("name", LABELLED)
def test_labels_are_balanced_by_construction_and_in_no_fixed_order(name: str) -> None:
    task = tasks.load(name)
    assert task.phantoms is not None
    assert task.classes is not None
    n = LABELLED[name]
    orders = []
    for seed in (0, 1):
        found = list(task.items(task.phantoms(n, seed), np.random.default_rng(0), None))
        orders.append([item.label for item in found])
        assert Counter(orders[-1]) == dict.fromkeys(task.classes, n // len(task.classes))
        assert len({item.group for item in found}) == n
    assert orders[0] != orders[1]
