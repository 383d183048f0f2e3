"""MedGemma, BLIP-2, InstructBLIP, IDEFICS, Phi-4-multimodal and Molmo 2 without their language model."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError, Site, View
from encoders._registry import find
from encoders.extraction.encode import collate
from encoders.identity.snapshot import recall, snapshot
from tests.full_size import on_meta
from tests.hub_server import Hub, Repository, serving
from tests.stand_in_hub import WORDS, randomise, respelt, sharded, stand_in, tokenizer

VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
          "image_size": 56, "patch_size": 14}  # fmt: skip
TEXT = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": 64}  # fmt: skip
QFORMER = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
           "encoder_hidden_size": 32, "vocab_size": len(WORDS)}  # fmt: skip
SQUARE = {"size": {"height": 56, "width": 56}}
IMAGE_TOKEN = 7
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (150, 70, 3), dtype=np.uint8),
    np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8),
]
Told = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A tiny whole model with its image processor, and what it computes of one image: tokens [t, d] by site."""

    model: Callable[[Any], Any]
    processor: Callable[[Any], Any]
    blocks: str  # where its blocks are
    told: Callable[[Any, Path, Mapping[str, Any]], Told]
    sites: frozenset[str]
    gone: tuple[str, ...]  # tensors on disk that a load must not do without
    infix: tuple[str, str] = ("", "")


def _gemma(library: Any) -> Any:
    text = library.Gemma3TextConfig(**TEXT, head_dim=24)
    vision = library.SiglipVisionConfig(**VISION | {"image_size": 112}, vision_use_head=False)
    config = library.Gemma3Config(vision_config=vision, text_config=text, mm_tokens_per_image=16)
    return library.Gemma3ForConditionalGeneration(config)


def _gemma_told(model: Any, _folder: Path, given: Mapping[str, Any]) -> Told:
    out = model.get_image_features(pixel_values=given["pixel_values"])
    return {"final": out.last_hidden_state[0], "connector": out.pooler_output[0]}


def _blip2(library: Any) -> Any:
    text = library.OPTConfig(
        hidden_size=48, ffn_dim=64, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=48, vocab_size=64
    )
    config = library.Blip2Config(vision_config=VISION, qformer_config=QFORMER, text_config=text, num_query_tokens=5)
    return library.Blip2ForConditionalGeneration(config)


def _instructblip(library: Any) -> Any:
    config = library.InstructBlipConfig(
        vision_config=VISION, qformer_config=QFORMER, text_config=library.LlamaConfig(**TEXT), num_query_tokens=5
    )
    return library.InstructBlipForConditionalGeneration(config)


def _blip_told(model: Any, folder: Path, given: Mapping[str, Any]) -> Told:
    import transformers

    extra = {}
    if (folder / "qformer_tokenizer").exists():
        reader = transformers.PreTrainedTokenizerFast.from_pretrained(folder / "qformer_tokenizer")
        extra["qformer_input_ids"] = reader("Describe the image.", return_tensors="pt")["input_ids"]
    out = model.get_image_features(pixel_values=given["pixel_values"], **extra)
    return {
        "final": out.last_hidden_state[0],
        "pooled": out.last_hidden_state[0, :1],
        "qformer": out.qformer_outputs.last_hidden_state[0, :5],
        "connector": out.pooler_output[0],
    }


def _idefics(library: Any) -> Any:
    vision = {**VISION, "embed_dim": 32}
    del vision["hidden_size"]
    config = library.IdeficsConfig(
        vision_config=vision,
        perceiver_config={"use_resampler": True, "resampler_n_latents": 6, "resampler_depth": 2,
                          "resampler_n_heads": 2, "resampler_head_dim": 8, "qk_layer_norms_perceiver": True},
        use_resampler=True, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        vocab_size=64, additional_vocab_size=2, cross_layer_interval=1, qk_layer_norms=True,
    )  # fmt: skip
    return library.IdeficsForVisionText2Text(config)


def _idefics_told(model: Any, _folder: Path, given: Mapping[str, Any]) -> Told:
    import torch

    mask = torch.ones(1, 3, 1, dtype=torch.long)
    ids = torch.tensor([[1, 5, 6]])
    seen: dict[str, Any] = {}  # what its output calls so is the tower's from transformers 5.24 on
    handle = model.model.perceiver_resampler.register_forward_hook(_keep(seen, "connector"))
    model(input_ids=ids, pixel_values=given["pixel_values"][:, None], image_attention_mask=mask)
    handle.remove()
    tower = model.model.vision_model
    out = tower(pixel_values=given["pixel_values"])
    return {
        "final": tower.post_layernorm(out.last_hidden_state)[0],
        "pooled": out.pooler_output,
        "connector": seen["connector"][0],
    }


def _phi4(library: Any) -> Any:
    config = library.Phi4MultimodalConfig(
        **TEXT, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        vision_config={**VISION, "crop_size": 56, "image_token_id": IMAGE_TOKEN},
        audio_config={"hidden_size": 16, "intermediate_size": 16, "num_blocks": 1, "num_attention_heads": 2,
                      "nemo_conv_channels": 8, "ext_pw_out_channel": 16, "depthwise_separable_out_channel": 16,
                      "audio_token_id": 9},
    )  # fmt: skip
    return library.Phi4MultimodalForCausalLM(config)


def _phi4_told(model: Any, _folder: Path, given: Mapping[str, Any]) -> Told:
    """Through the whole model: what its embedding hands to the first layer of the language model."""
    import torch

    mask = given["image_attention_mask"][0, 1:]
    rows, columns = (int(x) // 56 for x in given["image_sizes"][0])
    flat = mask.reshape(rows, columns, 4, 4).transpose(1, 2).reshape(rows * 4, columns * 4)[::2, ::2]
    high, wide = int(flat[:, 0].sum()), int(flat[0].sum())
    assert flat.sum() == high * wide
    count = high * (wide + 1) + 1 + 2 * 3
    received: list[Any] = []
    handle = model.model.layers[0].register_forward_pre_hook(lambda _m, args: received.append(args[0]))
    ids = torch.tensor([[1, *[IMAGE_TOKEN] * count, 2]])
    keys = ("image_pixel_values", "image_sizes", "image_attention_mask")
    model(input_ids=ids, **{key: given[key] for key in keys})
    handle.remove()
    image = model.model.embed_tokens_extend.image_embed

    def projected(separator: Any) -> Any:
        return image.img_projection_down(torch.nn.functional.gelu(image.img_projection_up(separator)))

    tokens = received[0][0, 1:-1]
    tiles, whole = tokens[: high * (wide + 1)].reshape(high, wide + 1, -1), tokens[-6:].reshape(2, 3, -1)
    newline = projected(image.sub_img_feature_extensor[0, 0])
    assert torch.allclose(tiles[:, -1], newline, atol=1e-5)
    assert torch.allclose(whole[:, -1], newline, atol=1e-5)
    assert torch.allclose(tokens[-7], projected(image.global_img_feature_extensor[0, 0]), atol=1e-5)
    out = image.img_processor(
        given["image_pixel_values"][0], patch_attention_mask=given["image_attention_mask"][0].bool()
    )
    return {
        "final": out.last_hidden_state.flatten(0, 1),
        "pooled": out.pooler_output[:1],
        "connector": torch.cat([tiles[:, :-1].flatten(0, 1), whole[:, :-1].flatten(0, 1)]),
    }


def _molmo2(library: Any) -> Any:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    vision = {**VISION, "image_size": [98, 98], **heads, "num_hidden_layers": 4}
    config = library.Molmo2Config(
        vision_config=vision,
        adapter_config={"vision_feature_layer": [3, 1], "hidden_size": 32, "intermediate_size": 40,
                        "text_hidden_size": 48, **heads},
        text_config={**TEXT, "head_dim": 24, "additional_vocab_size": 4},
    )  # fmt: skip
    return library.Molmo2ForConditionalGeneration(config)


def _molmo2_told(model: Any, _folder: Path, given: Mapping[str, Any]) -> Told:
    keys = ("pixel_values", "image_token_pooling", "image_grids")
    return {"connector": model.get_image_features(**{key: given[key] for key in keys}).pooler_output[0]}


GEMMA = Tiny(
    model=_gemma,
    processor=lambda library: library.Gemma3ImageProcessorPil(
        size={"height": 112, "width": 112}, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]
    ),
    blocks="model.vision_tower.encoder.layers",
    told=_gemma_told,
    sites=frozenset({"final", "connector"}),
    gone=("multi_modal_projector.mm_input_projection_weight", "multi_modal_projector.mm_soft_emb_norm.weight",
          "vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight"),
    infix=("vision_tower.", "vision_tower.vision_model."),
)  # fmt: skip
BLIP2 = Tiny(
    model=_blip2,
    processor=lambda library: library.BlipImageProcessorPil(**SQUARE),
    blocks="vision_model.encoder.layers",
    told=_blip_told,
    sites=frozenset({"final", "pooled", "qformer", "connector"}),
    gone=("query_tokens", "language_projection.weight", "vision_model.encoder.layers.1.mlp.fc1.weight",
          "qformer.encoder.layer.0.crossattention.attention.key.weight"),
)  # fmt: skip
TINY: dict[str, Tiny] = {
    "medgemma-4b": GEMMA,
    "blip2-opt-2.7b": BLIP2,
    "instructblip-vicuna-7b": replace(
        BLIP2, model=_instructblip, gone=("query_tokens", "qformer.embeddings.word_embeddings.weight")
    ),
    "idefics-9b": Tiny(
        model=_idefics,
        processor=lambda library: library.IdeficsImageProcessorPil(**SQUARE),
        blocks="model.vision_model.encoder.layers",
        told=_idefics_told,
        sites=frozenset({"final", "pooled", "connector"}),
        gone=("model.perceiver_resampler.latents", "model.vision_model.encoder.layers.1.mlp.fc1.weight"),
    ),
    "phi-4-multimodal": Tiny(
        model=_phi4,
        processor=lambda library: library.Phi4MultimodalImageProcessor(**SQUARE, dynamic_hd=9),
        blocks="model.embed_tokens_extend.image_embed.img_processor.encoder.layers",
        told=_phi4_told,
        sites=frozenset({"final", "pooled", "connector"}),
        gone=("model.embed_tokens_extend.image_embed.img_projection_up.weight",
              "model.embed_tokens_extend.image_embed.img_processor.encoder.layers.1.mlp.fc1.weight"),
    ),
    "molmo2-8b": Tiny(
        model=_molmo2,
        processor=lambda library: library.Molmo2ImageProcessor(
            size={"height": 98, "width": 98}, overlap_margins=[1, 1], max_crops=6, image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        ),
        blocks="model.vision_tower.layers",
        told=_molmo2_told,
        sites=frozenset({"connector"}),
        gone=("model.vision_backbone.image_projector.w3.weight",
              "model.vision_backbone.image_vit.transformer.resblocks.1.feed_forward.w1.weight"),
    ),
}  # fmt: skip
NAMES = sorted(TINY)
CUT = ["molmo2-8b", "phi-4-multimodal"]
LastOpened = Callable[[str], tuple[Path, Any]]


def published(name: str, folder: Path, *, local: bool = False) -> Any:
    """The tiny model sharded under `folder` as on the hub; `local`: its blocks let no token see another."""
    import torch
    import transformers

    tiny = TINY[name]
    model = randomise(tiny.model(transformers))
    if local:
        ends = ("out_proj", "o_proj", "projection", "fc2")
        with torch.no_grad():
            for key, value in model.get_submodule(tiny.blocks).named_parameters():
                value *= not any(f".{end}." in key for end in ends)
    sharded(model, tiny.processor(transformers), folder, tiny.infix)
    if name.startswith("instructblip"):
        (folder / "qformer_tokenizer").mkdir()
        tokenizer(folder / "qformer_tokenizer")
    if name.startswith("molmo2"):
        as_on_the_hub(folder / "config.json")
    return model


def as_on_the_hub(path: Path) -> None:
    """The configuration as the authors wrote it: other names, and two more blocks than there are."""
    told = json.loads(path.read_text())
    vision, adapter = told.pop("vision_config"), told["adapter_config"]
    for old, new in (("image_size", "image_default_input_size"), ("patch_size", "image_patch_size"),
                     ("num_position_embeddings", "image_num_pos")):  # fmt: skip
        vision[new] = vision.pop(old)
    adapter["vit_layers"] = [layer - 6 for layer in adapter.pop("vision_feature_layer")]
    vision |= {"num_hidden_layers": 6, "model_type": "molmo2"}
    adapter |= {"model_type": "molmo2"}
    custom = {"AutoConfig": "configuration_molmo2.Molmo2Config"}
    path.write_text(json.dumps(told | {"vit_config": vision, "adapter_config": adapter, "auto_map": custom}))


def edited(folder: Path, gone: str, change: Callable[[Any], Any] | None) -> Any:
    """One tensor changed, or dropped as if it had never been there; returns what it was."""
    from safetensors.torch import load_file, save_file

    index = folder / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    file = folder / told["weight_map"][gone]
    state = load_file(file)
    value = state.pop(gone)
    if change:
        state[gone] = change(value)
    else:
        del told["weight_map"][gone]
        index.write_text(json.dumps(told))
    save_file(state, file, metadata={"format": "pt"})
    return value


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> LastOpened:
    """Each tiny model, published once."""
    made: dict[str, tuple[Path, Any]] = {}

    def get(name: str) -> tuple[Path, Any]:
        if name not in made:
            folder = tmp_path_factory.mktemp("shelf") / name
            made[name] = (folder, published(name, folder))
        return made[name]

    return get


def tokens(encoder: encoders.Encoder, image: np.ndarray, site: str) -> np.ndarray:
    return encoder.forward(collate([encoder.preprocess(image)]), [site])[site][0].numpy()


def given(name: str, folder: Path, image: np.ndarray) -> Mapping[str, Any]:
    """One image through the library's own processor, as the folder tells it."""
    import transformers
    from PIL import Image

    kind = type(TINY[name].processor(transformers))
    made = kind.from_pretrained(folder)(images=Image.fromarray(image).convert("RGB"), return_tensors="pt")
    return made if isinstance(made, Mapping) else {"pixel_values": made}


# features


@pytest.mark.parametrize("name", NAMES)
def test_every_site_equals_what_the_whole_model_computes(name: str, shelf: LastOpened) -> None:
    import torch

    folder, model = shelf(name)
    encoder = stand_in(name, weights=folder)
    blocks = model.get_submodule(TINY[name].blocks)
    assert set(encoder.card.sites) == {f"block.{i}" for i in range(len(blocks))} | TINY[name].sites
    for image in IMAGES[:2]:
        seen: dict[str, Any] = {}
        handles = [block.register_forward_hook(_keep(seen, f"block.{i}")) for i, block in enumerate(blocks)]
        pixels = given(name, folder, image)
        with torch.no_grad():
            told = dict(TINY[name].told(model, folder, pixels))
        for handle in handles:
            handle.remove()
        told |= {site: (out[0] if isinstance(out, tuple) else out).flatten(0, 1) for site, out in seen.items()}
        assert set(told) == set(encoder.card.sites)
        ours = encoder.forward(collate([encoder.preprocess(image)]), list(told))
        sites = encoder.layout(encoder.preprocess(image)) if encoder.layout else encoder.card.sites
        for site, theirs in told.items():
            assert ours[site].shape == (1, count(sites[site]), sites[site].width), site
            np.testing.assert_allclose(ours[site][0].numpy(), theirs.numpy(), rtol=0, atol=1e-5, err_msg=site)


def _keep(seen: dict[str, Any], site: str) -> Callable[[Any, Any, Any], None]:
    return lambda _module, _inputs, out: seen.update({site: out})


def count(site: Site) -> int:
    grids = [view.grid for view in site.views] or [site.grid or (1, 1)]
    return site.queries or sum(site.prefix + int(np.prod(grid)) for grid in grids)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_equal_those_of_the_library_s_processor(name: str, shelf: LastOpened) -> None:
    folder, _ = shelf(name)
    encoder = stand_in(name, weights=folder)
    for image in IMAGES[:2]:
        theirs, ours = given(name, folder, image), encoder.preprocess(image)
        key = next(iter(theirs))
        assert key.endswith("pixel_values")
        expected = theirs[key] if name == "molmo2-8b" else theirs[key][0]
        np.testing.assert_array_equal(np.asarray(ours[key] if isinstance(ours, dict) else ours), np.asarray(expected))


@pytest.mark.parametrize("name", NAMES)
def test_images_of_many_shapes_in_one_batch_equal_each_alone(name: str, shelf: LastOpened) -> None:
    encoder = stand_in(name, weights=shelf(name)[0])
    wanted = {site: list(of.readouts) for site, of in encoder.card.sites.items() if not site.startswith("block.1")}
    together = encoders.encode(encoder, IMAGES, wanted)
    for i, image in enumerate(IMAGES):
        for point, vectors in encoders.encode(encoder, [image], wanted).items():
            np.testing.assert_allclose(together[point][i], vectors[0], atol=1e-5, err_msg=point)


def test_attention_stops_at_towers_that_cut_images_and_at_readouts_by_several_heads(shelf: LastOpened) -> None:
    from encoders.attention.watch import attention

    for name, site, message in (
        ("medgemma-4b", "connector", ""),
        ("blip2-opt-2.7b", "pooled", ""),
        ("blip2-opt-2.7b", "connector", "reads by 2 pooling heads, not one"),
        ("idefics-9b", "connector", "reads by 2 pooling heads, not one"),
        ("molmo2-8b", "connector", "lays out every image by its shape"),
        ("phi-4-multimodal", "connector", "lays out every image by its shape"),
    ):
        encoder = stand_in(name, weights=shelf(name)[0])
        readout = encoder.card.sites[site].readouts[0]
        if message:
            with pytest.raises(EncoderError, match=f"^{name} .*{message}"):
                attention(encoder, site, readout)
            continue
        found = attention(encoder, site, readout)
        with found.watch() as seen:
            encoder.forward(collate([encoder.preprocess(IMAGES[0])]), [site])
        assert len(seen) == 3


def test_instructblip_reads_one_instruction_that_its_identity_tells(shelf: LastOpened, tmp_path: Path) -> None:
    name = "instructblip-vicuna-7b"
    copy = tmp_path / "copy"
    shutil.copytree(shelf(name)[0], copy)
    before = stand_in(name, weights=copy)
    assert "'Describe the image.'" in before.card.note
    record = snapshot(name, before)
    assert record
    assert recall(record)
    path = copy / "qformer_tokenizer" / "tokenizer.json"
    told = json.loads(path.read_text())
    told["model"]["vocab"] |= {"a": told["model"]["vocab"]["[UNK]"], "[UNK]": told["model"]["vocab"]["a"]}
    path.write_text(json.dumps(told))
    assert recall(record) is None
    after = stand_in(name, weights=copy)
    assert after.fingerprint != before.fingerprint
    assert not np.allclose(tokens(after, IMAGES[0], "connector"), tokens(before, IMAGES[0], "connector"))
    np.testing.assert_array_equal(tokens(after, IMAGES[0], "final"), tokens(before, IMAGES[0], "final"))
    path.unlink()
    with pytest.raises(EncoderError, match=r"has no qformer_tokenizer/tokenizer\.json"):
        stand_in(name, weights=copy)


@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_encoder_tells_images_apart_at_every_site(name: str, shelf: LastOpened) -> None:
    untrained = stand_in(f"random:{name}", weights=shelf(name)[0])
    wanted = {site: of.readouts[-1:] for site, of in untrained.card.sites.items()}
    for point, (first, second, _) in encoders.encode(untrained, IMAGES, wanted).items():
        assert np.abs(first - second).max() > 1e-4 * np.abs(first).max() > 0, point


# where tokens lie


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], encoders.Encoder]:
    """Each encoder with blocks that let no token see another, loaded once."""
    made: dict[str, encoders.Encoder] = {}

    def get(name: str) -> encoders.Encoder:
        if name not in made:
            folder = tmp_path_factory.mktemp("local") / name
            published(name, folder, local=True)
            made[name] = stand_in(name, weights=folder)
        return made[name]

    return get


def boxes(site: Site) -> np.ndarray:
    """The box (top, left, bottom, right) of every token of a site; NaN for what stands for no place."""
    assert site.grid is not None
    found: list[tuple[float, ...]] = []
    for view in site.views or (View(grid=(site.grid[0], site.grid[1])),):
        (rows, columns), (top, left, bottom, right) = view.grid, view.box
        found += [(np.nan,) * 4] * site.prefix
        ys, xs = np.linspace(top, bottom, rows + 1), np.linspace(left, right, columns + 1)
        found += [(ys[i], xs[j], ys[i + 1], xs[j + 1]) for i in range(rows) for j in range(columns)]
    return np.array(found)


@pytest.mark.parametrize("shape", [(130, 260), (300, 120), (200, 200), (50, 60)])
@pytest.mark.parametrize("name", [*CUT, "medgemma-4b", "idefics-9b"])
def test_a_bright_rectangle_changes_the_tokens_whose_boxes_lie_in_it_and_no_others(
    name: str, shape: tuple[int, int], local: Callable[[str], encoders.Encoder]
) -> None:
    encoder = local(name)
    dark, rectangle = np.full(shape, 90, np.uint8), np.array((0.1, 0.4, 0.6, 0.95))
    bright = dark.copy()
    top, left, bottom, right = np.round(rectangle * np.tile(shape, 2)).astype(int)
    bright[top:bottom, left:right] = 250
    sites = encoder.layout(encoder.preprocess(dark)) if encoder.layout else encoder.card.sites
    for where in ("block.1", "final", "connector"):
        if where not in sites or sites[where].grid is None:
            continue
        moved = np.abs(tokens(encoder, bright, where) - tokens(encoder, dark, where)).max(axis=1)
        box = boxes(sites[where])
        size = box[:, 2:] - box[:, :2]
        overlap = np.minimum(box[:, 2:], rectangle[2:]) - np.maximum(box[:, :2], rectangle[:2])
        outside, inside = (overlap < -0.3 * size).any(axis=1), (overlap > 0.7 * size).all(axis=1)  # the resize blurs
        assert (moved[outside] < 1e-5).all(), where
        assert (moved[inside] > 1e-3).all(), where
        assert (outside.any() and inside.any()) or len(box) < 20


@pytest.mark.parametrize("name", CUT)
def test_halves_of_a_half_bright_image_are_its_halves(name: str, local: Callable[[str], encoders.Encoder]) -> None:
    encoder = local(name)
    dark = np.full((224, 224), 60, np.uint8)
    bright = dark.copy()
    bright[:, :112] = 240
    first, second = (
        encoders.encode(encoder, [image], {"connector": ["halves"]})["connector/halves"].reshape(4, -1)
        for image in (dark, bright)
    )
    left, right, top, bottom = np.abs(second - first).mean(axis=1)
    assert left > 5 * right
    assert left > top > 2 * right
    assert top == pytest.approx(bottom, rel=0.2)


def test_phi4_leaves_white_canvas_out_of_every_mean(local: Callable[[str], encoders.Encoder]) -> None:
    encoder = local("phi-4-multimodal")
    assert encoder.layout is not None
    sites = encoder.layout(encoder.preprocess(np.zeros((57, 130), np.uint8)))
    views = sites["block.0"].views
    assert [view.grid for view in views] == [(4, 4)] * 7
    height = int(57 * 168 / 130)
    assert views[0].box == pytest.approx((0.0, 0.0, 112 / height, 1.0))
    assert sites["connector"].views[0].grid == (3, 6)  # 39 of 112 rows are white: two whole patches, so one token
    with pytest.raises(EncoderError, match=r"\(3, 900\) pixels cannot be cut into tiles"):
        encoder.preprocess(np.zeros((3, 900), np.uint8))


def test_molmo2_has_the_blocks_that_are_there_and_not_those_of_its_configuration(shelf: LastOpened) -> None:
    encoder = stand_in("molmo2-8b", weights=shelf("molmo2-8b")[0])
    assert json.loads((shelf("molmo2-8b")[0] / "config.json").read_text())["vit_config"]["num_hidden_layers"] == 6
    assert [site for site in encoder.card.sites if site.startswith("block.")] == [f"block.{i}" for i in range(4)]


def test_windows_of_molmo2_that_reach_past_the_image_say_so(shelf: LastOpened) -> None:
    """Seven tokens in windows of two are four windows, the last of which holds one token; two crops are twelve."""
    encoder = stand_in("molmo2-8b", weights=shelf("molmo2-8b")[0])
    assert encoder.layout is not None
    whole, crops = encoder.layout(encoder.preprocess(np.zeros((80, 160), np.uint8)))["connector"].views
    assert whole == View(grid=(4, 4), box=(0.0, 0.0, 8 / 7, 8 / 7))
    assert crops == View(grid=(4, 6), box=(0.0, 0.0, 8 / 7, 1.0))


# what is read and what is refused


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_tensor_is_named_and_a_changed_one_is_seen(name: str, shelf: LastOpened, tmp_path: Path) -> None:
    import torch

    folder, model = shelf(name)
    before = stand_in(name, weights=folder)
    for gone in TINY[name].gone:
        copy = tmp_path / gone
        shutil.copytree(folder, copy)
        was = edited(copy, gone, lambda value: value.flip(-1))  # no shift or scale, which a norm takes away
        after = stand_in(name, weights=copy)
        assert after.fingerprint != before.fingerprint
        assert not np.allclose(tokens(after, IMAGES[0], "connector"), tokens(before, IMAGES[0], "connector"))
        edited(copy, gone, None)
        with pytest.raises(EncoderError, match=r"lack 1 tensor \(") as caught:
            stand_in(name, weights=copy)
        known = next(key for key, value in model.state_dict().items() if torch.equal(value, was))
        assert f"({known})" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_language_model_need_not_be_there(name: str, shelf: LastOpened, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shelf(name)[0], copy)
    kind = find(name).model_type
    index = json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    read = {file for key, file in index.items() if kind.wanted(key)}
    assert not any("audio" in key for key in index if kind.wanted(key))
    idle = set(index.values()) - read
    assert len(idle) > 1
    for file in idle:
        (copy / file).unlink()
    assert stand_in(name, weights=copy).fingerprint == stand_in(name, weights=shelf(name)[0]).fingerprint
    (copy / sorted(read)[-1]).unlink()
    with pytest.raises(EncoderError, match=sorted(read)[-1]):
        stand_in(name, weights=copy)


def test_the_authors_keys_of_phi4_give_the_same_features(shelf: LastOpened, tmp_path: Path) -> None:
    name = "phi-4-multimodal"
    copy = tmp_path / "copy"
    shutil.copytree(shelf(name)[0], copy)
    theirs = {"img_projection_up.": "img_projection.0.", "img_projection_down.": "img_projection.2.",
              "global_img_feature_extensor": "glb_GN", "sub_img_feature_extensor": "sub_GN"}  # fmt: skip

    def spell(key: str) -> str:
        for ours, other in theirs.items():
            key = key.replace(f"image_embed.{ours}", f"image_embed.{other}")
        return key

    respelt(copy, spell)
    before, after = (stand_in(name, weights=folder) for folder in (shelf(name)[0], copy))
    assert any(
        key.endswith("image_embed.sub_GN")
        for key in json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    )
    assert after.fingerprint == before.fingerprint


def test_the_authors_configuration_of_phi4_is_the_published_size(tmp_path: Path) -> None:
    from encoders.multimodal.model import config_of

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "phi4mm", "hidden_size": 3072}))
    config = config_of("phi-4-multimodal", find("phi-4-multimodal").model_type, tmp_path)
    assert (config.hidden_size, config.vision_config.num_hidden_layers, config.vision_config.crop_size) == (
        3072,
        27,
        448,
    )


@pytest.mark.parametrize("name", NAMES)
def test_another_family_s_folder_is_refused_by_its_type(name: str, shelf: LastOpened) -> None:
    other = "idefics-9b" if name != "idefics-9b" else "medgemma-4b"
    found = {"idefics-9b": "idefics", "medgemma-4b": "gemma3"}[other]
    said = "has no qformer_tokenizer" if name.startswith("instruct") else f"of model type '{found}', {name} is '"
    with pytest.raises(EncoderError, match=said) as caught:
        stand_in(name, weights=shelf(other)[0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "idefics-9b"])
def test_a_processor_for_another_size_is_refused_before_any_image(name: str, shelf: LastOpened, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shelf(name)[0], copy)
    path = copy / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": {"height": 70, "width": 70}}))
    with pytest.raises(EncoderError, match=r"makes 70 x 70 pixels where the tower reads") as caught:
        stand_in(name, weights=copy)
    assert "\n" not in str(caught.value)


def test_a_tensor_of_another_shape_and_a_folder_without_processor_are_named(shelf: LastOpened, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shelf("blip2-opt-2.7b")[0], copy)
    edited(copy, "query_tokens", lambda value: value[:, :-1].clone())
    with pytest.raises(EncoderError, match=r"query_tokens in .* has shape \[1, 4, 24\] where .* has \[1, 5, 24\]"):
        stand_in("blip2-opt-2.7b", weights=copy)
    edited(copy, "query_tokens", lambda value: value[:, [0, 1, 2, 3, 3]].clone())
    stand_in("blip2-opt-2.7b", weights=copy)
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(EncoderError, match=r"has neither preprocessor_config\.json nor processor_config\.json"):
        stand_in("blip2-opt-2.7b", weights=copy)


# the hub


@pytest.fixture
def hub(shelf: LastOpened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    found = {str(find(name).card.repo): Repository(folder=shelf(name)[0], commit="a" * 40) for name in NAMES}
    with serving(Hub(repositories=found)) as running:
        running.set_client(monkeypatch.setattr, tmp_path / "hub")
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_only_tower_and_connector_are_fetched_from_the_hub(name: str, hub: Hub, shelf: LastOpened) -> None:
    encoder = stand_in(name)
    assert encoder.card.revision == "a" * 40
    assert encoder.fingerprint == stand_in(name, weights=shelf(name)[0]).fingerprint
    sent = hub.repositories[str(encoder.card.repo)].sent
    assert sent < sum(path.stat().st_size for path in shelf(name)[0].glob("*.safetensors"))
    asked = len(hub.asked)
    assert stand_in(name, offline=True).fingerprint == encoder.fingerprint
    assert len(hub.asked) == asked
    folder = next(path for path in encoder.files if path.suffix == ".safetensors").parent
    if name.startswith("instructblip"):
        assert sorted(path.name for path in (folder / "qformer_tokenizer").iterdir()) == [
            "tokenizer.json", "tokenizer_config.json"
        ]  # fmt: skip
    (folder / "config.json").unlink()
    with pytest.raises(EncoderError, match=r"config\.json") as caught:
        stand_in(name, offline=True)
    assert "\n" not in str(caught.value)


# full size


PUBLISHED = {  # millions of parameters of tower and connector
    "medgemma-4b": 416.9 + 3.0, "medgemma-27b": 416.9 + 6.2,
    "blip2-opt-2.7b": 986 + 105.1 + 2, "instructblip-vicuna-7b": 986 + 185.7 + 3.1, "idefics-9b": 630.8 + 126.0,
    "phi-4-multimodal": 428.6 + 12.9, "molmo2-8b": 382.5 + 87.9,
}  # fmt: skip
WIDE = ("blip2-opt-2.7b", "instructblip-vicuna-7b", "molmo2-8b")  # four bytes to a number on disk
BESIDE = {  # parameters on disk that the library's class has not: an output head of its own, two adapters
    "blip2-opt-2.7b": 50304 * 2560,
    "phi-4-multimodal": 32 * (256 + 320) * (8192 + 6144 + 19456 + 11264),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_in_full_size_the_card_tells_what_is_built(name: str) -> None:
    import torch
    import transformers

    from encoders.multimodal import model as multimodal_model

    card, kind = find(name).card, find(name).model_type
    with on_meta():
        model = multimodal_model.built(kind).eval()
        whole = getattr(transformers, kind.model)(kind.config(transformers))
    parts = kind.take_apart(model, kind.processor(transformers, None))
    count_ = sum(p.numel() for p in multimodal_model.side(parts.image_side).parameters())
    assert card.parameters == count_
    assert count_ / 1e6 == pytest.approx(PUBLISHED[name], abs=0.1)
    assert parts.input == card.input
    each = 4 if name in WIDE else 2
    assert card.bytes == each * count_
    assert card.bytes_whole == each * (sum(p.numel() for p in whole.parameters()) + BESIDE.get(name, 0))
    prepared = parts.preprocess(np.zeros((512, 512), np.uint8))
    assert dict(parts.layout(prepared)) == dict(card.sites)
    if name.startswith(("medgemma", "idefics")):  # the others look at values, which the meta device has not
        with torch.no_grad():
            found = parts.run(prepared[None].to("meta"))
        shapes = {site: tuple(value.shape[1:]) for site, value in found.items()}
        assert shapes == {site: (count(card.sites[site]), card.sites[site].width) for site in shapes}
        assert {*shapes, *parts.hooks} == set(card.sites)


def test_medgemma_1_5_has_the_architecture_of_medgemma() -> None:
    first, second = find("medgemma-4b"), find("medgemma-1.5-4b")
    assert second.model_type == first.model_type
    assert replace(second.card, name=first.card.name, repo=first.card.repo) == first.card


def test_an_untrained_instructblip_reads_the_same_instruction() -> None:
    import transformers

    told = find("instructblip-vicuna-7b").model_type.processor(transformers, None).to_dict()
    assert told["instruction"] == "Describe the image."
    assert told["qformer_input_ids"][:1] + told["qformer_input_ids"][-1:] == [101, 102]
    assert max(told["qformer_input_ids"]) < 30523
