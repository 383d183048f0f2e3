"""A whole multimodal model as a value: what it is asked, and what can be read and changed while it answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders._base import Card, Encoder

if TYPE_CHECKING:
    import torch

Edit = Callable[[int, "torch.Tensor"], "torch.Tensor"]
"""What becomes of the connector's tokens [t, d] of one image before the language model receives them.

It is given the number of the prompt and its tokens in raster order, and returns tokens of the same shape.
"""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One question put to a model.

    `text` is the user's turn, without any placeholder of an image; `image` (uint8 [h, w] or [h, w, 3]) stands before
    it, None for a prompt without any image. `start` is what the model's own turn already begins with.
    """

    text: str
    image: np.ndarray | None = None
    start: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a model wrote; `finished` is False where it was cut off at the bound."""

    text: str
    finished: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class WholeModel:
    """A loaded model with its language model: a value that holds functions.

    `card` has the sites of tower, connector and language model (`lm.0` … `lm.L-1` are the outputs of the blocks, so
    the inputs of the next; `lm.final` is behind the last norm). `encoder` is its image side, over the very modules
    that answer. `layers` counts the blocks of the language model. `fingerprint` is a sha256 over tensors, processor,
    tokenizer, chat template and compute dtype. `template` says where the chat template comes from.

    In all functions prompts may differ in length and images in size; batches are formed inside, and an answer does not
    depend on them. Scores come from the raw logits of one forward pass; no generation_config is consulted.

    `next_token(prompts, ids, edit=None)`: float64 [n, k], log-probability of each of the k token ids as the next one.
    `continuations(prompts, texts, edit=None)`: for each prompt a list with, for each of its texts (texts[i] are those
    of prompt i), the float64 log-probabilities of the tokens of that text as the model's turn would hold them.
    `generate(prompts, limit, edit=None)`: greedy replies of at most `limit` tokens.
    `tokens(text, start="")`: the ids that `text` has where it stands at the beginning of the model's turn, behind
    `start`, as this chat template and tokenizer produce them.
    `connector(prompts)`: float32 tokens [t, d] of each prompt's image, in raster order, as the language model
    receives them.
    `reader(text)`: an `Encoder` of images alone, whose prompt is always `text`: it has all sites, `lm.*` with the
    readouts of a grid at the image's positions and `last` at the last token of the prompt, all from the one forward
    pass with which the model answers; its fingerprint holds the prompt.
    """

    card: Card
    encoder: Encoder
    fingerprint: str
    layers: int
    template: str
    next_token: Callable[..., np.ndarray]
    continuations: Callable[..., list[list[np.ndarray]]]
    generate: Callable[..., list[Reply]]
    tokens: Callable[..., tuple[int, ...]]
    connector: Callable[[Sequence[Prompt]], list[np.ndarray]]
    reader: Callable[[str], Encoder]
    device: str = "cpu"
    dtype: str = "float32"
    files: tuple[Any, ...] = ()
    libraries: tuple[str, ...] = ()
