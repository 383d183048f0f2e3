"""PMC-CLIP from its published files: one checkpoint of the training code, or the three files beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from encoders._base import Card, Encoder, EncoderError, Site
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import Hook, freeze
from encoders.extraction.images import transform
from encoders.networks import bert
from encoders.networks import modified_resnet as resnet
from encoders.networks.files import PMC_CLIP, PMC_TOKENIZER
from hub.snapshots import snapshot
from hub.torch_files import below, state_dict

IMAGE, TEXT, PROJECTION = "image_encoder(resnet50).pth", "text_encoder.pth", "text_projection_layer.pth"
CONTEXT = 77


def load(card: Card, heads: int | None, device: str, weights: Path | None, offline: bool) -> Encoder:
    """PMC-CLIP from its dataset repository, or from the file or folder `weights`."""
    if weights is None:
        assert card.repo is not None
        folder, commit = snapshot(
            card.repo, card.revision, weights=(PMC_CLIP,), needed=(), offline=offline, repo_type="dataset"
        )
        card, files = replace(card, revision=commit), (folder / PMC_CLIP,)
    else:
        card, files = replace(card, repo=None, revision=None), _files(card.name, weights)
    state = _state(card.name, files)
    where = str(files[0])
    module = torch.nn.Module()
    module.visual = resnet.trained(below(state, "visual."), heads, card.name, where)
    if "text_projection" in state:
        module.text = bert.tower(below(state, "text_encoder."), card.name, where)
        module.text_projection = torch.nn.Parameter(state["text_projection"].clone())
    return encoder(card, module, device, files, offline)


def _files(who: str, weights: Path) -> tuple[Path, ...]:
    if weights.is_file():
        return (weights,)
    for names in ((PMC_CLIP,), (IMAGE, TEXT, PROJECTION), (IMAGE,)):
        if all((weights / name).is_file() for name in names):
            return tuple(weights / name for name in names)
    raise EncoderError(f"{who}: --weights {weights} has neither {PMC_CLIP} nor {IMAGE}, {TEXT} and {PROJECTION}")


def _state(who: str, files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The tensors under the names of the training code: visual.*, text_encoder.*, text_projection."""
    state = resnet.unwrapped(state_dict(files[0], who))
    if not any(name.startswith("visual.") for name in state):
        state = {f"visual.{name}": value for name, value in state.items()}
    if len(files) == 3:
        state |= {f"text_encoder.{name}": value for name, value in state_dict(files[1], who).items()}
        state |= {"text_projection": next(iter(state_dict(files[2], who).values()))}
    return state


def untrained(card: Card, heads: int, device: str) -> Encoder:
    """The image tower under torch's current random state."""
    module = torch.nn.Module()
    module.visual = resnet.network(heads=heads)
    return encoder(card, module, device, (), True)


def encoder(card: Card, module: Any, device: str, files: Sequence[Path], offline: bool) -> Encoder:
    """The encoder around `visual` and, where the weights hold one, the text tower."""
    freeze(module, device)
    visual, spec = module.visual, card.input
    assert spec is not None
    side = visual.image_size
    spec = replace(spec, size=(side, side), edge=side)
    stages = resnet.stages(visual.conv3.out_channels, side)
    has_text = hasattr(module, "text")
    folder = files[0].parent if files else None
    words = bert.text(card.name, PMC_TOKENIZER, folder, offline, CONTEXT, _embed(module, device))
    return assemble(
        card,
        module,
        run=lambda batch: {"joint": visual(batch)[:, None]},
        hooks=resnet.hooks(visual) | {"pooled": Hook(module=visual.layer4, tokens=resnet.average)},
        sites=stages | {"pooled": Site(width=stages["stage.4"].width), "joint": Site(width=visual.output_dim)},
        preprocess=transform(spec),
        input=spec,
        device=device,
        architecture=["PMC-CLIP", visual.attnpool.num_heads],
        libraries=("open_clip_torch", *(("transformers", "tokenizers") if has_text else ())),
        files=files,
        text=words if has_text else None,
        image_side=(visual,),
    )


def _embed(module: Any, device: str) -> Any:
    def embed(tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
        # the training code passes no mask: its towers have always attended to the padding
        hidden = module.text(input_ids=tokens["input_ids"].to(device)).last_hidden_state
        return hidden[:, 0] @ module.text_projection

    return embed
