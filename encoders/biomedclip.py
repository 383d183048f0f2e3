"""BiomedCLIP: a ViT-B/16 and a PubMed BERT trained on 15 M figures and captions. Zhang et al. 2023, arXiv:2303.00915.

The repository replaced its checkpoint under the same id, so papers before and after may not be comparable:
both are here under names of their own, each pinned to a commit.
"""

from dataclasses import replace
from pathlib import Path

from encoders import _open_clip_files as names
from encoders._base import Card, Encoder, EncoderError, Input
from encoders._hub import snapshot
from encoders._pinned import sites
from encoders._registry import Checkpoint

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
VISION = {
    "timm_model_name": "vit_base_patch16_224",
    "timm_model_pretrained": False,
    "timm_pool": "",
    "timm_proj": "linear",
}
NEW = Card(
    name="biomedclip",
    repo="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
    revision="9f341de24bfb00180f1b847274256e9b65a3a32e",
    licence="MIT",
    parameters=195_900_000,
    input=Input(
        size=(224, 224),
        resize="shortest",
        crop="center",
        mean=MEAN,
        std=STD,
        interpolation="bicubic",
        backend="open_clip",
    ),
    sites=sites(12, 768, 14, prefix=1, vectors={"pooled": 768, "joint": 512}),
    text=True,
    note="updated checkpoint; commit as listed on the hub, not yet checked against real weights",
)
OLD = replace(
    NEW,
    name="biomedclip-v1",
    revision="06889418e18d0e9fd5de56a7d6c32cdd84b61264",
    note="checkpoint before the update; commit as listed on the hub, not yet checked against real weights",
)


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """BiomedCLIP from its repository at its commit, or from the folder `weights` in open_clip's format."""
    if weights is None:
        assert card.repo is not None
        weights, commit = snapshot(
            card.repo,
            card.revision,
            weights=names.WEIGHTS,
            needed=names.NEEDED,
            others=names.TOKENIZER,
            offline=offline,
        )
        card = replace(card, revision=commit)
    else:
        card = replace(card, repo=None, revision=None)
    if not weights.is_dir():
        raise EncoderError(
            f"{card.name}: --weights {weights} is not a folder; give one in open_clip's format, as "
            f"`hf download {NEW.repo}` makes it"
        )
    from encoders._open_clip import from_folder

    return from_folder(card, weights, device)


def untrained(card: Card, device: str) -> Encoder:
    """The same image tower under torch's current random state."""
    from encoders._open_clip import from_config

    return from_config(card, {"embed_dim": 512, "vision_cfg": VISION}, {"mean": MEAN, "std": STD}, device)


CHECKPOINTS = tuple(Checkpoint(card=card, load=load, untrained=untrained) for card in (NEW, OLD))
