"""Decoder of portable maps: PBM, PGM and PPM (P1 to P6), PAM (P7) and PFM, which Pillow rescales or does not read.

Format: netpbm.sourceforge.net/doc (pbm, pgm, ppm, pam, pfm). The white of a map is its maxval: up to 255 it becomes
255; above, the numbers are wide and go under a window as they are stored.
"""

import re
from dataclasses import dataclass
from functools import partial

import numpy as np

from tasks._base import DataError
from tasks.images.decode import DecodePolicy, Frame, LastOpened, plain
from tasks.images.kinds import File
from tasks.images.raster import opaque, windowed

MORE = "hold bytes behind their pixels, which are not shown"
LARGEST = 2**28  # pixels of a map
HEADER = 4096  # bytes that a header may take, comments included
SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
MAP = re.compile(rb"P([1-6])" + SPACE + rb"(\d+)" + SPACE + rb"(\d+)" + SPACE)
MAXVAL = re.compile(rb"(\d+)\s")
FLOATS = re.compile(rb"P([fF])\s+(\d+)\s+(\d+)\s+([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s")
ARBITRARY = re.compile(rb"P7\s.*?ENDHDR[ \t\r]*\n", re.DOTALL)
NEXT = re.compile(rb"\s*(?=P[1-7fF][\s#])")
AS_BEFORE = {*((form, 255) for form in "2356"), ("2", 65535), ("5", 65535)}  # maps that Pillow read alike
DEPTHS = {"BLACKANDWHITE": 1, "GRAYSCALE": 1, "RGB": 3}  # and with _ALPHA one more


@dataclass(frozen=True)
class Map:
    """One map of a file: its form (the digit or letter of its magic), its size, and where its numbers begin."""

    form: str
    width: int
    height: int
    depth: int
    top: int  # maxval; of floats the sign of the scale, which is the byte order
    start: int

    @property
    def wide(self) -> bool:
        """Whether it needs a window."""
        return self.form in "fF" or self.top > 255

    @property
    def bytes(self) -> int:
        """The bytes of its numbers; of the forms in letters at least so many."""
        row = (self.width + 7) // 8 if self.form == "4" else self.width * self.depth
        each = 4 if self.form in "fF" else 2 if self.top > 255 and self.form in "567" else 1
        return row * self.height * each


def list_frames(path: File, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:  # noqa: ARG001 - read at once
    """The maps of a file, one after another, each a frame; raises DataError."""
    maps, more = _maps(path)
    many = len(maps) > 1
    return [
        Frame(
            read=partial(_read, path, one, policy),
            number=number,
            columns={"exif_orientation": "1"} | ({"frame": str(number)} if many else {}),
            wide=one.wide,
            windowed=one.wide,
            stored=partial(_stored, path, one) if one.wide else None,
            flags=(MORE,) if more else (),
            shape=(one.height, one.width),
            revision=1 if one.form in "14" or (one.form, one.top) in AS_BEFORE else 2,
        )
        for number, one in enumerate(maps, 1)
    ]


def _maps(path: File) -> tuple[list[Map], bool]:
    """The maps of a file, and whether something lies behind the last that is no padding."""
    maps: list[Map] = []
    with path.open("rb") as file:
        end, at = file.seek(0, 2), 0
        while True:
            file.seek(at)
            head = file.read(HEADER)
            skip = NEXT.match(head)
            if maps and skip is None:
                return maps, bool(head.strip(b"\0 \t\r\n"))
            one = _header(head[skip.end() :] if skip else head, at + (skip.end() if skip else 0))
            if not (one.width and one.height and one.depth and one.top):
                raise DataError("its width, height, depth or maxval is 0")
            if one.width * one.height > LARGEST:
                raise DataError(f"its header promises {one.width} x {one.height} pixels")
            at = one.start + one.bytes
            if at > end:
                raise DataError(f"it promises {one.bytes} bytes of pixels and holds {end - one.start} (cut?)")
            maps.append(one)
            if one.form in "123":
                return maps, False  # in letters there is one


def _header(head: bytes, at: int) -> Map:
    if found := MAP.match(head):
        form, width, height, end, top = found[1].decode(), int(found[2]), int(found[3]), found.end(), 1
        if form not in "14":
            white = MAXVAL.match(head, end)
            if white is None:
                raise DataError("its header names no maxval")
            top, end = int(white[1]), white.end()
        else:
            end = _after_space(head, found.start(3) + len(found[3]))
        if top > 65535:
            raise DataError(f"its maxval is {top}; the greatest is 65535")
        return Map(form, width, height, 3 if form in "36" else 1, top, at + end)
    if found := FLOATS.match(head):
        form = found[1].decode()
        return Map(
            form, int(found[2]), int(found[3]), 3 if form == "F" else 1, int(np.sign(float(found[4]))), at + found.end()
        )
    if found := ARBITRARY.match(head):
        words = dict(
            line.split(None, 1)
            for line in found[0].decode("latin-1").splitlines()[1:]
            if not line.startswith("#") and len(line.split(None, 1)) == 2
        )
        try:
            width, height, depth, top = (int(words[name]) for name in ("WIDTH", "HEIGHT", "DEPTH", "MAXVAL"))
        except (KeyError, ValueError):
            raise DataError("its header lacks WIDTH, HEIGHT, DEPTH or MAXVAL") from None
        kind = words.get("TUPLTYPE", {1: "GRAYSCALE", 3: "RGB"}.get(depth, "")).strip()
        if DEPTHS.get(kind.removesuffix("_ALPHA"), 0) + kind.endswith("_ALPHA") != depth or not 0 < top <= 65535:
            raise DataError(f"it holds {depth} channels of the kind {kind!r} up to {top}, which have no meaning here")
        return Map("7", width, height, depth, top, at + found.end())
    raise DataError("its header is not that of a portable map (P1 to P7, Pf, PF)")


def _after_space(head: bytes, at: int) -> int:
    """Where the pixels of a bitmap begin: behind one white space, or behind a comment."""
    while head[at : at + 1] == b"#":
        at = head.index(b"\n", at) + 1
    return at + 1


def _stored(path: File, one: Map) -> np.ndarray:
    """The numbers as the file holds them [h, w] or [h, w, channels]: uint8, uint16 or float32."""
    with path.open("rb") as file:
        file.seek(one.start)
        data = file.read() if one.form in "123" else file.read(one.bytes)
    shape = (one.height, one.width, one.depth) if one.depth > 1 else (one.height, one.width)
    if one.form == "4":
        return np.unpackbits(np.frombuffer(data, np.uint8).reshape(one.height, -1), axis=1)[:, : one.width]
    if one.form in "fF":
        values = np.frombuffer(data, "<f4" if one.top < 0 else ">f4")
        return values.reshape(shape)[::-1].astype(np.float32)  # from the lowest row up
    if one.form in "123":
        values = _in_letters(data, one, int(np.prod(shape)))
    else:
        values = np.frombuffer(data, ">u2" if one.top > 255 else "u1")
    if values.max() > one.top or values.min() < 0:
        odd = values.max() if values.max() > one.top else values.min()
        raise DataError(f"it holds {odd}, which is not between 0 and its maxval {one.top}")
    return values.reshape(shape).astype(np.uint16 if one.wide else np.uint8)


def _in_letters(data: bytes, one: Map, count: int) -> np.ndarray:
    text = re.sub(rb"#[^\r\n]*", b"", data)
    words = re.findall(rb"[01]", text) if one.form == "1" else text.split()
    if len(words) < count:
        raise DataError(f"it promises {count} numbers and holds {len(words)} (cut?)")
    return np.array([int(word) for word in words[:count]])


def _read(path: File, one: Map, policy: DecodePolicy) -> np.ndarray:
    values = _stored(path, one)
    if one.form in "14":
        return plain((1 - values) * np.uint8(255))  # 1 is black
    values = opaque(values, one.top)
    if one.wide:
        values = windowed(values, policy)
    elif one.top < 255:
        values = np.rint(values * 255.0 / one.top).astype(np.uint8)
    return plain(values)
