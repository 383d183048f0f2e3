"""The readout of a prompt's last token: behind a grid, views or queries, or alone, and seen by no other readout."""

from dataclasses import replace

import numpy as np
import pytest

from encoders import READOUTS, Card, Site, View, points
from encoders.extraction.at_mark import WHOLE
from encoders.extraction.at_mark import matrix as under
from encoders.extraction.pooling import matrix, stacked, unstack
from encoders.identity.fingerprint import described

SITES = {
    "grid": (Site(width=2, grid=(3, 4)), 12),
    "views": (Site(width=2, grid=(3, 3), views=(View(grid=(3, 3)), View(grid=(4, 5), box=(0.0, 0.0, 1.0, 0.5)))), 29),
    "queries": (Site(width=2, queries=5), 5),
    "small": (Site(width=2, grid=(2, 2)), 4),
}


@pytest.mark.parametrize("name", sorted(SITES))
def test_the_last_token_stands_behind_the_others_and_is_read_by_last_alone(name: str) -> None:
    plain, count = SITES[name]
    site = replace(plain, last=True)
    assert site.readouts == (*plain.readouts, "last")
    assert plain.readouts == tuple(r for r in site.readouts if r != "last")
    for readout in plain.readouts:
        found = matrix(site, readout)
        np.testing.assert_array_equal(found[:, :-1], matrix(plain, readout))
        assert found.shape[1] == count + 1
        assert not found[:, -1].any()
    np.testing.assert_array_equal(matrix(site, "last"), np.eye(1, count + 1, count))
    tokens = np.random.default_rng(0).normal(size=(3, count + 1, 2)).astype(np.float32)
    pooled = unstack(stacked(site, site.readouts) @ tokens, site, site.readouts)
    np.testing.assert_array_equal(pooled["last"], tokens[:, -1])
    assert [(r, w) for _, r, w in points(Card(name="x", sites={"lm.0": site}))] == [
        (readout, pooled[readout].shape[1]) for readout in site.readouts
    ]


def test_a_language_model_without_positions_of_an_image_has_the_last_token_alone() -> None:
    site = Site(width=2, last=True)
    assert site.readouts == ("last",)
    assert READOUTS["last"].parts == 1
    np.testing.assert_array_equal(matrix(site, "last"), np.ones((1, 1)))


def test_a_mark_lies_on_no_last_token() -> None:
    plain, count = SITES["grid"]
    rows = under(replace(plain, last=True), WHOLE, (30, 40), [(5.0, 5.0)])
    assert rows.shape == (1, count + 1)
    np.testing.assert_array_equal(rows[:, :-1], under(plain, WHOLE, (30, 40), [(5.0, 5.0)]))


def test_sites_without_a_last_token_are_described_as_they_were() -> None:
    """So that no fingerprint of a feature that is already stored changes."""
    told = described({"a": Site(width=2), "b": Site(width=2, last=True)})
    assert told["a"] == {"width": 2, "grid": None, "prefix": 0, "cls": False, "queries": 0, "views": ()}
    assert told["b"] == {**told["a"], "last": True}
