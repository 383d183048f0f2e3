"""Find copies of one image in a source, above all those that lie in more than one group.

$ python -m experiments.duplicates --data films/manifest.csv --group patient_id
$ python -m experiments.duplicates --data films/ --write groups.csv

Exit 0 where no copies cross groups, 3 where some do.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments._exit import DATA, DONE, guard
from slitlamp.errors import UsageError
from slitlamp.log import say

SHOWN = 20  # clusters that the table shows; --json holds all


def _parser() -> argparse.ArgumentParser:
    from experiments._cli import _Parser
    from slitlamp.settings import Options

    default = Options()
    parser = _Parser(prog="python -m experiments.duplicates", description=__doc__, allow_abbrev=False,
                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", required=True, metavar="SOURCE", help="images, as for linear_probe")
    parser.add_argument("--group", metavar="COLUMN", help="column that may not be split over folds")
    parser.add_argument("--volumes", action="store_true",
                        help="items are NIfTI files and DICOM series, not slices")  # fmt: skip
    parser.add_argument("--image-column", metavar="COLUMN", help="column that holds the image files")
    parser.add_argument("--window", metavar="WINDOW", help="grey window, as for linear_probe")
    parser.add_argument("--intercept", type=float, default=0.0, metavar="NUMBER", help="added before windowing")
    parser.add_argument("--exif", choices=("apply", "ignore"), help="what to do with EXIF orientation")
    parser.add_argument("--unreadable", type=float, default=default.unreadable, metavar="SHARE",
                        help="largest share of unreadable images that is accepted (default: %(default)s)")  # fmt: skip
    parser.add_argument("--encoder", metavar="NAME", help="also list pairs that are near in this encoder's features")
    parser.add_argument("--weights", metavar="PATH", help="local weights of the encoder")
    parser.add_argument("--device", default=default.device, help="cpu, cuda:0 …, or auto (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=default.batch_size, metavar="N", help="images per pass")
    parser.add_argument("--offline", action="store_true", help="never ask a hub")
    parser.add_argument("--write", metavar="FILE.csv", help="write a manifest whose `group` keeps copies together")
    parser.add_argument("--thumbnails", metavar="FILE.png", help="draw the pairs that cross groups, least alike first")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def _body(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(list(argv))
    _fits(asked)
    import tasks
    from cache import Store, default_root
    from slitlamp.duplicates.guard import Copies
    from slitlamp.duplicates.manifest import sheet, write
    from slitlamp.duplicates.near import near
    from tasks.duplicates.find import clusters, crossing

    store = Store(default_root())
    source = tasks.open_source(
        asked.data, image_column=asked.image_column, group=asked.group, window=asked.window,
        intercept=asked.intercept, exif=asked.exif, unreadable_limit=asked.unreadable, offline=asked.offline,
        volumes=asked.volumes,
    )  # fmt: skip
    copies = Copies(store=store)
    source = copies.readable(source, asked.unreadable)
    groups = [row.group for row in source.rows]
    pairs = copies.pairs(source.rows)
    found = clusters(pairs)
    across = crossing(found, groups)
    alike = near(asked, source, store, pairs) if asked.encoder else None
    if asked.write:
        write(Path(asked.write), asked.data, asked.image_column, source, found)
    if asked.thumbnails:
        ends = [p for p in pairs if groups[p.first] != groups[p.second]]
        sheet(Path(asked.thumbnails), source, sorted(ends, key=lambda p: p.alike))
    whole = _document(source, found, across, alike)
    noun = "volumes" if asked.volumes else "images"
    print(json.dumps(whole, indent=1, ensure_ascii=False) if asked.json else _page(whole, noun))
    if asked.write:
        more = " --volumes" if asked.volumes else ""
        say(f"{asked.write} written; use it as --data {asked.write} --group group{more}")
    return DATA if across else DONE


def _fits(asked: argparse.Namespace) -> None:
    """Refuses what cannot be carried out, or would act on nothing, before any image is read."""
    from slitlamp.settings import Options

    default = Options()
    if not 0 <= asked.unreadable <= 1:
        raise UsageError(f"--unreadable {asked.unreadable}: must be a share from 0 to 1")
    if asked.batch_size < 1:
        raise UsageError(f"--batch-size {asked.batch_size}: must be at least 1")
    for name in ("weights", "device", "batch_size"):
        value = getattr(asked, name)
        if not asked.encoder and value != getattr(default, name):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {value} has nothing to act on: copies are found without one; give --encoder NAME")
    if asked.write and Path(asked.write).suffix.lower() != ".csv":
        raise UsageError(f"--write {asked.write}: the manifest is a CSV; call it {Path(asked.write).stem}.csv")


def _document(source: Any, found: Sequence[Any], across: Sequence[Any], alike: Any) -> dict[str, Any]:
    rows = source.rows

    def shown(cluster: Any) -> dict[str, Any]:
        members = [rows[place] for place in cluster.members]
        return {
            "kind": cluster.kind,
            "alike": round(cluster.alike, 3),
            "ids": [row.id for row in members],
            "groups": [row.group for row in members],
        }

    return {
        "schema": 1,
        "experiment": "duplicates",
        "source": source.name,
        "images": len(rows),
        "groups": len({row.group for row in rows}),
        "unreadable": len(source.unreadable),
        "clusters": len(found),
        "images_in_clusters": sum(len(c.members) for c in found),
        "clusters_across_groups": len(across),
        "kinds_across_groups": dict(Counter(c.kind for c in across)),
        "across_groups": [shown(c) for c in across],
        "near_in_features": alike,
    }


def _page(whole: dict[str, Any], noun: str = "images") -> str:
    from slitlamp.reports.text import table

    rows = [
        {
            "cluster": str(k),
            "kind": cluster["kind"],
            "alike": f"{cluster['alike']:.3f}",
            noun: str(len(cluster["ids"])),
            "ids": " ".join(cluster["ids"]),
            "groups": " ".join(dict.fromkeys(cluster["groups"])),
        }
        for k, cluster in enumerate(whole["across_groups"], 1)
    ]
    parts = [table(rows[:SHOWN])] if rows else []
    if len(rows) > SHOWN:
        parts.append(f"and {len(rows) - SHOWN} more (--json lists all)")
    kinds = ", ".join(f"{n} {kind}" for kind, n in whole["kinds_across_groups"].items())
    parts.append(
        f"{whole['source']}: {whole['images']} {noun} in {whole['groups']} groups; {whole['clusters']} clusters of "
        f"copies ({whole['images_in_clusters']} {noun}), {whole['clusters_across_groups']} of them across groups"
        + (f" ({kinds})" if kinds else "")
    )
    return "\n".join([*parts, *_near(whole["near_in_features"])])


def _near(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    pairs = found["pairs"]
    lines = [
        f"{len(pairs)} further pairs of different groups are nearer than {found['cosine']:.4f} (centred cosine of "
        f"{found['encoder']} {found['site']}/{found['readout']}): look at them; they are not counted as copies"
    ]
    return lines + [f"  {p['ids'][0]} {p['ids'][1]}  {p['cosine']:.3f}" for p in pairs[:SHOWN]]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the copies that cross groups; returns the exit code."""
    return guard(_body, argv, "duplicates")


if __name__ == "__main__":
    sys.exit(main())
