"""A user's own file: it defines `CARD` and `load(device)`, and becomes an encoder like any other."""

import inspect
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, EncoderError, Site
from encoders.identity.behaviour import behaviour
from encoders.identity.fingerprint import digest, of_module
from hub.errors import HubError
from plugins import UnknownName, UserFile, UserFileError, load_user_file

NEEDS = {"CARD": (Card, "an encoders.Card"), "load": (None, "a function of a device that returns an Encoder")}


def load(path: Path, device: str, image_size: int | None = None) -> Encoder:
    """The encoder of the file at `path`; `image_size` is for a `load` that takes one.

    Raises:
        UnknownName: there is no such file.
        UserFileError: the file fails, or defines not what it must.
    """
    file = load_user_file(path, "encoder", NEEDS, (HubError,))
    return _identified(_call(file, "load", device, image_size), file)


def untrained(path: Path, card: Card, device: str, image_size: int | None = None) -> Encoder:
    """The same encoder with every parameter drawn anew by its modules' own initialisation.

    The file may define `untrained(device)` instead. Raises EncoderError where a module holds parameters and
    no way to draw them.
    """
    import torch

    state = torch.get_rng_state()
    file = load_user_file(path, "encoder", NEEDS, (HubError,))
    own = hasattr(file.module, "untrained")
    encoder = _call(file, "untrained" if own else "load", device, image_size)
    if encoder.module is None:
        raise UnknownName(f"{card.name!r}: {path.name} computes without torch: it has no untrained draw")
    if not own:
        torch.set_rng_state(state)  # the file may have set a seed, with which every draw would be the same
        with file.running():
            _redraw(path, encoder.module, device)
    name = f"random:{file.module.CARD.name}"
    named = replace(encoder.card, name=name, repo=None, revision=None, note=card.note, text=False)
    fingerprint = of_module(encoder.module, named, "untrained", encoder.libraries)
    return _identified(replace(encoder, card=named, fingerprint=fingerprint, text=None), file)


def _call(file: UserFile, name: str, device: str, image_size: int | None) -> Encoder:
    function = getattr(file.module, name)
    given = {}
    if image_size is not None:
        if "image_size" not in inspect.signature(function).parameters:
            raise EncoderError(
                f"{file.path}: --image-size {image_size} is not known to its {name}(device); let it take "
                f"{name}(device, image_size=None) and build the encoder for images of that size"
            )
        given = {"image_size": image_size}
    encoder = file.function(function)(device, **given)
    if not isinstance(encoder, Encoder):
        raise UserFileError(
            f"{file.path}: {name}(device) returned a {type(encoder).__name__}; it must return an Encoder, as "
            "encoders.from_module and encoders.from_function make it"
        )
    spec = encoder.card.input
    if image_size is not None and spec is not None and spec.size != (image_size, image_size):
        raise UserFileError(
            f"{file.path}: {name}(device, image_size={image_size}) gives an encoder of images of {spec.size[0]} x "
            f"{spec.size[1]} pixels"
        )
    _check_count(file, encoder)
    for site, declared in file.module.CARD.sites.items():
        if not _as_declared(declared, encoder.card.sites.get(site), other_size=image_size is not None):
            given = encoder.card.sites.get(site)
            what = f"as {given}" if given else f"; it gives {', '.join(encoder.card.sites)}"
            raise UserFileError(
                f"{file.path}: CARD declares site {site!r} ({declared}), which {name} does not give {what}"
            )
    functions = {n: getattr(encoder, n) for n in ("preprocess", "forward", "text", "layout")}
    return replace(encoder, **{n: file.function(function) for n, function in functions.items() if function is not None})


def _check_count(file: UserFile, encoder: Encoder) -> None:
    """Raises UserFileError where the card counts other parameters than the network behind the encoder has."""
    said = file.module.CARD.parameters
    if said is None or encoder.module is None:
        return
    count = sum(p.numel() for p in encoder.module.parameters())
    if count != said:
        raise UserFileError(
            f"{file.path}: its CARD says {said:,} parameters, and its network has {count:,}: write "
            f"parameters={count}, or leave it out"
        )


def _as_declared(declared: Site, given: Site | None, *, other_size: bool) -> bool:
    """Whether a site is as the file's card has it; at a size that was asked for it may lie on another grid."""
    if given is None or not other_size:
        return given == declared
    return replace(given, grid=None, views=()) == replace(declared, grid=None, views=())


def _identified(encoder: Encoder, file: UserFile) -> Encoder:
    """The encoder with what it does and what its file is made of in its fingerprint.

    It has no `files` to be known again by where its file declares none.
    """
    does = behaviour(encoder)  # first: it may import helpers
    files = () if file.declared is None else (*file.sources, *file.declared, *(f.resolve() for f in encoder.files))
    libraries = {name for module in file.libraries for name in _distributions().get(module, ())}
    return replace(
        encoder,
        fingerprint=digest(encoder.fingerprint, file.digest(), does),
        files=tuple(dict.fromkeys(files)),
        libraries=tuple(sorted({*encoder.libraries, *libraries})),
    )


_distributions = cache(metadata.packages_distributions)  # by the name that is imported


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
