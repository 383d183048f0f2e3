"""Molmo's network: a CLIP tower of 23 blocks, and the adapter that pools its patches and projects them.

The adapter's names are those of the published checkpoint below `model.vision_backbone.`.
"""

import torch
from torch import nn
from torch.nn import functional

from encoders._eyes import HEAD, tower
from encoders._molmo_images import POOL

READ = (-2, -9)  # the blocks that the adapter reads, one behind the other


class _Pool(nn.Module):
    """Attention from the mean of four patches to the four: [n, 4, values] to [n, width]."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.wq = nn.Linear(values, width)
        self.wk = nn.Linear(values, width)
        self.wv = nn.Linear(values, width)
        self.wo = nn.Linear(width, width)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        asked = self.wq(patches.mean(1, keepdim=True))
        heads = max(asked.shape[-1] // HEAD, 1)
        q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (asked, self.wk(patches), self.wv(patches)))
        return self.wo(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))[:, 0]


class _Project(nn.Module):
    """A gated map to the width of the language model."""

    def __init__(self, width: int, inner: int, language: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, language, bias=False)
        self.w3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w2(functional.silu(self.w1(x)) * self.w3(x))


class Adapter(nn.Module):
    """What stands between the tower and the language model."""

    def __init__(self, width: int, inner: int, language: int) -> None:
        super().__init__()
        values = len(READ) * width
        self.image_pooling_2d = _Pool(width, values)
        self.image_projector = _Project(width, inner, language)
        self.pad_embed = nn.Parameter(torch.zeros(2, values))

    def forward(self, patches: torch.Tensor, filled: torch.Tensor) -> torch.Tensor:
        """Tokens [b, crops, h, w, language] of patches [b, crops, h * w, values], `filled` telling their padding.

        The share of a patch that is image is 0 where it is all padding; below 1, which takes in the -1 that the
        model's processor writes, it counts as partly padding.
        """
        empty = (filled == 0)[..., None]
        partly = (filled < 1)[..., None] & ~empty
        patches = patches + self.pad_embed[0] * empty + self.pad_embed[1] * partly
        side = round(patches.shape[2] ** 0.5) // POOL
        b, crops, _, values = patches.shape
        four = patches.reshape(b, crops, side, POOL, side, POOL, values).transpose(3, 4)
        pooled = self.image_pooling_2d(four.reshape(-1, POOL * POOL, values))
        return self.image_projector(pooled).reshape(b, crops, side, side, -1)


def network(inner: int, language: int) -> nn.Module:
    """The eye in full size."""
    import transformers

    module, vision = nn.Module(), transformers.CLIPVisionModel(tower(layers=23))
    vision.add_module("post_layernorm", nn.Identity())
    module.vision = vision
    module.adapter = Adapter(1024, inner, language)
    return module
