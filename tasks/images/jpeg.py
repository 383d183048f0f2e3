"""Lossless and 12-bit JPEG, in DICOM and as files, and JPEG-LS files; imagecodecs (BSD) decodes them.

`register_decoders()` teaches pydicom the syntaxes, for which it has only copyleft decoders itself. Lossless JPEG
(ITU-T T.81 process 14) is what many archives store; 12-bit JPEG (processes 2 and 4) is rare. Pillow reads neither,
nor JPEG-LS (T.87). `stream_header()` reads what any codestream of the JPEG family says of its own size and depth.
"""

import io
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tasks._base import DataError
from tasks.images.kinds import File

LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
EXTENDED = ("1.2.840.10008.1.2.4.51",)
DECODER_DEPENDENCIES = dict.fromkeys((*LOSSLESS, *EXTENDED), ("numpy", "imagecodecs"))
LABEL = "imagecodecs"
SIZ = b"\xff\x4f\xff\x51"  # the two markers that begin a JPEG 2000 codestream
COD = b"\xff\x52\x00"  # the marker of the coding style, whose length is below 256
JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"  # the boxes in which some wrap it
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without tables, and JPEG-LS


def is_available(uid: str) -> bool:
    """Whether this module decodes the syntax (pydicom asks)."""
    return uid in DECODER_DEPENDENCIES


def register_decoders() -> None:
    """Make the syntaxes known to pydicom, once."""
    from pydicom.pixels.decoders.base import get_decoder

    for uid in DECODER_DEPENDENCIES:
        decoder = get_decoder(uid)
        if LABEL not in decoder.available_plugins:
            decoder.add_plugin(LABEL, (__name__, "decode_frame"))


def decode_frame(source: bytes, runner: Any) -> bytes:
    """The pixels of one JPEG stream, colour by pixel, in the byte order of this machine."""
    import imagecodecs

    uid = str(runner.transfer_syntax)
    lossless = uid in LOSSLESS
    values = imagecodecs.jpegsof3_decode(source) if lossless else _extended(source, runner)
    values = np.ascontiguousarray(values)
    runner.set_option("bits_allocated", 8 * values.dtype.itemsize)
    if values.ndim == 3:
        runner.set_option("planar_configuration", 0)
    return values.tobytes()


def _extended(source: bytes, runner: Any) -> np.ndarray:
    import imagecodecs

    space = {1: "GRAYSCALE"}.get(int(runner.samples_per_pixel))
    return imagecodecs.jpeg8_decode(source, outcolorspace=space)


SCAN, END = b"\xff\xda", b"\xff\xd9"
LS = 0xF7  # the start of a JPEG-LS frame
ARITHMETIC = 0xC9  # the first start of a frame that is coded arithmetically
ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length


class FrameHeader(NamedTuple):
    """What the frame header of a JPEG says (T.81, B.2.2): its marker, and the size of its samples and of itself."""

    marker: int
    bits: int
    height: int
    width: int
    components: int


def frame_header(path: File) -> FrameHeader:
    """The first frame header of a JPEG file; raises DataError where there is none."""
    with path.open("rb") as file:
        found = first_frame(file)
    if found is None:
        raise DataError("cannot be opened (the JPEG holds no frame header)")
    return found


def first_frame(file: io.BufferedIOBase) -> FrameHeader | None:
    """The first frame header behind the two bytes that begin a JPEG or JPEG-LS; segments are passed over unread."""
    file.seek(2)
    while len(head := file.read(2)) == 2 and head[0] == 0xFF:
        if head[1] in ALONE:
            continue
        if head[1] == 0xFF:  # fill
            file.seek(-1, 1)
            continue
        size = int.from_bytes(file.read(2), "big")
        if head[1] in FRAMES:
            data = file.read(6)
            if len(data) == 6:
                height, width = int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big")
                return FrameHeader(head[1], data[0], height, width, data[5])
        file.seek(max(size - 2, 0), 1)
    return None


def require_room(path: File, width: int, height: int) -> None:
    """Raises DataError where a JPEG is too short for its pixels, which a decoder would fill with grey.

    A Huffman code takes a bit at least for each 8 x 8 block of the first component (T.81, annexes F and G).
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
    if width * height > 512 * size and frame_header(path).marker < ARITHMETIC:
        raise DataError(f"its header promises {width} x {height} pixels, which its {size} bytes cannot hold (cut?)")


def require_end(data: bytes) -> None:
    """Raises DataError where a stream is cut, which decoders would fill with grey or search for long."""
    if END not in data[data.rfind(SCAN) :]:
        raise DataError("cannot be decoded (the JPEG has no end: cut?)")


def stored(path: File) -> np.ndarray:
    """The grey numbers [h, w] of a JPEG that Pillow cannot open: lossless, of more than 8 bits, or JPEG-LS.

    uint8 or uint16. Raises DataError where the file is cut, which the decoder would fill with grey.
    """
    import imagecodecs

    data = path.read_bytes()
    require_end(data)
    frame = first_frame(io.BytesIO(data))
    decode = imagecodecs.jpegls_decode if frame is not None and frame.marker == LS else imagecodecs.jpeg8_decode
    try:
        return decode(data)
    except (imagecodecs.Jpeg8Error, imagecodecs.JpeglsError) as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class StreamHeader:
    """What the codestream of one frame says of itself; `signed` is None where the format has no signed numbers."""

    rows: int
    columns: int
    samples: int
    precision: int
    signed: bool | None = None
    transformed: bool | None = None  # whether JPEG 2000 turned the colours into luminance and chrominance


def stream_header(stream: bytes) -> StreamHeader | None:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 codestream; None where it has none or it is not found.

    Sources: ITU-T T.81 B.2.2 (SOF), ITU-T T.87 C.2.2 (SOF55), ITU-T T.800 A.5.1 (SIZ).
    """
    try:
        if stream[:2] != b"\xff\xd8":
            boxes = stream[:12] == JP2
            at = stream.find(SIZ, 0, 4096) if boxes else 0
            if at < 0 or not stream.startswith(SIZ, at):
                return None
            right, bottom, left, top = struct.unpack_from(">4I", stream, at + 8)
            samples, depth = struct.unpack_from(">HB", stream, at + 40)
            size = {"rows": bottom - top, "columns": right - left, "samples": samples}
            style = stream.find(COD, at + 40)
            mixed = None if style < 0 or style + 8 >= len(stream) else bool(stream[style + 8])
            return StreamHeader(**size, precision=(depth & 0x7F) + 1, signed=depth > 0x7F, transformed=mixed)
        found = first_frame(io.BytesIO(stream))
        if found is not None:
            return StreamHeader(rows=found.height, columns=found.width, samples=found.components, precision=found.bits)
    except (struct.error, IndexError):
        return None
    return None
