"""The forms in which a plain tower is published: shards, a whole processor's settings, names of before 2022."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError
from tests.stand_in_hub import Hub, Repository, clip_folder, dinov2_folder, serving, siglip_folder, stand_in

NAMES: dict[str, Callable[[Path], Any]] = {
    "clip-b16": clip_folder,
    "siglip-b16": siglip_folder,
    "dinov2-b14": dinov2_folder,
}
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
COMMIT = "a" * 40


def _sharded(folder: Path, model: Any) -> None:
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 3


def _settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "preprocessor_config.json").read_text())


def _of_a_processor(folder: Path, model: Any) -> None:
    del model
    whole = {"image_processor": _settings(folder), "processor_class": "CLIPProcessor"}
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps(whole))


def _spelt(key: str) -> Callable[[Path, Any], None]:
    def write(folder: Path, model: Any) -> None:
        del model
        told = _settings(folder)
        name = told.pop("image_processor_type")
        told[key] = name.removesuffix("Pil").replace("ImageProcessor", "FeatureExtractor")
        told |= {"size": 64, "crop_size": 64}  # one number, as it was written then
        (folder / "preprocessor_config.json").write_text(json.dumps(told))

    return write


FORMS: dict[str, Callable[[Path, Any], None]] = {
    "shards": _sharded,
    "processor": _of_a_processor,
    "feature_extractor_type": _spelt("feature_extractor_type"),
    "image_processor_type": _spelt("image_processor_type"),
}


BOTH = ("shards", "processor")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """Each tower in the plain form, once."""
    root = tmp_path_factory.mktemp("plain")
    return {name: (root / name, make(root / name)) for name, make in NAMES.items()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub()) as running:
        running.set_client(monkeypatch.setattr, tmp_path / "hub")
        yield running


def features(encoder: encoders.Encoder) -> dict[str, np.ndarray]:
    return encoders.encode(encoder, [IMAGE], {"block.1": ["mean"], "pooled": ["vector"]})


def same(ours: encoders.Encoder, theirs: encoders.Encoder) -> None:
    found = features(theirs)
    for point, value in features(ours).items():
        np.testing.assert_allclose(value, found[point], rtol=0, atol=1e-6)  # memory of a shard is aligned otherwise


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *(("clip-b16", form) for form in FORMS),
        *((name, form) for name in ("siglip-b16", "dinov2-b14") for form in BOTH),
    ],
)
def test_every_form_gives_the_features_of_the_plain_one(
    name: str, form: str, shelf: dict[str, tuple[Path, Any]], hub: Hub, tmp_path: Path
) -> None:
    plain, model = shelf[name]
    folder = Path(shutil.copytree(plain, tmp_path / "form"))
    FORMS[form](folder, model)
    hub.repositories = {repo: Repository(folder=folder, commit=COMMIT) for repo in ("x/y", encoders.card(name).repo)}  # pyright: ignore
    expected = stand_in(name, weights=plain)
    for spec in ("hf:x/y", name):
        same(stand_in(spec), expected)
        same(stand_in(spec, weights=folder), expected)
        same(stand_in(spec, offline=True), expected)
    drawn = stand_in("random:hf:x/y", weights=folder)
    assert drawn.card.sites == expected.card.sites
    assert drawn.card.input == expected.card.input
    same(stand_in("random:hf:x/y", offline=True), drawn)


@pytest.mark.parametrize("form", ["shards", "processor"])
def test_after_a_fetch_that_broke_off_the_rest_is_fetched(
    form: str, shelf: dict[str, tuple[Path, Any]], hub: Hub, tmp_path: Path
) -> None:
    plain, model = shelf["clip-b16"]
    folder = Path(shutil.copytree(plain, tmp_path / "form"))
    FORMS[form](folder, model)
    hub.repositories = {"x/y": Repository(folder=folder, commit=COMMIT, fault="broken")}
    with pytest.raises(EncoderError, match=r"x/y at .* could not be fetched"):
        stand_in("hf:x/y")
    same(stand_in("random:hf:x/y"), stand_in("random:hf:x/y", weights=folder))
    with pytest.raises(EncoderError, match=r"x/y at .* (is not|only in part).*the run is offline"):
        stand_in("hf:x/y", offline=True)
    hub.repositories["x/y"].fault = ""
    same(stand_in("hf:x/y"), stand_in("clip-b16", weights=plain))


def test_the_configuration_alone_tells_no_untrained_network_and_says_what_lacks(
    shelf: dict[str, tuple[Path, Any]], hub: Hub, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(shelf["clip-b16"][0], tmp_path / "form"))
    (folder / "preprocessor_config.json").unlink()
    hub.repositories = {"x/y": Repository(folder=folder, commit=COMMIT)}
    for spec in ("hf:x/y", "random:hf:x/y"):
        with pytest.raises(EncoderError, match=r"x/y at .* holds no preprocessor_config.json or processor_config.json"):
            stand_in(spec)
    with pytest.raises(EncoderError, match=r"has no preprocessor_config.json or processor_config.json"):
        stand_in("clip-b16", weights=folder)
    (folder / "processor_config.json").write_text('{"processor_class": "CLIPProcessor"}')
    with pytest.raises(EncoderError, match=r"neither preprocessor_config.json nor .* with an image processor in it"):
        stand_in("clip-b16", weights=folder)


def test_an_index_that_points_elsewhere_is_refused(
    shelf: dict[str, tuple[Path, Any]], hub: Hub, tmp_path: Path
) -> None:
    plain, model = shelf["dinov2-b14"]
    folder = Path(shutil.copytree(plain, tmp_path / "form"))
    _sharded(folder, model)
    index = folder / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    first = next(iter(told["weight_map"]))
    for place in ("../model.safetensors", "/etc/passwd"):
        index.write_text(json.dumps({**told, "weight_map": {**told["weight_map"], first: place}}))
        hub.repositories = {"x/y": Repository(folder=folder, commit=COMMIT)}
        with pytest.raises(EncoderError, match="which is no file beside it") as caught:
            stand_in("hf:x/y")
        assert "\n" not in str(caught.value)


def test_a_shard_that_is_not_there_is_named(shelf: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    plain, model = shelf["dinov2-b14"]
    folder = Path(shutil.copytree(plain, tmp_path / "form"))
    _sharded(folder, model)
    gone = sorted(folder.glob("model-*.safetensors"))[2]
    gone.unlink()
    with pytest.raises(EncoderError, match=gone.name) as caught:
        stand_in("dinov2-b14", weights=folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config.json", {"num_hidden_layers": 2**63}, "9223372036854775808 layers; 1 to 1000"),
        ("config.json", {"num_hidden_layers": 0}, "says 0 layers"),
        ("config.json", {"num_hidden_layers": "2"}, "says 2 layers"),
        ("preprocessor_config.json", {"image_std": [0.2, None, 0.2]}, "image_std holds what is no number"),
        ("preprocessor_config.json", {"image_mean": [0.2, "grey", 0.2]}, "grey"),
        ("preprocessor_config.json", {"crop_size": {"height": 56, "width": 0}}, "pixels of 56 x 0"),
    ],
)
def test_settings_that_no_network_has_are_refused_in_one_line(
    shelf: dict[str, tuple[Path, Any]], tmp_path: Path, file: str, change: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "tower"
    shutil.copytree(shelf["dinov2-b14"][0], folder)
    told = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(told | change))
    for spec in ("dinov2-b14", "random:dinov2-b14"):
        with pytest.raises(EncoderError, match=r"^[^\n]*$") as caught:
            encoders.load(spec, weights=folder, other_weights=True)
        assert said in str(caught.value)
