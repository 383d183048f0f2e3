"""Lossless and 12-bit JPEG inside DICOM, for which pydicom itself has only copyleft decoders.

`register_decoders()` teaches pydicom the syntaxes; imagecodecs (BSD) does the work. Lossless JPEG (ITU-T T.81
process 14) is what many archives store; 12-bit JPEG (processes 2 and 4) is rare.
"""

from typing import Any

import numpy as np

LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
EXTENDED = ("1.2.840.10008.1.2.4.51",)
DECODER_DEPENDENCIES = dict.fromkeys((*LOSSLESS, *EXTENDED), ("numpy", "imagecodecs"))
LABEL = "imagecodecs"


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
