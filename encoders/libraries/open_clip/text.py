"""Text towers of open_clip: built without asking a hub for a configuration, and read as functions of sentences."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoders.extraction.hooks import first
from hub.errors import one_line


class text_tower:  # noqa: N801  a context manager reads as a verb
    """Arguments that build a BERT text tower from local constants; {} where open_clip has its own."""

    def __init__(self, config: Mapping[str, Any], folder: Path | None, bert: Mapping[str, Any] | None = None) -> None:
        self.text = config.get("text_cfg", {})
        self.folder = folder
        self.bert = bert or {}  # BERT-base: what the PubMed towers are
        self.scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> dict[str, Any]:
        if "hf_model_name" not in self.text:
            return {}
        if self.folder and (self.folder / "config.json").is_file():
            source = str(self.folder)
        else:
            import transformers

            self.scratch = tempfile.TemporaryDirectory()
            source = self.scratch.name
            transformers.BertConfig(**self.bert).save_pretrained(source)
        return {"text_cfg": {**self.text, "hf_model_name": source, "hf_model_pretrained": False}}

    def __exit__(self, *_: object) -> None:
        if self.scratch:
            self.scratch.cleanup()


def text_of(name: str, model: Any, tokenizer: Callable[[], Any], device: str) -> Callable[[Sequence[str]], np.ndarray]:
    """The text side of `model` as a function of sentences; `tokenizer` is made at the first and kept."""
    made = cache(tokenizer)

    def text(sentences: Sequence[str]) -> np.ndarray:
        with one_line(name, "its tokenizer"):
            tokens = made()(list(sentences))
        with torch.inference_mode():
            return first(model.encode_text(tokens.to(device))).float().cpu().numpy()

    return text
