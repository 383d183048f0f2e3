"""Inputs of prompts that were prepared before: an image is prepared once for all questions that are asked of it."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LARGEST = 1 << 29  # bytes of images that are kept

Tensors = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """What the library's processor made of images and of prompts, apart.

    `pictured` are the names of what it makes of an image alone. What it makes of a prompt depends on the image only
    through shapes and whole numbers (size, tiles, masks): prompts are kept by their text and by these.
    """

    pictured: frozenset[str]
    images: OrderedDict[bytes, dict[str, Any]] = field(default_factory=OrderedDict)
    prompts: dict[tuple[str, Any], dict[str, Any]] = field(default_factory=dict)
    held: list[int] = field(default_factory=lambda: [0])

    def inputs(self, prompt: str, image: np.ndarray | None, make: Callable[[], Tensors]) -> dict[str, Any]:
        """The inputs of one prompt, made by `make()` where text or image are new."""
        if image is None:
            if (prompt, None) not in self.prompts:
                self.prompts[prompt, None] = dict(make())
            return self.prompts[prompt, None]
        name = _digest(image)
        pixels = self.images.get(name)
        if pixels is not None:
            self.images.move_to_end(name)
            known = self.prompts.get((prompt, _outline(pixels)))
            if known is not None:
                return {**known, **pixels}
        made = dict(make())
        pixels = {key: value for key, value in made.items() if key in self.pictured}
        self.prompts[prompt, _outline(pixels)] = {key: value for key, value in made.items() if key not in pixels}
        self._keep(name, pixels)
        return made

    def _keep(self, name: bytes, pixels: dict[str, Any]) -> None:
        if name not in self.images:
            self.images[name] = pixels
            self.held[0] += _bytes(pixels)
        while self.held[0] > LARGEST:
            self.held[0] -= _bytes(self.images.popitem(last=False)[1])


def _digest(image: np.ndarray) -> bytes:
    found = hashlib.blake2b(str((image.shape, image.dtype)).encode(), digest_size=16)
    found.update(np.ascontiguousarray(image).data)
    return found.digest()


def _outline(pixels: Tensors) -> Any:
    """Shapes, and the values of whole numbers: all by which an image can change the tokens of a prompt."""
    return tuple(
        (name, tuple(value.shape), b"" if value.is_floating_point() else value.numpy().tobytes())
        for name, value in sorted(pixels.items())
    )


def _bytes(pixels: Tensors) -> int:
    return sum(value.numel() * value.element_size() for value in pixels.values())
