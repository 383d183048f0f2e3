"""Search a source for copies: those that cross groups, as a document and as a page, and a manifest with new groups."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

from cache import Store, default_root
from slitlamp.disk import require_new
from slitlamp.duplicates.guard import Copies
from slitlamp.duplicates.manifest import write_manifest, write_sheet
from slitlamp.duplicates.near import near
from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.reports.text import UNBROKEN, filled, table, wide
from slitlamp.settings import Settings
from slitlamp.sources import check_source, list_source
from tasks.duplicates.find import Cluster

SHOWN = 20  # clusters that the page shows; the document holds all


def find_duplicates(
    settings: Settings, write: str | None = None, thumbnails: str | None = None, *, replace: bool | None = False
) -> dict[str, Any]:
    """Copies of one image in the source `settings.source.data`, as a document for JSON.

    The settings may name one encoder in whose features near pairs are listed too; () for none. `write` is a CSV
    that becomes a manifest whose `group` keeps copies together, `thumbnails` a PNG that shows the pairs across groups;
    files that are there already are refused without `replace`. Thumbnails that cannot be drawn are said in a line.
    Raises UsageError, DataError.
    """
    for name in ("weights", "other_weights", "image_size", "device", "batch_size"):
        value = settings.flag(name)
        if not settings.encoder.encoder and value != Settings().flag(name):
            flag = "--" + name.replace("_", "-")
            value = " ".join(value) if isinstance(value, tuple) else value
            raise UsageError(f"{flag} {value} has nothing to act on: copies are found without one; give --encoder NAME")
    if write and Path(write).suffix.lower() != ".csv":
        raise UsageError(f"--write {write}: the manifest is a CSV; call it {Path(write).stem}.csv")
    for flag, file in (("--write", write), ("--thumbnails", thumbnails)):
        if file:
            require_new(Path(file), flag, replace=bool(replace))
    assert settings.source.data is not None
    store = Store(default_root())
    copies = Copies(store=store)
    listed = list_source(settings.source, settings.source.data, store)
    source = check_source(listed, copies, settings.source.unreadable)
    readable = {row.id for row in source.rows}  # in the groups that they came with, also those of a benchmark
    source = dataclasses.replace(source, rows=tuple(row for row in listed.rows if row.id in readable))
    groups = [row.group for row in source.rows]
    pairs = copies.pairs(source.rows)
    found = copies.groups(source.rows)
    features = near(settings, source, store, pairs) if settings.encoder.encoder else None
    if write:
        write_manifest(Path(write), settings.source.data, settings.source.image_column, source, found.merged_groups)
    if thumbnails:
        across = [pair for pair in pairs if groups[pair.first] != groups[pair.second]]
        try:
            write_sheet(Path(thumbnails), source, sorted(across, key=lambda pair: pair.alike))
        except Exception as error:  # a picture costs no result
            say(f"warning: --thumbnails {thumbnails} could not be drawn ({type(error).__name__}: {error})")

    def described(cluster: Cluster) -> dict[str, Any]:
        return {
            "kind": cluster.kind,
            "alike": round(cluster.alike, 3),
            "ids": [source.rows[place].id for place in cluster.members],
            "groups": [groups[place] for place in cluster.members],
        }

    return {
        "schema": 1,
        "experiment": "duplicates",
        "source": source.name,
        "images": len(source.rows),
        "groups": len(set(groups)),
        "unreadable": len(source.unreadable),
        "clusters": len(found.clusters),
        "images_in_clusters": sum(len(c.members) for c in found.clusters),
        "clusters_across_groups": len(found.across_groups),
        "kinds_across_groups": dict(Counter(c.kind for c in found.across_groups)),
        "across_groups": [described(c) for c in found.across_groups],
        "near_in_features": features,
    }


def page(document: dict[str, Any], noun: str = "images") -> str:
    """The document of `find_duplicates` as text; `noun` is what an item is called."""
    rows = [
        {
            "cluster": str(k),
            "kind": cluster["kind"],
            "alike": f"{cluster['alike']:.3f}",
            noun: str(len(cluster["ids"])),
            "ids": " ".join(cluster["ids"]),
            "groups": " ".join(dict.fromkeys(cluster["groups"])),
        }
        for k, cluster in enumerate(document["across_groups"], 1)
    ]
    right = ("cluster", "alike", noun)
    lines = [table(rows[:SHOWN], wide(UNBROKEN), right, wrap=True)] if rows else []
    if len(rows) > SHOWN:
        lines.append(f"and {len(rows) - SHOWN} more (--json lists all)")
    kinds = ", ".join(f"{n} {kind}" for kind, n in document["kinds_across_groups"].items())
    said = [
        f"{document['source']}: {document['images']} {noun} in {document['groups']} groups; {document['clusters']} "
        f"clusters of copies ({document['images_in_clusters']} {noun}), {document['clusters_across_groups']} of them "
        "across groups" + (f" ({kinds})" if kinds else "")
    ]
    features, near_by = document["near_in_features"], []
    if features is not None:
        said.append(
            f"{len(features['pairs'])} further pairs of different groups are nearer than {features['cosine']:.4f} "
            f"(centred cosine of {features['encoder']} {features['site']}/{features['readout']}): look at them; they "
            "are not counted as copies"
        )
        near_by = [f"  {p['ids'][0]} {p['ids'][1]}  {p['cosine']:.3f}" for p in features["pairs"][:SHOWN]]
    return "\n".join([*lines, *(filled(line, UNBROKEN) for line in said), *near_by])
