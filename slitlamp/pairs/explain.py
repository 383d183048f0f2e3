"""Why two images are the same to an encoder: which regions of each carry the similarity, by leaving them out."""

from functools import partial
from typing import Any

import numpy as np

import cache
from probes.pairs.mining import frame_of
from slitlamp.encoding.encoder import named
from slitlamp.encoding.images import ImageSet
from slitlamp.keys import digest
from slitlamp.pairs.figures import regions_figure
from slitlamp.pairs.result import PairResult
from slitlamp.pairs.settings import ExplainSettings
from slitlamp.pairs.spaces import Images, embed, open_images
from slitlamp.settings import Settings
from tasks import DataError, Picture

CONTROLS = 5  # other images that the same regions are left out against


def explain(settings: Settings, own: ExplainSettings, command: str) -> PairResult:
    """Leave out each region of both images, and see what is left of their similarity; see `slitlamp.explain`."""
    store = cache.Store(cache.default_root())
    images = open_images(settings, store)
    places = [images.place(name) for name in own.images]
    if places[0] == places[1]:
        raise DataError(f"both images are {images.ids[places[0]]!r}; a pair is two images")
    one = embed(next(iter(named(settings.encoder))), settings, images, store)
    frame = frame_of(one.x, one.name, centre=True)
    unit = frame.place(one.x, images.ids).astype(np.float64)
    whole = float(unit[places[0]] @ unit[places[1]])
    others = _others(images, places, settings.source.seed)
    notes = [] if len(others) else ["no other image is there: whether these regions matter to all images is not known"]
    rows: list[dict[str, Any]] = []
    maps, carried = [], []
    for side, (a, b) in enumerate((places, places[::-1])):
        left = frame.place(one.of(_without(images, a, own.grid), images.source)).astype(np.float64)
        drop = whole - left @ unit[b]
        control = ((unit[a] @ unit[others].T)[None] - left @ unit[others].T).mean(axis=1) if len(others) else None
        maps.append(drop.reshape(own.grid, own.grid))
        if control is not None and drop.std() > 0 and control.std() > 0:
            carried.append(float(np.corrcoef(drop, control)[0, 1]))
        for k in np.argsort(-drop):
            row, column = divmod(int(k), own.grid)
            rows.append(
                {
                    "image": images.ids[a], "side": side + 1, "row": row + 1, "column": column + 1,
                    "similarity_without": float(whole - drop[k]), "drop": float(drop[k]),
                    "drop_to_others": None if control is None else float(control[k]),
                }
            )  # fmt: skip
    rows.sort(key=lambda row: -row["drop"])
    best = rows[0]
    sentences = [
        f"{one.name}: similarity {whole:.3f} (centred cosine). The region that carries most of it is row "
        f"{best['row']}, column {best['column']} of {best['image']}: without it {best['similarity_without']:.3f}",
        *_caution(carried, len(others), whole, rows),
    ]
    visible = images.source.synthetic or own.thumbnails
    pictures = [images.pictures.read(k) for k in places] if visible else [None, None]
    drawn = {"regions": partial(regions_figure, pictures, maps, [images.ids[k] for k in places], whole, one.name)}
    return PairResult(
        experiment="pairs explain", tables={"regions": rows}, sentences=sentences,
        notes=[*images.notes([one.encoder]), *notes], figures=drawn, command=command,
        summary=f"{2 * own.grid**2} regions left out",
    )  # fmt: skip


def _without(images: Images, place: int, grid: int) -> ImageSet:
    """The image with each of grid x grid regions filled by the image's mean, in reading order."""
    content = images.pictures.contents[place]

    def shown(k: int) -> np.ndarray:
        image = np.array(images.pictures.read(place))
        h, w = image.shape[:2]
        row, column = divmod(k, grid)
        rows = slice(row * h // grid, (row + 1) * h // grid)
        columns = slice(column * w // grid, (column + 1) * w // grid)
        image[rows, columns] = np.rint(image.reshape(h * w, -1).mean(axis=0)).astype(np.uint8).reshape(image.shape[2:])
        return image

    return ImageSet(
        pictures=[
            Picture(read=partial(shown, k), identity=digest(["left out", content, grid, k])) for k in range(grid**2)
        ],
        names=[f"{images.ids[place]} without region {k + 1}" for k in range(grid**2)],
        store=images.pictures.store,
    )


def _others(images: Images, places: list[int], seed: int) -> np.ndarray:
    """Some other images, drawn by a seed, of other groups where there are any."""
    groups = images.groups
    own = {groups[k] for k in places}
    free = [k for k in range(len(images)) if k not in places and groups[k] not in own]
    free = free or [k for k in range(len(images)) if k not in places]
    if not free:
        return np.array([], int)
    return np.random.default_rng([seed, len(images), 61]).permutation(free)[:CONTROLS]


def _caution(carried: list[float], controls: int, whole: float, rows: list[dict[str, Any]]) -> list[str]:
    """What must be said before a map is believed."""
    lines = []
    if max(carried, default=0.0) > 0.7:
        lines.append(
            f"the same regions carry the similarity to {controls} other images (correlation {max(carried):.2f}): they "
            "tell what the encoder looks at, not what these two images share"
        )
    if rows[0]["drop"] < 0.05 * max(abs(whole), 1e-9):
        lines.append("no single region carries more than a twentieth of it: the similarity is spread over the image")
    return lines
