"""Encoders keep their contract: names, cards, readouts, hooks, precision, controls and users' own files."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import encoders
from encoders import Card, EncoderError, Input, Site, UnknownName
from encoders.extraction.pooling import matrix, shares
from tests.full_size import unfilled
from tests.paths import ROOT

PLAIN = Input(
    size=(32, 32), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bilinear",
    backend="pillow",
)  # fmt: skip


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def every(encoder: encoders.Encoder) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for site, readout, _ in encoders.points(encoder.card):
        wanted.setdefault(site, []).append(readout)
    return wanted


# names and cards


def test_names_and_cards_import_no_heavy_library() -> None:
    program = (
        "import sys, encoders\n"
        "for name in encoders.names():\n"
        "    encoders.points(encoders.card(name)), encoders.card('random:' + name)\n"
        "heavy = ('torch', 'timm', 'open_clip', 'transformers', 'scipy', 'PIL', 'huggingface_hub')\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_controls_import_no_torch() -> None:
    program = (
        "import sys, encoders, numpy as np\n"
        "for name in ('pixels', 'lowlevel'):\n"
        "    encoders.encode(encoders.load(name), [np.zeros((9, 7), np.uint8)], {'pooled': ['vector']})\n"
        "print([m for m in ('torch', 'timm', 'scipy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", encoders.names())
def test_a_card_says_where_it_can_be_read_and_under_which_licence(name: str) -> None:
    card = encoders.card(name)
    assert card.name == name
    assert card.licence != "unknown"
    assert card.sites
    assert card.revision is None or len(card.revision) == 40
    assert len({(s, r) for s, r, _ in encoders.points(card)}) == len(encoders.points(card))


def test_an_unknown_name_gets_the_nearest_and_the_way_to_list_them() -> None:
    with pytest.raises(UnknownName, match=r"no encoder 'biomedclp'; did you mean 'biomedclip'\?.*experiments\.list"):
        encoders.load("biomedclp")
    with pytest.raises(
        UnknownName, match=r"timm has no model 'vit_bse_patch16_224'; did you mean 'vit_base_patch16_224'"
    ):
        encoders.load("random:timm:vit_bse_patch16_224")
    with pytest.raises(UnknownName, match=r"open_clip has no model 'ViT-B16'; did you mean 'ViT-B-16'"):
        encoders.load("random:open_clip:ViT-B16")
    with pytest.raises(UnknownName, match="names nothing behind the colon"):
        encoders.card("timm:")
    with pytest.raises(UnknownName, match="no untrained draw"):
        encoders.load("random:pixels")


def test_what_cannot_be_done_is_refused_and_not_replaced() -> None:
    with pytest.raises(EncoderError, match="float16 on a CPU is slower"):
        encoders.load("pixels", dtype="float16")
    with pytest.raises(EncoderError, match="float32 only, not bfloat16"):
        encoders.load("pixels", dtype="bfloat16")
    with pytest.raises(EncoderError, match="'float8' is not one of float32"):
        encoders.load("pixels", dtype="float8")
    with pytest.raises(EncoderError, match="has no weights, so --weights"):
        encoders.load("pixels", weights=ROOT / "README.md")
    with pytest.raises(EncoderError, match="does not exist"):
        encoders.load("clip-b16", weights="/nowhere/at/all")
    with pytest.raises(EncoderError, match="names no weights: give open_clip:ViT-B-32/TAG"):
        encoders.load("open_clip:ViT-B-32")
    with pytest.raises(EncoderError, match=r"trained with QuickGELU.*try open_clip:ViT-B-32-quickgelu/openai"):
        encoders.load("open_clip:ViT-B-32/openai", weights=ROOT / "README.md")


def test_a_missing_gpu_is_an_error() -> None:
    import torch

    with pytest.raises(EncoderError, match=r"torch sees .* CUDA devices"):
        encoders.load("pixels", device=f"cuda:{torch.cuda.device_count()}")


# readouts


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_pooling_rows_are_exact_area_means(h: int, w: int, prefix: int) -> None:
    site = Site(width=1, grid=(h, w), prefix=prefix, cls=prefix > 0)
    fine = np.kron(np.arange(h * w).reshape(h, w), np.ones((6, 6)))  # six sub-cells per cell divide by 2 and 3
    tokens = np.concatenate([np.full(prefix, 1e6), np.arange(h * w)])
    halves = [fine[:, : 3 * w], fine[:, 3 * w :], fine[: 3 * h], fine[3 * h :]]
    np.testing.assert_allclose(matrix(site, "halves") @ tokens, [x.mean() for x in halves], rtol=1e-5, atol=1e-3)
    thirds = [fine[2 * h * i : 2 * h * (i + 1), 2 * w * j : 2 * w * (j + 1)].mean() for i in range(3) for j in range(3)]
    np.testing.assert_allclose(matrix(site, "grid3") @ tokens, thirds, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(matrix(site, "mean") @ tokens, [fine.mean()], rtol=1e-5, atol=1e-3)


def test_a_grid_that_divides_is_averaged_by_whole_cells_only() -> None:
    assert set(np.unique(shares(12, 3))) == {0.0, 0.25}


def test_a_mirrored_grid_swaps_left_and_right_and_keeps_the_mean() -> None:
    site = Site(width=2, grid=(5, 7))
    tokens = np.random.default_rng(0).normal(size=(5, 7, 2)).astype(np.float32)
    here = matrix(site, "halves") @ tokens.reshape(35, 2)
    there = matrix(site, "halves") @ tokens[:, ::-1].reshape(35, 2)
    np.testing.assert_allclose(there, here[[1, 0, 2, 3]], atol=1e-6)
    assert not np.allclose(here[0], here[1])


# one pass


class Tiny:
    """A small vision transformer of timm, random in every parameter."""

    @staticmethod
    def model() -> Any:
        import timm

        from tests.stand_in_hub import randomise

        return randomise(
            timm.create_model("vit_tiny_patch16_224", depth=3, num_classes=0, class_token=True, reg_tokens=2)
        )


@pytest.fixture(scope="module")
def tiny() -> encoders.Encoder:
    from encoders.libraries.timm.load import encoder

    return encoder(Card(name="tiny"), Tiny.model(), "cpu", ())


def test_every_site_and_readout_equals_the_library_in_one_pass(tiny: encoders.Encoder) -> None:
    import timm
    import torch
    from PIL import Image

    model, images = Tiny.model(), [noise(60, 90), noise(300, 200, 3, seed=1)]
    config = timm.data.resolve_model_data_config(model)  # pyright: ignore[reportAttributeAccessIssue]
    apply = timm.data.create_transform(**config, is_training=False)  # pyright: ignore[reportAttributeAccessIssue]
    batch = torch.stack([apply(Image.fromarray(image).convert("RGB")) for image in images])  # pyright: ignore
    calls: list[int] = []
    handle = tiny.module.patch_embed.register_forward_hook(lambda *_: calls.append(1))
    found = encoders.encode(tiny, images, every(tiny))
    handle.remove()
    assert len(calls) == 1
    with torch.no_grad():
        layers = model.forward_intermediates(batch, output_fmt="NLC", return_prefix_tokens=True)[1]
        features = model.forward_features(batch)
    for i, (patches, prefix) in enumerate(layers):
        np.testing.assert_array_equal(found[f"block.{i}/cls"], prefix[:, 0])
        np.testing.assert_allclose(found[f"block.{i}/mean"], patches.mean(1), atol=1e-6)
        map_ = patches.reshape(2, 14, 14, -1)
        quarters = [map_[:, :, :7], map_[:, :, 7:], map_[:, :7], map_[:, 7:]]
        halves = torch.cat([part.mean((1, 2)) for part in quarters], dim=1)
        np.testing.assert_allclose(found[f"block.{i}/halves"], halves, atol=1e-6)
    np.testing.assert_array_equal(found["final/cls"], features[:, 0])
    np.testing.assert_array_equal(found["pooled/vector"], model.forward_head(features, pre_logits=True).detach())


def test_hooks_change_nothing_for_later_blocks(tiny: encoders.Encoder) -> None:
    alone = encoders.encode(tiny, [noise(50, 50)], {"block.2": ["cls"]})
    together = encoders.encode(tiny, [noise(50, 50)], every(tiny))
    np.testing.assert_array_equal(alone["block.2/cls"], together["block.2/cls"])


def test_a_later_operation_in_place_does_not_reach_what_was_read() -> None:
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(inplace=True))
    encoder = encoders.from_module(Card(name="x"), module, PLAIN, {"stage.1": "0", "final": "1"})
    batch = torch.randn(1, 3, 32, 32)
    found = encoder.forward(batch, ["stage.1", "final"])
    assert float(found["stage.1"].min()) < 0 <= float(found["final"].min())
    pooled = encoders.encode(encoder, [noise(32, 32)], {"stage.1": ["mean"], "final": ["mean"]})
    assert (pooled["stage.1/mean"] < pooled["final/mean"]).any()


def test_gradients_reach_the_image_only_when_asked(tiny: encoders.Encoder) -> None:
    import torch

    batch = torch.zeros(1, 3, 224, 224, requires_grad=True)
    tokens = tiny.forward(batch, ["block.1"], grad=True)["block.1"]
    tokens[0, 3, 0].backward()
    assert batch.grad is not None
    assert float(batch.grad.abs().sum()) > 0
    assert not tiny.forward(batch, ["block.1"])["block.1"].requires_grad


def test_an_unknown_site_or_readout_names_the_nearest(tiny: encoders.Encoder) -> None:
    with pytest.raises(EncoderError, match=r"no site 'block.7'; did you mean 'block\.[012]'\?"):
        encoders.encode(tiny, [noise(50, 50)], {"block.7": ["cls"]})
    with pytest.raises(EncoderError, match=r"no readout 'halfs'; did you mean 'halves'"):
        encoders.encode(tiny, [noise(50, 50)], {"final": ["halfs"]})
    with pytest.raises(EncoderError, match=r"nothing at site 'blok\.1'; did you mean 'block\.1'"):
        tiny.forward(np.zeros((1, 3, 224, 224), np.float32), ["blok.1"])
    with pytest.raises(EncoderError, match="takes uint8 images"):
        encoders.encode(tiny, [np.zeros((5, 5), np.float32)], {"final": ["cls"]})


def test_bfloat16_is_admitted_where_it_agrees_and_has_its_own_identity(tiny: encoders.Encoder) -> None:
    from encoders.extraction.precision import lowered

    low = lowered(tiny, "bfloat16")
    wanted = {"block.0": ["cls", "mean"], "pooled": ["vector"]}
    found, exact = (encoders.encode(e, [noise(50, 50)], wanted) for e in (low, tiny))
    assert low.fingerprint != tiny.fingerprint
    assert found["block.0/mean"].dtype == np.float32
    assert 0 < np.abs(found["pooled/vector"] - exact["pooled/vector"]).max() < 0.2


def test_bfloat16_that_departs_is_refused() -> None:
    import torch

    from encoders.extraction.precision import lowered

    class Cancelling(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
            self.b.load_state_dict(self.a.state_dict())
            with torch.no_grad():
                self.b.weight += 1e-5 * torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
            self.out = torch.nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.flatten(2)[:, :, :8].mean(1)
            return self.out(self.a(x) - self.b(x))

    encoder = encoders.from_module(Card(name="cancelling"), Cancelling(), PLAIN, {"pooled": "out"})
    with pytest.raises(EncoderError, match=r"in bfloat16 departs from float32 at 'pooled'.*use --dtype float32"):
        encoders.encode(lowered(encoder, "bfloat16"), [noise(40, 40)], {"pooled": ["vector"]})


def test_the_fingerprint_sees_a_tensor_a_buffer_and_what_is_no_tensor() -> None:
    import torch

    def made(epsilon: float = 1e-5, mean: float = 0.0, weight: float = 1.0) -> str:
        norm = torch.nn.BatchNorm2d(3, eps=epsilon)
        norm.running_mean += mean  # pyright: ignore[reportOperatorIssue]
        norm.weight.data *= weight
        return encoders.from_module(Card(name="x"), torch.nn.Sequential(norm), PLAIN, {"final": "0"}).fingerprint

    assert made() == made()
    assert len({made(), made(epsilon=1e-3), made(mean=0.1), made(weight=1.1)}) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"size": (32, 24)}, {"resize": "shortest"}, {"crop": "center"}, {"mean": (0.5, 0.5, 0.4)},
        {"std": (0.5, 0.5, 0.4)}, {"interpolation": "bicubic"}, {"backend": "timm"}, {"edge": 40},
    ],
    ids=str,
)  # fmt: skip
def test_the_fingerprint_sees_the_preprocessing(change: dict[str, Any]) -> None:
    """The same tensors behind another transform give other features, which a store must not mix with these."""
    from dataclasses import replace

    import torch

    def made(spec: Input, note: str = "") -> str:
        module = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
        return encoders.from_module(Card(name="x", note=note), module, spec, {"final": "0"}).fingerprint

    assert made(replace(PLAIN, **change)) != made(PLAIN)
    assert made(PLAIN, note="another word") == made(PLAIN)


# images


@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("shape", [(37, 91), (91, 37, 3), (64, 64), (20, 20, 3)])
def test_the_plain_transform_equals_torchvision(resize: str, shape: tuple[int, ...]) -> None:
    from dataclasses import replace

    import torch
    from PIL import Image
    from torchvision.transforms import v2

    from encoders.extraction.images import transform

    spec = replace(PLAIN, resize=resize, crop="center" if resize == "shortest" else None, interpolation="bicubic")
    size = 32 if resize == "shortest" else (32, 32)
    theirs = v2.Compose([
        v2.Resize(size, interpolation=v2.InterpolationMode.BICUBIC), v2.CenterCrop(32), v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.5,) * 3, (0.5,) * 3),
    ])  # fmt: skip
    image = noise(*shape)
    np.testing.assert_allclose(transform(spec)(image), theirs(Image.fromarray(image).convert("RGB")).numpy(), atol=1e-6)


# untrained encoders


def test_an_untrained_twin_is_the_same_every_time_and_another_with_another_seed() -> None:
    import torch

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (
        encoders.load(s) for s in ("random:phantom-clip", "random:phantom-clip", "random:phantom-clip#1")
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.fingerprint == same.fingerprint != other.fingerprint
    image = [noise(140, 140)]
    a, b, c = (encoders.encode(e, image, {"final": ["mean"]})["final/mean"] for e in (one, same, other))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)


@pytest.mark.parametrize("name", ["biomedclip", "dinov2-b14", "siglip-b16", "phantom-clip"])
def test_the_static_card_is_what_the_real_architecture_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encoders.extraction.assemble.of_module", lambda *_: "not asked for")
    for check in ("require_finite", "require_own_features"):  # of numbers that nothing was drawn for
        monkeypatch.setattr(f"encoders._loading.{check}", lambda _: None)
    with unfilled():
        loaded = encoders.load(f"random:{name}").card
    assert loaded.sites == encoders.card(name).sites
    assert loaded.input == encoders.card(name).input


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_stages_of_a_network_are_maps_in_raster_order(model: str) -> None:
    import torch

    encoder = encoders.load(f"random:timm:{model}")
    batch = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    found = encoder.forward(batch, list(encoder.card.sites))
    with torch.no_grad():
        maps = encoder.module.forward_intermediates(batch, intermediates_only=True)
    for i, theirs in enumerate(maps, 1):
        site = encoder.card.sites[f"stage.{i}"]
        assert site.grid == tuple(theirs.shape[2:])
        torch.testing.assert_close(found[f"stage.{i}"].clone(), theirs.flatten(2).transpose(1, 2), atol=1e-6, rtol=0)


def test_timm_weights_from_a_file_are_loaded_whole_or_not_at_all(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    from tests.stand_in_hub import randomise

    model = randomise(timm.create_model("resnet10t", num_classes=7))
    file = tmp_path / "mine.safetensors"
    save_file(model.state_dict(), file)
    encoder = encoders.load("timm:resnet10t", weights=file)
    np.testing.assert_array_equal(encoder.module.layer1[0].conv1.weight.numpy(), model.layer1[0].conv1.weight.detach())
    state = dict(model.state_dict())
    del state["layer2.0.conv1.weight"]
    save_file(state, file)
    with pytest.raises(EncoderError, match=r"lack 1 tensor \(layer2\.0\.conv1\.weight\)"):
        encoders.load("timm:resnet10t", weights=file)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(EncoderError, match="not a complete weight file"):
        encoders.load("timm:resnet10t", weights=file)


# phantom-clip's path


def test_a_half_precision_folder_is_read_offline_with_its_own_tokenizer(tmp_path: Path) -> None:
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    from tests.stand_in_hub import NATIVE, open_clip_folder

    model = open_clip_folder(tmp_path / "w", NATIVE, half=True)
    encoder = encoders.load("phantom-clip", weights=tmp_path / "w", offline=True, other_weights=True)
    assert not encoder.card.synthetic  # which holds for phantom-clip's own weights
    assert encoder.module.visual.conv1.weight.dtype == torch.float32
    image = noise(80, 70)
    apply = image_transform_v2(PreprocessCfg(size=64), is_train=False)
    batch = apply(Image.fromarray(image).convert("RGB"))[None]  # pyright: ignore[reportIndexIssue]
    found = encoders.encode(encoder, [image], {"joint": ["vector"], "final": ["cls"], "pooled": ["vector"]})
    with torch.no_grad():
        np.testing.assert_allclose(found["joint/vector"], model.encode_image(batch), atol=1e-6)
    np.testing.assert_array_equal(found["final/cls"], found["pooled/vector"])
    assert encoder.text is not None
    said = encoder.text(["a chest film", "turned film", "a chest film"])
    assert said.shape == (3, 16)
    assert not np.allclose(said[0], said[1])
    np.testing.assert_allclose(said[0], said[2], atol=1e-6)


def test_a_folder_without_weights_is_never_replaced_by_random_ones(tmp_path: Path) -> None:
    from tests.stand_in_hub import open_clip_folder

    open_clip_folder(tmp_path / "w")
    (tmp_path / "w" / "open_clip_model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"has none of open_clip_model\.safetensors, "):
        encoders.load("phantom-clip", weights=tmp_path / "w")


# controls


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 70), st.booleans(), st.integers(0, 2**31))
def test_lowlevel_is_blind_to_flips_and_turns_of_a_square(side: int, colour: bool, seed: int) -> None:
    from encoders.lowlevel import describe

    image = noise(side, side, *((3,) if colour else ()), seed=seed) // 16 * 16
    image[: side // 2] //= 3
    for turned in (image[::-1], image[:, ::-1], np.rot90(image), np.rot90(image, 2), np.rot90(image, 3)):
        np.testing.assert_array_equal(describe(np.ascontiguousarray(turned)), describe(image))


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 70), st.integers(3, 70), st.integers(0, 2**31))
def test_lowlevel_is_blind_to_flips_of_any_image(h: int, w: int, seed: int) -> None:
    from encoders.lowlevel import describe

    image = noise(h, w, seed=seed)
    for turned in (image[::-1], image[:, ::-1], image[::-1, ::-1]):
        np.testing.assert_array_equal(describe(np.ascontiguousarray(turned)), describe(image))


def test_lowlevel_sees_size_exposure_border_and_compression() -> None:
    import io

    from PIL import Image

    from encoders.lowlevel import NAMES, describe

    smooth = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8) + noise(96, 96) // 32
    packed = io.BytesIO()
    Image.fromarray(smooth).save(packed, "JPEG", quality=10)
    jpeg = np.asarray(Image.open(packed))
    at = dict(zip(NAMES, describe(smooth), strict=True))
    assert dict(zip(NAMES, describe(jpeg), strict=True))["blockiness"] > 3 * at["blockiness"]
    assert dict(zip(NAMES, describe(smooth[:48]), strict=True))["aspect"] != at["aspect"]
    assert dict(zip(NAMES, describe(smooth // 2), strict=True))["red mean"] < at["red mean"]
    framed = smooth.copy()
    framed[0] = 255
    assert dict(zip(NAMES, describe(framed), strict=True))["border mean"] > at["border mean"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.booleans(), st.integers(0, 2**31))
def test_turning_an_image_turns_its_pixels_exactly(h: int, w: int, colour: bool, seed: int) -> None:
    from encoders.pixels import small

    image = noise(h, w, *((3,) if colour else ()), seed=seed)
    here = small(image)
    np.testing.assert_array_equal(small(np.rot90(image)), np.rot90(here))
    np.testing.assert_array_equal(small(image[::-1, ::-1]), here[::-1, ::-1])
    np.testing.assert_array_equal(small(image[:, ::-1]), here[:, ::-1])
    assert here.mean() == pytest.approx((image @ [0.299, 0.587, 0.114] if colour else image).mean() / 255, abs=1e-5)


def test_pixels_average_areas_and_keep_an_image_of_their_own_size() -> None:
    from encoders.pixels import features, small

    image = noise(32, 32)
    found = features([image])
    for site, side in (("thumbnail.8", 8), ("thumbnail.16", 16), ("pooled", 32)):
        by_hand = image.reshape(side, 32 // side, side, 32 // side).mean(axis=(1, 3)) / 255
        np.testing.assert_allclose(found[site][0], by_hand.ravel(), atol=1e-6)
    np.testing.assert_allclose(found["final"][0, :, 0], found["thumbnail.8"][0], atol=1e-6)
    np.testing.assert_array_equal(small(image), (image / 255).astype(np.float32))
    np.testing.assert_allclose(small(np.kron(image, np.ones((5, 5), np.uint8))), image / 255, atol=1e-7)


def test_a_volume_is_refused_by_an_encoder_of_images_and_says_who_reads_them() -> None:
    encoder = encoders.load(str(ROOT / "tests" / "numpy_encoder.py"))
    who = r"blocks reads one image at a time, not a volume \(8, 40, 40\): .*\(radfm, or a file .* volumes=True\)"
    with pytest.raises(EncoderError, match=who):
        encoders.encode(encoder, [noise(8, 40, 40)], {"pooled": ["vector"]})
    with pytest.raises(EncoderError, match=r"takes uint8 images \[h, w\] or \[h, w, 3\], not float32"):
        encoders.encode(encoder, [noise(40, 40).astype(np.float32)], {"pooled": ["vector"]})


def test_the_image_statistics_name_their_colours_and_weigh_them_as_luminance_does() -> None:
    from encoders.lowlevel import NAMES, describe

    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0], red[..., 2] = 255, 51
    found = dict(zip(NAMES, describe(red), strict=True))
    assert [found[f"{colour} mean"] for colour in ("red", "green", "blue")] == pytest.approx([1, 0, 0.2])
    grey = round(0.299 * 255 + 0.114 * 51)  # ITU-R BT.601
    assert [i for i in range(16) if found[f"histogram {i}"]] == [grey // 16]
    assert found["border mean"] == pytest.approx(grey / 255)
