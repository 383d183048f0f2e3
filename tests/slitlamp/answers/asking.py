"""Small images, a formula that answers, and the questions that are put to it, for the tests of answers."""

from pathlib import Path
from typing import Any

import numpy as np

import encoders
from cache import Store
from slitlamp.answers.inquiry import Inquiry
from slitlamp.answers.stored import StoredModel
from slitlamp.encoding.images import ImageSet
from slitlamp.settings import EncoderSettings
from tasks import Picture
from tests.letter_model import LetterModel

CLASSES = ("upright", "upside down", "turned a little")
PROMPTS = ("Which way up is it?", "How does it stand?", "What is its position?")
WORDINGS = (CLASSES, ("not turned", "turned over", "nearly upright"))
MEANS = {word: c for words in WORDINGS for word, c in zip(words, CLASSES, strict=True)}


def sees(image: np.ndarray) -> str | None:
    """The class that the first pixel tells; none of a grey image, or of an item that nobody could tell."""
    value = int(image[0, 0]) // 50
    return CLASSES[value] if value < len(CLASSES) and len(np.unique(image)) > 1 else None


def image_of(c: int, number: int, *, unclear: bool) -> np.ndarray:
    """uint8 [4, 5]: the class in the first pixel, and what makes the image its own."""
    image = np.full((4, 5), 200, np.uint8)
    image[0, 0] = 240 if unclear else 50 * c + 10
    image[3, 4], image[3, 3] = number, c
    return image


def inquiry(store: Store, *, n: int = 12, k: int = 3, unclear: int = 0, prompts: int = 3, wordings: int = 2) -> Inquiry:
    """N items of k classes in n / k groups, each group with one item of each class; the last `unclear` show nothing."""
    y = np.arange(n) % k
    pictures = []
    for i in range(n):
        image = image_of(int(y[i]), i, unclear=i >= n - unclear)
        pictures.append(Picture(read=lambda image=image: image, identity=None))
    ids = tuple(f"item {i}" for i in range(n))
    return Inquiry(
        name="position", ids=ids, groups=np.array([f"group {i // k}" for i in range(n)]), y=y,
        prompts=[PROMPTS[:prompts]] * n, options=[tuple(words[:k] for words in WORDINGS[:wordings])] * n,
        pictures=ImageSet(pictures=pictures, names=ids, store=store), policy={}, classes=CLASSES[:k],
        facts=[tuple(f"This image is {c}." for c in CLASSES[:k])] * n,
        copies=tuple(f"group {i // k}" for i in range(n)),
        record={"task": "position"},
    )  # fmt: skip


def stored(model: LetterModel, home: Path, monkeypatch: Any, *, batch: int = 16, name: str = "letter") -> StoredModel:
    """The formula as a run knows a model, in a store of its own."""
    whole = model.whole(name)
    monkeypatch.setattr(encoders, "load_whole", lambda *_, **__: whole)
    settings = EncoderSettings(encoder=("phantom-clip",), batch_size=batch)
    return StoredModel(spec="phantom-clip", settings=settings, store=Store(home), device="cpu", dtype="float32")
