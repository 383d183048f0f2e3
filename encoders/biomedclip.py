"""BiomedCLIP: a ViT-B/16 and a PubMed BERT trained on 15 M figures and captions. Zhang et al. 2023, arXiv:2303.00915.

The repository replaced its checkpoint under the same id, so papers before and after may not be comparable:
both are here under names of their own, each pinned to a commit.
"""

from dataclasses import replace

from encoders._base import Card
from encoders._weights import FLOAT32
from encoders.extraction.tower_sites import sites
from encoders.libraries.open_clip.checkpoint import checkpoint, cropped

CONFIG = {
    "embed_dim": 512,
    "vision_cfg": {
        "timm_model_name": "vit_base_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
    },
}
WHOLE = FLOAT32 * 195_902_721
NEW = Card(
    name="biomedclip",
    repo="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
    revision="9f341de24bfb00180f1b847274256e9b65a3a32e",
    licence="MIT",
    parameters=86_191_872,
    bytes=WHOLE,
    bytes_whole=WHOLE,
    input=cropped(224),
    sites=sites(12, 768, 14, prefix=1, vectors={"pooled": 768, "joint": 512}),
    text=True,
    any_size=True,
    note="updated checkpoint",
    unverified="commit, configuration, licence",
)
OLD = replace(
    NEW,
    name="biomedclip-v1",
    revision="06889418e18d0e9fd5de56a7d6c32cdd84b61264",
    note="checkpoint before the update",
)
CHECKPOINTS = tuple(checkpoint(card, CONFIG) for card in (NEW, OLD))
