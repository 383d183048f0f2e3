"""What a card says, against real weights: run with `make verify-weights NAME=biomedclip`, skipped where there are none.

Weights in the hub's cache are used as they lie. SLITLAMP_WEIGHTS=network lets what lacks be fetched;
SLITLAMP_WEIGHTS=FOLDER takes FOLDER/NAME, as `--weights` would.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import encoders
from encoders import Encoder
from hub.repository import cached_state

pytestmark = pytest.mark.weights
NAMES = [name for name in encoders.names() if encoders.card(name).parameters or encoders.card(name).repo]


def ready(name: str, where: str) -> tuple[Path | None, bool] | None:
    """Which weights to load, and whether offline; None where none are at hand."""
    card = encoders.card(name)
    if where not in ("", "network"):
        found = sorted(path for path in Path(where).glob("*") if name in (path.name, path.stem))
        if found:
            return found[0], True
    if card.bytes == 0 or (card.repo and cached_state(card.repo, card.revision) == "yes"):
        return None, True
    return (None, False) if where == "network" and card.repo else None


@pytest.fixture(scope="module", params=NAMES)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """The encoder with its real weights, loaded once for all that is asked of it."""
    name = request.param
    use = ready(name, os.environ.get("SLITLAMP_WEIGHTS", ""))
    if use is None:
        pytest.skip(
            f"no weights of {name} here: SLITLAMP_WEIGHTS=network fetches them, SLITLAMP_WEIGHTS=FOLDER takes "
            f"FOLDER/{name}"
        )
    return encoders.load(name, weights=use[0], offline=use[1])


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """A chest film, an abdominal slice that is not square and a look into a lumen, as the project draws them."""
    from tasks.phantoms.abdomen import axial
    from tasks.phantoms.chest import film
    from tasks.phantoms.lumen import view

    return [film.film(0, 0), axial.scan(0, 0, enhanced=True)[:, :180], view.view(0, 0)]


def features(encoder: Encoder, images: list[np.ndarray]) -> Mapping[str, np.ndarray]:
    """The first readout of every site."""
    return encoders.encode(encoder, images, {name: [site.readouts[0]] for name, site in encoder.card.sites.items()})


def test_the_card_says_what_was_loaded(encoder: Encoder) -> None:
    told, found = encoders.card(encoder.card.name), encoder.card
    assert found.parameters == told.parameters
    assert found.text == told.text
    assert list(found.sites) == list(told.sites)
    for name, site in told.sites.items():
        assert asdict(found.sites[name]) == asdict(site), name
    if told.input is not None:
        assert found.input is not None
        assert asdict(found.input) == asdict(told.input)


def test_features_are_finite_and_differ_from_image_to_image(encoder: Encoder, images: list[np.ndarray]) -> None:
    for name, values in features(encoder, images).items():
        assert np.isfinite(values).all(), name
        assert values.std(axis=0).max() > 0, f"{name} is the same for every image"
        assert values.std(axis=1).min() > 0, f"{name} is one number"


def test_bfloat16_agrees_with_float32(encoder: Encoder, images: list[np.ndarray]) -> None:
    from encoders.extraction.precision import lowered

    low, high = features(lowered(encoder, "bfloat16"), images), features(encoder, images)
    for name, values in high.items():
        cosine = (low[name] * values).sum(1) / np.linalg.norm(low[name], axis=1) / np.linalg.norm(values, axis=1)
        assert cosine.min() > 0.99, name


def test_text_and_image_meet_in_one_space(encoder: Encoder, images: list[np.ndarray]) -> None:
    if encoder.text is None:
        pytest.skip(f"{encoder.card.name} reads no text")
    words = encoder.text(["a chest film", "an abdominal CT slice"])
    seen = encoders.encode(encoder, images, {"joint": ["vector"]})["joint/vector"]
    assert words.shape == (2, seen.shape[1])
    assert np.isfinite(words).all()
    assert (np.linalg.norm(words, axis=1) > 0).all()
    assert not np.allclose(words[0], words[1])
