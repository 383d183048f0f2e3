"""A blur of less than a pixel, for which nine weights will do."""

import numpy as np


def soft(image: np.ndarray, blur: float) -> None:
    """Blur the image [h, w] in place by three by three weights of deviation `blur` pixels, at most 0.7.

    Its outermost lines are blurred along themselves only.
    """
    share = np.float32(min(blur * blur / 2, 0.25))
    for before, middle, after in (
        (image[:-2], image[1:-1], image[2:]),
        (image[:, :-2], image[:, 1:-1], image[:, 2:]),
    ):
        sides = before + after
        sides *= share
        middle *= 1 - 2 * share
        middle += sides
