"""Turned copies of an image, which differ only by an exact flip or quarter turn."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from tasks._base import DataError, Item, Mask, Picture, Row, Source, Undecided, is_volume
from tasks.images.decode import LastOpened, digest

VERSION = 1  # changes whenever a copy would have other pixels
Turn = Callable[[np.ndarray], np.ndarray]


def crop(image: np.ndarray, corner: tuple[bool, bool] = (False, False), square: bool = False) -> np.ndarray:
    """The part of an image whose JPEG grid looks the same after every flip and quarter turn.

    A JPEG is coded in blocks of 8x8 pixels, its colour often in blocks of 16x16, counted from the
    corner that was stored first; a flipped copy keeps those blocks. They betray the flip unless the
    sides are multiples of the block and the crop begins on one, so grey images are cropped to
    multiples of 8 and colour images to multiples of 16, by whole blocks from that corner. `corner` says
    whether it is the bottom, and whether it is the right, one (after EXIF orientation was applied).
    `square` takes the middle square, to the nearest block. Raises DataError below one block.
    """
    block = 8 if image.ndim == 2 else 16
    sides = [n // block * block for n in image.shape[:2]]
    if square:
        sides = [min(sides)] * 2
    if min(sides) == 0:
        raise DataError(f"an image of {image.shape[1]}x{image.shape[0]} pixels is too small to be turned")
    cut = []
    for n, side, far in zip(image.shape[:2], sides, corner, strict=True):
        start = round((n - side) / 2 / block) * block if square else 0
        start = min(start, (n - side) // block * block)
        start = n - side - start if far else start
        cut.append(slice(start, start + side))
    return image[cut[0], cut[1]]


def corner(row: Row, policy: Mapping[str, object]) -> tuple[bool, bool]:
    """Whether the pixel that the file stores first is shown at the bottom, and at the right."""
    shown = "1" if policy.get("exif") == "ignore" else row.columns.get("exif_orientation", "1")
    return shown in "3478", shown in "2367"


def _read(row: Row, last_opened: LastOpened, prepare: Callable[[np.ndarray], np.ndarray], turn: Turn) -> np.ndarray:
    """The image cut and turned; of a volume every slice is, in its plane."""
    return turned(last_opened.get(row.id, row.picture.read), lambda plane: turn(prepare(plane)))


def turned(image: np.ndarray, turn: Turn) -> np.ndarray:
    """An image or a mask turned, in memory of its own; of a volume every slice is, in its plane."""
    if not is_volume(image):
        return np.array(turn(image), order="C")
    return np.ascontiguousarray(np.stack([turn(plane) for plane in image]))


def _mask(
    row: Row, mask: Mask, last_opened: LastOpened, prepare: Callable[[np.ndarray], np.ndarray], turn: Turn
) -> np.ndarray:
    """A region of the image cut and turned as the image is, which is cut by its channels."""
    image, found = last_opened.get(row.id, row.picture.read), mask()
    if image.ndim == 2 or is_volume(image):
        return turned(found, lambda plane: turn(prepare(plane)))
    of_colours = np.broadcast_to(found[..., None], image.shape)
    return np.array(turn(prepare(of_colours))[..., 0], order="C")


def _identity(row: Row, name: str, square: bool, place: tuple[bool, bool]) -> str | None:
    base = row.picture.identity
    return None if base is None else digest("turn", str(VERSION), base, name, str(square), str(place))


def copies(source: Source, turns: Mapping[str, tuple[str, Turn]], square: bool = False) -> Iterator[Item]:
    """Every image once under each turn, so that the classes are exactly balanced.

    `turns` maps a class to the suffix of the item's id and the turn. All copies keep the image's group.
    Raises Undecided at once where the source awaits a decision about EXIF.
    """
    if source.undecided:
        raise Undecided(source.undecided[0])
    return _copies(source, turns, square)


def _copies(source: Source, turns: Mapping[str, tuple[str, Turn]], square: bool) -> Iterator[Item]:
    last_opened = LastOpened()
    for row in source.rows:
        place = corner(row, source.policy)
        prepare = partial(crop, corner=place, square=square)
        for label, (name, turn) in turns.items():
            picture = Picture(
                read=partial(_read, row, last_opened, prepare, turn),
                identity=partial(_identity, row, name, square, place),
            )
            evidence = {
                region: partial(_mask, row, mask, last_opened, prepare, turn) for region, mask in row.regions.items()
            }
            yield Item(id=f"{row.id}:{name}", group=row.group, label=label, picture=picture, evidence=evidence)


def as_stored(image: np.ndarray) -> np.ndarray:
    """The image itself."""
    return image


def turned_once(image: np.ndarray) -> np.ndarray:
    """A quarter turn counter-clockwise."""
    return np.rot90(image)


def turned_twice(image: np.ndarray) -> np.ndarray:
    """Half a turn."""
    return image[::-1, ::-1]


def turned_thrice(image: np.ndarray) -> np.ndarray:
    """A quarter turn clockwise."""
    return np.rot90(image, -1)


def mirrored(image: np.ndarray) -> np.ndarray:
    """Left and right exchanged."""
    return image[:, ::-1]


def films(n: int, seed: int, turns: int) -> Source:
    """Phantom chest films for about `n` items, `turns` of them from each film."""
    from tasks.phantoms.chest.film import source

    return source(max(1, n // turns), seed)
