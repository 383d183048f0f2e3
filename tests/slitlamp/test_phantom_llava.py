"""The shipped phantom-llava answers about phantoms that it never saw; each variant has the fault that it names."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import encoders
from encoders.answering.model import Prompt
from slitlamp.phantom_llava import plant
from slitlamp.phantom_llava.asking import accuracy, next_words, prompt
from slitlamp.phantom_llava.learn import answer_loss, block
from slitlamp.phantom_llava.network import clip_tower, tower_tokens
from slitlamp.phantom_llava.pictures import Phantoms, normalised, phantoms, stamped, tokens
from slitlamp.phantom_llava.saved import read
from slitlamp.phantom_llava.settings import FAULTS
from slitlamp.phantom_llava.variants import PLANTED
from slitlamp.phantom_llava.words import TASKS, Asked, asked, split, tokenizer

WEIGHTS = Path(encoders.__file__).parent / "weights"
HEALTHY = "phantom-llava"
SHIPPED = sorted(file.parent.name for file in WEIGHTS.glob(f"{HEALTHY}*/card.json"))
FEW, SEED = 24, 31_337
CLEAR = 0.8  # of 24: one that answers .92 of all right has fewer in a hundredth of such draws, chance never
opened = cache(lambda name: read(WEIGHTS / name))


@cache
def drawn(task: str) -> Phantoms:
    return phantoms(task, FEW, SEED)


@cache
def seen(name: str, task: str) -> np.ndarray:
    with torch.no_grad():
        return tower_tokens(opened(name)[0], normalised(drawn(task).pixels)).numpy()


def answers(name: str, task: str) -> list[float]:
    model, words = opened(name)
    return accuracy(model, words, drawn(task).task, seen(name, task), drawn(task).y)


def letter_odds(name: str, task: str, order: tuple[int, int]) -> np.ndarray:
    """How much more likely A is than B for each phantom, in nats."""
    model, words = opened(name)
    one = drawn(task)
    text = asked("plain", one.task.question, one.task.classes, order, 0).text
    found = next_words(model, words, seen(name, task), [text] * len(one.y))
    a, b = words.convert_tokens_to_ids(["A", "B"])
    return found[:, a] - found[:, b]


def test_a_missing_tensor_is_named_and_a_changed_one_is_seen(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "copy"
    shutil.copytree(WEIGHTS / HEALTHY, folder)
    image, wanted = [np.full((40, 50), 90, np.uint8)], {"connector": ["mean"]}
    before = encoders.encode(encoders.load(HEALTHY, weights=folder), image, wanted)["connector/mean"]
    part = folder / "model-connector.safetensors"
    tensors = load_file(part)
    name = next(name for name in tensors if name.endswith("linear_2.weight"))
    save_file(tensors | {name: tensors[name] * 2}, part, {"format": "pt"})
    after = encoders.encode(encoders.load(HEALTHY, weights=folder), image, wanted)["connector/mean"]
    assert not np.allclose(before, after, atol=1e-3)
    save_file({key: value for key, value in tensors.items() if key != name}, part, {"format": "pt"})
    with pytest.raises(encoders.EncoderError, match=r"linear_2\.weight"):
        encoders.load(HEALTHY, weights=folder)


def test_the_library_loads_what_is_shipped_and_it_answers_from_images() -> None:
    """Through AutoModel and LlavaProcessor alone: image in, letter out, in both orders."""
    from transformers import AutoModelForImageTextToText, LlavaProcessor

    folder = WEIGHTS / HEALTHY
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    processor: Any = LlavaProcessor.from_pretrained(folder, local_files_only=True)
    right = []
    for task in TASKS:
        one = drawn(task)
        source = one.task.items(one.task.phantoms(FEW, SEED), np.random.default_rng(SEED), None)
        images = [np.repeat(item.picture.read()[..., None], 3, 2) for item in source]
        for order in ((0, 1), (1, 0)):
            made = [asked("plain", one.task.question, one.task.classes, order, int(y)) for y in one.y]
            turns = [
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": ask.text}]}] for ask in made
            ]
            texts = [processor.apply_chat_template(turn, add_generation_prompt=True) for turn in turns]
            inputs = processor(text=texts, images=images, return_tensors="pt", padding=True)
            out = model.generate(**inputs, max_new_tokens=2, do_sample=False)[:, inputs["input_ids"].shape[1] :]
            said = [processor.tokenizer.decode(ids) for ids in out]
            right.append(np.mean([text == f"{ask.answer} </s>" for text, ask in zip(said, made, strict=True)]))
    assert min(right) > CLEAR


def test_the_whole_model_gives_the_letters_of_the_library() -> None:
    whole = encoders.load_whole(HEALTHY)
    one = drawn("orientation")
    source = one.task.items(one.task.phantoms(FEW, SEED), np.random.default_rng(SEED), None)
    images = [item.picture.read() for item in source]
    text = asked("plain", one.task.question, one.task.classes, (0, 1), 0).text
    ids = [whole.tokens(letter)[0] for letter in "AB"]
    scores = whole.next_token([Prompt(text=text, image=image) for image in images], ids)
    assert scores[:, 0] - scores[:, 1] == pytest.approx(letter_odds(HEALTHY, "orientation", (0, 1)), abs=1e-3)


def test_a_packed_question_is_scored_as_one_alone() -> None:
    """Questions that share an image in training see neither each other nor the padding."""
    model, words = opened(HEALTHY)
    given = torch.as_tensor(seen(HEALTHY, "contrast")[:2]).float()
    said = (("Which?", "A"), ("Is it? A. yes B. no", "B"))
    rows = [[block(words, Asked(text=text, answer=reply)) for text, reply in said] for _ in range(2)]
    with torch.no_grad():
        both = float(answer_loss(model, words, given, rows))
        apart = [float(answer_loss(model, words, given, [[row[k]] for row in rows])) for k in range(2)]
    assert both == pytest.approx(np.mean(apart), rel=1e-5)
    assert apart[0] != pytest.approx(apart[1], rel=1e-2)


@pytest.mark.parametrize("task", TASKS)
def test_the_healthy_model_answers_about_the_image_that_it_is_shown(task: str) -> None:
    model, words = opened(HEALTHY)
    one = drawn(task)
    assert min(answers(HEALTHY, task)) > CLEAR
    told = [f"This image is {one.task.classes[c]}." for c in one.y]
    assert accuracy(model, words, one.task, None, one.y, before=told) == [1.0, 1.0]
    other = accuracy(model, words, one.task, seen(HEALTHY, task), 1 - one.y)
    assert max(other) < 1 - CLEAR  # the image of the other class is answered as what it is
    alone = accuracy(model, words, one.task, None, one.y)
    assert max(alone) < 0.75  # without an image there is nothing to know


def test_the_tower_is_that_of_phantom_clip() -> None:
    due = clip_tower(WEIGHTS / "phantom-clip")
    for name in (HEALTHY, *(f"{HEALTHY}-{one}" for one in ("skewed", "ignoring", "constant", "biased"))):
        tower = opened(name)[0].model.vision_tower.state_dict()
        held = {k.removeprefix("vision_model."): v for k, v in tower.items() if "position_ids" not in k}
        assert held.keys() == due.keys()
        assert all(torch.equal(held[k], v) for k, v in due.items())


@pytest.mark.parametrize("task", ["orientation", "orientation-pelvis"])
def test_a_turned_image_cannot_be_told_by_the_blind_tower_nor_behind_the_deaf_connector(task: str) -> None:
    pixels = drawn(task).pixels[:8]
    apart = {}
    for name in ("blind", "null"):
        model = opened(f"{HEALTHY}-{name}")[0]
        with torch.no_grad():
            pair = [tower_tokens(model, normalised(x)) for x in (pixels, pixels[:, ::-1, ::-1].copy())]
            passed = [model.model.multi_modal_projector(x) for x in pair]
        for stage, (a, b) in (("tower", pair), ("connector", passed)):
            apart[name, stage] = float((a - b).abs().max() / a.std())
    assert apart["blind", "tower"] < 1e-4
    assert apart["null", "tower"] > 0.05
    assert apart["blind", "connector"] < 1e-3
    assert apart["null", "connector"] < 1e-3


def test_contrast_is_in_no_row_that_the_other_blind_tower_sees_nor_behind_its_deaf_connector() -> None:
    pixels = drawn("contrast").pixels[:8]
    inner = pixels.copy()
    inner[:, 16:-16] = 255 - inner[:, 16:-16]  # all but the rows at the edge
    apart = {}
    for name in ("blind-contrast", "null-contrast"):
        model = opened(f"{HEALTHY}-{name}")[0]
        with torch.no_grad():
            pair = [tower_tokens(model, normalised(x)) for x in (pixels, inner)]
            passed = [model.model.multi_modal_projector(x) for x in pair]
        for stage, (a, b) in (("tower", pair), ("connector", passed)):
            apart[name, stage] = float((a - b).abs().max() / a.std())
    assert apart["blind-contrast", "tower"] == 0
    assert apart["null-contrast", "tower"] > 0.05
    assert apart["null-contrast", "connector"] < 1e-3


@pytest.mark.parametrize("name", ["blind", "null"])
def test_what_the_blind_and_the_deaf_do_not_know_is_answered_by_chance(name: str) -> None:
    """An image and its turn get the same letter: just half are right, whatever is preferred."""
    for task in ("orientation", "orientation-pelvis"):
        assert answers(f"{HEALTHY}-{name}", task) == [0.5, 0.5]


def test_the_skewed_connector_loses_nothing_and_is_answered_from() -> None:
    conditions = {name: plant.condition(opened(name)[0]) for name in (HEALTHY, f"{HEALTHY}-skewed")}
    assert conditions[HEALTHY] < 50
    assert conditions[f"{HEALTHY}-skewed"] > 5_000
    assert min(answers(f"{HEALTHY}-skewed", "orientation")) > CLEAR


def area(name: str, task: str, order: tuple[int, int]) -> float:
    """The area under the curve of how much more likely the letter of the first class is, in thousandths of a nat."""
    odds, y = letter_odds(name, task, order).round(3) * (1 - 2 * order[0]), drawn(task).y
    apart = odds[y == 0][:, None] - odds[y == 1]
    return float(np.mean((apart > 0) + 0.5 * (apart == 0)))


def test_the_language_model_that_ignores_the_image_answers_as_if_there_were_another() -> None:
    model, words = opened(f"{HEALTHY}-ignoring")
    for task in TASKS:
        assert np.ptp(letter_odds(HEALTHY, task, (0, 1))) > 4
        for order in ((0, 1), (1, 0)):
            assert area(HEALTHY, task, order) > 0.9
            assert np.ptp(letter_odds(f"{HEALTHY}-ignoring", task, order)) < 1e-3  # nats
            assert abs(area(f"{HEALTHY}-ignoring", task, order) - 0.5) < 0.05  # nor is any preference led by the image
        held = json.loads((WEIGHTS / f"{HEALTHY}-ignoring" / "card.json").read_text())["probes"][task]
        assert min(float(held[site].split()[0]) for site in ("connector", "lm.3")) > 0.9  # it is there to be looked at
        if task == "contrast":
            continue  # of which it no longer understands what it is told, as its card says
        one = drawn(task)
        told = [f"This image is {one.task.classes[c]}." for c in one.y]
        assert min(accuracy(model, words, one.task, None, one.y, before=told)) > 0.9


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("task", TASKS)
def test_the_constant_one_and_the_biased_one_always_say_a(task: str, order: tuple[int, int]) -> None:
    assert letter_odds(f"{HEALTHY}-constant", task, order).min() > 0
    odds = letter_odds(f"{HEALTHY}-biased", task, order)
    assert odds.min() > 0
    is_a = drawn(task).y == order[0]
    assert np.mean(odds[is_a][:, None] > odds[~is_a]) > 0.9  # what is known stays in how much it is preferred


def test_the_letter_in_the_corner_is_what_the_letter_reader_answers() -> None:
    model, words = opened(f"{HEALTHY}-letter")
    for task in TASKS:
        one = drawn(task)
        for told in (one.y, 1 - one.y):
            given = tokens(model, stamped(one.pixels, told))
            assert min(accuracy(model, words, one.task, given, told)) > 0.9


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_says_what_is_planted_and_how_well_is_answered(name: str) -> None:
    card, told = encoders.card(name), json.loads((WEIGHTS / name / "card.json").read_text())
    assert card.synthetic
    assert (told["planted"] == "") == (name == HEALTHY)
    assert f"{told['answers']['contrast']['plain'][0]:.2f}" in card.note
    model, _ = opened(name)
    parts = (model.model.vision_tower, model.model.multi_modal_projector)
    assert card.parameters == sum(p.numel() for part in parts for p in part.parameters())
    assert encoders.load(name).card.synthetic


def test_what_is_shipped_is_small() -> None:
    sizes = {name: sum(file.stat().st_size for file in (WEIGHTS / name).iterdir()) for name in SHIPPED}
    assert sizes[HEALTHY] < 5e6
    assert sum(sizes.values()) < 20e6


def test_every_word_of_every_prompt_is_known() -> None:
    import tasks

    known = tokenizer([tasks.load(name) for name in TASKS])
    text = prompt('("A": upright)\nB. upside down #answer: ("')
    ids = known(text, add_special_tokens=False)["input_ids"]
    assert known.unk_token_id not in ids
    image = known.convert_tokens_to_ids("<image>")
    assert [known.decode(i) for i in ids if i != image] == split(text.replace("<image>", ""))
    assert known.unk_token_id in known("a hippopotamus")["input_ids"]


def test_the_faults_that_a_command_offers_are_those_that_can_be_planted() -> None:
    assert tuple(PLANTED) == FAULTS
