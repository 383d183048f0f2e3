"""Towers of transformers, timm and open_clip by name: their features are those of the library's own full model."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError, conch, gigapath, h_optimus, retfound, uni, unimed_clip, virchow
from tests import tiny_towers as make
from tests.stand_in_hub import WORDS, Hub, Repository, serving, stand_in
from tests.tiny_towers import SMALL, TEXT, Tiny, weight_file

COMMIT = "c" * 40
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (130, 80, 3), dtype=np.uint8),
]
SENTENCES = ["a chest film", "upright"]


HUGE = "vit_huge_patch14_224"


def _optimus(at: Path, architecture: str, arguments: Mapping[str, Any]) -> Tiny:
    slides = (h_optimus.SLIDES.mean, h_optimus.SLIDES.std)
    return make.timm_tower(at, architecture, arguments, SMALL, 224, 224, slides)


BUILT: dict[str, Callable[[Path], Tiny]] = {
    "clip-b16": make.clip,
    "clip-b32": make.clip,
    "clip-l14": make.clip,
    "clip-l14-336": make.clip_bin,
    "siglip-b16": make.siglip,
    "siglip-so400m": make.siglip,
    "siglip2-b16": make.siglip2,
    "siglip2-so400m": make.siglip2,
    "medsiglip": make.siglip,
    "dinov2-s14": make.dinov2,
    "dinov2-b14": make.dinov2,
    "dinov2-l14": make.dinov2,
    "dinov2-g14": make.dinov2_giant,
    "dinov2-s14-reg": make.dinov2_registers,
    "dinov2-b14-reg": make.dinov2_registers,
    "dinov2-l14-reg": make.dinov2_registers,
    "dinov2-g14-reg": make.dinov2_giant_registers,
    "dinov3-s16": make.dinov3,
    "dinov3-b16": make.dinov3,
    "dinov3-l16": make.dinov3,
    "rad-dino": make.rad_dino,
    "eva02-b16": make.eva,
    "eva02-l14-336": make.eva,
    "uni": lambda at: make.timm_tower(at, "vit_large_patch16_224", uni.LARGE, {**SMALL, "img_size": 64}, 64, 64),
    "uni2-h": lambda at: make.timm_tower(at, "vit_giant_patch14_224", uni.huge(), {}, 56, 56),
    "gigapath": lambda at: make.timm_tower(at, "vit_giant_patch14_dinov2", gigapath.GIANT, SMALL, 224, 256),
    "conch": make.conch,
    "virchow": lambda at: make.timm_tower(
        at, "vit_huge_patch14_224", virchow.first(), {**SMALL, "img_size": 56}, 56, 56
    ),
    "virchow2": lambda at: make.timm_tower(
        at, "vit_huge_patch14_224", virchow.second(), {**SMALL, "img_size": 56}, 56, 56
    ),
    "h-optimus-0": lambda at: _optimus(at, "vit_giant_patch14_reg4_dinov2", h_optimus.GIANT),
    "h-optimus-1": lambda at: _optimus(at, "vit_giant_patch14_reg4_dinov2", h_optimus.GIANT),
    "h0-mini": lambda at: _optimus(at, "vit_base_patch14_reg4_dinov2", h_optimus.mini()),
    "retfound-cfp": make.retfound,
    "phikon-v2": make.phikon,
    "rad-dino-maira-2": make.rad_dino,
    "pubmed-clip": make.clip_bin,
    "plip": make.clip_bin,
    "monet": make.clip_bin,
    "unimed-clip-b16": lambda at: make.unimed(at, "unimed-clip-b16", "unimed-clip-vit-b16.pt", 512, at.parent / "bert"),
    "unimed-clip-l14": lambda at: make.unimed(
        at, "unimed-clip-l14", "unimed_clip_vit_l14_base_text_encoder.pt", 768, at.parent / "bert2"
    ),
}
LAYOUTS = tuple({build: name for name, build in reversed(BUILT.items())}.values())
ALONE = ("retfound-cfp", "unimed-clip-b16", "unimed-clip-l14", "conch")  # one weight file, nothing beside it


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    """Architectures that the code knows and no file says, made small for this module."""
    from functools import partial

    import timm

    entries = timm.models._registry._model_entrypoints  # pyright: ignore
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(entries, make.EVA, partial(entries[make.EVA], **SMALL, img_size=64))
        for key, value in (*SMALL.items(), ("img_size", 56)):
            patch.setitem(uni.HUGE, key, value)
        for key, value in SMALL.items():
            patch.setitem(retfound.LARGE, key, value)
        for key, value in {**SMALL, "img_size": 64}.items():
            patch.setitem(conch.VISION, key, value)
        for key, value in {"joint": 16, "caption": 32, "queries": 5, "heads": 2}.items():
            patch.setitem(conch.HEADS, key, value)
        for key, value in {"context_length": 12, "vocab_size": 259, "width": 32, "heads": 2, "layers": 2}.items():
            patch.setitem(conch.TEXT, key, value)
        for vision in unimed_clip.VISION.values():
            for key, value in {"image_size": 64, "patch_size": 16, "width": 32, "layers": 3, "head_width": 16}.items():
                patch.setitem(vision, key, value)
        for key, value in {**TEXT, "vocab_size": len(WORDS), "max_position_embeddings": 256}.items():
            patch.setitem(unimed_clip.BERT, key, value)
        yield patch


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, patched: pytest.MonkeyPatch) -> dict[str, Tiny]:  # noqa: ARG001
    """A tiny snapshot for every name; names of one layout share it."""
    made: dict[Callable[[Path], Tiny], Tiny] = {}
    root = tmp_path_factory.mktemp("towers")
    return {name: made.get(build) or made.setdefault(build, build(root / name)) for name, build in BUILT.items()}


@pytest.fixture(scope="module")
def hub(shelf: dict[str, Tiny], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The stand-in hub with all of them under their real names."""
    from huggingface_hub import constants

    served = {
        str(encoders.card(name).repo): Repository(folder=tiny.folder, commit=COMMIT) for name, tiny in shelf.items()
    }
    bert = shelf["unimed-clip-b16"].folder.parent / "bert"
    served[unimed_clip.BERT_REPO] = Repository(folder=bert, commit=COMMIT)
    with serving(Hub(repositories=served)) as running, pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield running


def pictures() -> list[Any]:
    from PIL import Image

    return [Image.fromarray(image).convert("RGB") for image in IMAGES]


def features(encoder: encoders.Encoder, site: str = "") -> Any:
    """Tokens of both images at every site, or of the first at `site`."""
    import torch

    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in IMAGES])
    return encoder.forward(batch[:1], [site])[site] if site else encoder.forward(batch, list(encoder.card.sites))


def near(ours: Any, theirs: Any, to: float = 1e-5) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=0, atol=to)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", BUILT)
def test_features_at_every_site_are_those_of_the_library(name: str, shelf: dict[str, Tiny]) -> None:
    import torch

    encoder, tiny = stand_in(name), shelf[name]
    assert encoder.card.revision == COMMIT
    pixels = tiny.pixels(pictures())
    for image, expected in zip(IMAGES, pixels, strict=True):
        near(encoder.preprocess(image), expected)
    with torch.no_grad():
        expected = tiny.sites(pixels)
        found = features(encoder)
        assert set(found) == set(expected)
        kinds = {key.partition(".")[0] for key in encoders.card(name).sites}
        assert kinds == {key.partition(".")[0] for key in found}
        for site, tokens in expected.items():
            near(found[site], tokens)
        assert (encoder.text is None) == (tiny.text is None)
        assert encoder.card.text == encoders.card(name).text
        assert encoder.card.any_size == encoders.card(name).any_size
        assert encoder.card.any_size
        if encoder.text and tiny.text and name != "conch":  # whose tokenizer no hub has
            near(encoder.text(SENTENCES), tiny.text(SENTENCES))
            if "siglip" in name:
                near(encoder.text(["A Chest FILM"]), tiny.text(["a chest film"]))


def _matrix(state: Mapping[str, Any]) -> str:
    """A weight matrix in the middle of the image tower."""
    found = [key for key in sorted(state) if ".1." in key and "mlp" in key and state[key].ndim == 2]
    return next(key for key in found if "text" not in key)


TRIED = (*LAYOUTS, "medsiglip", "medsiglip-tf")


@pytest.mark.parametrize("name", TRIED)
def test_a_tensor_that_lacks_is_named_and_one_that_differs_is_another_encoder(
    name: str, shelf: dict[str, Tiny], tmp_path: Path
) -> None:
    tiny, changed = shelf[name.removesuffix("-tf")], []

    def perturb(state: dict[str, Any]) -> None:
        changed.append(_matrix(state))
        state[changed[0]] = state[changed[0]] + 0.05

    same = stand_in(name, weights=tiny.folder)
    spoilt = make.copied(tiny, tmp_path / "perturbed")
    make.edited(spoilt, perturb)
    other = stand_in(name, weights=spoilt)
    assert other.fingerprint != same.fingerprint
    assert not np.allclose(features(other, "pooled"), features(same, "pooled"), rtol=0, atol=1e-4)
    make.edited(spoilt, lambda state: state.pop(changed[0]))
    with pytest.raises(EncoderError, match=rf"{name}: the weights in .* lack \d tensors? .*\.1\.") as caught:
        stand_in(name, weights=spoilt)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["clip-l14-336", "dinov2-b14", "eva02-b16", "uni", "conch"])
def test_a_strangers_file_beside_the_weights_is_no_reason_to_load_again(
    name: str, shelf: dict[str, Tiny], tmp_path: Path
) -> None:
    from encoders.identity.snapshot import recall, snapshot

    folder = make.copied(shelf[name], tmp_path / "copy")
    encoder = stand_in(name, weights=folder)
    record = snapshot(name, encoder)
    assert record
    for stranger in ("notes.json", "optimiser.bin", "another.safetensors", "README.md"):
        (folder / stranger).write_bytes(b"what a stranger keeps here")
    assert recall(record) == (encoder.card, encoder.fingerprint)
    if name in ("clip-l14-336", "uni"):  # their library would read this one before their own .bin
        (folder / "model.safetensors").write_bytes(b"")
        assert recall(record) is None
        (folder / "model.safetensors").unlink()
    for file in encoder.files:
        before = file.read_bytes()
        file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert recall(record) is None
        file.write_bytes(before)
    assert recall(record) is not None


@pytest.mark.parametrize("name", ["clip-b16", "dinov2-b14", "dinov3-b16", "siglip2-b16", "uni", "conch"])
def test_a_tensor_too_many_is_another_models(name: str, shelf: dict[str, Tiny], tmp_path: Path) -> None:
    spoilt = make.copied(shelf[name], tmp_path / "more")

    def deepen(state: dict[str, Any]) -> None:
        key = _matrix(state)
        state[key.replace(".1.", ".7.", 1)] = state[key].clone()

    make.edited(spoilt, deepen)
    with pytest.raises(EncoderError, match=r"hold 1 tensors that the architecture has not .*another model's"):
        stand_in(name, weights=spoilt)


def test_retfound_that_was_fine_tuned_is_read_with_its_norm_behind_the_mean(
    shelf: dict[str, Tiny], tmp_path: Path
) -> None:
    import torch

    assert shelf
    tiny = make.retfound(tmp_path / "tuned", fine_tuned=True)
    encoder = stand_in("retfound-cfp", weights=tiny.folder)
    with torch.no_grad():
        expected, found = tiny.sites(tiny.pixels(pictures())), features(encoder)
    assert set(found) == set(expected)
    assert "final" not in found
    for site, tokens in expected.items():
        near(found[site], tokens)
    make.edited_file(tiny.folder / retfound.FILES["retfound-cfp"][0], lambda state: state.pop("fc_norm.bias"))
    with pytest.raises(EncoderError, match=r"retfound-cfp: the weights in .* lack 1 tensor \(fc_norm.bias\)"):
        stand_in("retfound-cfp", weights=tiny.folder)


def test_retfound_from_either_of_its_published_names(shelf: dict[str, Tiny], tmp_path: Path) -> None:
    copy = make.copied(shelf["retfound-cfp"], tmp_path / "older")
    new, old = retfound.FILES["retfound-cfp"]
    (copy / new).rename(copy / old)
    same = stand_in("retfound-cfp", weights=shelf["retfound-cfp"].folder).fingerprint
    assert stand_in("retfound-cfp", weights=copy).fingerprint == same
    assert stand_in("retfound-oct", weights=copy / old).fingerprint == same
    with pytest.raises(EncoderError, match=r"retfound-oct: --weights .* has none of RETFound_mae_natureOCT.pth"):
        stand_in("retfound-oct", weights=copy)


@pytest.mark.parametrize("name", ["virchow", "h0-mini"])
def test_gated_layers_are_not_what_the_configuration_names(name: str, shelf: dict[str, Tiny]) -> None:
    told = json.loads((shelf[name].folder / "config.json").read_text())["model_args"]
    assert "mlp_layer" not in told
    mlp = stand_in(name, weights=shelf[name].folder).module.blocks[0].mlp
    assert type(mlp).__name__ == "GluMlp"


def test_clip_is_the_same_in_both_of_its_published_formats(tmp_path: Path) -> None:
    new, old = make.clip(tmp_path / "new"), make.clip_bin(tmp_path / "old")
    ours, theirs = (features(stand_in("clip-l14-336", weights=tiny.folder)) for tiny in (new, old))
    for site, tokens in ours.items():
        np.testing.assert_array_equal(tokens, theirs[site])


@pytest.mark.parametrize("name", ["clip-b16", "siglip2-b16", "dinov2-g14", "dinov2-b14-reg", "dinov3-b16"])
def test_tensors_in_the_librarys_own_spelling_of_today_are_the_same(
    name: str, shelf: dict[str, Tiny], tmp_path: Path
) -> None:
    published = stand_in(name, weights=shelf[name].folder)
    spelt = make.copied(shelf[name], tmp_path / "spelt")

    def respell(state: dict[str, Any]) -> None:
        state.clear()
        state.update({key: value.contiguous() for key, value in published.module.state_dict().items()})

    make.edited(spelt, respell)
    ours = features(stand_in(name, weights=spelt))
    for site, tokens in features(published).items():
        np.testing.assert_array_equal(tokens, ours[site])


@pytest.mark.parametrize("name", ALONE)
def test_a_checkpoint_saved_from_several_devices_is_the_same(name: str, shelf: dict[str, Tiny], tmp_path: Path) -> None:
    wrapped = make.copied(shelf[name], tmp_path / "wrapped")

    def prefix(state: dict[str, Any]) -> None:
        for key in list(state):
            state[f"module.{key}"] = state.pop(key)

    make.edited(wrapped, prefix)
    ours = features(stand_in(name, weights=make.weight_file(wrapped)))
    for site, tokens in features(stand_in(name, weights=shelf[name].folder)).items():
        np.testing.assert_array_equal(tokens, ours[site])


def test_unimed_clip_without_its_tokenizer_says_what_to_lay_beside_it(shelf: dict[str, Tiny]) -> None:
    encoder = stand_in("unimed-clip-b16", weights=shelf["unimed-clip-b16"].folder)
    assert encoder.text
    with pytest.raises(EncoderError, match=r"none of tokenizer.json, vocab.txt: lay the tokenizer of microsoft/Biomed"):
        encoder.text(["a film"])


def test_conch_reads_sentences_as_its_authors_code_does(shelf: dict[str, Tiny], tmp_path: Path) -> None:
    tiny = shelf["conch"]
    encoder = stand_in("conch", weights=tiny.folder)
    assert encoder.text
    assert tiny.text
    sentences = ["", "film", "A film", "upright b", "upright bc", "much longer than the tower can read"]
    near(encoder.text(sentences), tiny.text(sentences))
    near(encoder.text(["UPRIGHT b"]), tiny.text(["upright b"]))
    spoilt = make.copied(tiny, tmp_path / "words")
    make.edited(spoilt, lambda state: state.update({"text.cls_emb": state["text.cls_emb"].flip(0)}))
    other = stand_in("conch", weights=spoilt)
    assert other.text
    assert not np.allclose(other.text(["film"]), encoder.text(["film"]), atol=1e-3)
    assert other.fingerprint != encoder.fingerprint
    make.edited(spoilt, lambda state: state.pop("text.ln_final.bias"))
    with pytest.raises(EncoderError, match=r"conch: the weights in .* lack 1 tensor \(ln_final.bias\)"):
        stand_in("conch", weights=spoilt)


@pytest.mark.usefixtures("hub")
def test_conch_without_its_tokenizer_says_where_that_lies(shelf: dict[str, Tiny], tmp_path: Path) -> None:
    encoder = stand_in("conch")
    assert encoder.text
    with pytest.raises(EncoderError, match=r"conch: sentences need conch_byte.*mahmoodlab/CONCH.*--weights$") as caught:
        encoder.text(["a film"])
    assert "\n" not in str(caught.value)
    strange = make.copied(shelf["conch"], tmp_path / "strange")
    file = strange / "conch_byte_level_bpe_uncased.json"
    file.write_text(file.read_text().replace("<pad>", "<not>"))
    other = stand_in("conch", weights=strange)
    assert other.text
    with pytest.raises(EncoderError, match=r"has <pad> at None, not 0; it is not CONCH's"):
        other.text(["a film"])


def test_conchs_image_side_alone_has_no_sentences(shelf: dict[str, Tiny], tmp_path: Path) -> None:
    alone = make.copied(shelf["conch"], tmp_path / "alone")

    def blind(state: dict[str, Any]) -> None:
        for key in [key for key in state if key.startswith("text.")]:
            del state[key]

    make.edited(alone, blind)
    encoder = stand_in("conch", weights=alone)
    assert encoder.text is None
    assert not encoder.card.text


@pytest.mark.usefixtures("hub")
def test_rad_dino_fetches_one_of_its_three_weight_files(hub: Hub) -> None:
    stand_in("rad-dino")
    fetched = {path.rpartition("/")[2] for path in hub.asked if "rad-dino/resolve" in path}
    assert {name for name in fetched if name.endswith(".safetensors")} <= {"model.safetensors"}


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["siglip2-b16", "dinov3-b16", "dinov2-b14-reg", "eva02-b16"])
def test_a_repository_gives_by_its_id_what_it_gives_by_name(name: str) -> None:
    plain = stand_in(f"hf:{encoders.card(name).repo}@{COMMIT}")
    named = stand_in(name)
    assert plain.fingerprint == named.fingerprint
    assert plain.card.sites == named.card.sites


def test_medsiglip_behind_its_cards_resize_sees_tensorflows_pixels(shelf: dict[str, Tiny]) -> None:
    import torch

    from encoders.medsiglip import SIDE, resized

    for image in (*IMAGES, np.full((1, 1), 100, np.uint8), np.full((37, 600, 3), 100, np.uint8)):
        planes = torch.from_numpy(image if image.ndim == 3 else image[..., None]).permute(2, 0, 1)[None].float()
        reference = torch.nn.functional.interpolate(planes, (SIDE, SIDE), mode="bilinear", antialias=False)
        expected = reference[0].permute(1, 2, 0).numpy()
        ours = resized(image, SIDE).reshape(expected.shape)
        assert (np.abs(ours + 0.5 - expected) < 0.502).all()  # cut to whole levels, but for rounding
        if image.min() == image.max():
            assert (ours == image.min()).all()
    folder = shelf["medsiglip"].folder
    plain, card = (stand_in(name, weights=folder) for name in ("medsiglip", "medsiglip-tf"))
    assert plain.fingerprint != card.fingerprint
    assert card.card.input != plain.card.input
    np.testing.assert_array_equal(card.preprocess(IMAGES[1]), plain.preprocess(resized(IMAGES[1], SIDE)))
    assert not np.array_equal(card.preprocess(IMAGES[1]), plain.preprocess(IMAGES[1]))
    plain, card = (stand_in(name, weights=folder, image_size=96) for name in ("medsiglip", "medsiglip-tf"))
    np.testing.assert_array_equal(card.preprocess(IMAGES[1]), plain.preprocess(resized(IMAGES[1], 96)))
    assert plain.fingerprint != card.fingerprint


@pytest.mark.parametrize(
    ("name", "side"),
    [("uni", 96), ("uni2-h", 84), ("conch", 96), ("dinov2-b14-reg", 84), ("dinov3-b16", 96), ("rad-dino", 84)],
)
def test_at_another_size_they_are_what_the_library_makes_of_larger_pixels(
    name: str, side: int, shelf: dict[str, Tiny]
) -> None:
    """Of towers whose library reads pixels of any size as they come."""
    import torch

    tiny, alone = shelf[name], name in ALONE
    encoder = stand_in(name, weights=weight_file(tiny.folder) if alone else tiny.folder, image_size=side)
    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in IMAGES])
    assert batch.shape[-2:] == (side, side)
    with torch.no_grad():
        expected = tiny.sites(batch)
        found = encoder.forward(batch, list(encoder.card.sites))
        for site, tokens in expected.items():
            near(found[site], tokens)
            if grid := encoder.card.sites[site].grid:
                assert grid[0] * grid[1] + encoder.card.sites[site].prefix == tokens.shape[1]


@pytest.mark.parametrize("name", ["eva02-b16", "unimed-clip-b16"])
def test_open_clips_towers_by_name_lie_on_the_larger_grid(name: str, shelf: dict[str, Tiny]) -> None:
    own, larger = (stand_in(name, weights=shelf[name].folder, image_size=side) for side in (64, 96))
    assert (own.card.sites["final"].grid, larger.card.sites["final"].grid) == ((4, 4), (6, 6))
    assert own.fingerprint == stand_in(name, weights=shelf[name].folder).fingerprint
    assert features(larger)["block.0"].shape[1] == 37


@pytest.mark.parametrize("name", ["clip-b16", "siglip-b16", "dinov2-b14", "dinov3-b16", "eva02-b16", "uni", "conch"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (3, 40, 3), (5, 3)])
def test_an_image_smaller_than_the_patch_grid_is_enlarged(
    name: str, shape: tuple[int, ...], small: dict[str, encoders.Encoder]
) -> None:
    encoder = small[name]
    image = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    prepared = encoder.preprocess(image)
    assert encoder.card.input
    assert tuple(prepared.shape) == (3, *encoder.card.input.size)
    assert np.isfinite(np.asarray(prepared)).all()


@pytest.fixture(scope="module")
def small(shelf: dict[str, Tiny]) -> dict[str, encoders.Encoder]:
    """One encoder of every library's preprocessing."""
    names = ("clip-b16", "siglip-b16", "dinov2-b14", "dinov3-b16", "eva02-b16", "uni", "conch")
    return {name: stand_in(name, weights=shelf[name].folder) for name in names}


@pytest.mark.parametrize("name", ["uni", "clip-b16", "eva02-b16"])
def test_a_folder_in_each_library_s_format_can_be_built_untrained_too(
    name: str, shelf: dict[str, Tiny], tmp_path: Path
) -> None:
    folder = make.copied(shelf[name], tmp_path / "other")
    if name == "uni":  # what its card adds stands in the configuration of others
        config = json.loads((folder / "config.json").read_text())
        config["model_args"] = {**config.get("model_args", {}), "init_values": 1e-5}
        (folder / "config.json").write_text(json.dumps(config))
    trained, untrained = (stand_in(spec, weights=folder) for spec in ("hf:some/where", "random:hf:some/where"))
    assert untrained.card.sites == trained.card.sites
    assert untrained.fingerprint != trained.fingerprint
    assert untrained.fingerprint == stand_in("random:hf:some/where", weights=folder).fingerprint


def test_a_model_of_unknown_type_is_refused_with_the_types_that_are_known(
    shelf: dict[str, Tiny], tmp_path: Path
) -> None:
    folder = make.copied(shelf["dinov2-b14"], tmp_path / "other")
    config = (folder / "config.json").read_text().replace('"model_type": "dinov2"', '"model_type": "resnet"')
    (folder / "config.json").write_text(config)
    with pytest.raises(
        EncoderError, match=r"type 'resnet' have no known layout .*clip, siglip, dinov2.*dinov3_vit"
    ) as e:
        stand_in("dinov2-b14", weights=folder)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "of", "said"),
    [
        ("uni", "dinov2-b14", "names no timm architecture"),
        ("eva02-b16", "dinov2-b14", "has no open_clip_config.json"),
        ("dinov2-b14", "uni", "has no preprocessor_config.json"),
        ("conch", "uni", "lack .* tensors"),
        ("conch", "clip-b16", "has none of pytorch_model.bin"),
        ("unimed-clip-b16", "clip-b16", "has none of unimed-clip-vit-b16.pt"),
        ("uni2-h", "gigapath", "shape|lack|hold"),
        ("dinov2-b14", "clip-b16", "holds a model of type 'clip', not 'dinov2'"),
        ("dinov2-b14", "dinov2-b14-reg", "holds a model of type 'dinov2_with_registers', not 'dinov2'"),
        ("medsiglip-tf", "clip-b16", "holds a model of type 'clip', not 'siglip'"),
    ],
)
def test_the_folder_of_another_family_is_refused_in_one_line(
    name: str, of: str, said: str, shelf: dict[str, Tiny]
) -> None:
    with pytest.raises(EncoderError, match=said) as caught:
        stand_in(name, weights=shelf[of].folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{name}:")


def test_a_file_where_a_folder_is_needed_is_refused(shelf: dict[str, Tiny]) -> None:
    file = make.weight_file(shelf["clip-b16"].folder)
    with pytest.raises(EncoderError, match=r"clip-b16: --weights .* is not a folder; give one with config.json, "):
        stand_in("clip-b16", weights=file)


@pytest.mark.parametrize("name", ["uni", "dinov3-b16", "medsiglip", "conch"])
def test_a_gated_repository_says_which_page_to_visit(name: str, hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import constants

    repo = str(encoders.card(name).repo)
    assert encoders.card(name).gated
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        patch.setattr(hub.repositories[repo], "fault", "gated")
        with pytest.raises(EncoderError, match=f"{repo} is gated: ask for access at http.*{repo}.*--weights PATH"):
            stand_in(name)


def test_untrained_towers_are_drawn_from_their_name() -> None:
    first, again, other = (stand_in(spec) for spec in ("random:conch", "random:conch", "random:conch#1"))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.card.sites.keys() == stand_in("random:conch").card.sites.keys()


# weights that a loader would pass over, or take for plain numbers

KINDS = ("clip-b16", "dinov2-b14", "eva02-b16", "uni", "conch")  # transformers, open_clip, timm, the authors' own


def _adapter_beside(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def _llava_training(folder: Path) -> None:
    (folder / "non_lora_trainables.bin").write_bytes(b"")


def _adapter_inside(folder: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        name = _matrix(state)
        state[name.replace(".weight", ".lora_A.default.weight")] = state[name][:4].clone()
        state[name.replace(".weight", ".base_layer.weight")] = state.pop(name)

    make.edited(folder, change)


def _of_type(kind: str) -> Callable[[Path], None]:
    def change(state: dict[str, Any]) -> None:
        import torch

        name = _matrix(state)
        state[name] = (state[name] * 9).to(getattr(torch, kind))

    return lambda folder: make.edited(folder, change)


def _not_a_number(folder: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        state[_matrix(state)][0, 0] = float("nan")

    make.edited(folder, change)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_adapter_beside, r"holds an adapter \(adapter_config\.json\), which would not be applied"),
        (_llava_training, r"holds an adapter \(non_lora_trainables\.bin\)"),
        (_adapter_inside, r"holds an adapter that is not merged into the weights \(.*(lora_A|base_layer)"),
        (_of_type("int8"), "is of type (I8|int8): quantised weights are not read"),
        (_of_type("uint8"), "is of type (U8|uint8): quantised"),
        (_of_type("int32"), "is of type (I32|int32): quantised"),
        (_of_type("float8_e4m3fn"), "is of type (F8_E4M3|float8_e4m3fn): quantised"),
        (_not_a_number, "holds NaN or infinity"),
    ],
)
def test_weights_that_are_not_plain_are_refused_in_every_library(
    name: str, spoil: Callable[[Path], None], said: str, shelf: dict[str, Tiny], tmp_path: Path
) -> None:
    folder = make.copied(shelf[name], tmp_path / "spoilt")
    spoil(folder)
    with pytest.raises(EncoderError, match=said) as caught:
        stand_in(name, weights=folder)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_configuration_that_says_quantised_is_refused(shelf: dict[str, Tiny], tmp_path: Path) -> None:
    folder = make.copied(shelf["dinov2-b14"], tmp_path / "spoilt")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes"}}))
    with pytest.raises(EncoderError, match=r"dinov2-b14: .*weights are quantised .*method bitsandbytes"):
        stand_in("dinov2-b14", weights=folder)


def test_delta_weights_are_refused_by_their_name(shelf: dict[str, Tiny], tmp_path: Path) -> None:
    folder = make.copied(shelf["dinov2-b14"], tmp_path / "dino-delta-v1.1")
    for spec, where in (("dinov2-b14", folder), ("hf:some/LLaVA-7b-delta-v0", shelf["dinov2-b14"].folder)):
        with pytest.raises(EncoderError, match="says that these are delta weights"):
            stand_in(spec, weights=where)
    assert stand_in("dinov2-b14", weights=folder.rename(tmp_path / "deltaforce")).fingerprint


def test_which_of_two_states_was_read_is_told(tmp_path: Path) -> None:
    import timm
    import torch

    one, two = (timm.create_model("test_vit", num_classes=0) for _ in range(2))
    states = {"state_dict": one.state_dict(), "state_dict_ema": two.state_dict(), "epoch": 3}
    torch.save(states, tmp_path / "both.pth")
    torch.save({"state_dict": one.state_dict(), "optimizer": {"state": {0: one.state_dict()}}}, tmp_path / "one.pth")
    both, plain = (encoders.load("timm:test_vit", weights=tmp_path / f"{name}.pth") for name in ("both", "one"))
    assert both.card.read == "both.pth holds 2 states (state_dict, state_dict_ema); read was state_dict_ema"
    np.testing.assert_array_equal(both.module.cls_token.numpy(), states["state_dict_ema"]["cls_token"].numpy())
    assert plain.card.read == ""
    states["state_dict_ema"]["cls_token"] = states["state_dict_ema"]["cls_token"].to(torch.int8)
    torch.save(states, tmp_path / "both.pth")
    with pytest.raises(EncoderError, match=r"cls_token .* is of type int8"):
        encoders.load("timm:test_vit", weights=tmp_path / "both.pth")


def test_a_file_of_teacher_and_student_is_refused_by_their_names(shelf: dict[str, Tiny], tmp_path: Path) -> None:
    import torch

    file = make.weight_file(make.copied(shelf["conch"], tmp_path / "copy"))
    state = torch.load(file)
    torch.save({"teacher": state, "student": state}, file)
    with pytest.raises(EncoderError, match=r"holds no tensors by name \(it holds teacher, student: save the one"):
        stand_in("conch", weights=file)
    torch.save({"model_state_dict": state, "ema": state}, file)
    assert stand_in("conch", weights=file).card.read.endswith("(model_state_dict, ema); read was model_state_dict")


@pytest.mark.parametrize(("name", "beside"), [("dinov2-b14", "pytorch_model.bin"), ("uni", "model.pth")])
def test_which_of_two_files_was_read_is_told_where_they_differ(
    name: str, beside: str, shelf: dict[str, Tiny], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    folder = make.copied(shelf[name], tmp_path / "copy")
    file = make.weight_file(folder)
    state = load_file(file) if file.suffix == ".safetensors" else torch.load(file)
    torch.save(state, folder / beside)
    assert stand_in(name, weights=folder).card.read == ""
    state[_matrix(state)] += 1
    torch.save(state, folder / beside)
    assert stand_in(name, weights=folder).card.read == f"{file.name} was read; {beside} beside it hold other numbers"
    (folder / beside).write_bytes(b"no weights")
    assert stand_in(name, weights=folder).card.read == ""
