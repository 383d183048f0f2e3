"""open_clip models: from a folder in its on-disk format, from a tag of its list, or untrained.

The library downloads nothing here and asks no hub for a text tower's configuration; it is given files.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import _build_text_tower

from encoders._base import Card, Encoder, EncoderError
from encoders.identity.architecture import other_shapes, shapes, without_memory
from encoders.libraries.open_clip.files import CONFIG, WEIGHTS
from encoders.libraries.open_clip.text import of_today, text_tower
from encoders.libraries.open_clip.tower import architecture as of_config
from encoders.libraries.open_clip.tower import described, encoder, from_config, image_tower
from hub.choices import others_beside, require_plain
from hub.errors import one_line
from hub.files import settings
from hub.snapshots import snapshot
from hub.torch_files import fill
from hub.wanted import Wanted
from plugins import UnknownName, hint

LOCAL = (  # weights in a folder, in the library's own order
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
STATES = ("state_dict",)  # where the library looks for tensors in a file


def from_folder(card: Card, folder: Path, device: str) -> Encoder:
    """The encoder of a folder with open_clip_config.json, weights, and the tokenizer's files."""
    if not (folder / CONFIG).is_file():
        raise EncoderError(f"{card.name}: {folder} has no {CONFIG}, so it is not in open_clip's format")
    file = next((folder / name for name in LOCAL if (folder / name).is_file()), None)
    if file is None:  # the library would take whatever weights it finds, with a log line
        raise EncoderError(f"{card.name}: {folder} has none of {', '.join(LOCAL)}")
    with one_line(card.name, str(folder)):
        chosen = require_plain(card.name, [file], STATES)
        card = replace(card, read="; ".join(filter(None, (chosen, others_beside(file, LOCAL)))))
        config = of_today(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"])
        with text_tower(config, folder) as overrides:
            # without require_pretrained a missing weight file gives random weights and a log line
            model = _created(f"local-dir:{folder}", card.name, file, str(folder), require_pretrained=True, **overrides)
    files = (*settings(folder), file)
    return encoder(card, model, device, files, config, lambda: open_clip.get_tokenizer(f"local-dir:{folder}"))


def _created(name: str, who: str, file: Path, where: str, **options: Any) -> Any:
    """The library's model with the weights of `file`; HubError naming the tensors of `where` that do not fit."""
    try:
        return open_clip.create_model(name, **options)
    except RuntimeError:  # torch names in prose the tensors that do not fit
        state = open_clip.factory.load_state_dict(str(file))
        options |= {"pretrained": None, "load_weights": False, "require_pretrained": False}
        fill(open_clip.create_model(name, **options), state, who, where)
        raise


def from_state(
    card: Card,
    state: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    device: str,
    *,
    bert: Mapping[str, Any],
    where: Path,
    tokenizer: Callable[[], Any],
) -> Encoder:
    """The encoder of a `model_cfg` with a BERT text tower, filled strictly with tensors in open_clip's spelling.

    `bert` are the settings of that tower where they are not BERT-base's; `where` is the file they came from.
    """
    with text_tower(config, None, bert) as overrides:
        model = open_clip.CustomTextCLIP(**{**config, **overrides})
    fill(model, state, card.name, str(where))
    assert card.input is not None
    described(model, {"mean": card.input.mean, "std": card.input.std})
    return encoder(card, model, device, (where,), config, tokenizer)


def load(card: Card, name: str, device: str, weights: Path | None, offline: bool) -> Encoder:
    """`MODEL/TAG` from the hub at the newest commit, or `MODEL[/TAG]` with `weights` in its place."""
    architecture, tag = known(name)
    if weights is not None and weights.is_dir() and (weights / CONFIG).is_file():
        return from_folder(card, weights, device)
    listed = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    if weights is None:
        file, card = _fetch(card, architecture, tag, listed, offline)
    elif weights.is_file():
        file = weights
    else:
        raise EncoderError(f"{card.name}: --weights {weights} is neither a weight file nor has it a {CONFIG}")
    config = open_clip.get_model_config(architecture)
    if listed.get("quick_gelu", False) != config.get("quick_gelu", False) and tag:
        # loads strictly either way and gives other features
        raise EncoderError(
            f"{card.name}: the weights {tag!r} were trained with "
            f"{'QuickGELU' if listed.get('quick_gelu') else 'GELU'}, {architecture} has the other; "
            f"try open_clip:{_other_gelu(architecture)}/{tag}"
        )
    with one_line(card.name, str(file)), text_tower(config, None) as overrides:
        card = replace(card, read=require_plain(card.name, [file], STATES))
        model = _created(
            architecture,
            card.name,
            file,
            str(file),
            pretrained=str(file),
            require_pretrained=True,
            force_preprocess_cfg={k: listed[k] for k in _PREPROCESS if k in listed},
            **overrides,
        )
    return encoder(card, model, device, (file,), config, lambda: open_clip.get_tokenizer(architecture))


_PREPROCESS = ("mean", "std", "interpolation", "resize_mode", "fill_color")


def _other_gelu(architecture: str) -> str:
    end = "-quickgelu"
    return architecture.removesuffix(end) if architecture.endswith(end) else architecture + end


def known(name: str) -> tuple[str, str | None]:
    """`MODEL[/TAG]` as open_clip lists it; UnknownName with the nearest where it has none."""
    architecture, _, tag = name.partition("/")
    if architecture not in open_clip.list_models():
        near = hint(architecture, open_clip.list_models())
        raise UnknownName(f"open_clip has no model {architecture!r}; {near}`open_clip.list_models()` names them")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag and tag not in tags:
        near = hint(tag, tags)
        raise UnknownName(f"open_clip has no weights {tag!r} for {architecture}; {near}it has {', '.join(tags)}")
    return architecture, tag or None


def _fetch(
    card: Card, architecture: str, tag: str | None, listed: Mapping[str, Any], offline: bool
) -> tuple[Path, Card]:
    repo, wanted = _home(card, architecture, tag, listed)
    folder, commit = snapshot(repo, None, weights=wanted, needed=(), offline=offline)
    found = next(folder / w for w in wanted if (folder / w).exists())
    return found, replace(card, repo=repo, revision=commit)


def source(card: Card, name: str) -> Wanted:
    """What of a repository `load` reads for `MODEL/TAG`."""
    architecture, tag = known(name)
    listed = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    repo, wanted = _home(card, architecture, tag, listed)
    return Wanted(repo=repo, weights=tuple(wanted))


def _home(card: Card, architecture: str, tag: str | None, listed: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    """The repository of a tag of open_clip's list, and the names that its weight file may have there."""
    if tag is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)[:8])
        raise EncoderError(
            f"{card.name} names no weights: give open_clip:{architecture}/TAG ({tags}), --weights PATH, "
            f"or random:open_clip:{architecture} for the untrained network"
        )
    owner, _, rest = listed.get("hf_hub", "").partition("/")
    if not owner:
        raise EncoderError(
            f"{card.name}: open_clip lists its weights at {listed.get('url')}, not in a repository that can be "
            "pinned: fetch that file and pass it with --weights PATH"
        )
    name, _, file = rest.partition("/")
    return f"{owner}/{name}", (file,) if file else WEIGHTS


def untrained(card: Card, name: str, device: str) -> Encoder:
    """The architecture under torch's current random state; a tag, else its first, sets the preprocessing."""
    return from_config(card, *_said(name), device)


def architecture(card: Card, name: str) -> Card:
    """`card` with the sites, parameters and preprocessing of `MODEL[/TAG]`, built without memory."""
    return of_config(card, *_said(name))


def _said(name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Configuration and preprocessing of `MODEL[/TAG]`; a tag, else the first one, sets the preprocessing."""
    model, tag = known(name)
    tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(model)[:1]
    listed = open_clip.get_pretrained_cfg(model, tags[0]) if tags else {}
    return open_clip.get_model_config(model), {k: listed[k] for k in _PREPROCESS if k in listed}


def differences(name: str, made: Encoder) -> list[str]:
    """What of a loaded encoder is not as open_clip's architecture `MODEL[/TAG]` has it."""
    config = open_clip.get_model_config(known(name)[0])
    visual = made.module.visual
    with without_memory():
        due = shapes(image_tower(config))
    found = other_shapes(due, shapes(visual))
    text = config["text_cfg"]
    if made.text is None or "hf_model_name" in text:  # whose sizes lie in another repository
        return found
    with without_memory():
        words = _build_text_tower(config["embed_dim"], dict(text), config.get("quick_gelu", False))
    scales = ("logit_scale", "logit_bias")
    held = sum(p.numel() for n, p in made.module.named_parameters() if not n.startswith("visual.") and n not in scales)
    counted = sum(p.numel() for p in words.parameters())
    if held != counted:
        found.append(f"parameters of the text tower: the architecture says {counted:,}, found is {held:,}")
    return found
