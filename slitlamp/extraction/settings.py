"""What the command that fills the store is asked for, beside the settings of every run."""

from dataclasses import dataclass

from slitlamp.ablation.settings import shard_of
from slitlamp.commands import Command
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag, check_bounds, unused_flags

ENGINES = ("process", "ray")
FLAGS = (
    "task", "data", "label", "classes", "number", "not_missing", "group", "volumes", "image_column", "window",
    "intercept", "exif", "unreadable", "copies", "spelling", "items", "limit", "take_groups", "draw", "seed",
    "encoder", "site", "readout", "twins", "weights", "other_weights", "image_size", "offline", "device", "dtype",
    "compile", "batch_size", "dry_run", "json", "debug",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExtractSettings:
    """Who computes, and which part; none of it changes a feature."""

    controls: bool = _flag(
        False, "also encode with what every probe asks beside its encoders: lowlevel and pixels (untrained networks: "
        "--twins N)",
    )  # fmt: skip
    engine: str = _flag(
        "process", "who computes: this process (or the ranks of torchrun), or actors of Ray (pip install "
        "'slitlamp[ray]')", choices=ENGINES,
    )  # fmt: skip
    shard: str = _flag(
        "", "encode the I-th of N parts of the images (1/8 … 8/8), as an array of jobs does on a store that all share",
        metavar="I/N",
    )  # fmt: skip
    threads: int | None = _flag(
        None, "threads that decode ahead of the encoder (omitted: none on a CPU, whose cores compute already; else up "
        "to 8)", metavar="N",
    )  # fmt: skip
    address: str | None = _flag(
        None, "with --engine ray: the cluster to join, as `ray.init` takes it (omitted: one of its own on this "
        "machine)", metavar="ADDRESS",
    )  # fmt: skip
    actors: int | None = _flag(
        None, "with --engine ray: encoders that compute side by side (omitted: one for each GPU of the cluster, or 1)",
        metavar="N",
    )  # fmt: skip


def check(settings: Settings, own: ExtractSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    unused_flags(settings)
    if settings.source.draw and settings.source.take_groups is None:
        raise UsageError(
            f"--draw {settings.source.draw} has nothing to act on: --take-groups N says how many are drawn"
        )
    if settings.source.volumes and settings.source.data is None:
        raise UsageError("--volumes needs --data SOURCE (NIfTI files or DICOM series): the built-in phantoms are flat")
    for name, least in (("threads", 0), ("actors", 1)):
        value = getattr(own, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: must be at least {least}")
    shard_of(own.shard)
    if own.engine != "ray":
        for name in ("address", "actors"):
            if getattr(own, name) is not None:
                raise UsageError(f"--{name} {getattr(own, name)} has nothing to act on without --engine ray")
    elif own.shard:
        raise UsageError(f"--shard {own.shard} has nothing to act on with --engine ray, which deals the images out")


COMMAND = Command(
    name="extract",
    about="features of images, encoded into the store and nowhere else",
    own=ExtractSettings,
    flags=FLAGS,
    default=Settings(),
    check=check,
    home="slitlamp.extraction.run.extract",
    unsaid=("engine", "shard", "threads", "address", "actors"),
)
