"""The scores of pairs follow the published rules to the last count, and impossible published rows are seen."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from probes import ProbeError
from probes.pairs.answers import (
    blink_letter,
    blink_total,
    by_gap,
    mediconfusion_letter,
    mmvp_accuracy,
    vlm_right,
    vlm_scores,
)
from probes.pairs.scores import INVALID, Consistency, category_scores, consistent, pair_scores

SAID = list(product("AB-", "AB-"))
KEYS = [("A", "B"), ("B", "A")]
LABELS = [((), ()), (("x",), ("x",)), (("x",), ("y",)), (("x", "y"), ("y",)), (("y",), ("x", "y", "z"))]


def longhand(predicted: list, keys: list, cats: list, label: str | None) -> dict[str, Fraction]:
    """The rules once more, image by image, from the lists of everything that happened: no count is shared."""
    n = len(keys)
    images = [(p, side) for p in range(n) for side in (0, 1) if label is None or label in cats[p][side]]
    right = [im for im in images if predicted[im[0]][im[1]] == keys[im[0]][im[1]]]
    dumb = [im for im in images if predicted[im[0]][im[1]] == "-"]
    both = [p for p in range(n) if predicted[p] == keys[p]]
    readable = [p for p in range(n) if "-" not in predicted[p]]
    alike = [p for p in readable if len(set(predicted[p])) == 1]
    weight = (
        {p: sum(im[0] == p for im in images) for p in range(n)} if label is not None else dict.fromkeys(range(n), 1)
    )
    pairs = len(images) if label is not None else n
    v, k = sum(weight[p] for p in readable), sum(weight[p] for p in alike)
    s = sum(weight[p] for p in both)
    zero = Fraction(0)
    return {
        "set_accuracy": Fraction(s, pairs),
        "individual_accuracy": Fraction(len(right), len(images)),
        "confusion": Fraction(k, v) if v else zero,
        "invalid_rate": Fraction(len(dumb), len(images)),
        "precision": Fraction(s, v - k) if v > k else zero,
        "valids": Fraction(v),
        "valid_pairs": Fraction(v - k),
    }


def cases() -> Iterator[tuple[list, list, list]]:
    """Every answer to two pairs under every key, and to one and three under a sample of them, with labels."""
    for predicted in product(SAID, repeat=2):
        for keys in product(KEYS, repeat=2):
            yield list(predicted), list(keys), [LABELS[(len(predicted[0][0]) + i) % 5] for i in (1, 3)]
    for predicted, keys, cats in product(SAID, KEYS, LABELS):
        yield [predicted], [keys], [cats]
    rng = np.random.default_rng(0)
    for _ in range(400):
        n = 3
        yield (
            [SAID[i] for i in rng.integers(0, 9, n)],
            [KEYS[i] for i in rng.integers(0, 2, n)],
            [LABELS[i] for i in rng.integers(0, 5, n)],
        )


def test_scores_equal_the_rules_written_out_by_hand_in_every_small_case() -> None:
    count = 0
    for predicted, keys, cats in cases():
        whole = pair_scores(predicted, keys)
        for name, value in longhand(predicted, keys, cats, None).items():
            assert getattr(whole, name) == pytest.approx(float(value), abs=1e-12), (name, predicted, keys)
        for label, scores in category_scores(predicted, keys, cats).items():
            for name, value in longhand(predicted, keys, cats, label).items():
                assert getattr(scores, name) == pytest.approx(float(value), abs=1e-12), (name, label, predicted, keys)
        count += 1
    assert count == 81 * 4 + 9 * 2 * 5 + 400


def test_a_constant_answer_scores_nothing_half_and_all() -> None:
    scores = pair_scores([("A", "A")] * 6, KEYS * 3)
    assert (scores.set_accuracy, scores.individual_accuracy, scores.confusion) == (0, 0.5, 1)
    assert (scores.precision, scores.swapped, scores.valids) == (0, 0, 6)


def test_invalid_answers_stay_in_two_denominators_and_leave_the_third() -> None:
    scores = pair_scores([("A", "B"), ("-", "A"), ("B", "B"), ("-", "-")], [("A", "B"), ("B", "A")] * 2)
    assert scores.set_accuracy == 1 / 4
    assert scores.individual_accuracy == 4 / 8
    assert scores.invalid_rate == 3 / 8
    assert scores.valids == 2
    assert scores.confusion == 1 / 2
    assert (scores.precision, scores.valid_pairs) == (1, 1)
    assert pair_scores([("-", "-")], [("A", "B")]).confusion == 0


def test_a_category_counts_images_and_not_pairs() -> None:
    found = category_scores([("A", "B"), ("A", "A")], KEYS, [(("x",), ("x", "y")), (("x",), ("y",))])
    assert (found["x"].pairs, found["y"].pairs) == (3, 2)
    assert (found["x"].set_accuracy, found["y"].set_accuracy) == (2 / 3, 1 / 2)
    assert (found["x"].individual_accuracy, found["y"].individual_accuracy) == (2 / 3, 1)
    assert (found["x"].confusion, found["y"].confusion) == (1 / 3, 1 / 2)
    part = category_scores([("A", "B")], KEYS[:1], [(("x",), ("x",))], {"x": 10, "z": 4})
    assert (part["x"].set_accuracy, part["z"].set_accuracy) == (0.2, 0)


def test_scores_refuse_what_is_no_pair() -> None:
    with pytest.raises(ProbeError, match="pair 0 has the keys 'A' and 'A'"):
        pair_scores([("A", "B")], [("A", "A")])
    with pytest.raises(ProbeError, match="1 pairs of answers for 2 pairs of keys"):
        pair_scores([("A", "B")], KEYS)
    with pytest.raises(ProbeError, match="0 pairs of answers"):
        pair_scores([], [])
    with pytest.raises(ProbeError, match="no total is given for the category 'x'; there are y"):
        category_scores([("A", "B")], KEYS[:1], [(("x",), ("y",))], {"y": 1})
    with pytest.raises(ProbeError, match="0 pairs of categories for 1"):
        category_scores([("A", "B")], KEYS[:1], [])


# ---- the identity


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def test_every_set_of_answers_is_consistent_and_every_other_triple_of_counts_is_not() -> None:
    n = 3
    seen: dict[tuple[float, float, float], set[int]] = {}
    for predicted in product(SAID, repeat=n):
        s = pair_scores(list(predicted), [("A", "B")] * n)
        triple = (percent(s.set_score, n), percent(s.individual_score, 2 * n), percent(s.confused, s.valids))
        seen.setdefault(triple, set()).add(s.valids)
    shares = sorted({percent(k, v) for v in range(1, n + 1) for k in range(v + 1)})
    for a, b, c in product(range(n + 1), range(2 * n + 1), shares):
        triple = (percent(a, n), percent(b, 2 * n), c)
        for all_valid in (True, False):
            found = consistent(
                set_accuracy=triple[0], individual_accuracy=triple[1], confusion=c, pairs=n, all_valid=all_valid
            )
            expected = {v for v in seen.get(triple, set()) if v == n or not all_valid}
            assert set(found.valids) == expected, (triple, all_valid)
            assert found.possible == bool(expected)
            assert bool(found.reason) != found.possible


def published(row: tuple[float, float, float], *, all_valid: bool) -> Consistency:
    """A row of the paper's table, set, individual and confusion in percent, over its 176 pairs."""
    both, each, alike = row
    return consistent(set_accuracy=both, individual_accuracy=each, confusion=alike, pairs=176, all_valid=all_valid)


def test_two_published_rows_are_impossible_and_two_leave_pairs_unanswered() -> None:
    """Answers by prefix score (Med-Flamingo) and by greedy letter (LLaVA) are never invalid."""
    med_flamingo = published((4.55, 51.99, 98.30), all_valid=True)
    assert not med_flamingo.possible
    assert "are more than all of them" in med_flamingo.reason
    assert not published((4.55, 51.99, 98.30), all_valid=False).possible
    llava = published((9.09, 51.70, 85.80), all_valid=True)
    assert not llava.possible
    assert "182 right answers do not follow from 16 pairs right twice" in llava.reason
    assert published((9.09, 51.99, 85.80), all_valid=True).possible
    assert published((19.89, 51.14, 58.52), all_valid=False).valids == (135,)
    assert max(published((8.52, 50.85, 84.09), all_valid=False).valids) == 132


@pytest.mark.parametrize("row", [(18.75, 56.25, 75.00), (1.14, 49.72, 97.16), (25.0, 50.0, 50.0)])
def test_possible_published_rows_pass(row: tuple[float, float, float]) -> None:
    assert published(row, all_valid=True).valids == (176,)


def test_a_share_that_no_count_gives_is_named() -> None:
    found = published((10.0, 50.0, 50.0), all_valid=False)
    assert found.reason == "set accuracy 10.0 % is no whole number out of 176 pairs"


# ---- reading answers


def regex_letter(text: str) -> str:
    """MediConfusion's rule as regular expressions over the whole text."""
    text = f" {text} ".replace("\n", " ")
    found = [
        letter
        for letter in "AB"
        if re.search(rf"(?<= )(\.?{letter}:?|{letter}\.|{letter}\"\)|\(\"{letter}\":|\(\"{letter}\"\)\.?)(?= )", text)
    ]
    return found[0] if len(found) == 1 else INVALID


def test_the_multiple_choice_rule_equals_its_regular_expression_on_every_short_text() -> None:
    parts = ["", ".", "(", '("', "A", "B", "a", '"', '")', ":", ")", " ", "\n", "x"]
    texts = ["".join(p) for k in (1, 2, 3) for p in product(parts, repeat=k)]
    for text in texts:
        assert mediconfusion_letter(text) == regex_letter(text), repr(text)
    assert {mediconfusion_letter(t) for t in texts} == {"A", "B", "-"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"), ("B.", "B"), ('("A").', "A"), ("The answer is\nB", "B"), (".A:", "A"),
        ("(A)", "-"), ("A,", "-"), ("**A**", "-"), ("a", "-"), ("A B", "-"), ("", "-"), (None, "-"),
        ("A lesion is seen.", "A"),
    ],
)  # fmt: skip
def test_a_letter_is_read_as_the_published_code_reads_it(text: str | None, letter: str) -> None:
    assert mediconfusion_letter(text) == letter


def test_free_answers_need_a_gap() -> None:
    assert [by_gap(a, b) for a, b in ((9, 6), (9, 7), (1, 4), (0, 0))] == ["A", "-", "B", "-"]


@pytest.mark.parametrize(
    ("text", "choices", "letter"),
    [
        ("C", 2, "(C)"), ("(D)", 2, "(D)"), ("F", 5, "(Z)"), ("I say (B) here", 3, "(B)"), ("(A).", 2, "(Z)"),
        ("(A) or (B)\n\nso (A)", 2, "(A)"), ("only (B)\n\nthat is all", 2, "(B)"), ("(C) it is", 2, "(Z)"),
        ("(A) and (B)", 2, "(Z)"), ("(A)\n\n(B)", 2, "(B)"), ("", 4, "(Z)"),
    ],
)  # fmt: skip
def test_blinks_letter_is_taken_where_one_choice_is_named(text: str, choices: int, letter: str) -> None:
    assert blink_letter(text, choices) == letter


def test_blinks_total_does_not_weigh_tasks_by_their_size() -> None:
    each, total = blink_total({"a": [True, False], "b": [True] * 8})
    assert each == {"a": 0.5, "b": 1.0}
    assert total == 0.75
    with pytest.raises(ProbeError, match="task 'c' has no answers"):
        blink_total({"a": [True], "c": []})


def test_mmvp_counts_pairs_with_both_right() -> None:
    assert mmvp_accuracy(np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)) == 0.25


def test_mmvp_vlm_equals_the_softmax_rule_and_gives_ties_to_the_second_image() -> None:
    similarity = np.random.default_rng(0).integers(-3, 4, (500, 2, 2)) / 7
    right = vlm_right(similarity)
    for s, told in zip(similarity, right, strict=True):
        p = np.exp(5 * s) / np.exp(5 * s).sum(axis=0)
        picked = ["img1" if p[0, j] > 0.5 + 1e-12 else "img2" for j in (0, 1)]
        assert told == (picked == ["img1", "img2"])
    assert vlm_right(np.zeros((1, 2, 2))).tolist() == [False]
    assert vlm_right(np.array([[[1.0, 0.0], [0.0, 0.0]]])).tolist() == [True]  # the tied second text takes image 2
    assert 0.1 < right.mean() < 0.4
    with pytest.raises(ProbeError, match="must be"):
        vlm_right(np.zeros((4, 2)))
    with pytest.raises(ProbeError, match="NaN"):
        vlm_right(np.full((1, 2, 2), np.nan))


def test_mmvp_vlm_scores_are_means_over_patterns() -> None:
    each, mean = vlm_scores(np.array([True, False, True]), ["a", "a", "b"])
    assert each == {"a": 0.5, "b": 1.0}
    assert mean == 0.75
    with pytest.raises(ProbeError, match="3 pairs and 1 patterns"):
        vlm_scores(np.ones(3, bool), ["a"])
