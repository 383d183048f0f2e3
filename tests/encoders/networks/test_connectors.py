"""Towers and connectors that no library builds: from their own checkpoints, equal to their code written out plainly."""

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError
from encoders._registry import checkpoints
from tests import tiny_custom as tiny
from tests.hub_server import Hub, Repository, serving
from tests.stand_in_hub import stand_in

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (90, 120), dtype=np.uint8)
TALL = RNG.integers(0, 256, (401, 260, 3), dtype=np.uint8)
OPENAI = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BUILD: dict[str, Callable[[Path], Any]] = {
    "med-flamingo": tiny.med_flamingo,
    "phi-3.5-vision": tiny.phi3_vision,
    "molmo-7b-d": tiny.molmo,
    "medvint-td": tiny.medvint_td,
    "medvint-te": tiny.medvint_te,
}
REPOS = {
    "openai/clip-vit-large-patch14": "med-flamingo/clip",
    "med-flamingo/med-flamingo": "med-flamingo/flamingo",
    "microsoft/Phi-3.5-vision-instruct": "phi-3.5-vision",
    "allenai/Molmo-7B-D-0924": "molmo-7b-d",
    "xmcmic/MedVInT-TE": "medvint-te",
    "datasets/axiong/pmc_oa": "medvint-te/pmc_clip",
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext": "medvint-te/pmc_clip",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def made(root: Path) -> dict[str, Any]:
    """What is behind the tiny checkpoints under `root`, built once."""
    return {name: build(root / name) for name, build in BUILD.items()}


@pytest.fixture
def hub(root: Path, made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The repositories on loopback, and an empty cache of the client."""
    assert made
    found = {repo: Repository(folder=root / at, commit="e" * 40) for repo, at in REPOS.items()}
    with serving(Hub(repositories=found)) as running:
        running.set_client(monkeypatch.setattr, tmp_path / "hub")
        yield running


def tokens(encoder: encoders.Encoder, *images: np.ndarray) -> dict[str, np.ndarray]:
    from encoders.extraction.encode import collate

    batch = collate([encoder.preprocess(image) for image in images])
    return {site: value.numpy() for site, value in encoder.forward(batch, list(encoder.card.sites)).items()}


def close(ours: Any, theirs: Any, within: float = 1e-5) -> None:
    ours, theirs = (x.detach().numpy() if hasattr(x, "detach") else np.asarray(x) for x in (ours, theirs))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=within * max(1.0, float(np.abs(theirs).max())))


def picture(image: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(image).convert("RGB")


def linear(x: Any, state: dict[str, Any], name: str) -> Any:
    return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)


@pytest.mark.parametrize("name", [*sorted(set(BUILD) - {"medvint-td"}), "medvint-te-pmc-clip", "pmc-clip"])
def test_from_the_hub_comes_what_is_needed_and_a_second_load_asks_nothing(name: str, hub: Hub) -> None:
    encoder = stand_in(name)
    assert encoder.card.revision == "e" * 40
    assert encoder.card.repo == encoders.card(name).repo
    hub.asked.clear()
    again = stand_in(name, offline=True)
    assert again.fingerprint == encoder.fingerprint
    assert hub.asked == []
    if name == "molmo-7b-d":
        from safetensors import safe_open

        (file,) = [p for p in encoder.files if p.suffix == ".safetensors"]
        with safe_open(file, "pt") as held:
            assert all("vision_backbone" in k for k in held.keys())  # noqa: SIM118  no mapping


def test_a_text_towers_tokenizer_is_fetched_at_the_first_sentence_and_not_before(hub: Hub) -> None:
    encoder = stand_in("pmc-clip")
    assert not any("BiomedBERT" in path for path in hub.asked)
    folder = encoder.files[0].parent
    assert not (folder / "tokenizer.json").exists()
    assert encoder.text is not None
    assert encoder.text(["a chest film"]).shape == (1, 24)
    assert any("BiomedBERT" in path for path in hub.asked)
    offline = stand_in("pmc-clip", offline=True)
    assert offline.text is not None
    close(offline.text(["a chest film"]), encoder.text(["a chest film"]))


def test_med_flamingo_reads_the_last_block_before_the_norm(root: Path, made: dict[str, Any]) -> None:
    import torch
    from torchvision import transforms as t

    from tests.encoders.networks.test_towers import perceiver_written_out

    encoder = stand_in("med-flamingo", weights=root / "med-flamingo" / "both")
    apply = t.Compose(
        [t.Resize(224, t.InterpolationMode.BICUBIC), t.CenterCrop(224), t.ToTensor(), t.Normalize(*OPENAI)]
    )
    batch = torch.stack([apply(picture(image)) for image in (GREY, TALL)])
    ours = tokens(encoder, GREY, TALL)
    for image, reference in zip((GREY, TALL), batch, strict=True):
        close(encoder.preprocess(image), reference, 1e-6)
    model = made["med-flamingo"]["tower"]
    with torch.no_grad():
        out = model(batch, output_hidden_states=True)
        for i in range(3):
            close(ours[f"block.{i}"], out.hidden_states[i + 1])
        close(ours["pooled"][:, 0], out.pooler_output)
        state = made["med-flamingo"]["perceiver"]
        theirs = torch.stack([perceiver_written_out(state, one[1:]) for one in out.hidden_states[-1]])
    close(ours["connector"], theirs)
    assert encoder.card.sites["connector"].queries == 6


@pytest.mark.parametrize(("name", "crops"), [("phi-3.5-vision", 4), ("phi-3-vision", 16)])
def test_phi3_vision_equals_its_own_code_written_out(name: str, crops: int, root: Path, made: dict[str, Any]) -> None:
    import torch
    from torch.nn.functional import gelu

    encoder = stand_in(name, weights=root / "phi-3.5-vision")
    models = made["phi-3.5-vision"]
    for image in (GREY, TALL):
        pixels, (rows, columns) = phi3_images(picture(image), crops)
        close(encoder.preprocess(image)["pixels"], pixels, 1e-5)
        ours = tokens(encoder, image)
        with torch.no_grad():
            out = models["tower"](pixels, output_hidden_states=True)
            patches = out.hidden_states[-2][:, 1:].reshape(-1, 24, 24, 32)
            table = {}  # where a joined token lies among all rows and columns of tiles
            for n, tile in enumerate(patches[1:]):
                for y in range(12):
                    for x in range(12):
                        joined = tile[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].reshape(-1)
                        table[12 * (n // columns) + y, 12 * (n % columns) + x] = joined
            merged = [table[y, x] for y in range(12 * rows) for x in range(12 * columns)]
            merged += [
                patches[0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].reshape(-1) for y in range(12) for x in range(12)
            ]
            inner = gelu(linear(torch.stack(merged), models["rest"], "img_projection.0"))
            close(ours["connector"][0], linear(inner, models["rest"], "img_projection.2"))
        for i in range(3):
            close(ours[f"block.{i}"][0], out.hidden_states[i + 1].flatten(0, 1))
        close(ours["pooled"][0], out.pooler_output[:1])
        fits(encoder, image, ours)


def phi3_images(image: Any, crops: int) -> tuple[Any, tuple[int, int]]:
    """The published processor: scale, pad with white, cut, and one small copy of the whole."""
    import torch
    from PIL import Image
    from torchvision import transforms as t
    from torchvision.transforms import functional

    turned = image.width < image.height
    image = image.transpose(Image.Transpose.TRANSPOSE) if turned else image
    ratio, scale = image.width / image.height, 1
    while scale * np.ceil(scale / ratio) <= crops:
        scale += 1
    wide = (scale - 1) * 336
    image = functional.resize(image, [int(wide / ratio), wide])
    tall = int(np.ceil(image.height / 336) * 336)
    top = int((tall - image.height) / 2)
    image = functional.pad(image, [0, top, 0, tall - image.height - top], fill=[255, 255, 255])
    image = image.transpose(Image.Transpose.TRANSPOSE) if turned else image
    pixels = t.Compose([t.ToTensor(), t.Normalize(*OPENAI)])(image)
    rows, columns = pixels.shape[1] // 336, pixels.shape[2] // 336
    cut = pixels.reshape(3, rows, 336, columns, 336).permute(1, 3, 0, 2, 4).reshape(-1, 3, 336, 336)
    whole = torch.nn.functional.interpolate(pixels[None], size=(336, 336), mode="bicubic")
    return torch.cat([whole, cut]), (rows, columns)


def fits(encoder: encoders.Encoder, image: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """The layout of an image counts the tokens that are there."""
    assert encoder.layout is not None
    for name, site in encoder.layout(encoder.preprocess(image)).items():
        grids = [view.grid for view in site.views] or ([site.grid] if site.grid else [])
        expected = sum(site.prefix + math.prod(grid) for grid in grids) or site.queries or 1
        assert found[name].shape[1:] == (expected, site.width), name


@pytest.mark.parametrize("image", [GREY, TALL, RNG.integers(0, 256, (300, 900), dtype=np.uint8)])
def test_molmo_equals_its_own_code_written_out(image: np.ndarray, root: Path, made: dict[str, Any]) -> None:
    import torch
    from torch.nn.functional import silu

    encoder = stand_in("molmo-7b-d", weights=root / "molmo-7b-d")
    pixels, shares, order = molmo(np.asarray(picture(image)))
    prepared = encoder.preprocess(image)
    close(prepared["pixels"], pixels, 1e-5)
    close(prepared["filled"], shares, 1e-6)
    ours, rest = tokens(encoder, image), made["molmo-7b-d"]["rest"]
    with torch.no_grad():
        states = made["molmo-7b-d"]["tower"](pixels, output_hidden_states=True).hidden_states
        patches = torch.cat([states[-2], states[-9]], dim=-1)[:, 1:]
        empty = shares == 0
        partly = (shares < 1) & ~empty
        patches = patches + rest["pad_embed"][0] * empty[..., None] + rest["pad_embed"][1] * partly[..., None]
        patches = patches.reshape(-1, 12, 2, 12, 2, 64).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, 64)
        q = linear(patches.mean(1, keepdim=True), rest, "image_pooling_2d.wq")
        k, v = (linear(patches, rest, f"image_pooling_2d.{w}") for w in ("wk", "wv"))
        pooled = linear((q @ k.transpose(1, 2) * 32**-0.5).softmax(-1) @ v, rest, "image_pooling_2d.wo")[:, 0]
        gated = silu(linear(pooled, rest, "image_projector.w1")) * linear(pooled, rest, "image_projector.w3")
        each = linear(gated, rest, "image_projector.w2")
        placed = torch.full((int(order.max()) + 1, 18), torch.nan)
        placed[order[order >= 0]] = each[order >= 0]
    close(ours["connector"][0], placed)
    for i in range(10):
        close(ours[f"block.{i}"][0], states[i + 1].flatten(0, 1))
    fits(encoder, image, ours)


def molmo(image: np.ndarray) -> tuple[Any, Any, Any]:
    """The published processor: crops, the shares of image in their patches, and the place of every pooled token."""
    import torch

    tilings = sorted(
        ((i, j) for i in range(1, 13) for j in range(1, 13) if i * j <= 12), key=lambda t: (t[0] * t[1], t[0])
    )
    size = np.stack([image.shape[0] - 112, image.shape[1] - 112], dtype=np.float32)
    required = np.min(np.array(tilings, np.int32).astype(np.float32) * 224 / size, axis=-1)
    best = np.argmax(required) if np.all(required < 1) else np.argmin(np.where(required < 1.0, 10e9, required))
    rows, columns = tilings[int(best)]
    source, mask = molmo_resized(image, [rows * 224 + 112, columns * 224 + 112])
    crops, shares, orders, on = [molmo_resized(image, [336, 336])[0]], [], [], 0
    for i in range(rows):
        for j in range(columns):
            crops.append(source[i * 224 : i * 224 + 336, j * 224 : j * 224 + 336])
            part = mask[i * 224 : i * 224 + 336, j * 224 : j * 224 + 336].reshape(24, 14, 24, 14)
            shares.append(part.transpose(0, 2, 1, 3).reshape(576, 196).astype(np.float32).mean(-1))
            y, x = (0 if n == 0 else 2 for n in (i, j))
            high = (16 + 4 * (i == 0) + 4 * (i == rows - 1)) // 2
            wide = (16 + 4 * (j == 0) + 4 * (j == columns - 1)) // 2
            numbered = np.arange(on, on + high * wide).reshape(high, wide)
            orders.append(np.pad(numbered, [[y, 12 - high - y], [x, 12 - wide - x]], constant_values=-1))
            on += high * wide
    order = np.stack(orders).reshape(-1)
    raster = np.stack(orders).reshape(rows, columns, 12, 12).transpose(0, 2, 1, 3).reshape(-1)
    place = np.empty(on, np.int64)
    place[raster[raster >= 0]] = np.arange(on)
    order = np.where(order >= 0, place[order] + 144, -1)
    padded = np.pad(np.stack(shares), [[0, 1], [0, 0]], constant_values=-1)
    return (
        torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2),
        torch.from_numpy(padded),
        torch.from_numpy(np.concatenate([np.arange(144), order])),
    )


def molmo_resized(image: np.ndarray, size: list[int]) -> tuple[np.ndarray, np.ndarray]:
    import torch
    from torchvision.transforms import InterpolationMode, Resize
    from torchvision.transforms.functional import convert_image_dtype

    height, width = image.shape[:2]
    scale = min(np.array(s, np.float32) / np.array(n, np.float32) for s, n in zip(size, (height, width), strict=True))
    tall, wide = (int(np.array(n, np.float32) * scale) for n in (height, width))
    pixels = convert_image_dtype(torch.from_numpy(image.copy()).permute(2, 0, 1))
    small = Resize([tall, wide], InterpolationMode.BILINEAR, antialias=True)(pixels).clip(0, 1).permute(1, 2, 0).numpy()
    top, left = (size[0] - tall) // 2, (size[1] - wide) // 2
    pad = [[top, size[0] - tall - top], [left, size[1] - wide - left]]
    mask = np.pad(np.ones((tall, wide), bool), pad)
    return (np.pad(small, [*pad, [0, 0]]) - np.array(OPENAI[0], np.float32)) / np.array(OPENAI[1], np.float32), mask


def test_tiles_and_crops_lie_where_their_pixels_came_from(root: Path, made: dict[str, Any]) -> None:
    """An image bright in one quarter: the views that lie in the other quarters alone see none of it."""
    assert made
    bright = np.zeros((672, 672, 3), np.uint8)
    bright[:336, :336] = 255
    for name in ("molmo-7b-d", "phi-3.5-vision"):
        encoder = stand_in(name, weights=root / name)
        assert encoder.layout is not None
        prepared = encoder.preprocess(bright)
        views = encoder.layout(prepared)["block.0"].views
        assert len(views) == len(prepared["pixels"]) >= 5
        for view, pixels in zip(views, prepared["pixels"], strict=True):
            top, left, bottom, right = view.box
            share = max(0, min(bottom, 0.5) - max(top, 0)) * max(0, min(right, 0.5) - max(left, 0))
            area = (bottom - top) * (right - left)
            seen = float((pixels[0] > 0).float().mean())
            assert seen == pytest.approx(share / area, abs=0.02), (name, view)


@pytest.mark.parametrize("name", ["molmo-7b-d", "phi-3.5-vision"])
def test_images_of_every_shape_go_in_together(name: str, root: Path, made: dict[str, Any]) -> None:
    assert made
    encoder = stand_in(name, weights=root / name)
    wanted = {"block.1": ["cls", "mean", "halves", "grid3"], "connector": ["mean", "grid3"]}
    both = encoders.encode(encoder, [GREY, TALL, GREY[:, ::-1].copy()], wanted)
    for i, image in enumerate((GREY, TALL)):
        alone = encoders.encode(encoder, [image], wanted)
        for point, vectors in alone.items():
            close(vectors[0], both[point][i])


def test_medvint_td_equals_its_own_code_written_out(root: Path, made: dict[str, Any]) -> None:
    import torch
    from torch.nn.functional import relu

    encoder = stand_in("medvint-td", weights=root / "medvint-td")
    batch = torch.stack([medvint_image(image) for image in (GREY, TALL)])
    for image, reference in zip((GREY, TALL), batch, strict=True):
        close(encoder.preprocess(image), reference, 1e-6)
    ours, models = tokens(encoder, GREY, TALL), made["medvint-td"]
    with torch.no_grad():
        middle = models["trunk"].forward_intermediates(
            batch, indices=[1, 2, 3], stop_early=True, intermediates_only=True
        )
        maps = [one.flatten(2).transpose(1, 2) for one in middle["image_intermediates"]]
        for i in (1, 2, 3):
            close(ours[f"stage.{i}"], maps[i - 1])
        x = models["rest"]["query_embed.weight"].expand(2, -1, -1)
        for layer in models["decoder"].layers:
            own = layer.norm1(x)
            x = x + layer.self_attn(own, own, own)[0]
            x = x + layer.multihead_attn(layer.norm2(x), maps[2], maps[2])[0]
            x = x + layer.linear2(relu(layer.linear1(layer.norm3(x))))
        x = models["decoder"].norm(x)
        theirs = linear(relu(linear(x, models["rest"], "fc_l1")), models["rest"], "fc_l2")
    close(ours["connector"], theirs)


def medvint_image(image: np.ndarray) -> Any:
    from torchvision import transforms as t

    resize = t.Resize((512, 512), t.InterpolationMode.BICUBIC)
    return t.Compose([resize, t.ToTensor(), t.Normalize(*IMAGENET)])(picture(image))


def test_medvint_te_equals_its_own_code_written_out(root: Path, made: dict[str, Any]) -> None:
    import torch
    from torch.nn.functional import relu

    encoder = stand_in("medvint-te", weights=root / "medvint-te")
    models = made["medvint-te"]
    ours, rest = tokens(encoder, GREY, TALL), models["rest"]
    with torch.no_grad():
        maps = medvint_stages(models["trained"], torch.stack([medvint_image(image) for image in (GREY, TALL)]))
        for i in (1, 2, 3, 4):
            close(ours[f"stage.{i}"], maps[i - 1].flatten(2).transpose(1, 2))
        read = linear(maps[3].flatten(2).transpose(1, 2), rest, "image_embed.0").transpose(0, 1)
        x = rest["qformer_query"][:, None].expand(-1, 2, -1)
        for layer in models["decoder"].layers:
            own = layer.norm1(x)
            x = x + layer.self_attn(own, own, own)[0]
            x = x + layer.multihead_attn(layer.norm2(x), read, read)[0]
            x = x + layer.linear2(relu(layer.linear1(layer.norm3(x))))
    close(ours["pooled"][:, 0], maps[3].mean((2, 3)))
    close(ours["connector"], models["decoder"].norm(x).transpose(0, 1))
    assert encoder.card.sites["connector"].queries == 6
    (file,) = encoder.files
    assert stand_in("medvint-te", weights=file).fingerprint == encoder.fingerprint


def medvint_stages(visual: Any, batch: Any) -> list[Any]:
    x, found = visual.stem(batch), []
    for i in (1, 2, 3, 4):
        x = getattr(visual, f"layer{i}")(x)
        found.append(x)
    return found


def test_the_tower_before_medvint_te_is_pmc_clips_over_large_images(root: Path, made: dict[str, Any]) -> None:
    import torch

    encoder = stand_in("medvint-te-pmc-clip", weights=root / "medvint-te")
    ours = tokens(encoder, TALL)
    with torch.no_grad():
        maps = medvint_stages(made["medvint-te"]["visual"], medvint_image(TALL)[None])
    for i in (1, 2, 3, 4):
        close(ours[f"stage.{i}"], maps[i - 1].flatten(2).transpose(1, 2))
    close(ours["pooled"][:, 0], maps[3].mean((2, 3)))
    assert encoder.card.sites["stage.4"].grid == (16, 16)
    assert "connector" not in encoder.card.sites
    for folder in ("medvint-te/pmc_clip", "medvint-te/pmc_clip/checkpoint.pt"):
        again = stand_in("medvint-te-pmc-clip", weights=root / folder)
        assert again.fingerprint == encoder.fingerprint
    trained = stand_in("medvint-te", weights=root / "medvint-te")
    assert not np.allclose(tokens(trained, TALL)["pooled"], ours["pooled"], atol=1e-3)


WHERE = {
    "med-flamingo": ("both", "perceiver.layers.0.0.to_kv.weight", "vision_model.encoder.layers.1.mlp.fc2.weight"),
    "phi-3.5-vision": ("", "img_projection.2.weight", "encoder.layers.1.mlp.fc2.weight"),
    "molmo-7b-d": ("", "image_pooling_2d.wo.weight", "resblocks.1.feed_forward.w2.weight"),
    "medvint-td": ("", "decoder.layers.1.linear2.weight", "vision_model.11.0.conv2.weight"),
    "medvint-te": (
        "VQA_lora_pmcclip/vqa/checkpoint-13500", "qformer_decoder.layers.1.linear2.weight",
        "visual.layer4.0.conv3.weight",
    ),
    "medvint-te-pmc-clip": ("pmc_clip", "visual.layer2.0.conv2.weight", "visual.layer4.0.conv3.weight"),
}  # fmt: skip
HOME = {"medvint-te-pmc-clip": "medvint-te"}  # the folder under `root`, where it is not the name


def changed(folder: Path, ending: str, change: Callable[[dict[str, Any], str], None]) -> None:
    """Change the tensor with that ending in whichever file of `folder` holds it."""
    import json

    import torch
    from safetensors.torch import load_file, save_file

    for file in sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".pt")):
        loose = file.suffix != ".safetensors"
        whole: dict[str, Any] = torch.load(file, weights_only=False) if loose else load_file(file)
        state = whole.get("state_dict", whole)
        name = next((k for k in state if k.endswith(ending)), None)
        if name is None:
            continue
        change(state, name)
        torch.save(whole, file) if loose else save_file(state, file, metadata={"format": "pt"})
        index = folder / "model.safetensors.index.json"
        if name not in state and index.exists():
            told = json.loads(index.read_text())
            del told["weight_map"][name]
            index.write_text(json.dumps(told))
        return
    raise AssertionError(ending)


@pytest.mark.parametrize("name", sorted(WHERE))
@pytest.mark.parametrize("part", [0, 1])
def test_a_checkpoint_that_lacks_a_tensor_is_refused(
    name: str, part: int, root: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    assert made
    sub, *endings = WHERE[name]
    shutil.copytree(root / HOME.get(name, name) / sub, tmp_path / "copy")
    changed(tmp_path / "copy", endings[part], dict.__delitem__)
    with pytest.raises(EncoderError, match=r"lack 1 tensor \(|lacks ") as caught:
        stand_in(name, weights=tmp_path / "copy")
    assert "\n" not in str(caught.value)
    assert ".".join(endings[part].split(".")[-3:]) in str(caught.value)


@pytest.mark.parametrize("name", sorted(WHERE))
def test_one_changed_tensor_changes_features_and_fingerprint(
    name: str, root: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    assert made
    sub, ending, _ = WHERE[name]
    shutil.copytree(root / HOME.get(name, name) / sub, tmp_path / "copy")
    changed(tmp_path / "copy", ending, lambda state, key: state.update({key: state[key] + 0.1}))
    folders = (root / HOME.get(name, name) / sub, tmp_path / "copy")
    plain, other = (stand_in(name, weights=folder) for folder in folders)
    assert plain.fingerprint != other.fingerprint
    last = list(plain.card.sites)[-1]
    assert not np.array_equal(tokens(plain, GREY)[last], tokens(other, GREY)[last])


SIZES = {  # millions of parameters: tower, connector
    "med-flamingo": (303.2, 63.0), "phi-3.5-vision": (303.5, 22.0), "phi-3-vision": (303.5, 22.0),
    "molmo-7b-d": (290.9, 114.0), "molmo-7b-o": (290.9, 75.0), "molmo-72b": (290.9, 310.1),
    "medvint-td": (8.6, 131.3), "medvint-te": (23.5, 72.5), "medvint-te-pmc-clip": (23.5, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SIZES))
def test_the_full_size_network_is_what_its_card_says(name: str) -> None:
    import torch

    checkpoint = checkpoints()[name]
    assert checkpoint.network is not None
    with torch.device("meta"):
        network = checkpoint.network()
    count = sum(p.numel() for p in network.parameters())
    assert count == checkpoint.card.parameters
    assert count / 1e6 == pytest.approx(sum(SIZES[name]), abs=0.2)
    assert checkpoint.card.unverified


@pytest.mark.parametrize("name", ["phi-3.5-vision", "phi-3-vision", "molmo-7b-d", "molmo-72b"])
def test_the_cards_sites_are_those_of_a_square_image_at_full_size(name: str) -> None:
    """On the meta device: what the layout says of a square image is what the card says."""
    import torch

    from encoders.networks import molmo, phi3_vision

    card = encoders.card(name)
    assert card.input is not None
    if name.startswith("molmo"):
        width = card.sites["connector"].width
        block, connector = molmo.layout((512, 512), 1024, width)
        assert (len(card.sites), card.sites["block.22"], card.sites["connector"]) == (24, block, connector)
        return
    prepared = phi3_vision._preprocess(card.input, 4 if "3.5" in name else 16)(np.zeros((512, 512), np.uint8))
    network = checkpoints()[name].network
    assert network is not None
    with torch.device("meta"):
        module = network()
    side = int(prepared["tiling"][0])
    assert card.sites["connector"].views[0].grid == (12 * side, 12 * side)
    assert len(card.sites["block.23"].views) == len(prepared["pixels"])
    assert card.sites["connector"].width == module.connector.img_projection[2].out_features


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("medvint-td", r"experiments.fetch medvint-td --out DIR.*--weights.*hf download xmcmic/MedVInT-TD"),
        ("med-flamingo", r"has no model.pt.*hf download med-flamingo/med-flamingo --local-dir DIR.*clip-vit-large"),
        ("molmo-7b-d", r"has none of model.safetensors"),
        ("phi-3.5-vision", r"has none of model.safetensors"),
        ("medvint-te", r"has no VQA_lora_pmcclip/vqa/checkpoint-13500/pytorch_model.bin; give a snapshot of xmcmic"),
        ("medvint-te-pmc-clip", r"has no pmc_clip/checkpoint.pt"),
    ],
)
def test_an_empty_folder_is_told_what_it_needs(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=said) as caught:
        stand_in(name, weights=None if name == "medvint-td" else tmp_path)
    assert "\n" not in str(caught.value)


def test_another_models_folder_is_refused_in_one_line(root: Path, made: dict[str, Any]) -> None:
    assert made
    for name, other in (
        ("molmo-7b-d", "phi-3.5-vision"),
        ("phi-3.5-vision", "molmo-7b-d"),
        ("medvint-td", "medvint-te/pmc_clip/checkpoint.pt"),
        ("medvint-te", "medvint-te/pmc_clip/checkpoint.pt"),
    ):
        with pytest.raises(EncoderError, match=r"another model's weights|lacks? ") as caught:
            stand_in(name, weights=root / other)
        assert "\n" not in str(caught.value)
