"""Towers of transformers, timm and open_clip by name: their features are those of the library's own full model."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError, conch, gigapath, uni, unimed_clip
from encoders._registry import find
from tests import tiny_towers as make
from tests.stand_in_hub import WORDS, Hub, Repository, serving
from tests.tiny_towers import SMALL, TEXT, Tiny

COMMIT = "c" * 40
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (130, 80, 3), dtype=np.uint8),
]
SENTENCES = ["a chest film", "upright"]
BUILT: dict[str, Callable[[Path], Tiny]] = {
    "clip-b16": make.clip,
    "clip-b32": make.clip,
    "clip-l14": make.clip,
    "clip-l14-336": make.clip_bin,
    "siglip-b16": make.siglip,
    "siglip-so400m": make.siglip,
    "siglip2-b16": make.siglip,
    "siglip2-so400m": make.siglip,
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
    "unimed-clip-b16": lambda at: make.unimed(at, "unimed-clip-b16", "unimed-clip-vit-b16.pt", 512, at.parent / "bert"),
    "unimed-clip-l14": lambda at: make.unimed(
        at, "unimed-clip-l14", "unimed_clip_vit_l14_base_text_encoder.pt", 768, at.parent / "bert2"
    ),
}
ALONE = ("unimed-clip-b16", "unimed-clip-l14", "conch")  # one weight file, nothing beside it


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    """Architectures that the code knows and no file says, made small for this module."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in (*SMALL.items(), ("img_size", 56)):
            patch.setitem(uni.HUGE, key, value)
        for key, value in {**SMALL, "img_size": 64}.items():
            patch.setitem(conch.VISION, key, value)
        for key, value in {"joint": 16, "caption": 32, "queries": 5, "heads": 2}.items():
            patch.setitem(conch.HEADS, key, value)
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


def features(encoder: encoders.Encoder) -> Mapping[str, Any]:
    import torch

    batch = torch.stack([torch.as_tensor(encoder.preprocess(image)) for image in IMAGES])
    return encoder.forward(batch, list(encoder.card.sites))


def near(ours: Any, theirs: Any, to: float = 1e-5) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=0, atol=to)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", BUILT)
def test_features_at_every_site_are_those_of_the_library(name: str, shelf: dict[str, Tiny]) -> None:
    import torch

    encoder, tiny = encoders.load(name), shelf[name]
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
        if encoder.text and tiny.text:
            near(encoder.text(SENTENCES), tiny.text(SENTENCES))
