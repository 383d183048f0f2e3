"""Align pairs of small pictures by shift and scale, and compare their local contrast in parts."""

from collections.abc import Sequence

import numpy as np

SIDE = 64  # pixels of the small picture
PARTS = 4  # parts along a side: what is burned into one part leaves the others as they were
NEAR, WIDE = 2.0, 4.0  # pixels: what is finer than the first counts, measured by its spread over the second
EVEN = 4.0  # grey levels: structure weaker than this counts as none
SOME = 0.1  # mean square structure of a part that holds any
FEW = 4  # parts that must hold structure before anything is said
STRETCH, SHIFT = 1.25, 1 / 6  # the largest change of scale, and shift as a share of the side, that is followed
COARSE = 0.6  # pairs below this at half the resolution are not looked at in full
BLOCK = 256  # pairs that are looked at together


def structure(small: np.ndarray) -> np.ndarray:
    """Local contrast, float32 of the same shape: what brightness, contrast and gamma leave alone.

    `small` is [n, 64, 64] in grey levels of 0 to 255. The neighbourhood's mean is taken away, since that
    is what films of one view share, and its spread divided out.
    """
    grey = np.asarray(small, np.float32)
    fine = grey - _blurred(grey, NEAR)
    spread = np.sqrt(_blurred(fine * fine, WIDE) + np.float32(EVEN**2))
    return np.clip(fine / spread, -2.5, 2.5)


def has_structure(fine: np.ndarray) -> np.ndarray:
    """Which of the `structure` [n, 64, 64] have enough parts that hold any: bool [n]."""
    return ((_parts(fine) ** 2).mean(-1) > SOME).sum(-1) >= FEW


def levels(fine: np.ndarray) -> tuple[np.ndarray, ...]:
    """What is aligned, from coarse to fine: three of half the size, two blurred, and `structure` itself; float16."""
    half = fine.reshape(len(fine), SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    return tuple(x.astype(np.float16) for x in (_blurred(half, 1.5), _blurred(half, 0.75), half, fine))


def alike(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], scale: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """How alike pairs of small pictures are once the second is shifted and scaled onto the first.

    `a` and `b` are `levels` of p pictures each; `scale` is where to begin. Returns the median over 4x4
    parts of the correlation [p], and [p, 4]: scale and shift across, scale and shift down (a point x of
    `a` lies at scale x + shift of `b`; x counts from the middle, in sides). Pairs in which too few parts
    hold structure get 0. The alignment is that of Lucas and Kanade (1981) in its inverse compositional
    form (Baker and Matthews 2004), with four parameters and from coarse to fine.
    """
    place = np.zeros((len(a[0]), 4), np.float32)
    place[:, 0::2] = np.broadcast_to(np.asarray(scale, np.float32), len(place))[:, None]
    one, two = ([x.astype(np.float32) for x in level[:3]] for level in (a, b))
    for left, right in zip(one[:2], two[:2], strict=True):
        place = _moved(left, right, place)
    score = _median(one[2], two[2], place)
    close = np.flatnonzero(score >= COARSE)
    if len(close):
        left, right = (level[3][close].astype(np.float32) for level in (a, b))
        place[close] = _moved(_blurred(left, 0.75), _blurred(right, 0.75), place[close])
        score[close] = _median(left, right, place[close])
    return score, place


def _blurred(x: np.ndarray, blur: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (0, blur, blur), mode="nearest")


def _moved(a: np.ndarray, b: np.ndarray, place: np.ndarray, steps: int = 4) -> np.ndarray:
    p, n = a.shape[:2]
    slopes = _slopes(a)
    square = slopes @ slopes.transpose(0, 2, 1)
    square += (np.trace(square, axis1=1, axis2=2) / 400 + 1e-3)[:, None, None] * np.eye(4, dtype=np.float32)
    solver = np.linalg.inv(square) @ slopes
    for _ in range(steps):
        laid, inside = _laid(b, place)
        moved = (solver @ ((laid - a) * inside).reshape(p, n * n, 1))[:, :, 0]
        scale = np.clip(place[:, 0::2] / (1 + 2 * moved[:, 0::2]), 1 / STRETCH, STRETCH)
        shift = np.clip(place[:, 1::2] - scale * moved[:, 1::2], -SHIFT, SHIFT)
        place = np.stack([scale, shift], axis=2).reshape(p, 4)
    return place


def _slopes(a: np.ndarray) -> np.ndarray:
    """How each pixel changes with half of each scale and with each shift, float32 [p, 4, n * n]."""
    p, n = a.shape[:2]
    down, across = np.zeros_like(a), np.zeros_like(a)
    down[:, 1:-1] = (a[:, 2:] - a[:, :-2]) * (n / 2)
    across[:, :, 1:-1] = (a[:, :, 2:] - a[:, :, :-2]) * (n / 2)
    x, y = 2 * _axis(n)[None, None, :], 2 * _axis(n)[None, :, None]  # doubled, so that scale and shift weigh alike
    return np.stack([across * x, across, down * y, down], axis=1).reshape(p, 4, n * n)


def _axis(n: int) -> np.ndarray:
    return (((np.arange(n) + 0.5) / n) - 0.5).astype(np.float32)


def sampling(scale: np.ndarray, shift: np.ndarray, n: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation along one axis as matrices [p, n, n], and where they stay inside [p, n]."""
    at = (scale[:, None] * _axis(n) + shift[:, None] + 0.5) * n - 0.5
    weight = np.maximum(0, 1 - np.abs(at[:, :, None] - np.arange(n, dtype=np.float32)))
    return weight, ((at >= 0) & (at <= n - 1)).astype(np.float32)


def _laid(b: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    across, inside_x = sampling(place[:, 0], place[:, 1], b.shape[-1])
    down, inside_y = sampling(place[:, 2], place[:, 3], b.shape[-1])
    return down @ b @ across.transpose(0, 2, 1), inside_y[:, :, None] * inside_x[:, None, :]


def _median(a: np.ndarray, b: np.ndarray, place: np.ndarray) -> np.ndarray:
    laid, inside = _laid(b, place)
    first, second, weight = _parts(a), _parts(laid), _parts(inside)
    total = np.maximum(weight.sum(-1, keepdims=True), 1)
    first = weight * (first - (first * weight).sum(-1, keepdims=True) / total)
    second = weight * (second - (second * weight).sum(-1, keepdims=True) / total)
    powers = [(x * x).sum(-1) / total[..., 0] for x in (first, second)]
    holds = (weight.mean(-1) > 0.5) & (np.maximum(powers[0], powers[1]) > SOME)
    spread = np.sqrt(powers[0] * powers[1]) * total[..., 0]
    each = np.where(holds, (first * second).sum(-1) / np.maximum(spread, 1e-6), np.nan)
    each[holds.sum(-1) < FEW] = 0
    return np.nanmedian(each, axis=-1).astype(np.float32)


def _parts(x: np.ndarray) -> np.ndarray:
    n = x.shape[-1] // PARTS
    return x.reshape(-1, PARTS, n, PARTS, n).transpose(0, 1, 3, 2, 4).reshape(len(x), PARTS * PARTS, n * n)
