"""Mutations of files: bytes, numbers, texts and structure, each decided by a generator alone.

What protects a format against damage is made anew (checksums of PNG, members of archives, gzip), so that a mutation is
not refused at the door.
"""

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
ODD_TEXTS = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[31m", b"\xe2\x80\xae", b"\xc3", b"\xe4", b'"', b"'", b",,", b";",
    b"\t", b"\r", b"\n", b"\\", b"../../x", b"C:\\x", b"NaN", b"Infinity", b"-0", b"1e999", b"9" * 5000, b"-1", b"null",
    b"true", b"{}", b"[]", b"[" * 3000, b"{\"a\":" * 2000, b"a" * 70_000, b"\xf0\x9f\x98\x80", b"\\ud800", b"=1+1",
    b"$x$", b"sep=;\n",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30, "", "x", "\0", "1",
    "\ud800", "A" * 3000, [], {}, [[]], [None], {"": None}, [1, "a"], {"a": {"b": []}},
)  # fmt: skip
ODD_NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)


def mutated(data: bytes, kind: str, rng: Rng) -> bytes:
    """The bytes with one to four changes that fit the kind of file (its ending)."""
    return WRAPPED.get(kind, _plain)(data, rng)


def _plain(data: bytes, rng: Rng, text: bool | None = None) -> bytes:
    known = _is_text(data[:400]) if text is None else text
    for _ in range(int(rng.integers(1, 5))):
        chosen = TEXT if known and rng.random() < 0.7 else BYTES
        data = chosen[int(rng.integers(len(chosen)))](data, rng)
    return data


def _is_text(data: bytes) -> bool:
    return b"\0" not in data and sum(byte > 126 or byte in range(1, 9) for byte in data) * 10 < len(data) + 1


# ---- bytes


def _place(data: bytes, rng: Rng) -> int:
    """Somewhere in the data, by half in its first 512 bytes, where headers are."""
    return int(rng.integers(min(len(data), 512 if rng.random() < 0.5 else len(data)) + 1))


def _flip(data: bytes, rng: Rng) -> bytes:
    made, at = bytearray(data), _place(data, rng)
    if at < len(made):
        made[at] ^= 1 << int(rng.integers(8))
    return bytes(made)


def _number(data: bytes, rng: Rng) -> bytes:
    width = int(rng.choice([1, 2, 4, 8]))
    order = "<" if rng.random() < 0.6 else ">"
    value = int(ODD_NUMBERS[int(rng.integers(len(ODD_NUMBERS)))]) % 2 ** (8 * width)
    if rng.random() < 0.3:
        value = (2 ** (8 * width) - value) % 2 ** (8 * width)
    at = _place(data, rng)
    return data[:at] + struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[width], value) + data[at + width :]


def _cut(data: bytes, rng: Rng) -> bytes:
    return data[: _place(data, rng)]


def _remove(data: bytes, rng: Rng) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 40)) :]


def _repeat(data: bytes, rng: Rng) -> bytes:
    at, size = _place(data, rng), int(rng.integers(1, 60))
    return data[:at] + data[at : at + size] * int(rng.integers(1, 20)) + data[at:]


def _move(data: bytes, rng: Rng) -> bytes:
    at, to, size = _place(data, rng), _place(data, rng), int(rng.integers(1, 40))
    return data[:to] + data[at : at + size] + data[to + size :]


def _noise(data: bytes, rng: Rng) -> bytes:
    at, size = _place(data, rng), int(rng.integers(1, 30))
    return data[:at] + rng.bytes(size) + data[at + size :]


BYTES: tuple[Callable[[bytes, Rng], bytes], ...] = (
    _flip,
    _flip,
    _number,
    _number,
    _number,
    _cut,
    _remove,
    _repeat,
    _move,
    _noise,
)


# ---- texts


def _insert(data: bytes, rng: Rng) -> bytes:
    at = _place(data, rng)
    return data[:at] + ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))] + data[at:]


def _word(data: bytes, rng: Rng) -> bytes:
    """Another text in the place of a word or number."""
    words = list(re.finditer(rb"[\w.+-]+", data))
    if not words:
        return data
    one = words[int(rng.integers(len(words)))]
    return data[: one.start()] + ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))] + data[one.end() :]


def _lines(data: bytes, rng: Rng) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def _json(data: bytes, rng: Rng) -> bytes:
    """Another value somewhere in a JSON text, or in one of its lines."""
    whole = data.split(b"\n") if data.count(b"\n{") else [data]
    k = int(rng.integers(len(whole)))
    try:
        value = json.loads(whole[k])
    except (ValueError, RecursionError):
        return _word(data, rng)
    whole[k] = json.dumps(_other(value, rng)).encode()
    return b"\n".join(whole)


def _other(value: Any, rng: Rng) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = list(value)[int(rng.integers(len(value)))]
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: _other(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        k = int(rng.integers(len(value)))
        return (
            [*value[:k], _other(value[k], rng), *value[k + 1 :]] if rng.random() < 0.8 else value[:k] + value[k + 1 :]
        )
    return ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]


TEXT: tuple[Callable[[bytes, Rng], bytes], ...] = (_insert, _word, _word, _json, _json, _lines)


# ---- formats that protect themselves


def _png(data: bytes, rng: Rng) -> bytes:
    """Chunks changed, doubled, dropped or exchanged, with their checksums; pixels are changed behind their packing."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += size + 12
    if not chunks or rng.random() < 0.2:
        return _plain(data, rng)
    k = int(rng.integers(len(chunks)))
    name, body = chunks[k]
    how = rng.random()
    if name == b"IDAT" and how < 0.5:
        chunks[k] = name, zlib.compress(_plain(zlib.decompressobj().decompress(body), rng, text=False))
    elif how < 0.8:
        chunks[k] = name, _plain(body, rng)
    elif how < 0.9:
        chunks.insert(int(rng.integers(len(chunks) + 1)), chunks[k])
    else:
        chunks.pop(k)
    made = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return data[:8] + b"".join(made)


def _gzip(data: bytes, rng: Rng) -> bytes:
    if rng.random() < 0.2:
        return _plain(data, rng, text=False)
    return gzip.compress(_plain(gzip.decompress(data), rng, text=False), mtime=0)


def _deflated(data: bytes, rng: Rng) -> bytes:
    """A deflated DICOM file, changed before its packing."""
    at = 132 + 12 + int.from_bytes(data[140:144], "little")
    if rng.random() < 0.2:
        return _plain(data, rng, text=False)
    packer = zlib.compressobj(wbits=-15)
    return data[:at] + packer.compress(_plain(zlib.decompress(data[at:], -15), rng, text=False)) + packer.flush()


def _zip(data: bytes, rng: Rng) -> bytes:
    if rng.random() < 0.2:
        return _plain(data, rng, text=False)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    k = int(rng.integers(len(members)))
    name, body = members[k]
    members[k] = (
        (name, _plain(body, rng)) if rng.random() < 0.9 else (name[: int(rng.integers(len(name)))] or "x", body)
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, body in members:
            archive.writestr(name, body)
    return made.getvalue()


WRAPPED: dict[str, Callable[[bytes, Rng], bytes]] = {
    "png": _png, "apng": _png, "nii.gz": _gzip, "deflated.dcm": _deflated, "xlsx": _zip, "eval": _zip,
}  # fmt: skip
