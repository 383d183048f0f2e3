"""Replies are read as a person reads them, nothing is guessed, and the order of the options decides nothing."""

import re
from itertools import pairwise, permutations

import pytest

from slitlamp.answers import phrases
from slitlamp.answers import reply as reply_
from slitlamp.answers.reply import LETTERS, PUBLIC, read_reply
from slitlamp.errors import UsageError
from tests.slitlamp.answers.replies import OF_PEERS, READINGS, TURNED, UP


@pytest.mark.parametrize(("options", "synonyms", "reply", "place"), READINGS)
def test_a_reply_is_read_as_the_table_says(
    options: tuple[str, ...], synonyms: tuple[tuple[str, ...], ...], reply: str, place: int | None
) -> None:
    found = read_reply(reply, options, synonyms=synonyms)
    assert found.choice == place, found.why
    assert found.why


def test_the_table_is_long_enough_and_has_two_to_five_options() -> None:
    assert len(READINGS) >= 450
    assert {len(options) for options, *_ in READINGS} == {2, 3, 4, 5}
    assert len(OF_PEERS) == 16


def test_another_order_of_the_options_permutes_the_choice() -> None:
    """Of all replies of the table, read by words alone and, with the letters of the new order written, by letters."""
    for options, synonyms, reply, _ in READINGS:
        before = read_reply(reply, options, synonyms=synonyms, letters=False).choice
        for order in [*permutations(range(len(options)))][:8]:
            moved = [options[k] for k in order]
            words = [synonyms[k] for k in order] if synonyms else ()
            after = read_reply(reply, moved, synonyms=words, letters=False).choice
            assert (None if after is None else order[after]) == before, (reply, order)


FRAMES = (
    "{}", "({})", "{}.", "{}: {text}", "Answer: {}", "The answer is ({}).", "The answer is not {}.", "I choose {}.",
    "{} is wrong.", "It is {text}.", "It is not {text}.", "**{}**", '{{"answer": "{}"}}', "\\boxed{{{}}}",
    "{} or {other}",
    "{}. No, wait, {other}.", "Neither {} nor {other}.", "{text}, not {othertext}.", "Not {text} but {othertext}.",
)  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("options", [("red", "green", "blue"), ("upright", "upside down")])
def test_letters_follow_their_options_to_another_place(frame: str, options: tuple[str, ...]) -> None:
    for order in permutations(range(len(options))):
        moved = [options[k] for k in order]
        for one in range(len(options)):
            other = (one + 1) % len(options)
            texts = {"text": options[one], "othertext": options[other]}
            before = read_reply(frame.format(LETTERS[one], other=LETTERS[other], **texts), options).choice
            here, there = order.index(one), order.index(other)
            after = read_reply(frame.format(LETTERS[here], other=LETTERS[there], **texts), moved).choice
            assert (None if after is None else order[after]) == before


@pytest.mark.parametrize("frame", FRAMES)
def test_what_denies_one_option_of_three_names_no_other(frame: str) -> None:
    options = ("red", "green", "blue")
    found = read_reply(frame.format("A", other="B", text="red", othertext="green"), options).choice
    wanted = {
        "The answer is not {}.": None, "{} is wrong.": None, "It is not {text}.": None, "{} or {other}": None,
        "{}. No, wait, {other}.": 1, "Neither {} nor {other}.": None, "Not {text} but {othertext}.": 1,
    }.get(frame, 0)  # fmt: skip
    assert found == wanted


def test_an_unfinished_reply_is_none_whatever_it_begins_with() -> None:
    assert read_reply("The answer is B", UP).choice == 1
    assert read_reply("The answer is B", UP, finished=False).choice is None
    assert read_reply("The answer is B", UP, finished=False).why == "unfinished"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (None, "empty"), (" \n", "empty"), ("I cannot help with that.", "refusal"), ("Neither.", "neither"),
        ("A or B", "two options"), ("The answer is not A.", "only denied: upright"), ("Both.", "both"),
        ("Is it so?", "a question"), ("A film.", "names no option"), ("B. Wait.", "withdrawn"),
    ],
)  # fmt: skip
def test_the_reason_is_said(reply: str | None, why: str) -> None:
    found = read_reply(reply, UP)
    assert found.choice is None
    assert why in found.why


def test_synonyms_count_as_the_option_and_without_them_nothing_is_read() -> None:
    assert read_reply("It is flipped.", UP, synonyms=TURNED).choice == 1
    assert read_reply("It is flipped.", UP).choice is None


@pytest.mark.parametrize(
    ("options", "synonyms", "message"),
    [
        (("a",), (), "two options or more, not 1"),
        (("left", "Left."), (), "two options share the words"),
        (("left", " "), (), "is empty"),
        (("left", "right"), (("same",), ("same",)), "share the words 'same'"),
        (("left", "right"), (("x",),), "1 sets of synonyms for 2 options"),
        (tuple(f"option {k}" for k in range(27)), (), "at most 26"),
    ],
)
def test_options_that_no_reply_can_tell_apart_are_refused(
    options: tuple[str, ...], synonyms: tuple[tuple[str, ...], ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_reply("A", options, synonyms=synonyms)


def test_letters_are_no_answer_where_none_were_shown() -> None:
    assert read_reply("B", ("red", "green", "blue"), letters=False).choice is None
    assert read_reply("B", ("red", "green", "blue")).choice == 1


TEXTS = [f"{a} {b}" for a, b in pairwise(reply for *_, reply, _ in READINGS)]
RARE = {name: one for name, one in vars(phrases).items() if isinstance(one, phrases.Rare)}


@pytest.mark.parametrize("name", RARE)
def test_a_phrase_is_searched_wherever_it_stands(name: str) -> None:
    phrase = RARE[name]
    found = [text for text in TEXTS if phrase.regex.search(text)]
    assert [text for text in found if not phrase.needles.in_text(text)] == []
    assert [text.upper() for text in found if not phrase.needles.in_text(text.upper())] == []
    assert len(found) < len(TEXTS)
    assert any(not phrase.needles.in_text(text) for text in TEXTS)  # and not searched where it cannot


def test_looking_back_as_far_as_a_phrase_reaches_finds_what_looking_back_to_the_start_does() -> None:
    for text in TEXTS:
        for start, end in reply_._sentences(reply_._unmarked(text)):
            sentence = reply_._unmarked(text)[start:end]
            for word in re.finditer(r"\b[^\W_]+", sentence):
                at = word.start()
                here, before = reply_.Mention(start=at, end=word.end(), option=0, letter=False), sentence[:at]
                ends = [0, *(m.end() for m in phrases.BOUNDARY.finditer(before))]
                assert reply_._clause_starts(sentence, at)[-2:] == ends[-2:]
                assert reply_._compared(sentence, here) == bool(phrases.NEUTRAL.search(before)), (sentence, at)
                for pattern, words in (
                    (phrases.NEGATED_CUE, 8), (reply_._NAMED, 6), (reply_._CUE_OF_LETTER, reply_.CUE_WORDS),
                    (reply_._CUE_OF_WORD, reply_.CUE_WORDS), *((one, 4) for one, _ in phrases.SUPPOSED),
                ):  # fmt: skip
                    near = pattern.search(sentence, reply_._back(sentence, at, words), at)
                    assert (near is None) == (pattern.search(before) is None), (sentence, at)
                if phrases.NEGATED_LIST.search(before):
                    assert phrases.LAST_OF_LIST.search(sentence, max(0, reply_._back(sentence, at, 3) - 1), at)


def test_a_reply_is_read_alike_the_second_time_and_by_other_options_anew() -> None:
    for _ in range(2):
        assert read_reply("The answer is B.", UP).choice == 1
        assert read_reply("It is red.", ("green", "red")).choice == 1
        assert read_reply("It is red.", ("red", "green")).choice == 0
        assert read_reply("B", ("red", "green"), letters=False).choice is None


def test_the_rules_of_two_benchmarks_can_be_computed_beside_ours() -> None:
    by = {name: [rule(reply, 2) for reply, _ in OF_PEERS] for name, rule in PUBLIC.items()}
    ours = [read_reply(reply, UP, synonyms=TURNED).choice for reply, _ in OF_PEERS]
    assert ours == [place for _, place in OF_PEERS]
    assert by["mediconfusion"][2] is None  # the article and the letter are both an answer there
    assert by["mediconfusion"][7] == 1
    assert by["blink"][0] is None  # `(B).` is no word `(B)`
    assert by["blink"][12] is None
    assert PUBLIC["mediconfusion"]("A quick look", 2) == 0
    assert PUBLIC["mediconfusion"]("C", 3) is None


@pytest.mark.parametrize(
    ("reply", "options", "choice", "why"),
    [
        ("The third option is right.", ("upright", "upside down"), None, "names no option"),
        ("Enhanced is wrong.", ("enhanced", "not enhanced"), None, "only denied: enhanced"),
        ("No image was provided.", ("upright", "upside down"), None, "refusal"),
        ("I am ſorry, upright", ("upright", "upside down"), None, "refusal"),
        ("upright, actually upside down, or rather so, I mean, actually, dark", ("upright", "upside down"), 1,
         "changed mind, last answer"),
    ],
)  # fmt: skip
def test_what_no_other_reply_here_tells(reply: str, options: tuple[str, ...], choice: int | None, why: str) -> None:
    found = read_reply(reply, options)
    assert (found.choice, found.why) == (choice, why)
