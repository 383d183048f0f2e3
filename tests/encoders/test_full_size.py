"""Full-size networks on the meta device: what a card says of parameters, widths, grids and bytes is so."""

import math
from typing import Any

import pytest

import encoders
from encoders import Site
from encoders._registry import find
from tests.full_size import on_meta

PUBLISHED = {  # millions
    "biomedclip": 86.2, "biomedclip-v1": 86.2, "clip-b16": 86.2, "clip-b32": 87.8, "clip-l14": 304.0,
    "clip-l14-336": 304.3, "conch": 90.4, "dinov2-s14": 22.1, "dinov2-b14": 86.6, "dinov2-l14": 304.4,
    "dinov2-g14": 1136.5, "dinov2-s14-reg": 22.1, "dinov2-b14-reg": 86.6, "dinov2-l14-reg": 304.4,
    "dinov2-g14-reg": 1136.5, "dinov3-s16": 21.6, "dinov3-b16": 85.7, "dinov3-l16": 303.1, "eva02-b16": 86.3,
    "eva02-l14-336": 303.6 + 0.8, "gigapath": 1135.0, "medsiglip": 428.6, "medsiglip-tf": 428.6, "phantom-clip": 1.3,
    "rad-dino": 86.6, "siglip-b16": 92.9, "siglip-so400m": 428.2, "siglip2-b16": 92.9, "siglip2-so400m": 428.2,
    "virchow": 631.2, "virchow2": 631.2, "h-optimus-0": 1134.8, "h-optimus-1": 1134.8, "h0-mini": 85.7,
    "retfound-cfp": 303.3, "retfound-oct": 303.3, "phikon-v2": 303.4, "rad-dino-maira-2": 86.6, "pubmed-clip": 87.8,
    "plip": 87.8, "monet": 304.0, "uni": 303.4, "uni2-h": 681.4, "unimed-clip-b16": 86.2, "unimed-clip-l14": 304.3,
}  # fmt: skip
DUAL = ("clip", "siglip", "medsiglip", "plip", "monet", "pubmed")
VOCABULARY = {"siglip2-b16": 256_000, "siglip2-so400m": 256_000}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_has_the_parameters_widths_and_grids_that_its_card_says(name: str) -> None:
    checkpoint = find(name)
    card = checkpoint.card
    assert checkpoint.network is not None
    assert card.parameters is not None
    with on_meta():
        network = checkpoint.network().eval()
    assert sum(p.numel() for p in network.parameters()) == card.parameters
    assert round(card.parameters / 1e6, 1) == pytest.approx(PUBLISHED[name], abs=0.11)
    assert card.unverified or name == "phantom-clip"
    found = shapes(network, card)
    assert set(found) == set(card.sites)
    assert found == {site: expected(card.sites[site]) for site in found}


def expected(site: Site) -> tuple[int, int]:
    """How many tokens of which width a site has."""
    if site.queries:
        return site.queries, site.width
    return (site.prefix + math.prod(site.grid) if site.grid else 1), site.width


def shapes(network: Any, card: encoders.Card) -> dict[str, tuple[int, int]]:
    """(tokens, width) at every site in a pass over one image of the card's size, without memory."""
    import torch

    assert card.input is not None
    blocks = next(
        module
        for name, module in network.named_modules()
        if name.rpartition(".")[2] in ("blocks", "layer", "layers", "resblocks")
    )
    found: dict[str, tuple[int, int]] = {}

    def read(site: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            tokens = output[0] if isinstance(output, tuple) else output
            found[site] = (tokens.shape[1], tokens.shape[2])

        return hook

    count = len(blocks)
    assert len({repr(block) for block in blocks}) == 1  # so that a pass through two of them tells of all
    del blocks[2:]
    for index, block in enumerate(blocks):
        block.register_forward_hook(read(f"block.{index}"))
    with torch.no_grad():
        outputs = last(network, torch.zeros(1, 3, *card.input.size, device="meta"))
    assert found["block.0"] == found["block.1"]
    found |= {f"block.{index}": found["block.1"] for index in range(count)} | {"final": found["block.1"]}
    return found | {site: (value.shape[-2], value.shape[-1]) for site, value in outputs.items()}


def last(network: Any, pixels: Any) -> dict[str, Any]:
    """Pooled and joint vectors [1, 1, d], and the caption tokens of the one model that has them."""
    if hasattr(network, "config"):
        out = network(pixel_values=pixels)
        kind = network.config.model_type
        if kind == "clip_vision_model":
            return {"pooled": out.last_hidden_state[:, :1], "joint": out.image_embeds[:, None]}
        pooled = out.pooler_output[:, None]
        return {"pooled": pooled} | ({"joint": pooled} if kind == "siglip_vision_model" else {})
    if hasattr(network, "attn_pool_caption"):
        tokens = network.trunk.forward_features(pixels)
        pooled = network.attn_pool_contrast(tokens)
        return {"pooled": pooled, "joint": pooled @ network.proj_contrast, "caption": network.attn_pool_caption(tokens)}
    if hasattr(network, "trunk"):
        features = network.trunk.forward_features(pixels)
        pooled = network.trunk.forward_head(features, pre_logits=True)
        return {"pooled": pooled[:, None], "joint": network.head(network.trunk.forward_head(features))[:, None]}
    if hasattr(network, "transformer"):
        return {"pooled": network.ln_post.weight[None], "joint": network(pixels)[:, None]}
    return {"pooled": network(pixels)[:, None]}


@pytest.mark.parametrize("name", [n for n in PUBLISHED if n.startswith(DUAL)])
def test_the_bytes_of_a_dual_encoder_are_those_of_both_towers_in_float32(name: str) -> None:
    import transformers

    checkpoint = find(name)
    assert checkpoint.network is not None
    with on_meta():
        vision = checkpoint.network().config.to_dict()
        width = vision["hidden_size"]
        if "siglip" not in name:
            joint = checkpoint.card.sites["joint"].width
            text = {"hidden_size": joint, "intermediate_size": 4 * joint, "num_attention_heads": joint // 64}
            config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=joint)
            whole: Any = transformers.CLIPModel(config)
        else:
            text = {key: vision[key] for key in ("intermediate_size", "num_hidden_layers", "num_attention_heads")}
            text |= {"hidden_size": width, "vocab_size": VOCABULARY.get(name, 32_000), "max_position_embeddings": 64}
            text |= {"bos_token_id": 1, "eos_token_id": 2}
            whole = transformers.SiglipModel(transformers.SiglipConfig(vision_config=vision, text_config=text))
    size = 4 * sum(p.numel() for p in whole.parameters())
    assert (checkpoint.card.bytes, checkpoint.card.bytes_whole) == (size, size)


@pytest.mark.parametrize("name", PUBLISHED)
def test_cards_of_towers_say_what_is_fetched(name: str) -> None:
    card = encoders.card(name)
    known = name not in ("retfound-cfp", "retfound-oct", "conch", "unimed-clip-b16", "phantom-clip")
    assert (card.bytes is not None and card.bytes == card.bytes_whole) == known
    assert card.repo or name == "phantom-clip"
