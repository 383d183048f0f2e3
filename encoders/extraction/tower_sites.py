"""Sites of transformer towers: one per block, and those behind the last block."""

from encoders._base import Site


def block_sites(layers: int, width: int, grid: tuple[int, int], prefix: int, cls: bool) -> dict[str, Site]:
    """`block.0` and so on, all alike."""
    return dict.fromkeys((f"block.{i}" for i in range(layers)), Site(width=width, grid=grid, prefix=prefix, cls=cls))


def sites(layers: int, width: int, side: int, *, prefix: int, vectors: dict[str, int]) -> dict[str, Site]:
    """The sites of a tower over a square grid: its blocks, `final`, and `vectors` as {name: width}.

    The first of the `prefix` tokens is CLS.
    """
    blocks = block_sites(layers, width, (side, side), prefix, cls=prefix > 0)
    return blocks | {"final": blocks["block.0"]} | {name: Site(width=size) for name, size in vectors.items()}
