"""Score pairs: are their images apart in an encoder, similar but told apart by a probe, or not told apart?"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import cache
import probes
from probes.pairs.inference import Share, components, discrimination, mean_difference, share, sign_flip
from probes.pairs.matching import CHANCE, matching, two_afc
from probes.pairs.mining import Space, frame_of
from probes.pairs.scores import consistent
from probes.pairs.separability import directional_separability, pair_separability
from probes.pairs.yields import quantiles
from slitlamp.encoding.encoder import named
from slitlamp.errors import UsageError
from slitlamp.pairs.figures import verdict_figure
from slitlamp.pairs.result import PairResult
from slitlamp.pairs.settings import ScoreSettings
from slitlamp.pairs.spaces import Embedded, Images, embed, open_images
from slitlamp.questions import facts_of
from slitlamp.reports.spreadsheet import as_csv
from slitlamp.reports.text import question_line
from slitlamp.settings import Settings
from tasks import DataError, Item, Source
from tasks.benchmarks.mediconfusion import ALWAYS_READABLE, PAIRS, PUBLISHED
from tasks.sources.cells import plain

APART, SEPARABLE, LOST, OPEN = "apart", "similar but separable", "not told apart", "open"
VERDICTS = (APART, SEPARABLE, LOST, OPEN)
SELECTED = {  # who selected a published benchmark's pairs; matched against the beginning of an encoder's name
    "mediconfusion": ("biomedclip", "dinov2"),
    "mmvp": ("clip-l14", "dinov2-l14"),
    "mmvp-vlm": ("clip-l14", "dinov2-l14"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of images by their places, with the component of each, and who selected them."""

    first: np.ndarray
    second: np.ndarray
    component: np.ndarray
    category: Sequence[str]
    selected_by: Sequence[str]
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What one encoder makes of the pairs. Arrays are [pairs]; what was not asked is None."""

    embedded: Embedded
    selector: bool
    quantile: np.ndarray
    separability: np.ndarray
    directional: np.ndarray | None = None
    right: np.ndarray | None = None
    wrong: np.ndarray | None = None
    afc: np.ndarray | None = None
    individual: np.ndarray | None = None
    text: Mapping[str, np.ndarray] | None = None
    measurement: Any = None
    verdicts: Sequence[str] = ()

    @cached_property
    def label(self) -> str:
        """The encoder as tables call it, marked where it selected the pairs."""
        return self.embedded.name + (" (selected the pairs)" if self.selector else "")


def score(settings: Settings, own: ScoreSettings, command: str) -> PairResult:
    """Score the pairs of a file or a benchmark with every encoder; see `slitlamp.score`."""
    store = cache.Store(cache.default_root())
    images = open_images(settings, store)
    pairs = pairs_of(images, own.pairs)
    labels, facts = (None, None) if settings.source.label is None else _labels(images, settings, pairs)
    scored = []
    for spec in named(settings.encoder):
        one = embed(spec, settings, images, store)
        scored.append(_scored(one, images, pairs, labels, settings, own))
    summary = [_row(one, pairs) for one in scored]
    tables: dict[str, list[dict[str, Any]]] = {"encoders": summary}
    scores = [row for one in scored for row in _score_rows(one, pairs, settings.probe.seed)]
    if scores:
        tables["scores"] = scores
    twice = [_twice_row(one, pairs, settings.probe.seed) for one in scored if one.right is not None]
    if twice:
        tables["right or exchanged"] = twice
    if any(pairs.category):
        tables["categories"] = [row for one in scored for row in _category_rows(one, pairs)]
    differences = _differences(scored, pairs, settings.probe.seed)
    if differences:
        tables["differences"] = differences
    if is_mediconfusion(images.source, settings.source.data):
        tables["published"] = published_rows()
    asked = [] if facts is None else [question_line(facts), *facts["notes"]]
    notes = [
        *asked,
        *images.notes([one.embedded.encoder for one in scored]),
        *_notes(scored, pairs, labels is not None),
    ]
    drawn = {"pairs": lambda: verdict_figure([(s.label, s.quantile, s.directional, s.verdicts) for s in scored])}
    return PairResult(
        experiment="pairs score", tables=tables, notes=notes, questions=[] if facts is None else [facts],
        figures=drawn, command=command,
        data={"pairs.csv": lambda path: cache.write_atomically(path, _as_csv(scored, images, pairs))},
        sentences=[
            *(_words(one, pairs, own.similar) for one in scored), *_impossible(tables.get("published", []))
        ],
        summary=f"{len(pairs)} pairs in {int(pairs.component.max()) + 1} components, of {len(images)} images",
    )  # fmt: skip


def pairs_of(images: Images, file: str | None) -> Pairs:
    """The pairs of a file, or those that a benchmark's rows name."""
    if file is not None:
        ends, selected = _read(Path(file)), _selectors(Path(file))
        head = _head(Path(file))
        if head and all(name in images for name in head):
            raise DataError(
                f"{Path(file).name}, line 1 holds two images ({', '.join(head)}) where the names of the columns go; "
                "write a first line such as id_1,id_2"
            )
        found, notes = [], []
        for number, pair in enumerate(ends, 1):
            try:
                found.append((images.place(pair[0]), images.place(pair[1])))
            except DataError as error:
                raise DataError(f"{Path(file).name}, pair {number}: {error}") from None
        category = [""] * len(found)
    else:
        found, category, selected, notes = _of_benchmark(images)
    _check(found, images, file)
    first, second = (np.array([pair[s] for pair in found]) for s in (0, 1))
    return Pairs(
        first=first, second=second, component=components(first, second), category=category, selected_by=selected,
        notes=notes,
    )  # fmt: skip


def _check(found: Sequence[tuple[int, int]], images: Images, file: str | None) -> None:
    where = Path(file).name if file is not None else images.source.name
    if len(found) < 2:
        raise DataError(f"{where} holds {len(found)} pair{'s' * (len(found) != 1)}; a score needs at least 2")
    seen: dict[tuple[int, int], int] = {}
    for number, (a, b) in enumerate(found, 1):
        if a == b:
            raise DataError(f"{where}, pair {number}: both images are {images.ids[a]!r}; a pair is two images")
        key = (min(a, b), max(a, b))
        if file is not None and key in seen:
            raise DataError(f"{where}: pair {number} is pair {seen[key]} again ({images.ids[a]}, {images.ids[b]})")
        seen[key] = number


def _read(path: Path) -> list[tuple[str, str]]:
    """The two ids of each row of a CSV or Parquet file: columns `id_1` and `id_2`, or the first two."""
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}; --pairs takes a CSV or Parquet file with two columns of ids")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        from tasks.sources.table import parquet_errors

        with parquet_errors(path):
            table = pq.read_table(path)
        names = table.column_names
        if len(names) < 2:
            raise DataError(f"{path.name} has {len(names)} columns; a file of pairs has two columns of ids")
        chosen = ("id_1", "id_2") if {"id_1", "id_2"} <= set(names) else tuple(names[:2])
        return [(str(a), str(b)) for a, b in zip(*(table[c].to_pylist() for c in chosen), strict=True)]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[plain(cell) for cell in row] for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read as CSV ({error})") from None
    if not rows or len(rows[0]) < 2:
        raise DataError(f"{path.name} has no two columns of ids")
    head = rows[0]
    at = (head.index("id_1"), head.index("id_2")) if {"id_1", "id_2"} <= set(head) else (0, 1)
    for number, row in enumerate(rows[1:], 2):
        if len(row) <= max(at) or not row[at[0]].strip() or not row[at[1]].strip():
            raise DataError(f"{path.name}, line {number}: an id is missing")
    return [(row[at[0]].strip(), row[at[1]].strip()) for row in rows[1:]]


def _selectors(path: Path) -> list[str]:
    """Who selected the pairs of a mined file, by its metadata."""
    if path.suffix != ".parquet":
        return []
    import pyarrow.parquet as pq

    held = (pq.read_metadata(path).metadata or {}).get(b"slitlamp")
    return [] if held is None else list(json.loads(held).get("selected_by", ()))


def _head(path: Path) -> list[str]:
    """The first two cells of a CSV's first line, which names the columns; nothing of a Parquet file."""
    if path.suffix == ".parquet":
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [cell.strip() for cell in next((row for row in csv.reader(file) if row), [])[:2]]


def _of_benchmark(images: Images) -> tuple[list[tuple[int, int]], list[str], list[str], list[str]]:
    members: dict[str, list[int]] = {}
    for k, row in enumerate(images.rows):
        if row.columns.get("pair"):
            members.setdefault(row.columns["pair"], []).append(k)
    if not members:
        raise UsageError(
            f"{images.source.name} names no pairs; give --pairs FILE with two columns of ids (`pairs mine` writes one)"
        )
    whole = {name: places for name, places in members.items() if len(places) == 2}
    names = sorted(whole, key=lambda name: (len(name), name))
    ordered = [sorted(whole[name], key=lambda k: images.rows[k].columns.get("side", "")) for name in names]
    category = [
        images.rows[pair[0]].columns.get("pattern") or images.rows[pair[0]].columns.get("category", "")
        for pair in ordered
    ]
    odd = sorted(set(members) - set(whole))
    notes = (
        [f"{len(odd)} of {len(members)} pairs are left out: not two images ({odd[0]} has {len(members[odd[0]])})"]
        if odd
        else []
    )
    return [(a, b) for a, b in ordered], category, list(SELECTED.get(images.source.benchmark or "", ())), notes


def _labels(images: Images, settings: Settings, pairs: Pairs) -> tuple[np.ndarray, dict[str, Any]]:
    """The label of each image, text [n], and the facts of the question; DataError where those of a pair do not fit."""
    column = str(settings.source.label)
    answers, said = images.answers(column)
    if any(isinstance(answer, float) for answer in answers):
        raise DataError(
            f"{column} is a number, and the two images of a pair have a class each: say --classes, or bin it"
        )
    values = np.array(answers)
    items = [
        Item(id=row.id, group=row.group, label=label, picture=row.picture)
        for row, label in zip(images.rows, values.tolist(), strict=True) if label
    ]  # fmt: skip
    classes = sorted({str(item.label) for item in items})
    facts = facts_of(f"label {column}", images.source, items, settings.source, classes=classes, notes=said)
    bare = [k for k in range(len(pairs)) if not values[pairs.first[k]] or not values[pairs.second[k]]]
    if bare:
        a = images.ids[pairs.first[bare[0]]]
        raise DataError(f"{len(bare)} of {len(pairs)} pairs hold an image without {column} (first: pair of {a})")
    equal = np.flatnonzero(values[pairs.first] == values[pairs.second])
    if len(equal):
        k = int(equal[0])
        raise DataError(
            f"{len(equal)} of {len(pairs)} pairs have equal answers in {column} (first: {images.ids[pairs.first[k]]} "
            f"and {images.ids[pairs.second[k]]}, {values[pairs.first[k]]!r}): a pair has two different ones; "
            f"leave them out, or mine with --differ {column}"
        )
    return values, facts


def _scored(
    one: Embedded, images: Images, pairs: Pairs, labels: np.ndarray | None, settings: Settings, own: ScoreSettings
) -> Scored:
    frame = frame_of(one.x, one.name, centre=True)
    space = Space(name=one.name, unit=frame.place(one.x, images.ids), offset=np.zeros(len(one.x)))
    values = space.similarities(pairs.first, pairs.second)
    found: dict[str, Any] = {
        "embedded": one,
        "selector": any(
            one.encoder.label.split("#")[0] == s or _named(one.encoder.label, s) for s in pairs.selected_by
        ),
        "quantile": quantiles(space, values, settings.source.seed),
        "separability": pair_separability(one.x, pairs.first, pairs.second, seed=settings.source.seed),
    }
    if labels is not None:
        found |= _probed(one, images, pairs, labels, settings)
    text = _text(one, images, pairs, own)
    if text is not None:
        found["text"] = text
    verdicts = verdicts_of(found, own.similar, pairs, settings.probe.seed)
    return Scored(**found, verdicts=verdicts)


def _named(label: str, selector: str) -> bool:
    """Whether a label is of the family that selected a published benchmark."""
    return label.startswith(selector) and not label.startswith("random:")


def _probed(one: Embedded, images: Images, pairs: Pairs, labels: np.ndarray, settings: Settings) -> dict[str, Any]:
    """A probe of all images that have a label, which never saw the component of the pair that it answers."""
    have = np.flatnonzero(labels != "")
    classes, y = np.unique(labels[have], return_inverse=True)
    group = _united(images, pairs)[have]
    given = probes.feature_set(
        one.x[have], y.astype(np.int64), groups=[f"{g}" for g in group], ids=[images.ids[k] for k in have]
    )
    plan = probes.plan(
        y.astype(np.int64), [f"{g}" for g in group], classes=tuple(str(c) for c in classes), seed=settings.probe.seed,
        permutations=settings.probe.permutations,
    )  # fmt: skip
    found = probes.measure(given, plan, probe=settings.probe.probe, seed=settings.probe.seed)
    place = np.full(len(labels), -1)
    place[have] = np.arange(len(have))
    i, j = place[pairs.first], place[pairs.second]
    predictions = found.predictions
    outcome = []
    for scores in predictions.score:
        line = np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores
        a, b = y[i], y[j]
        margin = [line[p, a] - line[p, b] for p in (i, j)]  # towards the first image's answer
        outcome.append([margin[0] > 0, margin[1] < 0, two_afc(margin[0], margin[1])])
    whole = np.array(outcome, dtype=np.float64)  # [repeats, 3, pairs]
    right = (whole[:, 0] * whole[:, 1]).mean(axis=0)
    wrong = ((1 - whole[:, 0]) * (1 - whole[:, 1])).mean(axis=0)
    return {
        "right": right, "wrong": wrong, "individual": (whole[:, 0] + whole[:, 1]).mean(axis=0) / 2,
        "afc": whole[:, 2].mean(axis=0), "directional": directional_separability(predictions, i, j),
        "measurement": found,
    }  # fmt: skip


def _united(images: Images, pairs: Pairs) -> np.ndarray:
    """A number for what may not be split over folds: groups, copies and components of pairs, united."""
    from tasks.duplicates.components import merged_groups

    keys: list[list[str]] = [[f"copy {c}"] for c in images.copies]
    for k in range(len(pairs)):
        for end in (int(pairs.first[k]), int(pairs.second[k])):
            keys[end].append(f"component {pairs.component[k]}")
    merged = merged_groups(images.groups.tolist(), keys)
    return np.unique(merged, return_inverse=True)[1]


def _text(one: Embedded, images: Images, pairs: Pairs, own: ScoreSettings) -> Mapping[str, np.ndarray] | None:
    """Which pairs are matched with their texts; None where there are none, or nothing reads them."""
    texts = _texts(images, own)
    if texts is None:
        return None
    if one.site != "joint" or not one.encoder.card.text:
        if own.text is not None:
            raise UsageError(
                f"--text {own.text}: {one.name} has no text beside it; leave --text out, or read the joint space of an "
                "encoder that has a text tower"
            )
        return None
    bare = [k for k in range(len(pairs)) if not texts[pairs.first[k]] or not texts[pairs.second[k]]]
    if bare:
        raise DataError(f"{len(bare)} of {len(pairs)} pairs hold an image without a text")
    ends = np.unique(np.concatenate([pairs.first, pairs.second]))
    network = one.encoder.load()
    assert network.text is not None
    said = np.asarray(network.text([texts[k] for k in ends]), np.float64)
    row = {int(k): m for m, k in enumerate(ends)}
    unit_text = said / np.linalg.norm(said, axis=1, keepdims=True)
    unit_image = one.x.astype(np.float64) / np.linalg.norm(one.x.astype(np.float64), axis=1, keepdims=True)
    table = np.empty((len(pairs), 2, 2))
    for k in range(len(pairs)):
        both = (int(pairs.first[k]), int(pairs.second[k]))
        table[k] = [[unit_image[i] @ unit_text[row[j]] for j in both] for i in both]
    return matching(table)


def _texts(images: Images, own: ScoreSettings) -> list[str] | None:
    """The text of each image: of --text COLUMN, or what the benchmark says of it."""
    if own.text is not None:
        return [own.template.replace("{}", value) if value else "" for value in images.column(own.text)]
    if images.source.benchmark == "mmvp-vlm":
        return [f"a photo of {row.columns.get('statement', '')}" for row in images.rows]
    if images.source.benchmark in ("mediconfusion", "mmvp"):
        return [f"{row.columns.get('question', '')} {row.columns.get('answer', '')}".strip() for row in images.rows]
    return None


def verdicts_of(found: Mapping[str, Any], similar: float, pairs: Pairs, seed: int) -> list[str]:
    """One of the four verdicts for each pair.

    A pair below the quantile `similar` is apart. Of the others a probe tells one apart where it answers both images
    rightly in every repeat, and where over all pairs it does so more often than it exchanges them (sign-flip by
    component, p at most .05). It is not told apart where the probe does not, and silence means something: the probe's
    measurement is `absent`, so that a difference that would matter is excluded. Everything else is open.
    """
    right = found.get("right")
    if right is None:
        return [APART if q < similar else OPEN for q in found["quantile"]]
    test = sign_flip(found["right"] - found["wrong"], pairs.component, seed)
    works = test <= 0.05 and found["right"].sum() > found["wrong"].sum()
    silent = found["measurement"].state == "absent"
    verdicts = []
    for q, both in zip(found["quantile"], right, strict=True):
        if q < similar:
            verdicts.append(APART)
        elif works and both == 1:
            verdicts.append(SEPARABLE)
        else:
            verdicts.append(LOST if silent else OPEN)
    return verdicts


def _row(one: Scored, pairs: Pairs) -> dict[str, Any]:
    counts = {name.replace(" ", "_"): list(one.verdicts).count(name) for name in VERDICTS}
    return {
        "encoder": one.label, "pairs": len(pairs), "components": int(pairs.component.max()) + 1, **counts,
        "median_quantile": float(np.median(one.quantile)), "separability": float(np.median(one.separability)),
        "directional": None if one.directional is None else float(np.median(one.directional)),
        "probe": None if one.measurement is None else one.measurement.state,
    }  # fmt: skip


def _score_rows(one: Scored, pairs: Pairs, seed: int) -> list[dict[str, Any]]:
    """A row per score: set, individual, confusion and 2AFC of the probe, and the matchings with text."""
    rows = []
    if one.right is not None and one.wrong is not None and one.afc is not None and one.individual is not None:
        same = np.clip(1 - one.right - one.wrong, 0, 1)  # means of repeats: 1 - .8 - .2 is not 0
        for name, values, chance in (
            ("set", one.right, 0.25), ("individual", one.individual, 0.5), ("confusion", same, 0.5),
            ("2afc", one.afc, CHANCE["2afc"]),
        ):  # fmt: skip
            rows.append(_score_row(one, name, share(values, pairs.component), chance))
        rows[-1]["p"] = sign_flip(one.afc - 0.5, pairs.component, seed)
    for name, values in (one.text or {}).items():
        rows.append(_score_row(one, f"text: {name}", share(values.astype(float), pairs.component), CHANCE[name]))
    return rows


def _twice_row(one: Scored, pairs: Pairs, seed: int) -> dict[str, Any]:
    """Pairs whose images the probe answers both rightly in every repeat (s), against those that it exchanges (w)."""
    assert one.right is not None
    assert one.wrong is not None
    told = discrimination(one.right == 1, one.wrong == 1, pairs.component, seed)
    return {
        "encoder": one.label, "s": told.s, "w": told.w, "s_share": told.share, "s_share_low": told.low,
        "s_share_high": told.high, "binomial_p": told.p, "component_p": told.p_component,
    }  # fmt: skip


def _score_row(one: Scored, name: str, found: Share, chance: float) -> dict[str, Any]:
    return {
        "encoder": one.label, "score": name, "value": found.value, "low": found.low, "high": found.high,
        "chance": chance, "design_effect": found.design_effect, "p": None,
    }  # fmt: skip


def _category_rows(one: Scored, pairs: Pairs) -> list[dict[str, Any]]:
    rows = []
    for name in dict.fromkeys(pairs.category):
        here = np.array([c == name for c in pairs.category])
        row = {
            "encoder": one.label, "category": name, "pairs": int(here.sum()),
            "apart": int(sum(v == APART for v, h in zip(one.verdicts, here, strict=True) if h)),
            "median_quantile": float(np.median(one.quantile[here])),
            "set": None if one.right is None else float(one.right[here].mean()),
        }  # fmt: skip
        rows.append(row | {f"text_{k}": float(v[here].mean()) for k, v in (one.text or {}).items()})
    return rows


def _differences(scored: Sequence[Scored], pairs: Pairs, seed: int) -> list[dict[str, Any]]:
    """Paired differences between encoders that did not select the pairs, with Holm's adjusted p."""
    free = [one for one in scored if not one.selector and one.afc is not None]
    rows: list[dict[str, Any]] = []
    for a in range(len(free)):
        for b in range(a + 1, len(free)):
            first, second = free[a].afc, free[b].afc
            assert first is not None
            assert second is not None
            found = mean_difference(first - second, pairs.component)
            rows.append(
                {
                    "encoder": free[a].label, "other": free[b].label, "score": "2afc", "difference": found.value,
                    "low": found.low, "high": found.high, "p": sign_flip(first - second, pairs.component, seed),
                }
            )  # fmt: skip
    adjusted = probes.holm([row["p"] for row in rows]) if rows else []
    return [row | {"p_adjusted": float(p)} for row, p in zip(rows, adjusted, strict=True)]


def _words(one: Scored, pairs: Pairs, limit: float) -> str:
    counts = {name: list(one.verdicts).count(name) for name in VERDICTS}
    similar = len(pairs) - counts[APART]
    line = (
        f"{one.embedded.name}: {counts[APART]} of {len(pairs)} pairs lie apart, {similar} are similar (as near as a "
        f"share {limit:g} of all pairs is not)"
    )
    if one.measurement is not None and similar:
        line += f"; of these {counts[SEPARABLE]} are told apart by a probe, {counts[LOST]} are not"
        line += f", and of {counts[OPEN]} the data cannot say" if counts[OPEN] else ""
    if one.selector:
        line += "; it selected the pairs, so that this says nothing of how good it is"
    return line


def is_mediconfusion(source: Source, data: str | None) -> bool:
    """Whether images are those of MediConfusion: by their benchmark, or by the folder or manifest that was named."""
    near = [] if data is None else Path(data).parts[-2:]
    return source.benchmark == "mediconfusion" or any(part.lower().startswith("mediconfusion") for part in near)


def published_rows() -> list[dict[str, Any]]:
    """Rows of MediConfusion's published table, each held against what one set of answers can give (`consistent`)."""
    rows = []
    for model, way, both, individual, confusion in PUBLISHED:
        found = consistent(
            set_accuracy=both, individual_accuracy=individual, confusion=confusion, pairs=PAIRS,
            all_valid=way in ALWAYS_READABLE,
        )  # fmt: skip
        rows.append(
            {
                "model": model, "way": way or None, "set": both, "individual": individual, "confusion": confusion,
                "possible": found.possible, "readable_pairs": max(found.valids, default=None), "why_not": found.reason,
            }
        )  # fmt: skip
    return rows


def _impossible(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on published rows that no set of answers gives, and on those that leave many pairs unread."""
    lines = [f"published: {row['model']} is impossible: {row['why_not']}" for row in rows if not row["possible"]]
    few = [row for row in rows if row["possible"] and row["readable_pairs"] < PAIRS]
    if few:
        named = ", ".join(f"{row['model']} (at most {row['readable_pairs']} of {PAIRS})" for row in few)
        lines.append(f"published: confusion is over the pairs with two readable answers alone: {named}")
    return lines


def _notes(scored: Sequence[Scored], pairs: Pairs, asked: bool) -> list[str]:
    notes = [*pairs.notes]
    if pairs.selected_by:
        marked = [one.embedded.encoder.label for one in scored if one.selector]
        notes.append(
            f"{' and '.join(pairs.selected_by)} selected these pairs"
            + (
                f": {', '.join(marked)} {'is' if len(marked) == 1 else 'are'} marked and never ranked on them"
                if marked
                else "; none of them is asked here"
            )
        )
    else:
        notes.append("who selected these pairs is not on record: an encoder that did may not be ranked on them")
    if not asked:
        notes.append("no --label: similarity alone is scored, and whether a probe tells the pairs apart is open")
    largest = int(np.bincount(pairs.component).max())
    if largest > 1:
        notes.append(
            f"{len(pairs)} pairs hang together in {int(pairs.component.max()) + 1} components, the largest of "
            f"{largest}: intervals and tests are by component"
        )
    return notes


def _as_csv(scored: Sequence[Scored], images: Images, pairs: Pairs) -> bytes:
    """A row per pair and encoder: quantile, separabilities, answers and verdict."""
    rows = []
    for one in scored:
        optional = {"directional": one.directional, "right": one.right, "wrong": one.wrong, "afc": one.afc}
        for k in range(len(pairs)):
            rows.append(
                {
                    "id_1": images.ids[pairs.first[k]], "id_2": images.ids[pairs.second[k]],
                    "component": int(pairs.component[k]), "encoder": one.label,
                    "quantile": f"{one.quantile[k]:.6g}", "separability": f"{one.separability[k]:.6g}",
                    **{name: None if v is None else f"{v[k]:.6g}" for name, v in optional.items()},
                    "verdict": one.verdicts[k],
                }
            )  # fmt: skip
    return as_csv(rows)
