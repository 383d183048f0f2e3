"""Images without symmetry, saved and read back: what the tests of all decoders share."""

from pathlib import Path
from typing import Any

import numpy as np

import tasks


def dicom(path: Path, array: np.ndarray, *, syntax: str | None = None, **tags: Any) -> Path:
    """A DICOM file made with pydicom alone; `tags` override the defaults."""
    import pydicom
    from pydicom import uid
    from pydicom.dataset import FileMetaDataset

    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID = uid.SecondaryCaptureImageStorage
    data.SOPInstanceUID = uid.generate_uid(entropy_srcs=[str(path)])
    data.StudyInstanceUID = data.SeriesInstanceUID = "1.2.3"
    data.PatientID, data.PatientName, data.Modality = "SECRET-17", "DOE^JANE", "OT"
    frames = array.ndim - (2 if array.shape[-1] != 3 else 3)
    shape = array.shape[frames:]
    data.Rows, data.Columns = shape[0], shape[1]
    data.SamplesPerPixel = 3 if len(shape) == 3 else 1
    data.PhotometricInterpretation = "RGB" if len(shape) == 3 else "MONOCHROME2"
    if len(shape) == 3:
        data.PlanarConfiguration = 0
    if frames:
        data.NumberOfFrames = array.shape[0]
    bits = 8 * array.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    if "BitsStored" in tags:
        data.HighBit = tags["BitsStored"] - 1
    data["PixelData"] = pydicom.DataElement("PixelData", "OW" if bits > 8 else "OB", array.tobytes())
    if syntax is not None:
        data.compress(getattr(uid, syntax), generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    return path


def ct(path: Path, hu: np.ndarray, **tags: Any) -> Path:
    stored = (hu + 1024).astype(np.uint16)
    given = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "BitsStored": 12}
    return dicom(path, stored, **{**given, **tags})


def hounsfield() -> np.ndarray:
    return wide().astype(int) - 1024


def nifti(path: Path, values: np.ndarray, axes: str = "RAS", **codes: int) -> Path:
    """A volume stored along `axes`; `values` are given in canonical order [to right, to front, to head]."""
    import nibabel
    from nibabel import orientations as o

    moved = o.ornt_transform(o.axcodes2ornt("RAS"), o.axcodes2ornt(tuple(axes)))
    stored = o.apply_orientation(values, moved)
    affine = np.eye(4) @ o.inv_ornt_aff(moved, values.shape)
    image: Any = nibabel.Nifti1Image(stored, affine)
    image.set_sform(affine, codes.get("code", 1))
    image.set_qform(affine, codes.get("code", 1))
    nibabel.save(image, path)
    return path


def picture(h: int = 40, w: int = 56, seed: int = 0) -> np.ndarray:
    """A grey image without symmetry: a ramp, a bright corner, a little noise."""
    rng = np.random.default_rng([seed, 7])
    image = np.add.outer(np.arange(h) * 2, np.arange(w)).astype(float)
    image[: h // 4, : w // 5] += 90
    return np.clip(image + rng.integers(0, 9, (h, w)), 0, 255).astype(np.uint8)


def colour(h: int = 40, w: int = 56) -> np.ndarray:
    return np.stack([picture(h, w, 0), picture(h, w, 1)[::-1], picture(h, w, 2)[:, ::-1]], axis=-1)


def save(array: np.ndarray, path: Path, mode: str | None = None, **extra: Any) -> Path:
    from PIL import Image

    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **extra)
    return path


def read(path: Path, **choices: Any) -> np.ndarray:
    """The one image of a file."""
    (row,) = tasks.open_source(str(path), **choices).rows
    return row.picture.read()


def exif(path: Path, array: np.ndarray, orientation: int) -> Path:
    from PIL import Image

    tags = Image.Exif()
    tags[274] = orientation
    extra: dict[str, Any] = {"quality": 95} if path.suffix == ".jpg" else {}
    return save(array, path, exif=tags, **extra)


def wide() -> np.ndarray:
    """CT-like: Hounsfield units + 1024 from air to bone."""
    return (picture().astype(np.uint16) * 12).astype(np.uint16)


def windowed(hu: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.clip(np.rint((hu - (centre - width / 2)) / width * 255), 0, 255).astype(np.uint8)
