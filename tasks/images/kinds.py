"""Kinds of image files: which decoder a file needs, by its first bytes and then by its name."""

import re
from typing import Any, Literal, Protocol, runtime_checkable

MAGIC = {
    b"\x89PNG": "raster",
    b"\xff\xd8\xff": "raster",
    b"BM": "raster",
    b"GIF8": "raster",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\0\0\0\x0cjP  ": "raster",
    b"\xff\x4f\xff\x51": "raster",
}
PORTABLE = rb"P[1-7fF][\s#]"  # too short to tell a file by without its name
SUFFIXES = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".jp2", ".j2k"), "raster"),
    ".jfif": "raster",
    **dict.fromkeys((".pgm", ".ppm", ".pnm", ".pbm", ".pam", ".pfm"), "portable"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), "dicom"),
    **dict.fromkeys((".nii", ".nii.gz"), "nifti"),
}


@runtime_checkable
class File(Protocol):
    """What can be opened and read like a path: a path, or an image that lies inside another file."""

    @property
    def name(self) -> str:
        """Its name, with its ending; empty where it has none."""
        ...

    def open(self, mode: Literal["rb"], /) -> Any:
        """The opened bytes; OSError."""
        ...

    def read_bytes(self) -> bytes:
        """All of its bytes; OSError."""
        ...


def suffix(name: str) -> str:
    """The ending of a file name in lower case; `.nii.gz` is one ending.

    >>> suffix("a/b.NII.gz"), suffix("scan.1.2.840")
    ('.nii.gz', '.840')
    """
    lower = name.lower()
    if lower.endswith(".nii.gz"):
        return ".nii.gz"
    last = lower.rstrip("/").rpartition("/")[2]  # a path is slow to make, and files are many
    at = last.rfind(".")
    return last[at:] if 0 < at < len(last) - 1 else ""


def kind(path: File) -> str | None:
    """`raster`, `portable`, `tiff`, `dicom` or `nifti`, by the first bytes and then by the name; None for neither.

    Raises OSError.
    """
    named = SUFFIXES.get(suffix(path.name))
    if named == "nifti":
        return named
    with path.open("rb") as file:
        head = file.read(132)
    if head[128:132] == b"DICM":
        return "dicom"
    found = next((k for magic, k in MAGIC.items() if head.startswith(magic)), None)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        found = "raster"
    if named in ("raster", "portable") and re.match(PORTABLE, head):
        found = "portable"
    return found or named
