"""Standardisation of feature columns, without those that do not vary."""

import numpy as np

_DEAD = 1e-6  # of the median sd: such a column is rounding noise, and dividing by its sd would blow it up
_COLUMNS = 64
_ROUNDING = 1e-12  # of the column's magnitude: the sd that a constant column shows in float64


def inverse_scale(sd: np.ndarray, magnitude: np.ndarray | float = 0.0, *, dead: float = _DEAD) -> np.ndarray:
    """1 / sd for columns that vary, 0 for those whose sd is below `dead` of the median sd (they are dropped).

    sd: [..., d] non-negative. The median is that of columns that vary at all, so that many constant columns
    (the black border of a film) cannot pull the threshold to zero. `magnitude` [d] is the columns' size.
    """
    alive = sd > np.maximum(_ROUNDING * np.asarray(magnitude), 0.0)
    median = np.nanmedian(np.where(alive, sd, np.nan), axis=-1, keepdims=True) if alive.any() else 0.0
    keep = alive & (sd > dead * median)
    return np.divide(1.0, sd, out=np.zeros_like(sd, dtype=np.float64), where=keep)


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns of `x` [n, d] with mean 0 and sd 1 in float64; columns that do not vary become 0."""
    wide = np.array(x, dtype=np.float64)  # a copy, worked on in place: there may be room for one alone
    centre = wide.mean(axis=0)
    wide -= centre
    wide *= inverse_scale(spread(wide), np.abs(centre))
    return wide


def spread(wide: np.ndarray) -> np.ndarray:
    """The sd [d] of columns, some of them at a time: their squares need room too."""
    parts = (wide[:, start : start + _COLUMNS] for start in range(0, wide.shape[1], _COLUMNS))
    return np.concatenate([np.empty(0), *(part.std(axis=0) for part in parts)])
