"""The ways of asking against a computation of their own: full softmax, whole sequences, ties."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from encoders import EncoderError
from encoders.answering import ways
from encoders.answering.model import Prompt, WholeModel
from encoders.answering.prompts import FORMATS, LETTERS
from tests.letter_model import LetterModel

OPTIONS = ("upright", "upside down", "turned a little")
MEANS: dict[str, str] = {option: option for option in OPTIONS}


def sees(image: np.ndarray) -> str | None:
    return OPTIONS[int(image[0, 0])] if image[0, 0] < 3 else None


@pytest.fixture(scope="module")
def model() -> LetterModel:
    return LetterModel(sees, MEANS, skill=1.0)


def prompts(form: str, options: Sequence[str] = OPTIONS) -> list[Prompt]:
    start = FORMATS[form].start
    return [
        Prompt(text=FORMATS[form].text(question, options), start=start, image=np.full((2, 2), value, np.uint8))
        for question in ("Which?", "How does it stand?")
        for value in (0, 1, 2, 9)
    ]


def test_the_letter_s_score_is_its_share_of_the_whole_softmax(model: LetterModel) -> None:
    asked = prompts("plain")
    found = ways.letter_scores(model.whole(), asked, [3, 2] * 4)
    for prompt, one, k in zip(asked, found, [3, 2] * 4, strict=True):
        p = np.exp(model.logits(prompt, ()))
        p /= p.sum()
        own = [p[model.number[letter]] + p[model.number[f" {letter}"]] for letter in LETTERS[:k]]
        np.testing.assert_allclose(np.exp(one), own, rtol=1e-12)


def test_a_batch_is_each_prompt_by_itself(model: LetterModel) -> None:
    asked = [*prompts("plain"), *(replace(p, start="The letter is ") for p in prompts("plain"))]
    whole = replace(model.whole(), tokens=lambda text, *_: model.ids(text))
    together = ways.letter_scores(whole, asked, [3] * len(asked))
    for prompt, one in zip(asked, together, strict=True):
        np.testing.assert_array_equal(ways.letter_scores(whole, [prompt], [3])[0], one)


def test_the_prefix_s_score_is_that_of_the_last_occurrence_in_the_whole_text(model: LetterModel) -> None:
    asked = prompts("prefix")
    found = ways.prefix_scores(model.whole(), asked, [OPTIONS] * len(asked))
    for prompt, scores in zip(asked, found, strict=True):
        for option, score in zip(OPTIONS, scores, strict=True):
            ids = model.ids(option)
            whole = [-1, *ids, -1, *ids]  # the option stands in the question too; the last is what counts
            at = max(i for i in range(len(whole)) if tuple(whole[i : i + len(ids)]) == ids)
            turn = whole[at:]
            p = [np.exp(model.logits(prompt, turn[:t]))[turn[t]] / np.exp(model.logits(prompt, turn[:t])).sum()
                 for t in range(len(turn))]  # fmt: skip
            assert np.exp(score) == pytest.approx(np.prod(p) ** (1 / len(p)), rel=1e-9)


def test_one_variant_of_a_letter_is_enough() -> None:
    bare = LetterModel(sees, MEANS, variants=False)
    whole = replace(bare.whole(), tokens=lambda text, *_: (1, 2) if text[0] == " " else bare.ids(text))
    assert [len(ids) for ids in ways.letter_tokens(whole, 3)] == [1, 1, 1]


def refusing(model: LetterModel) -> WholeModel:
    def tokens(text: str, start: str = "") -> tuple[int, ...]:
        if text[0] == " ":
            raise EncoderError("joins with the end of the prompt")
        return model.ids(f"{start}{text}")

    return replace(model.whole(), tokens=tokens)


def test_a_letter_that_joins_with_the_prompt_is_left_out(model: LetterModel) -> None:
    assert ways.letter_tokens(refusing(model), 2) == [(model.number["A"],), (model.number["B"],)]


def always(*ids: int) -> Callable[..., tuple[int, ...]]:
    return lambda *_, **__: ids


@pytest.mark.parametrize(
    ("tokens", "k", "message"),
    [
        (always(1, 2), 2, "letter A is 2 tokens to its tokenizer"),
        (always(7), 2, "letters A and B are the same token"),
        (None, 27, "27 options: a question has from 2 to 26"),
        (None, 1, "1 options: a question has from 2 to 26"),
    ],
)
def test_letters_that_tell_nothing_are_refused(model: LetterModel, tokens: Any, k: int, message: str) -> None:
    whole = model.whole() if tokens is None else replace(model.whole(), tokens=tokens)
    with pytest.raises(EncoderError, match=message):
        ways.letter_tokens(whole, k)


def test_two_letters_of_one_token_are_refused() -> None:
    with pytest.raises(EncoderError, match="letters B and C are the same token"):
        ways.letter_tokens(LetterModel(sees, MEANS, shared=True).whole(), 3)


def test_ties_are_reported_or_decided_by_the_rule_that_is_named() -> None:
    level = np.log([0.2, 0.4, 0.4])
    assert [ways.best(level, rule) for rule in (ways.REPORT, ways.FIRST, ways.LAST)] == [ways.TIE, 1, 2]
    assert ways.best(level + np.array([0, 0, 1e-4])) == 2  # no tie
    assert ways.best(level + np.array([0, 0, 1e-9])) == ways.TIE  # what another batch size may move


def test_an_edit_is_told_the_prompt_s_own_number(model: LetterModel) -> None:
    """Prompts that begin differently are asked apart; the numbers stay those of the caller's list."""
    told: list[int] = []

    def next_token(some: Sequence[Prompt], ids: Sequence[int], edit: Any = None) -> np.ndarray:
        for number in range(len(some)):
            edit(number, None)
        return np.zeros((len(some), len(ids)))

    whole = replace(model.whole(), next_token=next_token, tokens=lambda text, *_: model.ids(text))
    asked = [Prompt(text="?", start=start) for start in ("", "x", "")]
    ways.letter_scores(whole, asked, [2] * 3, edit=lambda number, tokens: (told.append(number), tokens)[1])
    assert told == [0, 2, 1]
