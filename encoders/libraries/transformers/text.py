"""Text towers of the transformers library: sentences to vectors in the joint space."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from encoders._base import EncoderError
from hub.errors import one_line


def text_of(model: Any, folder: Path, device: str) -> Callable[[Sequence[str]], np.ndarray]:
    """The text side of a dual encoder as a function of sentences; its tokenizer lies in `folder` and is read once."""
    made = cache(_right_padded if model.config.model_type == "siglip" else _tokenizer)

    def text(sentences: Sequence[str]) -> np.ndarray:
        with one_line(type(model).__name__, f"the tokenizer in {folder}"):
            tokenizer = made(folder)
        length = model.config.text_config.max_position_embeddings
        siglip = model.config.model_type == "siglip"
        tokens: Mapping[str, torch.Tensor] = tokenizer(
            [sentence.lower() for sentence in sentences] if siglip else list(sentences),
            padding="max_length" if siglip else True,
            truncation=True,
            max_length=length,
            return_tensors="pt",
        ).to(device)
        # SigLIP was trained on lower case and without a mask: its text tower reads the padding, and its last token
        wanted = ("input_ids",) if siglip else ("input_ids", "attention_mask")
        with torch.inference_mode():
            out = model.get_text_features(**{key: tokens[key] for key in wanted})
        return getattr(out, "pooler_output", out).cpu().numpy()

    return text


def _tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _right_padded(folder: Path) -> Any:
    """SigLIP's tokenizer as its file has it.

    The classes that repositories name ask for another library, or pad on the left.
    """
    file, described = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not file.is_file() or not described.is_file():
        raise EncoderError(f"{folder} lacks tokenizer.json or tokenizer_config.json, so sentences cannot be read")
    pad = json.loads(described.read_text(encoding="utf-8"))["pad_token"]
    pad = pad["content"] if isinstance(pad, Mapping) else pad
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(file), pad_token=pad, padding_side="right")
