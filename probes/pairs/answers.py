"""Answers read from a model's text by the benchmarks' own rules, and the totals of MMVP and BLINK."""

from collections.abc import Mapping, Sequence

import numpy as np

from probes._base import ProbeError
from probes.pairs.scores import INVALID

LETTERS = ("A", "B", "C", "D", "E")
ALPHABET = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
FAILED = "(Z)"  # BLINK's mark for a text that names no choice, or several


def mediconfusion_letter(text: str | None, choices: int = 2) -> str:
    """`A`, `B` (or a further letter of the `choices`) or `INVALID`, by MediConfusion's multiple-choice rule.

    A letter counts where a word between blanks or line ends is that letter, bare or in one of the forms that its
    prompts provoke; two letters, or none, is invalid. The article "A" at the head of a sentence is such a word.

    >>> mediconfusion_letter('A") The left one'), mediconfusion_letter("(A)"), mediconfusion_letter("A or B")
    ('A', '-', '-')
    """
    words = set((text or "").replace("\n", " ").split(" "))
    found = []
    for letter in ALPHABET[:choices]:
        forms = {f"{dot}{letter}{colon}" for dot in ("", ".") for colon in ("", ":")}
        forms |= {f"{letter}.", f'{letter}")', f'("{letter}":', f'("{letter}")', f'("{letter}").'}
        found += [letter] if words & forms else []
    return found[0] if len(found) == 1 else INVALID


def by_gap(a: int, b: int, gap: int = 3) -> str:
    """`A` or `B`, whichever is ahead by `gap` or more, else `INVALID`: the rule for scored free answers."""
    place = ahead((float(a), float(b)), float(gap))
    return INVALID if place is None else LETTERS[place]


def ahead(scores: Sequence[float], gap: float) -> int | None:
    """The place of the score that is ahead of every other by `gap` or more, None where none is.

    >>> ahead([9.0, 6.0, 1.0], 3.0), ahead([9.0, 7.0, 1.0], 3.0)
    (0, None)
    """
    for place, one in enumerate(scores):
        if all(one >= other + gap for k, other in enumerate(scores) if k != place):
            return place
    return None


def blink_letter(text: str, choices: int) -> str:
    r"""`(A)` to `(E)`, or `FAILED`, by BLINK's rule without the language model that it asks last.

    A text that is a letter alone, or a letter in brackets, is that choice. Otherwise the words of the last
    paragraph, then of the whole text, must hold exactly one of the bracketed letters of the `choices`.

    >>> blink_letter("B", 2), blink_letter("(A) no.\n\nSo it is (B)", 2), blink_letter("(A) or (B)", 2)
    ('(B)', '(B)', '(Z)')
    """
    every = [f"({letter})" for letter in LETTERS]
    if text in LETTERS:
        return f"({text})"
    if text in every:
        return text
    legal = set(every[:choices])
    for part in (text.split("\n\n")[-1], text):
        found = legal & set(part.split())
        if len(found) == 1:
            return found.pop()
    return FAILED


def blink_total(right: Mapping[str, Sequence[bool]]) -> tuple[dict[str, float], float]:
    """Accuracy per task, and BLINK's total: their mean, whatever their sizes; ProbeError for a task without items."""
    bare = sorted(task for task, values in right.items() if not len(values))
    if bare or not right:
        raise ProbeError(f"BLINK's task {bare[0]!r} has no answers" if bare else "no task of BLINK has answers")
    each = {task: float(np.mean(values)) for task, values in right.items()}
    return each, float(np.mean(list(each.values())))


def mmvp_accuracy(right: np.ndarray) -> float:
    """MMVP's score from right answers, bool [pairs, 2]: the share of pairs with both right; 1/4 by chance."""
    return float(np.all(np.asarray(right, bool), axis=1).mean())


def vlm_right(similarity: np.ndarray) -> np.ndarray:
    """MMVP-VLM's rule, bool [pairs]: whether each statement is nearer to its own image than to the other.

    `similarity` is [pairs, image, statement]. A statement that is as near to both is given to the second image,
    as in the published script. Only text to image is asked; 1/4 by chance.
    """
    s = np.asarray(similarity)
    if s.ndim != 3 or s.shape[1:] != (2, 2):
        raise ProbeError(f"similarities must be [pairs, 2 images, 2 statements], not {s.shape}")
    if not np.isfinite(s).all():
        raise ProbeError("similarities hold NaN or infinite values")
    first = s[:, 0] > s[:, 1]
    return first[:, 0] & ~first[:, 1]


def vlm_scores(right: np.ndarray, patterns: Sequence[str]) -> tuple[dict[str, float], float]:
    """MMVP-VLM's score per pattern of the pairs, and the mean over patterns, as the paper's table has them."""
    if len(right) != len(patterns):
        raise ProbeError(f"{len(right)} pairs and {len(patterns)} patterns")
    names = list(dict.fromkeys(patterns))
    each = {name: float(np.mean([r for r, p in zip(right, patterns, strict=True) if p == name])) for name in names}
    return each, float(np.mean(list(each.values())))
