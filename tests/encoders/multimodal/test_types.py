"""Multimodal types that the library builds: by name and by repository, equal to the whole model of the library."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError
from encoders._registry import find
from encoders.extraction.encode import collate
from tests.full_size import on_meta
from tests.stand_in_hub import Hub, Repository, filled, serving, sharded, stand_in

IMAGES = [
    np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (150, 70, 3), dtype=np.uint8),
    np.random.default_rng(2).integers(0, 256, (61, 61, 3), dtype=np.uint8),
]
TEXT = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": 64}  # fmt: skip
TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
         "image_size": 56, "patch_size": 14}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A tiny whole model, its processor with the options of the whole model's, and its tower's blocks."""

    model: Callable[[Any], Any]
    processor: Callable[[Any], Any]
    blocks: str
    gone: str  # a tensor of the connector
    options: Mapping[str, Any]
    infix: tuple[str, str] = ("", "")


def _paligemma(library: Any) -> Any:
    text = library.Gemma2Config(**TEXT, head_dim=24)
    vision = library.SiglipVisionConfig(**TOWER, vision_use_head=False, projection_dim=48)
    config = library.PaliGemmaConfig(vision_config=vision, text_config=text, projection_dim=48, hidden_size=48)
    return library.PaliGemmaForConditionalGeneration(config)


def _idefics2(library: Any) -> Any:
    perceiver = {"hidden_size": 48, "resampler_n_latents": 4, "resampler_depth": 2, "resampler_n_heads": 2,
                 "resampler_head_dim": 12, "num_key_value_heads": 1}  # fmt: skip
    config = library.Idefics2Config(
        vision_config={**TOWER, "image_size": 112},
        perceiver_config=perceiver,
        text_config=library.MistralConfig(**TEXT),
    )
    return library.Idefics2ForConditionalGeneration(config)


def _idefics3(name: str) -> Callable[[Any], Any]:
    def build(library: Any) -> Any:
        config = getattr(library, f"{name}Config")(
            vision_config=TOWER, text_config=library.LlamaConfig(**TEXT), scale_factor=2
        )
        return getattr(library, f"{name}ForConditionalGeneration")(config)

    return build


def _mistral3(library: Any) -> Any:
    config = library.Mistral3Config(
        vision_config=library.PixtralVisionConfig(**TOWER, head_dim=16), text_config=library.MistralConfig(**TEXT),
        spatial_merge_size=2,
    )  # fmt: skip
    return library.Mistral3ForConditionalGeneration(config)


def _glm4v(library: Any) -> Any:
    vision = {"depth": 3, "hidden_size": 32, "intermediate_size": 40, "num_heads": 2, "out_hidden_size": 48,
              "image_size": 56, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}  # fmt: skip
    rope = {"rope_type": "default", "mrope_section": [2, 2, 2], "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    config = library.Glm4vConfig(vision_config=vision, text_config={**TEXT, "rope_parameters": rope, "head_dim": 24})
    return library.Glm4vForConditionalGeneration(config)


def _cut(name: str) -> Callable[[Any], Any]:
    return lambda library: getattr(library, f"{name}ImageProcessorPil")(
        size={"longest_edge": 168}, max_image_size={"longest_edge": 56}
    )


TINY: dict[str, Tiny] = {
    "paligemma2-3b-224": Tiny(
        model=_paligemma, processor=lambda library: library.SiglipImageProcessorPil(size={"height": 56, "width": 56}),
        blocks="vision_tower.encoder.layers", gone="multi_modal_projector.linear.weight", options={},
        infix=("vision_tower.", "vision_tower.vision_model."),
    ),
    "idefics2-8b": Tiny(
        model=_idefics2,
        processor=lambda library: library.Idefics2ImageProcessorPil(
            size={"shortest_edge": 40, "longest_edge": 110}, do_image_splitting=True
        ),
        blocks="vision_model.encoder.layers", gone="connector.perceiver_resampler.latents",
        options={"do_image_splitting": False},
    ),
    "idefics3-8b": Tiny(
        model=_idefics3("Idefics3"), processor=_cut("Idefics3"), blocks="vision_model.encoder.layers",
        gone="connector.modality_projection.proj.weight", options={},
    ),
    "smolvlm2-2.2b": Tiny(
        model=_idefics3("SmolVLM"), processor=_cut("SmolVLM"), blocks="vision_model.encoder.layers",
        gone="connector.modality_projection.proj.weight", options={},
    ),
    "mistral-small-3.1": Tiny(
        model=_mistral3,
        processor=lambda library: library.PixtralImageProcessorPil(size={"longest_edge": 140}, patch_size=14),
        blocks="vision_tower.transformer.layers", gone="multi_modal_projector.patch_merger.merging_layer.weight",
        options={"patch_size": {"height": 28, "width": 28}},
    ),
    "glm-4.1v-9b": Tiny(
        model=_glm4v,
        processor=lambda library: library.Glm4vImageProcessorPil(
            size={"shortest_edge": 56 * 56, "longest_edge": 160 * 160}, patch_size=14
        ),
        blocks="visual.blocks", gone="visual.downsample.weight", options={},
    ),
}  # fmt: skip


def published(name: str, folder: Path) -> Any:
    """The tiny model in shards as its repository has it; returns the whole model."""
    import transformers

    tiny = TINY[name]
    return sharded(filled(tiny.model(transformers)), tiny.processor(transformers), folder, tiny.infix)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    root = tmp_path_factory.mktemp("types")
    return {name: (root / name, published(name, root / name)) for name in TINY}


@pytest.fixture
def hub(shelf: dict[str, tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    found = {str(encoders.card(name).repo): Repository(folder=at, commit="a" * 40) for name, (at, _) in shelf.items()}
    with serving(Hub(repositories=found)) as running:
        running.set_client(monkeypatch.setattr, tmp_path / "hub")
        yield running


def told(name: str, folder: Path, model: Any, image: np.ndarray) -> dict[str, Any]:
    """What the whole model and its library's own processor make of one image."""
    import torch
    import transformers
    from PIL import Image

    tiny, seen = TINY[name], []
    kind = type(tiny.processor(transformers))
    picture = Image.fromarray(image).convert("RGB")
    made = kind.from_pretrained(folder)(images=picture, return_tensors="pt", **tiny.options)
    given = {
        key: made[key]
        for key in ("pixel_values", "image_sizes", "image_grid_thw", "pixel_attention_mask")
        if key in made
    }
    blocks = model.model.get_submodule(tiny.blocks)
    handles = [
        block.register_forward_hook(lambda _m, _i, out: seen.append(out[0] if isinstance(out, tuple) else out))
        for block in blocks
    ]
    with torch.no_grad():
        out = model.get_image_features(**given)
    for handle in handles:
        handle.remove()
    width = seen[0].shape[-1]
    connector = out.pooler_output
    connector = torch.cat(list(connector)) if not hasattr(connector, "shape") else connector
    return {
        "given": given, "blocks": [block.reshape(-1, width) for block in seen],
        "final": out.last_hidden_state.reshape(-1, width), "connector": connector.reshape(-1, connector.shape[-1]),
    }  # fmt: skip


def tokens(encoder: encoders.Encoder, image: np.ndarray, where: str) -> np.ndarray:
    return encoder.forward(collate([encoder.preprocess(image)]), [where])[where][0].numpy()


def near(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=1e-5)


def grouped(found: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Tokens row by row, in the merge groups of GLM's tower."""
    h, w = grid
    return found.reshape(h // 2, 2, w // 2, 2, -1).transpose(0, 2, 1, 3, 4).reshape(h * w, -1)


@pytest.mark.parametrize("name", TINY)
def test_features_at_every_site_are_those_of_the_whole_model(
    name: str, hub: Hub, shelf: dict[str, tuple[Path, Any]]
) -> None:
    folder, model = shelf[name]
    encoder = stand_in(name)
    repo = str(encoders.card(name).repo)
    assert hub.repositories[repo].sent < sum(path.stat().st_size for path in folder.glob("model-*"))
    again = stand_in(f"hf:{repo}@{'a' * 40}", offline=True)
    assert again.fingerprint == encoder.fingerprint
    assert stand_in(name, weights=folder).fingerprint == encoder.fingerprint
    for image in IMAGES:
        whole, prepared = told(name, folder, model, image), encoder.preprocess(image)
        pixels = prepared["pixel_values"] if isinstance(prepared, dict) else prepared
        near(pixels, whole["given"]["pixel_values"].reshape(np.asarray(pixels).shape))
        near(tokens(encoder, image, "connector"), whole["connector"])
        layout = encoder.layout(prepared) if encoder.layout else encoder.card.sites
        for i, expected in enumerate(whole["blocks"]):
            found = tokens(encoder, image, f"block.{i}")
            assert layout[f"block.{i}"].width == found.shape[1]
            near(grouped(found, layout["block.0"].grid) if name.startswith("glm") else found, expected)  # pyright: ignore
        if "final" in layout and not name.startswith("glm"):
            near(tokens(encoder, image, "final"), whole["final"])
        count = sum(np.prod(view.grid) for view in layout["block.0"].views) or np.prod(layout["block.0"].grid or ())
        assert count == len(tokens(encoder, image, "block.0"))
        merged = layout["connector"]
        count = merged.queries or sum(np.prod(view.grid) for view in merged.views) or np.prod(merged.grid or ())
        assert count == len(whole["connector"])
    kinds = {site.partition(".")[0] for site in encoders.card(name).sites}
    assert kinds == {site.partition(".")[0] for site in encoder.card.sites}


@pytest.mark.parametrize("name", TINY)
def test_tokens_lie_where_their_pixels_come_from(name: str, shelf: dict[str, tuple[Path, Any]]) -> None:
    """A bright corner changes the region of its corner more than the opposite one, in the first block."""
    encoder = stand_in(name, weights=shelf[name][0])
    dark = np.full((112, 168), 90, np.uint8)
    for rows, columns, region in ((slice(0, 30), slice(0, 40), 0), (slice(82, None), slice(128, None), 8)):
        bright = dark.copy()
        bright[rows, columns] = 250
        first, second = (
            encoders.encode(encoder, [image], {"block.0": ["grid3"]})["block.0/grid3"].reshape(9, -1)
            for image in (dark, bright)
        )
        moved = np.abs(second - first).mean(axis=1)
        assert moved.argmax() == region
        assert moved[region] > 1.5 * moved[8 - region]


@pytest.mark.parametrize("name", TINY)
def test_a_tensor_that_lacks_and_a_folder_of_another_type_are_refused(
    name: str, shelf: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    copy = Path(shutil.copytree(shelf[name][0], tmp_path / "copy"))
    index = json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    gone = next(key for key in index if key.endswith(TINY[name].gone))
    state = load_file(copy / index[gone])
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "llava"}))
    with pytest.raises(EncoderError, match=rf"config.json is of model type 'llava', {name} is"):
        stand_in(name, weights=copy)
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(EncoderError, match=r"has neither preprocessor_config\.json nor processor_config\.json"):
        stand_in(name, weights=copy)
    (copy / "preprocessor_config.json").write_bytes((shelf[name][0] / "preprocessor_config.json").read_bytes())
    before = stand_in(name, weights=copy)
    save_file({**state, gone: state[gone].flip(-1).contiguous()}, copy / index[gone], metadata={"format": "pt"})
    after = stand_in(name, weights=copy)
    assert after.fingerprint != before.fingerprint
    assert not np.allclose(tokens(after, IMAGES[0], "connector"), tokens(before, IMAGES[0], "connector"))
    del state[gone]
    save_file(state, copy / index[gone], metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"lack 1 tensor \(") as caught:
        stand_in(name, weights=copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TINY)
def test_in_full_size_the_card_tells_what_is_built(name: str) -> None:
    import transformers

    from encoders.multimodal import model as multimodal

    card, kind = find(name).card, find(name).model_type
    with on_meta():
        model = multimodal.built(kind).eval()
    parts = kind.take_apart(model, kind.processor(transformers, None))
    assert card.parameters == sum(p.numel() for p in multimodal.side(parts.image_side).parameters())
    assert parts.input == card.input
    assert dict(parts.layout(parts.preprocess(np.zeros((512, 512), np.uint8)))) == dict(card.sites)
    assert card.unverified


@pytest.mark.parametrize("name", TINY)
def test_an_untrained_one_is_drawn_in_the_sizes_of_a_folder(name: str, shelf: dict[str, tuple[Path, Any]]) -> None:
    untrained = stand_in(f"random:{name}", weights=shelf[name][0])
    wanted = {where: of.readouts[-1:] for where, of in untrained.card.sites.items()}
    for point, (first, second, _) in encoders.encode(untrained, IMAGES, wanted).items():
        assert np.abs(first - second).max() > 1e-4 * np.abs(first).max() > 0, point
