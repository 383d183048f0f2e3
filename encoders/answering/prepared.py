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

    Of an image are what is no whole number, and `pictured`. All else is of the prompt, and depends on an image only
    through its size, by which its tiles, masks and positions are counted: it is kept by text and size.
    """

    pictured: frozenset[str]
    images: OrderedDict[bytes, dict[str, Any]] = field(default_factory=OrderedDict)
    prompts: dict[tuple[str, tuple[int, ...]], dict[str, Any]] = field(default_factory=dict)
    held: list[int] = field(default_factory=lambda: [0])

    def inputs(self, prompt: str, image: np.ndarray | None, make: Callable[[], Tensors]) -> dict[str, Any]:
        """The inputs of one prompt, made by `make()` where text or image are new."""
        if image is None:
            if (prompt, ()) not in self.prompts:
                self.prompts[prompt, ()] = dict(make())
            return self.prompts[prompt, ()]
        name = _digest(image)
        pixels = self.images.get(name)
        if pixels is not None:
            self.images.move_to_end(name)
            known = self.prompts.get((prompt, image.shape))
            if known is not None:
                return {**known, **pixels}
        made = dict(make())
        pixels = {k: value for k, value in made.items() if k in self.pictured or value.is_floating_point()}
        self.prompts[prompt, image.shape] = {key: value for key, value in made.items() if key not in pixels}
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


def _bytes(pixels: Tensors) -> int:
    return sum(value.numel() * value.element_size() for value in pixels.values())
