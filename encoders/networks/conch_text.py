"""CONCH's text tower: a causal transformer that reads its own vector, behind the sentence, as the answer.

The mask by which that vector attends is off by one, as in every CoCa of its code's descent: it sees the first padding
and not itself. The weights were trained so, and open_clip keeps it so.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoders._base import EncoderError
from hub.errors import one_line
from hub.torch_files import fill

TOKENIZER = "conch_byte_level_bpe_uncased.json"
PAD = "<pad>"
SPECIAL = {PAD: 0, "<start_of_text>": 1, "<end_of_text>": 2}


def tower(sizes: Mapping[str, int], joint: int, state: Mapping[str, torch.Tensor], who: str, where: str) -> Any:
    """The text tower of those `sizes` with every tensor of `state`; raises EncoderError where one lacks."""
    from open_clip.transformer import TextTransformer

    made = TextTransformer(**sizes, output_dim=joint, embed_cls=True, pad_id=SPECIAL[PAD], pool_type="last")
    return fill(made, state, who, where)


def text_of(who: str, tower: Any, folder: Path, device: str) -> Callable[[Sequence[str]], np.ndarray]:
    """`text` of an encoder: sentences to un-normalised vectors [n, d], by the tokenizer that lies in `folder`.

    Without it the first sentence raises EncoderError, which says where it is to be had.
    """

    @cache
    def tokenizer() -> Any:
        return _tokenizer(who, folder, tower.context_length)

    def text(sentences: Sequence[str]) -> np.ndarray:
        ids = torch.tensor([one.ids for one in tokenizer().encode_batch(list(sentences))])
        with torch.inference_mode():
            return tower(ids.to(device)).float().cpu().numpy()

    return text


def _tokenizer(who: str, folder: Path, length: int) -> Any:
    file = folder / TOKENIZER
    if not file.is_file():
        raise EncoderError(
            f"{who}: sentences need {TOKENIZER}, which lies in the authors' code (mahmoodlab/CONCH, folder "
            f"conch/open_clip_custom/tokenizers) and not beside the weights: lay it into the folder of "
            "pytorch_model.bin and give that folder with --weights"
        )
    from tokenizers import Tokenizer

    with one_line(who, str(file)):
        made = Tokenizer.from_file(str(file))
    for word, number in SPECIAL.items():
        if made.token_to_id(word) != number:
            raise EncoderError(f"{who}: {file} has {word} at {made.token_to_id(word)}, not {number}; it is not CONCH's")
    made.enable_truncation(length)
    made.enable_padding(length=length, pad_id=SPECIAL[PAD], pad_token=PAD)
    return made
