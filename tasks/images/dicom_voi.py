"""The window (VOI) in which a DICOM file is shown: the user's, `soft` for CT, or the file's own.

DICOM PS3.3 C.11.2 defines the file's own windows and tables. What a window does to values is in `window`.
"""

from typing import Any

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
    if own_window(head, 0) is not None:
        return "file"
    byte = int(head.get("BitsStored", 16)) == 8 and not int(head.get("PixelRepresentation", 0))
    return None if byte else "file"


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
