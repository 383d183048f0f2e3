"""Decoder of DICOM, through highdicom: modality and VOI tables, MONOCHROME1, padding, palettes, compressed syntaxes."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.decode import DecodePolicy, Frame, LastOpened, plain
from tasks.images.dicom_header import FACTS, NESTED, header_columns, orientation_flag, slice_position
from tasks.images.dicom_pixels import Opened, open_dicom
from tasks.images.dicom_voi import own_window, window_of
from tasks.images.window import to_grey

Span = tuple[float, float]
Slice = tuple[Path, int]


def list_frames(path: Path, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:
    """One frame per frame; empty for an object that holds no image. Raises DataError."""
    import pydicom

    with _parser_errors("cannot be read as DICOM"):
        head = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=[*FACTS, *NESTED])
        return _frames(head, path, policy, last_opened) if "Rows" in head else []


def _frames(head: Any, path: Path, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:
    count = int(head.get("NumberOfFrames") or 1)
    facts = header_columns(head)
    window = window_of(head, policy)
    if window is not None:
        facts["window"] = str(policy.window or "soft")
    if window == "file":
        facts["window"] = own_window(head, 0) or "minmax"
    flag = orientation_flag(head)
    patient = str(head.get("PatientID") or "").strip() or str(head.get("StudyInstanceUID") or "")
    return [
        Frame(
            read=partial(_read, path, number, policy, last_opened),
            number=number,
            columns=facts | ({"frame": str(number)} if count > 1 else {}),
            patient=patient,
            windowed=window is not None,
            flags=(flag,) if flag else (),
            slice_position=slice_position(head, number - 1, count, str(path)) if policy.volumes else None,
        )
        for number in range(1, count + 1)
    ]


def _read(
    path: Path, number: int, policy: DecodePolicy, last_opened: LastOpened, span: Span | None = None
) -> np.ndarray:
    with _parser_errors("its pixels cannot be decoded"):
        return plain(_shown(_opened(path, policy, last_opened), number, span))


def read_stack(slices: Sequence[Slice], policy: DecodePolicy, last_opened: LastOpened) -> np.ndarray:
    """The slices (file, number of its frame) as one volume [d, h, w], each as it is shown alone.

    Where they have no window of their own, black and white are the least and greatest value of all of them.
    Raises DataError.
    """
    span = _span(slices, policy, last_opened)
    found = []
    for k, (path, number) in enumerate(slices, 1):
        try:
            found.append(_read(path, number, policy, last_opened, span))
        except DataError as error:
            raise DataError(f"slice {k} of {len(slices)}: {error}") from error
        if found[-1].ndim == 3:
            raise DataError("its slices are in colour, and a volume is grey; leave --volumes out to ask slices")
    return np.stack(found)


def _span(slices: Sequence[Slice], policy: DecodePolicy, last_opened: LastOpened) -> Span | None:
    """The least and greatest value of the slices that are shown by their range; None where none is."""
    ranges = []
    with _parser_errors("its pixels cannot be decoded"):
        for path, number in slices:
            opened = _opened(path, policy, last_opened)
            if opened.window not in ("file", "minmax"):
                return None  # as every other slice of a series, which has one modality
            if opened.window == "minmax" or own_window(opened.image, number - 1) is None:
                ranges.append(opened.range)
    held = [r for r in ranges if r != (0.0, 0.0)] or ranges  # an empty slice, or one that is all padding
    return (min(low for low, _ in held), max(high for _, high in held)) if held else None


def _opened(path: Path, policy: DecodePolicy, last_opened: LastOpened) -> Opened:
    return last_opened.get(("dicom", path), partial(open_dicom, path, policy))


@contextmanager
def _parser_errors(what: str) -> Iterator[None]:
    """Warnings of the parsers kept quiet, and their errors as one DataError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that break the standard's form are common and harmless
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # decoders of ten syntaxes raise what they like; texts may quote tags
            raise DataError(f"{what} ({type(error).__name__})") from error


def _shown(opened: Opened, number: int, span: Span | None = None) -> np.ndarray:
    image, window = opened.image, opened.window
    if not str(image.PhotometricInterpretation).startswith("MONOCHROME"):
        return _colour(image, number)
    mask = opened.padding(number)
    if window == "file" and own_window(image, number - 1) is not None:
        grey = image.get_frame(
            number,
            dtype=np.float64,
            apply_real_world_transform=False,
            apply_modality_transform=None,
            apply_voi_transform=True,
            voi_output_range=(0.0, 255.0),
            apply_presentation_lut=False,
        )
        shown = to_grey(grey, 0.0, 255.0)
    else:
        shown = to_grey(opened.values(number), *_bounds(opened, span))
    if opened.inverted:
        shown = np.uint8(255) - shown
    if mask is not None:
        shown[mask] = 0
    return shown


def _bounds(opened: Opened, span: Span | None = None) -> Span:
    window = opened.window
    if isinstance(window, tuple):
        centre, width = window
        return centre - width / 2, centre + width / 2
    if window is None:
        return 0.0, 255.0
    if window != "full":
        return span or opened.range  # `minmax`, and files whose own window was asked for and is not there
    bits, signed = int(opened.image.BitsStored), int(opened.image.PixelRepresentation)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope = float(opened.image.get("RescaleSlope") or 1)
    intercept = float(opened.image.get("RescaleIntercept") or 0)
    first, last = sorted((low * slope + intercept, high * slope + intercept))
    return first, last


def _colour(image: Any, number: int) -> np.ndarray:
    shown = image.get_frame(number, dtype=np.float64, apply_icc_profile=False)
    if str(image.PhotometricInterpretation) == "PALETTE COLOR":
        bits = int(image.RedPaletteColorLookupTableDescriptor[2])
        return to_grey(shown, 0.0, float(2**bits - 1)) if bits > 8 else shown.astype(np.uint8)
    if int(image.BitsStored) > 8:
        return to_grey(shown, 0.0, float(2 ** int(image.BitsStored) - 1))
    return shown.astype(np.uint8)  # highdicom has made YBR into RGB
