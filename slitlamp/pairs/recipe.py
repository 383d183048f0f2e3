"""Which recipe gave published similarities: encoder, site, readout and centring, held against the published numbers."""

from typing import Any

import numpy as np

import cache
from probes.pairs.mining import Space, frame_of
from slitlamp.encoding.encoder import named
from slitlamp.encoding.fill import encode_missing
from slitlamp.errors import UsageError
from slitlamp.pairs.result import PairResult
from slitlamp.pairs.score import pairs_of
from slitlamp.pairs.settings import RecipeSettings
from slitlamp.pairs.spaces import Images, open_images, stored
from slitlamp.settings import Settings
from tasks import DataError

PUBLISHED = ("biomedclip_similarity", "dino_similarity")  # columns of MediConfusion's rows
ENOUGH = 10  # pairs that one of a hundred recipes does not meet by luck
EQUAL = 0.005  # half a unit of the second digit, and some room for decoders


def recipe(settings: Settings, own: RecipeSettings, command: str) -> PairResult:
    """Compute the similarity of the pairs in every way, and compare with the published one; see `slitlamp.recipe`."""
    store = cache.Store(cache.default_root())
    images = open_images(settings, store)
    pairs = pairs_of(images, None)
    columns = own.published or tuple(c for c in PUBLISHED if any(c in row.columns for row in images.rows))
    if not columns:
        raise UsageError(
            f"{images.source.name} has no published similarities; name the column with --published (MediConfusion's "
            f"rows have {' and '.join(PUBLISHED)})"
        )
    published = {column: _numbers(images, column, pairs.first) for column in columns}
    rows: list[dict[str, Any]] = []
    asked = [stored(spec, settings, store) for spec in named(settings.encoder)]
    for encoder in asked:
        points = encoder.points(0)
        table = encode_missing(encoder, images.pictures, points, images.source.policy)
        for site, readout, _ in points:
            x = table.read(f"{site}/{readout}")
            for centre in (False, True):
                name = f"{encoder.label} {site}/{readout}"
                unit = frame_of(x, name, centre=centre).place(x, images.ids)
                value = Space(name=name, unit=unit, offset=np.zeros(len(x))).similarities(pairs.first, pairs.second)
                rows += [_row(name, centre, column, value, published[column], own) for column in columns]
    rows.sort(key=lambda row: (row["published"], row["largest_difference"]))
    return PairResult(
        experiment="pairs recipe", tables={"recipes": rows}, sentences=[_words(rows, column) for column in columns],
        notes=images.notes(asked), command=command, summary=f"{len(rows)} recipes held against published numbers",
    )  # fmt: skip


def _numbers(images: Images, column: str, first: np.ndarray) -> np.ndarray:
    """The published number of each pair, nan where it has none; DataError for a text, or for no number at all."""
    found = np.full(len(first), np.nan)
    for k, value in enumerate(np.array(images.column(column))[first]):
        if value:
            try:
                found[k] = float(value)
            except ValueError:
                raise DataError(f"{column} of {images.ids[first[k]]} is {value!r}, which is no number") from None
    if not np.isfinite(found).any():
        raise DataError(f"no pair has a number in {column}; a recipe needs published similarities")
    return found


def _row(
    name: str, centre: bool, column: str, value: np.ndarray, published: np.ndarray, own: RecipeSettings
) -> dict[str, Any]:
    have = np.isfinite(published)
    ours, theirs = value[have], published[have]
    gap = ours - theirs
    spread = len(gap) > 2 and ours.std() > 0 and theirs.std() > 0
    row = {
        "published": column, "recipe": name, "features": "centred" if centre else "as they are", "pairs": len(gap),
        "largest_difference": float(np.abs(gap).max()), "mean_difference": float(gap.mean()),
        "correlation": float(np.corrcoef(ours, theirs)[0, 1]) if spread else None,
    }  # fmt: skip
    flips = {f"flips_over_{t:g}": int(((ours >= t) != (theirs >= t)).sum()) for t in map(float, own.threshold)}
    return row | flips


def _words(rows: list[dict[str, Any]], column: str) -> str:
    best = next(row for row in rows if row["published"] == column)
    line = (
        f"{column}: nearest is {best['recipe']}, {best['features']}: largest difference "
        f"{best['largest_difference']:.3f}, mean {best['mean_difference']:+.3f} over {best['pairs']} pairs"
    )
    if best["largest_difference"] > EQUAL:
        line += "; none of these recipes gives the published numbers"
    elif best["pairs"] < ENOUGH:
        many = sum(row["published"] == column for row in rows)
        line += f"; of {many} recipes one comes as near by luck on so few pairs, so that this identifies none"
    return line
