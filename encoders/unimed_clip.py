"""UniMed-CLIP: OpenAI's ViT-B/16 and ViT-L/14 at 336 pixels and a PubMed BERT, trained on 5.3 M medical pairs.

Its checkpoints are those of a fork of open_clip: the text tower is spelt `text_encoder.`, and activations are
QuickGELU, which no tensor says. The tokenizer is that of the BERT and lies in another repository. Khattak et al.
2024, arXiv:2412.10372.
"""

from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Encoder, EncoderError
from encoders._registry import Checkpoint
from encoders._weights import source, weights_file
from encoders.extraction.tower_sites import sites
from encoders.libraries.open_clip.checkpoint import cropped
from hub.snapshots import snapshot
from hub.wanted import Wanted

BERT_REPO = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
VOCABULARY = ("tokenizer.json", "vocab.txt")
BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "config.json")
CONTEXT = 256
BERT: dict[str, Any] = {}  # BERT-base
TEXT = {
    "hf_model_name": BERT_REPO, "hf_tokenizer_name": BERT_REPO, "hf_proj_type": "mlp",
    "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": CONTEXT,
}  # fmt: skip
VISION: dict[str, dict[str, int]] = {
    "unimed-clip-b16": {"image_size": 224, "patch_size": 16, "width": 768, "layers": 12, "head_width": 64},
    "unimed-clip-l14": {"image_size": 336, "patch_size": 14, "width": 1024, "layers": 24, "head_width": 64},
}
OLD_BUFFER = "text.transformer.embeddings.position_ids"  # a constant that earlier releases saved


def _checkpoint(name: str, repo: str, joint: int, parameters: int, size: int | None) -> Checkpoint:
    file = f"{repo}.pt"
    vision = VISION[name]
    config: dict[str, Any] = {"embed_dim": joint, "quick_gelu": True, "vision_cfg": vision, "text_cfg": TEXT}
    width, side = vision["width"], vision["image_size"]

    def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        card, found = weights_file(card, weights, offline, files=(file,))
        vocabulary = found.parent if weights else _vocabulary(offline)
        from encoders.libraries.open_clip.load import from_state
        from hub.torch_files import state_dict

        state = {_renamed(key): value for key, value in state_dict(found, card.name).items()}
        state.pop(OLD_BUFFER, None)
        return from_state(card, state, config, device, bert=BERT, where=found,
                          tokenizer=lambda: _tokenizer(vocabulary))  # fmt: skip

    def network() -> Any:
        from encoders.libraries.open_clip.tower import image_tower

        return image_tower(config)

    def untrained(card: Card, device: str) -> Encoder:
        from encoders.libraries.open_clip.tower import from_config

        return from_config(card, config, CLIP_NORM, device)

    card = Card(
        name=name,
        repo=f"UzairK/{repo}",
        licence="CC-BY-NC-4.0",
        parameters=parameters,
        bytes=size,
        bytes_whole=size,
        input=cropped(side),
        sites=sites(vision["layers"], width, side // vision["patch_size"], prefix=1,
                    vectors={"pooled": width, "joint": joint}),
        text=True,
        any_size=True,
        note="revision resolved at first load",
        unverified="licence, name and size of the file",
    )  # fmt: skip
    words = Wanted(repo=BERT_REPO, weights=VOCABULARY, others=BESIDE)
    read = (*source(card, (file,), (), ()), words)
    return Checkpoint(card=card, load=load, untrained=untrained, network=network, sources=read)


def _renamed(key: str) -> str:
    key = key.removeprefix("module.")
    return "text." + key.removeprefix("text_encoder.") if key.startswith("text_encoder.") else key


def _vocabulary(offline: bool) -> Path:
    return snapshot(BERT_REPO, None, weights=VOCABULARY, needed=(), others=BESIDE, offline=offline)[0]


def _tokenizer(folder: Path) -> Any:
    if not any((folder / name).is_file() for name in VOCABULARY):
        raise EncoderError(
            f"{folder} has none of {', '.join(VOCABULARY)}: lay the tokenizer of {BERT_REPO} beside the weights"
        )
    import open_clip

    return open_clip.tokenizer.HFTokenizer(str(folder), context_length=CONTEXT)


CHECKPOINTS = (
    _checkpoint("unimed-clip-b16", "unimed-clip-vit-b16", 512, 86_192_640, None),
    _checkpoint("unimed-clip-l14", "unimed_clip_vit_l14_base_text_encoder", 768, 304_293_888, 4_970_000_000),
)
