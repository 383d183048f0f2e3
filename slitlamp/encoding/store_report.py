"""Reports on the feature store: what it holds, what is damaged, what was removed; as text and as JSON."""

import csv
import json
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cache import Store, default_root
from cache.store import Sampled
from hub.objects import is_url, shown
from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.log import progress, say
from slitlamp.remote import download, upload
from slitlamp.reports.text import UNBROKEN, human_size, table, wide


@dataclass(frozen=True, kw_only=True)
class StoreReport:
    """Lines for the terminal and the same as a JSON document, one line that sums up, and whether all is well."""

    lines: list[str]
    document: dict[str, Any]
    summary: str
    sound: bool = True

    def show(self, *, as_json: bool = False) -> None:
        """Print the lines or the document, and sum up on stderr."""
        whole = {"schema": 1, "experiment": "features", **self.document}
        for line in [json.dumps(whole, indent=1, ensure_ascii=False)] if as_json else self.lines:
            print(line)
        say(self.summary)


COUNTS = ("items", "datasets", "shards", "size")


@contextmanager
def _counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that is told how much is done, and of how much."""
    with progress(0, what) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


def contents_report() -> StoreReport:
    """What is stored, by encoder."""
    store = Store(default_root())
    entries = store.ls()
    used = [datetime.fromtimestamp(e.last_used, UTC) for e in entries]
    rows = [
        {
            "encoder": e.label,
            "key": e.digest[:12],
            "items": str(e.items),
            "datasets": str(e.datasets),
            "dtype": "+".join(e.dtypes),
            "shards": str(e.shards),
            "size": human_size(e.bytes),
            "last used": t.strftime("%Y-%m-%d"),
        }
        for e, t in zip(entries, used, strict=True)
    ]
    spaces = [{**asdict(e), "last_used": t.isoformat(timespec="seconds")} for e, t in zip(entries, used, strict=True)]
    return StoreReport(
        lines=[table(rows, wide(UNBROKEN), COUNTS, middle=True)] if rows else [],
        document={"spaces": spaces},
        summary=f"{len(entries)} sets of features, {human_size(sum(e.bytes for e in entries))}, in {store.root}",
    )


def damage_report(
    *, remove: bool = False, dry_run: bool = False, sample: int | float | None = None, seed: int | None = None
) -> StoreReport:
    """Hash every byte, or a sample of the datasets, and say which files are not as they were written.

    `remove` deletes them. `sample` is a number of datasets or, below 1, a share of them.
    """
    if seed is not None and (sample is None or seed < 0):
        raise UsageError("--seed is that of --sample, a number from 0 on" if sample is None else f"--seed {seed} < 0")
    store = Store(default_root())
    drawn = None
    with _counted("verifying") as advance:
        if sample is None:
            problems = store.verify(advance)
        else:
            seed = secrets.randbelow(2**32) if seed is None else seed
            drawn = store.verify_sample(sample, np.random.default_rng(seed), advance)
            problems = drawn.problems
    gone = {str(r.path) for r in (store.drop(problems) if remove and not dry_run else [])}
    rows = [
        {"path": str(p.path), "dataset": p.dataset, "what": p.what, "removed": str(p.path) in gone} for p in problems
    ]
    if drawn is None:
        entries = store.ls()
        state = f"verified {sum(e.shards for e in entries)} shards, {human_size(sum(e.bytes for e in entries))}"
        looked = {}
    else:
        state = (
            f"verified {drawn.datasets:,} of {drawn.every:,} datasets of shards, {human_size(drawn.bytes)}, drawn with "
            f"--seed {seed}, and no memo"
        )
        looked = {"sample": {"datasets": drawn.datasets, "of": drawn.every, "bytes": drawn.bytes, "seed": seed}}
    hint = "" if remove else "; `verify --remove` deletes the damaged files, and the next run encodes them again"
    found = f"{len(problems)} problems in {len({p.path for p in problems})} files{hint}"
    found += "" if drawn is None else f"; {state}"
    return StoreReport(
        lines=[
            f"{row['path']}{f': {name}' if (name := row['dataset']) else ''}: {row['what']}"
            f"{' (removed)' if row['removed'] else ''}"
            for row in rows
        ],
        document={"problems": rows, **looked},
        summary=found
        if problems
        else f"{state}: every byte {'of them ' * (drawn is not None)}is as it was written" + _power(drawn),
        sound=not problems,
    )


def _power(drawn: Sampled | None) -> str:
    """What a sample without a fault excludes: the number of faulty datasets of which 95 % of samples show one."""
    if drawn is None or drawn.datasets >= drawn.every or not drawn.datasets:
        return ""
    silent, faulty = 1.0, 0  # the chance that none of so many faulty ones is drawn, without replacement
    while silent > 0.05:
        silent *= max(0, drawn.every - drawn.datasets - faulty) / (drawn.every - faulty)
        faulty += 1
    return f"; had {faulty:,} of them been damaged, 95 of 100 such samples would have shown it"


def exported_report(
    *, space: str, out: str, to: str = "slitlamp", only: Sequence[str] = (), ids: str | None = None
) -> StoreReport:
    """Write one set of features to a folder, or to a prefix of an object store by way of a scratch folder.

    `space` is an encoder's label or the beginning of a key.
    """
    if to == "slitlamp" and (only or ids):
        raise UsageError(
            f"{'--only' if only else '--ids'} chooses rows or columns, and slitlamp copies whole shards; "
            "name another format: --to npy, safetensors or parquet"
        )
    store = Store(default_root())
    key = _key_of(space, store)
    chosen = None if ids is None else _ids_of(Path(ids))
    with tempfile.TemporaryDirectory(prefix="slitlamp-export-") as scratch:
        folder = Path(scratch) / "export" if is_url(out) else Path(out)
        with _counted("exporting") as advance:
            made = store.export(key, folder, to=to, only=only, ids=chosen, progress=advance)
        if is_url(out):
            upload(folder, out)
            out = shown(out)
    left = f"; {made.left_out:,} items that lack some of them are left out" if made.left_out else ""
    check = f"sha256 of its manifest: {made.manifest}"
    return StoreReport(
        lines=[check],
        document={"exported": {**asdict(made), "out": out, "format": to}},
        summary=f"exported {made.items:,} items x {made.datasets} datasets of {made.label or made.digest[:12]} "
        f"to {out}: {made.files} files, {human_size(made.bytes)}{left}; whoever imports it can compare the sha256",
    )


def imported_report(*, folder: str) -> StoreReport:
    """Take over what was exported to a folder, or to a prefix of an object store, checked."""
    store = Store(default_root())
    with tempfile.TemporaryDirectory(prefix="slitlamp-import-") as scratch, _counted("importing") as advance:
        if is_url(folder):
            download(folder, Path(scratch))
            folder = scratch
        made = store.take_in(Path(folder), advance)
    known = f"; {made.known:,} of the items were here already, with the same values" if made.known else ""
    return StoreReport(
        lines=[f"sha256 of its manifest: {made.manifest}"],
        document={"imported": asdict(made)},
        summary=f"imported {made.items:,} items x {made.datasets} datasets of {made.label or made.digest[:12]}, "
        f"{human_size(made.bytes)}, every byte checked, into {store.root}{known}",
    )


def _key_of(given: str, store: Store) -> str:
    """The digest of the one set of features that is meant."""
    entries = store.ls()
    fitting = [e for e in entries if e.label == given] or [e for e in entries if e.digest.startswith(given.lower())]
    if len(fitting) == 1:
        return fitting[0].digest
    if fitting:
        keys = ", ".join(f"{e.digest[:12]} ({e.items:,} items)" for e in fitting)
        raise UsageError(f"{given} stands for {len(fitting)} sets of features: name one by its key, {keys}")
    known = sorted({e.label for e in entries})
    which = f"it has {', '.join(known)}" if known else "it is empty"
    raise UsageError(f"{store.root} holds no features of {given!r}; {hint(given, known)}{which} (`features ls`)")


def _ids_of(path: Path) -> dict[str, str]:
    """Content digests with their ids, in the order of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"content", "id"} <= set(reader.fieldnames or ()):
                raise UsageError(f"--ids {path} has no columns content and id; it has {reader.fieldnames or 'none'}")
            found: dict[str, str] = {}
            for row in reader:
                if found.setdefault(row["content"] or "", row["id"] or "") != (row["id"] or ""):
                    raise UsageError(f"--ids {path}: line {reader.line_num} names an item a second time")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--ids {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return found


def removal_report(*, older_than: int | float | None = None, merge: bool = False, dry_run: bool = False) -> StoreReport:
    """Remove what dead writers left, and what was not used for so many days; say what that was."""
    store = Store(default_root())
    removed = store.gc(older_than_days=older_than, merge=merge, dry_run=dry_run)
    freed = human_size(sum(r.bytes for r in removed))
    return StoreReport(
        lines=[f"{r.path}: {human_size(r.bytes)}, {r.why}" for r in removed],
        document={"dry_run": dry_run, "removed": [{**asdict(r), "path": str(r.path)} for r in removed]},
        summary=f"{'would free' if dry_run else 'freed'} {freed} in {store.root}",
    )


REPORTS = {
    "ls": contents_report,
    "verify": damage_report,
    "gc": removal_report,
    "export": exported_report,
    "import": imported_report,
}
