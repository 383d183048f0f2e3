"""DICOM headers: columns that do not tell who the patient is, how an image lies, and where a slice lies."""

import re
from typing import Any

import numpy as np

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
    *("Rows", "Columns", "NumberOfFrames", "BitsStored", "PixelRepresentation", "PatientID", "PatientAge"),
    *("StudyInstanceUID", "SeriesInstanceUID", "ContrastBolusAgent", "ImageOrientationPatient"),
    *("PatientOrientation", "WindowCenter", "WindowWidth", "VOILUTSequence"),
    *("ImagePositionPatient", "InstanceNumber"),
)
NESTED = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
OLDEST = 90.0  # ages above 89 may identify a person (HIPAA safe harbour), so they are one age here
UNITS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
UNKNOWN_ORIENTATION = "do not say how they lie and are shown as stored"
TURNED = "lie turned from the radiological display (anterior or head not up) and are shown as stored"


def header_columns(head: Any) -> dict[str, str]:
    """Columns for a manifest: modality, sex, age in years, contrast, hashed study and series, `up`, `left`."""
    found = {name: _text(head.get(attribute)) for name, attribute in COLUMNS.items()}
    found["age"] = years(_text(head.get("PatientAge")))
    found["contrast_agent"] = "yes" if _text(head.get("ContrastBolusAgent")) else "no"
    for name, attribute in (("study", "StudyInstanceUID"), ("series", "SeriesInstanceUID")):
        uid = _text(head.get(attribute))
        found[name] = digest("uid", uid)[:12] if uid else ""
    found["left"], found["up"] = edge_letters(head)
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


def edge_letters(head: Any) -> tuple[str, str]:
    """What lies at the image's left edge and at its top: R L A P H F, or empty where it is not said.

    From ImageOrientationPatient (direction cosines in patient coordinates, x to the patient's left,
    y to the back, z to the head), else from PatientOrientation, whose letters name the right edge
    and the bottom (PS3.3 C.7.6.1.1.1).
    """
    cosines = _cosines(head)
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


def orientation_flag(head: Any) -> str | None:
    """A flag where the stored rows are not known to lie as a radiologist would hang them."""
    left, up = edge_letters(head)
    if not up:
        return UNKNOWN_ORIENTATION
    hung = {("R", "A"), ("R", "H"), ("A", "H"), ("P", "H")}  # axial, coronal and frontal, sagittal, lateral
    film = str(head.get("Modality", "")) == "MG"  # a breast is hung by its side, not by the compass
    return None if film or (left, up) in hung else TURNED
