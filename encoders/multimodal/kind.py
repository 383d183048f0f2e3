"""The image side of a multimodal model: tower and connector as its library builds them, with no language model.

The configuration of the language model is shrunk to no layers and a vocabulary of eight, and only the tensors
of tower and connector are fetched and passed in. The class stays the library's own: it translates the key
spellings of the hub and computes what it computes in the whole model.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import Input, Site
from encoders.answering.kind import LanguageSide
from hub.files import IMAGES, images_said

LANGUAGE = (
    r"(?:model\.)?(?:language_model|text_model|lm_head)\b"
    r"|model\.(?:layers|embed_tokens|norm|gated_cross_attn_layers|transformer)\b"
)
UNSAVED = re.compile(r"position_ids$|inv_freq$|rotary_pos_emb|num_batches_tracked$")  # computed, not learnt
FILES = IMAGES


def image_processor(
    name: str, *, over: Mapping[str, Any] | None = None, **published: Any
) -> Callable[[Any, Path | None], Any]:
    """The image processor of class `name`: as a folder describes it, or with the settings `published`.

    What `over` says holds whatever the folder says.
    """

    def read(library: Any, folder: Path | None) -> Any:
        family = getattr(library, name)
        if folder is None:
            return family(**published)
        return family.from_pretrained(folder, local_files_only=True, **(over or {}))

    return read


@dataclass(frozen=True, kw_only=True)
class ModelParts:
    """A loaded model taken apart: what is read where, and what becomes of an image.

    `image_side` are the modules and parameters of tower and connector by name; `layout(prepared)` gives the
    sites of one preprocessed image, the same for all of them unless `varies`.
    """

    image_side: Mapping[str, Any]
    hooks: Mapping[str, Any]
    run: Callable[[Any], Mapping[str, Any]]
    preprocess: Callable[[np.ndarray], Any]
    input: Input
    layout: Callable[[Any], Mapping[str, Site]]
    varies: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelType:
    """A model type of a family: its class, configuration, image processor and tensors.

    `model` is the library's class and `types` the `model_type`s of config.json that it reads. `config(library)`
    is the full-size configuration; it also stands for a config.json of a type that the library does not know
    (`foreign`), unless `read_config(library, declared)` makes one of what that declares.
    `processor(library, folder)` gives the image processor, with the folder None for the published one.
    `rename(tensors)` brings another spelling of the keys into the hub's. `language`
    matches the names, on disk and at run time, of what is never read. `answers` says how the whole model is asked,
    None where its library cannot build it whole.
    """

    model: str
    types: tuple[str, ...]
    config: Callable[[Any], Any]
    processor: Callable[[Any, Path | None], Any]
    take_apart: Callable[[Any, Any], ModelParts]
    language: str = LANGUAGE
    foreign: tuple[str, ...] = ()
    read_config: Callable[[Any, Mapping[str, Any]], Any] | None = None
    rename: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    shrink: Callable[[Any], None] | None = None
    needed: tuple[str, ...] = ("config.json",)
    others: tuple[str, ...] = FILES
    answers: LanguageSide | None = None

    def wanted(self, name: str) -> bool:
        """Whether a tensor of that name on disk belongs to the image side."""
        return not re.match(self.language, name) and not UNSAVED.search(name)

    def says_images(self, folder: Path) -> bool:
        """Whether a folder says how images are prepared, in a file of its own or in the authors' configuration."""
        if images_said(folder):
            return True
        return (
            self.read_config is not None
            and json.loads((folder / "config.json").read_text("utf-8"))["model_type"] in self.foreign
        )
