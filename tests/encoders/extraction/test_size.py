"""Encoders at other sizes are the library's own networks at those sizes, on the right grid, or are refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cache
import encoders
import slitlamp
from encoders import EncoderError
from encoders.extraction.size import at_size
from encoders.identity.snapshot import recall, snapshot
from encoders.libraries.timm.size import resizable, resize
from encoders.phantom_clip import FOLDER
from plugins import UserFileError
from slitlamp.encoding.encoder import StoredEncoder, stored_encoders
from slitlamp.errors import UsageError
from slitlamp.settings import EncoderSettings
from tests import tiny_towers as make
from tests.paths import SHARED
from tests.stand_in_hub import stand_in

SIDE = 96
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (130, 80, 3), dtype=np.uint8),
]


def features(encoder: encoders.Encoder, batch: Any = None) -> dict[str, np.ndarray]:
    import torch

    if batch is None:
        batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in IMAGES])
    return {site: np.asarray(tokens) for site, tokens in encoder.forward(batch, list(encoder.card.sites)).items()}


def table(rows: Any, side: int, *, antialias: bool) -> Any:
    """A table of positions [1 + h * h, d] for a grid of side x side, the first row as it is."""
    import torch

    old = round((len(rows) - 1) ** 0.5)
    grid = rows[1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, (side, side), mode="bicubic", antialias=antialias)
    return torch.cat([rows[:1], grid[0].permute(1, 2, 0).reshape(side * side, -1)])


def at_side(folder: Path, key: str, side: int) -> Any:
    """The library's model of a folder built for that side, its position table interpolated by hand."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    vision = getattr(config, "vision_config", config)
    vision.image_size = side
    model: Any = transformers.AutoModel.from_config(config)
    state = transformers.AutoModel.from_pretrained(folder).state_dict()
    rows = table(state[key].reshape(-1, vision.hidden_size), side // vision.patch_size, antialias=False)
    state[key] = rows.reshape(model.state_dict()[key].shape)
    model.load_state_dict({name: value for name, value in state.items() if name in model.state_dict()})
    return model.eval()


def clip(folder: Path) -> tuple[str, Callable[[Any], dict[str, Any]], int]:
    make.clip(folder)
    model = at_side(folder, "vision_model.embeddings.position_embedding.weight", SIDE)
    return "clip-b16", lambda x: {"joint": model.get_image_features(pixel_values=x).pooler_output[:, None]}, SIDE


def dinov2(folder: Path) -> tuple[str, Callable[[Any], dict[str, Any]], int]:
    make.dinov2(folder)
    model = at_side(folder, "embeddings.position_embeddings", 112)
    return "dinov2-b14", lambda x: {"final": model(pixel_values=x).last_hidden_state}, 112


def dinov3(folder: Path) -> tuple[str, Callable[[Any], dict[str, Any]], int]:
    tiny = make.dinov3(folder)  # whose positions are rotary: the network of any size
    return "dinov3-b16", lambda x: {"final": tiny.sites(x)["final"]}, SIDE


def siglip(folder: Path) -> tuple[str, Callable[[Any], dict[str, Any]], int]:
    tiny = make.siglip(folder)
    import transformers

    model: Any = transformers.AutoModel.from_pretrained(tiny.folder).eval()
    vision = model.vision_model
    rows = vision.embeddings.position_embedding.weight.detach()
    import torch

    grid = table(torch.cat([rows[:1], rows]), SIDE // 16, antialias=False)[1:]  # it has no class token

    def expected(x: Any) -> dict[str, Any]:
        tokens = vision.embeddings.patch_embedding(x).flatten(2).transpose(1, 2) + grid
        return {"final": vision.post_layernorm(vision.encoder(inputs_embeds=tokens).last_hidden_state)}

    return "siglip-b16", expected, SIDE


TOWERS = {"clip": clip, "siglip": siglip, "dinov2": dinov2, "dinov3": dinov3}


@pytest.mark.parametrize("build", TOWERS.values(), ids=TOWERS)
def test_towers_of_transformers_are_those_of_the_library_at_that_size(build: Any, tmp_path: Path) -> None:
    import torch

    name, expected, side = build(tmp_path / "w")
    own = stand_in(name, weights=tmp_path / "w")
    other = stand_in(name, weights=tmp_path / "w", image_size=side)
    assert own.card.input is not None
    assert other.card.input is not None
    assert other.card.input.size == (side, side) != own.card.input.size
    if own.card.input.edge:  # the resize before the crop keeps its proportion to it
        assert other.card.input.edge == round(own.card.input.edge * side / own.card.input.size[0])
    patch = own.card.input.size[0] // (own.card.sites["final"].grid or (1,))[0]
    assert other.card.sites["final"].grid == (side // patch, side // patch)
    assert other.fingerprint != own.fingerprint
    batch = torch.stack([torch.as_tensor(other.preprocess(image)) for image in IMAGES])
    assert batch.shape[-2:] == (side, side)
    found = features(other, batch)
    with torch.no_grad():
        for site, tokens in expected(batch).items():
            np.testing.assert_allclose(found[site], tokens, atol=1e-5)
    same = stand_in(name, weights=tmp_path / "w", image_size=own.card.input.size[0])
    assert (same.fingerprint, same.card) == (own.fingerprint, own.card)
    for site, tokens in features(own).items():
        np.testing.assert_array_equal(features(same)[site], tokens)


def test_open_clip_loads_the_same_network_at_that_size(tmp_path: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "w"
    shutil.copytree(FOLDER, folder)
    (file,) = folder.glob("open_clip_model.safetensors")
    save_file({name: value.float() for name, value in load_file(file).items()}, file)  # it interpolates no half ones
    model: Any = open_clip.create_model(f"local-dir:{folder}", force_image_size=160, require_pretrained=True).eval()
    encoder = encoders.load("phantom-clip", image_size=160)
    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in IMAGES])
    assert batch.shape[-2:] == (160, 160)
    with torch.no_grad():
        np.testing.assert_allclose(features(encoder, batch)["joint"][:, 0], model.encode_image(batch), atol=1e-5)
        assert encoder.text
        words = open_clip.get_tokenizer(f"local-dir:{FOLDER}")(["a phantom"])
        np.testing.assert_allclose(encoder.text(["a phantom"]), model.encode_text(words), atol=1e-5)
    assert encoder.card.sites["final"].grid == (10, 10)
    assert encoder.card.synthetic
    own, same = encoders.load("phantom-clip"), encoders.load("phantom-clip", image_size=128)
    assert (own.fingerprint, own.card) == (same.fingerprint, same.card)
    for site, tokens in features(own).items():
        np.testing.assert_array_equal(features(same)[site], tokens)


@pytest.mark.parametrize(("name", "side", "patch"), [("test_vit", 224, 16), ("eva02_tiny_patch14_224", 280, 14)])
def test_towers_of_timm_are_those_of_the_library_at_that_size(name: str, side: int, patch: int, tmp_path: Path) -> None:
    import timm
    import torch

    model: Any = timm.create_model(name, num_classes=0)
    model.pos_embed.data.normal_()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    larger: Any = timm.create_model(name, num_classes=0, img_size=side)
    state = model.state_dict()
    state["pos_embed"] = table(state["pos_embed"][0], side // patch, antialias=True)[None]
    larger.load_state_dict(state)
    encoder = encoders.load(f"timm:{name}", weights=tmp_path / "w.pth", image_size=side)
    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in IMAGES])
    with torch.no_grad():
        expected = larger.eval().forward_features(batch)
        found = features(encoder, batch)
        key = "final" if "final" in found else f"block.{len(model.blocks) - 1}"
        if key != "final":  # whose norm stands behind the pooling
            (expected,) = larger.forward_intermediates(batch, indices=1, intermediates_only=True, output_fmt="NLC")
            found[key] = found[key][:, 1:]
        np.testing.assert_allclose(found[key], expected, atol=1e-5)
    assert encoder.card.sites[key].grid == (side // patch, side // patch)


def test_a_resize_before_a_crop_and_untrained_draws_follow_the_size(tmp_path: Path) -> None:
    import timm
    import torch

    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), tmp_path / "w.pth")
    encoder = encoders.load("timm:test_vit", weights=tmp_path / "w.pth", image_size=224)
    own = encoders.load("timm:test_vit", weights=tmp_path / "w.pth")
    assert own.card.input is not None
    assert encoder.card.input is not None
    assert own.card.input.size == (160, 160)
    assert encoder.card.input.edge == int(224 / 0.95)
    draws = [encoders.load("random:timm:test_vit", image_size=size) for size in (None, 224, 224)]
    assert draws[1].card.sites == encoder.card.sites  # an untrained draw has the same size, and is one draw
    assert draws[1].fingerprint == draws[2].fingerprint != draws[0].fingerprint


@pytest.mark.parametrize("spec", ["phantom-clip", "random:timm:test_vit", "random:timm:test_resnet"])
def test_the_token_over_a_bright_patch_is_the_one_that_changes(spec: str) -> None:
    encoder = encoders.load(spec, image_size=224)
    site = next(iter(encoder.card.sites))
    image = np.zeros((400, 400), np.uint8)
    for x, y in ((310, 70), (130, 250)):
        planted = image.copy()
        planted[y - 12 : y + 12, x - 12 : x + 12] = 255
        others = [(50.0 + 60 * i, 50.0 + 60 * j) for i in range(6) for j in range(6)]
        marks = [(float(x), float(y)), *(at for at in others if np.hypot(at[0] - x, at[1] - y) > 50)]
        pair = encoders.encode(encoder, [image, planted], {site: ["at-mark"]}, [marks, marks])[f"{site}/at-mark"]
        change = np.linalg.norm((pair[1] - pair[0]).reshape(len(marks), -1), axis=1)
        assert change.argmax() == 0
        assert change[0] > 2 * change[1:].max()


@pytest.mark.parametrize(
    ("spec", "side", "said"),
    [
        ("phantom-clip", 100, r"--image-size 100 is no multiple of its patch of 16 pixels; give 96 or 112"),
        ("phantom-clip", 9, r"is no multiple of its patch of 16 pixels; give 16$"),
        ("phantom-clip", 0, r"a number of pixels from 1 to 4096"),
        ("biomedclip", 5000, r"a number of pixels from 1 to 4096"),
        ("pixels", 64, r"pixels: it is a control"),
        ("llava-1.5-7b", 448, r"llava-1.5-7b: --image-size 448 cannot be had.*tiles; other sizes are read by .*timm"),
        ("random:pmc-clip", 448, r"random:pmc-clip: --image-size 448 cannot be had"),
        ("random:open_clip:RN50", 256, r"--image-size 256 cannot be had"),
        ("random:timm:test_resnet", 16, r"below one cell of its last map, 32 pixels"),
        ("random:timm:swin_tiny_patch4_window7_224", 256, r"--image-size 256 cannot be had"),
    ],
)
def test_a_size_that_cannot_be_had_is_refused_in_one_line(spec: str, side: int, said: str) -> None:
    with pytest.raises(EncoderError, match=said) as error:
        encoders.load(spec, image_size=side)
    assert "\n" not in str(error.value)


def test_another_network_is_still_refused_at_another_size() -> None:
    with pytest.raises(EncoderError, match="is not the network of that name: block"):
        encoders.load("biomedclip", weights=FOLDER, image_size=160)
    made = encoders.load("biomedclip", weights=FOLDER, other_weights=True, image_size=160)
    assert made.card.other_weights
    assert made.card.sites["final"].grid == (10, 10)


def sized(size: tuple[int, int], **card: Any) -> encoders.Encoder:
    """An encoder of a card alone."""
    spec = encoders.Input(size=size, resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3,
                          interpolation="bilinear", backend="pillow")  # fmt: skip
    made = encoders.Card(name="x", input=spec, sites={"map": encoders.Site(width=4, grid=(size[0], 1))}, **card)
    return encoders.Encoder(card=made, preprocess=np.asarray, forward=dict, fingerprint=str(size))


def test_another_size_has_its_own_grid_and_positions_and_what_else_the_card_says() -> None:
    oblong = sized((24, 48), parameters=100, other_weights=True, licence="mit", note="mine")
    own = replace(oblong, at_size=lambda side: sized((side, side), parameters=130))
    square = at_size(own, 24)  # which is not its size, though one of its sides is
    assert square.card == replace(own.card, input=square.card.input, sites=square.card.sites, parameters=130)
    assert (square.card.input and square.card.input.size, square.card.sites["map"].grid) == ((24, 24), (24, 1))
    assert square.fingerprint != own.fingerprint
    assert at_size(replace(square, at_size=None), 24).card == square.card
    with pytest.raises(EncoderError, match="x: --image-size 48 cannot be had"):
        at_size(oblong, 48)


def test_the_least_size_of_a_network_is_a_cell_of_its_last_map_and_a_fixed_one_has_no_other() -> None:
    maps = [{"reduction": 4}, {"reduction": 32}]
    model, fixed = (SimpleNamespace(feature_info=maps, pretrained_cfg={"fixed_input_size": one}) for one in (0, 1))
    assert (resizable(model), resizable(fixed)) == (True, False)
    resize("x", model, 32)
    with pytest.raises(EncoderError, match="below one cell of its last map, 32 pixels"):
        resize("x", model, 31)


MINE = """
from dataclasses import replace
import encoders
CARD = encoders.Card(name="mine", sites={"map": encoders.Site(width=4, grid=(6, 6))})
FILES = ()
INPUT = encoders.Input(size=(24, 24), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3,
                       interpolation="bilinear", backend="pillow")

def load(device, image_size=None):
    import torch
    torch.manual_seed(0)
    size = image_size or 24
    card = CARD if size == 24 else replace(CARD, sites={})
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 4, 4))
    return encoders.from_module(card, net, replace(INPUT, size=(size, size)), {"map": "0"}, device=device)
"""


def test_a_file_of_ones_own_is_given_the_size_where_it_takes_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    own, same, other = (encoders.load(str(file), image_size=size) for size in (None, 24, 48))
    assert own.fingerprint == same.fingerprint != other.fingerprint
    assert other.card.sites["map"].grid == (12, 12)
    assert encoders.load(f"random:{file}", image_size=48).card.sites == other.card.sites
    record = snapshot(str(file), other)
    assert record is not None
    assert recall(record) == (other.card, other.fingerprint)
    file.write_text(MINE.replace("image_size=None", "").replace("image_size or ", ""))
    with pytest.raises(EncoderError, match=r"mine.py: --image-size 48 is not known to its load\(device\); let it take"):
        encoders.load(str(file), image_size=48)
    file.write_text(MINE.replace("image_size or ", ""))
    with pytest.raises(UserFileError, match=r"image_size=48\) gives an encoder of images of 24 x 24 pixels"):
        encoders.load(str(file), image_size=48)


WEIGHTS = SHARED / "weights" / "mobilenetv2_035_imagenet_tm.pth"
MOBILENET = f"""
from dataclasses import replace
import encoders
CARD = encoders.Card(name="mobilenetv2-035")
INPUT = encoders.Input(size=(224, 224), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3,
                       interpolation="bilinear", backend="pillow")

def load(device, image_size=224):
    import timm, torch
    model = timm.create_model("mobilenetv2_035", num_classes=0, pad_type="same", bn_eps=1e-3)
    model.load_state_dict(torch.load({str(WEIGHTS)!r}, weights_only=True))
    spec = replace(INPUT, size=(image_size, image_size))
    return encoders.from_module(CARD, model, spec, {{"final": "bn2", "pooled": "global_pool"}}, device=device)
"""


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs the shared weights (SLITLAMP_SHARED)")
def test_a_trained_convolutional_network_is_itself_at_another_size(tmp_path: Path) -> None:
    import timm
    import torch

    (tmp_path / "mobilenet.py").write_text(MOBILENET)
    encoder = encoders.load(str(tmp_path / "mobilenet.py"), image_size=160)
    model: Any = timm.create_model("mobilenetv2_035", num_classes=0, pad_type="same", bn_eps=1e-3)
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in IMAGES])
    with torch.no_grad():
        np.testing.assert_allclose(features(encoder, batch)["pooled"][:, 0], model.eval()(batch), atol=1e-5)
    assert encoder.card.sites["final"].grid == (5, 5)


def stored(folder: Path, **flags: Any) -> StoredEncoder:
    settings = EncoderSettings(**{"encoder": ("phantom-clip",), "device": "cpu", **flags})
    return stored_encoders(settings, cache.Store(folder))[0]


def test_what_is_remembered_of_one_size_is_not_another(tmp_path: Path) -> None:
    first = {size: stored(tmp_path, image_size=size) for size in (None, 160, 192)}
    known = {size: (one.card, one.fingerprint) for size, one in first.items()}
    assert len({fingerprint for _, fingerprint in known.values()}) == 3
    for size, one in first.items():
        again = stored(tmp_path, image_size=size)
        assert again.remembered == known[size]
        assert not again.loaded
        assert one.points() == again.points()


def test_a_control_stays_as_it_is_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from slitlamp.log import shown_on_stderr

    with pytest.raises(UsageError, match=r"--image-size 64 has nothing to act on: pixels and lowlevel are made of"):
        stored(tmp_path, encoder=("pixels", "lowlevel"), image_size=64)
    with shown_on_stderr():
        assert stored(tmp_path, encoder=("pixels", "phantom-clip"), image_size=64).image_size is None
    assert "pixels is made of the image as it is: --image-size 64 changes nothing" in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("sized")
    (folder / "fixed.py").write_text(MINE.replace("image_size=None", "").replace("image_size or ", ""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLITLAMP_CACHE", str(folder / "store"))
        return slitlamp.probe(
            ["phantom-clip", str(folder / "fixed.py")], "mirror", image_size=64, site=["pooled"], items=40,
            permutations=19, repeats=1, twins=1, out=str(folder / "out"),
        )  # fmt: skip


def test_a_run_tells_the_size_and_goes_on_without_what_has_none(run: Any) -> None:
    assert "--image-size 64" in run.command
    assert len(run.failed) == 1
    assert "fixed.py: --image-size 64 is not known to its load(device)" in run.failed[0]
    asked = {record.encoder: record.weights for record in run.records}
    assert ", at 64 pixels, fingerprint" in asked["phantom-clip"]
    assert asked["random:phantom-clip"] == "untrained, at 64 pixels"
    assert asked["pixels"] == "none"
