"""Pixels of a DICOM file: stored numbers by the standard, modality transform, padding, colours, and their extent.

pydicom decodes the transfer syntaxes. What a header promises is held against the file before anything is built.
"""

import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tasks._base import DataError
from tasks.images import rle
from tasks.images.dicom_header import BIG_ENDIAN, count_of, groups, items, low_is_bright, number, numbers, text
from tasks.images.jpeg import END, StreamHeader, register_decoders, require_end, stream_header
from tasks.images.window import Window

RLE = "1.2.840.10008.1.2.5"
LOSSY = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 93, 203))
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
RATIO_RLE = 64  # the most that two bytes of RLE stand for is 128
SUSPECT, RATIO = 2**28, 5000  # bytes of a frame above which this is the most that compression is believed to save
HEADER = 2**26  # bytes that are read of a file before its pixels, at most
LARGEST_DEFLATED = 2**28  # bytes that the deflated part of a file may hold
DEFLATED = b"1.2.840.10008.1.2.1.99"
PREAMBLE = bytes(128) + b"DICM\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"  # explicit, little endian
TAIL = 10  # bytes at the end of a fragment in which the marker that ends a frame is looked for
NO_SYNTAX = "it does not say how its pixels are stored (no transfer syntax)"
NO_PIXELS = "it holds no pixels"
MORE = "hold more pixels than their rows, columns and frames say, which are not shown"
MIXED = "differ between header and compressed stream in how their colours are coded; shown by the stream"
SIGNED = "differ between header and compressed stream in whether their numbers have a sign; read by the header"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A look-up table: the values of `first`, `first` + 1 and so on, of so many bits (PS3.3 C.11.1.1)."""

    first: int
    entries: np.ndarray
    bits: int
    identity = False

    def look_up(self, values: np.ndarray, entries: np.ndarray | None = None) -> np.ndarray:
        """The entries of values of any shape; those outside the table have its first or last one."""
        from highdicom.pixels import apply_lut

        whole = values if values.dtype.kind in "iu" else np.rint(values)
        return apply_lut(whole.astype(np.int64), self.entries if entries is None else entries, self.first)


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """Stored numbers times a slope plus an intercept (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def identity(self) -> bool:
        """Whether it changes nothing."""
        return (self.slope, self.intercept) == (1.0, 0.0)


def table_of(item: Any, head: Any, name: str) -> Table:
    """A table of a sequence of tables; raises DataError where it is not what its descriptor says."""
    return lookup_table(numbers(item, "LUTDescriptor"), item.get("LUTData"), head, name)


def lookup_table(described: Sequence[float], data: Any, head: Any, name: str) -> Table:
    """A table by its descriptor (entries, first value mapped, bits) and its data, bytes or numbers.

    Raises DataError where there is no descriptor, or the two contradict each other.
    """
    if len(described) != 3 or not all(map(math.isfinite, described)):
        raise DataError(f"{name} has no descriptor")
    count, first, bits = map(int, described)
    count = count % 65536 or 65536  # 0 stands for 65536, and signed descriptors wrap
    if first > 32767 and int(head.get("PixelRepresentation") or 0):
        first -= 65536
    syntax = getattr(head, "file_meta", {}).get("TransferSyntaxUID", "")
    order = ">" if syntax == BIG_ENDIAN else "<"
    if not 1 <= bits <= 16:
        raise DataError(f"{name} has {bits} bits; 8 to 16 may be")
    if isinstance(data, bytes):
        if bits > 8 or len(data) == 2 * count > 2:
            entries = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2").astype(np.uint16)
        else:
            entries = np.frombuffer(data, np.uint8)
            if order == ">" and len(data) % 2 == 0:
                entries = entries.reshape(-1, 2)[:, ::-1].ravel()
            entries = entries[:count] if len(entries) == count + count % 2 else entries
    else:
        entries = np.atleast_1d(np.array([] if data is None else data, np.int64) & 0xFFFF).astype(np.uint16)
    if len(entries) != count:
        raise DataError(f"{name} promises {count} entries and holds {len(entries)}")
    return Table(first=first, entries=entries, bits=bits)


def modality(head: Any, index: int) -> Table | Rescale:
    """The modality transform of a frame, counted from 0; of a dose its grid scaling. Raises DataError if none."""
    tables = items(head, "ModalityLUTSequence")
    if len(tables) > 1:
        raise DataError(f"it has {len(tables)} modality tables, of which one may be")
    if tables:
        return table_of(tables[0], head, "its modality table")
    for group in groups(head, index, "PixelValueTransformation"):
        slope, intercept = number(group, "RescaleSlope"), number(group, "RescaleIntercept")
        if slope == 0:
            raise DataError("its RescaleSlope is 0, which makes all its numbers one")
        if slope is not None or intercept is not None:
            return Rescale(slope=1.0 if slope is None else slope, intercept=intercept or 0.0)
    dose = number(head, "DoseGridScaling")
    if dose == 0:
        raise DataError("its DoseGridScaling is 0, which makes all its numbers one")
    return Rescale(slope=1.0 if dose is None else dose)


def extent(head: Any, index: int) -> tuple[float, float] | None:
    """Least and greatest value that a frame (from 0) can hold after the modality transform; None of fractions."""
    transform = modality(head, index)
    if isinstance(transform, Table):
        return 0.0, 2.0**transform.bits - 1
    if "BitsStored" not in head:
        return None
    bits, signed = int(head.BitsStored), int(head.get("PixelRepresentation") or 0)
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    low, high = sorted(end * transform.slope + transform.intercept for end in ends)
    return low, high


@dataclass(kw_only=True)
class Opened:
    """A parsed file, kept while its frames are read one after another; frames are counted from 1."""

    data: Any
    window: Window | None
    _decoded: tuple[int, tuple[np.ndarray, str, StreamHeader | None]] | None = None

    def cells(self, number: int) -> tuple[np.ndarray, str, StreamHeader | None]:
        """Decoded cells [h, w] or [h, w, 3] with all their bits, their colour space, and what their stream says."""
        if self._decoded is None or self._decoded[0] != number:
            self._decoded = (number, self._decode(number))
        return self._decoded[1]

    def _decode(self, number: int) -> tuple[np.ndarray, str, StreamHeader | None]:
        from pydicom.encaps import get_frame
        from pydicom.pixels.decoders.base import get_decoder

        data, syntax = self.data, self.data.file_meta.TransferSyntaxUID
        header = None
        if syntax.is_encapsulated:
            stream = get_frame(data.PixelData, number - 1, number_of_frames=self.count)
            packed = str(syntax) == RLE
            _require_room(data, stream, RATIO_RLE if packed else RATIO)
            if packed:
                kind = f"{'i' if int(data.get('PixelRepresentation') or 0) else 'u'}{int(data.BitsAllocated) // 8}"
                shape = (int(data.Rows), int(data.Columns), int(data.SamplesPerPixel))
                return rle.decode(stream, shape, np.dtype(kind)), str(data.PhotometricInterpretation), None
            header = stream_header(stream)
            _require_same(data, header)
            if stream.startswith(b"\xff\xd8"):
                require_end(stream)
        else:
            _require_whole(data)
            if int(data.BitsAllocated) == 1 and "PixelData" in data:
                return _single_bits(data, number), str(data.PhotometricInterpretation), None
        corrections = ("apply_j2k_sign_correction", "apply_jls_sign_correction", "correct_unused_bits")
        given: Any = dict.fromkeys(corrections, False)  # they leave some bits in; see stored_numbers
        array, facts = get_decoder(syntax).as_array(data, index=number - 1, raw=True, **given)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        return array, str(facts["photometric_interpretation"]), header

    @property
    def count(self) -> int:
        """How many frames the header says there are."""
        return int(self.data.get("NumberOfFrames") or 1)

    def stored(self, number: int) -> np.ndarray:
        """The stored numbers [h, w] of a frame: BitsStored bits below HighBit, with their sign (PS3.5 8.1.1)."""
        cells, _, header = self.cells(number)
        return stored_numbers(cells, self.data, header)

    def values(self, number: int) -> np.ndarray:
        """float64 [h, w] after the modality transform, before any window."""
        transform = modality(self.data, number - 1)
        stored = self.stored(number)
        if isinstance(transform, Table):
            return transform.look_up(stored).astype(np.float64)
        values = stored.astype(np.float64)
        return values if transform.identity else values * transform.slope + transform.intercept

    def colours(self, number: int) -> np.ndarray:
        """[h, w, 3] of RGB or of a palette, uint8 or from 0 to the greatest number that its bits hold."""
        data = self.data
        cells, space, header = self.cells(number)
        stored = stored_numbers(cells, data, header)
        if space == "PALETTE COLOR":
            return _palette(data, stored)
        bits = int(data.BitsStored)
        if space in ("YBR_FULL", "YBR_FULL_422") and not (header is not None and header.transformed):
            from pydicom.pixels.processing import convert_color_space

            if bits != 8:
                raise DataError(f"its colours are {space} of {bits} bits; 8 are read")
            return convert_color_space(stored.astype(np.uint8), "YBR_FULL", "RGB")
        if space not in ("RGB", "YBR_FULL", "YBR_FULL_422"):
            raise DataError(f"its colours are {space}, which its compression does not turn into RGB")
        return stored.astype(np.uint8) if bits == 8 else stored * (255.0 / (2**bits - 1))

    def hidden(self, number: int) -> np.ndarray | None:
        """Where a number means "no image here" (PS3.3 C.7.5.1.1.2) or is none; None where nothing does.

        A padding value that BitsStored bits cannot hold is one of the whole cell.
        """
        data = self.data
        cells, _, header = self.cells(number)
        if cells.dtype.kind == "f":
            lost = ~np.isfinite(cells)
            return lost if lost.any() else None
        low = data.get("PixelPaddingValue")
        if low is None:
            return None
        stored = stored_numbers(cells, data, header)
        high = data.get("PixelPaddingRangeLimit")
        ends = [_padding_value(value, stored) for value in (low, low if high is None else high)]
        bits, sign = int(data.BitsStored), int(data.PixelRepresentation)
        fit = all(-(2 ** (bits - 1)) * sign <= end < 2 ** (bits - sign) for end in ends)
        held = stored if fit else cells
        mask = (held >= min(ends)) & (held <= max(ends))
        return mask if mask.any() else None

    @cached_property
    def range(self) -> tuple[float, float]:
        """Least and greatest value over all frames, hidden ones left out."""
        lows, highs = [], []
        for frame in range(1, self.count + 1):
            values, mask = self.values(frame), self.hidden(frame)
            values = values if mask is None else values[~mask]
            if values.size:
                lows.append(float(values.min()))
                highs.append(float(values.max()))
        return (min(lows), max(highs)) if lows else (0.0, 0.0)

    def full(self, number: int) -> tuple[float, float]:
        """Least and greatest value that the bits stored can hold, after the modality transform."""
        found = extent(self.data, number - 1)
        if found is None:
            raise DataError("--window full: its numbers have a fraction, and so no range of their type")
        return found

    @property
    def inverted(self) -> bool:
        """Whether low values are meant to be bright."""
        return low_is_bright(self.data)


def stored_numbers(cells: np.ndarray, data: Any, header: StreamHeader | None) -> np.ndarray:
    """The numbers in decoded cells, of the same shape (PS3.5 8.1.1): the other bits are no part of them.

    A codestream holds its samples in the lowest bits; one that is deeper than BitsStored holds whole cells. One that
    is less deep has its sign in its own highest bit. Raises DataError for a lossy stream whose numbers lie beyond
    BitsStored, since a bit that is not part of the value cannot be told from it.
    """
    if cells.dtype.kind == "f" or int(data.BitsAllocated) == 1:
        return cells
    bits = int(data.BitsStored)
    shift = int(data.get("HighBit", bits - 1)) + 1 - bits
    if header is not None:
        if header.precision > bits and str(data.file_meta.TransferSyntaxUID) in LOSSY:
            low, high = int(cells.min()), int(cells.max())
            if high >= 1.5 * 2 ** (bits - (cells.dtype.kind == "i")) or low < -1.5 * 2 ** (bits - 1):
                raise DataError(f"its lossy stream holds {low} to {high}, more than the {bits} bits stored")
            return cells
        shift = shift if header.precision >= bits + shift else 0
        bits = min(bits, header.precision)
    above = 8 * cells.dtype.itemsize - bits - shift
    return (cells << above) >> (above + shift) if above + shift else cells


def _require_whole(data: Any) -> None:
    """Raises DataError where the file was cut off inside its pixels."""
    from pydicom.pixels.utils import get_expected_length

    held = next(len(data[name].value or b"") for name in PIXELS if name in data)
    promised = get_expected_length(data)
    if held < promised:
        raise DataError(f"its pixels cannot be decoded: {promised} bytes are promised, the file holds {held}")


def _single_bits(data: Any, number: int) -> np.ndarray:
    """A frame [h, w] of bits, which follow one another without a gap between frames (PS3.5 8.1.1, annex D)."""
    size = int(data.Rows) * int(data.Columns)
    start = (number - 1) * size
    held = np.frombuffer(data.PixelData, np.uint8, (start + size + 7) // 8 - start // 8, start // 8)
    if str(data.file_meta.TransferSyntaxUID) == BIG_ENDIAN and data["PixelData"].VR == "OW":
        raise DataError("its single bits lie in words of big endian, which are not read")
    bits = np.unpackbits(held, bitorder="little")[start % 8 :][:size]
    return bits.reshape(int(data.Rows), int(data.Columns))


def _require_room(data: Any, stream: bytes, ratio: int) -> None:
    """Raises DataError where a stream is too short for the pixels that the header promises."""
    promised = int(data.Rows) * int(data.Columns) * int(data.SamplesPerPixel) * int(data.BitsAllocated) // 8
    if promised > max(ratio * len(stream), SUSPECT * (ratio == RATIO)):
        raise DataError(f"its header promises {promised} bytes of pixels, its stream has {len(stream)}")


def _require_same(data: Any, header: StreamHeader | None) -> None:
    """Raises DataError where a codestream is of another size, or deeper than the cells it is to fill."""
    if header is None:
        return
    said = int(data.Columns), int(data.Rows), int(data.SamplesPerPixel)
    coded = header.columns, header.rows, header.samples
    if said != coded:
        raise DataError("its header says {} x {} pixels of {} numbers, its stream {} x {} of {}".format(*said, *coded))
    if header.precision > int(data.BitsAllocated):
        raise DataError(f"its header allocates {data.BitsAllocated} bits, its stream has {header.precision}")


def _palette(data: Any, stored: np.ndarray) -> np.ndarray:
    if "SegmentedRedPaletteColorLookupTableData" in data:
        raise DataError("its palette is segmented, which is not read")
    found = []
    for colour in ("Red", "Green", "Blue"):
        described = numbers(data, f"{colour}PaletteColorLookupTableDescriptor")
        entries = data.get(f"{colour}PaletteColorLookupTableData")
        found.append(lookup_table(described, entries, data, "its palette"))
    shown = np.stack([table.look_up(stored) for table in found], axis=-1)
    bits = found[0].bits
    return shown * (255.0 / (2**bits - 1)) if bits > 8 else shown.astype(np.uint8)


class Head:
    """A DICOM file of which at most `HEADER` bytes are read; `size` is its own, inflated where it is deflated."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size = inflated(file, HEADER)
        self.left = HEADER
        self.seek, self.tell = self.file.seek, self.file.tell
        self.kept = self.file.getbuffer().nbytes if isinstance(self.file, io.BytesIO) else self.size

    def read(self, count: int = -1) -> bytes:
        """Bytes; raises DataError where they are more than a header may take."""
        data = self.file.read(min(count, self.left + 1) if count >= 0 else self.left + 1)
        self.left -= len(data)
        if self.left < 0 or (len(data) < count and self.kept < self.size):
            raise DataError(f"its header takes more than {HEADER // 2**20} MiB")
        return data


def inflated(file: BinaryIO, most: int = LARGEST_DEFLATED) -> tuple[Any, int]:
    """The file and its size; of a deflated one (PS3.5 A.5) what it holds, of which `most` bytes are kept.

    Raises DataError where a deflated file holds more than `LARGEST_DEFLATED` bytes.
    """
    from pydicom.filereader import read_dataset

    if DEFLATED not in file.read(4096):
        size = file.seek(0, 2)
        file.seek(0)
        return file, size
    file.seek(len(PREAMBLE[:132]))
    read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2)
    stream, kept, held = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO(), 0
    kept.write(PREAMBLE)
    while not stream.eof and (part := stream.unconsumed_tail or file.read(2**16)):
        found = stream.decompress(part, 2**20)
        kept.write(found[: max(most - held, 0)])
        held += len(found)
        if held > LARGEST_DEFLATED:
            raise DataError(f"it holds more than {LARGEST_DEFLATED // 2**20} MiB when inflated")
    kept.seek(0)
    return kept, len(PREAMBLE) + held


def open_dicom(path: Path) -> Opened:
    """Parse a file; raises DataError, and whatever pydicom raises."""
    import pydicom

    register_decoders()
    with path.open("rb") as file:
        data = pydicom.dcmread(inflated(file)[0], force=True)
    if "TransferSyntaxUID" not in getattr(data, "file_meta", {}):
        raise DataError(NO_SYNTAX)
    if not any(name in data for name in PIXELS):
        raise DataError(NO_PIXELS)
    return Opened(data=data, window=None)


def require_pixels(file: Head, head: Any) -> list[str]:
    """Hold what a header promises against the file, which was read up to its pixels; sentences about what differs.

    Raises DataError where several frames are promised and fewer are there, where there are no pixels, and where they
    are coded in a way that no decoder here reads. One frame that is cut short is found when it is decoded.
    """
    from pydicom.pixels.decoders.base import get_decoder

    register_decoders()
    syntax = getattr(head, "file_meta", {}).get("TransferSyntaxUID")
    if syntax is None:
        raise DataError(NO_SYNTAX)
    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        raise DataError(f"its pixels are coded as {syntax.name}, which no decoder here reads")
    count = count_of(head, "NumberOfFrames", 0, default=1) or 1
    most, more, stream = _pixels_held(file, head, syntax, count)
    if most < count and count > 1:
        raise DataError(f"its header promises {count} frames, the file holds {most}")
    header = stream_header(stream)
    sign = header is not None and header.signed not in (None, bool(head.get("PixelRepresentation")))
    kind = text(head, "PhotometricInterpretation")
    mixed = header is not None and (
        (header.transformed is True and kind in ("YBR_FULL", "YBR_FULL_422"))
        or (header.transformed is False and kind in ("YBR_RCT", "YBR_ICT"))
    )
    return [MORE] * more + [SIGNED] * sign + [MIXED] * mixed


def _pixels_held(file: Head, head: Any, syntax: Any, count: int) -> tuple[int, bool, bytes]:
    """How many frames are there at most, whether more than so many are, and the beginning of the first stream."""
    order = "big" if str(syntax) == BIG_ENDIAN else "little"
    tag = file.read(4)
    if int.from_bytes(tag[:2], order) != 0x7FE0:
        raise DataError(NO_PIXELS)
    long = not syntax.is_implicit_VR
    start = file.tell() + (8 if long else 4)
    length = int.from_bytes(file.read(8)[4 * long :][:4], order)
    size = min(length, file.size - start)
    if syntax.is_encapsulated:
        file.seek(start)
        return _fragments(file.file, file.size, str(syntax) == RLE, count, head)
    if size < 0:
        raise DataError(NO_PIXELS)
    samples = count_of(head, "SamplesPerPixel", default=1)
    bits = count_of(head, "Rows") * count_of(head, "Columns") * samples * count_of(head, "BitsAllocated")
    bits = bits * 2 // 3 if text(head, "PhotometricInterpretation") == "YBR_FULL_422" else bits
    return 8 * size // bits, 8 * size - count * bits >= bits // count_of(head, "Rows"), b""  # a row more, or a frame


def _fragments(file: Any, end: int, one_each: bool, count: int, head: Any) -> tuple[int, bool, bytes]:
    """The same of encapsulated pixels (PS3.5 A.4): a table of offsets, then the fragments of the frames.

    Raises DataError where a table of offsets, by which frames are found, does not name fragments in their order.
    """
    sizes: list[int] = []
    offsets = b""
    ends = 0
    stream = b""
    at = file.tell()
    while at + 8 <= end:
        item = file.read(8)
        if item[:4] != b"\xfe\xff\x00\xe0":
            break
        size = int.from_bytes(item[4:], "little")
        if not sizes:
            offsets = file.read(min(size, end))
        if len(sizes) == 1:
            stream = file.read(min(size, 4096))
        if sizes and not one_each:
            file.seek(max(at + 8 + size - TAIL, at + 8))
            ends += END in file.read(min(size, TAIL))
        sizes.append(size)
        at = file.seek(at + 8 + size)
    begins = np.cumsum([0, *(size + 8 for size in sizes[1:])])[:-1].astype(np.uint64)
    extended = head.get("ExtendedOffsetTable") or b""
    for said in (np.frombuffer(offsets[: len(offsets) // 4 * 4], "<u4"), np.frombuffer(extended, "<u8")):
        rising = said.size and said[0] == 0 and (np.diff(said.astype(np.int64)) > 0).all()
        if said.size and not (rising and np.isin(said, begins).all()):
            raise DataError("its table of offsets does not say where its frames begin")
    if extended and (len(extended) != 8 * len(begins) or not _lengths_held(head, sizes[1:])):
        raise DataError("its extended table of offsets is of another number or size of frames than its fragments")
    table = sizes[0] // 4 if sizes else 0
    there = max(len(sizes) - 1, 0)
    return there, max(table or there * one_each, ends) > count, b"" if one_each else stream


def _lengths_held(head: Any, sizes: Sequence[int]) -> bool:
    """Whether each frame of an extended table of offsets is one whole fragment (PS3.3 C.7.6.3.1.8)."""
    lengths = np.frombuffer(head.get("ExtendedOffsetTableLengths") or b"", "<u8").tolist()
    fit = all(size - length in (0, 1) for size, length in zip(sizes, lengths, strict=False))
    return fit and len(lengths) == len(sizes)


def _padding_value(value: Any, stored: np.ndarray) -> int:
    """A padding value in the sign of the pixels; writers disagree about its representation."""
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little")
    whole = int(value)
    info = np.iinfo(stored.dtype)
    span = 2 ** (8 * stored.dtype.itemsize)
    return whole - span if whole > info.max else whole + span if whole < info.min else whole
