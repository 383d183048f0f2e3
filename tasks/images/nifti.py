"""Decoder of NIfTI volumes as axial slices: canonical axes first, then the display that radiologists use."""

import gzip
import math
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

BAD = (OSError, ValueError, EOFError, KeyError, zlib.error, TypeError, MemoryError, OverflowError)
AIR = -500.0  # a volume that goes below this holds Hounsfield units
EXACT = 2**24  # up to which single precision holds whole numbers
DEFLATED = 1032  # bytes that one byte of gzip can stand for, at most
LARGEST = 2**33  # bytes of the voxels of a file in memory, in single precision at least
SUSPECT, RATIO = 2**30, 500  # bytes of voxels in memory above which this is the most that gzip is believed to save
BEHIND = 2**28  # bytes behind its voxels that are unpacked to reach the checksum of a file
PARALLEL = 0.02  # cosine between axes that are not perpendicular, about 1 degree
APART = 0.1  # of a unit direction: two orientations that differ by less name the axes alike but for rounding
VECTORS = (1004, 1005, 1006, 1007, 1008, 1009, 1010, 2003, 2004)  # intents of several numbers for each voxel
UNKNOWN_ORIENTATION = "do not say how they lie and are shown as if stored in LAS order (the patient's right first)"
TWO_FORMS = "have a qform and an sform that disagree on which way the axes run; shown by the sform"
MORE = "hold more voxels than their dimensions say, which are not shown"
SHEARED = "have axes that are not perpendicular and are shown as stored"
NOT_SQUARE = "have voxels that are not square in the slice and are shown as stored"
SIZES = "name a voxel size that is not above 0, which was taken for 1 or for its size without the sign"
REVISION = 2  # 1 before bits, windows and scales were read by the standard
UNSCALED = "have a scl_slope that is no number; their stored numbers are shown"


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
        header = _raw_header(volume)
        more = _require_held(volume, header, path)
        shape = _canonical_shape(volume, header)
        flags = (*_flags(volume, header), *more)
    except DataError:
        raise
    except (*BAD, ImageFileError, HeaderDataError) as error:
        raise DataError(f"cannot be opened ({reason(error, path)})") from error
    if policy.volumes:
        return _whole(path, shape, policy, last_opened, flags)
    return [
        Frame(
            revision=REVISION,
            read=partial(_read, path, number, policy, last_opened),
            number=number + 1,
            columns={"slice": str(number % shape[2] + 1)}
            | ({"time": str(number // shape[2] + 1)} if shape[3] > 1 else {}),
            windowed=True,
            stored=partial(_stored, path, number, last_opened),
            flags=flags,
            shape=(shape[1], shape[0]),
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
            revision=REVISION,
            read=partial(_read, path, None, policy, last_opened, time),
            number=time + 1,
            columns={"slices": str(shape[2])} | ({"time": str(time + 1)} if shape[3] > 1 else {}),
            windowed=True,
            stored=partial(_stored, path, None, last_opened, time),
            flags=flags,
            shape=(shape[2], shape[1], shape[0]),
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


def _raw_header(volume: Any) -> Any:
    """The header as it is stored; nibabel mends it when it loads a volume."""
    with volume.file_map.get("header", volume.file_map["image"]).get_prepare_fileobj("rb") as file:
        return type(volume.header).from_fileobj(file, check=False)


def _require_held(volume: Any, header: Any, path: Path) -> list[str]:
    """A flag where a file holds more than its header says; DataError where the header promises more than it can hold.

    What a packed file holds is not known before it is unpacked, but for the most that it can be.
    """
    dims = [int(d) for d in header["dim"]]
    shape = dims[1 : dims[0] + 1]
    if not 1 <= dims[0] <= 7 or min(shape) < 1:
        raise DataError(f"its header says {' x '.join(map(str, shape)) or 'no'} voxels in {dims[0]} dimensions")
    if dims[0] == 1:
        raise DataError(f"it holds one line of {shape[0]} numbers, which is no slice")
    voxels = math.prod(shape)
    each = volume.get_data_dtype().itemsize  # by its data type, which bitpix repeats
    promised = voxels * each
    size, start = path.stat().st_size, int(volume.dataobj.offset)
    size_of = " x ".join(map(str, shape))
    if start < header.structarr.dtype.itemsize:
        raise DataError(f"its voxels begin at byte {start}, inside its header")
    packed = path.name.lower().endswith(".gz")
    held = size * DEFLATED if packed else max(size - start, 0)
    if promised > held:
        most = f"at most {held} when unpacked" if packed else f"{held}"
        raise DataError(f"its header promises {promised} bytes of voxels ({size_of}), the file holds {most}")
    needed = voxels * max(each, 4)
    if needed > LARGEST or (packed and needed > SUSPECT and promised > RATIO * size):
        most = f"; they may take {LARGEST // 2**30} GiB in memory" if needed > LARGEST else f" from a file of {size}"
        raise DataError(f"its header promises {promised} bytes of voxels ({size_of}){most}")
    if packed:
        with path.open("rb") as file:  # gzip ends with the size of what it holds, modulo 4 GiB
            file.seek(-4, 2)
            said = int.from_bytes(file.read(4), "little")
        if said < (start + promised) % 2**32 or said > held:  # several members, cut, or more promised than is there
            said = _unpacked(path, start + promised + BEHIND)
            if said < start + promised:
                raise DataError(f"its header promises {promised} bytes of voxels, the file holds {said - start}")
        held = said - start
        if held - promised > BEHIND:
            raise DataError(f"its header promises {promised} bytes of voxels ({size_of}), the file holds {held}")
    return [MORE] if held - promised >= shape[0] * each else []


def _unpacked(path: Path, most: int) -> int:
    """The bytes that a packed file holds, counted no further than a little above `most`."""
    total = 0
    with gzip.open(path) as file:
        while total <= most and (part := file.read(2**20)):
            total += len(part)
    return total


def _flags(volume: Any, header: Any) -> tuple[str, ...]:
    """What its header says that a user should know, as ends of "6 of 12 images …"."""
    from nibabel.orientations import aff2axcodes, io_orientation

    coded = [int(header[name]) > 0 for name in ("sform_code", "qform_code")]
    flags = [] if any(coded) else [UNKNOWN_ORIENTATION]
    if all(coded):
        forms = volume.header.get_sform(), volume.header.get_qform()
        apart = np.abs(_directions(forms[0]) - _directions(forms[1])).max() > APART
        flags += [TWO_FORMS] if apart and aff2axcodes(forms[0]) != aff2axcodes(forms[1]) else []
    directions = _directions(volume.affine)
    if np.abs(directions.T @ directions - np.eye(3)).max() > PARALLEL:
        flags.append(SHEARED)
    axes = io_orientation(volume.affine)[:, 0]
    sizes = np.linalg.norm(volume.affine[:3, :3], axis=0)
    wide, high = (sizes[axes.tolist().index(axis)] if axis in axes else 1.0 for axis in (0, 1))
    if abs(wide / high - 1) > 0.01:
        flags.append(NOT_SQUARE)
    if not coded[0] and (header["pixdim"][1 : min(int(header["dim"][0]), 3) + 1] <= 0).any():
        flags.append(SIZES)
    if not math.isfinite(float(header["scl_slope"])):  # an intercept that is none beside a slope is refused
        flags.append(UNSCALED)
    return tuple(flags)


def _directions(affine: np.ndarray) -> np.ndarray:
    """The directions of the three axes [3, 3], one a column, of length 1."""
    return affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)


def _canonical_shape(volume: Any, header: Any) -> tuple[int, int, int, int]:
    from nibabel.orientations import io_orientation

    if volume.get_data_dtype().fields or volume.get_data_dtype().kind == "c":
        raise DataError("its voxels are colours or complex numbers")
    stored = (*volume.shape, 1, 1, 1)[:3]
    rest = volume.shape[3:]
    several = math.prod(rest[1:])
    intent = int(header["intent_code"])
    if several > 1:
        raise DataError(f"its voxels hold {several} numbers each (dimensions {volume.shape}): a vector, not a grey")
    if intent in VECTORS and math.prod(rest) > 1:
        name = header.get_intent()[0]
        raise DataError(f"its voxels hold {math.prod(rest)} numbers each (intent {name}): a vector, not a grey")
    lie = io_orientation(volume.affine)[:, 0] if np.isfinite(volume.affine).all() else np.array([np.nan])
    if np.isnan(lie).any():
        raise DataError("its affine gives an axis no direction (a zero or no number where voxels have a size)")
    axes = lie.astype(int)
    shape = [0, 0, 0]
    for axis, target in enumerate(axes):
        shape[target] = stored[axis]
    return shape[0], shape[1], shape[2], math.prod(rest)


def _open(path: Path) -> tuple[np.ndarray, float, float]:
    """The volume [x to the right, y to the front, z to the head, t], its least and greatest finite value."""
    import nibabel

    with _quiet():
        volume: Any = nibabel.load(path)
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as file, _quiet():
            values = _canonical(type(volume).from_stream(file))
            end = file.tell() + BEHIND
            while file.read(2**20):  # to its end, where the checksum is
                if file.tell() > end:
                    raise DataError("the file holds far more than its header promises")
    else:
        values = _canonical(volume)
    values = values.reshape((*values.shape[:3], -1))
    finite = values[np.isfinite(values)] if not np.isfinite(values).all() else values
    if not finite.size:
        raise DataError("it holds no finite value")
    return values, float(finite.min()), float(finite.max())


def _canonical(volume: Any) -> np.ndarray:
    """The scaled voxels, in double precision where single would not hold them."""
    import nibabel

    if len(volume.shape) < 3:
        volume = nibabel.Nifti1Image(np.asanyarray(volume.dataobj).reshape((*volume.shape, 1, 1)[:3]), volume.affine)
    canonical: Any = nibabel.as_closest_canonical(volume)
    values = canonical.get_fdata(dtype=np.float32, caching="unchanged")
    far = bool(np.nanmax(values) > EXACT or np.nanmin(values) < -EXACT) if values.size else False
    return canonical.get_fdata(dtype=np.float64, caching="unchanged") if far else values


def _read(path: Path, number: int | None, policy: DecodePolicy, last_opened: LastOpened, time: int = 0) -> np.ndarray:
    """The slice of that number, counted through all time points, or with None the volume at one of them."""
    values, low, high = _voxels(path, last_opened)
    window = policy.range
    if window is None and low < AIR:
        raise Undecided(
            f"a decision is needed: a NIfTI volume holds {low:g} to {high:g}, which look like Hounsfield "
            "units; say --window soft (or lung, bone, CENTRE/WIDTH), or --window minmax"
        )
    if isinstance(window, tuple):
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
    shown = _shown(_piece(values, number, time), low, high)
    return np.ascontiguousarray(shown) if number is None else plain(shown)


def _voxels(path: Path, last_opened: LastOpened) -> tuple[np.ndarray, float, float]:
    """The volume with its least and greatest value, opened once for all its slices; DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return last_opened.get(("nifti", path), partial(_open, path))
    except BAD as error:
        raise DataError(f"its voxels cannot be read ({reason(error, path)})") from error


def _piece(values: np.ndarray, number: int | None, time: int = 0) -> np.ndarray:
    """The slice of that number [x, y], counted through all time points, or with None the volume [x, y, z] at one."""
    if number is None:
        return values[::-1, ::-1, :, time]
    time, level = divmod(number, values.shape[2])
    return values[::-1, ::-1, level, time]


def _stored(path: Path, number: int | None, last_opened: LastOpened, time: int = 0) -> np.ndarray:
    """The scaled voxels [y, x] or [z, y, x] without any window."""
    return _piece(_voxels(path, last_opened)[0], number, time).T


def _shown(piece: np.ndarray, low: float, high: float) -> np.ndarray:
    """The grey values of voxels [x, y] or [x, y, z] as [y, x] or [z, y, x]."""
    piece = piece.T
    lost = ~np.isfinite(piece)
    return to_grey(np.where(lost, piece.dtype.type(low), piece), low, high)  # outside the field of view: black
