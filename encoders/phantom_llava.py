"""phantom-llava: a LLaVA of a few megabytes trained by this project to answer questions about its phantoms.

It lies in the project, in the library's own layout, and is loaded as any LLaVA is. The other names are variants of it
in which a fault is planted whose place is known: a tower or a connector that cannot know, a language model that does
not look, an answer that is always the same. Images and weights are synthetic: they exist so that what the instrument
says can be held against the truth, not to say anything about medicine.
"""

import json
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Encoder, Input, Site
from encoders._registry import Checkpoint
from encoders.extraction import tower_sites
from encoders.multimodal.kind import ModelType
from encoders.networks.llava import plain

WEIGHTS = Path(__file__).parent / "weights"
WIDTH, SIDE, PATCH = 128, 128, 16
SQUARE = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
GRID = SIDE // PATCH
INPUT = Input(
    size=(SIDE, SIDE), resize="shortest", crop="center", interpolation="bicubic",
    backend="transformers CLIPImageProcessorPil", **CLIP_NORM,
)  # fmt: skip


def _config(blocks: int) -> Any:
    def build(library: Any) -> Any:
        vision = library.CLIPVisionConfig(
            hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=blocks, num_attention_heads=4,
            image_size=SIDE, patch_size=PATCH, hidden_act="gelu", projection_dim=WIDTH,
        )  # fmt: skip
        text = library.LlamaConfig(hidden_size=WIDTH, tie_word_embeddings=False)
        return library.LlavaConfig(vision_config=vision, text_config=text)

    return build


def _processor(library: Any, folder: Path | None) -> Any:
    cls = library.CLIPImageProcessorPil
    return cls(**SQUARE) if folder is None else cls.from_pretrained(folder, local_files_only=True)


def _model_type(blocks: int) -> ModelType:
    return ModelType(
        model="LlavaForConditionalGeneration", types=("llava",), config=_config(blocks), processor=_processor,
        take_apart=plain,
    )  # fmt: skip


def _card(name: str) -> tuple[Card, int]:
    """The card, with what the model was trained on and how well it answers, and the number of its tower's blocks."""
    folder = WEIGHTS / name
    told = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    blocks, vector = told["tower_blocks"], {"pooled": WIDTH}
    sites = tower_sites.sites(blocks, WIDTH, GRID, prefix=1, vectors=vector)
    card = Card(
        name=name,
        licence="Apache-2.0",
        parameters=told["parameters_of_the_image_side"],
        bytes=0,  # it is here already
        bytes_whole=0,
        input=INPUT,
        sites=sites | {"connector": Site(width=WIDTH, grid=(GRID, GRID))},
        synthetic=True,
        note=told["note"],
    )
    return card, blocks


def _checkpoint(name: str) -> Checkpoint:
    card, blocks = _card(name)
    model_type = _model_type(blocks)

    def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        from encoders.multimodal.load import load as read

        return read(card, model_type, device, weights or WEIGHTS / name, offline)

    def untrained(card: Card, device: str) -> Encoder:
        from encoders.multimodal.load import untrained as build

        return build(card, model_type, device)

    def network() -> Any:
        from encoders.multimodal.model import network as build

        return build(model_type)

    return Checkpoint(
        card=card, load=load, untrained=untrained, network=network, model_type=model_type, folder=WEIGHTS / name
    )


CHECKPOINTS = tuple(_checkpoint(file.parent.name) for file in sorted(WEIGHTS.glob("phantom-llava*/card.json")))
