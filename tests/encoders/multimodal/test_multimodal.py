"""Towers and connectors without their language model equal what the whole model computes."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError
from encoders._registry import find
from encoders.extraction.encode import collate
from hub.errors import HubError
from tests.full_size import on_meta
from tests.stand_in_hub import Hub, Repository, serving, sharded, stand_in

CLIP = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
        "image_size": 56, "patch_size": 14, "projection_dim": 16}  # fmt: skip
TEXT = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": 64}  # fmt: skip
ROPE = {"rope_type": "default", "mrope_section": [4, 4, 4], "rope_theta": 10000.0}
QWEN = {"depth": 3, "num_heads": 2, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 48}
SQUARE = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (150, 70, 3), dtype=np.uint8),
    np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8),
]


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A tiny whole model, its image processor, and how its key spelling on the hub differs from what is saved."""

    model: Callable[[Any], Any]
    processor: Callable[[Any], Any]
    infix: tuple[str, str] = ("", "")
    options: Mapping[str, Any] = field(default_factory=dict)


def _llava(library: Any) -> Any:
    config = library.LlavaConfig(
        vision_config=library.CLIPVisionConfig(**CLIP), text_config=library.LlamaConfig(**TEXT), image_seq_length=16
    )
    return library.LlavaForConditionalGeneration(config)


def _llava_next(library: Any) -> Any:
    config = library.LlavaNextConfig(
        vision_config=library.CLIPVisionConfig(**CLIP), text_config=library.MistralConfig(**TEXT),
        image_grid_pinpoints=[[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]],
    )  # fmt: skip
    return library.LlavaNextForConditionalGeneration(config)


def _mllama(library: Any) -> Any:
    vision = library.models.mllama.configuration_mllama.MllamaVisionConfig(
        hidden_size=32, num_hidden_layers=3, num_global_layers=2, attention_heads=2, intermediate_size=48,
        vision_output_dim=96, image_size=56, patch_size=14, intermediate_layers_indices=[0, 2],
    )  # fmt: skip
    text = library.models.mllama.configuration_mllama.MllamaTextConfig(
        **TEXT, pad_token_id=0, cross_attention_layers=[1]
    )
    return library.MllamaForConditionalGeneration(library.MllamaConfig(vision_config=vision, text_config=text))


def _internvl(library: Any) -> Any:
    vision = library.InternVLVisionConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48, image_size=[56, 56],
        patch_size=[14, 14], use_mean_pooling=True,
    )  # fmt: skip
    return library.InternVLForConditionalGeneration(
        library.InternVLConfig(vision_config=vision, text_config=library.Qwen2Config(**TEXT))
    )


def _qwen(name: str, **more: Any) -> Callable[[Any], Any]:
    def build(library: Any) -> Any:
        vision = {**QWEN, **more}
        config = getattr(library, f"{name}Config")(
            vision_config={k: v for k, v in vision.items() if v is not None},
            text_config={**TEXT, "rope_parameters": ROPE, "head_dim": 24},
        )
        return getattr(library, f"{name}ForConditionalGeneration")(config)

    return build


def _qwen_processor(patch: int) -> Callable[[Any], Any]:
    return lambda library: library.Qwen2VLImageProcessorPil(
        patch_size=patch, size={"shortest_edge": 56 * 56, "longest_edge": 160 * 160}
    )


PAD = Tiny(
    model=_llava,
    processor=lambda library: library.CLIPImageProcessorPil(**SQUARE),
    infix=("vision_tower.", "vision_tower.vision_model."),
)
TINY: dict[str, Tiny] = {
    "llava-1.5-7b": PAD,
    "llava-1.5-13b-crop": PAD,
    "huatuo-vision-34b": PAD,
    "llava-1.6-mistral": Tiny(
        model=_llava_next,
        processor=lambda library: library.LlavaNextImageProcessorPil(
            **SQUARE, image_grid_pinpoints=[[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
        ),
        infix=("vision_tower.", "vision_tower.vision_model."),
    ),
    "llama-3.2-vision-11b": Tiny(
        model=_mllama,
        processor=lambda library: library.MllamaImageProcessorPil(size={"height": 56, "width": 56}),
    ),
    "internvl3-1b": Tiny(
        model=_internvl,
        processor=lambda library: library.GotOcr2ImageProcessorPil(
            size={"height": 56, "width": 56},
            max_patches=12,
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
        ),
        options={"crop_to_patches": True},
    ),
    "qwen2-vl-7b": Tiny(
        model=_qwen("Qwen2VL", embed_dim=32, hidden_size=48, mlp_ratio=2, out_hidden_size=None, intermediate_size=None),
        processor=_qwen_processor(14),
    ),
    "qwen2.5-vl-7b": Tiny(
        model=_qwen("Qwen2_5_VL", window_size=56, fullatt_block_indexes=[1]), processor=_qwen_processor(14)
    ),
    "qwen3-vl-8b": Tiny(
        model=_qwen("Qwen3VL", patch_size=16, num_position_embeddings=64, deepstack_visual_indexes=[0, 1, 2]),
        processor=_qwen_processor(16),
    ),
}


def randomised(model: Any, seed: int = 0) -> Any:
    """Every parameter random: gates, class tokens and layer scales start at 0 or 1 and would hide a missed load."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            draw = torch.randn(value.shape, generator=rng) * 0.5 / max(value.shape[-1:] or (1,)) ** 0.5
            value.copy_(draw if value.ndim > 1 else draw * 3 + 0.5)
    return model.eval()


def published(tiny: Tiny, folder: Path) -> Any:
    """The tiny model sharded under `folder` as on the hub; returns the whole model."""
    import transformers

    return sharded(randomised(tiny.model(transformers)), tiny.processor(transformers), folder, tiny.infix)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """Each tiny model, published once; names of one layout share it."""
    made: dict[int, tuple[Path, Any]] = {}

    def get(name: str) -> tuple[Path, Any]:
        key = id(TINY[name])
        if key not in made:
            folder = tmp_path_factory.mktemp("shelf") / name
            made[key] = (folder, published(TINY[name], folder))
        return made[key]

    return get


def tokens(encoder: encoders.Encoder, image: np.ndarray, site: str) -> np.ndarray:
    return encoder.forward(collate([encoder.preprocess(image)]), [site])[site][0].numpy()


def told(name: str, folder: Path, model: Any, image: np.ndarray) -> dict[str, Any]:
    """What the whole model computes for one image, by its library's own processor and functions."""
    import torch
    import transformers
    from PIL import Image

    picture = Image.fromarray(image).convert("RGB")
    kind = type(TINY[name].processor(transformers))
    if name in ("llava-1.5-7b", "huatuo-vision-34b"):
        kind = transformers.LlavaImageProcessorPil
        options: dict[str, Any] = {"do_pad": True}
    else:
        options = dict(TINY[name].options)
    made = kind.from_pretrained(folder)(images=picture, return_tensors="pt", **options)
    given = {k: v for k, v in made.items() if k not in ("num_tiles", "num_patches")}
    seen: dict[str, Any] = {}
    blocks = {
        n: m for n, m in model.named_modules()
        if n.rpartition(".")[0].rpartition(".")[2] in ("layers", "layer", "blocks") and "language" not in n
    }  # fmt: skip
    handles = [
        m.register_forward_hook(lambda _m, _i, o, n=n: seen.update({n: o[0] if isinstance(o, tuple) else o}))
        for n, m in blocks.items()
    ]
    with torch.no_grad():
        if name.startswith("llama"):
            state = model.model.vision_model(**given).last_hidden_state
            seen["connector"] = model.model.multi_modal_projector(state)
        else:
            out = model.get_image_features(**given)
            seen["connector"] = out.pooler_output
            seen["out"] = out
    for handle in handles:
        handle.remove()
    return {**seen, "given": given, "blocks": [seen[n] for n in blocks]}


def close(ours: np.ndarray, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", sorted(n for n in TINY if n.startswith(("llava", "huatuo"))))
def test_llava_without_its_language_model_equals_llava(name: str, shelf: Callable[[str], tuple[Path, Any]]) -> None:
    folder, model = shelf(name)
    encoder = stand_in(name, weights=folder)
    for image in IMAGES:
        full = told(name, folder, model, image)
        close(tokens(encoder, image, "block.1"), full["blocks"][1].flatten(0, 1))
        close(
            tokens(encoder, image, "pooled")[0],
            model.model.vision_tower.post_layernorm(full["blocks"][2])[0, 0].detach(),
        )
        theirs = full["connector"][0]
        if name == "llava-1.6-mistral":
            site = encoder.layout(encoder.preprocess(image))["connector"]  # pyright: ignore[reportOptionalCall]
            h, w = site.views[1].grid
            rows = theirs[16:].reshape(h, w + 1, -1)
            assert (rows[:, -1] == model.model.image_newline).all()
            theirs = __import__("torch").cat([theirs[:16], rows[:, :-1].flatten(0, 1)])
        close(tokens(encoder, image, "connector"), theirs)


@pytest.mark.parametrize("name", sorted(n for n in TINY if n.startswith("qwen")))
def test_qwen_tokens_leave_row_by_row(name: str, shelf: Callable[[str], tuple[Path, Any]]) -> None:
    folder, model = shelf(name)
    encoder = stand_in(name, weights=folder)
    assert encoder.layout is not None
    for image in IMAGES:
        full = told(name, folder, model, image)
        close(tokens(encoder, image, "connector"), full["connector"][0])
        h, w = (int(x) for x in full["given"]["image_grid_thw"][0, 1:])
        assert encoder.layout(encoder.preprocess(image))["block.0"].grid == (h, w)
        # by hand: merged cells row by row, each a window of two by two patches
        ours, theirs = tokens(encoder, image, "block.2"), full["blocks"][2].reshape(-1, 4, 32).numpy()
        cells = ours.reshape(h // 2, 2, w // 2, 2, 32).transpose(0, 2, 1, 3, 4).reshape(-1, 4, 32)
        if name.startswith("qwen2.5"):
            assert {c.tobytes() for c in cells} == {c.tobytes() for c in theirs}
            assert np.array_equal(cells, theirs) == (w <= 4)  # one window is four patches wide
        else:
            np.testing.assert_allclose(cells, theirs, atol=1e-5)
        if name.startswith("qwen3"):
            for k in range(3):
                close(tokens(encoder, image, f"deepstack.{k}"), full["out"].deepstack_features[k][0])


@pytest.mark.parametrize("name", sorted(n for n in TINY if n.startswith("qwen")))
def test_a_qwen_merger_over_our_raster_gives_the_connector(name: str, shelf: Callable[[str], tuple[Path, Any]]) -> None:
    """What shows that the order is right, and not only some permutation: the merger joins neighbours."""
    import torch

    folder, model = shelf(name)
    encoder = stand_in(name, weights=folder)
    visual = model.model.visual
    for image in IMAGES[:2]:
        ours = torch.from_numpy(tokens(encoder, image, "block.2"))
        layout = encoder.layout
        assert layout is not None
        h, w = layout(encoder.preprocess(image))["block.2"].grid or (0, 0)
        grouped = ours.reshape(h // 2, 2, w // 2, 2, 32).permute(0, 2, 1, 3, 4).reshape(-1, 32)
        with torch.no_grad():
            close(tokens(encoder, image, "connector"), visual.merger(grouped))


def test_mllama_leaves_out_padding_rows_and_tiles(shelf: Callable[[str], tuple[Path, Any]]) -> None:
    name = "llama-3.2-vision-11b"
    folder, model = shelf(name)
    encoder = stand_in(name, weights=folder)
    assert encoder.layout is not None
    for image in IMAGES:
        full = told(name, folder, model, image)
        count = int(full["given"]["aspect_ratio_mask"].sum())
        close(tokens(encoder, image, "connector"), full["connector"][0, 0, :count].flatten(0, 1))
        for i, site in ((1, "block.1"), (4, "block.4")):
            theirs = full["blocks"][i].reshape(4, -1, 32)[:count, :17]
            close(tokens(encoder, image, site), theirs.flatten(0, 1))
        assert len(encoder.layout(encoder.preprocess(image))["block.0"].views or (1,)) == count


def test_internvl_tiles_come_before_the_whole_image(shelf: Callable[[str], tuple[Path, Any]]) -> None:
    name = "internvl3-1b"
    folder, model = shelf(name)
    encoder = stand_in(name, weights=folder)
    assert encoder.layout is not None
    for image in IMAGES:
        full = told(name, folder, model, image)
        close(tokens(encoder, image, "connector"), full["connector"].flatten(0, 1))
        close(tokens(encoder, image, "block.2"), full["blocks"][2].flatten(0, 1))
        views = encoder.layout(encoder.preprocess(image))["connector"].views
        assert len(views) == len(full["connector"]) > 1
        assert views[-1].box == (0.0, 0.0, 1.0, 1.0)


# layouts


@pytest.mark.parametrize("name", sorted(TINY))
@pytest.mark.parametrize("shape", [(120, 260), (260, 120), (200, 200), (56, 56)])
def test_tiles_lie_where_their_pixels_come_from(
    name: str, shape: tuple[int, int], shelf: Callable[[str], tuple[Path, Any]]
) -> None:
    """An image whose red rises downwards and green to the right: each patch's mean colour says where it lies."""
    folder, _ = shelf(name)
    encoder = stand_in(name, weights=folder)
    h, w = shape
    image = np.zeros((h, w, 3), np.uint8)
    image[..., 0] = np.linspace(20, 235, h).astype(np.uint8)[:, None]
    image[..., 1] = np.linspace(20, 235, w).astype(np.uint8)[None]
    image[..., 2] = 255
    prepared = encoder.preprocess(image)
    site = encoder.layout(prepared)["block.0"] if encoder.layout else encoder.card.sites["block.0"]
    if not encoder.layout or name.startswith("qwen"):
        return  # one grid over the whole picture
    views = site.views or (encoders.View(grid=site.grid),)  # pyright: ignore[reportArgumentType]
    assert encoder.card.input is not None
    mean, std = (np.array(x)[:, None, None] for x in (encoder.card.input.mean, encoder.card.input.std))
    tiles = np.asarray(prepared["pixel_values"]).reshape(-1, 3, 56, 56)
    for view, tile in zip(views, tiles, strict=False):
        colours = (tile * std + mean) * 255
        top, left, bottom, right = view.box
        for i in range(4):
            for j in range(4):
                y, x = top + (bottom - top) * (i + 0.5) / 4, left + (right - left) * (j + 0.5) / 4
                patch = colours[:, 14 * i : 14 * i + 14, 14 * j : 14 * j + 14].mean((1, 2))
                if patch[2] < 250 or not (0.03 < y < 0.97 and 0.03 < x < 0.97):
                    continue  # on or beyond the image's border
                assert patch[0] == pytest.approx(20 + 215 * y, abs=8)
                assert patch[1] == pytest.approx(20 + 215 * x, abs=8)


@pytest.mark.parametrize("name", ["llava-1.6-mistral", "llama-3.2-vision-11b", "internvl3-1b", "qwen2.5-vl-7b"])
def test_images_of_many_shapes_in_one_batch_equal_each_alone(
    name: str, shelf: Callable[[str], tuple[Path, Any]]
) -> None:
    encoder = stand_in(name, weights=shelf(name)[0])
    wanted = {"block.1": ["mean"], "connector": ["mean"]}
    for readout in ("cls", "halves", "grid3"):
        if readout in encoder.card.sites["block.1"].readouts:
            wanted["block.1"].append(readout)
    together = encoders.encode(encoder, IMAGES, wanted)
    for i, image in enumerate(IMAGES):
        alone = encoders.encode(encoder, [image], wanted)
        for point, vectors in alone.items():
            np.testing.assert_allclose(together[point][i], vectors[0], atol=1e-5, err_msg=point)


# what is refused


AUTHORS = ("huatuo-vision-7b", "llava-med")  # tried below, in their authors' spelling


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_missing_tensor_is_named_and_a_changed_one_is_seen(
    name: str, shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(shelf(name)[0], copy)
    before = stand_in(name, weights=copy)
    index = json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    ends = ("1.mlp.fc1.weight", "blocks.1.mlp.linear_fc1.weight", "blocks.1.mlp.up_proj.weight")
    gone = next(k for k in sorted(index) if "vis" in k and k.endswith(ends))
    file = copy / index[gone]
    state = load_file(file)
    save_file({k: v + 0.01 if k == gone else v for k, v in state.items()}, file, metadata={"format": "pt"})
    after = stand_in(name, weights=copy)
    assert after.fingerprint != before.fingerprint
    assert not np.allclose(tokens(after, IMAGES[0], "connector"), tokens(before, IMAGES[0], "connector"))
    save_file({k: v for k, v in state.items() if k != gone}, file, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"1\.mlp\.(fc1|linear_fc1|up_proj)\.weight") as caught:
        stand_in(name, weights=copy)
    assert "\n" not in str(caught.value)


def test_the_language_model_need_not_be_there(shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shelf("llava-1.5-7b")[0], copy)
    index = json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    wanted = {file for key, file in index.items() if not key.startswith("language_model")}
    idle = set(index.values()) - wanted
    assert idle
    for file in idle:
        (copy / file).unlink()
    same = stand_in("llava-1.5-7b", weights=copy)
    assert same.fingerprint == stand_in("llava-1.5-7b", weights=shelf("llava-1.5-7b")[0]).fingerprint
    (copy / sorted(wanted)[0]).unlink()
    with pytest.raises(EncoderError, match=sorted(wanted)[0]):
        stand_in("llava-1.5-7b", weights=copy)


def test_an_identity_rests_on_the_files_that_hold_tower_and_connector(
    shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    from encoders.identity.snapshot import recall, snapshot

    copy = tmp_path / "copy"
    shutil.copytree(shelf("llava-1.5-7b")[0], copy)
    encoder = stand_in("llava-1.5-7b", weights=copy)
    record = snapshot("llava-1.5-7b", encoder)
    assert record
    read = {path.name for path in encoder.files}
    index = json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    assert read >= {file for key, file in index.items() if not key.startswith("language_model")}
    idle = set(index.values()) - read
    for name in (*idle, "adapter.bin", "notes.json"):
        (copy / name).write_bytes(b"no tensor of the image side")
    assert recall(record) == (encoder.card, encoder.fingerprint)
    for name in ("model.safetensors", "processor_config.json"):  # they would be read in their stead
        (copy / name).write_bytes(b"")
        assert recall(record) is None
        (copy / name).unlink()
    assert recall(record) is not None
    shard = copy / sorted(file for key, file in index.items() if "vision" in key)[0]
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    assert recall(record) is None


def test_another_family_s_folder_is_refused_by_its_type(shelf: Callable[[str], tuple[Path, Any]]) -> None:
    with pytest.raises(EncoderError, match=r"of model type 'qwen3_vl', llava-1.5-7b is 'llava'"):
        stand_in("llava-1.5-7b", weights=shelf("qwen3-vl-8b")[0])


# original spellings


def authors_llava(folder: Path, to: Path, model_type: str) -> dict[str, Any]:
    """The tiny LLaVA in `folder` as the authors of its descendants publish theirs; returns its tensors as they were."""
    from safetensors.torch import load_file, save_file

    state = {k: v for file in folder.glob("model-*.safetensors") for k, v in load_file(file).items()}
    original = {}
    for name, value in state.items():
        name = name.replace("multi_modal_projector.linear_1.", "model.mm_projector.0.")
        name = name.replace("multi_modal_projector.linear_2.", "model.mm_projector.2.")
        name = name.replace("vision_tower.", "model.vision_tower.vision_tower.")
        original[name.removeprefix("language_model.")] = value
    to.mkdir()
    save_file(original, to / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
    return state


def edited(folder: Path, ending: str, change: Callable[[Any], Any] | None) -> Path:
    """The folder, in whose one file the tensor with that ending is changed, or gone where `change` is None."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    state = load_file(file)
    (key,) = [key for key in state if key.endswith(ending)]
    value = state.pop(key)
    save_file(state | ({key: change(value)} if change else {}), file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("name", AUTHORS)
def test_the_authors_spelling_of_a_llava_gives_what_the_converted_one_gives(
    name: str, shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    folder, _ = shelf("llava-1.5-7b")
    kind = find(name).model_type
    authors_llava(folder, tmp_path / "authors", *kind.foreign)
    own, converted = (
        small(name, tmp_path / "authors"),
        stand_in("llava-1.5-7b", weights=folder),
    )
    for site in ("block.2", "connector"):
        np.testing.assert_array_equal(tokens(own, IMAGES[0], site), tokens(converted, IMAGES[0], site))
    other = small(name, edited(tmp_path / "authors", "layers.1.mlp.fc1.weight", lambda value: value.flip(-1)))
    assert other.fingerprint != own.fingerprint
    assert not np.allclose(tokens(other, IMAGES[0], "connector"), tokens(own, IMAGES[0], "connector"))
    with pytest.raises(HubError, match=rf"{name}: the weights in .* lack 1 tensor .*projector.linear_2"):
        small(name, edited(tmp_path / "authors", "mm_projector.2.weight", None))


def test_llava_med_with_the_stock_tower_has_that_tower_behind_its_own_projector(
    shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    from encoders import llava_med

    med, tower = tmp_path / "med", tmp_path / "med" / "clip-vit-large-patch14-336"
    state = authors_llava(shelf("llava-1.5-7b")[0], med, "llava_mistral")
    tower.mkdir()
    stock = {k.removeprefix("vision_tower."): v + 0.01 for k, v in state.items() if k.startswith("vision_tower.")}
    save_file(stock, tower / "model.safetensors", metadata={"format": "pt"})
    own = small("llava-med", med)
    monkeypatch.setattr(llava_med, "MODEL_TYPE", smaller(llava_med.MODEL_TYPE))
    official = stand_in("llava-med-stock", weights=med)
    assert official.fingerprint != own.fingerprint
    assert not np.allclose(tokens(official, IMAGES[0], "connector"), tokens(own, IMAGES[0], "connector"))
    with pytest.raises(EncoderError, match=r"lack 1 tensor .*layers\.1\.mlp\.fc1\.weight"):
        stand_in("llava-med-stock", weights=edited(tower, "layers.1.mlp.fc1.weight", None).parent)
    (tower / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="clip-vit-large-patch14-336"):
        stand_in("llava-med-stock", weights=med)


def small(name: str, folder: Path) -> encoders.Encoder:
    """A descendant of LLaVA in the size of the tiny model: its authors' config.json tells no sizes of a tower."""
    from encoders.multimodal import load

    return load.load(encoders.card(name), smaller(find(name).model_type), "cpu", folder, offline=True)


def smaller(kind: Any) -> Any:
    return replace(
        kind,
        config=lambda library: _llava(library).config,
        processor=lambda library, _: library.LlavaImageProcessorPil(**SQUARE, do_pad=True),
    )


INTERN = {  # how the authors' code calls what the library calls otherwise
    "model.vision_tower.embeddings.cls_token": "vision_model.embeddings.class_embedding",
    "model.vision_tower.embeddings.position_embeddings": "vision_model.embeddings.position_embedding",
    "model.vision_tower.embeddings.patch_embeddings.projection": "vision_model.embeddings.patch_embedding",
    "model.multi_modal_projector.layer_norm": "mlp1.0",
    "model.multi_modal_projector.linear_1": "mlp1.1",
    "model.multi_modal_projector.linear_2": "mlp1.3",
}
LAYER = {
    "attention.projection_layer": "attn.proj", "attention.q_norm": "attn.q_norm", "attention.k_norm": "attn.k_norm",
    "layernorm_before": "norm1", "layernorm_after": "norm2", "lambda_1": "ls1", "lambda_2": "ls2", "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}  # fmt: skip


def authors_internvl(model: Any, folder: Path, **more: Any) -> Path:
    """The same weights as the authors publish them: their configuration, their names, attention fused."""
    import torch
    from safetensors.torch import save_file

    state, theirs = model.state_dict(), {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        if not name.startswith(("model.vision_tower.", "model.multi_modal_projector.")):
            theirs[name.replace("model.language_model.", "language_model.model.")] = value
        elif ".layer." not in name:
            theirs[INTERN[name] if name in INTERN else f"{INTERN[stem]}.{kind}"] = value
        else:
            number, _, part = name.partition(".layer.")[2].partition(".")
            at = f"vision_model.encoder.layers.{number}"
            if part.startswith("attention.q_proj."):
                three = [state[name.replace("q_proj", f"{p}_proj")] for p in "qkv"]
                theirs[f"{at}.attn.qkv.{kind}"] = torch.cat(three)
            elif not part.startswith(("attention.k_proj.", "attention.v_proj.")):
                inner = part.rpartition(".")[0]
                theirs[f"{at}.{LAYER[part]}" if part in LAYER else f"{at}.{LAYER[inner]}.{kind}"] = value
    folder.mkdir()
    save_file({k: v.clone() for k, v in theirs.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    eye, words = model.config.vision_config, model.config.text_config
    vision = {
        "architectures": ["InternVisionModel"], "model_type": "intern_vit_6b", "hidden_act": "gelu", "num_channels": 3,
        "hidden_size": eye.hidden_size, "num_hidden_layers": eye.num_hidden_layers, "image_size": eye.image_size[0],
        "num_attention_heads": eye.num_attention_heads, "intermediate_size": eye.intermediate_size, "patch_size": 14,
        "layer_norm_eps": 1e-6, "norm_type": eye.norm_type, "qkv_bias": eye.attention_bias, "use_flash_attn": True,
        "qk_normalization": eye.use_qk_norm,
    }  # fmt: skip
    config = {
        "architectures": ["InternVLChatModel"], "model_type": "internvl_chat", "auto_map": {"AutoModel": "x.Y"},
        "vision_config": vision, "llm_config": {"architectures": ["X"], "hidden_size": words.hidden_size},
        "downsample_ratio": 0.5, "dynamic_image_size": True, "force_image_size": 56, "max_dynamic_patch": 12,
        "min_dynamic_patch": 1, "pad2square": False, "ps_version": "v2", "select_layer": -1, "use_thumbnail": True,
        "template": "internvl2_5",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | more))
    return folder


@pytest.mark.parametrize(
    ("variant", "layer"),
    [({"attention_bias": True}, -1), ({"norm_type": "rms_norm", "use_qk_norm": True}, -2)],
)
def test_internvl_as_its_authors_publish_it_gives_what_the_librarys_form_gives(
    variant: dict[str, Any], layer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With biases and layer norms, as in the tower of 300 M, and with RMS norms of queries, as in that of 6 B."""

    def build(library: Any) -> Any:
        config = _internvl(library).config
        for key, value in variant.items():
            setattr(config.vision_config, key, value)
        config.vision_feature_layer = layer
        return library.InternVLForConditionalGeneration(config)

    converted = tmp_path / "converted"
    model = published(replace(TINY["internvl3-1b"], model=build), converted)
    theirs = authors_internvl(model, tmp_path / "authors", select_layer=layer)
    assert not (theirs / "preprocessor_config.json").exists()
    with serving(Hub(repositories={"OpenGVLab/InternVL9-1B": Repository(folder=theirs, commit="c" * 40)})) as running:
        running.set_client(monkeypatch.setattr, tmp_path / "hub")
        encoder = stand_in("hf:OpenGVLab/InternVL9-1B")
        assert not [path for path in running.asked if path.endswith(".py")]
    assert encoder.card.revision == "c" * 40
    same = stand_in("internvl3-1b", weights=converted)
    assert encoder.card.sites == same.card.sites
    for image in (*IMAGES, IMAGES[0][:56, :56]):
        whole = told("internvl3-1b", converted, model, image)
        close(tokens(encoder, image, "connector"), whole["connector"].flatten(0, 1))
        for site in ("block.0", "block.2", "connector"):
            np.testing.assert_array_equal(tokens(encoder, image, site), tokens(same, image, site))
    by_name = stand_in("internvl3-1b", weights=theirs)
    assert by_name.fingerprint == encoder.fingerprint


def test_internvl_of_one_tile_is_squashed_as_its_authors_configuration_says(
    shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    folder, model = shelf("internvl3-1b")
    theirs = authors_internvl(model, tmp_path / "authors", dynamic_image_size=False)
    one = stand_in("hf:some/where", weights=theirs)
    squashed = stand_in("internvl3-1b-448", weights=folder)
    for image in IMAGES:
        np.testing.assert_array_equal(tokens(one, image, "connector"), tokens(squashed, image, "connector"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ps_version": "v1"}, "asks for ps_version 'v1', which transposes tokens, which is not built here"),
        ({"pad2square": True}, "asks for pad2square"),
        ({"use_thumbnail": False}, "tiles without the whole image"),
        ({"force_image_size": 448}, "force_image_size 448 over a position table for 56"),
        ({"vision_config": {"hidden_size": 32}}, "lacks vision_config.num_hidden_layers, vision_config.num_att"),
        ({"llm_config": {}}, "lacks llm_config.hidden_size; it is no configuration of an InternVL"),
    ],
)
def test_an_internvl_that_computes_otherwise_is_refused_in_one_line(
    change: dict[str, Any], said: str, shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    theirs = authors_internvl(shelf("internvl3-1b")[1], tmp_path / "authors", **change)
    with pytest.raises(EncoderError, match=said) as caught:
        stand_in("hf:some/where", weights=theirs)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("hf:some/where: ")


def test_an_internvl_of_the_authors_that_lacks_a_tensor_is_refused_by_its_name(
    shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    theirs = authors_internvl(shelf("internvl3-1b")[1], tmp_path / "authors")
    state = load_file(theirs / "model.safetensors")
    del state["vision_model.encoder.layers.1.attn.qkv.weight"]
    save_file(state, theirs / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"lack 3 tensors .*layer\.1\.attention\.k_proj"):
        stand_in("hf:some/where", weights=theirs)


# through the hub

REPOS = {
    "llava-1.6-mistral": "llava-hf/llava-v1.6-mistral-7b-hf",
    "llama-3.2-vision-11b": "meta-llama/Llama-3.2-11B-Vision-Instruct",
    "internvl3-1b": "OpenGVLab/InternVL3-1B-hf",
    "qwen2.5-vl-7b": "Qwen/Qwen2.5-VL-7B-Instruct",
}


@pytest.fixture
def hub(shelf: Callable[[str], tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    found = {repo: Repository(folder=shelf(name)[0], commit="c" * 40) for name, repo in REPOS.items()}
    with serving(Hub(repositories=found)) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield running


@pytest.mark.parametrize("name", sorted(REPOS))
def test_from_the_hub_comes_the_image_side_alone(name: str, hub: Hub, shelf: Callable[[str], tuple[Path, Any]]) -> None:
    encoder = stand_in(name)
    assert encoder.card.revision == "c" * 40
    local = stand_in(name, weights=shelf(name)[0])
    assert encoder.fingerprint == local.fingerprint
    kept = [p for p in encoder.files if p.suffix == ".safetensors"]
    assert len(kept) == 1
    from safetensors import safe_open

    with safe_open(kept[0], "pt") as file:
        assert not [k for k in file.keys() if "language" in k or "lm_head" in k]  # noqa: SIM118  no mapping
    hub.asked.clear()
    assert stand_in(name, offline=True).fingerprint == local.fingerprint
    assert stand_in(f"hf:{REPOS[name]}@{'c' * 40}", offline=True).fingerprint == local.fingerprint
    untrained = stand_in(f"random:hf:{REPOS[name]}@{'c' * 40}", offline=True)
    assert untrained.card.sites == local.card.sites
    assert untrained.fingerprint != local.fingerprint
    assert hub.asked == []


def test_a_repository_of_an_unknown_type_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llavva"}')
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(EncoderError, match=r"of type 'llavva'.*known: .*clip.*llava"):
        stand_in("hf:some/where", weights=tmp_path)


# the full size, without its memory

PUBLISHED = {  # millions of parameters of tower and connector, as published
    "llava-1.5-7b": 303.5 + 21.0,
    "llava-1.5-13b": 303.5 + 31.5,
    "llava-1.6-mistral": 324.5,
    "llava-med": 324.5,
    "llama-3.2-vision-11b": 863.6 + 31.5,
    "qwen2-vl-7b": 675.8,
    "qwen2.5-vl-7b": 676.6,
    "qwen3-vl-8b": 576.4,
    "internvl3-1b": 304.0 + 4.5,
    "internvl3-2b": 304.0 + 8.7,
    "internvl3-8b": 304.0 + 27.5,
}
HERE = ("llava", "huatuo", "llama", "qwen", "internvl")


@pytest.mark.parametrize("name", [n for n in encoders.names() if n.startswith(HERE)])
def test_in_full_size_the_card_tells_what_is_built(name: str) -> None:
    import transformers

    from encoders.multimodal import model as multimodal_model

    checkpoint = find(name)
    kind, card = checkpoint.model_type, checkpoint.card
    with on_meta():
        model = multimodal_model.built(kind)
        whole = getattr(transformers, kind.model)(kind.config(transformers))
    parts = kind.take_apart(model, kind.processor(transformers, None))
    count = sum(p.numel() for p in multimodal_model.side(parts.image_side).parameters())
    assert card.parameters == count
    assert name not in PUBLISHED or count / 1e6 == pytest.approx(PUBLISHED[name], abs=0.15)
    assert dict(parts.layout(parts.preprocess(np.zeros((512, 512), np.uint8)))) == dict(card.sites)
    assert parts.input == card.input
    if name != "llava-med-stock":
        assert card.bytes == 2 * count
        assert card.bytes_whole == 2 * sum(p.numel() for p in whole.parameters())


def test_an_untrained_encoder_has_the_sizes_of_the_folder_that_stands_for_the_weights(
    shelf: Callable[[str], tuple[Path, Any]],
) -> None:
    folder, _ = shelf("qwen2.5-vl-7b")
    encoder = stand_in("qwen2.5-vl-7b", weights=folder)
    untrained = stand_in("random:qwen2.5-vl-7b", weights=folder)
    assert untrained.card.sites == encoder.card.sites
    assert untrained.card.parameters == encoder.card.parameters
    assert untrained.fingerprint != encoder.fingerprint
    assert untrained.fingerprint == stand_in("random:qwen2.5-vl-7b", weights=folder).fingerprint
    assert untrained.fingerprint != stand_in("random:qwen2.5-vl-7b#1", weights=folder).fingerprint


@pytest.mark.parametrize("name", sorted(TINY))
def test_attention_is_that_of_plain_towers_and_refused_where_images_are_laid_out_anew(
    name: str, shelf: Callable[[str], tuple[Path, Any]]
) -> None:
    from encoders.attention.interactions import interactions
    from encoders.attention.reading import layers
    from encoders.attention.watch import attention

    encoder = stand_in(name, weights=shelf(name)[0])
    if encoder.layout is not None:
        with pytest.raises(EncoderError, match="lays out every image by its shape, in tiles or windows") as caught:
            attention(encoder, "block.1", encoder.card.sites["block.1"].readouts[0])
        assert "\n" not in str(caught.value)
        assert layers(encoder, "block.1") == ()
        return
    assert "connector" in encoder.card.sites
    batch = collate([encoder.preprocess(image) for image in IMAGES[:2]])
    found = attention(encoder, "connector", "mean")  # reads the last block but one, without CLS
    before = encoder.forward(batch, ["connector"])["connector"]
    with found.watch() as seen:
        inside = encoder.forward(batch, ["connector"])["connector"]
    assert [one.name for one in layers(encoder, "connector")] == ["block.0", "block.1"]
    assert len(seen) == 2
    assert list(np.flatnonzero(found.reads)) == list(range(1, 17))
    assert float((inside - before).abs().max()) <= 4e-6 * float(before.abs().max())
    images = [encoder.preprocess(image) for image in IMAGES[:2]]
    (pair,) = interactions(encoder, "pooled", "vector", images[:1], images[1:], images[1:], images[:1])
    assert pair.error <= 0.01
