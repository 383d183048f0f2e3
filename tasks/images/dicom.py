"""Decoder of DICOM: what is listed of a file, and its frames as they are shown, alone or as slices of a volume."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from tasks._base import DataError
from tasks.images.decode import ENDS, DecodePolicy, Frame, LastOpened, plain
from tasks.images.dicom_header import (
    FACTS,
    NESTED,
    NO_UNITS,
    header_columns,
    header_flags,
    is_grey,
    is_rescaled,
    items,
    require_consistent,
    slice_position,
)
from tasks.images.dicom_pixels import Head, Opened, modality, open_dicom, require_pixels
from tasks.images.dicom_voi import Voi, own_voi, window_of
from tasks.images.window import to_grey

Span = tuple[float, float]
Slice = tuple[Path, int]


def list_frames(path: Path, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:
    """One frame per frame; empty for an object that holds no image. Raises DataError.

    What the header promises is held against the file first, so that no frame is listed that cannot be there.
    """
    import pydicom

    with _parser_errors("cannot be read as DICOM"), path.open("rb") as opened:
        file = Head(opened)
        head = pydicom.dcmread(
            cast(BinaryIO, file), stop_before_pixels=True, force=True, specific_tags=[*FACTS, *NESTED]
        )
        if "Rows" not in head:
            return []
        require_consistent(head)
        return _frames(head, path, policy, last_opened, require_pixels(file, head))


def _frames(head: Any, path: Path, policy: DecodePolicy, last_opened: LastOpened, said: list[str]) -> list[Frame]:
    count = int(head.get("NumberOfFrames") or 1)
    facts: dict[str, str] = {}
    window = window_of(head, policy)
    own = window == "file" or (window is None and policy.range is None)
    units = isinstance(window, tuple) and head.get("Modality") == "CT"
    patient = str(head.get("PatientID") or "").strip() or str(head.get("StudyInstanceUID") or "")
    frames = []
    differ = len(items(head, "PerFrameFunctionalGroupsSequence")) > 1
    voi: Voi | None = None
    flags: list[str] = []
    for number in range(1, count + 1):
        if differ or number == 1:  # what the file says of its only frame, or of all
            facts = header_columns(head, number - 1)
            flags = [*said, *header_flags(head, number - 1)]
            if is_grey(head):
                modality(head, number - 1)  # refused here where it is none
                flags += [NO_UNITS] if units and not is_rescaled(head, number - 1) else []
            if own and is_grey(head):
                voi, skipped = own_voi(head, number - 1)
                flags += [skipped] if skipped else []
        columns = {} if window is None else {"window": str(policy.window or "soft")}
        if window == "file":
            columns = {"window": "minmax" if voi is None else str(voi)}
        frames.append(
            Frame(
                revision=2,  # 1 before bits, windows and scales were read by the standard
                read=partial(_read, path, number, policy, last_opened),
                number=number,
                columns={**facts, **columns} | ({"frame": str(number)} if count > 1 else {}),
                patient=patient,
                windowed=window is not None,
                stored=partial(_stored, path, number, policy, last_opened) if is_grey(head) else None,
                flags=tuple(flags),
                shape=(int(head.Rows), int(head.Columns)),
                slice_position=slice_position(head, number - 1, count, str(path)) if policy.volumes else None,
            )
        )
    return frames


def _read(
    path: Path, number: int, policy: DecodePolicy, last_opened: LastOpened, span: Span | None = None
) -> np.ndarray:
    with _parser_errors("its pixels cannot be decoded"):
        return plain(_shown(_opened(path, policy, last_opened), number, span))


def _stored(path: Path, number: int, policy: DecodePolicy, last_opened: LastOpened) -> np.ndarray:
    with _parser_errors("its pixels cannot be decoded"):
        return _opened(path, policy, last_opened).stored(number)


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
            if opened.window == "minmax" or own_voi(opened.data, number - 1)[0] is None:
                ranges.append(opened.range)
    held = [r for r in ranges if r != (0.0, 0.0)] or ranges  # an empty slice, or one that is all padding
    return (min(low for low, _ in held), max(high for _, high in held)) if held else None


def _opened(path: Path, policy: DecodePolicy, last_opened: LastOpened) -> Opened:
    def make() -> Opened:
        opened = open_dicom(path)
        opened.window = window_of(opened.data, policy)
        return opened

    return last_opened.get(("dicom", path), make)


@contextmanager
def _parser_errors(what: str) -> Iterator[None]:
    """Warnings of the parsers kept quiet, and their errors as one DataError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that break the standard's form are common and harmless
        try:
            yield
        except (DataError, *ENDS):
            raise
        except BaseException as error:  # decoders of ten syntaxes raise what they like; texts may quote tags
            raise DataError(f"{what} ({type(error).__name__})") from error


def _shown(opened: Opened, number: int, span: Span | None = None) -> np.ndarray:
    if not is_grey(opened.data):
        shown = opened.colours(number)
        return shown if shown.dtype == np.uint8 else to_grey(shown, 0.0, 255.0)
    mask = opened.hidden(number)
    values = opened.values(number)
    voi = own_voi(opened.data, number - 1)[0] if opened.window == "file" else None
    if voi is not None:
        shown = to_grey(voi.shown(values), 0.0, 255.0)
    else:
        shown = to_grey(values, *_bounds(opened, number, span))
    if opened.inverted:
        shown = np.uint8(255) - shown
    if mask is not None:
        shown[mask] = 0
    return shown


def _bounds(opened: Opened, number: int, span: Span | None = None) -> Span:
    window = opened.window
    if isinstance(window, tuple):
        centre, width = window
        return centre - width / 2, centre + width / 2
    if window is None:
        return 0.0, 255.0
    if window == "full":
        return opened.full(number)
    return span or opened.range  # `minmax`, and files whose own window was asked for and is not there
