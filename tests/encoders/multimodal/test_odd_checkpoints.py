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
from tests.encoders.multimodal.test_multimodal import IMAGES, TINY, published
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
