"""Readouts by hand on small grids, flat, oblong, tiled and deep; and the tensor that a hook takes."""

import numpy as np
import pytest
import torch

from encoders import EncoderError
from encoders._base import Site, View
from encoders.extraction.hooks import Hook, first, raster, raster_last, reader
from encoders.extraction.pooling import matrix, unstack

QUARTERS = tuple(View(grid=(1, 1), box=(i / 2, j / 2, (i + 1) / 2, (j + 1) / 2)) for i in range(2) for j in range(2))
WHOLE = View(grid=(1, 1))
OBLONG = Site(width=1, grid=(2, 3), prefix=1, cls=True)  # tokens: CLS, then a row of three, then another
DEEP = Site(width=1, grid=(2, 2, 2))
HALF, THIRD = [0.5, 0.5], [1 / 3] * 3


@pytest.mark.parametrize(
    ("site", "readout", "due"),
    [
        (OBLONG, "cls", [[1, 0, 0, 0, 0, 0, 0]]),
        (OBLONG, "mean", [[0, *([1 / 6] * 6)]]),
        (OBLONG, "halves", [  # left, right, top, bottom: the middle column lies in both
            [0, 1 / 3, 1 / 6, 0, 1 / 3, 1 / 6, 0], [0, 0, 1 / 6, 1 / 3, 0, 1 / 6, 1 / 3],
            [0, *THIRD, 0, 0, 0], [0, 0, 0, 0, *THIRD],
        ]),
        (Site(width=1, grid=(3, 3)), "grid3", np.eye(9)),
        (Site(width=1, grid=(3, 6)), "grid3", np.kron(np.eye(9), [HALF])),
        (Site(width=1, grid=(1, 1), views=QUARTERS), "halves", [
            [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5],
        ]),
        (Site(width=1, grid=(1, 1), prefix=1, cls=True, views=(*QUARTERS, WHOLE)), "cls",
         [[0, 0, 0, 0, 0, 0, 0, 0, 1, 0]]),
        (Site(width=1, grid=(1, 1), prefix=1, cls=True, views=QUARTERS), "cls", [[0.25, 0, 0.25, 0, 0.25, 0, 0.25, 0]]),
        (DEEP, "halves", [  # of the planes, then the first and the last slice
            [0.25, 0, 0.25, 0, 0.25, 0, 0.25, 0], [0, 0.25, 0, 0.25, 0, 0.25, 0, 0.25],
            [0.25, 0.25, 0, 0, 0.25, 0.25, 0, 0], [0, 0, 0.25, 0.25, 0, 0, 0.25, 0.25],
            [0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0], [0, 0, 0, 0, 0.25, 0.25, 0.25, 0.25],
        ]),
    ],
)  # fmt: skip
def test_a_readout_averages_what_its_name_says(site: Site, readout: str, due: list[list[float]]) -> None:
    assert np.allclose(matrix(site, readout), due, atol=1e-6)


def test_stacked_readouts_are_taken_apart_in_their_order() -> None:
    pooled = np.arange(2 * 6 * 1, dtype=np.float32).reshape(2, 6, 1)
    found = unstack(pooled, OBLONG, ("cls", "mean", "halves"))
    assert [found[name].tolist() for name in found] == [[[0], [6]], [[1], [7]], [[2, 3, 4, 5], [8, 9, 10, 11]]]


def test_a_hook_takes_the_first_of_several_outputs_and_reads_maps_row_by_row() -> None:
    tokens, other = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    assert first((tokens, other)) is tokens
    assert first([tokens, other]) is tokens
    assert first(tokens) is tokens
    grid = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert raster((grid, -grid))[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert raster_last((grid.permute(0, 2, 3, 1), -grid))[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_site_is_what_its_module_gave_before_anything_changed_it_in_place_and_no_module_may_run_twice() -> None:
    block = torch.nn.Identity()

    def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"pooled": block(batch).add_(1)}

    found = reader("tiny", run, {"block.0": Hook(module=block)}, "cpu")(torch.zeros(1, 2, 3), ["block.0", "pooled"])
    assert found["block.0"].unique().tolist() == [0]
    assert found["pooled"].unique().tolist() == [1]
    twice = reader("tiny", lambda x: {"pooled": block(block(x))}, {"block.0": Hook(module=block)}, "cpu")
    with pytest.raises(EncoderError, match="runs more than once"):
        twice(torch.zeros(1, 2, 3), ["block.0"])
