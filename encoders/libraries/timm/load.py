"""Any timm model: blocks of a transformer, or the feature stages of a convolutional or hierarchical network."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
from timm.data import create_transform, resolve_model_data_config  # pyright: ignore[reportPrivateImportUsage]

from encoders._base import Card, Encoder, EncoderError, Input
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import freeze
from encoders.extraction.images import pil
from encoders.identity.architecture import other_shapes, shapes, without_memory
from encoders.libraries.timm.sites import parts
from encoders.libraries.timm.size import resizable, resize
from hub.choices import others_beside, require_plain
from hub.errors import one_line
from hub.snapshots import parse_repository, snapshot
from hub.torch_files import fill
from hub.wanted import Wanted
from plugins import UnknownName, hint

LIBRARIES = ("timm", "torchvision")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
LOCAL = (*WEIGHTS, "pytorch_model.pth", "model.pth")  # of a folder, in the library's own order
HUB = "hf-hub:"
STATES = ("state_dict_ema", "model_ema", "state_dict", "model")  # of a training script's file, in the library's order


def known(name: str) -> str:
    """The architecture of `MODEL` or `MODEL.TAG`; UnknownName with the nearest where timm has none."""
    architecture, tag = timm.models._registry.split_model_name_tag(name)  # pyright: ignore
    if not timm.is_model(architecture):
        near = hint(architecture, timm.list_models())
        raise UnknownName(f"timm has no model {architecture!r}; {near}`timm.list_models()` names them")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError:
        tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{architecture}.*")]
        have = f"it has {', '.join(tags)}" if tags else "it has no trained weights"
        raise UnknownName(f"timm's {architecture} has no weights {tag!r}; {hint(tag, tags)}{have}") from None
    return architecture


def load(card: Card, name: str, device: str, weights: Path | None, offline: bool) -> Encoder:
    """`MODEL`, `MODEL.TAG` or `hf-hub:ORG/NAME@REV` with trained weights from the hub or from `weights`."""
    if name.startswith(HUB):
        repo, revision = parse_repository(name.removeprefix(HUB))
    else:
        known(name)
        repo, revision = _home(name) if weights is None else (None, None)
    if weights is None:
        assert repo is not None
        weights, commit = snapshot(repo, revision, weights=WEIGHTS, needed=("config.json",), offline=offline)
        card = replace(card, repo=repo, revision=commit)
    if weights.is_dir():
        return from_folder(card, weights, device)
    if not weights.is_file():
        raise EncoderError(f"{card.name}: --weights {weights} does not exist")
    if name.startswith(HUB):
        raise EncoderError(f"{card.name}: a single weight file says no architecture; give timm:MODEL with it")
    with one_line(card.name, str(weights)):
        card = replace(card, read=require_plain(card.name, [weights], STATES))
        # strictly: timm lets tensors lack when the class count differs
        state = timm.models.load_state_dict(str(weights), weights_only=True)
        head = getattr(timm.get_pretrained_cfg(name), "classifier", None) or ()
        heads = (head,) if isinstance(head, str) else tuple(head)
        counts = [len(state[f"{h}.weight"]) for h in heads if f"{h}.weight" in state]
        classes = counts[0] if counts else 0
        overlay = {"file": str(weights), "num_classes": classes}
        try:
            model = timm.create_model(name, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay)
        except RuntimeError:
            fill(timm.create_model(name, num_classes=classes), state, card.name, str(weights))
            raise
    return encoder(card, model, device, (weights,))


def source(spec: str, name: str) -> Wanted:
    """What of a repository `load` reads for `MODEL`, `MODEL.TAG` or `hf-hub:ORG/NAME@REV`."""
    if name.startswith(HUB):
        repo, revision = parse_repository(name.removeprefix(HUB))
    else:
        known(name)
        repo, revision = _home(name)
    del spec
    return Wanted(repo=repo, revision=revision, weights=WEIGHTS, needed=("config.json",))


def _home(name: str) -> tuple[str, None]:
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.hf_hub_id:
        raise EncoderError(
            f"timm names no hub repository for {name!r}; `timm.list_pretrained('{name.split('.')[0]}*')` lists "
            f"trained weights, --weights PATH gives your own, and random:timm:{name} is the untrained network"
        )
    hub = cfg.hf_hub_id
    return (f"timm/{cfg.architecture}.{cfg.tag}" if hub == "timm/" else hub), None


def from_folder(
    card: Card, folder: Path, device: str, arguments: Mapping[str, Any] | None = None, spec: Input | None = None
) -> Encoder:
    """The encoder of a folder in timm's hub format: config.json beside model.safetensors.

    `arguments` go to the architecture beside those of the configuration; `spec` replaces its preprocessing.
    """
    with one_line(card.name, str(folder)):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "architecture" not in config:
            raise EncoderError(f"{card.name}: {folder / 'config.json'} names no timm architecture")
        classes = config.get("num_classes", 1000)
        file = next((folder / name for name in LOCAL if (folder / name).is_file()), None)
        if file is None:  # the library would take whatever weights it finds, with a log line
            raise EncoderError(f"{card.name}: {folder} has none of {', '.join(LOCAL)}")
        chosen = require_plain(card.name, [file], STATES)
        card = replace(card, read="; ".join(filter(None, (chosen, others_beside(file, LOCAL)))))
        options = {"num_classes": classes, **(arguments or {})}
        try:
            model = timm.create_model(f"local-dir:{folder}", pretrained=True, **options)
        except RuntimeError:  # torch names in prose the tensors that do not fit
            state = timm.models.load_state_dict(str(file), weights_only=True)
            fill(timm.create_model(f"local-dir:{folder}", pretrained=False, **options), state, card.name, str(folder))
            raise
    return encoder(card, model, device, (folder / "config.json", file), spec)


def untrained(card: Card, name: str, device: str) -> Encoder:
    """The architecture under torch's current random state, with the preprocessing of its trained weights."""
    known(name)
    return encoder(card, timm.create_model(name, pretrained=False), device, ())


def architecture(card: Card, name: str) -> Card:
    """`card` with the sites, parameters and preprocessing of `MODEL` or `MODEL.TAG`, built without memory."""
    known(name)
    with one_line(card.name, "timm's architecture"), without_memory():
        model: Any = timm.create_model(name, pretrained=False).eval()
        model.reset_classifier(0)
        settings = resolve_model_data_config(model)
        _, sites, _ = parts(model, tuple(settings["input_size"]), "meta")
    count = sum(value.numel() for value in model.parameters())
    return replace(card, sites=sites, input=_input(settings), parameters=count, any_size=resizable(model))


def untrained_folder(card: Card, folder: Path, device: str) -> Encoder:
    """The architecture of a folder in timm's hub format under torch's current random state."""
    classes = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("num_classes", 1000)
    return encoder(card, timm.create_model(f"local-dir:{folder}", pretrained=False, num_classes=classes), device, ())


def encoder(
    card: Card, model: Any, device: str, files: tuple[Path, ...], spec: Input | None = None, side: int | None = None
) -> Encoder:
    """The encoder around a timm model; its classifier is dropped, its own pooling kept.

    Images are prepared as the model's own configuration says, or as `spec` does; at `side` pixels where it is given.
    """
    model.reset_classifier(0)
    model = freeze(model, device)
    settings = resolve_model_data_config(model) | (_settings(spec) if spec else {})
    if side is not None:
        settings["input_size"] = (3, side, side)
    # an own transform object: timm resizes, crops and normalises as the weights were trained
    apply: Any = create_transform(**settings, is_training=False)
    hooks, sites, run = parts(model, tuple(settings["input_size"]), device)

    def at_size(side: int) -> Encoder:
        resize(card.name, model, side)
        return encoder(card, model, device, files, spec, side)

    return assemble(
        card,
        model,
        run=run,
        hooks=hooks,
        sites=sites,
        preprocess=lambda image: apply(pil(image)),
        input=_input(settings),
        device=device,
        architecture=[type(model).__name__, str(apply)],
        libraries=LIBRARIES,
        files=files,
        at_size=at_size if resizable(model) else None,
    )


def _settings(spec: Input) -> dict[str, Any]:
    return {
        "input_size": (3, *spec.size),
        "mean": spec.mean,
        "std": spec.std,
        "interpolation": spec.interpolation,
        "crop_pct": min(spec.size) / (spec.edge or min(spec.size)),
        "crop_mode": "center" if spec.crop else "squash",
    }


def _input(settings: Mapping[str, Any]) -> Input:
    size = tuple(settings["input_size"][-2:])
    squash = settings["crop_mode"] == "squash"
    return Input(
        size=size,
        resize="squash" if squash else "shortest",
        crop=None if squash else "center",
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        interpolation=settings["interpolation"],
        backend="timm",
        edge=None if squash else int(min(size) / settings["crop_pct"]),
    )


def differences(name: str, made: Encoder) -> list[str]:
    """What of a loaded encoder is not as timm's architecture `MODEL` or `MODEL.TAG` has it; [] for hf-hub:."""
    if name.startswith(HUB):
        return []
    with without_memory():
        due = shapes(timm.create_model(name, pretrained=False, num_classes=0))
    return other_shapes(due, shapes(made.module))
