"""Which window a DICOM file is shown in, and which of its values mean that there is no image."""

from typing import Any

import numpy as np

from tasks.images.decode import DecodePolicy
from tasks.images.window import WINDOWS, Window


def window_of(head: Any, policy: DecodePolicy) -> Window | None:
    """The window that acts on this file; None for colour, which needs none."""
    if not str(head.get("PhotometricInterpretation", "")).startswith("MONOCHROME"):
        return None
    if policy.range is not None:
        return policy.range
    if head.get("Modality") == "CT":
        return WINDOWS["soft"]
    if own_window(head, 0) is None and _is_byte(head):
        return None
    return "file"


def _is_byte(head: Any) -> bool:
    return int(head.get("BitsStored", 16)) == 8 and not int(head.get("PixelRepresentation", 0))


def own_window(head: Any, index: int) -> str | None:
    """The file's own VOI for a frame, as text; None where it has none."""
    groups = [head]
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        items = head.get(name) or []
        chosen = items[min(index, len(items) - 1)] if len(items) else None
        groups += list(chosen.get("FrameVOILUTSequence") or []) if chosen is not None else []
    for group in groups:
        if group.get("VOILUTSequence"):
            return "table"
        centre, width = _first(group.get("WindowCenter")), _first(group.get("WindowWidth"))
        if centre is not None and width is not None:
            return f"{float(centre):g}/{float(width):g}"
    return None


def _first(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value or None if isinstance(value, str) else value
    try:
        return value[0] if len(value) else None
    except TypeError:
        return value


def as_stored(value: Any, stored: np.ndarray) -> int:
    """A padding value in the sign of the pixels; writers disagree about its representation."""
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little")
    number = int(value)
    info = np.iinfo(stored.dtype)
    span = 2 ** (8 * stored.dtype.itemsize)
    return number - span if number > info.max else number + span if number < info.min else number
