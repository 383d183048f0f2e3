"""Pelvic films: asked once upright and once upside down, and the legs say which."""

import numpy as np

import tasks
from tasks.phantoms.pelvis import film as pelvis


def test_pelvic_films_are_asked_once_upright_and_once_upside_down() -> None:
    task = tasks.load("orientation-pelvis")
    assert task.phantoms is not None
    found = list(task.items(task.phantoms(6, 0), np.random.default_rng(0), None))
    assert [i.label for i in found] == ["upright", "upside down"] * 3
    assert len({i.group for i in found}) == 3
    up, down = (i.picture.read() for i in found[:2])
    assert np.array_equal(up, down[::-1, ::-1])


def test_the_legs_say_which_way_up_a_pelvis_is() -> None:
    """The oracle: between the thighs it is darker than between the iliac wings, where the spine lies."""
    films = np.array([pelvis.film(4, i) for i in range(24)], float)
    middle = films[:, :, 100:124]
    assert np.mean(middle[:, 20:60].mean((1, 2)) > middle[:, 164:204].mean((1, 2))) >= 0.95
