"""Images, folders and files that strangers have: read as they are meant, or refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError
from encoders.extraction.encode import collate
from tests.encoders.multimodal.test_multimodal import CLIP, IMAGES, SQUARE, TEXT, TINY, Tiny, published
from tests.stand_in_hub import stand_in

WANTED = {"block.1": ["mean"], "connector": ["mean"]}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Each tiny model, published once."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("shelf") / name
            published(TINY[name], made[name])
        return made[name]

    return get


@pytest.fixture
def copy(shelf: Callable[[str], Path], tmp_path: Path) -> Path:
    """A LLaVA-1.5 that a test may spoil."""
    return Path(shutil.copytree(shelf("llava-1.5-7b"), tmp_path / "copie à voir"))


def state_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {k: v for file in folder.glob("model-*.safetensors") for k, v in load_file(file).items()}


def features(folder: Path) -> dict[str, np.ndarray]:
    return encoders.encode(stand_in("llava-1.5-7b", weights=folder), IMAGES, WANTED)


def refused(folder: Path | str, match: str, name: str = "llava-1.5-7b") -> None:
    with pytest.raises(EncoderError, match=match) as caught:
        stand_in(name, weights=folder)
    assert "\n" not in str(caught.value)


def edited(file: Path, **keys: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


# images


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("qwen2-vl-7b", (1, 2000), "-448 at the end of its name"),
        ("qwen3-vl-8b", (3000, 10, 3), "-448 at the end of its name"),
        ("llava-1.6-mistral", (1, 2000, 3), "too narrow for LLaVA-1.6"),
        ("llava-1.6-mistral", (3000, 10), "too narrow for LLaVA-1.6"),
        ("llava-1.5-13b-crop", (0, 20), "has no pixels"),
        ("internvl3-1b", (0, 0, 3), "has no pixels"),
    ],
)
def test_an_image_that_a_model_cannot_cut_up_is_refused_in_one_line(
    name: str, shape: tuple[int, ...], said: str, shelf: Callable[[str], Path]
) -> None:
    encoder = stand_in(name, weights=shelf(name))
    with pytest.raises(EncoderError, match=said) as caught:
        encoders.encode(encoder, [np.zeros(shape, np.uint8)], WANTED)
    assert "\n" not in str(caught.value)
    assert str(shape[0]) in str(caught.value)


# weights


def test_quantised_weights_are_not_taken_for_numbers(copy: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    for kind in (torch.int8, torch.float8_e4m3fn):
        for file in copy.glob("model-*.safetensors"):
            save_file({k: v.to(kind) for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
        refused(copy, f"type {str(kind).removeprefix('torch.')}: quantised weights are not read here")


def test_an_adapter_of_the_tower_is_refused_and_one_of_the_language_model_is_left(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    def add(name: str) -> None:
        file = min(copy.glob("model-*.safetensors"))
        state = load_file(file)
        save_file(state | {name: next(iter(state.values())).clone()}, file, metadata={"format": "pt"})
        index = copy / "model.safetensors.index.json"
        placed = json.loads(index.read_text())
        placed["weight_map"][name] = file.name
        index.write_text(json.dumps(placed))

    before = features(copy)
    add("language_model.model.layers.0.self_attn.q_proj.lora_A.weight")
    assert all((value == before[name]).all() for name, value in features(copy).items())
    add("vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.lora_A.weight")
    refused(copy, "holds an adapter that is not merged into the weights")
    (copy / "adapter_config.json").write_text("{}")
    refused(copy, "llava-1.5-7b: .* holds an adapter")
    (copy / "adapter_config.json").unlink()
    edited(copy / "config.json", quantization_config={"quant_method": "awq"})
    refused(copy, "llava-1.5-7b: .*weights are quantised .*method awq")


def test_a_strangers_file_beside_the_shards_is_not_read_in_their_place(copy: Path) -> None:
    from safetensors.torch import save_file

    before = features(copy)
    state = {k: v + 1 for k, v in state_of(copy).items() if not k.startswith("language_model")}
    save_file(state, copy / "vision-tower.safetensors")
    save_file(state, copy / "vision-0123abcd.safetensors")  # named as a partial download, and none
    (copy / "vision-old.safetensors").write_bytes(b"abc")
    after = features(copy)
    assert all(np.array_equal(before[point], after[point]) for point in before)


def test_what_may_not_be_read_is_one_line(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    refused("x" * 300, "cannot be read .*name too long")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", denied)
        refused(copy, "Permission denied")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", denied)
        refused(copy, "cannot be read .*Permission denied")


# configurations


def test_an_untrained_encoder_of_a_broken_configuration_is_refused_in_one_line(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    refused(copy, "config.json|JSONDecodeError", name="random:llava-1.5-7b")


def test_a_processor_of_another_size_is_refused_before_any_image(copy: Path) -> None:
    (copy / "preprocessor_config.json").write_text("{}")
    refused(copy, "makes 224 x 224 pixels where the tower reads 56 x 56")


def test_a_processor_configuration_without_an_image_processor_is_none(copy: Path) -> None:
    before = features(copy)
    told = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").unlink()
    (copy / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor"}))
    refused(copy, "has neither preprocessor_config.json nor processor_config.json with an image processor")
    edited(copy / "processor_config.json", image_processor=told | {"image_processor_type": "CLIPImageProcessorFast"})
    after = features(copy)
    assert all(np.array_equal(before[point], after[point]) for point in before)


# LLaVA before another tower than CLIP-L


def _llava_before(vision: Any, strategy: str, layer: Any, kind: str = "Llava") -> Callable[[Any], Any]:
    def build(library: Any) -> Any:
        more = {"image_grid_pinpoints": [[56, 112], [112, 56]]} if kind == "LlavaNext" else {}
        config = getattr(library, f"{kind}Config")(
            vision_config=vision(library), text_config=library.LlamaConfig(**TEXT), vision_feature_layer=layer,
            vision_feature_select_strategy=strategy, **more,
        )  # fmt: skip
        return getattr(library, f"{kind}ForConditionalGeneration")(config)

    return build


def _clip(library: Any) -> Any:
    return library.CLIPVisionConfig(**CLIP)


def _siglip(library: Any) -> Any:
    return library.SiglipVisionConfig(**CLIP, vision_use_head=False)


def _pixtral(library: Any) -> Any:
    return library.PixtralVisionConfig(**{**CLIP, "image_size": 140}, head_dim=16)


PROCESSORS: dict[Any, Callable[[Any], Any]] = {
    _clip: lambda library: library.CLIPImageProcessorPil(**SQUARE),
    _siglip: lambda library: library.SiglipImageProcessorPil(size={"height": 56, "width": 56}),
    _pixtral: lambda library: library.PixtralImageProcessorPil(size={"longest_edge": 140}, patch_size=14),
}


def _odd_llava(folder: Path, vision: Any, strategy: str, layer: Any = -1, kind: str = "Llava") -> Any:
    return published(Tiny(model=_llava_before(vision, strategy, layer, kind), processor=PROCESSORS[vision]), folder)


@pytest.mark.parametrize(
    ("vision", "strategy", "layer", "prefix"),
    [(_siglip, "full", -1, 0), (_pixtral, "full", -1, 0), (_clip, "full", -2, 1), (_clip, "default", [0, 2], 0)],
)
def test_a_llava_with_another_tower_or_strategy_gives_what_the_whole_model_gives(
    vision: Any, strategy: str, layer: Any, prefix: int, tmp_path: Path
) -> None:
    import torch

    model = _odd_llava(tmp_path / "odd", vision, strategy, layer)
    encoder = stand_in("hf:some/where", weights=tmp_path / "odd")
    for image in IMAGES[:2]:
        prepared = encoder.preprocess(image)
        given = prepared if isinstance(prepared, dict) else {"pixel_values": prepared}
        with torch.no_grad():
            out = model.get_image_features(**{name: value[None] for name, value in given.items()})
        batch = collate([prepared])
        site = (encoder.layout(prepared) if encoder.layout else encoder.card.sites)["connector"]
        found = encoder.forward(batch, ["connector", "block.2"])
        np.testing.assert_allclose(found["connector"][0], out.pooler_output[0], rtol=0, atol=1e-5)
        assert (site.prefix, site.cls) == (prefix, prefix == 1)
        assert len(found["connector"][0]) == prefix + np.prod(site.grid or ())
        if vision is _siglip:  # the library hands on its own norm of the last block
            final = encoder.forward(batch, ["final"])["final"]
            np.testing.assert_allclose(final, out.last_hidden_state, rtol=0, atol=1e-5)
    assert ("pooled" in encoder.card.sites) == (vision is _clip)


@pytest.mark.parametrize(
    ("vision", "strategy", "kind", "said"),
    [
        (_siglip, "default", "Llava", "takes the first token of the tower off as CLS .* its first patch would be lost"),
        (_pixtral, "default", "Llava", "a tower of type 'pixtral' has no CLS"),
        (_siglip, "full", "LlavaNext", "a tower of type 'siglip_vision_model'; such models are read with clip_vision"),
        (_clip, "full", "LlavaNext", "hands CLS on with the patches of each tile"),
    ],
)
def test_a_llava_that_would_be_misread_is_refused_as_it_is_loaded(
    vision: Any, strategy: str, kind: str, said: str, tmp_path: Path
) -> None:
    _odd_llava(tmp_path / "odd", vision, strategy, kind=kind)
    refused(tmp_path / "odd", f"^hf:some/where: its configuration .*{said}", name="hf:some/where")


# commands


def test_a_run_in_bfloat16_has_its_controls_in_float32(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments import linear_probe

    monkeypatch.setattr("slitlamp.reports.files._figure", lambda *_: [])
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    flags = "--task orientation --items 20 --site connector --readout mean --permutations 19 --repeats 1 --jobs 1"
    given = ["--encoder", "llava-1.5-7b", "--weights", str(copy), "--dtype", "bfloat16"]
    given += ["--other-weights", "--out", str(tmp_path / "out")]
    assert linear_probe.main([*given, *flags.split()]) == 0
