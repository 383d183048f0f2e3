"""Maps on cells: no trial looks at a map more finely than the patches that the network sees."""

import numpy as np

UNKNOWN = 14  # cells along a side where the network has no patches: those of a ViT-B/16
FINEST = 28


def grid_of(tokens: tuple[int, int] | None, size: tuple[int, int]) -> tuple[int, int]:
    """The cells on which maps are tried: the network's tokens, not fewer than 7 and not more than 28 along a side."""
    if tokens is None:
        return (min(UNKNOWN, size[0]), min(UNKNOWN, size[1]))
    return tuple(min(max(cells, 7), FINEST, side) for cells, side in zip(tokens, size, strict=True))  # type: ignore[return-value]


def cell_sums(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Maps [n, h, w] as sums over cells [n, *grid]; what crosses a border is shared by area, and sums are kept.

    >>> cell_sums(np.ones((1, 3, 2)), (2, 2))
    array([[[1.5, 1.5],
            [1.5, 1.5]]])
    """
    rows, columns = (_overlap(have, want) for have, want in zip(values.shape[1:], grid, strict=True))
    return np.einsum("gh,nhw,kw->ngk", rows, np.asarray(values, np.float64), columns, optimize=True)


def _overlap(have: int, want: int) -> np.ndarray:
    """The share of each of `have` intervals that lies in each of `want` cells of the same line, [want, have]."""
    edges, cells = np.arange(have + 1) / have, np.arange(want + 1) / want
    inside = np.minimum(edges[None, 1:], cells[1:, None]) - np.maximum(edges[None, :-1], cells[:-1, None])
    return np.clip(inside, 0, None) * have


def cell_of(size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """The number of the cell of each pixel, int64 [H, W], row by row."""
    rows, columns = (np.arange(side) * cells // side for side, cells in zip(size, grid, strict=True))
    return rows[:, None] * grid[1] + columns[None]


def border(grid: tuple[int, int]) -> np.ndarray:
    """Which cells lie at the border, bool [*grid]."""
    found = np.ones(grid, bool)
    found[1:-1, 1:-1] = False
    return found


def edges(images: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """A map without any network: the Sobel edges of images [n, c, H, W], summed over cells [n, *grid]."""
    from scipy.ndimage import sobel

    grey = np.asarray(images, np.float64).mean(axis=1)
    return cell_sums(np.hypot(sobel(grey, axis=1), sobel(grey, axis=2)), grid)
