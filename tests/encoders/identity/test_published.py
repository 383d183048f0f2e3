"""What goes by a published name is held against its card, and what differs is refused or shown as other weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import encoders
from encoders import Encoder, EncoderError, Site
from encoders._registry import find
from encoders.identity.published import differences
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.settings import Settings
from tests.stand_in_hub import NATIVE, dinov2_folder, open_clip_folder

PHANTOM = Path(encoders.__file__).parent / "weights" / "phantom-clip"
SIDE = {"input_size": [3, 160, 160], "fixed_input_size": True}
WITH_CARDS = [name for name in encoders.names() if encoders.card(name).parameters]


def loaded(name: str, module: Any = None, **facts: Any) -> Encoder:
    """An encoder as its card says, but for `facts`."""
    card = replace(encoders.card(name), **facts)
    return Encoder(card=card, preprocess=np.asarray, forward=dict, fingerprint="", module=module)


@pytest.mark.parametrize("name", WITH_CARDS)
def test_what_is_as_its_card_says_differs_in_nothing(name: str) -> None:
    assert differences(encoders.card(name), loaded(name)) == []


def _sites(**changed: Any) -> dict[str, Site]:
    return {
        name: replace(site, **changed) if site.grid else site for name, site in encoders.card("clip-b16").sites.items()
    }


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"sites": {k: v for k, v in _sites().items() if k != "block.11"}}, "block: .* 12 x .* found is 11 x"),
        ({"sites": _sites(width=512)}, "block: .* found is 12 x width 512 on 14 x 14"),
        ({"sites": _sites(grid=(7, 7))}, "block: .* on 14 x 14 .* found is .* on 7 x 7"),
        ({"sites": _sites(prefix=5)}, "behind 1 prefix token, found is .* behind 5 prefix tokens"),
        ({"sites": {k: v for k, v in _sites().items() if k != "joint"}}, "joint: .* width 512, found is none"),
        ({"parameters": 86_192_641}, "parameters of the image side: the card says 86,192,640, found is 86,192,641"),
        ({"text": False}, "text tower: the card says yes, found is no"),
        ({"input": replace(encoders.card("clip-b16").input, size=(336, 336))}, "336 x 336"),  # type: ignore[type-var]
        ({"input": replace(encoders.card("clip-b16").input, mean=(0.5,) * 3)}, "found is 0.500"),  # type: ignore[type-var]
    ],
)  # fmt: skip
def test_one_fact_that_differs_is_named(facts: dict[str, Any], said: str) -> None:
    import re

    (line, *_) = found = differences(encoders.card("clip-b16"), loaded("clip-b16", **facts))
    assert re.search(said, line)
    assert len(found) <= 2


def test_the_text_tower_is_counted_where_its_size_is_known() -> None:
    both = find("clip-b16").both_towers
    assert both == 149_620_737
    for count, lines in ((both, 0), (both - 1, 1)):
        module = torch.nn.Module()
        module.register_parameter("all", torch.nn.Parameter(torch.empty(count, device="meta")))
        assert len(differences(encoders.card("clip-b16"), loaded("clip-b16", module), both)) == lines


@pytest.mark.parametrize("spec", ["biomedclip", "biomedclip-v1", "eva02-b16", "open_clip:ViT-B-32/openai"])
def test_phantom_clips_files_under_another_name_are_refused_and_stay_synthetic(spec: str) -> None:
    assert not encoders.card(spec).synthetic
    with pytest.raises(
        EncoderError, match=rf"^{spec}: --weights .*phantom-clip is not the network .*--other-weights"
    ) as e:
        encoders.load(spec, weights=PHANTOM)
    assert "\n" not in str(e.value)
    card = encoders.load(spec, weights=PHANTOM, other_weights=True).card
    assert card.other_weights
    assert card.synthetic  # whatever they are called
    assert card.licence == "unknown"
    assert card.note.startswith("other weights than those of the card (")


def test_its_own_files_by_path_are_itself() -> None:
    card = encoders.load("phantom-clip", weights=PHANTOM).card
    assert not card.other_weights
    assert card == replace(encoders.card("phantom-clip"), sites=card.sites)
    said = encoders.load(
        "phantom-clip", weights=PHANTOM, other_weights=True
    ).card  # a shape cannot tell; the caller does
    assert said.other_weights
    assert said.synthetic


def test_a_tiny_network_is_not_the_giant_whose_name_it_bears(tmp_path: Path) -> None:
    dinov2_folder(tmp_path / "w")
    for spec in ("dinov2-g14", "random:dinov2-g14"):
        with pytest.raises(EncoderError, match=r"block: the card says 40 x width 1536 .* found is 3 x width 32"):
            encoders.load(spec, weights=tmp_path / "w")
    encoder = encoders.load("dinov2-g14", weights=tmp_path / "w", other_weights=True)
    untrained = encoders.load("random:dinov2-g14", weights=tmp_path / "w", other_weights=True)
    assert untrained.card.sites == encoder.card.sites
    assert untrained.card.other_weights


def test_a_folder_of_another_architecture_is_refused_under_a_name_of_timm(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    model = timm.create_model("test_vit", num_classes=5)
    described = {"architecture": "test_vit", "num_classes": 5, "pretrained_cfg": SIDE}
    tmp_path.joinpath("config.json").write_text(json.dumps(described))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    assert not encoders.load("timm:test_vit", weights=tmp_path).card.other_weights
    with pytest.raises(EncoderError, match=r"timm:test_vit2: .* parameters: the architecture says .* found is"):
        encoders.load("timm:test_vit2", weights=tmp_path)
    other = encoders.load("timm:test_vit2", weights=tmp_path, other_weights=True)
    untrained = encoders.load("random:timm:test_vit2", weights=tmp_path, other_weights=True)
    assert untrained.card.sites == other.card.sites


def test_another_text_tower_is_refused_under_a_name_of_open_clip(tmp_path: Path) -> None:
    import open_clip

    config = {**open_clip.get_model_config("ViT-B-32"), "vision_cfg": NATIVE["vision_cfg"], "embed_dim": 16}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip, "get_model_config", lambda _: {**config, "text_cfg": NATIVE["text_cfg"]})
        open_clip_folder(tmp_path / "w")
        assert not encoders.load("open_clip:ViT-B-32", weights=tmp_path / "w").card.other_weights
        patch.setattr(open_clip, "get_model_config", lambda _: config)
        with pytest.raises(EncoderError, match="parameters of the text tower: the architecture says"):
            encoders.load("open_clip:ViT-B-32", weights=tmp_path / "w")


def test_a_run_shows_other_weights_in_table_and_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import slitlamp

    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    shared = {"items": 20, "site": "pooled", "permutations": 19, "repeats": 1, "twins": 1, "jobs": 1}
    found = slitlamp.probe("biomedclip", "orientation", weights=PHANTOM, other_weights=True, **shared)
    name = "biomedclip (other weights)"
    (own,) = [record for record in found.records if record.role == "encoder"]
    assert own.encoder == name
    assert own.weights.startswith("other weights, synthetic training, fingerprint ")
    assert {r.encoder for r in found.records if r.encoder.startswith("random:")} == {f"random:{name}"}
    assert own.control_random is not None  # found under the name that is shown
    assert name in str(found)
    assert any("the weights of this encoder" in line for line in found.verdicts[0].sentences)
    assert "--other-weights" in found.command
    plain = slitlamp.probe("phantom-clip", "orientation", weights=PHANTOM, **shared)
    (own,) = [record for record in plain.records if record.role == "encoder"]
    assert own.encoder == "phantom-clip"
    assert own.weights.startswith("local weights, synthetic training, fingerprint ")


def test_an_untrained_encoder_reads_no_file(tmp_path: Path) -> None:
    import cache
    from slitlamp.errors import UsageError

    settings = Settings.of(
        encoder=("random:phantom-clip",), weights=(str(PHANTOM / "open_clip_model.safetensors"),)
    ).encoder
    stored = StoredEncoder(
        spec="random:phantom-clip", settings=settings, store=cache.Store(tmp_path), device="cpu", dtype="float32"
    )
    with pytest.raises(UsageError, match="is a file, and random:phantom-clip is untrained"):
        stored.load()


def test_an_untrained_draw_of_another_architecture_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import slitlamp

    open_clip_folder(tmp_path / "w")
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr("encoders._loading._in_sizes_of", lambda *_: None)  # as of a file, which tells no sizes
    flags = {"items": 20, "site": "pooled", "permutations": 19, "repeats": 1, "twins": 1, "jobs": 1}
    found = slitlamp.probe("phantom-clip", "orientation", weights=tmp_path / "w", other_weights=True, **flags)
    assert not any(record.encoder.startswith("random:") for record in found.records)
    assert any("are of another architecture than random:phantom-clip" in note for note in found.notes)
