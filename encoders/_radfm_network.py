"""RadFM's network: a vision transformer over volumes, a perceiver and a linear map to the language model.

The names are those of the published checkpoint below `embedding_layer.`, so that its tensors load without a map.
"""

import torch
from torch import nn
from torch.nn import functional

from encoders._perceiver import Perceiver

SIDE, PATCH, DEPTH, FRAMES = 512, 32, 4, 512  # pixels of an image and a patch; slices of a patch; the deepest volume
CELLS = SIDE // PATCH
HEAD = 64


class _Patches(nn.Module):
    """Volumes [b, c, h, w, d] to flat patches [b, h' * w' * d', values], slices innermost as in training."""

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        b, c, h, w, d = volumes.shape
        cut = volumes.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH, d // DEPTH, DEPTH)
        return cut.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).flatten(1, 3)


class _Positions(nn.Module):
    """Learnt positions of rows, columns and depth, one third of the width each."""

    def __init__(self, third: int) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(CELLS, third)
        self.col_embed = nn.Embedding(CELLS, third)
        self.dep_embed = nn.Embedding(FRAMES // DEPTH, third)

    def forward(self, depth: int) -> torch.Tensor:
        """Positions [h' * w' * d', width]; a shallow volume spreads over the whole table of depths."""
        steps = torch.arange(1, depth + 1, device=self.dep_embed.weight.device)
        deep = self.dep_embed(steps * (FRAMES // DEPTH // depth) - 1)
        shape = (CELLS, CELLS, depth, -1)
        axes = (self.row_embed.weight[:, None, None], self.col_embed.weight[None, :, None], deep[None, None])
        return torch.cat([axis.expand(shape) for axis in axes], dim=-1).flatten(0, 2)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * HEAD * heads, bias=False)
        self.to_out = nn.Sequential(nn.Linear(HEAD * heads, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.to_qkv(x).unflatten(2, (3, self.heads, HEAD)).permute(2, 0, 3, 1, 4)
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Feed(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        # the places of the dropouts are kept: the checkpoint counts them
        self.net = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Identity(), nn.Linear(inner, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class _Normed(nn.Module):
    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = fn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fn(self.norm(x))


class _Block(nn.ModuleList):
    """A transformer block whose parts bear the numbers of the checkpoint."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self:
            x = x + part(x)
        return x


class _Transformer(nn.Module):
    def __init__(self, width: int, blocks: int, heads: int, inner: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Block([_Normed(width, _Attention(width, heads)), _Normed(width, _Feed(width, inner))])
            for _ in range(blocks)
        )


class _Tower(nn.Module):
    def __init__(self, width: int, blocks: int, heads: int, inner: int) -> None:
        super().__init__()
        values = 3 * PATCH * PATCH * DEPTH
        self.to_patch_embedding = nn.Sequential(
            _Patches(), nn.LayerNorm(values), nn.Linear(values, width), nn.LayerNorm(width)
        )
        self.pos_embedding = _Positions(width // 3)
        self.transformer = _Transformer(width, blocks, heads, inner)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Tokens [b, h' * w' * d', width] of volumes [b, 3, 512, 512, d]; there is no last norm."""
        x = self.to_patch_embedding(volumes) + self.pos_embedding(volumes.shape[-1] // DEPTH)
        for block in self.transformer.layers:
            x = block(x)
        return x


class RadFMVision(nn.Module):
    """Volumes [b, 3, 512, 512, d] to the tokens [b, 32, 5120] that RadFM's language model receives."""

    def __init__(
        self,
        width: int = 768,
        blocks: int = 12,
        heads: int = 8,
        inner: int = 2048,
        perceiver: Perceiver | None = None,
        language: int = 5120,
    ) -> None:
        super().__init__()
        self.vision_encoder = _Tower(width, blocks, heads, inner)
        self.perceiver = perceiver or Perceiver(width, 32)
        self.fc = nn.Linear(width, language)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """The connector's tokens."""
        return self.fc(self.perceiver(self.vision_encoder(volumes)))
