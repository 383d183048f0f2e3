"""LLaVA-Med v1.5: LLaVA-1.5 trained further on biomedical figures. Li et al. 2023, arXiv:2306.00890.

The checkpoint holds a tower of its own, which the official code leaves aside for the stock CLIP that it downloads.
`llava-med` is the tower of the checkpoint with its projector, `llava-med-stock` what the official code runs. That
code pads to a square with the mean colour and, where the padding is odd, puts the odd pixel on a random side; here
it is always the same side.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, EncoderError
from encoders._registry import Checkpoint
from encoders.answering.llava import authors
from encoders.multimodal.checkpoint import checkpoint
from encoders.networks.llava import PAD, descendant, original, sites
from hub.wanted import Wanted

STOCK = "openai/clip-vit-large-patch14-336"
CARD = Card(
    name="llava-med",
    repo="microsoft/llava-med-v1.5-mistral-7b",
    licence="Apache-2.0 on the hub, research only in its README",
    parameters=324_487_168,
    bytes=648_974_336,
    bytes_whole=15_132_438_528,
    input=PAD,
    sites=sites(4096),
    note="tower of the checkpoint",
    unverified="configuration, shard placement, whether its tower equals the stock one",
)


def _spelling(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The authors' keys, and those of a stock CLIP beside them, in the library's spelling."""
    return {f"vision_tower.{k}" if k.startswith("vision_model.") else k: v for k, v in original(tensors).items()}


TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '[INST] ' if message['role'] == 'user' else ' ' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{{ ' [/INST]' if message['role'] == 'user' else ' ' + eos_token }}{% endfor %}"
)
ORIGIN = "its authors' code (LLaVA-Med, conversation mode mistral_instruct); the repository has none"
UNKNOWN = 0  # <unk>, which a tokenizer that falls back to bytes never gives: it marks the image's positions
MODEL_TYPE = replace(
    descendant(
        "llava_mistral", "Mistral", authors("Mistral", UNKNOWN, TEMPLATE, ORIGIN), hidden_size=4096,
        intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, vocab_size=32000,
    ),
    rename=_spelling,
)  # fmt: skip


def _projector(name: str) -> bool:
    return "mm_projector." in name or name.startswith("multi_modal_projector.")


def _tower(name: str) -> bool:
    return name.startswith("vision_model.") and not name.endswith("position_ids")


def _stock(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The projector of the checkpoint behind the stock tower."""
    from encoders.multimodal.load import from_folders
    from hub.tensors import fetch

    if weights is None:
        assert card.repo is not None
        folder, commit = fetch(card.repo, card.revision, _projector, needed=MODEL_TYPE.needed, offline=offline)
        card = replace(card, revision=commit)
    else:
        folder, card = weights, replace(card, repo=None, revision=None)
    return from_folders(
        card, MODEL_TYPE, device, [(folder, _projector), (_stock_tower(card, weights, offline), _tower)]
    )


def _stock_tower(card: Card, weights: Path | None, offline: bool) -> Path:
    """The folder with the tower that the official code downloads, or the one inside the folder that was given."""
    from hub.tensors import fetch

    if weights is None:
        return fetch(STOCK, None, _tower, needed=MODEL_TYPE.needed, offline=offline)[0]
    tower = weights / Path(STOCK).name
    if not tower.is_dir():
        raise EncoderError(
            f"{card.name}: --weights {weights} has no folder {tower.name}; put a snapshot of {STOCK} there, inside the "
            f"snapshot of {CARD.repo}"
        )
    return tower


def _stock_whole(card: Card, weights: Path | None, offline: bool) -> Any:
    """Projector and language model of the checkpoint, behind the stock tower."""
    from encoders.answering.files import every, sources

    card, [(folder, _)] = sources(card, MODEL_TYPE, weights, offline)
    return card, [(folder, lambda name: every(name) and "vision_tower" not in name),
                  (_stock_tower(card, weights, offline), _tower)]  # fmt: skip


OWN = checkpoint(CARD, MODEL_TYPE)
CHECKPOINTS = (
    OWN,
    Checkpoint(
        card=replace(
            CARD,
            name="llava-med-stock",
            bytes=1_753_736_196,  # the tower lies in one file of torch with the text tower: all of it is fetched
            bytes_whole=16_844_215_300,
            note=f"tower of {STOCK}, as the official code runs it",
        ),
        load=_stock,
        untrained=OWN.untrained,
        network=OWN.network,
        model_type=MODEL_TYPE,
        whole=_stock_whole,
        sources=(
            Wanted(repo="microsoft/llava-med-v1.5-mistral-7b", needed=MODEL_TYPE.needed, keep=_projector),
            Wanted(repo=STOCK, needed=MODEL_TYPE.needed, keep=_tower, place=Path(STOCK).name),
        ),
    ),
)
