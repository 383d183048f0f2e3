"""The token under a mark: bilinear between the four nearest, in the view that sees the mark most finely."""

from collections.abc import Sequence

import numpy as np

from encoders._base import EncoderError, Input, Site, UnseenMarkError, View

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
Point = tuple[float, float]
PADDED = ("pad", "longest")  # the whole image in the middle of a square, as we and as open_clip call it


def frame(spec: Input | None, height: int, width: int) -> Box:
    """Where an encoder's grid lies in an image of that size: (top, left, bottom, right) in fractions of the image.

    It reaches past 0 or 1 where the image is padded, and stops short of them where it is cropped.
    Raises EncoderError for an encoder whose preprocessing is a function of its own.
    """
    if spec is None:
        raise EncoderError("this encoder prepares images by a function of its own: where a mark falls is not known")
    if spec.resize in PADDED:
        side = max(height, width)
        y, x = (side - height) / 2, (side - width) / 2
        return (-y / height, -x / width, (side - y) / height, (side - x) / width)
    if spec.crop is None or spec.resize not in ("shortest", "none"):
        return WHOLE
    scale = (spec.edge or max(spec.size)) / min(height, width) if spec.resize == "shortest" else 1.0
    tall, wide = height * scale, width * scale
    top, left = (tall - spec.size[0]) / 2, (wide - spec.size[1]) / 2
    return (top / tall, left / wide, 1 - top / tall, 1 - left / wide)


def matrix(site: Site, box: Box, shape: tuple[int, ...], points: Sequence[Point]) -> np.ndarray:
    """The pooling matrix float32 [marks, tokens] of points (x, y) in pixels of an image of `shape`.

    `box` is where the grid lies in the image, for a site without views of its own.
    Raises UnseenMarkError for a point that the encoder does not see.
    """
    assert site.grid is not None
    views = site.views or (View(grid=(site.grid[0], site.grid[1]), box=box),)
    starts = np.cumsum([0, *(site.prefix + v.grid[0] * v.grid[1] for v in views)])
    rows = np.zeros((len(points), int(starts[-1]) + site.last), np.float32)
    for row, (x, y) in zip(rows, points, strict=True):
        place = (y / shape[0], x / shape[1])
        seeing = [i for i, view in enumerate(views) if _sees(view, place)]
        if not seeing:
            raise UnseenMarkError(
                f"a mark at ({x:g}, {y:g}) of an image of {shape[1]} x {shape[0]} pixels lies outside what the encoder "
                "sees of it (its crop): use square images, or an encoder that squashes or pads"
                if 0 <= x <= shape[1] and 0 <= y <= shape[0]
                else f"a mark at ({x:g}, {y:g}) lies outside its image of {shape[1]} x {shape[0]} pixels"
            )
        best = min(seeing, key=lambda i: _cell(views[i]))
        start = int(starts[best]) + site.prefix
        h, w = views[best].grid
        row[start : start + h * w] = _bilinear(views[best], place)
    return rows


def _sees(view: View, place: Point) -> bool:
    top, left, bottom, right = view.box
    return top - 1e-9 <= place[0] <= bottom + 1e-9 and left - 1e-9 <= place[1] <= right + 1e-9


def _cell(view: View) -> float:
    top, left, bottom, right = view.box
    return (bottom - top) * (right - left) / (view.grid[0] * view.grid[1])


def _bilinear(view: View, place: Point) -> np.ndarray:
    """Weights [h * w] of the cells around a place, one where it is a cell's centre; flat beyond the outer centres."""
    top, left, bottom, right = view.box
    h, w = view.grid
    vertical = _linear((place[0] - top) / (bottom - top) * h - 0.5, h)
    return np.outer(vertical, _linear((place[1] - left) / (right - left) * w - 0.5, w)).ravel()


def _linear(at: float, cells: int) -> np.ndarray:
    at = min(max(at, 0.0), cells - 1.0)
    return np.clip(1 - np.abs(np.arange(cells) - at), 0, None)
