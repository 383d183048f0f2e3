"""A user's own file: it defines `CARD` and `load(device)`, and becomes an encoder like any other."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from encoders._base import Card, Encoder, EncoderError
from encoders.identity.fingerprint import digest, file_digest, of_module
from encoders.identity.recording import Reads, is_library, recording
from plugins import UnknownName


def load(path: Path, device: str) -> Encoder:
    """The encoder of the file at `path`; whatever goes wrong in it is one EncoderError with its line."""
    with _opened(path) as (file, reads):
        encoder = _call(path, file, "load", device)
    files = tuple(dict.fromkeys((*reads.files(), *(f.resolve() for f in encoder.files))))
    return _guarded(path, _identified(encoder, path, files, tuple(reads.variables)))


def untrained(path: Path, card: Card, device: str) -> Encoder:
    """The same encoder with every parameter drawn anew by its modules' own initialisation.

    The file may define `untrained(device)` instead. Raises EncoderError where a module holds parameters and
    no way to draw them.
    """
    import torch

    state = torch.get_rng_state()
    with _opened(path) as (file, reads):
        own = hasattr(file, "untrained")
        encoder = _call(path, file, "untrained" if own else "load", device)
        if encoder.module is None:
            raise UnknownName(f"{card.name!r}: {path.name} computes without torch: it has no untrained twin")
        if not own:
            torch.set_rng_state(state)  # the file may have set a seed, with which every draw would be the same
            _redraw(path, encoder.module, device)
    files = tuple(dict.fromkeys((*reads.files(), *(f.resolve() for f in encoder.files))))
    named = replace(encoder.card, name=f"random:{file.CARD.name}", repo=None, revision=None, note=card.note, text=False)
    fingerprint = of_module(encoder.module, named, "untrained", encoder.libraries)
    encoder = replace(encoder, card=named, fingerprint=fingerprint, text=None)
    return _guarded(path, _identified(encoder, path, files, tuple(reads.variables)))


def _identified(encoder: Encoder, path: Path, files: tuple[Path, ...], variables: tuple[str, ...]) -> Encoder:
    """The encoder with its sources in its fingerprint; a function's data files too, for it has no tensors."""
    rests_on = [f for f in files if f.is_file() and (f.suffix == ".py" or encoder.module is None)]
    sources = sorted({file_digest(f) for f in (path, *rests_on)})
    return replace(
        encoder,
        fingerprint=digest(encoder.fingerprint, sources),
        files=tuple(dict.fromkeys((path.resolve(), *files))),
        environment=variables,
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[ModuleType, Reads]]:
    """The executed file and what it reads; its folder can be imported from until the end of the block."""
    if not path.is_file():
        raise EncoderError(f"{path} does not exist: give the path of a Python file with CARD and load(device)")
    home = path.resolve().parent
    before = set(sys.modules)
    sys.path.insert(0, str(home))
    quiet, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with recording(home) as reads:
            yield _execute(path), reads
    finally:
        sys.dont_write_bytecode = quiet
        if str(home) in sys.path:
            sys.path.remove(str(home))
        _forget(set(sys.modules) - before)


def _forget(names: set[str]) -> None:
    """Drop modules that the file brought along, so that the next load reads them again and is seen to."""
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and name.split(".")[0] not in _OURS and not is_library(Path(file)):
            del sys.modules[name]


_OURS = ("cache", "encoders", "experiments", "probes", "tasks", "__main__")


def _execute(path: Path) -> ModuleType:
    module = ModuleType("_user_" + path.stem)
    module.__file__ = str(path.resolve())
    with _blamed(path):
        code = compile(path.read_bytes(), str(path.resolve()), "exec")
        sys.modules[module.__name__] = module
        exec(code, module.__dict__)  # noqa: S102  running the user's file is what was asked for
    for name, what in (("CARD", "a Card"), ("load", "a function of a device that returns an Encoder")):
        if not hasattr(module, name):
            raise EncoderError(f"{path} does not define {name} ({what}); an encoder's file needs CARD and load(device)")
    if not isinstance(module.CARD, Card):
        raise EncoderError(f"{path}: CARD is a {type(module.CARD).__name__}; it must be an encoders.Card")
    return module


def _call(path: Path, file: ModuleType, name: str, device: str) -> Encoder:
    with _blamed(path):
        encoder = getattr(file, name)(device)
    if not isinstance(encoder, Encoder):
        raise EncoderError(
            f"{path}: {name}(device) returned a {type(encoder).__name__}; it must return an Encoder, as "
            "encoders.from_module and encoders.from_function make it"
        )
    for site, declared in file.CARD.sites.items():
        if encoder.card.sites.get(site) != declared:
            given = encoder.card.sites.get(site)
            what = f"as {given}" if given else f"; it gives {', '.join(encoder.card.sites)}"
            raise EncoderError(f"{path}: CARD declares site {site!r} ({declared}), which {name} does not give {what}")
    return encoder


def _guarded(path: Path, encoder: Encoder) -> Encoder:
    """The encoder whose functions blame the user's file for what they raise."""

    def guard(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with _blamed(path):
                return function(*args, **kwargs)

        return call

    return replace(encoder, preprocess=guard(encoder.preprocess), forward=guard(encoder.forward))


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    try:
        yield
    except (EncoderError, UnknownName):
        raise
    except SyntaxError as error:
        raise EncoderError(f"{path}, line {error.lineno}: SyntaxError: {error.msg}") from error
    except Exception as error:
        home = str(path.resolve().parent)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(home)]
        where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(path)
        text = " ".join(str(error).split())[:300]
        raise EncoderError(f"{where}: {type(error).__name__}: {text}") from error


def _redraw(path: Path, module: Any, device: str) -> None:
    """Draw every parameter anew on the CPU, where the random state was set."""
    module.cpu()
    for name, part in module.named_modules():
        if not list(part.parameters(recurse=False)):
            continue
        draw = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        if draw is None:
            raise EncoderError(
                f"random:{path}: {type(part).__name__} ({name or 'the module itself'}) holds parameters and has "
                "no reset_parameters(): give it one, or define untrained(device) in the file"
            )
        draw()
    module.to(device).requires_grad_(False)
