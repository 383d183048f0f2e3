"""Every task in the folder keeps the same promise; a new file is tested by being there."""

import numpy as np
import pytest

import tasks

NAMES = [name for name in tasks.names() if tasks.load(name).phantoms is not None]


def items(name: str, n: int, seed: int, draw: int = 0) -> list[tasks.Item]:
    task = tasks.load(name)
    assert task.phantoms is not None
    return list(task.items(task.phantoms(n, seed), np.random.default_rng(draw), None))


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_says_what_it_asks(name: str) -> None:
    task = tasks.load(name)
    assert task.name == name
    assert task.question.endswith("?") or task.classes is None
    assert task.version >= 1
    assert task.licence
    assert task.classes is None or len(set(task.classes)) == len(task.classes) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_items_have_ids_of_their_own_and_every_class_about_equally_often(name: str) -> None:
    found, task = items(name, 60, 1), tasks.load(name)
    assert task.classes is not None
    assert len({item.id for item in found}) == len(found)
    counts = [sum(item.label == c for item in found) for c in task.classes]
    assert sum(counts) == len(found)
    assert min(counts) > 0
    assert max(counts) - min(counts) <= max(2, 0.2 * len(found) / len(counts))


@pytest.mark.parametrize("name", NAMES)
def test_items_follow_from_the_seed_alone_and_another_seed_gives_others(name: str) -> None:
    first, again, other = items(name, 8, 3), items(name, 8, 3), items(name, 8, 4)
    assert [(i.id, i.label, i.group, i.picture.identity) for i in first] == [
        (i.id, i.label, i.group, i.picture.identity) for i in again
    ]
    np.testing.assert_array_equal(first[0].picture.read(), again[0].picture.read())
    assert {i.picture.identity for i in first}.isdisjoint({i.picture.identity for i in other})


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_images_and_copies_of_one_image_share_its_group(name: str) -> None:
    found = items(name, 12, 2)
    for item in found[:4]:
        image = item.picture.read()
        assert image.dtype == np.uint8
        assert image.ndim in (2, 3)
        assert item.picture.identity
    if tasks.load(name).makes_answers:
        by_group: dict[str, set] = {}
        for item in found:
            by_group.setdefault(item.group, set()).add(item.label)
        assert all(len(labels) > 1 for labels in by_group.values())
