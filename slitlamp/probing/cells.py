"""Cells: one measurement is one pair of files, written atomically, so that nothing finished is computed twice.

`<key>.npz` holds the measurement whole (scalars as JSON, arrays as arrays; nothing is pickled), `<key>.parquet`
the held-out predictions, one row per item and repeat, from which every statistic can be done again.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache as once
from pathlib import Path
from typing import Any

import numpy as np

import probes
from cache import write_atomically
from cache.atomic import make_folder
from probes.stats.plan import Plan
from slitlamp.errors import one_line
from slitlamp.keys import array_digest, digest
from slitlamp.log import say

FORMAT = 1
MAPPED = 1 << 23  # bytes from which the arrays of a cell are not read before they are asked for
LARGE = 1 << 20  # bytes from which such an array stays on the disk
_SAID: set[int | None] = set()  # why cells could not be kept, each said once


def pack(value: Any, arrays: dict[str, np.ndarray], leave: Sequence[str] = ()) -> Any:
    """JSON-able form of nested dataclasses; arrays go into `arrays`, fields named in `leave` stay out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if f.init and f.name not in leave]
        inner = {name: pack(getattr(value, name), arrays) for name in names}
        return {"type": type(value).__name__, "fields": inner}
    if isinstance(value, np.ndarray):
        known = (name for name, one in arrays.items() if one is value)  # what two fields share lies there once
        name = next(known, f"a{len(arrays)}")
        arrays[name] = value
        return {"array": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {"mapping": [[pack(k, arrays), pack(v, arrays)] for k, v in value.items()]}
    if isinstance(value, tuple | list):
        return {"sequence": [pack(v, arrays) for v in value], "tuple": isinstance(value, tuple)}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be kept in a cell")


def unpack(value: Any, arrays: Mapping[str, np.ndarray], types: Mapping[str, type]) -> Any:
    """The inverse of `pack`; `types` names the dataclasses that may occur."""
    if not isinstance(value, dict) or not value.keys() & {"array", "mapping", "sequence", "type"}:
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "mapping" in value:
        return {unpack(k, arrays, types): unpack(v, arrays, types) for k, v in value["mapping"]}
    if "sequence" in value:
        items = [unpack(v, arrays, types) for v in value["sequence"]]
        return tuple(items) if value["tuple"] else items
    fields = {k: unpack(v, arrays, types) for k, v in value["fields"].items()}
    return types[value["type"]](**fields)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cells:
    """The cell files of one output folder."""

    folder: Path
    types: Mapping[str, type]
    leave: tuple[str, ...] = ()  # fields that whoever loads a cell has at hand
    shared: Path | None = None  # where cells of all grids lie: what is measured there is taken, and what is new put
    spare: bool = False  # the cells are kept for a next run alone, so that where nothing can be written none is

    def _path(self, key: str) -> Path:
        return self.folder / f"{key[:32]}.npz"

    def load(self, key: str, **left: Any) -> Any:
        """A finished measurement, the fields left out given again as `left`.

        None where there is none, or it was damaged on disk.
        """
        found = self._read(self._path(key), key, left)
        if found is None and self.shared is not None:
            found = self._read(self.shared / self._path(key).name, key, left)
            if found is not None:
                self._link(key, self.shared, self.folder)
        elif found is None and self._path(key).is_file():
            say(f"warning: {self._path(key).name} is not as it was written; the cell is measured again")
        return found

    def holds(self, key: str) -> bool:
        """Whether a finished measurement lies here; what was damaged on disk is found when it is loaded."""
        name = self._path(key).name
        return any((home / name).is_file() for home in (self.folder, self.shared) if home is not None)

    def named(self, name: str, **left: Any) -> Any:
        """A finished measurement by the name of its file, which is the beginning of its key."""
        return self._read(self.folder / f"{name}.npz", name, left)

    def _link(self, key: str, source: Path, target: Path) -> None:
        """The files of a cell in another folder too: as a link where the disk has them, else as a copy."""
        make_folder(target)
        for suffix in (".parquet", ".npz"):  # the measurement last: it means `finished`
            name = self._path(key).with_suffix(suffix).name
            if not (source / name).is_file():
                continue
            (target / name).unlink(missing_ok=True)
            try:
                (target / name).hardlink_to(source / name)
            except OSError:
                write_atomically(target / name, (source / name).read_bytes())

    @contextlib.contextmanager
    def _spared(self, *, always: bool = False) -> Iterator[None]:
        """Let a cell that is kept for others alone be lost where it cannot be written, with a line."""
        try:
            yield
        except OSError as error:
            if not (self.spare or always):
                raise
            if error.errno not in _SAID:
                _SAID.add(error.errno)
                say(f"warning: cells are not kept in the store ({one_line(error)}); a next run measures them again")

    def _read(self, path: Path, key: str, left: Mapping[str, Any]) -> Any:
        try:
            if path.stat().st_size > MAPPED:
                arrays, head = _mapped(path)
            else:
                data = path.read_bytes()
                body, seal = data[:-32], data[-32:]
                if hashlib.sha256(body).digest() != seal:
                    return None
                with np.load(io.BytesIO(body), allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file.files if name != "json"}
                    head = json.loads(bytes(file["json"]).decode())
        except (OSError, ValueError, KeyError):
            return None
        if head["format"] != FORMAT or not head["key"].startswith(key):
            return None
        head["value"]["fields"] |= left
        found = unpack(head["value"], arrays, self.types)
        self._mend(path.with_suffix(".parquet"), head, found)
        return found

    def _mend(self, path: Path, head: Mapping[str, Any], measurement: Any) -> None:
        """Write the predictions beside a cell again where they are not as they were written."""
        if "predictions" not in head:
            return  # none, or of an earlier version, which kept no digest of them
        try:
            sound = hashlib.sha256(path.read_bytes()).hexdigest() == head["predictions"]
        except OSError:
            sound = False
        if not sound:
            say(f"warning: {path.name} is not as it was written; it is made again from its cell")
            classes = None if head["classes"] is None else tuple(head["classes"])
            with self._spared(always=True):
                write_atomically(path, as_parquet(measurement.predictions, classes))

    def save(self, key: str, measurement: Any, classes: tuple[str, ...] | None = None) -> None:
        """Write a measurement and, where it has some, its predictions first: its own file means `finished`."""
        arrays: dict[str, np.ndarray] = {}
        head = {"format": FORMAT, "key": key, "value": pack(measurement, arrays, self.leave)}
        table = as_parquet(measurement.predictions, classes) if hasattr(measurement, "predictions") else None
        if table is not None:
            head |= {"predictions": hashlib.sha256(table).hexdigest(), "classes": classes}
        text = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, json=text, **arrays)  # type: ignore[arg-type]
        body = buffer.getvalue()
        with self._spared():
            if table is not None:
                write_atomically(self.folder / f"{key[:32]}.parquet", table)
            write_atomically(self._path(key), body + hashlib.sha256(body).digest())
        if self.shared is not None and self.shared != self.folder:
            with self._spared(always=True):
                self._link(key, self.folder, self.shared)

    def kept(self, key: str, measurement: Any, **left: Any) -> Any:
        """A measurement that was saved: where it is large as it lies on the disk, so that many can be held at once."""
        path = self._path(key)
        try:
            large = path.stat().st_size > MAPPED
        except OSError:  # it could not be written
            return measurement
        found = self._read(path, key, left) if large else None
        return measurement if found is None else found

    def save_plan(self, key: str, material: Mapping[str, Any]) -> None:
        """Write what a plan is made of, where it does not lie already, whole: see `slitlamp.runs`."""
        path = self.folder / f"plan-{key}.json"
        whole = json.dumps(material, ensure_ascii=False).encode("utf-8", "backslashreplace")
        with self._spared():
            if not path.is_file() or path.read_bytes() != whole:
                write_atomically(path, whole)


def _mapped(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays and the head of a large cell; what is large of it stays on the disk until it is asked for.

    Raises:
        ValueError: it is not as it was written.
    """
    import zipfile

    arrays: dict[str, np.ndarray] = {}
    with path.open("rb") as file:
        whole, left = hashlib.sha256(), path.stat().st_size - 32
        while left:
            piece = file.read(min(left, MAPPED))
            whole.update(piece)
            left -= len(piece)
        if whole.digest() != file.read():
            raise ValueError(f"{path.name} is not as it was written")
        with zipfile.ZipFile(file) as members:
            for info in members.infolist():
                file.seek(info.header_offset + 26)  # the lengths of name and extra field, which precede the data
                begins = info.header_offset + 30 + sum(int.from_bytes(file.read(2), "little") for _ in range(2))
                file.seek(begins)
                version = np.lib.format.read_magic(file)
                header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, fortran, dtype = header[version](file)
                name, order = info.filename.removesuffix(".npy"), "F" if fortran else "C"
                if info.file_size > LARGE:
                    arrays[name] = np.memmap(path, dtype, "r", file.tell(), shape, order)
                else:
                    file.seek(begins)
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays, json.loads(bytes(arrays.pop("json")).decode())


def as_parquet(predictions: Any, classes: tuple[str, ...] | None) -> bytes:
    """Held-out predictions: item, group, repeat, fold, label, predicted and the decision value of each class.

    Of a number label and predicted are normal scores; `number` is what was given.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    repeats, n = predictions.predicted.shape

    def named(values: np.ndarray) -> list[Any]:
        return [classes[int(v)] for v in values] if classes else [float(v) for v in values]

    columns: dict[str, Any] = {
        "item": list(predictions.ids) * repeats,
        "group": [str(g) for g in predictions.groups] * repeats,
        "repeat": np.repeat(np.arange(repeats), n),
        "fold": np.asarray(predictions.fold).ravel(),
        "label": named(predictions.label) * repeats,
        "predicted": named(np.asarray(predictions.predicted).ravel()),
    }
    if predictions.number is not None:
        columns["number"] = named(predictions.number) * repeats
    for what in ("score", "probability"):
        values = getattr(predictions, what)
        if values is None:
            continue
        flat = np.asarray(values).reshape(repeats * n, -1)
        for k in range(flat.shape[1]):
            name = classes[k] if classes and flat.shape[1] == len(classes) else str(k)
            columns[f"{what} {name}"] = flat[:, k]
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def cells_in(home: Path, shared: Path | None = None, *, spare: bool = False) -> Cells:
    """The cells of a run's folder, with those that all grids share where a folder of them is named; see `Cells`."""
    return Cells(folder=home / "cells", types=_types(), leave=("plan",), shared=shared, spare=spare)


@once
def _types() -> dict[str, type]:
    from probes.stats import exclusion, measurement, permutation, scores

    kinds = [probes.Predictions, probes.Estimate, measurement.Measurement, permutation.Null, scores.Scored]
    return {kind.__name__: kind for kind in [*kinds, exclusion.Exclusion]}


def plan_material(
    plan: Plan,
    ids: Sequence[str],
    groups: Iterable[Any],
    copies: Sequence[str] | None,
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """What a plan is made of, as JSON: items, groups, answers and settings, with digests of what they gave.

    `asked` are seed, folds, repeats and permutations as they were asked for.
    """
    answers = plan.y if plan.raw is None else plan.raw
    return {
        "ids": list(ids),
        "groups": [str(g) for g in groups],
        "answers": answers.tolist(),
        "classes": None if plan.classes is None else list(plan.classes),
        "copies": None if copies is None else list(copies),
        "asked": dict(asked),
        "folds": [array_digest(plan.folds), array_digest(plan.permuted, plan.y.dtype)],
    }


def plan_key(material: Mapping[str, Any]) -> str:
    """The name of a plan: runs of one plan asked the same items in the same groups on the same folds."""
    return digest(dict(material))[:32]
