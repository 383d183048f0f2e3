"""A whole model as a run knows it: who it is at once, its tensors only when something must be computed."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import encoders
from cache import Store
from encoders import Card, Encoder
from encoders.answering.model import WholeModel
from encoders.identity.snapshot import recall, snapshot
from slitlamp.encoding.encoder import (
    OTHER_WEIGHTS,
    StoredEncoder,
    errors_of_device,
    located_key,
    named,
    quietly,
    weights_of,
)
from slitlamp.keys import digest
from slitlamp.log import say
from slitlamp.settings import EncoderSettings, portable


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who a whole model is: what its answers rest on besides prompt and image."""

    card: Card
    fingerprint: str
    layers: int
    template: str


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A whole model by its name in the run; loaded once, and only where an answer or a feature is not known yet.

    `settings.encoder` names it, as for encoders: a label, or the name that it is loaded by.
    """

    spec: str
    settings: EncoderSettings
    store: Store
    device: str
    dtype: str
    loaded: list[WholeModel] = field(default_factory=list)
    readers: dict[str, StoredEncoder] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The name that it is loaded by."""
        return named(self.settings).get(self.spec, self.spec)

    @property
    def weights(self) -> str | None:
        """The path of --weights for this model."""
        return weights_of(self.settings).get(self.spec)

    @property
    def label(self) -> str:
        """What tables, figures and records call it; other weights are said behind its name."""
        return portable(self.spec) + OTHER_WEIGHTS * self.settings.other_weights

    def load(self) -> WholeModel:
        """Load the tensors once; what determines them is remembered for the next run."""
        if not self.loaded:
            say(f"loading {portable(self.spec)} with its language model")
            with quietly(), errors_of_device(self.spec, self.device):
                model = encoders.load_whole(
                    self.source,
                    device=self.device,
                    dtype=self.dtype,
                    weights=self.weights,
                    offline=self.settings.offline,
                    other_weights=self.settings.other_weights,
                )
            self.loaded.append(model)
            record = _record(self.source, model)
            if record is not None:
                self.store.memo("models").put_many({self._key: record})
        return self.loaded[0]

    @property
    def _key(self) -> str:
        loaded_by = located_key(self.source, self.weights)
        return digest(["whole", *loaded_by, self.device, self.dtype, self.settings.other_weights])

    @cached_property
    def identity(self) -> Identity:
        """Who it is: from an earlier run, if every file it rests on is still the same, else by loading it."""
        record = self.store.memo("models").get_many([self._key]).get(self._key)
        known = None if record is None else recall(record)
        if record is not None and known is not None:
            return Identity(
                card=known[0], fingerprint=known[1], layers=int(record["layers"]), template=str(record["template"])
            )
        model = self.load()
        return Identity(card=model.card, fingerprint=model.fingerprint, layers=model.layers, template=model.template)

    @property
    def card(self) -> Card:
        """The sites of tower, connector and language model, and who the model is."""
        return self.identity.card

    @property
    def fingerprint(self) -> str:
        """What its answers are determined by, besides prompt and image."""
        return self.identity.fingerprint

    def reader(self, prompt: str) -> StoredEncoder:
        """The model as an encoder of images whose prompt is always `prompt`; features go to the store like any other.

        Its sites are those of tower, connector and language model (`lm.*`).
        """
        if prompt not in self.readers:
            self.readers[prompt] = StoredEncoder(
                spec=self.spec,
                settings=self.settings,
                store=self.store,
                device=self.device,
                dtype=self.dtype,
                build=self._builder(prompt),
                prompt=prompt,
            )
        return self.readers[prompt]

    def _builder(self, prompt: str) -> Callable[[], Encoder]:
        return lambda: self.load().reader(prompt)


def _record(source: str, model: WholeModel) -> dict[str, Any] | None:
    """What the identity of a loaded model rests on, as JSON; None where its files are not known."""
    files = tuple(Path(path) for path in model.files)
    if not files:
        return None
    as_encoder = replace(
        model.encoder, card=model.card, fingerprint=model.fingerprint, files=files, libraries=tuple(model.libraries),
        dtype=model.dtype,
    )  # fmt: skip
    record = snapshot(source, as_encoder)
    return None if record is None else record | {"layers": model.layers, "template": model.template}


def stored_models(settings: EncoderSettings, store: Store) -> list[StoredModel]:
    """Every model of `settings.encoder`, once, on the device that was resolved.

    Raises:
        UsageError: names or weights that do not fit; UnknownName: a model that nothing holds.
    """
    from slitlamp.encoding.encoder import resolve_device

    weights_of(settings)
    for spec in named(settings).values():
        encoders.card(spec)
    device = resolve_device(settings.device)
    return [
        StoredModel(spec=name, settings=settings, store=store, device=device, dtype=settings.dtype)
        for name in named(settings)
    ]
