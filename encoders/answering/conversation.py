"""From a question to the ids of a prompt, and from an answer's words to the ids that the model would write."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import EncoderError
from encoders.answering.files import TEMPLATES
from encoders.answering.kind import LanguageSide
from encoders.answering.prepared import Prepared

DATE = (
    "26 Jul 2024"  # what a template prints where it asks for today's: Llama's own default, and no prompt changes by day
)
ANY = "A"  # a turn in which it is seen how a template frames one


def template_of(who: str, folder: Path, tokenizer: Any, side: LanguageSide) -> tuple[str, str]:
    """The chat template and where it comes from: the repository's, or the family's documented one.

    Raises:
        EncoderError: there is neither.
    """
    jinja, older = (folder / name for name in TEMPLATES)
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8"), f"the repository's {jinja.name}"
    if older.is_file():
        return json.loads(older.read_text(encoding="utf-8"))["chat_template"], f"the repository's {older.name}"
    own = tokenizer.chat_template
    if isinstance(own, Mapping):
        own = own.get("default")
    if own:
        return own, "the repository's tokenizer_config.json"
    if side.template:
        return side.template, side.template_of
    raise EncoderError(
        f"{who}: {folder} has no chat template ({', '.join(TEMPLATES)}, or in tokenizer_config.json), and without one "
        "nobody knows how this model is asked; put the one of its documentation there"
    )


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """How a model is addressed: its template and tokenizer, and the processor that joins text and image."""

    who: str
    side: LanguageSide
    tokenizer: Any
    processor: Callable[..., Mapping[str, Any]]
    template: str
    prepared: Prepared
    known: dict[tuple[str, bool], str] = field(default_factory=dict)
    scored: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)

    def opening(self, text: str, *, image: bool) -> str:
        """The prompt up to the model's turn, with the image's placeholder in it.

        Raises:
            EncoderError: the text holds a token of the tokenizer that is no text, or the template has no place for it.
        """
        key = (text, image)
        if key not in self.known:
            self._plain(text, "the text of a prompt")
            made = self._rendered([{"role": "user", "content": self.side.content(text, image)}], opens=True)
            if made.count(self.side.placeholder) != int(image) or text.strip() not in made:
                raise EncoderError(
                    f"{self.who}: its chat template gives {made[:80]!r} for a question "
                    f"{'with an' if image else 'without'} image, where {self.side.placeholder} should stand "
                    f"{int(image)} times beside the question"
                )
            self.known[key] = made
        return self.known[key]

    def _plain(self, text: str, what: str) -> None:
        special = [self.side.placeholder, *self.tokenizer.all_special_tokens]
        special += [str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        found = next((word for word in dict.fromkeys(special) if word in text), None)
        if found is not None:
            why = (
                "the placeholder of an image" if found == self.side.placeholder else "a special token of its tokenizer"
            )
            raise EncoderError(f"{self.who}: {what} holds {found!r}, {why}; say it in other words")

    def _rendered(self, messages: list[dict[str, Any]], *, opens: bool) -> str:
        try:
            return self.tokenizer.apply_chat_template(
                messages, chat_template=self.template, tokenize=False, add_generation_prompt=opens, date_string=DATE
            )
        except Exception as error:  # a template is a program of its repository
            raise EncoderError(f"{self.who}: its chat template fails on a question ({error})") from error

    @cached_property
    def frame(self) -> tuple[str, str]:
        """What the template sets before and behind the words of the model's own turn; empty where it shows neither."""
        asked = {"role": "user", "content": self.side.content(ANY, False)}
        answered = {"role": "assistant", "content": self.side.content("\u2003", False)}
        opening = self._rendered([asked], opens=True)
        try:
            both = self._rendered([asked, answered], opens=False)
        except EncoderError:
            return "", ""
        if not both.startswith(opening) or "\u2003" not in both[len(opening) :]:
            return "", ""
        before, _, behind = both[len(opening) :].partition("\u2003")
        return before, behind

    def turn(self, opening: str, start: str) -> tuple[str, str]:
        """A prompt with the start of the model's turn, and the spaces that belong to what the model writes next.

        Spaces at the end of a prompt join with the next word in most tokenizers, so they go to that word's side.
        """
        before = self.frame[0]
        if not start:
            return opening, before
        self._plain(start, "the start of the model's turn")
        whole = opening + before + start
        cut = whole.rstrip(" ")
        return cut, whole[len(cut) :]

    def inputs(self, text: str, image: np.ndarray | None, start: str = "") -> dict[str, Any]:
        """The tensors of one prompt, as the library's processor makes them of text and image together."""
        from encoders.extraction.images import pil

        prompt, _ = self.turn(self.opening(text, image=image is not None), start)

        def make() -> dict[str, Any]:
            given: dict[str, Any] = {"text": [prompt], "images": None if image is None else [pil(image)]}
            made = self.processor(**given, return_tensors="pt", add_special_tokens=self.adds(prompt))
            return {name: value for name, value in made.items() if hasattr(value, "shape")}

        return self.prepared.inputs(prompt, image, make)

    def adds(self, prompt: str) -> bool:
        """Whether the tokenizer sets its beginning-of-sequence token itself: not where the template has it already."""
        bos = self.tokenizer.bos_token
        return not (bos and prompt.startswith(bos))

    def tokens(self, text: str, start: str = "") -> tuple[int, ...]:
        """The ids of `text` where the model's turn begins with it, or goes on with it behind `start`.

        Raises:
            EncoderError: a text that joins with the end of the prompt, or that holds a special token.
        """
        if (text, start) not in self.scored:
            self.scored[text, start] = self._tokens(text, start)
        return self.scored[text, start]

    def _tokens(self, text: str, start: str) -> tuple[int, ...]:
        if not text:
            raise EncoderError(f"{self.who}: an empty text has no tokens, so that nothing would be scored")
        self._plain(text, "an answer")
        prompt, joint = self.turn(self.opening(ANY, image=False), start)
        adds = self.adds(prompt)
        before = self.tokenizer(prompt, add_special_tokens=adds)["input_ids"]
        after = self.tokenizer(prompt + joint + text, add_special_tokens=adds)["input_ids"]
        ends = self._closing(adds)
        before, after = before[: len(before) - ends], after[: len(after) - ends]
        if after[: len(before)] != before or len(after) == len(before):
            raise EncoderError(
                f"{self.who}: {text!r} joins with the end of the prompt ({prompt[-12:]!r}) in its tokenizer, so that "
                "it has no tokens of its own there; begin it otherwise"
            )
        return tuple(after[len(before) :])

    def _closing(self, adds: bool) -> int:
        """How many tokens the tokenizer sets behind every text; a causal language model's sets none."""
        bare = self.tokenizer(ANY, add_special_tokens=False)["input_ids"]
        full = self.tokenizer(ANY, add_special_tokens=adds)["input_ids"]
        at = next(i for i in range(len(full) - len(bare) + 1) if full[i : i + len(bare)] == bare)
        return len(full) - at - len(bare)

    def ends(self, config: Any) -> tuple[int, ...]:
        """The ids that end a reply: of tokenizer and configuration, and what the template sets behind a turn."""
        text = config.get_text_config(decoder=True)
        found: list[int] = []
        for told in (
            self.tokenizer.eos_token_id,
            getattr(text, "eos_token_id", None),
            getattr(config, "eos_token_id", None),
        ):
            found += [told] if isinstance(told, int) else list(told or ())
        special = {str(t): i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special}
        behind = self.frame[1].lstrip()
        found += [i for word, i in special.items() if word and behind.startswith(word)]
        return tuple(sorted(set(found)))
