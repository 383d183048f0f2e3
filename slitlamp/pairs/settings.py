"""What the commands about pairs are asked for, beside the settings of every run."""

from dataclasses import dataclass

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag, check_bounds, unused_flags

RULES = ("quantile", "mediconfusion", "mmvp")
SPACES = ("cosine", "csls", "whitened")
PRESETS = {"quantile": (0.999, 0.5), "mediconfusion": (0.9, 0.75), "mmvp": (0.95, 0.6)}
SOURCE = (
    "task",
    "data",
    "group",
    "image_column",
    "window",
    "intercept",
    "exif",
    "unreadable",
    "items",
    "limit",
    "seed",
)
ENCODER = (
    "encoder",
    "site",
    "readout",
    "weights",
    "other_weights",
    "image_size",
    "offline",
    "device",
    "dtype",
    "batch_size",
)
OUTPUT = ("out", "replace", "dry_run", "json", "debug")


@dataclass(frozen=True, kw_only=True)
class MineSettings:
    """Which pairs are mined, and which are left out."""

    reference: tuple[str, ...] = _flag(
        ("random:phantom-clip", "pixels"), "encoders that must tell the images apart", metavar="NAME"
    )
    reference_site: str | None = _flag(
        None, "where a reference is read (omitted: joint, pooled or last)", metavar="SITE"
    )
    reference_readout: str | None = _flag(None, "how a reference is read", metavar="READOUT")
    rule: str = _flag(
        "quantile",
        "thresholds as quantiles of all pairs of centred features (.999, .5), or the published ones on raw cosines: "
        "mediconfusion (>= .90, <= .75), mmvp (> .95, < .60)",
        choices=RULES,
    )
    at_least: float | None = _flag(None, "least similarity in the encoder (a quantile, or a cosine)", metavar="A")
    at_most: float | None = _flag(None, "largest similarity in the reference", metavar="B")
    space: str = _flag("cosine", "similarity: cosine, csls (hubs taken down), or whitened", choices=SPACES)
    differ: tuple[str, ...] = _flag((), "columns whose values must differ within a pair", metavar="COLUMN")
    article: str | None = _flag(None, "column of the article: no pair from one", metavar="COLUMN")
    caption: str | None = _flag(None, "column of captions, for the page and --caption-length", metavar="COLUMN")
    caption_length: int = _flag(0, "leave out images whose caption is shorter (MediConfusion: 100)", metavar="N")
    cap: int | None = _flag(None, "keep the N pairs of an image that differ most; the rest is counted", metavar="N")
    copies_too: bool = _flag(False, "keep pairs of copies of one image (they are left out and counted otherwise)")
    remeasure: int = _flag(60, "mined pairs measured again under fresh augmentations (0: none)", metavar="N")
    show: int = _flag(24, "pairs on the gallery page", metavar="N")
    thumbnails: bool = _flag(False, "show your own images on the page (phantoms are always shown)")

    @property
    def thresholds(self) -> tuple[float, float]:
        """The two thresholds of the rule, or what was given instead."""
        low, high = PRESETS[self.rule]
        return (low if self.at_least is None else self.at_least, high if self.at_most is None else self.at_most)


@dataclass(frozen=True, kw_only=True)
class ModesSettings(MineSettings):
    """Which kinds of confused images are looked for: the pairs that are mined, and how kinds are shown."""

    count: int = _flag(4, "kinds to show of each sort", metavar="N")
    label: tuple[str, ...] = _flag((), "columns whose shares are shown for each kind", metavar="COLUMN")


def check_modes(settings: Settings, own: ModesSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_mining(settings, own)
    if own.count < 1:
        raise UsageError(f"--count {own.count}: must be at least 1")


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Which pairs are scored, and how."""

    pairs: str | None = _flag(
        None, "CSV or Parquet with two columns of ids, as `pairs mine` writes (omitted: the pairs of a benchmark)",
        metavar="FILE",
    )  # fmt: skip
    similar: float = _flag(0.999, "quantile of all pairs from which two images count as similar", metavar="Q")
    text: str | None = _flag(
        None, "column with a text for each image, for encoders with a text tower", metavar="COLUMN"
    )
    template: str = _flag("{}", "sentence around the text, {} is the text", metavar="TEXT")


def check_scoring(settings: Settings, own: ScoreSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    check_one_point(settings)
    if settings.source.data is not None:
        unused_flags(settings)
    given = [flag for flag in ("classes", "not_missing") if settings.flag(flag)]
    if given and settings.source.label is None:
        raise UsageError(f"--{given[0].replace('_', '-')} has nothing to act on: it is for --label COLUMN")
    if not 0 < own.similar < 1:
        raise UsageError(f"--similar {own.similar:g}: it is a quantile between 0 and 1")
    if "{}" not in own.template:
        raise UsageError(f"--template {own.template!r}: it needs {{}} where the text goes")


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """Which two images are explained, and how finely."""

    images: tuple[str, ...] = _flag((), "the two images: ids of `pairs mine`, or file names", metavar="IMAGE")
    grid: int = _flag(7, "regions along each side", metavar="N")
    thumbnails: bool = _flag(False, "show your own images in the figure (phantoms are always shown)")


def check_explaining(settings: Settings, own: ExplainSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    check_one_point(settings)
    unused_flags(settings)
    if len(own.images) != 2:
        raise UsageError(f"explain takes two images, not {len(own.images)}: python -m experiments.pairs explain I J")
    if len(settings.encoder.encoder) != 1:
        raise UsageError(f"--encoder {' '.join(settings.encoder.encoder)}: one encoder at a time is explained")
    if not 2 <= own.grid <= 32:
        raise UsageError(f"--grid {own.grid}: must be from 2 to 32")


@dataclass(frozen=True, kw_only=True)
class RecipeSettings:
    """Which published similarities are held against which recipes."""

    published: tuple[str, ...] = _flag(
        (), "columns with the published similarity of each pair (omitted: MediConfusion's two)", metavar="COLUMN"
    )
    threshold: tuple[str, ...] = _flag(("0.9", "0.75"), "thresholds over which flips are counted", metavar="T")


def check_recipe(settings: Settings, own: RecipeSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    unused_flags(settings)
    if settings.source.data is None:
        raise UsageError("--data SOURCE is needed: published similarities are those of published images")
    for text in own.threshold:
        try:
            float(text)
        except ValueError:
            raise UsageError(f"--threshold {text}: must be a number") from None


INDICES = ("cka", "rsa", "knn")


@dataclass(frozen=True, kw_only=True)
class SimilaritySettings:
    """How two geometries are compared."""

    index: tuple[str, ...] = _flag(
        INDICES, "indices: cka (debiased linear CKA), rsa, knn (mutual nearest neighbours)", choices=INDICES
    )
    neighbours: int = _flag(10, "neighbours of knn", metavar="K")
    most: int = _flag(2000, "images that are compared, whole groups in a seeded order", metavar="N")


def check_similarity(settings: Settings, own: SimilaritySettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    unused_flags(settings)
    for name in own.index:
        if name not in INDICES:
            raise UsageError(f"--index {name}: {hint(name, INDICES)}there are {', '.join(INDICES)}")
    if own.neighbours < 1:
        raise UsageError(f"--neighbours {own.neighbours}: must be at least 1")
    if own.most < 20:
        raise UsageError(f"--most {own.most}: must be at least 20")


@dataclass(frozen=True, kw_only=True)
class PerturbSettings:
    """Which changes are tried."""

    perturbation: tuple[str, ...] = _flag(
        (),
        "changes to try: quarter-turn, flip, upside-down, rotation, translation, crop, contrast, gamma, window, noise, "
        "blur, jpeg, and marker-recolour of images with coloured marks (omitted: all)",
        metavar="NAME",
    )


def check_perturbing(settings: Settings, own: PerturbSettings) -> None:
    """Raises UsageError where flags do not fit together, UnknownName for a change that is none."""
    from tasks.images.perturb import perturbation

    check_bounds(settings)
    check_one_point(settings)
    unused_flags(settings)
    for name in own.perturbation:
        if name != "marker-recolour":
            perturbation(name)


def check_one_point(settings: Settings) -> None:
    """Raises UsageError where several sites or readouts are named: an image has one vector here."""
    for flag, given in (("--site", settings.encoder.site), ("--readout", settings.encoder.readout)):
        if len(given or ()) > 1:
            raise UsageError(f"{flag} {' '.join(given)}: one at a time; an image is one vector here")


def check_mining(settings: Settings, mine: MineSettings) -> None:
    """Raises UsageError where flags of `mine` do not fit together."""
    check_bounds(settings)
    check_one_point(settings)
    unused_flags(settings)
    low, high = mine.thresholds
    least, what = (0.0, "a quantile from 0 to 1") if mine.rule == "quantile" else (-1.0, "a cosine from -1 to 1")
    for flag, value in (("--at-least", low), ("--at-most", high)):
        if not least <= value <= 1:
            raise UsageError(f"{flag} {value:g}: with --rule {mine.rule} it is {what}")
    if low <= high:
        raise UsageError(
            f"--at-least {low:g} and --at-most {high:g} cross: a pair is near in the encoder and apart in the "
            "reference, so the first must be larger"
        )
    if mine.rule != "quantile" and mine.space != "cosine":
        raise UsageError(f"--rule {mine.rule} is a rule of raw cosines; --space {mine.space} goes with --rule quantile")
    if len(settings.encoder.encoder) != 1:
        raise UsageError(f"--encoder {' '.join(settings.encoder.encoder)}: pairs of one encoder are mined")
    if not mine.reference:
        raise UsageError("--reference names no encoder")
    if settings.encoder.encoder[0] in mine.reference:
        raise UsageError(f"--reference {settings.encoder.encoder[0]} is the encoder itself: no pair is near and apart")
    for flag, value, smallest in (
        ("--cap", mine.cap, 1), ("--caption-length", mine.caption_length, 0), ("--remeasure", mine.remeasure, 0),
        ("--show", mine.show, 0),
    ):  # fmt: skip
        if value is not None and value < smallest:
            raise UsageError(f"{flag} {value}: must be at least {smallest}")
    if mine.caption_length and mine.caption is None:
        raise UsageError(f"--caption-length {mine.caption_length} needs --caption COLUMN")
    if mine.thumbnails and settings.source.data is None:
        raise UsageError("--thumbnails has nothing to act on: phantoms are always shown")
