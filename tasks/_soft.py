"""A blur of less than a pixel, for which nine weights will do."""

import numpy as np


def soft(image: np.ndarray, blur: float) -> None:
    """Blur the image [h, w], contiguous, in place by three by three weights of deviation `blur` pixels, at most 0.7.

    Its outermost lines are blurred along themselves only.
    """
    share = np.float32(min(blur * blur / 2, 0.25))
    flat, rim = image.reshape(-1), image[:, [0, -1]]
    for step in (1, image.shape[1]):  # along rows as if they were one, which the rim alone would notice
        sides = flat[: -2 * step] + flat[2 * step :]
        sides *= share
        middle = flat[step:-step]
        middle *= 1 - 2 * share
        middle += sides
        if step == 1:
            image[:, [0, -1]] = rim
