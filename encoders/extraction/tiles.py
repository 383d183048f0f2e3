"""Where the tiles of a cut-up image lie in it: boxes in fractions of the image, for readouts and marks."""

from collections.abc import Sequence

from encoders._base import Site, View

Box = tuple[float, float, float, float]


def tiles(rows: int, columns: int, grid: tuple[int, int], canvas: Box = (0.0, 0.0, 1.0, 1.0)) -> tuple[View, ...]:
    """Views of rows x columns equal tiles, row by row, over a canvas that lies at `canvas` in the image's frame."""
    top, left, bottom, right = canvas
    height, width = (bottom - top) / rows, (right - left) / columns
    return tuple(
        View(grid=grid, box=(top + height * i, left + width * j, top + height * (i + 1), left + width * (j + 1)))
        for i in range(rows)
        for j in range(columns)
    )


def canvas(image: tuple[int, int], size: tuple[int, int], offset: tuple[int, int] = (0, 0)) -> Box:
    """The box of a canvas of `size` pixels on which the image was laid, `image` pixels large, at `offset`.

    >>> canvas((50, 100), (100, 100), (25, 0))
    (-0.5, 0.0, 1.5, 1.0)
    """
    (h, w), (tall, wide), (y, x) = image, size, offset
    return (-y / h, -x / w, (tall - y) / h, (wide - x) / w)


def site(width: int, views: Sequence[View], *, prefix: int = 0, cls: bool = False) -> Site:
    """A site whose tokens are those of the views in turn; one view of the whole image is a plain grid."""
    whole = View(grid=views[0].grid)
    if len(views) == 1 and views[0] == whole:
        return Site(width=width, grid=whole.grid, prefix=prefix, cls=cls)
    return Site(width=width, grid=views[0].grid, prefix=prefix, cls=cls, views=tuple(views))
