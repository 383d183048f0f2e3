"""Text towers of open_clip: built without asking a hub for a configuration, and read as functions of sentences."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoders.extraction.hooks import first
from hub.errors import one_line

OF_2023 = {"proj": "hf_proj_type", "pooler_type": "hf_pooler_type"}  # what open_clip called them before November 2023


def of_today(config: Mapping[str, Any]) -> dict[str, Any]:
    """A `model_cfg` whose text tower has the library's names of today."""
    text = {OF_2023.get(name, name): value for name, value in config.get("text_cfg", {}).items()}
    return {**config, "text_cfg": text} if text else dict(config)


@contextmanager
def text_tower(
    config: Mapping[str, Any], folder: Path | None, bert: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Arguments that build a BERT text tower from the configuration in `folder`; {} where open_clip has its own.

    Without such a configuration the tower has the settings `bert`, else those of BERT-base, as the PubMed towers.
    """
    text = config.get("text_cfg", {})
    if "hf_model_name" not in text:
        yield {}
        return
    with tempfile.TemporaryDirectory() as scratch:
        source = folder
        if source is None or not (source / "config.json").is_file():
            import transformers

            source = Path(scratch)
            transformers.BertConfig(**(bert or {})).save_pretrained(source)
        yield {"text_cfg": {**text, "hf_model_name": str(source), "hf_model_pretrained": False}}


def text_of(name: str, model: Any, tokenizer: Callable[[], Any], device: str) -> Callable[[Sequence[str]], np.ndarray]:
    """The text side of `model` as a function of sentences; `tokenizer` is made at the first and kept."""
    made = cache(tokenizer)

    def text(sentences: Sequence[str]) -> np.ndarray:
        with one_line(name, "its tokenizer"):
            tokens = made()(list(sentences))
        with torch.inference_mode():
            return first(model.encode_text(tokens.to(device))).float().cpu().numpy()

    return text
