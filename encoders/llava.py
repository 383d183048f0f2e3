"""LLaVA-1.5 and LLaVA-1.6: a CLIP-L/336 tower and two linear layers in front of a language model.

Liu et al. 2023, arXiv:2310.03744, and LLaVA-NeXT (Liu et al. 2024). The projector reads the tower's last block but
one, without CLS. The authors' code pads an image to a square with the mean colour; the processor of the converted
repositories crops it: `-crop` is that reading. LLaVA-1.6 adds tiles; its newline tokens are left out here.
"""

from dataclasses import replace

from encoders._base import Card, Site, View
from encoders.answering.llava import LLAVA, LLAVA_NEXT
from encoders.extraction.tiles import site, tiles
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelType
from encoders.networks.llava import PAD, config, original, plain, processor, sites, tiled


def _tiled(connector: int) -> dict[str, Site]:
    """The sites of a square image: itself and two by two tiles."""
    whole = View(grid=(24, 24))
    towers = site(1024, (whole, *tiles(2, 2, (24, 24))), prefix=1, cls=True)
    merged = site(connector, (whole, View(grid=(48, 48))))
    return {name: towers if of.grid else of for name, of in sites(connector).items()} | {"connector": merged}


UNVERIFIED = "configuration and shard placement"
PADDED = ModelType(
    model="LlavaForConditionalGeneration",
    types=("llava",),
    config=config(
        "Llava", "Llama", hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
        vocab_size=32064,
    ),
    processor=processor("LlavaImageProcessorPil", do_pad=True),
    take_apart=plain,
    rename=original,
    answers=LLAVA,
)  # fmt: skip
CROPPED = replace(PADDED, processor=processor("CLIPImageProcessorPil"))
LARGE = config(
    "Llava", "Llama", hidden_size=5120, intermediate_size=13824, num_hidden_layers=40, num_attention_heads=40,
    vocab_size=32064,
)  # fmt: skip
NEXT = ModelType(
    model="LlavaNextForConditionalGeneration",
    types=("llava_next",),
    config=config(
        "LlavaNext", "Mistral", hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, vocab_size=32064,
    ),
    processor=processor("LlavaNextImageProcessorPil"),
    take_apart=tiled,
    answers=LLAVA_NEXT,
)  # fmt: skip
SMALL = Card(
    name="llava-1.5-7b",
    repo="llava-hf/llava-1.5-7b-hf",
    licence="Llama-2",
    parameters=324_487_168,
    bytes=648_974_336,
    bytes_whole=14_126_854_144,
    input=PAD,
    sites=sites(4096),
    note="padded to a square, as the authors' code does",
    unverified=UNVERIFIED,
)
BIG = replace(
    SMALL,
    name="llava-1.5-13b",
    repo="llava-hf/llava-1.5-13b-hf",
    parameters=334_974_976,
    bytes=669_949_952,
    bytes_whole=26_702_989_312,
    sites=sites(5120),
)
CROP = {
    "input": replace(PAD, resize="shortest", crop="center", backend="transformers CLIPImageProcessorPil"),
    "note": "cropped, as the converted repository's processor does",
}
TILED = replace(
    SMALL,
    name="llava-1.6-mistral",
    repo="llava-hf/llava-v1.6-mistral-7b-hf",
    licence="Apache-2.0",
    parameters=324_491_264,
    bytes=648_982_528,
    bytes_whole=15_133_495_296,
    input=replace(PAD, resize="tiles", backend="transformers LlavaNextImageProcessorPil"),
    sites=_tiled(4096),
    note="the whole image and up to four tiles of it",
)

CHECKPOINTS = (
    checkpoint(SMALL, PADDED),
    checkpoint(replace(SMALL, name="llava-1.5-7b-crop", **CROP), CROPPED),
    checkpoint(BIG, replace(PADDED, config=LARGE)),
    checkpoint(replace(BIG, name="llava-1.5-13b-crop", **CROP), replace(CROPPED, config=LARGE)),
    checkpoint(TILED, NEXT),
)
