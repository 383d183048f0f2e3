"""Matrices of features in the formats of other programs, written block by block: memory does not grow with the rows."""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

GROUP = 8_192  # rows of a row group of Parquet


def _raw(path: Path, head: bytes, blocks: Iterable[np.ndarray]) -> None:
    with path.open("xb") as file:
        file.write(head)
        for block in blocks:
            file.write(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)


def write_npy(path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, int], dtype: str) -> None:
    """A matrix [n, d] as NumPy writes it."""
    import io

    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
    _raw(path, head.getvalue(), blocks)


def write_safetensors(path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, int], dtype: str) -> None:
    """One tensor `features` [n, d]: its library takes whole tensors, and the format is a JSON head before the bytes."""
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    kind = {"<f2": "F16", "<f4": "F32"}[dtype]
    head = json.dumps({"features": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
    head += b" " * (-len(head) % 8)
    _raw(path, struct.pack("<Q", len(head)) + head, blocks)


def write_parquet(
    path: Path,
    blocks: Iterable[np.ndarray],
    shape: tuple[int, int],
    dtype: str,
    columns: Mapping[str, Sequence[str]],
) -> None:
    """A table of texts, a column each, and `features`, a list of `d` numbers for each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = pa.list_(pa.float16() if dtype == "<f2" else pa.float32(), shape[1])
    schema = pa.schema([*((name, pa.string()) for name in columns), ("features", numbers)])
    done = 0
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for block in blocks:
            for start in range(0, len(block), GROUP):
                part = np.ascontiguousarray(block[start : start + GROUP])
                texts = [pa.array(list(held[done : done + len(part)]), pa.string()) for held in columns.values()]
                flat = pa.array(part.reshape(-1), numbers.value_type)
                writer.write_table(pa.table([*texts, pa.FixedSizeListArray.from_arrays(flat, shape[1])], schema=schema))
                done += len(part)
