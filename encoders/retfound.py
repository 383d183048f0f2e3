"""RETFound: ViT-L/16 trained as a masked autoencoder on fundus photographs (`-cfp`) and on OCT scans (`-oct`).

Zhou et al. 2023, Nature 622. A published file holds the decoder of the training too, which is left aside. One that was
fine-tuned by the authors' code has its norm behind the mean of the patches (`fc_norm`): it is read so, has no `final`,
and as another network than the card's it is taken with --other-weights.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder
from encoders._registry import Checkpoint
from encoders._weights import source, weights_file
from encoders.extraction.tower_sites import sites
from encoders.libraries.timm.checkpoint import IMAGENET

LARGE: dict[str, Any] = {"dynamic_img_size": False}
FILES = {
    "retfound-cfp": ("RETFound_mae_natureCFP.pth", "RETFound_cfp_weights.pth"),
    "retfound-oct": ("RETFound_mae_natureOCT.pth", "RETFound_oct_weights.pth"),
}
STATES = ("model", "state_dict", "model_state_dict")  # what the training code wraps the tensors in
DECODER = ("decoder_", "mask_token", "head.")
CARD = Card(
    name="retfound-cfp", repo="YukunZhou/RETFound_mae_natureCFP", licence="CC-BY-NC-4.0", gated=True,
    parameters=303_301_632, input=replace(IMAGENET, interpolation="bicubic", edge=256),
    sites=sites(24, 1024, 14, prefix=1, vectors={"pooled": 1024}), any_size=True,
    note="revision resolved at first load; `pooled` is CLS behind the norm",
    unverified="size of the file, its older name",
)  # fmt: skip


def network(*, fine_tuned: bool = False) -> Any:
    """The encoder of the autoencoder, or with `fine_tuned` the network that the authors make of it."""
    import timm

    # the classes of the fine-tuned head are not read
    pool = {"global_pool": "avg", "fc_norm": True} if fine_tuned else {"global_pool": "token"}
    return timm.create_model("vit_large_patch16_224", num_classes=0, **pool, **LARGE)


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """RETFound from its repository, or from the file or folder `weights`."""
    card, file = weights_file(card, weights, offline, files=FILES[card.name], states=STATES)
    from encoders.libraries.timm.load import encoder
    from hub.torch_files import fill, state_dict

    state = {name.removeprefix("module."): value for name, value in state_dict(file, card.name, STATES).items()}
    state = {name: value for name, value in state.items() if not name.startswith(DECODER)}
    module = network(fine_tuned="fc_norm.weight" in state)
    return encoder(card, fill(module, state, card.name, str(file)), device, (file,), CARD.input)


def untrained(card: Card, device: str) -> Encoder:
    """The same tower under torch's current random state."""
    from encoders.libraries.timm.load import encoder

    return encoder(card, network(), device, (), CARD.input)


CHECKPOINTS = tuple(
    Checkpoint(card=card, load=load, untrained=untrained, network=network,
               sources=source(card, FILES[card.name], (), ()))
    for card in (CARD, replace(CARD, name="retfound-oct", repo="YukunZhou/RETFound_mae_natureOCT"))
)  # fmt: skip
