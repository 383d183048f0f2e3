"""A small language model that is a formula: words for tokens, logits from hashes, and an eye that is handed in."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from encoders._base import Card, Encoder, Site
from encoders.answering.model import Prompt, Reply, WholeModel
from encoders.answering.prompts import LETTERS

Sees = Callable[[np.ndarray], str | None]
END = "</s>"
WORD = re.compile(r" ?[^\W_]+|\s|.")


def split(text: str) -> list[str]:
    """Tokens: words with the blank before them, and single signs."""
    return WORD.findall(text)


class LetterModel:
    """Logits of the next token are hashes of prompt and turn, and more for what answers the question.

    `sees` tells a class from an image, of which the options' words are looked up in `means` (text -> class). `skill` is
    how much that counts, `prior` what each letter has anyway; where `reads` a sentence of the prompt that ends in an
    option's words counts as if it was seen. With `level` there are no hashes, so that what is not told is a tie.
    """

    def __init__(
        self, sees: Sees, means: dict[str, str], *, skill: float = 6.0, prior: Sequence[float] = (), reads: bool = True,
        level: bool = False, variants: bool = True, writes: str = "{letter}", shared: bool = False,
    ) -> None:  # fmt: skip
        self.sees, self.means, self.skill, self.prior = sees, means, skill, prior
        self.reads, self.level, self.writes = reads, level, writes
        self.calls: list[int] = []
        spaced = [f" {letter}" for letter in LETTERS] if variants else []
        words = {token for text in (*means, *(f" {text}" for text in means)) for token in split(text)}
        more = {token for text in (writes, "I cannot tell.") for token in split(text.format(letter="A", words=""))}
        self.vocabulary = sorted({END, *LETTERS, *spaced, *words, *more})
        self.number = {token: i for i, token in enumerate(self.vocabulary)}
        self.shared = shared

    def ids(self, text: str) -> tuple[int, ...]:
        """Ids of a text; with `shared` the letters B and C are one token."""
        tokens = ["B" if self.shared and token == "C" else token for token in split(text)]
        return tuple(self.number[token] for token in tokens)

    def logits(self, prompt: Prompt, turn: Sequence[int]) -> np.ndarray:
        """Logits float64 [v] of the token that comes after `turn` in the answer to `prompt`."""
        seen = None if prompt.image is None else self.sees(prompt.image)
        said = self.told(prompt.text) if self.reads else None
        best = said or seen
        head = hashlib.sha256(repr((prompt.text, prompt.start, tuple(turn))).encode()).digest()
        rng = np.random.default_rng(int.from_bytes(head[:8], "big"))
        found = np.zeros(len(self.vocabulary)) if self.level else rng.normal(size=len(self.vocabulary))
        listed = re.findall(r'^\(?"?([A-Z])"?[.:] (.*?)\)?$', prompt.text, re.MULTILINE)
        for place, (letter, words) in enumerate(listed):
            extra = self.prior[place] if place < len(self.prior) else 0.0
            extra += self.skill * (best is not None and self.means.get(words) == best)
            for token in (letter, f" {letter}"):
                if token in self.number and not turn:
                    found[self.number[token]] += extra + 8
        if not listed and best is not None:
            for text, meant in self.means.items():
                ids = self.ids(text)
                if meant == best and tuple(turn) == ids[: len(turn)]:
                    found[ids[len(turn)] if len(turn) < len(ids) else self.number[END]] += self.skill
        if turn and listed:
            found[self.number[END]] += 30
        return found

    def told(self, text: str) -> str | None:
        """The class that the first sentence of a prompt states, if any."""
        first = text.split(". ")[0].removesuffix(".")
        ends = [words for words in self.means if first.endswith(f" {words}") and "?" not in first]
        return self.means[max(ends, key=len)] if ends else None

    def log_p(self, prompt: Prompt, turn: Sequence[int]) -> np.ndarray:
        """Log-probabilities of the next token."""
        self.calls.append(1)
        logits = self.logits(prompt, turn)
        return logits - np.logaddexp.reduce(logits)

    def whole(self, name: str = "letter-model") -> WholeModel:
        """The model as the project has whole models."""

        def next_token(prompts: Sequence[Prompt], ids: Sequence[int], edit: Any = None) -> np.ndarray:
            assert edit is None
            return np.array([self.log_p(p, ())[list(ids)] for p in prompts])

        def continuations(
            prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], edit: Any = None
        ) -> list[list[np.ndarray]]:
            assert edit is None
            return [
                [np.array([self.log_p(p, ids[:t])[ids[t]] for t in range(len(ids))]) for ids in map(self.ids, some)]
                for p, some in zip(prompts, texts, strict=True)
            ]

        def generate(prompts: Sequence[Prompt], limit: int, edit: Any = None) -> list[Reply]:
            assert edit is None
            return [self.write(p, limit) for p in prompts]

        def tokens(text: str, start: str = "") -> tuple[int, ...]:
            return self.ids(f"{start}{text}")[len(self.ids(start)) :]

        card = Card(name=name, sites={"connector": Site(width=4, grid=(4, 4))})

        def nothing(*_: Any, **__: Any) -> Any:
            raise AssertionError("a formula has no such part")

        encoder = Encoder(card=card, preprocess=nothing, forward=nothing, fingerprint=name)
        return WholeModel(
            card=card, encoder=encoder, fingerprint=f"of {name}", layers=2, template="none", next_token=next_token,
            continuations=continuations, generate=generate, tokens=tokens,
            connector=nothing, reader=nothing,
        )  # fmt: skip

    def write(self, prompt: Prompt, limit: int) -> Reply:
        """The greedy reply."""
        turn: list[int] = []
        while len(turn) < limit:
            token = int(self.log_p(prompt, turn).argmax())
            if self.vocabulary[token] == END:
                return Reply(text=self.text(turn), finished=True)
            turn.append(token)
        return Reply(text=self.text(turn), finished=False)

    def text(self, turn: Sequence[int]) -> str:
        """The text of tokens, as `writes` puts a bare letter."""
        text = "".join(self.vocabulary[token] for token in turn)
        letter = text.strip()
        return self.writes.format(letter=letter) if letter in LETTERS and len(letter) == 1 else text
