"""Asking: every way agrees item by item with a plain computation, and what is known is never asked again."""

from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
import slitlamp
from cache import Store
from encoders import EncoderError
from encoders.answering.model import Prompt
from encoders.answering.prompts import FORMATS, LETTERS
from plugins import UnknownName
from slitlamp.answers import judge
from slitlamp.answers.answered import (
    GREY,
    INVALID,
    NO_IMAGE,
    OTHER,
    SAME,
    TIE,
    UNASKED,
    AnsweredQuestion,
    Presentation,
)
from slitlamp.answers.ask import ask, partners
from slitlamp.answers.judge import read_choice
from slitlamp.answers.settings import CHOICE, FREE, LETTER, PREFIX, AskSettings
from slitlamp.answers.shown import greyed, stamp
from tasks import DataError
from tests.letter_model import LetterModel
from tests.slitlamp.answers.asking import CLASSES, MEANS, WORDINGS, image_of, inquiry, sees, stored

SETTINGS = AskSettings()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def level(**more: Any) -> LetterModel:
    """A formula that knows what it sees and nothing else: what it does not see is a tie."""
    return LetterModel(sees, MEANS, **({"level": True, "skill": 3.0} | more))


def shown(answered: AnsweredQuestion, i: int) -> np.ndarray:
    return image_of(int(answered.y[i]), i, unclear=i >= 10)


def by_hand(model: LetterModel, text: str, image: np.ndarray | None, options: list[str], way: str, ties: str) -> int:
    """The place of the answer, from the model's logits over all its words, without a line of the project's own."""
    prompt = Prompt(text=text, image=image)
    if way == LETTER:
        p = np.exp(model.logits(prompt, ()))
        scores = [p[model.number[x]] + p[model.number[f" {x}"]] for x in LETTERS[: len(options)]]
        found = [place for place, s in enumerate(scores) if s >= max(scores) * (1 - 1e-6)]
        return found[0] if len(found) == 1 or ties == "mediconfusion" else TIE
    if way == PREFIX:
        scores = []
        for option in options:
            ids, logs = model.ids(option), []
            for t in range(len(ids)):
                logits = model.logits(prompt, ids[:t])
                logs.append(logits[ids[t]] - np.log(np.exp(logits).sum()))
            scores.append(np.exp(sum(logs) / len(logs)))
        found = [place for place, s in enumerate(scores) if s >= max(scores) * (1 - 1e-6)]
        return found[-1] if len(found) == 1 or ties == "mediconfusion" else TIE
    turn: list[int] = []
    while len(turn) < 128:
        token = int(model.logits(prompt, turn).argmax())
        if model.vocabulary[token] == "</s>":
            break
        turn.append(token)
    reply = model.text(turn)
    if way == CHOICE:  # this formula writes "It is X."
        named = [place for place, letter in enumerate(LETTERS[: len(options)]) if reply == f"It is {letter}."]
    else:
        every = [[words[place] for words in WORDINGS] for place in range(len(options))]
        named = [place for place, words in enumerate(every) if reply.strip() in words]
    return named[0] if len(named) == 1 else INVALID


@pytest.mark.parametrize("ties", ["report", "mediconfusion"])
def test_every_way_agrees_with_a_plain_computation_item_by_item(store: Store, monkeypatch: Any, ties: str) -> None:
    model = level(writes="It is {letter}.")
    asked = inquiry(store, unclear=2)
    settings = replace(SETTINGS, ties=ties, no_blind=True, knowledge="none")
    found = ask(stored(model, store.root, monkeypatch), asked, settings)
    assert list(found.ways) == [LETTER, CHOICE, PREFIX, FREE]
    seen: set[int] = set()
    for way, answers in found.ways.items():
        form = FORMATS["plain" if way in (LETTER, CHOICE) else way]
        for i in range(len(found.ids)):
            for j, one in enumerate(answers.presentations):
                words = asked.options[i][one.wording]
                order = one.order(3)
                options = [words[c] for c in order] if way != FREE else list(words)
                text = form.text(asked.prompts[i][one.prompt], options if form.option else ())
                place = by_hand(model, text, shown(found, i), options, way, ties)
                want = place if place < 0 else place if way == FREE else order[place]
                assert answers.chosen[i, j] == want, (way, i, one)
                seen.add(int(answers.chosen[i, j]))
    assert {0, 1, 2} <= seen
    assert (TIE in seen) == (ties == "report")
    assert INVALID in seen  # what nobody can tell is written as a tie would be: in no option's words


def test_batches_of_one_give_the_same(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    model = LetterModel(sees, MEANS, skill=1.0)
    found = [
        ask(stored(model, tmp_path / f"store of {size}", monkeypatch, batch=size), inquiry(store), SETTINGS)
        for size in (1, 16)
    ]
    one, many = found
    for way in one.ways:
        np.testing.assert_array_equal(one.ways[way].chosen, many.ways[way].chosen)
        assert one.ways[way].replies == many.ways[way].replies
    np.testing.assert_array_equal(one.letter.logodds, many.letter.logodds)


def test_the_same_images_go_together_for_text_after_text(store: Store, monkeypatch: Any) -> None:
    batches: list[list[bytes]] = []
    mine = stored(level(), store.root, monkeypatch, batch=5)
    inner = mine.load().next_token

    def next_token(prompts: Any, *given: Any, **more: Any) -> np.ndarray:
        batches.append([prompt.image.tobytes() for prompt in prompts])
        return inner(prompts, *given, **more)

    mine.loaded[:] = [replace(mine.load(), next_token=next_token)]
    ask(mine, inquiry(store), replace(SETTINGS, ways=(LETTER,), no_blind=True, knowledge="none"))
    assert [len(images) for images, _ in groupby(map(frozenset, batches))] == [5, 5, 2]  # of 12, each with all 18 texts
    assert Counter(map(len, batches))[5] == 2 * 18
    assert set(map(len, batches[2 * 18 :])) == {4}  # two images, two texts of one shape


def test_what_is_known_is_not_asked_again_and_nothing_is_loaded(store: Store, monkeypatch: Any) -> None:
    model = level()
    first = ask(stored(model, store.root, monkeypatch), inquiry(store), SETTINGS)
    assert first.asked > 0
    again = stored(model, store.root, monkeypatch)
    again.__dict__["identity"] = stored(model, store.root, monkeypatch).identity
    monkeypatch.setattr(encoders, "load_whole", lambda *_, **__: pytest.fail("the model was loaded"))
    second = ask(again, inquiry(store), SETTINGS)
    assert second.asked == 0
    np.testing.assert_array_equal(first.letter.logodds, second.letter.logodds)
    np.testing.assert_array_equal(first.blind[GREY].chosen, second.blind[GREY].chosen)


def test_another_model_prompt_image_or_bound_is_another_answer(store: Store, monkeypatch: Any) -> None:
    model, brief = level(), replace(SETTINGS, no_blind=True, knowledge="none")

    def asked(settings: AskSettings, name: str = "letter", **more: Any) -> int:
        question = inquiry(store, n=3, prompts=1, wordings=1, **more)
        return ask(stored(model, store.root, monkeypatch, name=name), question, settings).asked

    letter, choice = replace(brief, ways=(LETTER,)), replace(brief, ways=(CHOICE,))
    assert [asked(letter), asked(letter)] == [9, 0]
    assert asked(letter, name="another") == 9
    assert asked(replace(letter, format="mediconfusion")) == 9
    assert asked(letter, unclear=1) == 3  # one image is another
    assert [asked(choice), asked(replace(choice, max_tokens=32)), asked(replace(choice, max_tokens=31))] == [9, 0, 9]
    assert asked(replace(choice, parser="mediconfusion")) == 0  # who reads the reply changes no reply


def test_a_run_that_is_killed_keeps_what_was_answered(store: Store, monkeypatch: Any) -> None:
    model, brief = level(), replace(SETTINGS, ways=(LETTER,), no_blind=True, knowledge="none")
    plain = model.log_p

    def killed(prompt: Prompt, turn: Any) -> np.ndarray:
        if len(model.calls) == 20:
            raise KeyboardInterrupt
        return plain(prompt, turn)

    monkeypatch.setattr(model, "log_p", killed)
    with pytest.raises(KeyboardInterrupt):
        ask(stored(model, store.root, monkeypatch, batch=4), inquiry(store), brief)
    monkeypatch.setattr(model, "log_p", plain)
    found = ask(stored(model, store.root, monkeypatch, batch=4), inquiry(store), brief)
    assert found.asked == 12 * 18 - 20


def test_a_way_that_cannot_be_asked_costs_that_way_alone(store: Store, monkeypatch: Any) -> None:
    found = ask(stored(level(shared=True), store.root, monkeypatch), inquiry(store), SETTINGS)
    assert list(found.ways) == [CHOICE, PREFIX, FREE]
    assert "letters B and C are the same token" in found.notes[0]
    assert found.failed == found.notes[:1]
    assert found.blind[NO_IMAGE].way == CHOICE
    with pytest.raises(EncoderError, match="same token"):
        ask(stored(level(shared=True), store.root, monkeypatch), inquiry(store), replace(SETTINGS, ways=(LETTER,)))


def test_images_are_taken_away_or_exchanged_as_is_said(store: Store, monkeypatch: Any) -> None:
    found = ask(stored(level(), store.root, monkeypatch), inquiry(store), SETTINGS)
    for name, same in ((OTHER, False), (SAME, True)):
        whose = found.shown[name]
        assert (whose >= 0).all()
        assert ((found.y[whose] == found.y) == same).all()
        assert (found.groups[whose] != found.groups).all()
        expected = found.letter.chosen[whose][:, found.letter.under(wording=0)]
        np.testing.assert_array_equal(found.blind[name].chosen, expected)
    for name in (NO_IMAGE, GREY):
        assert (found.blind[name].chosen == TIE).all()  # a formula that sees nothing knows nothing


def test_an_item_without_a_partner_is_not_asked(store: Store, monkeypatch: Any) -> None:
    alone = inquiry(store, n=4, k=3)  # the second of class 0 lies in another group; classes 1 and 2 have one item
    assert partners(alone, same=True, seed=0).tolist() == [3, -1, -1, 0]
    found = ask(stored(level(), store.root, monkeypatch), alone, SETTINGS)
    assert (found.blind[SAME].chosen[1] == UNASKED).all()
    assert (found.blind[SAME].chosen[0] >= 0).all()


def test_a_fact_that_is_stated_is_understood_and_one_that_is_not_read_is_not(store: Store, monkeypatch: Any) -> None:
    told = ask(stored(level(), store.root, monkeypatch), inquiry(store), SETTINGS).knowledge
    assert told is not None
    assert (told.asked["stated"], told.right["stated"], told.understood) == (27, 27, True)
    assert told.pairs["stated"] == told.pairs_right["stated"] == 27
    deaf = stored(level(reads=False), store.root, monkeypatch, name="deaf")
    other = ask(deaf, inquiry(store), replace(SETTINGS, knowledge="stated")).knowledge
    assert other is not None
    assert (other.right["stated"], other.understood) == (0, False)  # every letter is a tie
    biased = stored(level(prior=(9.0,)), store.root, monkeypatch, name="biased")
    third = ask(biased, inquiry(store), replace(SETTINGS, knowledge="stated")).knowledge
    assert third is not None
    assert third.right["stated"] == 9  # it always says A
    assert third.understood  # yet each fact moves it to its own option


@pytest.mark.parametrize(
    ("body", "chosen", "why"),
    [
        ("return [9 if option in reply else 1 for option in options]", None, ""),
        ("return [9, 7, 1]", INVALID, "scores 9, 7, 1 are not 3 apart"),
        ("return [1, 5, 1]", 1, ""),
        ("raise RuntimeError('no network')", INVALID, "the judge failed: .*no network"),
        ("return [1]", INVALID, r"the judge failed: .*judge\(\) gave \[1.0\] for 3 options"),
        ("return [float('nan')] * 3", INVALID, "the judge failed"),
    ],
)
def test_a_judge_decides_or_the_answer_is_invalid(
    store: Store, monkeypatch: Any, tmp_path: Path, body: str, chosen: int | None, why: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"def judge(question, options, reply):\n    {body}\n")
    settings = replace(SETTINGS, ways=(FREE,), judge=str(file), no_blind=True, knowledge="none")
    plain = LetterModel(sees, {c: c for c in CLASSES}, level=True)
    found = ask(stored(plain, store.root, monkeypatch), inquiry(store, wordings=1), settings)
    want = found.y[:, None] if chosen is None else chosen
    assert (found.ways[FREE].chosen == want).all()
    if why:
        import re

        assert re.search(why, found.ways[FREE].why[0][0])
    failed = [note for note in found.notes if "the judge failed on 36 replies" in note]
    assert len(failed) == ("failed" in why)
    assert [failed[0] in line for line in found.failed] == [True] * len(failed)


def test_a_judge_that_cannot_be_loaded_is_told_before_anything_is_read(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr("slitlamp.answers.run._inquiries", lambda *_: pytest.fail("a picture was made"))
    with pytest.raises(UnknownName, match="no judge file"):
        slitlamp.answer(ways=["free"], judge=str(tmp_path / "none.py"))


def test_a_judge_is_asked_once_for_a_reply(store: Store, monkeypatch: Any, tmp_path: Path) -> None:
    file, log = tmp_path / "mine.py", tmp_path / "log"
    file.write_text(
        "def judge(question, options, reply):\n"
        f"    with open({str(log)!r}, 'a') as file:\n        file.write('x')\n    return [9, 1, 1]\n"
    )
    settings = replace(SETTINGS, ways=(FREE,), judge=str(file), no_blind=True, knowledge="none")
    for _ in range(2):
        ask(stored(level(), store.root, monkeypatch), inquiry(store), settings)
    assert len(log.read_text()) == 9  # three replies to three questions


def test_a_judge_that_hangs_is_left_and_what_it_prints_is_no_result(
    store: Store, monkeypatch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, log = tmp_path / "mine.py", tmp_path / "log"
    file.write_text(
        "import time\n\ndef judge(question, options, reply):\n    print('hello')\n"
        f"    with open({str(log)!r}, 'a') as file:\n        file.write('x')\n    time.sleep(60)\n"
    )
    monkeypatch.setattr(judge, "PATIENCE", 0.05)
    settings = replace(SETTINGS, ways=(FREE,), judge=str(file), no_blind=True, knowledge="none")
    found = ask(stored(level(), store.root, monkeypatch), inquiry(store), settings)
    assert (found.ways[FREE].chosen == INVALID).all()
    assert "no answer within" in found.ways[FREE].why[0][0]
    assert len(log.read_text()) == judge.HUNG
    told = capsys.readouterr()
    assert "hello" not in told.out
    assert "hello" in told.err


def test_a_model_that_cannot_be_had_fails_once(store: Store, monkeypatch: Any) -> None:
    mine, tried = stored(level(), store.root, monkeypatch), []

    def nothing(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise EncoderError("no such weights")

    monkeypatch.setattr(encoders, "load_whole", nothing)
    with pytest.raises(EncoderError, match="no such weights"):
        ask(mine, inquiry(store), SETTINGS)
    assert len(tried) == 1  # and not for each of the four ways


def test_what_another_process_asked_meanwhile_is_not_asked_again(store: Store, monkeypatch: Any) -> None:
    model, settings = level(), replace(SETTINGS, ways=(LETTER,), no_blind=True, knowledge="none")
    mine = stored(model, store.root, monkeypatch, batch=4)
    inner, calls = mine.load().next_token, []

    def next_token(*given: Any, **more: Any) -> np.ndarray:
        calls.append(len(given[0]))
        if len(calls) == 1:
            ask(stored(model, store.root, monkeypatch, batch=4), inquiry(store), settings)  # the other process
        return inner(*given, **more)

    mine.loaded[:] = [replace(mine.load(), next_token=next_token)]
    found = ask(mine, inquiry(store), settings)
    assert (found.asked, sum(calls)) == (4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("one",), r"1 option \(one\): two are needed"),
        (tuple(str(i) for i in range(27)), "27 options, more than there are letters"),
        (("Left", "left "), "two options are both 'left'"),
        (("left", " "), "an option has no text"),
        (("left\nB. right", "right"), "has more than one line"),
    ],
)
def test_options_that_do_not_fit_are_one_line(store: Store, options: tuple[str, ...], message: str) -> None:
    plain = inquiry(store, n=3)
    with pytest.raises(DataError, match=message):
        replace(plain, options=[(options,)] * 3)


def test_options_that_the_parser_cannot_tell_apart_make_a_reply_invalid() -> None:
    place, why = read_choice("left", ["left", "the left"], True, "own")
    assert place == INVALID
    assert "two options share the words" in why
    assert read_choice("B", ["left", "right"], True, "own") == (1, "")
    assert read_choice("B", ["left", "right"], False, "own")[0] == INVALID  # cut off


def test_the_prompts_of_mediconfusion_go_to_the_letter(store: Store, monkeypatch: Any) -> None:
    model, seen = level(), []
    plain = model.log_p
    monkeypatch.setattr(model, "log_p", lambda prompt, turn: (seen.append(prompt.text), plain(prompt, turn))[1])
    settings = replace(SETTINGS, ways=(LETTER,), format="mediconfusion", no_blind=True, knowledge="none")
    ask(stored(model, store.root, monkeypatch), inquiry(store, n=3, prompts=1, wordings=1), settings)
    assert (
        "Based on the image, choose the correct option for the following question.\nQuestion: Which way up is it?\n"
        '("A": upright)\n("B": upside down)\n("C": turned a little)\n'
        "Answer with the option's letter from the given choices directly. Your answer should be just one letter.\n"
        '#answer: ("'
    ) in seen


def test_an_order_is_a_turn_of_the_options() -> None:
    assert [Presentation(shift=s).order(3) for s in range(3)] == [(0, 1, 2), (1, 2, 0), (2, 0, 1)]


def test_grey_keeps_the_mean_and_words_are_written_into_the_image() -> None:
    image = np.arange(60 * 90, dtype=np.int64).reshape(60, 90).astype(np.uint8)
    grey = greyed(image)
    assert grey.shape == image.shape
    assert set(np.unique(grey)) == {round(float(image.mean()))}
    colour = np.dstack([image] * 3)
    for some in (image, colour):
        stamped = stamp(some, "UPSIDE DOWN")
        assert (stamped.shape, stamped.dtype) == (some.shape, np.uint8)
        assert (stamped[:15] == some[:15]).all()
        middle = stamped[24:36]
        assert (middle == 0).any()
        assert (middle > 200).any()
        assert not np.array_equal(stamp(some, "UPRIGHT"), stamped)


def test_classes_have_as_many_wordings() -> None:
    import tasks

    for name in tasks.names():
        task = tasks.load(name)
        if task.name == "label":
            continue
        assert task.classes is not None
        assert len(task.asks) >= 4, name
        assert len(task.wordings) >= 2, name
        assert len({task.question, *task.asks}) == 1 + len(task.asks), name
        for words in (*task.wordings, task.facts):
            assert len(words) == len(task.classes), name
            assert len({word.lower() for word in words}) == len(words), name
