"""Candidates for copies: 64-bit perceptual hashes under every turn, compared by counting bits."""

from dataclasses import dataclass

import numpy as np

from tasks.duplicates.align import BLOCK, sampling

LOW = 12  # frequencies along a side that are kept
CUT = 0.95  # of each side: the middle that is looked for beside the whole, since a crop moves every sign
BITS = 16  # of 64 may differ between a picture and its copy
NEAREST = 8  # candidates that are kept for a picture
CODES, NONE = 16, 65535  # turns and cuts; what stands for no comparison
ROWS = 128  # pictures that are compared with all others together


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Pairs that could be copies: `first`, turned by `turn` and cut to `scale` of its sides, against `second`."""

    first: np.ndarray
    second: np.ndarray
    turn: np.ndarray
    scale: np.ndarray


def turned(x: np.ndarray, turn: int) -> np.ndarray:
    """The last two axes under one of the 8 turns: `turn % 4` quarters counter-clockwise, then mirrored from 4 on."""
    quarters = np.rot90(x, turn % 4, (-2, -1))
    return quarters[..., ::-1] if turn >= 4 else quarters


def hashes(small: np.ndarray) -> np.ndarray:
    """The hashes of small pictures [n, 64, 64]: uint64 [2, 8, n], of the whole and the middle under each turn.

    A bit is the sign of one of the 64 lowest frequencies of the cosine transform, the mean left out
    (as in Zauner 2010). A flip changes the signs of odd frequencies and a quarter turn exchanges the
    axes, so that one transform gives all eight.
    """
    from scipy.fft import dctn

    down, across = np.mgrid[:LOW, :LOW]
    order = np.lexsort((down.ravel(), np.abs(down - across).ravel(), (down + across).ravel()))[1:65]
    powers = np.uint64(1) << np.arange(64, dtype=np.uint64)
    sign = np.where(np.arange(LOW) % 2, -1, 1).astype(np.float32)
    found = np.empty((2, 8, len(small)), np.uint64)
    middle = sampling(np.array([CUT]), np.zeros(1))[0][0].astype(np.float32)
    for start in range(0, len(small), BLOCK):
        rows = slice(start, start + BLOCK)
        whole = small[rows].astype(np.float32)
        for place, part in enumerate((whole, middle @ whole @ middle.T)):
            low = dctn(part, axes=(1, 2))[:, :LOW, :LOW]
            for turn in range(8):
                held = low
                for _ in range(turn % 4):
                    held = held.transpose(0, 2, 1) * sign[:, None]  # a quarter turn: axes exchanged, then upside down
                held = held * sign if turn >= 4 else held
                bits = held.reshape(len(whole), -1)[:, order] > 0
                found[place, turn, rows] = (bits * powers).sum(-1, dtype=np.uint64)
    return found


def candidates(found: np.ndarray) -> Candidates:
    """For each picture the NEAREST others within BITS bits, over every turn and cut of `hashes`."""
    n = found.shape[-1]
    kept = [np.zeros((3, 0), np.int64)]
    for start in range(0, n, ROWS):
        best = _best(found, start)
        near = np.argpartition(best, min(NEAREST, n - 1), axis=1)[:, :NEAREST]
        value = np.take_along_axis(best, near, axis=1)
        rows, columns = np.nonzero(value < (BITS + 1) * CODES)
        kept.append(np.stack([rows + start, near[rows, columns], value[rows, columns] % CODES]))
    first, second, code = np.concatenate(kept, axis=1)
    return Candidates(first=first, second=second, turn=code % 8, scale=np.where(code >= 8, CUT, 1.0))


def _best(found: np.ndarray, start: int) -> np.ndarray:
    """For ROWS pictures from `start` and every other: the fewest bits times CODES, plus the turn and cut of it."""
    n = found.shape[-1]
    rows = slice(start, min(start + ROWS, n))
    best = np.full((rows.stop - start, n), NONE, np.uint16)
    own = np.arange(rows.stop - start)
    for place, turn in np.ndindex(2, 8):
        later = 0 if place else start  # whole against whole is the same both ways
        bits = np.bitwise_count(found[place, turn, rows][:, None] ^ found[0, 0, None, later:])
        value = bits.astype(np.uint16) * np.uint16(CODES) + np.uint16(place * 8 + turn)
        if not place:
            value[np.tril_indices(len(own), 0, len(own))] = NONE
        np.minimum(best[:, later:], value, out=best[:, later:])
    best[own, own + start] = NONE
    return best
