"""Mine the pairs of images that an encoder confuses and a reference tells apart."""

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

import cache
import probes.pairs as pairs_package
from probes.pairs import mining, yields
from probes.pairs.mining import Box, Filter, Miner, Space
from slitlamp.encoding.encoder import named
from slitlamp.encoding.images import ImageSet
from slitlamp.keys import code_digest, digest
from slitlamp.pairs import figures, gallery
from slitlamp.pairs.result import PairResult
from slitlamp.pairs.settings import MineSettings
from slitlamp.pairs.spaces import Embedded, Images, embed, open_images
from slitlamp.pairs.strips import MinedFile, mine_to_file, write_copy
from slitlamp.settings import Settings
from tasks import DataError, Picture

SHEET = 12  # pairs on a printed sheet
POOL = 5000  # images that quantiles, means and covariances rest on
GROUP, COPIES, ARTICLE = "of one group", "copies", "of one article"


@dataclass(frozen=True, kw_only=True, eq=False)
class Mined:
    """The pairs mined against one reference, and those mined the other way round."""

    encoder: Embedded
    reference: Embedded
    first: Space
    second: Space
    frames: tuple[mining.Frame, mining.Frame]
    box: Box
    plane: yields.Plane
    file: MinedFile
    reverse: MinedFile

    def name_of(self, stem: str) -> str:
        """The file of the pairs, or of those mined the other way round, in a folder of results."""
        return f"{stem}-{re.sub(r'[^A-Za-z0-9.#-]+', '_', self.reference.encoder.label).strip('_')}.parquet"

    @property
    def data(self) -> dict[str, Callable[[Path], None]]:
        """How each file of pairs comes into a folder of results: it is mined once, whatever folder it is wanted in."""
        both = {"pairs": self.file, "reverse": self.reverse}
        return {self.name_of(stem): partial(write_copy, mined.path) for stem, mined in both.items()}

    @cached_property
    def hits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the mined pairs those with the largest difference, at most 5,000: ids [m, 2], similarities [m, 2], gap."""
        return top_pairs(self.file.path, 5000)


def mined_pairs(
    settings: Settings, own: MineSettings, images: Images, store: "cache.Store"
) -> tuple[list[Mined], list[str]]:
    """The pairs mined against every reference, and sentences about the images; files go to --out or into the store."""
    encoder = embed(next(iter(named(settings.encoder))), settings, images, store)
    filters, notes, lacking = _filters(images, own)
    keep = _without(images, lacking)
    found = []
    for spec in own.reference:
        reference = embed(spec, at_reference(settings, own), images, store)
        found.append(_mined(settings, own, images, encoder, reference, filters, keep, store.root / "pairs"))
    return found, notes


def at_reference(settings: Settings, own: MineSettings) -> Settings:
    """The settings with the point at which references are read."""
    return settings.but(site=_listed(own.reference_site), readout=_listed(own.reference_readout))


def _listed(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def mine(settings: Settings, own: MineSettings, command: str) -> PairResult:
    """Mine against every reference, and write pairs, figures and gallery; see `slitlamp.mine`."""
    store = cache.Store(cache.default_root())
    images = long_captioned(open_images(settings, store), own)
    found, notes = mined_pairs(settings, own, images, store)
    encoder = found[0].encoder
    rows = [_row(one, images, reverse) for one in found for reverse in (False, True)]
    again = [_measured_again(one, images, own, settings, store) for one in found] if own.remeasure else []
    panels = [
        figures.Panel(
            encoder=encoder.encoder.label, reference=one.reference.encoder.label, plane=one.plane,
            mined=one.file.kept + one.file.capped,
        )
        for one in found
    ]  # fmt: skip
    drawn = {
        "plane": partial(figures.plane_figure, panels),
        "yield": partial(figures.yield_figure, panels),
    }
    sentences = [line for one in found for line in _sentences(one)]
    sentences += [line for one in again for line in one[1]]
    tables = {"pairs": rows} | ({"measured again": [row for one in again for row in one[0]]} if again else {})
    sections = [_section(one, images, own) for one in found]
    sheets = {(f"sheet-{k}" if len(found) > 1 else "sheet"): pairs for k, (_, pairs) in enumerate(sections, 1) if pairs}
    if _visible(images, own):
        drawn |= {name: partial(gallery.sheet, pairs[:SHEET]) for name, pairs in sheets.items()}
    said = images.notes([encoder.encoder, *(one.reference.encoder for one in found)])
    page = _page(sections, images, own, [*sentences, *said])
    data = {name: save for one in found for name, save in one.data.items()}
    return PairResult(
        experiment="pairs mine", tables=tables, sentences=sentences, notes=[*said, *notes],
        figures=drawn, data=data | {"gallery.html": lambda path: cache.write_atomically(path, page)}, command=command,
        summary=f"{encoder.encoded + sum(m.reference.encoded for m in found)} images encoded",
    )  # fmt: skip


def long_captioned(images: Images, own: MineSettings) -> Images:
    """The images whose caption is long enough."""
    if not own.caption_length:
        return images
    assert own.caption is not None
    keep = [k for k, text in enumerate(images.column(own.caption)) if len(text) >= own.caption_length]
    if len(keep) < 2:
        raise DataError(
            f"{len(keep)} of {len(images)} images have a caption of {own.caption_length} characters or more in "
            f"{own.caption!r}; a pair needs two"
        )
    return images.take(keep)


def _filters(images: Images, own: MineSettings) -> tuple[list[Filter], list[str], set[int]]:
    """Reasons to leave a pair out in the order in which they are counted, sentences, and images that are in no pair."""
    notes: list[str] = []
    found = [Filter(name=GROUP, codes=_codes(images.groups))]
    if not own.copies_too:
        found.append(Filter(name=COPIES, codes=images.copies))
    if own.article is not None:
        found.append(_article_filter(images, own.article, notes))
    lacking: set[int] = set()
    for column in own.differ:
        values, said = images.answers(column)
        notes += [line for line in said if line not in images.source.warnings]
        lacking |= {k for k, value in enumerate(values) if value == ""}
        found.append(Filter(name=f"alike in {column}", codes=_codes(np.array([str(value) for value in values]))))
    return found, notes, lacking


def _article_filter(images: Images, column: str, notes: list[str]) -> Filter:
    """Pairs of one article are left out; an image without one may pair with any."""
    values = images.column(column)
    empty = [k for k, value in enumerate(values) if not value]
    if len(empty) == len(values):
        raise DataError(f"no image has a value in column {column!r}")
    codes = _codes(np.array(values))
    if empty:
        notes.append(f"{len(empty)} of {len(values)} images have no {column}; they may pair with any image")
        codes[empty] = codes.max() + 1 + np.arange(len(empty))
    return Filter(name=ARTICLE, codes=codes)


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _mined(
    settings: Settings, own: MineSettings, images: Images, encoder: Embedded, reference: Embedded,
    filters: Sequence[Filter], keep: np.ndarray, folder: Path,
) -> Mined:  # fmt: skip
    pool = None
    if len(images) > POOL:
        pool = np.sort(np.random.default_rng([settings.source.seed, 29]).permutation(len(images))[:POOL])
    frames, spaces = [], []
    for one in (encoder, reference):
        frame = mining.frame_of(
            one.x, one.name, centre=own.rule == "quantile", whiten=own.space == "whitened", pool=pool
        )
        unit = frame.place(one.x, images.ids)
        space = Space(name=one.name, unit=unit, offset=np.zeros(len(unit)))
        frames.append(frame)
        spaces.append(mining.csls(space) if own.space == "csls" else space)
    first, second = spaces
    low, high = own.thresholds
    boxes = [
        Box(at_least=mining.at_quantile(a, low, pool), at_most=mining.at_quantile(b, high, pool))
        if own.rule == "quantile"
        else Box(at_least=low, at_most=high, strict=own.rule == "mmvp")
        for a, b in ((first, second), (second, first))
    ]
    files = []
    for stem, a, b, box in (("pairs", first, second, boxes[0]), ("reverse", second, first, boxes[1])):
        miner = Miner(
            first=a.take(keep), second=b.take(keep), box=box,
            filters=[Filter(name=f.name, codes=f.codes[keep]) for f in filters],
            device=encoder.encoder.device if encoder.encoder.device.startswith("cuda") else "cpu",
        )  # fmt: skip
        key = digest(
            [[e.encoder.fingerprint, e.site, e.readout, str(e.encoder.dtype)] for e in (encoder, reference)]
            + [images.pictures.contents, images.ids, keep.tolist(), own.rule, own.space, box.at_least, box.at_most]
            + [[f.name, f.codes.tolist()] for f in filters]
            + [stem, own.cap, code_digest(str(Path(pairs_package.__file__).parent))]
        )
        selected = {
            "selected_by": [encoder.encoder.label, reference.encoder.label],
            "source": images.source.name,
            "rule": own.rule,
            "at_least": box.at_least,
            "at_most": box.at_most,
        }
        ids = [images.ids[k] for k in keep]
        mined = mine_to_file(
            folder, miner, ids, key=key, cap=own.cap, threads=settings.probe.jobs or os.cpu_count() or 1, about=selected
        )
        files.append(mined)
    inner = tuple(Filter(name=f.name, codes=f.codes[keep]) for f in filters)
    plane = yields.plane(
        first.take(keep),
        second.take(keep),
        boxes[0],
        inner,
        seed=settings.source.seed,
        corner=own.thresholds if own.rule == "quantile" else None,
    )
    return Mined(
        encoder=encoder, reference=reference, first=first, second=second, frames=(frames[0], frames[1]), box=boxes[0],
        plane=plane, file=files[0], reverse=files[1],
    )  # fmt: skip


def _without(images: Images, places: Collection[int]) -> np.ndarray:
    left = np.setdiff1d(np.arange(len(images)), np.array([*places], dtype=np.int64))
    if len(left) < 2:
        raise DataError(f"{len(left)} images are left to pair")
    return left


def top_pairs(path: Path, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of a file with the largest difference of similarities: ids [m, 2], similarities [m, 2], gap [m]."""
    import pyarrow.parquet as pq

    held: list[tuple[np.ndarray, np.ndarray]] = []

    def best() -> tuple[np.ndarray, np.ndarray]:
        ids, both = np.concatenate([h[0] for h in held]), np.concatenate([h[1] for h in held])
        order = np.argsort(both[:, 1] - both[:, 0], kind="stable")[:count]
        return ids[order], both[order]

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1 << 16):
            columns = [batch.column(k).to_numpy(zero_copy_only=False) for k in range(4)]
            held.append((np.column_stack(columns[:2]), np.column_stack(columns[2:]).astype(np.float64)))
            held = [best()]
    if not held:
        return np.empty((0, 2), object), np.empty((0, 2)), np.empty(0)
    ids, both = best()
    return ids, both, both[:, 0] - both[:, 1]


def _row(one: Mined, images: Images, reverse: bool) -> dict[str, Any]:
    """A line of the table: what was looked at, found and left out."""
    file = one.reverse if reverse else one.file
    ends = (one.reference, one.encoder) if reverse else (one.encoder, one.reference)
    share, low, high = one.plane.prevalence()
    left = {f"left_out_{name.replace(' ', '_')}": count for name, count in file.tally.removed.items()}
    return {
        "near_in": ends[0].name,
        "apart_in": ends[1].name,
        "images": len(images),
        "pairs": file.tally.pairs,
        **left,
        "found": file.kept,
        "over_the_cap": file.capped,
        "per_million": 1e6 * (file.kept + file.capped) / file.tally.pairs,
        "random_draw_per_million": None if reverse or one.plane.exact else 1e6 * share,
        "random_draw_per_million_low": None if reverse or one.plane.exact else 1e6 * low,
        "random_draw_per_million_high": None if reverse or one.plane.exact else 1e6 * high,
        "file": one.name_of("reverse" if reverse else "pairs"),
    }


def _sentences(one: Mined) -> list[str]:
    a, b = one.encoder.encoder.label, one.reference.encoder.label
    kept = one.file.kept
    more, less = ("more than ", "less than ") if one.box.strict else ("at least ", "at most ")
    removed = [f"{count:,} {name}" for name, count in one.file.tally.removed.items() if count]
    lines = [
        f"{kept:,} pair{'s are' if kept != 1 else ' is'} near in {a} (similarity {more}{one.box.at_least:.3f}) and "
        f"apart in {b} ({less}{one.box.at_most:.3f}); {one.reverse.kept:,} the other way round"
        + (f"; left out of those in the box: {', '.join(removed)}" if removed else "")
    ]
    if one.file.capped:
        lines.append(f"the cap per image took {one.file.capped:,} of {kept + one.file.capped:,} pairs away")
        if not kept:
            lines.append("the cap hides every pair: raise --cap")
    whole = kept + one.file.capped
    _, low, high = one.plane.prevalence()
    if not one.plane.exact and not low <= whole / one.plane.pairs <= high:
        lines.append(
            f"warning: the share of mined pairs, {whole / one.plane.pairs:.2e}, lies outside the interval of a random "
            f"draw [{low:.2e}, {high:.2e}], which happens once in twenty runs; look before you trust either"
        )
    if kept:
        lines.append(
            f"{a} and {b} selected these pairs: they were chosen for being alike in {a} and not in {b}, so neither may "
            "be ranked on them; compare other encoders, and look at the reverse-mined pairs"
        )
    elif not one.file.capped:
        lines.append("lower --at-least or raise --at-most: the figure yield counts pairs over all thresholds")
    return lines


def _measured_again(
    one: Mined, images: Images, own: MineSettings, settings: Settings, store: "cache.Store"
) -> tuple[list[dict[str, Any]], list[str]]:
    """The similarities of mined pairs when their images are taken again, a little otherwise."""
    from tasks.images.perturb import augmented

    ids, both, _ = one.hits
    place = {name: k for k, name in enumerate(images.ids)}
    chosen = np.sort(np.random.default_rng([settings.source.seed, 31]).permutation(len(ids))[: own.remeasure])
    if not len(chosen):
        return [], []
    ends = np.array([[place[a], place[b]] for a, b in ids[chosen]])
    members = np.unique(ends)

    def shown(k: int, draw: int) -> np.ndarray:
        return augmented(images.pictures.read(k), draw)

    pictures = ImageSet(
        pictures=[Picture(read=partial(shown, int(k), int(k)), identity=_again(images, int(k))) for k in members],
        names=[images.ids[k] for k in members],
        store=store,
    )
    rows, where = [], {int(k): m for m, k in enumerate(members)}
    again = []
    for side, (space, embedded, frame) in enumerate(
        zip((one.first, one.second), (one.encoder, one.reference), one.frames, strict=True)
    ):
        unit = frame.place(embedded.of(pictures, images.source), pictures.names)
        placed = Space(name=space.name, unit=unit, offset=space.offset[members], scale=space.scale)
        i, j = (np.array([where[int(k)] for k in ends[:, s]]) for s in (0, 1))
        value = placed.similarities(i, j)
        again.append(value)
        rows.append(
            {
                "near_in": one.encoder.name, "apart_in": one.reference.name, "measured_in": embedded.name,
                "pairs": len(chosen), "mined": float(both[chosen, side].mean()), "again": float(value.mean()),
                "again_quantile": float(np.median(yields.quantiles(space, value, settings.source.seed))),
                "image_to_itself_again": float(_to_itself(space, placed, members).mean()),
            }
        )  # fmt: skip
    inside = float(np.mean((again[0] >= one.box.at_least) & (again[1] <= one.box.at_most)))
    rows = [row | {"still_inside": inside} for row in rows]
    lines = [
        f"taken again a little otherwise, {round(inside * len(chosen))} of {len(chosen)} pairs against "
        f"{one.reference.encoder.label} are still near and apart: mean similarity {rows[0]['mined']:.3f} becomes "
        f"{rows[0]['again']:.3f} in {one.encoder.encoder.label} (an image and itself taken again: "
        f"{rows[0]['image_to_itself_again']:.3f}) and {rows[1]['mined']:.3f} becomes "
        f"{rows[1]['again']:.3f} in {one.reference.encoder.label} (an image and itself: "
        f"{rows[1]['image_to_itself_again']:.3f}). Both the luck of selection and the change of the images move them"
    ]
    return rows, lines


def _again(images: Images, k: int) -> str:
    return digest(["augmented", images.pictures.contents[k], k])


def _to_itself(space: Space, placed: Space, members: np.ndarray) -> np.ndarray:
    """The similarity of each image to itself taken again, [m]: what a pair of equal images would come to."""
    both = Space(
        name=space.name, unit=np.concatenate([space.unit[members], placed.unit]),
        offset=np.concatenate([space.offset[members], placed.offset]), scale=space.scale,
    )  # fmt: skip
    return both.similarities(np.arange(len(members)), len(members) + np.arange(len(members)))


def _visible(images: Images, own: MineSettings) -> bool:
    """Whether images may be shown: phantoms, and a user's own where they are asked for."""
    return images.source.synthetic or own.thumbnails


def _section(one: Mined, images: Images, own: MineSettings) -> tuple[str, list[gallery.Shown]]:
    """The title of a reference's pairs, and those that are shown."""
    return f"Near in {one.encoder.name}, apart in {one.reference.name}", _shown(one, images, own, _visible(images, own))


def _page(
    sections: Sequence[tuple[str, list[gallery.Shown]]], images: Images, own: MineSettings, sentences: Sequence[str]
) -> str:
    """The gallery page."""
    words = [
        f"{images.source.name}: {len(images)} images. The pairs that differ most, no image more than twice, and no two "
        "groups more than once.",
        *sentences,
    ]
    if not _visible(images, own):
        words.append("Your own images are not shown; --thumbnails shows them.")
    return gallery.page("Pairs of images that an encoder confuses", words, sections)


def _shown(one: Mined, images: Images, own: MineSettings, visible: bool) -> list[gallery.Shown]:
    """The pairs that differ most, each image in at most two of them, and two groups in one."""
    ids, both, _ = one.hits
    place = {name: k for k, name in enumerate(images.ids)}
    captions = images.column(own.caption) if own.caption is not None else None
    used: dict[str, int] = {}
    met: set[frozenset[str]] = set()
    found: list[gallery.Shown] = []
    for (a, b), (s, r) in zip(ids, both, strict=True):
        if len(found) == own.show:
            break
        ends = (place[a], place[b])
        both_groups = frozenset(images.rows[k].group for k in ends)
        if used.get(a, 0) > 1 or used.get(b, 0) > 1 or both_groups in met:
            continue
        used[a], used[b] = used.get(a, 0) + 1, used.get(b, 0) + 1
        met.add(both_groups)
        lines = [f"{one.encoder.encoder.label} {s:.3f}", f"{one.reference.encoder.label} {r:.3f}"]
        lines += [
            f"{column}: {' against '.join(images.rows[k].columns.get(column, '') or '-' for k in ends)}"
            for column in own.differ
        ]
        found.append(
            gallery.Shown(
                ids=(a, b),
                images=tuple(images.pictures.read(k) if visible else None for k in ends),  # type: ignore[arg-type]
                lines=lines,
                captions=(captions[ends[0]], captions[ends[1]]) if captions else ("", ""),
            )
        )
    return found
