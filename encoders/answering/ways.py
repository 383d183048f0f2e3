"""The ways of asking a whole model: by the letter, by writing, by the text of each option.

The four are those of MediConfusion (Sepehri et al. 2024, arXiv 2409.15477, `utils/answering.py`). Scores are
log-probabilities of the raw logits of one forward pass.
"""

from collections.abc import Sequence

import numpy as np

from encoders._base import EncoderError
from encoders.answering.model import Edit, Prompt, Reply, WholeModel
from encoders.answering.prompts import LETTERS

TIE = -2  # instead of an option: several share the best score
SAME = 1e-6  # log-probabilities that differ by no more are a tie: batches of another size move them by less

REPORT, FIRST, LAST = "report", "first", "last"


def letter_tokens(model: WholeModel, k: int, start: str = "") -> list[tuple[int, ...]]:
    """For each of the first k letters the ids of the tokens by which the model's turn can begin with it.

    Both "A" and " A" are looked up where the turn begins (behind `start`), as chat template and tokenizer make them;
    those that are one token count, and where both are, each counts.

    Raises:
        EncoderError: more options than letters, a letter that is no single token, or one token for two letters.
    """
    if not 2 <= k <= len(LETTERS):
        raise EncoderError(f"{k} options: a question has from 2 to {len(LETTERS)}")
    found: list[tuple[int, ...]] = []
    for letter in LETTERS[:k]:
        forms = [_ids(model, text, start) for text in (letter, f" {letter}")]
        single = tuple(dict.fromkeys(ids[0] for ids in forms if len(ids) == 1))
        if not single:
            what = f"is {len(forms[0])} tokens to its tokenizer" if forms[0] else "cannot begin its turn"
            raise EncoderError(
                f"{model.card.name}: the option's letter {letter} {what}, so that it has no score of its own; ask "
                "another way (choice, prefix or free)"
            )
        shared = [other for other, ids in zip(LETTERS, found, strict=False) if set(ids) & set(single)]
        if shared:
            raise EncoderError(
                f"{model.card.name}: the letters {shared[0]} and {letter} are the same token to its tokenizer, so that "
                "their options cannot be told apart; ask another way (choice, prefix or free)"
            )
        found.append(single)
    return found


def _ids(model: WholeModel, text: str, start: str) -> tuple[int, ...]:
    """The ids of a text at the beginning of the model's turn; none where it cannot begin so."""
    try:
        return tuple(model.tokens(text, start))
    except EncoderError:  # it joins with the end of the prompt
        return ()


def letter_scores(
    model: WholeModel, prompts: Sequence[Prompt], counts: Sequence[int], edit: Edit | None = None
) -> list[np.ndarray]:
    """Log-probability of each option's letter as the next token: for each prompt float64 [k], its number of options.

    Where two tokens stand for a letter ("A" and " A") their probabilities are added.
    """
    found: list[np.ndarray | None] = [None] * len(prompts)
    for start in dict.fromkeys(prompt.start for prompt in prompts):
        here = [i for i, prompt in enumerate(prompts) if prompt.start == start]
        letters = letter_tokens(model, max(counts[i] for i in here), start)
        ids = [token for letter in letters for token in letter]
        scores = model.next_token([prompts[i] for i in here], ids, **_edited(edit, here))
        ends = np.cumsum([0, *(len(letter) for letter in letters)])
        for row, i in zip(np.asarray(scores, np.float64), here, strict=True):
            found[i] = np.array([np.logaddexp.reduce(row[ends[c] : ends[c + 1]]) for c in range(counts[i])])
    return [one for one in found if one is not None]


def prefix_scores(
    model: WholeModel, prompts: Sequence[Prompt], options: Sequence[Sequence[str]], edit: Edit | None = None
) -> list[np.ndarray]:
    """Log of the geometric mean of the probabilities of each option's tokens, written behind the prompt: float64 [k].

    The tokens are those of the option where it stands, at the end: what MediConfusion finds as the last occurrence of
    the option's ids.

    Raises:
        EncoderError: an option without any token.
    """
    every = model.continuations(prompts, [list(some) for some in options], **_edited(edit, range(len(prompts))))
    found = []
    for some, texts in zip(every, options, strict=True):
        empty = [text for text, tokens in zip(texts, some, strict=True) if not len(tokens)]
        if empty:
            raise EncoderError(f"{model.card.name}: the option {empty[0]!r} has no token, so that it has no score")
        found.append(np.array([float(np.mean(tokens)) for tokens in some]))
    return found


def written(model: WholeModel, prompts: Sequence[Prompt], limit: int, edit: Edit | None = None) -> list[Reply]:
    """What the model writes, greedily, at most `limit` tokens; one that goes on is cut and not `finished`."""
    return model.generate(prompts, limit, **_edited(edit, range(len(prompts))))


def _edited(edit: Edit | None, here: Sequence[int]) -> dict[str, Edit]:
    """The keyword for an edit, told the numbers of all prompts where only those of `here` are passed on."""
    if edit is None:
        return {}
    places = list(here)
    return {"edit": lambda number, tokens: edit(places[number], tokens)}


def best(scores: np.ndarray, ties: str = REPORT) -> int:
    """The option of the best score: its place, TIE where several share it, or the first or last of those.

    `ties` is "report", "first" (MediConfusion's greedy letter: argmax) or "last" (its prefix score: the first option
    is taken only where it is better).

    >>> best(np.log([0.4, 0.4, 0.2])), best(np.log([0.4, 0.4, 0.2]), "last"), best(np.log([0.4, 0.6]))
    (-2, 1, 1)
    """
    top = np.flatnonzero(scores >= scores.max() - SAME)
    return int(top[0]) if len(top) == 1 or ties == FIRST else int(top[-1]) if ties == LAST else TIE
