"""The image beside a prompt: an item's own, grey, another item's, or one into which the answer is written."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slitlamp.encoding.images import ImageSet
from slitlamp.keys import digest

STAMP = 1  # version of the rendering of words in an image


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image that is read when it is needed; `content` is a digest of what determines its pixels."""

    content: str
    read: Callable[[], np.ndarray]


def own(pictures: ImageSet, index: int) -> Shown:
    """The image of an item as it is."""
    return Shown(content=pictures.contents[index], read=lambda: pictures.read(index))


def grey(pictures: ImageSet, index: int) -> Shown:
    """An image of the item's size that is everywhere its mean grey."""
    return Shown(content=digest(["grey", pictures.contents[index]]), read=lambda: greyed(pictures.read(index)))


def greyed(image: np.ndarray) -> np.ndarray:
    """uint8 of the same shape, everywhere the rounded mean of all values."""
    return np.full_like(image, round(float(image.mean())))


def stamped(pictures: ImageSet, index: int, words: str) -> Shown:
    """The image of an item with words written into it, which the network can read however small it makes it."""
    import PIL

    return Shown(
        content=digest(["stamped", STAMP, PIL.__version__, words, pictures.contents[index]]),
        read=lambda: stamp(pictures.read(index), words),
    )


def stamp(image: np.ndarray, words: str) -> np.ndarray:
    """The image with words in white on a black bar across its middle, as large as fits its width."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.fromarray(image)
    pen, wide = ImageDraw.Draw(canvas), canvas.width
    size = max(8, canvas.height // 6)
    while size > 8 and pen.textlength(words, font=ImageFont.load_default(size)) > 0.94 * wide:
        size -= 1
    font, fill = ImageFont.load_default(size), (255 if image.ndim == 2 else (255, 255, 255))
    middle = canvas.height / 2
    pen.rectangle((0, middle - 0.8 * size, wide, middle + 0.8 * size), fill=0 if image.ndim == 2 else (0, 0, 0))
    pen.text((wide / 2, middle), words, font=font, fill=fill, anchor="mm")
    return np.asarray(canvas)
