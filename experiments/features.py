"""Look after the feature store: what it holds, whether it is as it was written, what may go.

$ python -m experiments.features ls
$ python -m experiments.features verify --remove
$ python -m experiments.features gc --older-than 90 --dry-run

The store is the folder that SLITLAMP_CACHE names, else the platform's cache folder.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from experiments._exit import DATA, DONE, guard
from slitlamp.log import progress, say
from slitlamp.reports.text import table

if TYPE_CHECKING:
    from cache import Store


def _size(count: float) -> str:
    from cache.errors import size

    return size(count)


def _ls(store: "Store", asked: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    entries = store.ls()
    used = [datetime.fromtimestamp(e.last_used, UTC) for e in entries]
    if asked.json:
        rows: list[dict[str, Any]] = [
            {**asdict(e), "last_used": t.isoformat(timespec="seconds")} for e, t in zip(entries, used, strict=True)
        ]
        print(json.dumps({"schema": 1, "experiment": "features", "spaces": rows}, indent=1, ensure_ascii=False))
        return DONE
    rows = [
        {
            "encoder": e.label,
            "key": e.digest[:12],
            "items": str(e.items),
            "datasets": str(e.datasets),
            "dtype": "+".join(e.dtypes),
            "shards": str(e.shards),
            "size": _size(e.bytes),
            "last used": t.strftime("%Y-%m-%d"),
        }
        for e, t in zip(entries, used, strict=True)
    ]
    if rows:
        print(table(rows))
    say(f"{len(entries)} sets of features, {_size(sum(e.bytes for e in entries))}, in {store.root}")
    return DONE


def _verify(store: "Store", asked: argparse.Namespace) -> int:
    with progress(0, "verifying") as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        problems = store.verify(advance)
    removed = store.drop(problems) if asked.remove and not asked.dry_run else []
    gone = {str(r.path) for r in removed}
    rows = [
        {"path": str(p.path), "dataset": p.dataset, "what": p.what, "removed": str(p.path) in gone} for p in problems
    ]
    if asked.json:
        print(json.dumps({"schema": 1, "experiment": "features", "problems": rows}, indent=1, ensure_ascii=False))
    else:
        for row in rows:
            place = f"{row['path']}: {row['dataset']}" if row["dataset"] else row["path"]
            print(f"{place}: {row['what']}{' (removed)' if row['removed'] else ''}")
    entries = store.ls()
    state = f"{sum(e.shards for e in entries)} shards, {_size(sum(e.bytes for e in entries))}"
    if not problems:
        say(f"verified {state}: every byte is as it was written")
        return DONE
    hint = "" if asked.remove else "; `verify --remove` deletes the damaged files, and the next run encodes them again"
    say(f"{len(problems)} problems in {len({p.path for p in problems})} files{hint}")
    return DATA


def _gc(store: "Store", asked: argparse.Namespace) -> int:
    removed = store.gc(older_than_days=asked.older_than, dry_run=asked.dry_run)
    rows = [{"path": str(r.path), "bytes": r.bytes, "why": r.why} for r in removed]
    if asked.json:
        print(json.dumps({"schema": 1, "experiment": "features", "dry_run": asked.dry_run, "removed": rows}, indent=1))
    else:
        for row in rows:
            print(f"{row['path']}: {_size(row['bytes'])}, {row['why']}")
    verb = "would free" if asked.dry_run else "freed"
    say(f"{verb} {_size(sum(r.bytes for r in removed))} in {store.root}")
    return DONE


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not days >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days; give 0 or more")
    return days


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON document")
    shared.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser = argparse.ArgumentParser(
        prog="python -m experiments.features",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="act", required=True, metavar="ls|verify|gc")
    commands.add_parser("ls", parents=[shared], help="list what is stored, by encoder")
    verify = commands.add_parser("verify", parents=[shared], help="hash every byte; exit 3 where one is wrong")
    verify.add_argument("--remove", action="store_true", help="delete damaged files")
    gc = commands.add_parser("gc", parents=[shared], help="remove what dead writers left, and what is old")
    gc.add_argument("--older-than", type=_days, metavar="DAYS", help="also features not used for so many days")
    for command in (verify, gc):
        command.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    return parser


def _body(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(list(argv))
    from cache import Store, default_root

    store = Store(default_root())
    return {"ls": _ls, "verify": _verify, "gc": _gc}[asked.act](store, asked)


def main(argv: Sequence[str] | None = None) -> int:
    """Look after the feature store; returns the exit code."""
    return guard(_body, argv, "features")


if __name__ == "__main__":
    sys.exit(main())
