"""Passes of a whole model over prompts: no padding, the image side run once, edits where its tokens come in."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from encoders._base import EncoderError, Site
from encoders.answering.conversation import Conversation
from encoders.answering.kind import LanguageSide
from encoders.answering.memory import POSITIONS
from encoders.answering.model import Edit, Prompt
from encoders.answering.shared import Given, remembered
from encoders.multimodal.kind import ModelParts

MOST = 32  # prompts of a batch

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A loaded model with all that its passes need.

    `keys` are what of the processor's tensors `parts.preprocess` gives, `bare` whether it gives one as it is and not by
    name; `flat` are the names of those whose first axis counts patches and not prompts. `given` is what tower and
    connector gave for the last images.
    """

    name: str
    model: Any
    parts: ModelParts
    side: LanguageSide
    talk: Conversation
    device: str
    keys: tuple[str, ...]
    bare: bool
    flat: frozenset[str]
    given: Given = field(default_factory=Given, init=False)

    def entry(self) -> Any:
        """The module that receives the connector's tokens."""
        return self.model.get_submodule(self.side.entry)

    def of_image(self, values: Tensors) -> Any:
        """Of the tensors of one prompt, or of several, those of the image side, in the form of `parts.preprocess`."""
        found = {key: values[key] for key in self.keys}
        return found[self.keys[0]] if self.bare else found

    def added(self) -> Any:
        """What each of the connector's tokens is added to where it comes in: float32 [width], or 0."""
        return self.side.added(self.model).float() if self.side.added else 0

    def one(self, inputs: Tensors) -> dict[str, torch.Tensor]:
        """The inputs of one prompt without the axis that counts prompts."""
        return {key: value if key in self.flat else value[0] for key, value in inputs.items()}

    def layout(self, inputs: Tensors) -> Mapping[str, Site]:
        """The sites of tower and connector for the image of one prompt."""
        return self.parts.layout(self.of_image(self.one(inputs)))

    def run(self, inputs: Tensors, count: int) -> torch.Tensor:
        """Logits [prompts, count, vocabulary] of the last `count` positions, as the model computes them."""
        more = {"logits_to_keep": count} if self.keeps else {}
        return self.model(**inputs, use_cache=False, **more).logits[:, -count:]

    def images_once(self) -> Any:
        """Inside, tower and connector run for images and layouts that are new, and for others are remembered.

        A hook on a module of the tower sees the new ones alone: where sites are read, this is left off.
        """
        return remembered(self.model, self.side.shared, self.given)

    @cached_property
    def keeps(self) -> bool:
        """Whether the model can be told of how many positions logits are wanted."""
        return "logits_to_keep" in inspect.signature(self.model.forward).parameters

    def placed(self, inputs: Tensors) -> dict[str, torch.Tensor]:
        """The inputs on the device, numbers in the model's precision."""
        return {
            name: value.to(self.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One prompt as the model takes it: its number, its inputs, and the sites and positions of its image."""

    number: int
    inputs: Tensors
    sites: Mapping[str, Site]
    places: Any = None  # positions [t] of the connector's tokens, None for a prompt without image

    @property
    def length(self) -> int:
        """How many positions it has."""
        return self.inputs["input_ids"].shape[1]


def row_of(loaded: Loaded, number: int, prompt: Prompt) -> Row:
    """A prompt made ready.

    Raises:
        EncoderError: a text that no prompt may hold, or an image whose positions do not fit the connector's tokens.
    """
    inputs = loaded.talk.inputs(prompt.text, prompt.image, prompt.start)
    if prompt.image is None:
        return Row(number=number, inputs=inputs, sites={})
    sites = loaded.layout(inputs)
    try:
        places = loaded.side.places(inputs, loaded.model.config, sites)
    except EncoderError as error:
        raise EncoderError(f"{loaded.name}: {error}") from None
    return Row(number=number, inputs=inputs, sites=sites, places=places)


def extended(row: Row, ids: Sequence[int]) -> Row:
    """The row with more tokens behind it; what is told of each position is told of them as of the last one."""
    length, more = row.length, len(ids)
    if not more:
        return row
    found: dict[str, torch.Tensor] = {}
    for name, value in row.inputs.items():
        if name == "input_ids":
            found[name] = torch.cat([value, torch.tensor([list(ids)], dtype=value.dtype)], 1)
        elif value.ndim >= 2 and value.shape[:2] == (1, length):
            found[name] = torch.cat([value, value[:, -1:].expand(1, more, *value.shape[2:])], 1)
        else:
            found[name] = value
    return Row(number=row.number, inputs=found, sites=row.sites, places=row.places)


def batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows of one shape and layout together, so that nothing is padded and no answer depends on its neighbours."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        shapes = tuple(sorted((name, tuple(value.shape)) for name, value in row.inputs.items()))
        groups.setdefault((shapes, tuple(row.sites.items())), []).append(row)
    for members in groups.values():
        size = max(1, min(MOST, POSITIONS // members[0].length))
        for start in range(0, len(members), size):
            yield members[start : start + size]


def joined(loaded: Loaded, batch: Sequence[Row]) -> dict[str, torch.Tensor]:
    """The inputs of a batch: every tensor along its first axis, which counts prompts, or patches of prompts."""
    given = {name: torch.cat([row.inputs[name] for row in batch]) for name in batch[0].inputs}
    return taken(loaded, loaded.placed(given), len(batch))


def taken(loaded: Loaded, inputs: Tensors, prompts: int) -> dict[str, torch.Tensor]:
    """Of the joined inputs of several prompts those that the model is given."""
    found = {name: value for name, value in inputs.items() if name not in loaded.side.aside}
    return dict(loaded.side.join(found, prompts)) if loaded.side.join else found


@contextmanager
def at_entry(loaded: Loaded, prompts: int, look: Callable[[torch.Tensor], torch.Tensor | None]) -> Iterator[None]:
    """Inside, `look` is given what the language model receives [prompts, positions, width], in each pass.

    What it returns, if anything, stands in its place.
    """
    name = loaded.side.receives

    def shown(tokens: torch.Tensor) -> torch.Tensor | None:
        made = look(tokens.reshape(prompts, -1, tokens.shape[-1]))
        return None if made is None else made.reshape(tokens.shape)

    def before(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        tokens = kwargs.get(str(name))  # none where a cache has what was made of them
        made = None if tokens is None else shown(tokens)
        return None if made is None else (args, {**kwargs, str(name): made})

    entry = loaded.entry()
    if name is None:
        handle = entry.register_forward_hook(lambda _module, _args, tokens: shown(tokens))
    else:
        handle = entry.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def changed(loaded: Loaded, batch: Sequence[Row], edit: Edit | None) -> Iterator[None]:
    """The tokens of images are what `edit` makes of them, from the first pass on: the keys and values of later ones.

    Raises:
        EncoderError: tokens of another shape come back.
    """
    if edit is None or all(row.places is None for row in batch):
        yield
        return
    done: list[bool] = []

    def look(received: torch.Tensor) -> torch.Tensor | None:
        if done:
            return None
        done.append(True)
        tokens, added = received.clone(), loaded.added()
        for i, row in enumerate(batch):
            if row.places is not None:
                places = row.places.to(tokens.device)
                given = tokens[i, places].float() - added
                made = torch.as_tensor(edit(row.number, given.clone()))
                if made.shape != given.shape:
                    raise EncoderError(
                        f"{loaded.name}: an edit made tokens {tuple(made.shape)} of {tuple(given.shape)}; they keep "
                        "their shape"
                    )
                if not torch.equal(made.to(given), given):  # a sum is not taken apart and put together for nothing
                    tokens[i, places] = (made.to(given) + added).to(tokens)
        return tokens

    with at_entry(loaded, len(batch), look):
        yield
    if not done:
        raise EncoderError(f"{loaded.name}: nothing went through {loaded.side.entry}, so that nothing was edited")


class Reached(Exception):
    """A pass is at the place that was asked for, and its rest is not needed."""


def received(loaded: Loaded, batch: Sequence[Row]) -> torch.Tensor:
    """What the language model receives for a batch [prompts, positions, width]; its own pass is left out."""
    found: list[torch.Tensor] = []

    def look(tokens: torch.Tensor) -> None:
        found.append(tokens.float() - loaded.added())
        raise Reached

    with loaded.images_once(), at_entry(loaded, len(batch), look), suppress(Reached), torch.inference_mode():
        loaded.run(joined(loaded, batch), 1)
    return found[0]


def logits(loaded: Loaded, batch: Sequence[Row], count: int, edit: Edit | None) -> torch.Tensor:
    """Raw logits float [prompts, count, vocabulary] of the last `count` positions of a batch."""
    with torch.inference_mode(), loaded.images_once(), changed(loaded, batch, edit):
        return loaded.run(joined(loaded, batch), count).float()
