"""The functions of the library: what a notebook calls. Keyword arguments are the flags of the commands."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.result import Conclusion, Result
from slitlamp.settings import FLAGS, OF_MAPS, Settings, check_bounds, checked, command_line, unused_of_maps

OF_COMMANDS = ("config", "dry_run", "json", "table", "debug")  # flags that mean nothing in Python
OF_FEATURES = ("image_column", "window", "intercept", "exif", "unreadable", "volumes", "seed", "weights",
               "other_weights", "image_size", "offline", "device", "dtype", "batch_size")  # fmt: skip
OF_MEASURE = ("seed", "folds", "repeats", "permutations")
NAME = "linear_probe"


def _settings(given: dict[str, Any]) -> Settings:
    """The settings that keyword arguments name; UsageError for one that is none, or of another type."""
    known = {name: entry for name, entry in FLAGS.items() if name not in OF_COMMANDS}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"no argument {name!r}; {hint(name, known)}there are {', '.join(known)}")
        values[name] = typed(name, value, str(getattr(known[name].type, "__name__", known[name].type)))
        choices = known[name].metadata.get("choices")
        if choices and value is not None and value not in choices:
            raise UsageError(f"{name}={value!r} is none of {', '.join(choices)}")
    settings = Settings.of(**values)
    if not settings.encoder.encoder:
        raise UsageError("no encoder is named; give one, or a list of them")
    if settings.output.out == "":
        raise UsageError("out='' names no folder; leave it out to write nothing")
    return settings


def typed(name: str, value: Any, kind: str) -> Any:
    """An argument as its flag has it; UsageError for a value of another type than `kind`."""
    if isinstance(value, Path):
        value = str(value)
    if kind.startswith("tuple"):
        many = [value] if isinstance(value, str | Path) else value
        if isinstance(value, Mapping) and name == "weights":
            many = [f"{label}={path}" for label, path in value.items()]
        if isinstance(many, Sequence) and all(isinstance(one, str | Path) for one in many):
            return tuple(str(one) for one in many)
    elif value is None and "None" in kind:
        return None
    elif isinstance(value, bool):
        if "bool" in kind:
            return value
    elif "int" in kind and isinstance(value, int | np.integer):
        return int(value)
    elif "float" in kind and isinstance(value, int | float | np.number):
        return float(value)
    elif "str" in kind and isinstance(value, str):
        return value
    wanted = "a name or a list of names" if kind.startswith("tuple") else kind.replace(" | None", "")
    raise UsageError(f"{name}={value!r} is of type {type(value).__name__}; it must be {wanted}")


def probe(encoder: str | Path | Sequence[str] = "phantom-clip", task: str | Sequence[str] = (), **flags: Any) -> Result:
    """Ask whether a linear probe can read a task's answer off an encoder's features, at each site and readout.

    `encoder` and `task` are names, paths of Python files of your own, or lists of them; `flags` are those of
    `python -m experiments.linear_probe` with underscores: `data`, `label`, `group`, `site`, `probe`, `seed` ….
    With `out` the tables and figures are written there, unless that folder holds another run (`replace=True` writes
    over it); without, nothing is written but features and finished cells, which are found again in the store.
    `weights` is a path, or a mapping of paths by encoder.

    Raises:
        UsageError: arguments that do not fit. plugins.UnknownName: a name that nothing holds. tasks.DataError,
        encoders.EncoderError, probes.ProbeError: as the commands say in one line.
    """
    unused_of_maps(flags, "probe")
    return run_probe(checked(_settings({"encoder": encoder, "task": task, "out": None, **flags})))


def run_probe(settings: Settings, *, share: bool = False, skip: Mapping[tuple[str, str], str] | None = None) -> Result:
    """The same for settings that were made elsewhere, as the command line does; see `probing.run.run`."""
    from slitlamp.disk import output_folder
    from slitlamp.probing.run import run
    from slitlamp.reports.files import write

    out = None if settings.output.out is None else Path(settings.output.out)
    if out is None:
        found, files = run(settings, NAME, share=share, skip=skip), []
    else:
        with output_folder(out, "results.json", command_line(settings, NAME), replace=settings.output.replace):
            found = run(settings, NAME, share=share, skip=skip)
            files = [out / name for name in write(found, out, NAME)]
    what = "volumes" if settings.source.volumes else "images"
    where = "" if out is None else f"; files in {out}"
    return Result(
        records=tuple(found.records),
        verdicts=tuple(Conclusion(**verdict) for verdict in found.verdicts),
        comparisons=tuple(found.comparisons),
        predictions=found.predictions,
        files=tuple(files),
        failed=tuple(found.failed),
        notes=tuple(found.notes),
        questions=tuple(found.questions),
        command=command_line(settings, NAME),
        home=found.home,
        encoded=found.encoded,
        measured=len(found.cell_seconds),
        summary=(
            f"{found.encoded} {what} encoded, {len(found.cell_seconds)} cells measured, {found.seconds:.0f} s{where}"
        ),
    )


def features(
    encoder: str | Path,
    images: str | Path | Sequence[Any] | np.ndarray,
    site: str | None = None,
    readout: str | None = None,
    **flags: Any,
) -> np.ndarray:
    """Features of images at one site and readout, float32 [n, d], from the store; what is missing is encoded first.

    `images` is a source as `data` is (a folder, a manifest, a benchmark), or a list of image files and of uint8 arrays
    [h, w] or [h, w, 3]. `site` and `readout` may be left out where only one fits.

    Raises:
        UsageError: a site or readout that the encoder does not have, or an array that is no image.
    """
    from slitlamp.encoding.table import features_of

    if not isinstance(encoder, str | Path):
        raise UsageError(f"encoder={encoder!r}: features are those of one encoder, a name or a path")
    for name, value in {"site": site, "readout": readout}.items():
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{name}={value!r} is of type {type(value).__name__}; it must be one name")
    idle = [name for name in flags if name in FLAGS and name not in OF_FEATURES]
    if idle:
        raise UsageError(f"{idle[0]} has nothing to act on in features; it takes {', '.join(OF_FEATURES)}")
    settings = _settings({"encoder": encoder, "out": None, **flags})
    check_bounds(settings)
    return features_of(settings, images, site, readout)


def measure(
    x: Any, y: Any, *, groups: Any = None, ids: Any = None, probe: str | Path | None = None, **flags: Any
) -> Any:
    """Probe features of your own: how well `y` is read off the rows of `x`, and how sure one may be.

    `x` is [n, d] numbers (an array or lists); `y` class names, class numbers or, as floats, a numeric target; `groups`
    what may not be split over folds (default: every row by itself). `flags` are `seed`, `folds`, `repeats` and
    `permutations`. Returns a `probes.Measurement` with `estimate`, `state`, `reason` and `predictions`. There are no
    controls here, so nothing can be credited to learning.

    Raises:
        probes.ProbeError: arrays that do not belong together, in one line.
    """
    import probes

    strange = [name for name in flags if name not in OF_MEASURE]
    if strange:
        near = hint(strange[0], OF_MEASURE)
        raise UsageError(f"no argument {strange[0]!r}; {near}there are {', '.join(OF_MEASURE)}")
    settings = _settings({"probe": probe, **flags})
    check_bounds(settings)
    given = probes.feature_set(x, y, groups=groups, ids=ids)
    plan = probes.plan(given.y, given.groups, classes=given.classes, **flags)
    return probes.measure(given, plan, probe=settings.probe.probe, seed=settings.probe.seed)


def _with_flags(function: Callable[..., Any]) -> None:
    """Show the flags in the signature, for help() and completion."""
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    names = {p.name for p in own}
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=Settings().flag(name))
        for name in FLAGS
        if name not in (*OF_COMMANDS, *OF_MAPS, *names)
    ]
    more = [p.replace(default=None) if p.name == "out" else p for p in more]
    function.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]


_with_flags(probe)
