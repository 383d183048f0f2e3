"""BERT text towers that lie inside a pickled checkpoint, and the tokenizer that lies in a repository of its own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from encoders.networks.files import BERT_FILES, VOCABULARY
from hub.errors import one_line
from hub.snapshots import snapshot
from hub.torch_files import fill, required

HEAD = 64  # the width of an attention head in every BERT


def tower(state: Mapping[str, torch.Tensor], who: str, where: str) -> Any:
    """The BertModel whose tensors `state` holds, its sizes read off their shapes."""
    required(
        state,
        who,
        where,
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "encoder.layer.0.intermediate.dense.bias",
    )
    words, width = state["embeddings.word_embeddings.weight"].shape
    config = transformers.BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=len({key.split(".")[2] for key in state if key.startswith("encoder.layer.")}),
        num_attention_heads=max(width // HEAD, 1),
        intermediate_size=len(state["encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(state["embeddings.position_embeddings.weight"]),
    )
    weights = {key: value for key, value in state.items() if key != "embeddings.position_ids"}  # a counter, no weight
    return fill(transformers.BertModel(config), weights, who, where)


def text(
    who: str,
    repo: str,
    folder: Path | None,
    offline: bool,
    length: int,
    embed: Callable[[Any], torch.Tensor],
    *,
    padded: bool = True,
) -> Callable[[Sequence[str]], np.ndarray]:
    """The `text` of an encoder: `embed` takes tokens, at most `length` a sentence, and gives [n, d].

    With `padded` every sentence is filled up to `length`; without, sentences go in one by one, so that none is
    changed by the padding that a longer neighbour brings. The tokenizer is read from `folder` where its vocabulary
    lies there, else from `repo` at the first sentence.
    """

    def encode(sentences: Sequence[str]) -> np.ndarray:
        here = folder is not None and any((folder / name).exists() for name in VOCABULARY)
        place = folder
        if not here:
            place, _ = snapshot(repo, None, weights=VOCABULARY, needed=(), others=BERT_FILES, offline=offline)
        with one_line(who, f"the tokenizer in {place}"):
            tokenizer: Any = transformers.AutoTokenizer.from_pretrained(place, local_files_only=True)
        groups = [list(sentences)] if padded else [[sentence] for sentence in sentences]
        options = {"padding": "max_length" if padded else False, "truncation": True, "max_length": length}
        with torch.inference_mode():
            found = [embed(tokenizer(group, return_tensors="pt", **options)) for group in groups]
        return torch.cat(found).float().cpu().numpy()

    return encode
