"""Multimodal models as encoders: from a repository, from a folder, or untrained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import Card, Encoder, EncoderError
from encoders.multimodal.kind import FILES, ModelParts, ModelType
from encoders.multimodal.model import built, config_of, side, strip, whole
from hub.errors import one_line

Sources = Sequence[tuple[Path, Callable[[str], bool]]]


def load(
    card: Card, model_type: ModelType, device: str, weights: Path | None, offline: bool, shipped: Path | None = None
) -> Encoder:
    """The encoder from its repository at its commit, from a folder in the same format, or as the project ships it.

    Raises EncoderError where the folder is another model's, and where tensors are missing or unexpected.
    """
    from hub.tensors import fetch

    if weights is None and shipped is not None:
        folder = folder_of(card, model_type, shipped)
    elif weights is None:
        assert card.repo is not None
        folder, commit = fetch(
            card.repo,
            card.revision,
            model_type.wanted,
            needed=model_type.needed,
            others=model_type.others,
            offline=offline,
        )
        card = replace(card, revision=commit)
    else:
        folder, card = folder_of(card, model_type, weights), replace(card, repo=None, revision=None)
    return from_folders(card, model_type, device, [(folder, model_type.wanted)])


def folder_of(card: Card, model_type: ModelType, weights: Path) -> Path:
    """The folder that was given for a model, once it looks like one; EncoderError where it does not."""
    if card.repo is None and not all((weights / name).exists() for name in model_type.needed):
        raise EncoderError(
            f"{card.name}: no weights in {weights.name}; they ship with the project, so this copy is incomplete: "
            "clone it again, or pass --weights PATH with a folder of the same format"
        )
    if not weights.is_dir():
        raise EncoderError(
            f"{card.name}: --weights {weights} is not a folder; give a snapshot of {card.repo} with "
            f"{', '.join(model_type.needed)} and its .safetensors, as `hf download {card.repo}` makes it"
        )
    for name in model_type.needed:
        if not (weights / name).exists():
            raise EncoderError(f"{card.name}: --weights {weights} has no {name}; is it a snapshot of {card.repo}?")
    return weights


def from_folders(card: Card, model_type: ModelType, device: str, sources: Sources) -> Encoder:
    """The encoder of a folder with its configuration and the tensors of tower and connector.

    Each of `sources` is a folder and which of its tensors are taken; the first has the configuration.
    """
    import torch
    import transformers

    from encoders.libraries.transformers.load import quiet
    from hub.tensors import floats

    folder = sources[0][0]
    with one_line(card.name, str(folder)), quiet():
        config = config_of(card.name, model_type, folder)
        state: Mapping[str, Any] = {k: v for place, keep in sources for k, v in floats(place, keep).items()}
        if model_type.rename:
            state = model_type.rename(state)
        strip(config, model_type)
        model, info = getattr(transformers, model_type.model).from_pretrained(
            None, config=config, state_dict=dict(state), dtype=torch.float32, output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )  # fmt: skip
        whole(card.name, folder, info, model_type.wanted)
        processor = processor_of(card.name, model_type, folder)
    return _encoder(card, model_type, model, processor, device, files_of(model_type, sources))


def processor_of(who: str, model_type: ModelType, folder: Path) -> Any:
    """The image processor of a folder; EncoderError where nothing in it says how images are prepared."""
    import transformers

    if model_type.others and not model_type.says_images(folder):
        raise EncoderError(f"{who}: {folder} has neither {FILES[0]} nor {FILES[1]} with an image processor in it")
    return model_type.processor(transformers, folder)


def files_of(model_type: ModelType, sources: Sources) -> tuple[Path, ...]:
    """The files that tower and connector, or all of the model, are made of."""
    from hub.files import settings
    from hub.tensors import files_read

    folder = sources[0][0]
    apart = sorted({path for name in model_type.needed if "/" in name for path in (folder / name).parent.iterdir()})
    return (*settings(folder), *apart, *(path for place, keep in sources for path in files_read(place, keep)))


def untrained(card: Card, model_type: ModelType, device: str, folder: Path | None = None) -> Encoder:
    """The same tower and connector under torch's current random state, in the sizes of `folder` if given."""
    import torch
    import transformers

    config = config_of(card.name, model_type, folder) if folder else None
    model = built(model_type, config)
    with torch.no_grad():
        for matrix in (value for value in model.parameters() if value.ndim > 1 and not value.any()):
            matrix.normal_(
                std=0.02
            )  # the library leaves it at zero for training, and an untrained encoder would see nothing
    return _encoder(card, model_type, model, model_type.processor(transformers, folder), device, ())


def _encoder(
    card: Card, model_type: ModelType, model: Any, processor: Any, device: str, files: Sequence[Path]
) -> Encoder:
    from encoders.extraction.hooks import freeze
    from encoders.libraries.transformers.load import portable

    try:
        parts = model_type.take_apart(freeze(model, device), processor)
    except EncoderError as error:
        raise EncoderError(f"{card.name}: {error}") from None
    return encoder_of(card, parts, portable([model.config.to_dict(), processor.to_dict()]), device, files)


def encoder_of(card: Card, parts: ModelParts, architecture: Any, device: str, files: Sequence[Path]) -> Encoder:
    """The image side of a model that has been taken apart, as an encoder."""
    from encoders.extraction.assemble import assemble
    from encoders.libraries.transformers.load import LIBRARIES

    nominal = parts.layout(parts.preprocess(np.zeros((512, 512), np.uint8)))
    return assemble(
        card,
        side(parts.image_side),
        run=parts.run,
        hooks=parts.hooks,
        sites=nominal,
        preprocess=parts.preprocess,
        input=parts.input,
        device=device,
        architecture=architecture,
        libraries=LIBRARIES,
        files=files,
        layout=parts.layout if parts.varies else None,
    )
