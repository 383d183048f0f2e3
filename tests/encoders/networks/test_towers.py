"""Eyes that no library loads: read from their published files, equal to the same network written out plainly."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError
from encoders._registry import checkpoints
from tests import tiny_custom as tiny
from tests.full_size import unfilled
from tests.stand_in_hub import stand_in

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (90, 120), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (130, 80, 3), dtype=np.uint8)
VOLUME = RNG.integers(0, 256, (9, 40, 50), dtype=np.uint8)
OPENAI = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def tokens(encoder: encoders.Encoder, sites: list[str], *images: np.ndarray) -> dict[str, np.ndarray]:
    from encoders.extraction.encode import collate

    batch = collate([encoder.preprocess(image) for image in images])
    return {site: value.numpy() for site, value in encoder.forward(batch, sites).items()}


def close(ours: Any, theirs: Any, within: float = 1e-5) -> None:
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else theirs
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=within * max(1.0, float(np.abs(theirs).max())))


def flat(output: Any) -> Any:
    return output.flatten(2).transpose(1, 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """The tiny checkpoints and what is behind them, built once."""
    root = tmp_path_factory.mktemp("made")
    builders: dict[str, Callable[[Path], Any]] = {
        "pmc-clip": tiny.pmc_clip,
        "radfm": tiny.radfm,
        "medclip-vit": lambda folder: tiny.medclip(folder, "vit"),
        "medclip-rn50": lambda folder: tiny.medclip(folder, "rn50"),
    }
    return {name: (root / name, build(root / name)) for name, build in builders.items()}


FILES = {
    "pmc-clip": "checkpoint.pt",
    "radfm": "pytorch_model.bin",
    "medclip-vit": "pytorch_model.bin",
    "medclip-rn50": "pytorch_model.bin",
}
OURS = ("pmc-clip", "pmc-clip-8h", "radfm", "medclip-vit", "medclip-rn50")


def changed(folder: Path, name: str, copy: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a checkpoint after `change(tensors)`."""
    import torch

    shutil.copytree(folder, copy)
    file = copy / FILES[name]
    whole = torch.load(file, weights_only=False)
    change(whole.get("state_dict", whole))
    torch.save(whole, file)
    return file


def test_pmc_clip_equals_the_tower_that_its_training_code_builds(made: dict[str, tuple[Path, Any]]) -> None:
    import torch
    from torchvision import transforms as t

    folder, models = made["pmc-clip"]
    encoder = stand_in("pmc-clip", weights=folder)
    apply = t.Compose([t.Resize(64, t.InterpolationMode.BICUBIC), t.CenterCrop(64), t.ToTensor(), t.Normalize(*OPENAI)])
    batch = torch.stack([apply(picture) for picture in pictures(GREY, COLOUR)])
    for image, reference in zip((GREY, COLOUR), batch, strict=True):
        close(encoder.preprocess(image), reference, 1e-6)
    ours = tokens(encoder, list(encoder.card.sites), GREY, COLOUR)
    with torch.no_grad():
        middle = models["visual"].forward_intermediates(batch)
        for i in (1, 2, 3, 4):
            close(ours[f"stage.{i}"], flat(middle["image_intermediates"][i]))
        close(ours["pooled"][:, 0], middle["image_intermediates"][4].mean((2, 3)))
        close(ours["joint"][:, 0], middle["image_features"])


def test_pmc_clip_reads_sentences_as_its_training_code_did_with_the_padding_attended(
    made: dict[str, tuple[Path, Any]],
) -> None:
    import torch
    import transformers

    folder, models = made["pmc-clip"]
    encoder = stand_in("pmc-clip", weights=folder)
    assert encoder.text is not None
    words: Any = transformers.AutoTokenizer.from_pretrained(folder)
    ids = words(["a chest film", "upright"], padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden = models["text"](input_ids=ids).last_hidden_state
    close(encoder.text(["a chest film", "upright"]), hidden[:, 0] @ models["projection"])


def test_the_two_head_counts_share_their_stages_and_differ_in_the_joint_space(
    made: dict[str, tuple[Path, Any]],
) -> None:
    folder, models = made["pmc-clip"]
    assert models["visual"].attnpool.num_heads == 4
    rule, fixed = (stand_in(name, weights=folder) for name in ("pmc-clip", "pmc-clip-8h"))
    ours, theirs = (tokens(e, ["pooled", "joint"], GREY) for e in (rule, fixed))
    np.testing.assert_array_equal(ours["pooled"], theirs["pooled"])
    assert not np.allclose(ours["joint"], theirs["joint"], atol=1e-4)
    assert rule.fingerprint != fixed.fingerprint


def test_pmc_clip_reads_the_three_separate_files_to_the_same_features(
    made: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    shutil.copytree(made["pmc-clip"][0], tmp_path / "copy")
    tiny.pmc_clip_files(tmp_path / "copy")
    whole = stand_in("pmc-clip", weights=tmp_path / "copy" / "checkpoint.pt")
    apart = stand_in("pmc-clip", weights=tmp_path / "copy" / "apart")
    assert apart.fingerprint == whole.fingerprint
    alone = stand_in("pmc-clip", weights=tmp_path / "copy" / "apart" / "image_encoder(resnet50).pth")
    assert alone.text is None
    for other in (apart, alone):
        close(tokens(other, ["joint"], GREY)["joint"], tokens(whole, ["joint"], GREY)["joint"])
    assert whole.text is not None
    assert apart.text is not None
    close(apart.text(["a film"]), whole.text(["a film"]))


def test_radfm_equals_its_published_code_written_out(made: dict[str, tuple[Path, Any]]) -> None:
    import torch

    folder, state = made["radfm"]
    encoder = stand_in("radfm", weights=folder)
    sites = ["block.0", "block.1", "perceiver", "connector"]
    for image, depth in ((GREY, 4), (COLOUR, 4), (VOLUME, 8)):
        prepared = encoder.preprocess(image)
        assert tuple(prepared.shape) == (3, 512, 512, depth)
        with torch.no_grad():
            theirs = radfm_written_out(state, prepared[None].clone())
        ours = tokens(encoder, sites, image)
        for i, block in enumerate(theirs["blocks"]):
            in_order = block.reshape(1, 16, 16, depth // 4, -1).permute(0, 3, 1, 2, 4).flatten(1, 3)
            close(ours[f"block.{i}"], in_order)
        close(ours["perceiver"], theirs["perceiver"])
        close(ours["connector"], theirs["connector"])


def radfm_written_out(state: dict[str, Any], video: Any) -> dict[str, Any]:
    """The published network, one operation after the other."""
    import torch
    from torch.nn.functional import gelu, layer_norm

    def norm(x: Any, name: str) -> Any:
        return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    def linear(x: Any, name: str) -> Any:
        return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)

    depth = video.shape[-1] // 4
    patches = torch.stack([
        video[0, :, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32, 4 * k : 4 * k + 4].permute(1, 2, 3, 0).flatten()
        for i in range(16) for j in range(16) for k in range(depth)
    ])  # fmt: skip
    at = "vision_encoder.to_patch_embedding"
    x = norm(linear(norm(patches, f"{at}.1"), f"{at}.2"), f"{at}.3")
    row, column, deep = (state[f"vision_encoder.pos_embedding.{a}_embed.weight"] for a in ("row", "col", "dep"))
    x = x + torch.stack([
        torch.cat([row[i], column[j], deep[(k + 1) * (128 // depth) - 1]])
        for i in range(16) for j in range(16) for k in range(depth)
    ])  # fmt: skip
    blocks = []
    for n in (0, 1):
        at = f"vision_encoder.transformer.layers.{n}"
        q, k, v = (
            p.reshape(-1, 2, 64).transpose(0, 1)
            for p in linear(norm(x, f"{at}.0.norm"), f"{at}.0.fn.to_qkv").chunk(3, -1)
        )
        mixed = (q @ k.transpose(1, 2) * 64**-0.5).softmax(-1) @ v
        x = x + linear(mixed.transpose(0, 1).flatten(1), f"{at}.0.fn.to_out.0")
        x = x + linear(gelu(linear(norm(x, f"{at}.1.norm"), f"{at}.1.fn.net.0")), f"{at}.1.fn.net.3")
        blocks.append(x[None])
    read = perceiver_written_out(
        {k.removeprefix("perceiver."): v for k, v in state.items() if k.startswith("perceiver.")}, x
    )
    return {"blocks": blocks, "perceiver": read[None], "connector": linear(read, "fc")[None]}


def perceiver_written_out(state: dict[str, Any], x: Any) -> Any:
    """Flamingo's resampler of one image, one operation after the other."""
    import torch
    from torch.nn.functional import gelu, layer_norm

    def norm(y: Any, name: str) -> Any:
        return layer_norm(y, y.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    latents = state["latents"]
    for i in (0, 1):
        at = f"layers.{i}"
        queries = norm(latents, f"{at}.0.norm_latents")
        read = torch.cat([norm(x, f"{at}.0.norm_media"), queries])
        keys, values = (read @ state[f"{at}.0.to_kv.weight"].T).chunk(2, -1)
        q = queries @ state[f"{at}.0.to_q.weight"].T * 64**-0.5
        heads = [(q[:, s] @ keys[:, s].T).softmax(-1) @ values[:, s] for s in (slice(0, 64), slice(64, 128))]
        latents = latents + torch.cat(heads, -1) @ state[f"{at}.0.to_out.weight"].T
        inner = gelu(norm(latents, f"{at}.1.0") @ state[f"{at}.1.1.weight"].T)
        latents = latents + inner @ state[f"{at}.1.3.weight"].T
    return norm(latents, "norm")


def test_radfm_resizes_images_smoothly_and_volumes_by_nearest_neighbour(made: dict[str, tuple[Path, Any]]) -> None:
    import torch
    from torch.nn.functional import interpolate
    from torchvision import transforms as t

    encoder = stand_in("radfm", weights=made["radfm"][0])
    apply = t.Compose([t.Resize((512, 512), t.InterpolationMode.BICUBIC), t.ToTensor()])
    for image, picture in zip((GREY, COLOUR), pictures(GREY, COLOUR), strict=True):
        close(encoder.preprocess(image), interpolate(apply(picture)[None, ..., None], size=(512, 512, 4))[0], 1e-6)
    deep = torch.from_numpy(VOLUME / np.float32(255)).permute(1, 2, 0).expand(3, -1, -1, -1)
    close(encoder.preprocess(VOLUME), interpolate(deep[None], size=(512, 512, 8))[0], 1e-6)
    for slices, depth in ((1, 4), (6, 4), (7, 8), (63, 64), (400, 64)):
        assert encoder.preprocess(np.zeros((slices, 8, 8), np.uint8)).shape[-1] == depth


def test_radfm_takes_images_and_volumes_of_any_depth_in_one_call(made: dict[str, tuple[Path, Any]]) -> None:
    encoder = stand_in("radfm", weights=made["radfm"][0])
    wanted = {"block.1": ["mean", "halves", "grid3"], "connector": ["mean", "queries"]}
    found = encoders.encode(encoder, [GREY, VOLUME, COLOUR], wanted)
    assert {k: v.shape for k, v in found.items()} == {
        "block.1/mean": (3, 48), "block.1/halves": (3, 6 * 48), "block.1/grid3": (3, 12 * 48),
        "connector/mean": (3, 40), "connector/queries": (3, 5 * 40),
    }  # fmt: skip
    again = encoders.encode(encoder, [VOLUME], wanted)
    for point, vectors in again.items():
        close(vectors[0], found[point][1])


def test_medclip_equals_swin_behind_a_projection(made: dict[str, tuple[Path, Any]]) -> None:
    import torch

    folder, models = made["medclip-vit"]
    encoder = stand_in("medclip-vit", weights=folder)
    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in (GREY, COLOUR)])
    ours = tokens(encoder, list(encoder.card.sites), GREY, COLOUR)
    with torch.no_grad():
        out = models["vision"](batch, output_hidden_states=True, output_hidden_states_before_downsampling=True)
        inner = models["vision"].encoder
        x, size = models["vision"].embeddings(batch)
        for i, layer in enumerate(inner.layers):
            for block in layer.blocks:
                x = block(x, size)[0]
            close(ours[f"stage.{i + 1}"], x)
            assert encoder.card.sites[f"stage.{i + 1}"].grid == size
            if layer.downsample is not None:
                x, size = layer.downsample(x, size), (size[0] // 2, size[1] // 2)
        close(ours["final"], out.last_hidden_state)
        close(ours["pooled"][:, 0], out.pooler_output)
        close(ours["joint"][:, 0], out.pooler_output @ models["head"].T)


def test_medclip_equals_torchvisions_resnet(made: dict[str, tuple[Path, Any]]) -> None:
    import torch
    from torchvision.models.feature_extraction import create_feature_extractor

    folder, models = made["medclip-rn50"]
    encoder = stand_in("medclip-rn50", weights=folder / "pretrained.zip")
    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in (GREY, COLOUR)])
    ours = tokens(encoder, list(encoder.card.sites), GREY, COLOUR)
    names = {f"layer{i}": f"stage.{i}" for i in (1, 2, 3, 4)} | {"avgpool": "pooled", "fc": "joint"}
    with torch.no_grad():
        theirs = create_feature_extractor(models["vision"], names)(batch)
    for site, value in theirs.items():
        close(ours[site], value[:, None] if site == "joint" else flat(value))


def test_medclip_pads_films_to_a_black_square_as_its_processor_does(made: dict[str, tuple[Path, Any]]) -> None:
    from PIL import Image

    encoder = stand_in("medclip-rn50", weights=made["medclip-rn50"][0])
    tall = RNG.integers(0, 256, (401, 260), dtype=np.uint8)
    for image in (GREY, COLOUR, tall):
        picture = Image.fromarray(image)
        side = max(224, *picture.size)
        square = Image.new("L", (side, side), 0)
        square.paste(picture, (int((side - picture.size[0]) / 2), int((side - picture.size[1]) / 2)))
        grey = np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC), np.float32) / 255
        theirs = (grey - np.float32(0.5862785803043838)) / np.float32(0.27950088968644304)
        close(np.asarray(encoder.preprocess(image)), np.stack([theirs] * 3), 1e-6)


@pytest.mark.parametrize("name", ["medclip-vit", "medclip-rn50"])
def test_medclip_reads_a_sentence_the_same_whatever_stands_beside_it(
    name: str, made: dict[str, tuple[Path, Any]]
) -> None:
    import torch
    import transformers

    folder, models = made[name]
    encoder = stand_in(name, weights=folder)
    assert encoder.text is not None
    words: Any = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        hidden = models["text"](**words(["a film"], return_tensors="pt"), output_hidden_states=True).hidden_states
    expected = torch.stack([hidden[1], hidden[2], hidden[-1]]).mean(2).mean(0) @ models["projection"].T
    close(encoder.text(["a film"]), expected)
    close(encoder.text(["upright chest film with contrast", "a film"])[1:], expected)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_checkpoint_that_lacks_a_tensor_is_refused_by_its_name(
    name: str, made: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    gone: list[str] = []

    def drop(state: dict[str, Any]) -> None:
        parts = ("visual.layer2", "layers.0.0.fn.to_out", "layers.1.blocks.0.attention", "layer3.0.conv2")
        gone.append(next(k for k in state if k.endswith("weight") and any(p in k for p in parts)))
        del state[gone[0]]

    file = changed(made[name][0], name, tmp_path / "copy", drop)
    with pytest.raises(EncoderError, match=r"lack 1 tensor \(") as caught:
        stand_in(name, weights=file)
    assert gone[0].rpartition(".")[2] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_changed_tensor_changes_features_and_fingerprint(
    name: str, made: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    first = {"pmc-clip": "visual.layer1.0.bn3.bias", "radfm": "layers.0.1.fn.net.0.bias",
             "medclip-vit": "layers.0.blocks.0.output.dense.weight",
             "medclip-rn50": "layer1.0.bn3.bias"}[name]  # fmt: skip

    def perturb(state: dict[str, Any]) -> None:
        next(v for k, v in state.items() if k.endswith(first)).flatten()[0] += 0.5

    plain = stand_in(name, weights=made[name][0])
    other = stand_in(name, weights=changed(made[name][0], name, tmp_path / "copy", perturb))
    assert plain.fingerprint != other.fingerprint
    site = next(iter(plain.card.sites))
    assert not np.array_equal(tokens(plain, [site], GREY)[site], tokens(other, [site], GREY)[site])


@pytest.mark.parametrize("name", OURS)
def test_the_full_size_network_is_what_its_card_says(name: str) -> None:
    import torch

    checkpoint = checkpoints()[name]
    assert checkpoint.network is not None
    with torch.device("meta"):
        network = checkpoint.network()
    assert sum(p.numel() for p in network.parameters()) == checkpoint.card.parameters
    assert checkpoint.card.unverified
    assert checkpoint.card.licence


@pytest.mark.parametrize("name", ["pmc-clip", "medclip-vit", "medclip-rn50", "radfm"])
def test_an_untrained_encoder_has_the_sites_of_its_card(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encoders.extraction.assemble.of_module", lambda *_: "not asked for")
    for check in ("require_finite", "require_own_features"):  # of numbers that nothing was drawn for
        monkeypatch.setattr(f"encoders._loading.{check}", lambda _: None)
    with unfilled():
        untrained = encoders.load(f"random:{name}", offline=True)
    assert untrained.card.sites == encoders.card(name).sites
    assert untrained.card.parameters == encoders.card(name).parameters
    assert untrained.card.input == encoders.card(name).input


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("medclip-vit", r"fetch https://storage.googleapis.com/pytrial/medclip-vit-pretrained.zip.*--weights PATH"),
        ("medclip-rn50", r"fetch https://storage.googleapis.com/pytrial/medclip-pretrained.zip.*--weights PATH"),
    ],
)
def test_weights_that_no_hub_serves_are_asked_for_by_name(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=said):
        stand_in(name)
    with pytest.raises(EncoderError, match=r"has no pytorch_model.bin"):
        stand_in(name, weights=tmp_path)


def test_radfm_is_read_out_of_its_zip_and_not_out_of_a_part(
    made: dict[str, tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zipfile

    plain = stand_in("radfm", weights=made["radfm"][0]).fingerprint
    whole, scratch = tmp_path / "pytorch_model.zip", tmp_path / "scratch"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(made["radfm"][0] / "pytorch_model.bin", "RadFM/pytorch_model.bin")
    assert stand_in("radfm", weights=tmp_path).fingerprint == plain
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr("hub.torch_files.IN_MEMORY", 1000)  # a bigger one is laid on disk
    assert stand_in("radfm", weights=whole).fingerprint == plain
    assert not list(scratch.iterdir())
    monkeypatch.setattr("shutil.disk_usage", lambda _: __import__("types").SimpleNamespace(free=10))
    with pytest.raises(
        EncoderError, match=r"unpacks to [\d,]+ bytes and .*scratch has room for 10: unpack it"
    ) as caught:
        stand_in("radfm", weights=whole)
    assert "\n" not in str(caught.value)
    parts = tmp_path / "parts"
    parts.mkdir()
    for name in ("RadFM.z01", "RadFM.zip"):
        (parts / name).write_bytes(b"PK")
    for given in (parts, parts / "RadFM.z01", parts / "RadFM.zip"):
        with pytest.raises(EncoderError, match=r"RadFM\.z(01|ip) is a part of a zip: join the parts with `zip -s 0"):
            stand_in("radfm", weights=given)
    with pytest.raises(EncoderError, match=r"has none of pytorch_model\.bin, pytorch_model\.zip"):
        stand_in("radfm", weights=scratch)


def test_the_wrong_familys_file_is_refused_in_one_line(made: dict[str, tuple[Path, Any]]) -> None:
    for name, other, said in (
        ("medclip-vit", "medclip-rn50", "is it medclip-rn50's"),
        ("medclip-rn50", "medclip-vit", "is it medclip-vit's"),
        ("radfm", "medclip-vit", "lacks embedding_layer"),
        ("pmc-clip", "radfm", "holds no image tower of PMC-CLIP"),
    ):
        with pytest.raises(EncoderError, match=said) as caught:
            stand_in(name, weights=made[other][0] / FILES[other])
        assert "\n" not in str(caught.value)


def test_a_pickle_that_asks_to_run_something_is_not_read(tmp_path: Path) -> None:
    import torch

    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return ran.touch, ()

    for legacy in (False, True):
        torch.save({"x": Evil()}, tmp_path / "bad.pt", _use_new_zipfile_serialization=not legacy)
        with pytest.raises(EncoderError, match="asks to run"):
            stand_in("pmc-clip", weights=tmp_path / "bad.pt")
    assert not ran.exists()


def test_a_file_that_is_cut_or_is_no_checkpoint_is_one_line(made: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    whole = (made["pmc-clip"][0] / "checkpoint.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[:-500])
    (tmp_path / "text.pt").write_text("hello")
    for name, said in (("cut.pt", "not a complete weight file"), ("text.pt", "not in the format of torch.save")):
        with pytest.raises(EncoderError, match=said) as caught:
            stand_in("pmc-clip", weights=tmp_path / name)
        assert "\n" not in str(caught.value)


def pictures(*images: np.ndarray) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(image).convert("RGB") for image in images]
