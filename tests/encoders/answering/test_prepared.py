"""An image is prepared once, and no prompt is given what was made for another."""

from typing import Any

import numpy as np
import pytest
import torch

from encoders.answering import prepared
from encoders.answering.prepared import Prepared


def make(prompt: str, image: np.ndarray | None, calls: list[Any]) -> dict[str, torch.Tensor]:
    """A processor whose ids tell prompt and size, with a tensor that follows from the words alone."""
    calls.append((prompt, None if image is None else image.shape))
    words = torch.tensor([[len(prompt), ord(prompt[0])]])
    if image is None:
        return {"input_ids": words, "question": words}
    count = image.shape[0]
    ids = torch.cat([words, torch.full((1, count), 9)], 1)
    pixels = torch.from_numpy(image.astype(np.float32))[None]
    mask = torch.ones(1, count, dtype=torch.long)
    return {
        "input_ids": ids,
        "question": words + 1,
        "mask": mask,
        "pixels": pixels,
        "size": torch.tensor([image.shape]),
    }


def asked(kept: Prepared, prompt: str, image: np.ndarray | None, calls: list[Any]) -> dict[str, torch.Tensor]:
    found = kept.inputs(prompt, image, lambda: make(prompt, image, calls))
    due = make(prompt, image, [])
    assert sorted(found) == sorted(due)
    assert all(torch.equal(found[name], due[name]) for name in due)
    return found


def test_what_is_kept_is_what_would_be_made() -> None:
    kept, calls = Prepared(pictured=frozenset({"size"})), []
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, shape, dtype=np.uint8) for shape in ((3, 4), (3, 4), (5, 4))]
    for _ in range(2):
        for prompt in ("a", "b", "ab"):
            for image in (*images, None):
                asked(kept, prompt, image, calls)
    # each image once, each prompt once for each size, and once without an image
    assert len(calls) == len(set(calls)) + 1 == 10
    changed = images[0].copy()
    changed[0, 0] ^= 1
    asked(kept, "a", changed, calls)
    assert len(calls) == 11


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "LARGEST", 3 * (12 * 4 + 16))
    kept, calls = Prepared(pictured=frozenset({"size"})), []
    images = [np.full((3, 4), k, np.uint8) for k in range(4)]
    for image in images:
        asked(kept, "a", image, calls)
    assert len(kept.images) == 3
    asked(kept, "a", images[3], calls)
    assert len(calls) == 4
    asked(kept, "a", images[0], calls)
    assert len(calls) == 5
    assert kept.held[0] == 3 * (12 * 4 + 16)
