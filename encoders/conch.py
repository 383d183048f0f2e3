"""CONCH: an image and text model of pathology that also writes captions. Lu et al. 2024, arXiv:2307.12914.

A ViT-B/16 at 448 pixels under two attention poolers: one query gives the pooled vector, which a matrix takes to the
joint space, and 256 queries give what the caption decoder reads, site `caption`. Images are normed as CLIP's, though
the tower is timm's. The tokenizer of the text tower lies in the authors' code and not beside the weights: sentences are
read once it is laid into the folder that is given with --weights.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, Site
from encoders._registry import Checkpoint
from encoders._weights import source, weights_file
from encoders.extraction.tower_sites import sites
from encoders.libraries.open_clip.checkpoint import cropped

SIDE = 448
VISION: dict[str, Any] = {"img_size": SIDE, "patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12}
HEADS = {"joint": 512, "caption": 768, "queries": 256, "heads": 8}
TEXT = {"context_length": 127, "vocab_size": 32007, "width": 768, "heads": 12, "layers": 12}


def network() -> Any:
    """The image side, spelt as in the checkpoint."""
    import torch
    from open_clip.transformer import AttentionalPooler, LayerNorm
    from timm.models import VisionTransformer

    joint, caption, width = HEADS["joint"], HEADS["caption"], VISION["embed_dim"]
    visual: Any = torch.nn.Module()
    visual.trunk = VisionTransformer(**VISION, num_classes=0, dynamic_img_size=True)
    visual.attn_pool_contrast = AttentionalPooler(joint, width, n_head=HEADS["heads"], n_queries=1)
    visual.ln_contrast = torch.nn.LayerNorm(joint)
    visual.proj_contrast = torch.nn.Parameter(width**-0.5 * torch.randn(joint, joint))
    visual.attn_pool_caption = AttentionalPooler(
        caption, width, n_head=HEADS["heads"], n_queries=HEADS["queries"], norm_layer=LayerNorm
    )
    visual.ln_caption = torch.nn.LayerNorm(caption)
    return visual


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """CONCH from its repository, or from the file or folder `weights`."""
    card, file = weights_file(card, weights, offline, files=("pytorch_model.bin",))
    from hub.torch_files import below, fill, state_dict

    state = {key.removeprefix("module."): value for key, value in state_dict(file, card.name).items()}
    visual = fill(network(), below(state, "visual."), card.name, str(file))
    return _encoder(card, visual, device, file, below(state, "text."))


def untrained(card: Card, device: str) -> Encoder:
    """The same image side under torch's current random state."""
    return _encoder(card, network(), device)


def _encoder(
    card: Card, network: Any, device: str, file: Path | None = None, words: Mapping[str, Any] | None = None
) -> Encoder:
    """The encoder around the image side and, where the file holds its tensors `words`, the text tower."""
    import torch

    from encoders.extraction.assemble import assemble
    from encoders.extraction.hooks import freeze
    from encoders.extraction.images import transform
    from encoders.libraries.timm.load import LIBRARIES
    from encoders.libraries.timm.sites import parts
    from encoders.libraries.timm.size import resize
    from encoders.networks.conch_text import text_of, tower

    whole: Any = torch.nn.Module()
    whole.visual = visual = network
    if file and words:
        whole.text = tower(TEXT, HEADS["joint"], words, card.name, str(file))
    freeze(whole, device)
    assert card.input is not None
    hooks, found, trunk = parts(visual.trunk, (3, *card.input.size), device)
    spec = card.input

    def at_size(side: int) -> Encoder:
        resize(card.name, visual.trunk, side)
        return _encoder(replace(card, input=replace(spec, size=(side, side))), network, device, file, words)

    def run(batch: Any) -> dict[str, Any]:
        tokens = trunk(batch)["final"]
        pooled = visual.ln_contrast(visual.attn_pool_contrast(tokens)[:, :1])
        caption = visual.ln_caption(visual.attn_pool_caption(tokens))
        return {"final": tokens, "pooled": pooled, "joint": pooled @ visual.proj_contrast, "caption": caption}

    vector = Site(width=HEADS["joint"])
    queries = Site(width=HEADS["caption"], queries=HEADS["queries"])
    return assemble(
        card,
        whole,
        run=run,
        hooks=hooks,
        sites=found | {"pooled": vector, "joint": vector, "caption": queries},
        preprocess=transform(card.input),
        input=card.input,
        device=device,
        architecture=[VISION, HEADS],
        libraries=(*LIBRARIES, "open_clip_torch", *(("tokenizers",) if file and words else ())),
        files=(file,) if file else (),
        text=text_of(card.name, whole.text, file.parent, device) if file and words else None,
        image_side=(visual,),
        at_size=at_size,
    )


CARD = Card(
    name="conch",
    repo="MahmoodLab/CONCH",
    licence="CC-BY-NC-ND-4.0",
    gated=True,
    parameters=90_392_832,
    input=replace(cropped(SIDE), backend="torchvision"),
    sites=sites(12, 768, SIDE // 16, prefix=1, vectors={"pooled": 512, "joint": 512})
    | {"caption": Site(width=768, queries=256)},
    text=True,
    any_size=True,
    note="revision resolved at first load; sentences need a tokenizer from the authors' code beside the weights",
    unverified="layout and name of the file, size of its position table",
)
CHECKPOINTS = (
    Checkpoint(
        card=CARD, load=load, untrained=untrained, network=network, sources=source(CARD, ("pytorch_model.bin",), (), ())
    ),
)
