"""Which vectors float16 holds well enough to be stored in it."""

import numpy as np

TOLERANCE = 1e-3  # of the vector's norm; rounding alone costs at most 2^-11 = 4.9e-4
_LARGE = 65_000.0**2  # a vector of smaller norm has no element that overflows
# Each element errs by at most 2^-11 of itself or, where float16 is subnormal, by 2^-25. So the squared error is
# below 2^-22 |x|^2 + d 2^-50, which is below 1e-6 |x|^2 where |x|^2 > 1.17e-9 d; twice that leaves room for float32.
_SMALL = 2.4e-9


def narrow(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [n, d] in float16, and for each [n] whether that form is finite and off by < 1e-3 of its norm.

    The decision is made for each vector by itself, so that what is read back never depends on its neighbours.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        half = x.astype(np.float16)
        square = np.einsum("nd,nd->n", x, x)
    fits = (square > _SMALL * x.shape[1]) & (square < _LARGE)
    if not fits.all():
        rows = np.flatnonzero(~fits)
        exact = x[rows].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            off = np.linalg.norm(exact - half[rows], axis=1)
            norm = np.linalg.norm(exact, axis=1)
            fits[rows] = (off < TOLERANCE * norm) | ((off == 0) & (norm == 0))
    return half, fits
