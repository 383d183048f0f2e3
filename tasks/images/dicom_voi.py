"""The window (VOI) in which a DICOM file is shown: the user's, `soft` for CT, or the file's own.

DICOM PS3.3 C.11.2 defines the file's own windows and tables. What a window does to values is in `window`.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.decode import DecodePolicy
from tasks.images.dicom_header import groups, items, numbers, text
from tasks.images.dicom_pixels import Table, extent, modality, table_of
from tasks.images.window import WINDOWS, Window

LEAST = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}  # widths: LINEAR takes this one too, the others do not


@dataclass(frozen=True, kw_only=True)
class Voi:
    """A window or a table of the file's own: values after the modality transform become 0 to 255."""

    centre: float = 0.0
    width: float = 0.0
    function: str = "LINEAR"
    table: Table | None = None

    def __str__(self) -> str:
        """What the column `window` says."""
        if self.table is not None:
            return "table"
        return f"{self.centre:g}/{self.width:g}" + ("" if self.function == "LINEAR" else f" {self.function.lower()}")

    def shown(self, values: np.ndarray) -> np.ndarray:
        """float64 of the same shape, 0 to 255 (PS3.3 C.11.2.1.1 to C.11.2.1.3)."""
        from highdicom.pixels import apply_voi_window

        if self.table is not None:
            entries = self.table.entries.astype(np.float64)
            low, high = entries.min(), entries.max()
            return self.table.look_up(values, (entries - low) * (255.0 / (high - low)))
        if self.function == "LINEAR" and self.width == 1:
            return np.where(values > self.centre - 0.5, 255.0, 0.0)
        with np.errstate(over="ignore"):
            return apply_voi_window(values, self.centre, self.width, self.function, (0.0, 255.0))


def window_of(head: Any, policy: DecodePolicy) -> Window | None:
    """The window that acts on this file; None for colour, which needs none, and for bytes that name none."""
    if not str(head.get("PhotometricInterpretation", "")).startswith("MONOCHROME"):
        return None
    if policy.range is not None:
        return policy.range
    if head.get("Modality") == "CT":
        return WINDOWS["soft"]
    several = len(items(head, "PerFrameFunctionalGroupsSequence"))
    if any(own_voi(head, index)[0] is not None for index in range(several or 1)):
        return "file"
    byte = int(head.get("BitsStored") or 16) == 8 and not int(head.get("PixelRepresentation") or 0)
    return None if byte and modality(head, 0).identity else "file"


def own_voi(head: Any, index: int) -> tuple[Voi | None, str | None]:
    """The file's own VOI for a frame (from 0), and a flag where what it names cannot be followed.

    Several are alternative views, of which the first that is one is taken (PS3.3 C.11.2.1). A width below 1
    (LINEAR), or not above 0 (LINEAR_EXACT, SIGMOID), a value that is no number, an unknown function, and a table
    that is not what its descriptor says are no window.
    """
    wrong = ""
    for group in groups(head, index, "FrameVOILUT"):
        for item in items(group, "VOILUTSequence"):
            try:
                table = table_of(item, head, "its window table")
                if table.entries.min() == table.entries.max():
                    raise DataError("its window table has one value")
                return Voi(table=_signed(table, head, index)), _next(wrong)
            except DataError:
                wrong = wrong or "a table that is none"
        centres, widths = numbers(group, "WindowCenter"), numbers(group, "WindowWidth")
        function = text(group, "VOILUTFunction") or "LINEAR"
        if len(centres) != len(widths):
            wrong = wrong or f"{len(centres)} window centres and {len(widths)} widths"
        for centre, width in zip(centres, widths, strict=False):
            least = LEAST.get(function, math.inf)
            if math.isfinite(centre) and math.isfinite(width) and (width > least or width == least == 1):
                return Voi(centre=centre, width=width, function=function), _next(wrong)
            if function not in LEAST:
                wrong = wrong or f"the unknown window function {function[:16]}"
            wrong = wrong or (f"a window of width {width:g}" if math.isfinite(centre) else "a window without a centre")
    return None, f"name {wrong}, which is no window; shown as if they named none" if wrong else None


def _signed(table: Table, head: Any, index: int) -> Table:
    """A table whose first value, read without a sign, lies above all that the modality transform gives, is below 0.

    Its sign is that of the values after the transform, which implicit VR does not say (PS3.3 C.11.2.1.1).
    """
    held = extent(head, index)
    return replace(table, first=table.first - 65536) if held and table.first > max(held[1], 32767) else table


def _next(wrong: str) -> str | None:
    return f"name {wrong}, which is no window; shown in the first that is one" if wrong else None
