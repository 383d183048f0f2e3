"""DICOM headers: columns that do not tell who the patient is, where an image lies, and what contradicts itself."""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.decode import SlicePosition, digest

COLUMNS = {  # column -> attribute; none of them names a person, a place or a day
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "body_part": "BodyPartExamined",
    "view": "ViewPosition",
    "laterality": "ImageLaterality",
    "sex": "PatientSex",
    "patient_position": "PatientPosition",
    "kvp": "KVP",
    "slice_thickness": "SliceThickness",
    "kernel": "ConvolutionKernel",
    "burned_in": "BurnedInAnnotation",
    "photometric": "PhotometricInterpretation",
    "sequence": "ScanningSequence",
}
FACTS = (
    *COLUMNS.values(),
    *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SamplesPerPixel", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "VOILUTFunction"),
    *("PresentationLUTShape", "PixelSpacing", "PixelAspectRatio", "PatientID", "PatientAge"),
    *("StudyInstanceUID", "SeriesInstanceUID", "ContrastBolusAgent", "ImageOrientationPatient"),
    *("PatientOrientation", "WindowCenter", "WindowWidth", "VOILUTSequence"),
    *("ImagePositionPatient", "InstanceNumber", "DoseGridScaling"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
LARGEST = 2**28  # pixels of a frame
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NESTED = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
OLDEST = 90.0  # ages above 89 may identify a person (HIPAA safe harbour), so they are one age here
UNITS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
UNKNOWN_ORIENTATION = "do not say how they lie and are shown as stored"
TURNED = "lie turned from the radiological display (anterior or head not up) and are shown as stored"
NOT_SQUARE = "have pixels that are not square and are shown as stored"
SHIFTED = "keep their numbers in other bits than the lowest (HighBit is not BitsStored - 1) and were shifted by it"
SHAPES = {  # contradictions of photometric interpretation and Presentation LUT Shape (PS3.3 C.8.11.3.1.2)
    ("MONOCHROME1", "IDENTITY"): "say MONOCHROME1 and the LUT shape IDENTITY, which contradict each other; "
    "shown by the LUT shape, low values dark",
    ("MONOCHROME2", "INVERSE"): "say MONOCHROME2 and the LUT shape INVERSE, which contradict each other; "
    "shown by the LUT shape, low values bright",
}
BOTH = "hold a modality table and a rescale, of which one may be; the table was followed"
NO_SLOPE = "have a RescaleIntercept without a RescaleSlope; the slope was taken for 1"
NO_INTERCEPT = "have a RescaleSlope without a RescaleIntercept; the intercept was taken for 0"
NO_UNITS = "are CT without a rescale, whose stored numbers were taken for Hounsfield units"
GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def items(head: Any, name: str) -> list[Any]:
    """The items of a sequence, none where it is absent or empty."""
    return list(head.get(name) or [])


def groups(head: Any, index: int, group: str) -> Iterator[Any]:
    """Where attributes of a functional group are looked for: the frame's own, that of all frames, the file's."""
    for name in reversed(NESTED):
        found = items(head, name)
        if found:
            yield from items(found[min(index, len(found) - 1)], f"{group}Sequence")[:1]
    yield head


def text(head: Any, name: str) -> str:
    """An attribute as text, empty where it is absent."""
    return _text(head.get(name))


def numbers(head: Any, name: str) -> list[float]:
    """The values of an attribute as numbers: none where it is absent or empty, NaN for what is no number."""
    try:
        value = head.get(name)
    except (ValueError, TypeError, OverflowError):  # texts become numbers when they are asked for
        return [math.nan]
    if value is None or value == "":
        return []
    found = []
    for one in [value] if isinstance(value, str | int | float) else value:
        try:
            found.append(float(one))
        except (ValueError, TypeError):
            found.append(math.nan)
    return found


def number(head: Any, name: str) -> float | None:
    """An attribute that is one finite number; None where it is absent. Raises DataError."""
    found = numbers(head, name)
    if len(found) > 1:
        raise DataError(f"its {name} has {len(found)} values, of which one may be")
    if found and not math.isfinite(found[0]):
        raise DataError(f"its {name} is no number")
    return found[0] if found else None


def count_of(head: Any, name: str, least: int = 1, default: int | None = None) -> int:
    """An attribute that is a whole number of at least so much. Raises DataError."""
    found = number(head, name)
    if found is None and default is not None:
        return default
    if found is None or found != int(found) or found < least:
        raise DataError(f"its {name} is {'missing' if found is None else format(found, 'g')}")
    return int(found)


def is_rescaled(head: Any, index: int) -> bool:
    """Whether the file says what its stored numbers mean, by a table or a rescale."""
    found = groups(head, index, "PixelValueTransformation")
    return bool(items(head, "ModalityLUTSequence")) or any(
        numbers(group, name) for group in found for name in ("RescaleSlope", "RescaleIntercept")
    )


def _modality_flags(head: Any, index: int) -> list[str]:
    for group in groups(head, index, "PixelValueTransformation"):
        slope, intercept = numbers(group, "RescaleSlope"), numbers(group, "RescaleIntercept")
        if slope or intercept:
            if items(head, "ModalityLUTSequence"):
                return [BOTH] if (slope or [1.0], intercept or [0.0]) != ([1.0], [0.0]) else []
            return [] if slope and intercept else [NO_INTERCEPT if slope else NO_SLOPE]
    return []


def require_consistent(head: Any) -> None:
    """Raises DataError where a header contradicts itself about what its numbers are (PS3.3 C.7.6.3, PS3.5 8.1.1)."""
    for name in ("Rows", "Columns"):
        count_of(head, name)
    if int(head.Rows) * int(head.Columns) > LARGEST:
        raise DataError(f"its header promises {head.Columns} x {head.Rows} pixels")
    kind = text(head, "PhotometricInterpretation")
    samples = count_of(head, "SamplesPerPixel", default=1)
    if kind not in (*GREY, *COLOURS):
        known = ", ".join((*GREY, *COLOURS))
        raise DataError(
            f"its PhotometricInterpretation is {kind[:24]}; read are {known}"
            if kind
            else "it does not say what its numbers mean (no PhotometricInterpretation)"
        )
    if samples != (1 if kind in GREY else 3):
        raise DataError(f"it says {kind} and {samples} samples per pixel, which contradict each other")
    allocated = count_of(head, "BitsAllocated")
    if allocated not in (1, 8, 16, 32, 64):
        raise DataError(f"its BitsAllocated is {allocated}; read are 1, 8, 16 and 32")
    per_frame = items(head, "PerFrameFunctionalGroupsSequence")
    count = count_of(head, "NumberOfFrames", 0, default=1) or 1
    if per_frame and len(per_frame) < count:
        raise DataError(f"it has {count} frames, of which {len(per_frame)} are described")
    if numbers(head, "BitsStored") == []:
        return  # floating-point pixels
    stored, sign = count_of(head, "BitsStored"), count_of(head, "PixelRepresentation", 0, default=0)
    high = count_of(head, "HighBit", 0, default=stored - 1)
    if not stored <= allocated or not stored - 1 <= high < allocated:
        raise DataError(f"its bits contradict each other: {stored} stored up to bit {high}, {allocated} allocated")
    if sign > 1 or (sign and kind in COLOURS):
        raise DataError(f"its PixelRepresentation is {sign}" + (f", and {kind} has no sign" if sign == 1 else ""))


def low_is_bright(head: Any) -> bool:
    """Whether low values are meant to be bright: what the LUT shape says, else the photometric interpretation."""
    shape = text(head, "PresentationLUTShape")
    return shape == "INVERSE" if shape in ("INVERSE", "IDENTITY") else _text(head.PhotometricInterpretation)[-1] == "1"


def header_flags(head: Any, index: int) -> list[str]:
    """What a header says of a frame (from 0) that a user should know, as ends of "12 of 40 images …"."""
    flags = [orientation_flag(head, index), *(_modality_flags(head, index) if is_grey(head) else [])]
    kind = text(head, "PhotometricInterpretation")
    flags.append(SHAPES.get((kind, text(head, "PresentationLUTShape"))))
    stored, high = numbers(head, "BitsStored"), numbers(head, "HighBit")
    flags.append(SHIFTED if stored and high and high[0] != stored[0] - 1 else None)
    flags.append(NOT_SQUARE if _not_square(head, index) else None)
    return [flag for flag in flags if flag is not None]


def is_grey(head: Any) -> bool:
    """Whether its numbers are greys."""
    return text(head, "PhotometricInterpretation").startswith("MONOCHROME")


def _not_square(head: Any, index: int) -> bool:
    for group in groups(head, index, "PixelMeasures"):
        for name in ("PixelSpacing", "PixelAspectRatio"):
            found = numbers(group, name)
            if len(found) == 2 and all(math.isfinite(v) and v > 0 for v in found):
                return abs(found[0] / found[1] - 1) > 0.01
    return False


def header_columns(head: Any, index: int = 0) -> dict[str, str]:
    """Columns of a frame (from 0): modality, sex, age in years, contrast, hashed study and series, `up`, `left`."""
    found = {name: _text(head.get(attribute)) for name, attribute in COLUMNS.items()}
    found["age"] = years(_text(head.get("PatientAge")))
    found["contrast_agent"] = "yes" if _text(head.get("ContrastBolusAgent")) else "no"
    for name, attribute in (("study", "StudyInstanceUID"), ("series", "SeriesInstanceUID")):
        uid = _text(head.get(attribute))
        found[name] = digest("uid", uid)[:12] if uid else ""
    found["left"], found["up"] = edge_letters(head, index)
    return {name: value for name, value in found.items() if value}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value).strip()
    try:
        return " ".join(str(part) for part in value).strip()
    except TypeError:
        return str(value).strip()


def years(age: str) -> str:
    """A DICOM age string in years, at most 90; empty where it is none.

    >>> years("069Y"), years("018M"), years("095Y"), years("")
    ('69', '1.5', '90', '')
    """
    match = re.fullmatch(r"(\d{1,3})([YMWD])", age)
    return f"{min(int(match[1]) * UNITS[match[2]], OLDEST):.4g}" if match else ""


def edge_letters(head: Any, index: int = 0) -> tuple[str, str]:
    """What lies at a frame's left edge and at its top: R L A P H F, or empty where it is not said.

    From ImageOrientationPatient (direction cosines in patient coordinates, x to the patient's left,
    y to the back, z to the head), else from PatientOrientation, whose letters name the right edge
    and the bottom (PS3.3 C.7.6.1.1.1).
    """
    cosines = _cosines(head, index)
    if cosines is not None:
        return _away(cosines[:3]), _away(cosines[3:])
    words = head.get("PatientOrientation")
    if words is None or isinstance(words, str) or len(words) != 2 or not all(words):
        return "", ""
    opposite = {"R": "L", "L": "R", "A": "P", "P": "A", "H": "F", "F": "H"}
    right, bottom = (str(w)[0] for w in words)
    return opposite.get(right, ""), opposite.get(bottom, "")


def _cosines(head: Any, index: int = 0) -> np.ndarray | None:
    found = head.get("ImageOrientationPatient") or _nested(head, index, "PlaneOrientation", "ImageOrientationPatient")
    return np.array([float(f) for f in found]) if found and len(found) == 6 else None


def _nested(head: Any, index: int, group: str, attribute: str) -> Any:
    """What the functional groups say of a frame, counted from 0: shared by all, or its own."""
    for name in NESTED:
        items = head.get(name) or []
        own = items[min(index, len(items) - 1)].get(f"{group}Sequence") or [] if len(items) else []
        if len(own) and own[0].get(attribute):
            return own[0].get(attribute)
    return None


def slice_position(head: Any, index: int, count: int, path: str) -> SlicePosition:
    """Where frame `index` (from 0) of `count` lies; a file of several frames is a series of its own.

    Slices follow one another towards the patient's left, back or head, whichever is nearest to their normal.
    """
    uids = [_text(head.get(name)) for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")]
    cosines = _cosines(head, index)
    spot = head.get("ImagePositionPatient") if count == 1 else None  # of several frames it is that of the first
    spot = spot or _nested(head, index, "PlanePosition", "ImagePositionPatient")
    instance = head.get("InstanceNumber")
    normal = None if cosines is None else np.cross(cosines[:3], cosines[3:])
    if normal is not None:
        normal = normal * np.sign(normal[np.argmax(np.abs(normal))])
    position = None
    if normal is not None and spot is not None and len(spot) == 3:
        position = float(normal @ np.array([float(v) for v in spot]))
    return SlicePosition(
        series=(*uids, path) if count > 1 else tuple(uids) if uids[-1] else (),
        shape=(int(head.Rows), int(head.Columns)),
        normal=None if normal is None else tuple(normal.tolist()),
        position=position,
        number=(0, index) if count > 1 else None if instance in (None, "") else (int(instance), 0),
    )


def _away(direction: np.ndarray) -> str:
    """The letter of the side that the direction comes from."""
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "FH")[axis][0 if direction[axis] > 0 else 1]


def orientation_flag(head: Any, index: int = 0) -> str | None:
    """A flag where the stored rows of a frame are not known to lie as a radiologist would hang them."""
    left, up = edge_letters(head, index)
    if not up:
        return UNKNOWN_ORIENTATION
    hung = {("R", "A"), ("R", "H"), ("A", "H"), ("P", "H")}  # axial, coronal and frontal, sagittal, lateral
    film = str(head.get("Modality", "")) == "MG"  # a breast is hung by its side, not by the compass
    return None if film or (left, up) in hung else TURNED
