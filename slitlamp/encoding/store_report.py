"""Reports on the feature store: what it holds, what is damaged, what was removed; as text and as JSON."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cache import Store, default_root
from slitlamp.log import progress, say
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


def damage_report(*, remove: bool = False, dry_run: bool = False) -> StoreReport:
    """Hash every byte and say which files are not as they were written; `remove` deletes them."""
    store = Store(default_root())
    with progress(0, "verifying") as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        problems = store.verify(advance)
    gone = {str(r.path) for r in (store.drop(problems) if remove and not dry_run else [])}
    rows = [
        {"path": str(p.path), "dataset": p.dataset, "what": p.what, "removed": str(p.path) in gone} for p in problems
    ]
    entries = store.ls()
    state = f"{sum(e.shards for e in entries)} shards, {human_size(sum(e.bytes for e in entries))}"
    hint = "" if remove else "; `verify --remove` deletes the damaged files, and the next run encodes them again"
    found = f"{len(problems)} problems in {len({p.path for p in problems})} files{hint}"
    return StoreReport(
        lines=[
            f"{row['path']}{f': {name}' if (name := row['dataset']) else ''}: {row['what']}"
            f"{' (removed)' if row['removed'] else ''}"
            for row in rows
        ],
        document={"problems": rows},
        summary=found if problems else f"verified {state}: every byte is as it was written",
        sound=not problems,
    )


def removal_report(*, older_than: float | None = None, dry_run: bool = False) -> StoreReport:
    """Remove what dead writers left, and what was not used for so many days; say what that was."""
    store = Store(default_root())
    removed = store.gc(older_than_days=older_than, dry_run=dry_run)
    freed = human_size(sum(r.bytes for r in removed))
    return StoreReport(
        lines=[f"{r.path}: {human_size(r.bytes)}, {r.why}" for r in removed],
        document={"dry_run": dry_run, "removed": [{**asdict(r), "path": str(r.path)} for r in removed]},
        summary=f"{'would free' if dry_run else 'freed'} {freed} in {store.root}",
    )


REPORTS = {"ls": contents_report, "verify": damage_report, "gc": removal_report}
