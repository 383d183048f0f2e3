"""The image side of a multimodal model: tower and connector as its library builds them, with no language model.

The configuration of the language model is shrunk to no layers and a vocabulary of eight, and only the tensors
of tower and connector are fetched and passed in. The class stays the library's own: it translates the key
spellings of the hub and computes what it computes in the whole model.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders._faults import lacks, one_line
from encoders._registry import Checkpoint

LANGUAGE = (
    r"(?:model\.)?(?:language_model|text_model|lm_head)\b"
    r"|model\.(?:layers|embed_tokens|norm|gated_cross_attn_layers|transformer)\b"
)
UNSAVED = re.compile(r"position_ids$|inv_freq$|rotary_pos_emb|num_batches_tracked$")  # computed, not learnt
SMALL = {"num_hidden_layers": 0, "vocab_size": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """A loaded model taken apart: what is read where, and what becomes of an image.

    `image_side` are the modules and parameters of tower and connector by name; `layout(prepared)` gives the
    sites of one preprocessed image, the same for all of them unless `varies`.
    """

    image_side: Mapping[str, Any]
    taps: Mapping[str, Any]
    run: Callable[[Any], Mapping[str, Any]]
    preprocess: Callable[[np.ndarray], Any]
    input: Input
    layout: Callable[[Any], Mapping[str, Site]]
    varies: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a family says about one model type.

    `model` is the library's class and `types` the `model_type`s of config.json that it reads. `config(library)`
    is the full-size configuration; it also stands for a config.json that the library does not know (`foreign`),
    unless `own(library, told)` makes one of what that tells.
    `processor(library, folder)` gives the image processor, with the folder None for the published one.
    `rename(tensors)` brings another spelling of the keys into the hub's. `language`
    matches the names, on disk and at run time, of what is never read.
    """

    model: str
    types: tuple[str, ...]
    config: Callable[[Any], Any]
    processor: Callable[[Any, Path | None], Any]
    anatomy: Callable[[Any, Any], Anatomy]
    language: str = LANGUAGE
    foreign: tuple[str, ...] = ()
    own: Callable[[Any, Mapping[str, Any]], Any] | None = None
    rename: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    shrink: Callable[[Any], None] | None = None
    needed: tuple[str, ...] = ("config.json",)
    others: tuple[str, ...] = FILES

    def wanted(self, name: str) -> bool:
        """Whether a tensor of that name on disk belongs to the image side."""
        return not re.match(self.language, name) and not UNSAVED.search(name)

    def says_images(self, folder: Path) -> bool:
        """Whether a folder says how images are prepared, in a file of its own or in the authors' configuration."""
        first, second = (folder / name for name in FILES)
        if first.is_file() or (second.is_file() and "image_processor" in json.loads(second.read_text("utf-8"))):
            return True
        return (
            self.own is not None
            and json.loads((folder / "config.json").read_text("utf-8"))["model_type"] in self.foreign
        )


def checkpoint(card: Card, kind: Kind) -> Checkpoint:
    """The checkpoint of a multimodal model, as the registry wants it."""
    return Checkpoint(
        card=card,
        load=lambda card, device, weights, offline: load(card, kind, device, weights, offline),
        untrained=lambda card, device: untrained(card, kind, device),
        network=lambda: network(kind),
        kind=kind,
    )


def load(card: Card, kind: Kind, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The encoder from its repository at its commit, or from a folder in the same format.

    Raises EncoderError where the folder is another model's, and where tensors lack or are too many.
    """
    from encoders._parts import fetch

    if weights is None:
        assert card.repo is not None
        folder, commit = fetch(
            card.repo, card.revision, kind.wanted, needed=kind.needed, others=kind.others, offline=offline
        )
        card = replace(card, revision=commit)
    else:
        folder, card = _folder(card, kind, weights), replace(card, repo=None, revision=None)
    return from_folders(card, kind, device, [(folder, kind.wanted)])


def _folder(card: Card, kind: Kind, weights: Path) -> Path:
    if not weights.is_dir():
        raise EncoderError(
            f"{card.name}: --weights {weights} is not a folder; give a snapshot of {card.repo} with "
            f"{', '.join(kind.needed)} and its .safetensors, as `hf download {card.repo}` makes it"
        )
    for name in kind.needed:
        if not (weights / name).exists():
            raise EncoderError(f"{card.name}: --weights {weights} has no {name}; is it a snapshot of {card.repo}?")
    return weights


def from_folders(card: Card, kind: Kind, device: str, sources: Sequence[tuple[Path, Callable[[str], bool]]]) -> Encoder:
    """The encoder of a folder with its configuration and the tensors of tower and connector.

    Each of `sources` is a folder and which of its tensors are taken; the first has the configuration.
    """
    import torch
    import transformers

    from encoders._parts import floats, read_from
    from encoders._transformers import quiet
    from encoders._used import settings

    folder = sources[0][0]
    with one_line(card.name, str(folder)), quiet():
        config = _config(card.name, kind, folder)
        state: Mapping[str, Any] = {k: v for place, keep in sources for k, v in floats(place, keep).items()}
        if kind.rename:
            state = kind.rename(state)
        strip(config, kind)
        model, told = getattr(transformers, kind.model).from_pretrained(
            None, config=config, state_dict=dict(state), dtype=torch.float32, output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )  # fmt: skip
        _whole(card.name, kind, folder, told)
        if kind.others and not kind.says_images(folder):
            raise EncoderError(
                f"{card.name}: {folder} has neither {FILES[0]} nor {FILES[1]} with an image processor in it"
            )
        processor = kind.processor(transformers, folder)
    apart = sorted({path for name in kind.needed if "/" in name for path in (folder / name).parent.iterdir()})
    files = (*settings(folder), *apart, *(path for place, keep in sources for path in read_from(place, keep)))
    return _encoder(card, kind, model, processor, device, files)


def _whole(who: str, kind: Kind, folder: Path, told: Mapping[str, Any]) -> None:
    """Refuse what would load without a word and give other features."""
    missing = [name for name in told["missing_keys"] if kind.wanted(name)]
    if missing:
        raise lacks(who, missing, str(folder))
    unexpected = sorted(name for name in told["unexpected_keys"] if not UNSAVED.search(name))
    if unexpected:
        raise EncoderError(
            f"{who}: the weights in {folder} hold {len(unexpected)} tensors that the architecture has not "
            f"(first: {unexpected[0]}); these are another model's weights"
        )
    for name, on_disk, built in told.get("mismatched_keys") or ():
        raise EncoderError(
            f"{who}: tensor {name} in {folder} has shape {list(on_disk)} where the architecture has {list(built)}; "
            "these are another model's weights"
        )


def _config(who: str, kind: Kind, folder: Path) -> Any:
    import transformers

    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    found = told.get("model_type")
    if found in kind.foreign and kind.own:
        try:
            return kind.own(transformers, told)
        except EncoderError as error:
            raise EncoderError(f"{who}: {folder / 'config.json'} {error}") from None
    if found in kind.foreign:
        return kind.config(transformers)
    if found not in kind.types:
        known = " or ".join(repr(name) for name in (*kind.types, *kind.foreign))
        raise EncoderError(f"{who}: {folder / 'config.json'} is of model type {found!r}, {who} is {known}")
    return transformers.AutoConfig.from_pretrained(folder, local_files_only=True)


def strip(config: Any, kind: Kind) -> None:
    """Leave of the language model its hidden width and nothing else."""
    text = config.get_text_config(decoder=True)
    for name, value in SMALL.items():
        if hasattr(text, name):
            setattr(text, name, value)
    for name in ("layer_types", "mlp_layer_types", "cross_attention_layers"):
        if getattr(text, name, None) is not None:
            setattr(text, name, [])
    if kind.shrink:
        kind.shrink(config)


def network(kind: Kind) -> Any:
    """The image side in full size, under torch's current default device and random state."""
    import transformers

    model = built(kind)
    return side(kind.anatomy(model, kind.processor(transformers, None)).image_side)


def built(kind: Kind, config: Any = None) -> Any:
    """The model without its language model, under torch's current default device and random state."""
    import transformers

    config = kind.config(transformers) if config is None else config
    strip(config, kind)
    return getattr(transformers, kind.model)(config)


def untrained(card: Card, kind: Kind, device: str, folder: Path | None = None) -> Encoder:
    """The same tower and connector under torch's current random state, of the sizes that `folder` tells if given."""
    import torch
    import transformers

    config = _config(card.name, kind, folder) if folder else None
    model = built(kind, config)
    with torch.no_grad():
        for matrix in (value for value in model.parameters() if value.ndim > 1 and not value.any()):
            matrix.normal_(std=0.02)  # the library leaves it at zero for training, and the twin would see nothing
    return _encoder(card, kind, model, kind.processor(transformers, folder), device, ())


def side(parts: Mapping[str, Any]) -> Any:
    """Modules and parameters as one module, so that what is hashed and counted is the image side alone."""
    import torch

    whole = torch.nn.Module()
    for name, part in parts.items():
        if isinstance(part, torch.nn.Parameter):
            whole.register_parameter(name, part)
        else:
            whole.add_module(name, part)
    return whole


def _encoder(card: Card, kind: Kind, model: Any, processor: Any, device: str, files: Sequence[Path]) -> Encoder:
    from encoders._build import assemble
    from encoders._hooks import freeze
    from encoders._transformers import LIBRARIES, portable

    parts = kind.anatomy(freeze(model, device), processor)
    nominal = parts.layout(parts.preprocess(np.zeros((512, 512), np.uint8)))
    return assemble(
        card,
        side(parts.image_side),
        run=parts.run,
        taps=parts.taps,
        sites=nominal,
        preprocess=parts.preprocess,
        input=parts.input,
        device=device,
        architecture=portable([model.config.to_dict(), processor.to_dict()]),
        libraries=LIBRARIES,
        files=files,
        layout=parts.layout if parts.varies else None,
    )
