"""phantom-llava: a LLaVA of a few megabytes trained by this project to answer questions about its phantoms.

It lies in the project, in the library's own layout, and is loaded as any LLaVA is. The other names are variants of it
in which a fault is planted whose place is known: a tower or a connector that cannot know, a language model that does
not look, an answer that is always the same. Images and weights are synthetic: they exist so that what the instrument
says can be held against the truth, not to say anything about medicine.
"""

import json
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Input, Site
from encoders._registry import Checkpoint
from encoders.answering.llava import LLAVA
from encoders.extraction import tower_sites
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelType
from encoders.networks.llava import plain

WEIGHTS = Path(__file__).parent / "weights"


def _processor(library: Any, folder: Path | None) -> Any:
    return library.CLIPImageProcessorPil.from_pretrained(folder or WEIGHTS / "phantom-llava", local_files_only=True)


def _checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder: its card says what it was trained on and how well it answers."""
    told = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    vision = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vision_config"]
    width, side = vision["hidden_size"], vision["image_size"]
    grid = side // vision["patch_size"]
    tower = tower_sites.sites(vision["num_hidden_layers"], width, grid, prefix=1, vectors={"pooled": width})
    card = Card(
        name=folder.name,
        licence="Apache-2.0",
        parameters=told["parameters_of_the_image_side"],
        bytes=0,  # it is here already
        bytes_whole=0,
        input=Input(
            size=(side, side), resize="shortest", crop="center", interpolation="bicubic",
            backend="transformers CLIPImageProcessorPil", **CLIP_NORM,
        ),
        sites=tower | {"connector": Site(width=width, grid=(grid, grid))},
        synthetic=True,
        note=told["note"],
    )  # fmt: skip
    model_type = ModelType(
        model="LlavaForConditionalGeneration",
        types=("llava",),
        config=lambda library: library.AutoConfig.from_pretrained(folder, local_files_only=True),
        processor=_processor,
        take_apart=plain,
        answers=LLAVA,
    )
    return checkpoint(card, model_type, folder)


CHECKPOINTS = tuple(_checkpoint(file.parent) for file in sorted(WEIGHTS.glob("phantom-llava*/card.json")))
