"""The sites of transformer towers, as cards tell them and as they are once loaded."""

from encoders._base import Site


def sites(layers: int, width: int, side: int, *, prefix: int, vectors: dict[str, int]) -> dict[str, Site]:
    """The sites of a square transformer tower, as they are once it is loaded."""
    tokens = Site(width=width, grid=(side, side), prefix=prefix, cls=prefix > 0)
    named = {f"block.{i}": tokens for i in range(layers)} | {"final": tokens}
    return named | {name: Site(width=width) for name, width in vectors.items()}


def tower(layers: int, width: int, grid: tuple[int, int], prefix: int, cls: bool) -> dict[str, Site]:
    """The block sites of a transformer."""
    site = Site(width=width, grid=grid, prefix=prefix, cls=cls)
    return {f"block.{i}": site for i in range(layers)}
