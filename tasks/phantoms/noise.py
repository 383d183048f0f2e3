"""Banks of noise that a process draws once, and of which every image takes a piece at a place of its own.

Drawing a normal value per pixel costs more than everything else that is done to it; a piece of a bank is a
view. A bank follows from its arguments alone, so that it is the same in every process.
"""

from functools import lru_cache

import numpy as np

from tasks.phantoms.blur import smooth

SPAN = 3  # image widths across a bank
_WHITE = 1 << 20


@lru_cache(maxsize=32)
def periodic(side: int, knots: tuple[int, ...], decay: float = 0.6, code: int = 0) -> np.ndarray:
    """Smooth random field [side, side] without seams, float32, read-only, mean 0 and deviation 1.

    A sum of octaves with the spectrum of cubic B-splines of `knots` values per side, each `decay` times
    weaker than the one before. The same field at any `side` that can hold it.
    """
    m = int(0.75 * max(knots))
    rng = np.random.default_rng([m, *knots, round(1000 * decay), code])
    wave = rng.standard_normal((2, 2 * m + 1, m + 1))
    down, right = np.arange(-m, m + 1), np.arange(m + 1)
    power = np.zeros((2 * m + 1, m + 1))
    for octave, k in enumerate(knots):
        power += (decay**octave / k) ** 2 * (np.sinc(down / k) ** 8)[:, None] * np.sinc(right / k) ** 8
    power[m, 0] = 0
    kept = np.abs(down) < side / 2
    full = np.zeros((side, side // 2 + 1), complex)
    wide = min(m + 1, side // 2)
    full[down[kept], :wide] = ((wave[0] + 1j * wave[1]) * np.sqrt(power))[kept, :wide]
    field = np.fft.irfft2(full, s=(side, side))
    # whole steps: the last bits of a Fourier transform differ between machines
    out = (np.round(field / field.std() * 256) / 256).astype(np.float32)
    out.flags.writeable = False
    return out


def piece(rng: np.random.Generator, size: int, knots: tuple[int, ...], decay: float = 0.6) -> np.ndarray:
    """A smooth random field [size, size], float32, read-only; `knots` are values per side of the image.

    A piece of a bank, turned over and transposed at random. At another `size` the same random numbers
    give the same field.
    """
    field = periodic(SPAN * size, tuple(SPAN * k for k in knots), decay)
    top, left = (rng.uniform(0, SPAN - 1, 2) * size).astype(int)
    out = field[top : top + size, left : left + size]
    over = int(rng.integers(8))
    if over & 1:
        out = out[::-1]
    if over & 2:
        out = out[:, ::-1]
    return out.T if over & 4 else out


@lru_cache(maxsize=1)
def _white() -> np.ndarray:
    """Independent normal values."""
    out = np.random.default_rng(_WHITE).standard_normal(_WHITE, np.float32)
    out.flags.writeable = False
    return out


def white(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Independent normal values, float32, read-only: a stretch of a bank of a million, from a place drawn by `rng`."""
    bank, n = _white(), int(np.prod(shape))
    if n > _WHITE // 4:  # too few places to begin at
        return rng.standard_normal(shape, np.float32)
    first = int(rng.integers(_WHITE - n))
    return bank[first : first + n].reshape(shape)


@lru_cache(maxsize=64)
def _knots(size: int, knots: int) -> tuple[np.ndarray, np.ndarray]:
    """Which 4 of `knots` values make each of `size` points by cubic B-splines [4, size], and their weights."""
    at = np.linspace(0, knots - 1, size)
    which = np.clip(at.astype(int), 0, knots - 2) + np.arange(-1, 3)[:, None]
    far = np.abs(at - which)
    weight = np.where(far < 1, 2 / 3 - far**2 + far**3 / 2, np.clip(2 - far, 0, None) ** 3 / 6)
    weight = np.where((which >= 0) & (which < knots), weight, 0)
    return np.clip(which, 0, knots - 1), (weight / weight.sum(0)).astype(np.float32)


def stretched(values: np.ndarray, which: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sums of rows of `values` [k, m]: row which[j, i] times weight[j, i], over j, for each i: [size, m].

    Written without matrix products, whose rounding may change with the number of threads.
    """
    out = values[which[0]] * weight[0][:, None]
    for j in range(1, len(which)):
        out += values[which[j]] * weight[j][:, None]
    return out


def noise(rng: np.random.Generator, size: int, knots: tuple[int, ...], decay: float = 0.6) -> np.ndarray:
    """Smooth random field [size, size], float32, mean about 0 and deviation about 1.

    A sum of octaves: one grid of normal values per entry of `knots` (values per side), each octave
    `decay` times weaker than the one before.
    """
    out, power = np.zeros((size, size), np.float32), 0.0
    for octave, k in enumerate(knots):
        which, weight = _knots(size, k)
        grid = rng.standard_normal((k, k), np.float32) * np.float32(decay**octave)
        out += stretched(np.ascontiguousarray(stretched(grid, which, weight).T), which, weight)
        power += (decay**octave * float((weight**2).sum(0).mean())) ** 2
    out *= np.float32(1 / np.sqrt(power))
    return out


@lru_cache(maxsize=16)
def _sown(size: int, sigma: float) -> np.ndarray:
    """White noise of deviation 1 [3 size, 3 size], blurred by a Gaussian of `sigma` pixels."""
    field = smooth(
        np.random.default_rng([size, round(100 * sigma)]).standard_normal((3 * size,) * 2, np.float32), sigma
    )
    field.flags.writeable = False
    return field


def grain(rng: np.random.Generator, size: int, sigma: float) -> np.ndarray:
    """White noise [size, size] of deviation 1, then blurred by a Gaussian of `sigma` pixels; read-only.

    Cut at random from a field three times as wide, and perhaps flipped.
    """
    field = _sown(size, round(sigma, 2))
    row, column, turn = rng.integers(0, (2 * size + 1, 2 * size + 1, 4)).tolist()
    piece = field[row : row + size, column : column + size]
    return piece[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
