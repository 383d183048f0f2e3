"""From pictures to features: content keys, the store, and one pass of the encoder over what is missing."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cache
import encoders
from encoders import Card, Encoder, EncoderError, draw_of
from encoders.identity.snapshot import recall, snapshot
from plugins import nearest
from slitlamp.errors import UsageError
from slitlamp.keys import digest
from slitlamp.log import say
from slitlamp.reports.cards import condensed, prepared
from slitlamp.reports.listing import named_elsewhere
from slitlamp.settings import EncoderSettings, portable

OTHER_WEIGHTS = " (other weights)"  # behind the name of an encoder that holds others than its card's
LABEL = re.compile(r"([\w.+-]+)=(.+)")


def named(settings: EncoderSettings) -> dict[str, str]:
    """The encoders that are asked for, by the names they have in the run: `LABEL=NAME` is NAME under that label.

    Raises:
        UsageError: a label stands for two encoders, or is what another encoder is called.
    """
    found: dict[str, str] = {}
    for entry in settings.encoder:
        labelled = None if Path(entry).is_file() else LABEL.fullmatch(entry)
        label, spec = (labelled[1], labelled[2]) if labelled else (entry, entry)
        if found.setdefault(label, spec) != spec:
            raise UsageError(f"--encoder {entry}: {label} stands for {found[label]} already; give it another label")
        if label != spec and (spec in PLAIN or label in encoders.names()):
            what = f"{spec} has no weights that could differ" if spec in PLAIN else f"{label} is another encoder"
            raise UsageError(
                f"--encoder {entry}: {what}; " + ("leave the label out" if spec in PLAIN else "choose a label")
            )
    return found


PLAIN = ("pixels", "lowlevel")  # encoders that are formulas


def weights_of(settings: EncoderSettings) -> dict[str, str]:
    """The path of --weights for each encoder by its name in the run: NAME=PATH, or a bare PATH for the only one.

    Raises:
        UsageError: a path that could be for either of several encoders, or for one that is not asked.
    """
    names = list(named(settings))
    found: dict[str, str] = {}
    for entry in settings.weights:
        name = next((n for n in sorted(names, key=len, reverse=True) if entry.startswith(f"{n}=")), None)
        path = entry if name is None else entry[len(name) + 1 :]
        if name is None and len(names) == 1 and (Path(entry).exists() or "=" not in entry):
            name = names[0]
        if name is None:
            before, equals, _ = entry.partition("=")
            near = nearest(before, names) if equals else None
            raise UsageError(
                f"--weights {entry} can stand for one encoder, not for {' and '.join(names)}: say NAME=PATH for each"
                if not equals
                else f"--weights {entry}: {before} is none of the encoders that are asked, {' and '.join(names)}"
                + (f"; did you mean {near}={entry.partition('=')[2]}?" if near else "")
            )
        if found.setdefault(name, path) != path:
            raise UsageError(
                f"--weights: {name} is given two, {found[name]} and {path}; to ask both: "
                f"--encoder a={named(settings)[name]} b={named(settings)[name]} --weights a={found[name]} b={path}"
            )
    return found


def located_key(source: str, weights: str | None) -> list[str | None]:
    """What an encoder is loaded by, for a key: files by their whole paths, so that two folders share no identity."""
    return [encoders.located(source), None if weights is None else str(Path(weights).absolute())]


def stored_encoders(settings: EncoderSettings, store: cache.Store) -> list["StoredEncoder"]:
    """Every encoder that is asked for, once, on the device that was resolved; see `named`.

    Raises:
        UsageError: names or weights that do not fit; UnknownName: an encoder that nothing holds.
    """
    weights_of(settings)
    for spec in named(settings).values():
        elsewhere = named_elsewhere(spec, "encoder")
        if elsewhere:
            raise UsageError(f"--encoder {spec}: {elsewhere}".rstrip("; "))
        encoders.card(spec)
    _say_unsized(settings)
    device = resolve_device(settings.device)
    return [
        StoredEncoder(spec=name, settings=settings, store=store, device=device, dtype=settings.dtype)
        for name in named(settings)
    ]


def _say_unsized(settings: EncoderSettings) -> None:
    """Say which of the encoders stay as they are beside --image-size; UsageError where all do."""
    plain = [spec for spec in named(settings).values() if spec in PLAIN]
    if settings.image_size is None or not plain:
        return
    what = f"{' and '.join(plain)} {'is' if len(plain) == 1 else 'are'} made of the image as it is"
    if len(plain) == len(named(settings)):
        raise UsageError(f"--image-size {settings.image_size} has nothing to act on: {what}, at no size of a network")
    say(f"{what}: --image-size {settings.image_size} changes nothing of a control")


@dataclass(frozen=True, kw_only=True)
class StoredEncoder:
    """An encoder as a run knows it: card and fingerprint at once, tensors only when it must encode.

    `spec` is its name in the run: a label, or the spec that it is loaded by, and `random:` before either for an
    untrained draw. `source` is the spec that it is loaded by. `build` makes it where it is part of a whole model
    that is asked with `prompt` beside every image.
    """

    spec: str
    settings: EncoderSettings
    store: cache.Store
    device: str
    dtype: str
    loaded: list[Encoder] = field(default_factory=list)
    build: Callable[[], Encoder] | None = None
    prompt: str | None = None
    _loading: list[float] = field(default_factory=list, init=False, repr=False)  # seconds that nobody asked for yet

    @cached_property
    def source(self) -> str:
        """What it is loaded by: the spec behind a label, with `random:` and the draw where it is untrained."""
        names = named(self.settings)
        if self.spec in names:
            return names[self.spec]
        inner, draw = draw_of(self.spec.removeprefix("random:"))
        random = "random:" * self.spec.startswith("random:")
        return random + names.get(inner, inner) + (f"#{draw}" if draw else "")

    @property
    def weights(self) -> str | None:
        """The path of --weights for the encoder that was asked for and its untrained draw, None for other controls."""
        given = weights_of(self.settings)
        return given.get(self.spec, given.get(draw_of(self.spec.removeprefix("random:"))[0]))

    @property
    def _key(self) -> str:
        own = [*located_key(self.source, self.weights), self.device, self.dtype, self._other_weights, self.image_size]
        own += ["compiled"] * self._compiled
        return digest(own if self.prompt is None else [*own, {"prompt": self.prompt}])

    @property
    def _is_asked(self) -> bool:
        """Whether it is one of the encoders asked for, or an untrained draw of one."""
        asked = draw_of(self.spec.removeprefix("random:"))[0]
        names = named(self.settings)
        return asked in names or self.spec in names

    @property
    def _other_weights(self) -> bool:
        """Whether other weights than the card's are taken."""
        return self.settings.other_weights and self._is_asked

    @property
    def _compiled(self) -> bool:
        """Whether --compile acts on it: on the encoders asked for and their untrained draws, not on formulas."""
        return self.settings.compile and self._is_asked and self.source not in PLAIN

    @property
    def image_size(self) -> int | None:
        """The side in pixels that --image-size asks of it; a control of the image alone has none."""
        return self.settings.image_size if self._is_asked and self.source not in PLAIN else None

    def load(self) -> Encoder:
        """Load the tensors once; what determines them is remembered for the next run."""
        if not self.loaded:
            asked = self.spec in named(self.settings) and self.source.startswith("random:")
            if asked and self.weights is not None and Path(self.weights).is_file():
                raise UsageError(
                    f"--weights {self.weights} is a file, and {self.spec} is untrained, so that none of it would be "
                    "read; leave it out, or give a folder whose configuration tells the architecture"
                )
            began = time.perf_counter()
            encoder = self._loaded() if self.build is None else self.build()
            self._loading.append(time.perf_counter() - began)
            if encoder.card.read:
                say(f"{self.label_of(encoder.card)}: {encoder.card.read}")
            if encoder.card.input is not None and not self.source.startswith("random:"):
                how = prepared(encoder.card.input)
                say(f"{self.label_of(encoder.card)}: fingerprint {encoder.fingerprint[:12]}; images {how}")
            self.loaded.append(encoder)
            record = snapshot(self.source, encoder)
            if record is not None:
                self.store.memo("encoders").put_many({self._key: record})
        return self.loaded[0]

    def spent_loading(self) -> float:
        """The seconds that loading took since this was last asked for."""
        spent = sum(self._loading)
        self._loading.clear()
        return spent

    def _loaded(self) -> Encoder:
        say(f"loading {portable(self.spec)}")
        with quietly(), errors_of_device(self.spec, self.device):
            return encoders.load(
                self.source,
                device=self.device,
                dtype=self.dtype,
                weights=self.weights,
                offline=self.settings.offline,
                other_weights=self._other_weights,
                image_size=self.image_size,
                compile=self._compiled,
            )

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
        known = reads_volumes(self.source)
        return self.card.volumes if known is None else known

    @property
    def label(self) -> str:
        """What tables, figures and records call it: see `label_of`."""
        file, _ = draw_of(self.spec)
        return self.label_of(self.card) if file.endswith(".py") or self._other_weights else portable(self.spec)

    def label_of(self, card: Card) -> str:
        """Its label, the name it was asked by, or a user file's card's name; other weights are said behind it."""
        file, draw = draw_of(self.spec)
        name = card.name if file.endswith(".py") else portable(file)
        return name + OTHER_WEIGHTS * card.other_weights + (f"#{draw}" if draw else "")

    @property
    def fingerprint(self) -> str:
        """What its features are determined by, besides the image."""
        return self._identity[1]

    def points(self, marks: int = 0) -> list[tuple[str, str, int]]:
        """The (site, readout, width) that were asked for and are there; `check_points` refuses what is nowhere.

        `marks` is how many marks each image carries.
        """
        every = encoders.points(self.card, marks)
        sites = _matching(self.settings.site, [s for s, _, _ in every])
        readouts = _matching(self.settings.readout, [r for _, r, _ in every])
        return [p for p in every if p[0] in sites and p[1] in readouts]


@contextmanager
def quietly() -> Iterator[None]:
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


def _matching(asked: Sequence[str], known: Sequence[str]) -> set[str]:
    import fnmatch

    return {name for pattern in asked for name in fnmatch.filter(known, pattern)} if asked else set(known)


def check_points(asked: Sequence[StoredEncoder], marks: Sequence[int] = (0,)) -> list[str]:
    """Sentences about the sites and readouts that some of the encoders do not have; they are read where they are.

    `marks` are the numbers of marks on the images of each question.

    Raises:
        UsageError: a site or readout that is nowhere, with the nearest name; or an only encoder without any point.
    """
    notes = []
    every = {e.spec: [p for count in marks for p in encoders.points(e.card, count)] for e in asked}
    sites = {spec: list(dict.fromkeys(site for site, _, _ in points)) for spec, points in every.items()}
    readouts = {spec: list(dict.fromkeys(readout for _, readout, _ in points)) for spec, points in every.items()}
    settings = asked[0].settings
    for what, patterns, known in (("site", settings.site, sites), ("readout", settings.readout, readouts)):
        for pattern in patterns:
            without = [spec for spec, names in known.items() if not _matching([pattern], names)]
            if len(without) == len(known):
                raise UsageError(_nowhere(what, pattern, known))
            notes += [f"{spec} has no {what} {pattern}; it is read where it exists" for spec in without]
    for encoder in asked:
        if not any(encoder.points(count) for count in marks):
            have = ", ".join(f"{site}/{readout}" for site, readout, _ in dict.fromkeys(every[encoder.spec]))
            line = f"{encoder.spec} has no point of the sites and readouts that are asked; it has {have}"
            if len(asked) == 1:
                raise UsageError(line)
            notes.append(f"{encoder.spec} is left out: it has none of the sites and readouts that are asked")
    if not any(encoder.points(count) for encoder in asked for count in marks):
        raise UsageError("none of the encoders has a point of the sites and readouts that are asked")
    return notes


def _nowhere(what: str, pattern: str, known: Mapping[str, Sequence[str]]) -> str:
    names = list(dict.fromkeys(name for each in known.values() for name in each))
    near = nearest(pattern, names)
    if near is not None and re.sub(r"\d+", "", near) == re.sub(r"\d+", "", pattern):
        near = None  # another number is no misspelling
    hint = named_elsewhere(pattern, what) or (f"did you mean {near}? " if near else "")
    listing = condensed(names).replace(" ", ", ")
    if len(known) > 1:
        return f"no encoder of this run has a {what} {pattern!r}; {hint}they have {listing}"
    return f"{next(iter(known))} has no {what} {pattern!r}; {hint}it has {listing}"


def resolve_device(name: str) -> str:
    """`auto` becomes cuda where there is one, then mps, else cpu; a device asked for by name is never replaced."""
    if name != "auto":
        return name
    if sys.platform == "linux" and not any(any(Path("/dev").glob(node)) for node in ACCELERATORS):
        return "cpu"  # without asking torch, whose import takes seconds
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


ACCELERATORS = ("nv*", "kfd", "dxg")  # what a driver of NVIDIA, of AMD, or of Windows' Linux puts into /dev


def described_device(device: str) -> str:
    """A device in words, with the name of the GPU."""
    if not device.startswith("cuda"):
        return device
    import torch

    try:
        return f"{device} ({torch.cuda.get_device_name(device)})"
    except (RuntimeError, AssertionError, ValueError):
        return device  # it is not there, which loading says


@contextmanager
def errors_of_device(spec: str, device: str) -> Iterator[None]:
    """One line for what a GPU raises (no memory, no kernel): nothing goes on elsewhere unasked."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        if device.startswith("cpu"):
            raise
        first = " ".join(str(error).split("\n")[0].split())[:200]
        raise EncoderError(
            f"{spec} cannot be computed on {device} ({first}); a smaller --batch-size needs less memory, and --device "
            "cpu needs no GPU"
        ) from error
