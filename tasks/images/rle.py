"""RLE frames of DICOM (PS3.5, annex G): a segment of PackBits for each byte of a sample, which imagecodecs unpacks."""

import struct

import numpy as np

from tasks._base import DataError

HEADER = 64  # bytes: the number of segments, and where each of at most 15 begins


def decode(stream: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """The cells of a frame, [h, w], or [h, w, samples] of several, from a `shape` of all three.

    Raises DataError where the segments are not as many, or not as long, as the shape says.
    """
    import imagecodecs

    h, w, samples = shape
    count = samples * dtype.itemsize
    if len(stream) < HEADER:
        raise DataError(f"an RLE frame begins with {HEADER} bytes, its stream has {len(stream)}")
    held, *starts = struct.unpack("<16I", stream[:HEADER])
    if held != count:
        raise DataError(f"an RLE frame of {samples} x {8 * dtype.itemsize} bits has {count} segments, not {held}")
    ends = [*starts[1:count], len(stream)]
    planes = np.empty((samples, dtype.itemsize, h * w), np.uint8)  # the high byte first
    for k, (start, end) in enumerate(zip(starts, ends, strict=False)):
        if not HEADER <= start <= end <= len(stream):
            raise DataError("its RLE segments do not lie one behind the other")
        try:
            found = np.frombuffer(imagecodecs.packbits_decode(stream[start:end]), np.uint8)
        except imagecodecs.PackbitsError:
            raise DataError("an RLE segment is cut or damaged") from None
        if len(found) < h * w:
            raise DataError(f"an RLE segment holds {len(found)} of {h * w} bytes (cut?)")
        planes[k // dtype.itemsize, k % dtype.itemsize] = found[: h * w]
    cells = np.ascontiguousarray(planes.transpose(2, 0, 1)).view(dtype.newbyteorder(">")).astype(dtype)
    return cells.reshape((h, w) if samples == 1 else shape)
