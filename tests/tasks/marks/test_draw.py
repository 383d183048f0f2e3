"""Marks that are drawn, and those that cannot be."""

import numpy as np
import pytest

from tasks import DataError, Mark
from tasks.marks import draw


def test_marks_that_cannot_be_drawn_are_refused() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(DataError, match="need an RGB image; this one is grey"):
        draw.draw(image[:, :, 0], [Mark(name="red", x=50.0, y=50.0)])
    with pytest.raises(DataError, match="'pink' is no known colour; known are red, green, blue"):
        draw.draw(image, [Mark(name="pink", x=50.0, y=50.0)])
    with pytest.raises(DataError, match=r"red at \(2, 50\) leaves the image of 100 x 100; keep 6 pixels"):
        draw.draw(image, [Mark(name="red", x=2.0, y=50.0)])
    with pytest.raises(DataError, match="red and blue lie 5 pixels apart and would touch; keep 15"):
        draw.draw(image, [Mark(name="red", x=50.0, y=50.0), Mark(name="blue", x=55.0, y=50.0)])
    drawn = draw.draw(image, [Mark(name="red", x=50.0, y=50.0)])
    assert tuple(drawn[50, 50]) == draw.COLOURS["red"]
    assert not image.any()
