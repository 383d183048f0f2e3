"""What the command about maps is asked for, beside the settings of every run."""

from dataclasses import dataclass

from plugins import hint
from slitlamp.commands import Command
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag, check_bounds, unused_flags

MAPS = ("pca", "umap")
METRICS = ("euclidean", "cosine")
WIDTHS = ("85", "175")
FLAGS = (
    "task", "data", "label", "classes", "number", "not_missing", "group", "volumes", "image_column", "window",
    "intercept", "exif", "unreadable", "copies", "spelling", "items", "limit", "seed",
    "encoder", "site", "readout", "weights", "other_weights", "image_size", "offline", "device", "dtype", "batch_size",
    "probe", "permutations", "out", "replace", "dry_run", "json", "debug",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """Which maps are drawn, by what they are coloured, and what is shown of the images."""

    map: tuple[str, ...] = _flag(MAPS, "maps to draw: pca, umap; the view of the probe is always beside them",
                                 metavar="MAP")  # fmt: skip
    colour: tuple[str, ...] = _flag(
        (),
        "what to colour by: answer, group, a column of the manifest, or a fact of the images such as brightness "
        "(omitted: all that is known)",
        metavar="COLUMN",
    )
    neighbours: int = _flag(15, "nearest neighbours, of the map and of every number under it", metavar="K")
    min_dist: float = _flag(0.1, "least distance of points in a UMAP (of looks alone)", metavar="D")
    metric: str = _flag("euclidean", "distance of features: euclidean, or cosine (length taken off first)",
                        choices=METRICS)  # fmt: skip
    moved: int = _flag(12, "images to show whose neighbours changed most between two encoders or sites", metavar="N")
    thumbnails: bool = _flag(False, "show your own images on the page and in figures (phantoms are always shown)")
    width: str = _flag("175", "width of the figures in mm: 85 (one column) or 175 (two)", choices=WIDTHS)


def check_maps(settings: Settings, own: MapSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    unused_flags(settings)
    if not own.map:
        raise UsageError(f"--map names no map; there are {', '.join(MAPS)}")
    for name in own.map:
        if name not in MAPS:
            raise UsageError(f"--map {name}: {hint(name, MAPS)}there are {', '.join(MAPS)}")
    if len(settings.source.task) > 1:
        raise UsageError(f"--task {' '.join(settings.source.task)}: a map is coloured by the answer of one question")
    if own.neighbours < 2:
        raise UsageError(f"--neighbours {own.neighbours}: must be at least 2")
    if not 0 <= own.min_dist <= 1:
        raise UsageError(f"--min-dist {own.min_dist:g}: must be from 0 to 1")
    if own.moved < 0:
        raise UsageError(f"--moved {own.moved}: must be at least 0")
    if own.thumbnails and settings.source.data is None:
        raise UsageError("--thumbnails has nothing to act on: phantoms are always shown")
    if settings.source.volumes and settings.source.data is None:
        raise UsageError("--volumes needs --data SOURCE (NIfTI files or DICOM series): the built-in phantoms are flat")


COMMAND = Command(
    name="embedding_plot",
    about="what an embedding looks like in two dimensions, and whether the picture may be believed",
    own=MapSettings,
    flags=FLAGS,
    default=Settings.of(out=""),
    check=check_maps,
    home="slitlamp.embedding.run.embed",
    of_answers=True,
    asks=lambda settings, _: settings.encoder.encoder,
    unpriced="the probes and the maps",
)
