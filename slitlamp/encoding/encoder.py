"""From pictures to features: content keys, the store, and one pass of the encoder over what is missing."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cache
import encoders
from encoders import Card, Encoder, draw_of
from encoders.identity.snapshot import recall, snapshot
from plugins import nearest
from slitlamp.errors import UsageError
from slitlamp.keys import digest
from slitlamp.log import say
from slitlamp.settings import EncoderSettings

OTHER_WEIGHTS = " (other weights)"  # behind the name of an encoder that holds others than its card's


@dataclass(frozen=True, kw_only=True)
class StoredEncoder:
    """An encoder as a run knows it: card and fingerprint at once, tensors only when it must encode."""

    spec: str
    settings: EncoderSettings
    store: cache.Store
    device: str
    dtype: str
    loaded: list[Encoder] = field(default_factory=list)

    @property
    def weights(self) -> str | None:
        """The path of --weights for the encoder that was asked for and its untrained draw, None for other controls."""
        asked = draw_of(self.spec.removeprefix("random:"))[0]
        return self.settings.weights if asked in self.settings.encoder or self.spec in self.settings.encoder else None

    @property
    def _key(self) -> str:
        return digest([self.spec, self.weights, self.device, self.dtype, self._other_weights])

    @property
    def _other_weights(self) -> bool:
        """Whether other weights than the card's are taken: of the encoders asked for, and of their untrained draws."""
        asked = draw_of(self.spec.removeprefix("random:"))[0]
        return self.settings.other_weights and (asked in self.settings.encoder or self.spec in self.settings.encoder)

    def load(self) -> Encoder:
        """Load the tensors once; what determines them is remembered for the next run."""
        if not self.loaded:
            asked = self.spec in self.settings.encoder and self.spec.startswith("random:")
            if asked and self.weights is not None and Path(self.weights).is_file():
                raise UsageError(
                    f"--weights {self.weights} is a file, and {self.spec} is untrained, so that none of it would be "
                    "read; leave it out, or give a folder whose configuration tells the architecture"
                )
            say(f"loading {self.spec}")
            with _as_before():
                encoder = encoders.load(
                    self.spec,
                    device=self.device,
                    dtype=self.dtype,
                    weights=self.weights,
                    offline=self.settings.offline,
                    other_weights=self._other_weights,
                )
            if encoder.card.read:
                say(f"{self.label_of(encoder.card)}: {encoder.card.read}")
            self.loaded.append(encoder)
            record = snapshot(self.spec, encoder)
            if record is not None:
                self.store.memo("encoders").put_many({self._key: record})
        return self.loaded[0]

    @cached_property
    def remembered(self) -> tuple[Card, str] | None:
        """Card and fingerprint from an earlier run, if every file they rest on is still the same."""
        record = self._record
        return recall(record) if record is not None else None

    @cached_property
    def _record(self) -> Any:
        return self.store.memo("encoders").get_many([self._key]).get(self._key)

    @property
    def has_network(self) -> bool:
        """Whether there is a torch module, and so something that could be untrained."""
        if not self.loaded and self.remembered is not None:
            return bool(self._record.get("network", True))
        return self.load().module is not None

    @cached_property
    def _identity(self) -> tuple[Card, str]:
        if self.remembered is not None:
            return self.remembered
        encoder = self.load()
        return encoder.card, encoder.fingerprint

    @property
    def card(self) -> Card:
        """Who the encoder is, with the commit that was resolved when it was loaded."""
        return self._identity[0]

    @property
    def reads_volumes(self) -> bool:
        """Whether it reads volumes, as its card says; only a user's own file is loaded to know."""
        known = reads_volumes(self.spec)
        return self.card.volumes if known is None else known

    @property
    def label(self) -> str:
        """What tables, figures and records call it: see `label_of`."""
        file, _ = draw_of(self.spec)
        return self.label_of(self.card) if file.endswith(".py") or self._other_weights else self.spec

    def label_of(self, card: Card) -> str:
        """The name it was asked by, or its card's for a user's own file; with other weights that is said behind it."""
        file, draw = draw_of(self.spec)
        name = card.name if file.endswith(".py") else file
        return name + OTHER_WEIGHTS * card.other_weights + (f"#{draw}" if draw else "")

    @property
    def fingerprint(self) -> str:
        """What its features are determined by, besides the image."""
        return self._identity[1]

    def points(self, marks: int = 0) -> list[tuple[str, str, int]]:
        """The (site, readout, width) that were asked for; an unknown name is refused with the nearest.

        `marks` is how many marks each image carries.
        """
        every = encoders.points(self.card, marks)
        sites = _matching(self.settings.site, [s for s, _, _ in every], "site", self.spec)
        readouts = _matching(self.settings.readout, [r for _, r, _ in every], "readout", self.spec)
        return [p for p in every if p[0] in sites and p[1] in readouts]


@contextmanager
def _as_before() -> Iterator[None]:
    """Leave the caller's root logger and torch's random state as they are, whatever a library does while it loads."""
    root, quiet = logging.getLogger(), logging.NullHandler()
    root.addHandler(quiet)  # a library that logs to the root would put a handler of its own there
    torch = sys.modules.get("torch")
    state = None if torch is None else torch.get_rng_state()
    try:
        yield
    finally:
        root.removeHandler(quiet)
        if torch is not None:
            torch.set_rng_state(state)


def reads_volumes(spec: str) -> bool | None:
    """Whether the card of a registered encoder says that it reads volumes; None for a user's own file."""
    inner = draw_of(spec.removeprefix("random:"))[0]
    return None if inner.endswith(".py") else encoders.card(inner).volumes


def _matching(asked: Sequence[str], known: Sequence[str], what: str, spec: str) -> set[str]:
    import fnmatch

    if not asked:
        return set(known)
    found: set[str] = set()
    for pattern in asked:
        hits = set(fnmatch.filter(known, pattern))
        if not hits:
            near = nearest(pattern, known, 0.3)
            listing = ", ".join(dict.fromkeys(known))
            hint = f"did you mean {near}? " if near else ""
            raise UsageError(f"{spec} has no {what} {pattern!r}; {hint}it has {listing}")
        found |= hits
    return found


def resolve_device(name: str) -> str:
    """`auto` becomes cuda where there is one, else cpu; a device asked for by name is never replaced."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
