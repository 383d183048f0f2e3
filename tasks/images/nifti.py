"""Decoder of NIfTI volumes as axial slices: canonical axes first, then the display that radiologists use."""

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError, Undecided
from tasks.images.decode import DecodePolicy, Frame, LastOpened, plain, reason, require_thick
from tasks.images.window import to_grey

BAD = (OSError, ValueError, EOFError, KeyError, zlib.error, TypeError, MemoryError)
AIR = -500.0  # a volume that goes below this holds Hounsfield units
UNKNOWN_ORIENTATION = "do not say how they lie and are shown as if stored in RAS order"


def list_frames(path: Path, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:
    """One frame per axial slice, from the feet up (of every time point in turn); raises DataError."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    if policy.range in ("file", "full"):
        raise Undecided(f"--window {policy.range} means nothing in NIfTI; say --window CENTRE/WIDTH or minmax")
    try:
        with _quiet():
            volume: Any = nibabel.load(path)
        shape = _canonical_shape(volume)
        oriented = int(volume.header["sform_code"]) > 0 or int(volume.header["qform_code"]) > 0
    except (*BAD, ImageFileError, HeaderDataError) as error:
        raise DataError(f"cannot be opened ({reason(error, path)})") from error
    flags = () if oriented else (UNKNOWN_ORIENTATION,)
    if policy.volumes:
        return _whole(path, shape, policy, last_opened, flags)
    return [
        Frame(
            read=partial(_read, path, number, policy, last_opened),
            number=number + 1,
            columns={"slice": str(number % shape[2] + 1)}
            | ({"time": str(number // shape[2] + 1)} if shape[3] > 1 else {}),
            windowed=True,
            flags=flags,
        )
        for number in range(shape[2] * shape[3])
    ]


def _whole(
    path: Path, shape: tuple[int, int, int, int], policy: DecodePolicy, last_opened: LastOpened, flags: tuple[str, ...]
) -> list[Frame]:
    """One frame [d, h, w] per time point: the slices from the feet up, each as it is shown alone."""
    require_thick((shape[2], shape[1], shape[0]))
    return [
        Frame(
            read=partial(_read, path, None, policy, last_opened, time),
            number=time + 1,
            columns={"slices": str(shape[2])} | ({"time": str(time + 1)} if shape[3] > 1 else {}),
            windowed=True,
            flags=flags,
        )
        for time in range(shape[3])
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of what nibabel mends in headers, which it says at every reading."""
    from nibabel.imageglobals import logger

    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _canonical_shape(volume: Any) -> tuple[int, int, int, int]:
    from nibabel.orientations import io_orientation

    if volume.get_data_dtype().fields or volume.get_data_dtype().kind == "c":
        raise DataError("its voxels are colours or complex numbers")
    stored = (*volume.shape, 1, 1, 1)[:3]
    rest = volume.shape[3:]
    lie = io_orientation(volume.affine)[:, 0] if np.isfinite(volume.affine).all() else np.array([np.nan])
    if np.isnan(lie).any():
        raise DataError("its affine gives an axis no direction (a zero or no number where voxels have a size)")
    axes = lie.astype(int)
    shape = [0, 0, 0]
    for axis, target in enumerate(axes):
        shape[target] = stored[axis]
    return shape[0], shape[1], shape[2], int(np.prod(rest)) if rest else 1


def _open(path: Path) -> tuple[np.ndarray, float, float]:
    """The volume [x to the right, y to the front, z to the head, t], its least and greatest finite value."""
    import nibabel

    with _quiet():
        volume: Any = nibabel.load(path)
    if len(volume.shape) < 3:
        volume = nibabel.Nifti1Image(np.asanyarray(volume.dataobj).reshape((*volume.shape, 1, 1)[:3]), volume.affine)
    canonical: Any = nibabel.as_closest_canonical(volume)
    values = canonical.get_fdata(dtype=np.float32, caching="unchanged")
    values = values.reshape((*values.shape[:3], -1))
    finite = values[np.isfinite(values)] if not np.isfinite(values).all() else values
    if not finite.size:
        raise DataError("it holds no finite value")
    return values, float(finite.min()), float(finite.max())


def _read(path: Path, number: int | None, policy: DecodePolicy, last_opened: LastOpened, time: int = 0) -> np.ndarray:
    """The slice of that number, counted through all time points, or with None the volume at one of them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, low, high = last_opened.get(("nifti", path), partial(_open, path))
    except BAD as error:
        raise DataError(f"its voxels cannot be read ({reason(error, path)})") from error
    window = policy.range
    if window is None and low < AIR:
        raise Undecided(
            f"a decision is needed: a NIfTI volume holds {low:g} to {high:g}, which look like Hounsfield "
            "units; say --window soft (or lung, bone, CENTRE/WIDTH), or --window minmax"
        )
    if isinstance(window, tuple):
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
    if number is None:
        return np.ascontiguousarray(_shown(values[::-1, ::-1, :, time], low, high))
    time, level = divmod(number, values.shape[2])
    return plain(_shown(values[::-1, ::-1, level, time], low, high))


def _shown(piece: np.ndarray, low: float, high: float) -> np.ndarray:
    """The grey values of voxels [x, y] or [x, y, z] as [y, x] or [z, y, x]."""
    piece = piece.T
    lost = ~np.isfinite(piece)
    return to_grey(np.where(lost, np.float32(low), piece), low, high)  # outside the field of view: black
