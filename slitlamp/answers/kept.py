"""Answers kept in the store, under keys that hold all they rest on; what is missing there is asked, in batches.

A run that is killed loses the answers of its last second.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from encoders.answering import ways
from encoders.answering.model import Prompt, WholeModel
from slitlamp.answers.shown import Shown
from slitlamp.answers.stored import StoredModel
from slitlamp.encoding.encoder import errors_of_device
from slitlamp.keys import digest
from slitlamp.log import progress

SCHEMA = 1
SCORE_LETTERS, SCORE_TEXTS, WRITE = "letters", "texts", "write"
EACH = 1.0  # seconds between two savings


@dataclass(frozen=True, kw_only=True)
class Put:
    """A prompt as it is put to a model, and what is to be known of the answer.

    `what` is SCORE_LETTERS (of as many `options`), SCORE_TEXTS (of the `options`) or WRITE (at most `limit` tokens).
    """

    what: str
    text: str
    start: str = ""
    shown: Shown | None = None
    options: tuple[str, ...] = ()
    limit: int = 0

    def prompt(self) -> Prompt:
        """The prompt with its pixels."""
        return Prompt(text=self.text, start=self.start, image=None if self.shown is None else self.shown.read())

    def key(self, model: "StoredModel", policy: dict[str, Any]) -> str:
        """What the answer rests on: model, template, device, precision, prompt, image, and what is asked of it."""
        asked = {SCORE_LETTERS: len(self.options), SCORE_TEXTS: list(self.options), WRITE: self.limit}[self.what]
        return digest(
            [
                SCHEMA, model.fingerprint, model.identity.template, model.device.split(":")[0], model.dtype, self.what,
                self.text, self.start, None if self.shown is None else [self.shown.content, policy], asked,
            ]
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What came of asking: a value for each prompt (scores, or text and whether it ended), how many were asked now."""

    values: list[Any]
    asked: int


def answer_missing(model: StoredModel, puts: Sequence[Put], policy: dict[str, Any], what: str) -> Kept:
    """The answers to all prompts: from the store, and the missing ones from the model, saved as they come.

    `what` is said beside the progress bar.

    Raises:
        EncoderError: the model cannot be asked so.
    """
    memo = model.store.memo("answers")
    keys = [put.key(model, policy) for put in puts]
    known = memo.get_many(keys)
    missing = [i for i in {key: i for i, key in reversed([*enumerate(keys)])}.values() if keys[i] not in known]
    fresh: dict[str, Any] = {}
    asked, saved = 0, time.monotonic()
    try:
        with progress(len(missing), f"{model.label}: {what}") as bar:
            for batch in _batches(puts, missing, model.settings.batch_size):
                bar.update(len(batch))
                known |= memo.get_many([keys[i] for i in batch])  # another process may have asked since
                rest = [i for i in batch if keys[i] not in known]
                if not rest:
                    continue
                with errors_of_device(model.spec, model.device):
                    found = _ask(model.load(), [puts[i] for i in rest])
                fresh |= {keys[i]: value for i, value in zip(rest, found, strict=True)}
                asked += len(rest)
                if time.monotonic() - saved > EACH:
                    memo.put_many(fresh)
                    known |= fresh
                    fresh, saved = {}, time.monotonic()
    finally:
        memo.put_many(fresh)
    known |= fresh
    return Kept(values=[known[key] for key in keys], asked=asked)


Shape = tuple[str, int, str, int]


def _batches(puts: Sequence[Put], missing: Sequence[int], size: int) -> list[list[int]]:
    """Prompts of one kind, bound and length together, at most `size` at a time; the same images for text after text.

    A model passes prompts of one shape through together, and remembers what its tower gave for the images of a batch.
    So at most `size` images, of prompts as alike as can be, go through all that is asked about them before others come.
    """
    shape_of = {i: (puts[i].what, puts[i].limit, puts[i].start, len(puts[i].text.split())) for i in missing}
    blind: dict[Shape, list[list[int]]] = {}
    of_image: dict[str, list[int]] = {}
    for i in sorted(missing, key=lambda i: (shape_of[i], len(puts[i].text), puts[i].text, i)):
        shown = puts[i].shown
        if shown is None:
            blind.setdefault(shape_of[i], []).append([i])
        else:
            of_image.setdefault(shown.content, []).append(i)
    found = [batch for some in blind.values() for batch in _joined(some, size)]

    def alike(mine: list[int]) -> Any:
        return [shape_of[i] for i in mine], [puts[i].text for i in mine], min(mine)

    images = sorted(of_image.values(), key=alike)
    for start in range(0, len(images), size):
        each: dict[Shape, list[list[int]]] = {}  # for each shape the prompts of each image
        for mine in images[start : start + size]:
            for shape, same in groupby(mine, shape_of.__getitem__):
                each.setdefault(shape, []).append([*same])
        for mine in each.values():
            columns = [[i for i in column if i is not None] for column in zip_longest(*mine)]
            found += _joined(columns, size)
    return found


def _joined(columns: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Whole columns one behind another in batches of at most `size`."""
    found: list[list[int]] = []
    for column in columns:
        if found and len(found[-1]) + len(column) <= size:
            found[-1] += column
        else:
            found.append([*column])
    return found


def _ask(model: WholeModel, puts: Sequence[Put]) -> list[Any]:
    """JSON values of a batch: scores, or [text, finished]."""
    prompts = [put.prompt() for put in puts]
    ask: dict[str, Callable[[], list[Any]]] = {
        SCORE_LETTERS: lambda: [
            one.tolist() for one in ways.letter_scores(model, prompts, [len(put.options) for put in puts])
        ],
        SCORE_TEXTS: lambda: [one.tolist() for one in ways.prefix_scores(model, prompts, [p.options for p in puts])],
        WRITE: lambda: [[r.text, r.finished] for r in ways.written(model, prompts, puts[0].limit)],
    }
    return ask[puts[0].what]()
