"""Parsed DICOM files: values after the modality transform, padding, range, and byte order."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.decode import DecodePolicy
from tasks.images.dicom_voi import window_of
from tasks.images.jpeg import register_decoders
from tasks.images.window import Window

BIG_ENDIAN = "1.2.840.10008.1.2.2"
REFERENCES = ("ReferencedImageSequence", "SourceImageSequence", "ReferencedSeriesSequence")


@dataclass(kw_only=True)
class Opened:
    """A parsed file, kept while its frames are read one after another."""

    image: Any
    window: Window | None

    def values(self, number: int) -> np.ndarray:
        """[h, w] after the modality transform, before any window."""
        return self.image.get_frame(
            number,
            dtype=np.float64,
            apply_real_world_transform=False,
            apply_modality_transform=None,
            apply_voi_transform=False,
            apply_presentation_lut=False,
        )

    def padding(self, number: int) -> np.ndarray | None:
        """Where the stored value means "no image here" (PS3.3 C.7.5.1.1.2); None where nothing does."""
        low = self.image.get("PixelPaddingValue")
        if low is None:
            return None
        high = self.image.get("PixelPaddingRangeLimit", low)
        stored = self.image.get_stored_frame(number)
        a, b = sorted((_padding_value(low, stored), _padding_value(high, stored)))
        mask = (stored >= a) & (stored <= b)
        return mask if mask.any() else None

    @cached_property
    def range(self) -> tuple[float, float]:
        """Least and greatest value over all frames, padding left out."""
        lows, highs = [], []
        for number in range(1, int(self.image.get("NumberOfFrames") or 1) + 1):
            values, mask = self.values(number), self.padding(number)
            values = values if mask is None else values[~mask]
            if values.size:
                lows.append(float(values.min()))
                highs.append(float(values.max()))
        return (min(lows), max(highs)) if lows else (0.0, 0.0)

    @cached_property
    def inverted(self) -> bool:
        """Whether low values are meant to be bright."""
        shape = self.image.get("PresentationLUTShape")
        if shape is not None:
            return str(shape) == "INVERSE"
        return str(self.image.PhotometricInterpretation) == "MONOCHROME1"


def open_dicom(path: Path, policy: DecodePolicy) -> Opened:
    """Parse a file as highdicom wants it; raises DataError, and whatever its parsers raise."""
    import highdicom
    import pydicom

    register_decoders()
    data = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in getattr(data, "file_meta", {}):
        raise DataError("it does not say how its pixels are stored (no transfer syntax)")
    if "PixelData" not in data and "FloatPixelData" not in data and "DoubleFloatPixelData" not in data:
        raise DataError("it holds no pixels")
    for name in REFERENCES:  # highdicom insists on their form, and no pixel depends on them
        if name in data:
            delattr(data, name)
    if data.file_meta.TransferSyntaxUID == BIG_ENDIAN:
        data = _little_endian(data)
    return Opened(image=highdicom.Image.from_dataset(data, copy=False), window=window_of(data, policy))


def _little_endian(data: Any) -> Any:
    """The same image in the byte order that highdicom reads (big endian was retired in 2006)."""
    from pydicom.dataset import Dataset
    from pydicom.uid import ExplicitVRLittleEndian

    pixels = np.ascontiguousarray(data.pixel_array)
    turned = Dataset()
    turned.file_meta = data.file_meta
    for element in data:  # iterating decodes every value
        turned[element.tag] = element
    turned.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    turned.PlanarConfiguration = 0
    turned.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return turned


def _padding_value(value: Any, stored: np.ndarray) -> int:
    """A padding value in the sign of the pixels; writers disagree about its representation."""
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little")
    number = int(value)
    info = np.iinfo(stored.dtype)
    span = 2 ** (8 * stored.dtype.itemsize)
    return number - span if number > info.max else number + span if number < info.min else number
