"""Whether two small pictures are one picture: laid on each other as a crop would be, then compared in parts."""

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
    from scipy.ndimage import gaussian_filter

    grey = np.asarray(small, np.float32)
    fine = grey - gaussian_filter(grey, (0, NEAR, NEAR), mode="nearest")
    spread = np.sqrt(gaussian_filter(fine * fine, (0, WIDE, WIDE), mode="nearest") + np.float32(EVEN**2))
    return np.clip(fine / spread, -2.5, 2.5)


def has_structure(fine: np.ndarray) -> np.ndarray:
    """Which of the `structure` [n, 64, 64] have enough parts that hold any: bool [n]."""
    return ((_parts(fine) ** 2).mean(-1) > SOME).sum(-1) >= FEW


def alike(a: np.ndarray, b: np.ndarray, scale: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """How alike pairs of small pictures are once the second is shifted and scaled onto the first.

    `a` and `b` are `structure` of [p, 64, 64]; `scale` is where to begin. Returns the median over 4x4
    parts of the correlation [p], and [p, 4]: scale and shift across, scale and shift down (a point x of
    `a` lies at scale x + shift of `b`; x counts from the middle, in sides). Pairs in which too few parts
    hold structure get 0. The alignment is that of Lucas and Kanade (1981), here with four parameters and
    from coarse to fine.
    """
    score = np.zeros(len(a), np.float32)
    place = np.zeros((len(a), 4), np.float32)
    place[:, 0::2] = np.broadcast_to(np.asarray(scale, np.float32), len(a))[:, None]
    for start in range(0, len(a), BLOCK):
        block = slice(start, start + BLOCK)
        score[block], place[block] = _alike(a[block], b[block], place[block])
    return score, place


def _alike(a: np.ndarray, b: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = [x.reshape(len(x), SIDE // 2, 2, SIDE // 2, 2).mean((2, 4)) for x in (a, b)]
    for blur in (1.5, 0.75):
        place = _moved(*half, place, blur)
    score = _median(*half, place)
    close = np.flatnonzero(score >= COARSE)
    if len(close):
        place[close] = _moved(a[close], b[close], place[close], 0.75)
        score[close] = _median(a[close], b[close], place[close])
    return score, place


def _moved(a: np.ndarray, b: np.ndarray, place: np.ndarray, blur: float, steps: int = 4) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    a, b = (gaussian_filter(x, (0, blur, blur), mode="nearest") for x in (a, b))
    for _ in range(steps):
        place = _step(a, b, place)
    return place


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


def _step(a: np.ndarray, b: np.ndarray, place: np.ndarray) -> np.ndarray:
    n, p = a.shape[-1], len(a)
    laid, inside = _laid(b, place)
    down, across = (g * (n * inside) for g in np.gradient(laid, axis=(1, 2)))
    x, y = 2 * _axis(n)[None, None, :], 2 * _axis(n)[None, :, None]  # doubled, so that scale and shift weigh alike
    slopes = np.stack([across * x, across, down * y, down], axis=1).reshape(p, 4, n * n)
    error = ((a - laid) * inside).reshape(p, n * n, 1)
    square = slopes @ slopes.transpose(0, 2, 1)
    square += (np.trace(square, axis1=1, axis2=2) / 400 + 1e-3)[:, None, None] * np.eye(4, dtype=np.float32)
    moved = place + np.linalg.solve(square, slopes @ error)[:, :, 0] * np.array([2, 1, 2, 1], np.float32)
    moved[:, 0::2] = np.clip(moved[:, 0::2], 1 / STRETCH, STRETCH)
    moved[:, 1::2] = np.clip(moved[:, 1::2], -SHIFT, SHIFT)
    return moved.astype(np.float32)


def _median(a: np.ndarray, b: np.ndarray, place: np.ndarray) -> np.ndarray:
    laid, inside = _laid(b, place)
    first, second, weight = (_parts(x) for x in (a, laid, inside))
    total = np.maximum(weight.sum(-1, keepdims=True), 1)
    first, second = (weight * (x - (x * weight).sum(-1, keepdims=True) / total) for x in (first, second))
    powers = [(x * x).sum(-1) / total[..., 0] for x in (first, second)]
    holds = (weight.mean(-1) > 0.5) & (np.maximum(*powers) > SOME)
    spread = np.sqrt(powers[0] * powers[1]) * total[..., 0]
    each = np.where(holds, (first * second).sum(-1) / np.maximum(spread, 1e-6), np.nan)
    each[holds.sum(-1) < FEW] = 0
    return np.nanmedian(each, axis=-1).astype(np.float32)


def _parts(x: np.ndarray) -> np.ndarray:
    n = x.shape[-1] // PARTS
    return x.reshape(-1, PARTS, n, PARTS, n).transpose(0, 1, 3, 2, 4).reshape(len(x), PARTS * PARTS, n * n)
