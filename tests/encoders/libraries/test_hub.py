"""Pinned snapshots through a hub on loopback: what is loaded equals what the library itself computes."""

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError
from tests.stand_in_hub import (
    BERT,
    Hub,
    Repository,
    clip_folder,
    dinov2_folder,
    open_clip_folder,
    serving,
    siglip_folder,
    stand_in,
)

BIOMED = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
PIN = "9f341de24bfb00180f1b847274256e9b65a3a32e"
MADE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "biomedclip": (BIOMED, lambda folder: open_clip_folder(folder, BERT)),
    "clip-b16": ("openai/clip-vit-base-patch16", clip_folder),
    "dinov2-b14": ("facebook/dinov2-base", dinov2_folder),
    "siglip-b16": ("google/siglip-base-patch16-224", siglip_folder),
}
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (130, 80, 3), dtype=np.uint8),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """The tiny snapshots and their models, built once."""
    root = tmp_path_factory.mktemp("shelf")
    return {name: (root / name, make(root / name)) for name, (_, make) in MADE.items()}


@pytest.fixture
def hub(shelf: dict[str, tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub with all of them, and an empty cache of the client."""
    from huggingface_hub import constants

    found = {
        repo: Repository(folder=shelf[name][0], commit=PIN if name == "biomedclip" else "a" * 40)
        for name, (repo, _) in MADE.items()
    }
    with serving(Hub(repositories=found)) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield running


def every(encoder: encoders.Encoder) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for site, readout, _ in encoders.points(encoder.card):
        wanted.setdefault(site, []).append(readout)
    return wanted


def tokens(encoder: encoders.Encoder, site: str) -> np.ndarray:
    import torch

    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in IMAGES])
    return encoder.forward(batch, [site])[site].numpy()


def pictures() -> list[Any]:
    from PIL import Image

    return [Image.fromarray(image).convert("RGB") for image in IMAGES]


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_biomedclip_equals_open_clip_and_asks_no_hub_for_its_text_tower(
    hub: Hub, shelf: dict[str, tuple[Path, Any]]
) -> None:
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2

    encoder = stand_in("biomedclip")
    assert encoder.card.revision == PIN
    assert not any("BiomedBERT" in path for path in hub.asked)
    model = shelf["biomedclip"][1]
    apply = image_transform_v2(PreprocessCfg(size=224), is_train=False)
    batch = torch.stack([apply(p) for p in pictures()])
    with torch.no_grad():
        close(tokens(encoder, "joint")[:, 0], model.encode_image(batch))
        close(tokens(encoder, "pooled")[:, 0], model.visual.trunk(batch))
        middle = model.visual.trunk.forward_intermediates(batch, output_fmt="NLC", return_prefix_tokens=True)[1]
        prefix_last = torch.cat([middle[5][1], middle[5][0]], dim=1)
        close(tokens(encoder, "block.5"), prefix_last)
        assert encoder.text is not None
        ids = __import__("open_clip").get_tokenizer(f"local-dir:{shelf['biomedclip'][0]}")(["a chest film"])
        close(encoder.text(["a chest film"]), model.encode_text(ids))


def test_a_text_tower_in_the_names_of_before_november_2023_is_the_same(
    shelf: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    folder = shelf["biomedclip"][0]
    old = Path(shutil.copytree(folder, tmp_path / "old"))
    config = json.loads((old / "open_clip_config.json").read_text())
    text = config["model_cfg"]["text_cfg"]
    text |= {"proj": text.pop("hf_proj_type"), "pooler_type": text.pop("hf_pooler_type")}
    (old / "open_clip_config.json").write_text(json.dumps(config))
    new, same = (stand_in("biomedclip-v1", weights=where) for where in (folder, old))
    assert same.fingerprint == new.fingerprint
    assert new.text is not None
    assert same.text is not None
    np.testing.assert_array_equal(same.text(["a chest film"]), new.text(["a chest film"]))


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["clip-b16", "siglip-b16", "dinov2-b14"])
def test_features_equal_those_of_transformers(name: str, shelf: dict[str, tuple[Path, Any]]) -> None:
    import torch
    import transformers

    encoder = stand_in(name)
    assert encoder.card.revision == "a" * 40
    folder, model = shelf[name]
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    batch = processor(images=pictures(), return_tensors="pt")["pixel_values"]
    tower = getattr(model, "vision_model", model)
    with torch.no_grad():
        out = tower(pixel_values=batch, output_hidden_states=True)
        close(tokens(encoder, "block.1"), out.hidden_states[2])
        close(tokens(encoder, "pooled")[:, 0], out.pooler_output)
        if name != "clip-b16":
            close(tokens(encoder, "final"), out.last_hidden_state)
        if name == "dinov2-b14":
            assert encoder.text is None
            assert encoder.card.sites["final"].grid == (5, 5)
        else:
            close(tokens(encoder, "joint")[:, 0], model.get_image_features(pixel_values=batch).pooler_output)
            assert encoder.text is not None
            assert encoder.text(["upright film", "turned"]).shape == (2, encoder.card.sites["joint"].width)


def test_a_second_load_asks_the_network_nothing(hub: Hub) -> None:
    first = stand_in("dinov2-b14")
    hub.asked.clear()
    again = stand_in("dinov2-b14", offline=True)
    assert hub.asked == []
    assert again.fingerprint == first.fingerprint
    assert again.card == first.card


@pytest.fixture
def folders(shelf: dict[str, tuple[Path, Any]]) -> dict[str, Path]:
    """The folders of the tiny snapshots, and that of the weights that ship with the project."""
    from encoders.phantom_clip import FOLDER

    return {name: folder for name, (folder, _) in shelf.items()} | {"phantom-clip": FOLDER}


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("dinov2-b14", "encoder.layer.1.mlp.fc1.weight"),
        ("biomedclip", "visual.trunk.blocks.1.mlp.fc1.weight"),
        ("phantom-clip", "visual.transformer.resblocks.1.mlp.c_fc.weight"),
    ],
)
def test_one_perturbed_tensor_is_another_encoder(name: str, key: str, folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(folders[name], copy)
    same = stand_in(name, weights=copy)
    assert same.fingerprint == stand_in(name).fingerprint
    (file,) = copy.glob("*.safetensors")
    state = load_file(file)
    state[key][0, 0] += 1e-3
    save_file(state, file, metadata={"format": "pt"})
    other = stand_in(name, weights=copy)
    assert other.fingerprint != same.fingerprint
    assert not np.array_equal(tokens(other, "block.1"), tokens(same, "block.1"))


WHOLE = ("biomedclip-v1", "phantom-clip", *sorted(MADE))


@pytest.mark.parametrize("name", WHOLE)
def test_a_weight_file_that_lacks_a_tensor_is_refused_by_name(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(folders[name.removesuffix("-v1")], copy)
    file = next(copy.glob("*.safetensors"))
    state = load_file(file)
    gone = sorted(key for key in state if key.endswith("weight") and "1." in key)[0]
    del state[gone]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"lack 1 tensor \(.*weight\)") as caught:
        stand_in(name, weights=copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_truncated_weight_file_is_called_incomplete(
    name: str, shelf: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shelf[name][0], copy)
    file = next(copy.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(EncoderError, match=r"not a complete weight file.*truncated") as caught:
        stand_in(name, weights=copy)
    assert "\n" not in str(caught.value)


def test_tensors_of_another_shape_are_refused(shelf: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(shelf["biomedclip"][0], copy)
    file = copy / "open_clip_model.safetensors"
    state = load_file(file)
    state["visual.head.proj.weight"] = state["visual.head.proj.weight"][:, :-1].contiguous()
    save_file(state, file)
    with pytest.raises(EncoderError, match=r"tensor visual\.head\.proj\.weight .* has shape \[16, 191\]"):
        stand_in("biomedclip", weights=copy)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("gated", "is gated: ask for access at http"),
        ("forbidden", r"refuses .*\(403\): visit http"),
        ("absent", "does not exist at http"),
        ("cut", r"could not be fetched|not a complete weight file"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_a_hub_refuses_is_one_line_with_the_way_on(fault: str, said: str, hub: Hub) -> None:
    hub.repositories[BIOMED].fault = fault
    with pytest.raises(EncoderError, match=said) as caught:
        stand_in("biomedclip")
    assert "\n" not in str(caught.value)
    assert "--weights" in str(caught.value) or "fetch it again" in str(caught.value)


def test_a_commit_that_the_hub_does_not_have_is_named(hub: Hub) -> None:
    hub.repositories[BIOMED].commit = "b" * 40
    with pytest.raises(EncoderError, match=f"{BIOMED} has no revision {PIN}"):
        stand_in("biomedclip")


def test_an_unreachable_hub_is_reported_within_three_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    start = time.monotonic()
    with pytest.raises(EncoderError, match="cannot be reached") as caught:
        stand_in("biomedclip")
    assert time.monotonic() - start < 3
    for part in (
        f"hf download {BIOMED} --revision {PIN}",
        "--weights",
        "experiments.fetch biomedclip",
        "`phantom-clip` works offline",
    ):
        assert part in str(caught.value)


def test_offline_never_asks_and_says_what_is_missing(hub: Hub) -> None:
    with pytest.raises(EncoderError, match=r"openai/clip-vit-base-patch16 .*the run is offline.*hf download"):
        stand_in("clip-b16", offline=True)
    assert hub.asked == []


@pytest.mark.usefixtures("hub")
def test_a_repository_is_read_in_whatever_format_it_holds() -> None:
    plain = stand_in("hf:facebook/dinov2-base@" + "a" * 40)
    assert plain.card.sites.keys() == stand_in("dinov2-b14").card.sites.keys()
    assert "joint" in stand_in(f"hf:{BIOMED}").card.sites


@pytest.mark.parametrize("spec", [f"hf:facebook/dinov2-base@{'a' * 40}", f"hf:{BIOMED}"])
def test_a_repository_can_be_built_untrained_from_its_configuration_alone(spec: str, hub: Hub) -> None:
    untrained = stand_in(f"random:{spec}")
    assert sum(repository.sent for repository in hub.repositories.values()) == 0, "no weights are fetched"
    trained = stand_in(spec)
    assert untrained.card.sites == trained.card.sites
    assert untrained.card.repo is None
    again, other = (stand_in(f"random:{spec}{draw}", offline=True) for draw in ("", "#1"))
    assert untrained.fingerprint == again.fingerprint
    assert len({untrained.fingerprint, other.fingerprint, trained.fingerprint}) == 3
    first, second = (
        encoders.encode(e, IMAGES[:1], {"pooled": ["vector"]})["pooled/vector"] for e in (untrained, trained)
    )
    assert not np.allclose(first, second)


@pytest.mark.slow
def test_untrained_encoders_need_no_hub(hub: Hub) -> None:
    untrained = stand_in("random:clip-b16", offline=True)
    assert untrained.card.sites == encoders.card("clip-b16").sites
    assert hub.asked == []
    assert encoders.encode(untrained, IMAGES[:1], {"block.11": ["grid3"]})["block.11/grid3"].shape == (1, 9 * 768)


def test_every_family_is_tried_without_a_tensor_and_with_another() -> None:
    from importlib import import_module

    names = ("libraries.test_towers", "multimodal.test_multimodal", "multimodal.test_families",
             "networks.test_towers", "networks.test_connectors", "multimodal.test_types")  # fmt: skip
    towers, multimodal, more, custom, connectors, types = (import_module(f"tests.encoders.{name}") for name in names)
    tried = {*WHOLE, *towers.TRIED, *multimodal.TINY, *multimodal.AUTHORS, *more.NAMES, *custom.FILES, *types.TINY}
    tried |= {*connectors.WHERE, "phantom-llava"}  # the last in tests/slitlamp/test_phantom_llava.py
    families = [path.stem for path in Path(encoders.__file__).parent.glob("[!_]*.py")]
    for family in families:
        every = getattr(import_module(f"encoders.{family}"), "CHECKPOINTS", ())
        mine = {checkpoint.card.name for checkpoint in every if checkpoint.untrained}
        assert not mine or mine & tried, family
    assert len(families) > 30
    assert tried <= set(encoders.names())
