"""Whole models: from a repository at its commit, from a folder, or as the project ships them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import Card, Encoder, EncoderError
from encoders._loading import as_encoder_error, held, model_type_of, require_device, require_dtype
from encoders._registry import Checkpoint, checkpoints, find, split
from encoders.answering.model import WholeModel
from encoders.libraries.floors import require_floors
from encoders.multimodal.kind import ModelType
from encoders.multimodal.load import encoder_of, files_of, processor_of
from encoders.multimodal.model import config_of, strip, whole
from hub.contents import require_no_delta, require_whole
from hub.errors import one_line
from hub.given import given

TESTED = ((5, 20), (5, 23), (5, 24))  # the versions of transformers under which the tests of whole models ran
STAGES = "its stages of tower and connector can be had (encoders.load), and its answers imported (answers import)"
log = logging.getLogger(__name__)


def names() -> tuple[str, ...]:
    """The registered models that can be loaded whole, sorted."""
    return tuple(name for name, checkpoint in checkpoints().items() if checkpoint.whole is not None)


def load(
    spec: str, *, device: str, dtype: str, weights: Path | None, offline: bool, other_weights: bool = False
) -> WholeModel:
    """The whole model that `spec` names; see `encoders.load_whole`."""
    require_dtype(dtype, device)
    if weights is not None and not weights.exists():
        raise EncoderError(f"--weights {weights} does not exist; give a folder in the library's format")
    require_device(device)
    require_floors(spec)
    with as_encoder_error(spec, weights, whole=True):
        if weights is not None:
            weights = given(spec, weights)
            require_whole(spec, weights)
        card, model_type, sources = _sources(spec, device, dtype, weights, offline)
        return _built(spec, card, model_type, sources, device, dtype, weights, other_weights)


def _sources(
    spec: str, device: str, dtype: str, weights: Path | None, offline: bool
) -> tuple[Card, ModelType, Sequence[tuple[Path, Any]]]:
    """The card, the model type, and the folders of a spec, fetched where there is memory for what is in them."""
    import transformers

    kind, rest = split(spec)
    if kind == "name":
        checkpoint = find(rest)
        _require_whole(spec, checkpoint)
        model_type: ModelType = checkpoint.model_type
        if weights is None and checkpoint.card.repo is not None:  # the published sizes, before anything is fetched
            _require_memory(checkpoint.card, model_type, model_type.config(transformers), device, dtype)
        assert checkpoint.whole is not None
        card, sources = checkpoint.whole(checkpoint.card, weights, offline)
        return card, model_type, sources
    if kind != "hf":
        raise EncoderError(f"{spec} is no whole model; give one of {', '.join(names())}, or hf:REPO@REV")
    from encoders.answering.files import sources as fetched
    from hub.snapshots import parse_repository, snapshot

    repo, revision = parse_repository(rest)
    require_no_delta(spec, repo)
    folder = weights
    if folder is None:
        folder, revision = snapshot(repo, revision, weights=("config.json",), needed=(), offline=offline)
    found = model_type_of(folder / "config.json")
    if found is None or found.answers is None:
        raise EncoderError(f"{spec}: {folder / 'config.json'} is of no model that can be loaded whole; {STAGES}")
    card = Card(name=spec, repo=repo, revision=revision)
    if weights is None:
        _require_memory(card, found, _config(spec, found, folder), device, dtype)
    card, sources = fetched(card, found, weights, offline)
    return card, found, sources


def _require_whole(spec: str, checkpoint: Checkpoint) -> None:
    if checkpoint.whole is not None:
        return
    if "connector" not in checkpoint.card.sites:
        raise EncoderError(
            f"{spec} has no language model that answers; whole models are {', '.join(names())}, or hf:REPO@REV"
        )
    import transformers

    raise EncoderError(f"{spec} is not built whole by transformers {transformers.__version__}; {STAGES}")


def _config(who: str, model_type: ModelType, folder: Path) -> Any:
    """The configuration of the whole model in a folder."""
    import json

    import transformers

    declared = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert model_type.answers is not None
    if declared.get("model_type") in model_type.foreign:
        if model_type.answers.config is None:
            raise EncoderError(
                f"{who}: {folder / 'config.json'} is of type {declared['model_type']!r}, its authors' own layout, of "
                f"which transformers {transformers.__version__} builds no whole model; {STAGES}"
            )
        return model_type.answers.config(transformers, declared)
    return config_of(who, model_type, folder)


def _require_memory(card: Card, model_type: ModelType, config: Any, device: str, dtype: str) -> None:
    import transformers

    from encoders.answering.memory import needed, require_memory

    require_memory(card, needed(getattr(transformers, model_type.model), config, dtype), dtype, device)


def _built(
    spec: str,
    card: Card,
    model_type: ModelType,
    sources: Sequence[tuple[Path, Any]],
    device: str,
    dtype: str,
    weights: Path | None,
    other_weights: bool,
) -> WholeModel:
    import torch
    import transformers

    from encoders.answering.files import every, texts_of, tokenizer_of
    from encoders.libraries.transformers.load import portable, quiet
    from hub.tensors import floats

    folder = sources[0][0]
    with one_line(card.name, str(folder)), quiet():
        config = _config(card.name, model_type, folder)
        _require_memory(card, model_type, config, device, dtype)
        tokenizer = tokenizer_of(card.name, folder)
        images = processor_of(card.name, model_type, folder)
        asked = model_type.answers
        assert asked is not None
        merges = asked.state is not None
        state: Mapping[str, Any] = {k: v for place, keep in sources for k, v in floats(place, keep, merges).items()}
        if model_type.rename:
            state = model_type.rename(state)
        if asked.state:
            state = asked.state(state, folder)

        def wanted(name: str) -> bool:
            return every(name) and not (asked.unread and name.startswith(f"{asked.unread}."))

        state = {name: value for name, value in state.items() if wanted(name)}
        model, info = getattr(transformers, model_type.model).from_pretrained(
            None, config=config, state_dict=dict(state), dtype=getattr(torch, dtype), output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )  # fmt: skip
        whole(card.name, folder, info, wanted)
        if asked.unread:
            model.set_submodule(asked.unread, torch.nn.Identity())
        model.generation_config = transformers.GenerationConfig()  # what a repository asks for reaches no reply
        model = model.eval().requires_grad_(False).to(device)
        plain = config_of(card.name, model_type, folder)
        strip(plain, model_type)
        for one in (
            plain,
            *(getattr(plain, name, None) for name in plain.sub_configs),
        ):  # as a load without it leaves it
            if one is not None:
                one.dtype = torch.float32
        architecture = portable([plain.to_dict(), images.to_dict()])
    loaded, origin = _joined(card.name, model_type, model, images, tokenizer, folder, device)
    files = (*files_of(model_type, sources), *texts_of(folder))
    side = _image_side(loaded, card, architecture, dtype, files)
    side = held(spec, side, weights, other_weights)
    return _whole(loaded, side, origin, dtype, portable([model.config.to_dict(), images.to_dict()]))


def _joined(
    who: str, model_type: ModelType, model: Any, images: Any, tokenizer: Any, folder: Path, device: str
) -> tuple[Any, str]:
    """The loaded model with its processor and template; EncoderError where processor and image side disagree."""
    import torch

    from encoders.answering.conversation import Conversation, template_of
    from encoders.answering.passes import Loaded
    from encoders.answering.prepared import Prepared

    side = model_type.answers
    assert side is not None
    template, origin = template_of(who, folder, tokenizer, side)
    probe = (np.arange(40 * 56) % 251).astype(np.uint8).reshape(40, 56)
    parts = model_type.take_apart(model, images)
    due = parts.preprocess(probe)
    named = due if isinstance(due, Mapping) else {side.pixels: due}
    processor = _processor(who, side, images, tokenizer, model.config, folder)
    of_text = processor(text=["A"], images=None, return_tensors="pt", add_special_tokens=True)
    talk = Conversation(
        who=who, side=side, tokenizer=tokenizer, template=template, processor=processor,
        prepared=Prepared(pictured=frozenset(named) - frozenset(of_text.keys())),
    )  # fmt: skip
    inputs = talk.inputs("A", probe)
    flat = []
    for key, value in named.items():
        made = inputs.get(key)
        due_here = torch.as_tensor(value)
        if made is not None and made.ndim == due_here.ndim:
            flat.append(key)
        elif made is not None:
            made = made[0]
        if made is None or made.shape != due_here.shape or not torch.equal(torch.as_tensor(made), due_here):
            raise EncoderError(
                f"{who}: its processor prepares an image otherwise than its image side does ({key}), so that tower and "
                "answer would not see the same pixels"
            )
    loaded = Loaded(
        name=who, model=model, parts=parts, side=side, talk=talk, device=device, keys=tuple(named),
        bare=not isinstance(due, Mapping), flat=frozenset(flat),
    )  # fmt: skip
    return loaded, origin


def _processor(who: str, side: Any, images: Any, tokenizer: Any, config: Any, folder: Path) -> Any:
    """The library's processor of text and image; EncoderError where tokenizer and model do not make one together."""
    import transformers

    try:
        return side.processor(transformers, images, tokenizer, config)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise EncoderError(
            f"{who}: the tokenizer in {folder} does not go with this model's way of marking an image ({error}); give a "
            "snapshot of its repository as it is today"
        ) from error


def _image_side(loaded: Any, card: Card, architecture: Any, dtype: str, files: Sequence[Path]) -> Encoder:
    """Tower and connector of a loaded model as an encoder, over the very modules that answer."""
    from encoders.identity.fingerprint import digest

    made = encoder_of(card, loaded.parts, architecture, loaded.device, files)
    if dtype == "float32":
        return made

    def forward(batch: Any, *args: Any, **kwargs: Any) -> Any:
        given = loaded.placed(batch) if isinstance(batch, Mapping) else batch.to(loaded.model.dtype)
        return made.forward(given, *args, **kwargs)

    return replace(made, forward=forward, dtype=dtype, fingerprint=digest(made.fingerprint, "loaded in", dtype))


def words(tokenizer: Any) -> Any:
    """What determines how a text becomes tokens: the serialised tokenizer, or the vocabulary of one that has none."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    return sorted(tokenizer.get_vocab().items()) if fast is None else fast.to_str()


def _whole(loaded: Any, side: Encoder, origin: str, dtype: str, architecture: Any) -> WholeModel:
    import transformers

    from encoders.answering import whole as functions
    from encoders.answering.reader import reader_of, whole_card
    from encoders.extraction.own_features import require_finite, require_own_features
    from encoders.identity.fingerprint import FEATURES, digest, tensors, versions

    require_finite(side)
    if dtype == "float32":  # a lower precision rounds otherwise in every batch
        require_own_features(side)
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    if version not in TESTED:
        tested = ", ".join(".".join(map(str, one)) for one in TESTED)
        line = f"transformers {transformers.__version__} is outside the tested {tested}"
        log.warning("%s: %s", loaded.name, line)
        side = replace(side, card=replace(side.card, unverified="; ".join(filter(None, (side.card.unverified, line)))))
    talk = loaded.talk
    fingerprint = digest(
        FEATURES, "whole", tensors(loaded.model), repr(loaded.model), architecture,
        words(talk.tokenizer), str(talk.tokenizer.special_tokens_map), talk.template,
        versions(side.libraries), dtype,
    )  # fmt: skip
    sites = dict(side.card.sites)
    return WholeModel(
        card=whole_card(loaded, side.card, sites),
        encoder=side,
        fingerprint=fingerprint,
        layers=len(loaded.model.get_submodule(loaded.side.blocks)),
        template=origin,
        next_token=partial(functions.next_token, loaded),
        continuations=partial(functions.continuations, loaded),
        generate=partial(functions.generate, loaded),
        tokens=loaded.talk.tokens,
        connector=partial(functions.connector, loaded),
        reader=partial(reader_of, loaded, side, fingerprint),
        device=loaded.device,
        dtype=dtype,
        files=side.files,
        libraries=side.libraries,
    )
