"""A whole LLaVA: its sites are the model's own tensors, and no answer depends on batch, padding, hooks or settings."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError, Prompt, Site
from encoders._registry import checkpoints, find
from encoders.answering.load import TESTED, words
from encoders.extraction.encode import collate
from tests import tiny_llava
from tests.hub_server import Hub, Repository, serving
from tests.stand_in_hub import respelt
from tests.tiny_llava import CHATML, HOSTILE, IMAGES, MISTRAL, VICUNA, Whole

TEXT = "Is A up?"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A tiny model on disk, how ours is loaded, and how its prompt reads."""

    whole: Whole
    ours: encoders.WholeModel
    before: str
    behind: str

    def prompt(self, text: str, image: bool) -> str:
        return self.before + "<image>\n" * image + text + self.behind

    def told(self, text: str, image: np.ndarray | None, more: tuple[int, ...] = ()) -> dict[str, Any]:
        return self.whole.told(self.prompt(text, image is not None), image, more)


def inside(case: Case) -> Any:
    """The loaded model behind the functions."""
    return case.ours.next_token.args[0]  # pyright: ignore[reportFunctionMemberAccess]


def loaded(name: str, folder: Path, **options: Any) -> encoders.WholeModel:
    return encoders.load_whole(name, weights=folder, other_weights=True, **options)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Each tiny model, built and loaded once."""
    made: dict[str, Case] = {}

    def get(name: str) -> Case:
        if name not in made:
            folder = tmp_path_factory.mktemp("whole") / name
            if name == "llava-1.6-mistral":
                whole, frame = tiny_llava.tiled(folder), ("<s>[INST] ", " [/INST]")
            elif name == "llava-1.5-13b-crop":
                whole = tiny_llava.plain(folder, pieces=False, template=CHATML, side="right")
                frame = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
            else:
                whole, frame = tiny_llava.plain(folder, pieces=True), ("USER: ", " ASSISTANT:")
            made[name] = Case(whole=whole, ours=loaded(name, folder), before=frame[0], behind=frame[1])
        return made[name]

    return get


NAMES = ("llava-1.5-7b-crop", "llava-1.5-13b-crop", "llava-1.6-mistral")


@pytest.mark.parametrize("name", NAMES)
def test_the_sites_are_the_whole_models_own_tensors(name: str, cases: Callable[[str], Case]) -> None:
    case = cases(name)
    reader = case.ours.reader(TEXT)
    groups: dict[Any, list[np.ndarray]] = {}
    for image in IMAGES:
        layout = reader.layout(reader.preprocess(image)) if reader.layout else reader.card.sites
        groups.setdefault(tuple(layout.items()), []).append(image)
    assert (len(groups) > 1) == (name == "llava-1.6-mistral")
    for layout, images in groups.items():
        found = reader.forward(collate([reader.preprocess(image) for image in images]), list(dict(layout)))
        for i, image in enumerate(images):
            told = case.told(TEXT, image)
            states, at = told["states"], kept(told["at"], dict(layout)["connector"])
            pixels = told["given"]["pixel_values"]
            assert len(states) == case.ours.layers + 1
            tower = case.whole.model.model.vision_tower(
                pixels.reshape(-1, *pixels.shape[-3:]), output_hidden_states=True
            )
            assert_equal(found["block.1"][i], tower.hidden_states[2].flatten(0, 1))
            assert_equal(found["connector"][i], states[0][at])
            for layer in range(case.ours.layers - 1):
                assert_equal(found[f"lm.{layer}"][i], states[layer + 1][[*at, -1]])
            assert_equal(found["lm.final"][i], states[-1][[*at, -1]])
            assert not np.allclose(found[f"lm.{case.ours.layers - 1}"][i], states[-1][[*at, -1]].detach())


def kept(at: Any, site: Site) -> Any:
    """The image's positions without those of newlines: one behind each row of the merged tiles."""
    if not site.views:
        return at.tolist()
    rows = at[16:].reshape(-1, site.views[1].grid[1] + 1)
    return [*at[:16].tolist(), *rows[:, :-1].flatten().tolist()]


def assert_equal(ours: Any, theirs: Any) -> None:
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_next_token_and_continuations_are_the_librarys_alone_and_in_any_company(
    name: str, cases: Callable[[str], Case]
) -> None:
    case = cases(name)
    texts = [TEXT, "Upright?", "A longer question, up or not?"]
    prompts = [Prompt(text=text, image=image) for text in texts for image in (*IMAGES, None)]
    words = ["A", "B", "up", "A or B"]
    ids = [case.ours.tokens(word) for word in words]
    together = case.ours.next_token(prompts, [one[0] for one in ids])
    scored = case.ours.continuations(prompts, [words] * len(prompts))
    for i, prompt in enumerate(prompts):
        alone = case.ours.next_token([prompt], [one[0] for one in ids])[0]
        np.testing.assert_allclose(together[i], alone, rtol=0, atol=1e-6)
        told = case.told(prompt.text, prompt.image)["logits"][-1].double().log_softmax(-1).numpy()
        np.testing.assert_allclose(alone, told[[one[0] for one in ids]], rtol=0, atol=2e-6)
        if i % 4 == 0:
            for one, scores in zip(ids, scored[i], strict=True):
                every = case.told(prompt.text, prompt.image, one)["logits"].double().log_softmax(-1).numpy()
                due = [every[k - len(one) - 1, token] for k, token in enumerate(one)]
                np.testing.assert_allclose(scores, due, rtol=0, atol=2e-6)
    assert np.array_equal(np.stack([one[0] for row in scored for one in row[:2]]).ravel(), together[:, :2].ravel())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", ["", "The answer is", "I see: ", "("])
@pytest.mark.parametrize("text", ["A", "B or A", "upright"])
def test_tokens_are_those_of_the_forced_turn(name: str, start: str, text: str, cases: Callable[[str], Case]) -> None:
    case = cases(name)
    lead = "" if name == "llava-1.5-13b-crop" else " "
    tokenizer = case.whole.processor.tokenizer
    written = case.prompt(TEXT, image=False) + lead + start + text
    forced = tokenizer(written, add_special_tokens=not written.startswith("<s>"))["input_ids"]
    ids = case.ours.tokens(text, start)
    assert tuple(forced[len(forced) - len(ids) :]) == ids
    behind = tokenizer.decode(ids)
    assert behind.strip() == text
    if not start and text == "A":
        assert tokenizer.convert_ids_to_tokens(ids) == (["A"] if not lead else ["▁A"])
    # what stands before them is the prompt to which they are scored
    prompt = Prompt(text=TEXT, start=start)
    scores = case.ours.continuations([prompt], [[text]])[0][0]
    every = case.told(TEXT, None, tuple(forced[len(case.told(TEXT, None)["ids"]) :]))["logits"].double().log_softmax(-1)
    due = [float(every[k - len(ids) - 1, token]) for k, token in enumerate(ids)]
    np.testing.assert_allclose(scores, due, rtol=0, atol=2e-6)


def test_a_text_that_no_turn_can_begin_with_is_refused(cases: Callable[[str], Case]) -> None:
    ours = cases(NAMES[0]).ours
    for text, said in (("", "empty"), ("</s>", "special token"), ("<image>", "placeholder")):
        with pytest.raises(EncoderError, match=said):
            ours.tokens(text)
    for text in ("What is <image> here?", "End </s> it"):
        with pytest.raises(EncoderError, match="say it in other words"):
            ours.next_token([Prompt(text=text, image=IMAGES[0])], [3])
        with pytest.raises(EncoderError, match="say it in other words"):
            ours.reader(text)
    with pytest.raises(EncoderError, match="no prompts"):
        ours.next_token([], [3])
    for number in (10**6, -1):
        with pytest.raises(EncoderError, match="tokens; asked for"):
            ours.next_token([Prompt(text="a")], [3, number])
    with pytest.raises(EncoderError, match="joins with the end of the prompt"):
        ours.tokens("pq", "u")  # "up" is one token
    prompt = Prompt(text=TEXT, image=IMAGES[0])
    for answer in (lambda edit: ours.next_token([prompt], [3], edit=edit),
                   lambda edit: ours.continuations([prompt], [["A"]], edit=edit)):  # fmt: skip
        with pytest.raises(EncoderError, match="log-probabilities that are no numbers"):
            answer(lambda _, tokens: tokens * np.nan)
    with pytest.raises(EncoderError, match="without an image"):
        ours.connector([Prompt(text="a")])


def test_reading_every_site_changes_no_answer(cases: Callable[[str], Case]) -> None:
    for name in NAMES:
        ours = cases(name).ours
        prompts, ids = [Prompt(text=TEXT, image=image) for image in IMAGES], [ours.tokens("A")[0], 3]
        plain, said = ours.next_token(prompts, ids), ours.generate(prompts, 3)
        assert np.array_equal(ours.next_token(prompts, ids), plain)  # of what tower and connector gave before
        inside(cases(name)).given.found.clear()
        assert np.array_equal(ours.next_token(prompts, ids), plain)
        reader = ours.reader(TEXT)
        before = hooked(reader.module)  # the library has some of its own
        encoders.encode(reader, IMAGES, {site: of.readouts for site, of in reader.card.sites.items()})
        assert np.array_equal(ours.next_token(prompts, ids), plain)
        assert ours.generate(prompts, 3) == said
        assert hooked(reader.module) == before
        assert "get_image_features" not in vars(reader.module.model)


def test_tower_and_connector_run_once_and_the_language_model_receives_what_they_gave(
    cases: Callable[[str], Case],
) -> None:
    from encoders.answering.reader import reader_of

    for name in NAMES:
        reader = cases(name).ours.reader(TEXT)
        inner = reader.module.model
        runs: list[int] = []
        handle = inner.vision_tower.register_forward_hook(lambda *_: runs.append(1))  # noqa: B023
        batch = collate([reader.preprocess(IMAGES[0])])
        reader.forward(batch, ["lm.0", "connector"])
        handle.remove()
        assert len(runs) == 1
    whole = inside(cases(NAMES[0]))
    run = whole.parts.run

    def other(batch: Any) -> Any:
        found = run(batch)
        return {**found, "connector": found["connector"] + 1}

    wrong = replace(whole, parts=replace(whole.parts, run=other))
    reader = reader_of(wrong, cases(NAMES[0]).ours.encoder, "x", TEXT)
    with pytest.raises(EncoderError, match="does not receive the connector's tokens"):
        encoders.encode(reader, IMAGES[:1], {"lm.0": ["last"]})


def hooked(module: Any) -> list[int]:
    return [len(one._forward_hooks) + len(one._forward_pre_hooks) for one in module.modules()]


def test_the_answer_comes_from_what_was_read(cases: Callable[[str], Case]) -> None:
    """The logits are the head's, over lm.final at the last token: the sites are of the pass that answers."""
    import torch

    case = cases(NAMES[0])
    reader, ids = case.ours.reader(TEXT), [3, 40, 41]
    last = encoders.encode(reader, IMAGES, {"lm.final": ["last"]})["lm.final/last"]
    said = torch.from_numpy(last) @ case.whole.model.lm_head.weight.T
    due = case.ours.next_token([Prompt(text=TEXT, image=image) for image in IMAGES], ids)
    np.testing.assert_allclose(said.double().log_softmax(-1)[:, ids].detach().numpy(), due, rtol=0, atol=5e-6)


def test_the_readouts_of_the_language_model_are_of_a_grid_and_of_the_last_token(cases: Callable[[str], Case]) -> None:
    case = cases(NAMES[0])
    reader = case.ours.reader(TEXT)
    assert case.ours.card.sites["lm.0"].readouts == ("mean", "halves", "grid3", "last")
    assert case.ours.card.sites["connector"].readouts == ("mean", "halves", "grid3")
    assert ("lm.0", "last", 48) in encoders.points(reader.card)
    state = case.told(TEXT, IMAGES[0])
    marks = [[(60.0, 45.0)]]
    found = encoders.encode(reader, IMAGES[:1], {"lm.0": ["mean", "halves", "last", "at-mark"]}, marks)
    grid = state["states"][1][state["at"]].reshape(4, 4, 48).numpy()
    np.testing.assert_allclose(found["lm.0/mean"][0], grid.mean((0, 1)), atol=2e-6)
    np.testing.assert_allclose(found["lm.0/halves"][0, :48], grid[:, :2].mean((0, 1)), atol=2e-6)
    np.testing.assert_allclose(found["lm.0/last"][0], state["states"][1][-1], atol=2e-6)
    np.testing.assert_allclose(found["lm.0/at-mark"][0], grid[1:3, 1:3].mean((0, 1)), atol=2e-6)  # the centre
    with pytest.raises(EncoderError, match="no readout 'last'"):
        encoders.encode(reader, IMAGES[:1], {"connector": ["last"]})


def test_a_reader_is_its_prompt(cases: Callable[[str], Case]) -> None:
    ours = cases(NAMES[0]).ours
    one, same, other = (ours.reader(text) for text in (TEXT, TEXT, "Is it?"))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.fingerprint != ours.fingerprint
    wanted = {"lm.1": ["mean", "last"], "connector": ["mean"], "block.2": ["mean"]}
    a, b = (encoders.encode(reader, IMAGES, wanted) for reader in (one, other))
    for key in ("connector/mean", "block.2/mean"):
        np.testing.assert_array_equal(a[key], b[key])
    assert not np.allclose(a["lm.1/last"], b["lm.1/last"])


def test_the_image_side_is_the_encoder_of_that_name(cases: Callable[[str], Case]) -> None:
    for name in NAMES:
        case = cases(name)
        alone = encoders.load(name, weights=case.whole.folder, other_weights=True)
        assert alone.fingerprint == case.ours.encoder.fingerprint
        assert alone.card.sites == case.ours.encoder.card.sites
        wanted = {site: of.readouts for site, of in alone.card.sites.items()}
        reader = case.ours.reader(TEXT)
        a, b, c = (encoders.encode(one, IMAGES, wanted) for one in (alone, case.ours.encoder, reader))
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
            np.testing.assert_allclose(a[key], c[key], rtol=0, atol=2e-6)


# edits


def test_an_edit_acts_at_every_position_of_the_image_before_the_language_model(cases: Callable[[str], Case]) -> None:
    import torch

    for name in NAMES:
        case = cases(name)
        ours = case.ours
        prompts = [*(Prompt(text=TEXT, image=image) for image in IMAGES), Prompt(text=TEXT)]
        ids = [3, *ours.tokens("A or B")]
        plain = ours.next_token(prompts, ids)
        assert np.array_equal(ours.next_token(prompts, ids, edit=lambda _, tokens: tokens), plain)
        seen: dict[int, Any] = {}

        def zero(number: int, tokens: Any, seen: dict[int, Any] = seen) -> Any:
            seen[number] = tokens.clone().numpy()
            return torch.zeros_like(tokens)

        changed = ours.next_token(prompts, ids, edit=zero)
        assert sorted(seen) == [0, 1, 2, 3]
        for i, tokens in enumerate(ours.connector(prompts[:-1])):
            np.testing.assert_array_equal(tokens, seen[i])
        assert np.array_equal(changed[-1], plain[-1])
        for i, image in enumerate(IMAGES):
            told = case.told(TEXT, image)
            sites = ours.encoder.card.sites
            if ours.encoder.layout is not None:
                sites = ours.encoder.layout(ours.encoder.preprocess(image))
            embedded = told["states"][0].clone()
            embedded[kept(told["at"], sites["connector"])] = 0
            with torch.no_grad():
                due = case.whole.model(inputs_embeds=embedded[None]).logits[0, -1].double().log_softmax(-1)
            np.testing.assert_allclose(changed[i], due[ids].numpy(), rtol=0, atol=2e-6)
            assert not np.allclose(changed[i], plain[i])
        scored = ours.continuations(prompts, [["A or B"]] * len(prompts), edit=zero)
        np.testing.assert_allclose([one[0][0] for one in scored], changed[:, 1], rtol=0, atol=1e-6)


def test_an_edit_is_seen_by_every_token_that_is_written(cases: Callable[[str], Case]) -> None:
    """What is written under an edit is what greedy steps with full passes under it give: its keys and values stay."""
    case = cases(NAMES[0])
    ours, size = case.ours, case.whole.model.config.text_config.vocab_size
    prompt = Prompt(text=TEXT, image=IMAGES[0])

    def flip(_: int, tokens: Any) -> Any:
        return -3 * tokens.flip(0)

    for edit in (None, flip):
        (reply,) = ours.generate([prompt], 4, edit=edit)
        found: list[int] = []
        for _ in range(4):
            found.append(int(greedy(case, prompt, tuple(found), size, edit)))
        assert reply.text == case.whole.processor.tokenizer.decode(found, skip_special_tokens=True)
    with pytest.raises(EncoderError, match="keep their shape"):
        ours.next_token([prompt], [3], edit=lambda _, tokens: tokens[1:])


def greedy(case: Case, prompt: Prompt, written: tuple[int, ...], size: int, edit: Any) -> int:
    """The likeliest next token behind what is written already, by a pass of its own."""
    from encoders.answering import passes

    loaded = inside(case)
    row = passes.extended(passes.row_of(loaded, 0, prompt), written)
    return int(passes.logits(loaded, [row], 1, edit)[0, 0, :size].argmax())


# what a repository asks for


def test_no_generation_config_reaches_an_answer(cases: Callable[[str], Case], tmp_path: Path) -> None:
    case = cases(NAMES[0])
    assert json.loads((case.whole.folder / "generation_config.json").read_text()) == HOSTILE
    plain = tmp_path / "plain"
    shutil.copytree(case.whole.folder, plain)
    (plain / "generation_config.json").unlink()
    told = json.loads((plain / "config.json").read_text())
    asks = {"repetition_penalty": 9.0, "suppress_tokens": [5, 6, 7], "min_new_tokens": 3, "no_repeat_ngram_size": 1}
    (plain / "config.json").write_text(json.dumps(told | asks | {"text_config": told["text_config"] | asks}))
    other = loaded(NAMES[0], plain)
    assert inside(replace(case, ours=other)).model.generation_config.min_new_tokens is None
    prompts = [Prompt(text=TEXT, image=image) for image in (*IMAGES, None)]
    assert other.generate(prompts, 6) == case.ours.generate(prompts, 6)
    assert np.array_equal(other.next_token(prompts, [5, 6, 7]), case.ours.next_token(prompts, [5, 6, 7]))
    for prompt, reply in zip(prompts, case.ours.generate(prompts, 6), strict=True):
        found: list[int] = []
        for _ in range(6):
            found.append(greedy(case, prompt, tuple(found), 10**6, None))
        assert reply.text == case.whole.processor.tokenizer.decode(found, skip_special_tokens=True)
        assert not reply.finished


def test_a_reply_is_finished_where_it_ends_and_not_at_the_bound(cases: Callable[[str], Case]) -> None:
    import torch
    import transformers

    for name, ending in ((NAMES[0], "</s>"), (NAMES[1], "<|im_end|>")):
        case = cases(name)
        loaded = inside(case)
        stop = case.whole.processor.tokenizer.convert_tokens_to_ids(ending)
        prompts = [Prompt(text=TEXT, image=image) for image in IMAGES]
        before = case.ours.generate(prompts, 2)
        head = loaded.model.lm_head
        weight = head.weight.clone()
        assert not any(one.finished for one in before)
        with torch.no_grad():  # the end becomes a hundred times as large as every other token's weight at a final state
            state = torch.from_numpy(
                encoders.encode(case.ours.reader(TEXT), IMAGES, {"lm.final": ["last"]})["lm.final/last"]
            )
            head.weight[stop] = 100 * state.mean(0)
        steps: list[int] = []
        handle = head.register_forward_hook(lambda *_: steps.append(1))  # noqa: B023
        try:
            ended = case.ours.generate(prompts, 5)
        finally:
            head.weight.copy_(weight)
            handle.remove()
        assert all(one.finished and one.text == "" for one in ended), ended
        assert len(steps) == 1  # nothing is computed behind the end
    talk = inside(cases(NAMES[1])).talk
    tokenizer = copy.deepcopy(talk.tokenizer)
    tokenizer.eos_token = "<|endoftext|>"  # as where a base model's tokenizer was kept
    due = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    nothing = transformers.LlavaConfig(text_config=transformers.LlamaConfig(eos_token_id=None))
    assert replace(talk, tokenizer=tokenizer).ends(nothing) == tuple(sorted(due))
    with pytest.raises(EncoderError, match="at most 0 tokens"):
        cases(NAMES[0]).ours.generate([Prompt(text="a")], 0)


def test_the_side_on_which_a_tokenizer_pads_changes_nothing(cases: Callable[[str], Case], tmp_path: Path) -> None:
    case = cases(NAMES[0])
    folder = tmp_path / "right"
    shutil.copytree(case.whole.folder, folder)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    assert told["padding_side"] == "left"
    (folder / "tokenizer_config.json").write_text(json.dumps(told | {"padding_side": "right"}))
    right = loaded(NAMES[0], folder)
    prompts = [Prompt(text=text, image=image) for text in (TEXT, "Upright or not?") for image in (*IMAGES, None)]
    assert np.array_equal(right.next_token(prompts, [3, 4]), case.ours.next_token(prompts, [3, 4]))
    assert right.generate(prompts, 3) == case.ours.generate(prompts, 3)


# templates


def test_the_template_is_the_repositorys_or_the_familys_or_the_model_is_refused(
    cases: Callable[[str], Case], tmp_path: Path
) -> None:
    case = cases(NAMES[0])
    assert case.ours.template == "the repository's chat_template.json"
    folder = tmp_path / "no"
    shutil.copytree(case.whole.folder, folder)
    (folder / "chat_template.json").unlink()
    with pytest.raises(EncoderError, match=r"has no chat template .* put the one of its documentation there"):
        loaded(NAMES[0], folder)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(told | {"chat_template": VICUNA}))
    own = loaded(NAMES[0], folder)
    assert own.template == "the repository's tokenizer_config.json"
    prompts = [Prompt(text=TEXT, image=IMAGES[0])]
    assert np.array_equal(own.next_token(prompts, [3]), case.ours.next_token(prompts, [3]))
    (folder / "chat_template.jinja").write_text(MISTRAL)
    other = loaded(NAMES[0], folder)
    assert other.template == "the repository's chat_template.jinja"
    assert other.fingerprint != own.fingerprint == case.ours.fingerprint
    assert not np.array_equal(other.next_token(prompts, [3]), own.next_token(prompts, [3]))
    (folder / "chat_template.jinja").write_text("{% for message in messages %}{{ message['role'] }}{% endfor %}")
    with pytest.raises(EncoderError, match="its chat template gives"):
        loaded(NAMES[0], folder)
    talk = inside(case).talk
    for made in ("<image>", "{{ messages[0]['content'][-1]['text'] }}", f"<image><image>{TEXT}"):
        with pytest.raises(EncoderError, match="its chat template gives"):
            replace(talk, template=made, known={}).opening(TEXT, image=True)
    with pytest.raises(EncoderError, match="without image, where <image> should stand 0 times"):
        replace(talk, template=f"<image>{TEXT}", known={}).opening(TEXT, image=False)


FRAMES = {
    "llava-med": "<s>[INST] <image>\nWhat? [/INST] A </s>",
    "huatuo-vision-7b": "<|user|>\n<image>\nWhat?\n<|assistant|>\nA \n",
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_family_without_a_template_in_its_repository_has_its_authors(name: str, tmp_path: Path) -> None:
    tokenizer = tiny_llava.vocabulary(tmp_path, pieces=True)
    side = find(name).model_type.answers
    assert "authors" in side.template_of
    turns = [
        {"role": "user", "content": side.content("What?", True)},
        {"role": "assistant", "content": side.content("A", False)},
    ]
    assert tokenizer.apply_chat_template(turns, chat_template=side.template, tokenize=False) == FRAMES[name]


# weights


def test_half_precision_on_disk_is_read_as_float32_or_as_asked(tmp_path: Path) -> None:
    whole = tiny_llava.plain(tmp_path / "half", half=True)
    ours = loaded(NAMES[0], whole.folder)
    assert (ours.dtype, {p.dtype for p in ours.reader(TEXT).module.parameters()}) == (
        "float32",
        {__import__("torch").float32},
    )
    prompts = [Prompt(text=TEXT, image=image) for image in IMAGES]
    case = Case(whole=whole, ours=ours, before="USER: ", behind=" ASSISTANT:")
    for image, found in zip(IMAGES, ours.next_token(prompts, [3, 4]), strict=True):
        due = case.told(TEXT, image)["logits"][-1].double().log_softmax(-1)[[3, 4]].numpy()
        np.testing.assert_allclose(found, due, rtol=0, atol=2e-6)
    lower = loaded(NAMES[0], whole.folder, dtype="bfloat16")
    assert lower.fingerprint != ours.fingerprint
    assert lower.encoder.fingerprint != ours.encoder.fingerprint
    np.testing.assert_allclose(lower.next_token(prompts, [3, 4]), ours.next_token(prompts, [3, 4]), atol=0.1)
    a, b = (encoders.encode(one.reader(TEXT), IMAGES, {"lm.final": ["last"]})["lm.final/last"] for one in (ours, lower))
    assert 0 < np.abs(a - b).max() < 0.2
    for one in (lower.encoder, lower.reader(TEXT)):
        encoders.encode(one, IMAGES, {"connector": ["mean"], "final": ["cls"]})
    with pytest.raises(EncoderError, match="float16 on a CPU"):
        loaded(NAMES[0], whole.folder, dtype="float16")


@pytest.mark.parametrize("gone", ["language_model.model.layers.1.mlp.up_proj.weight", "language_model.lm_head.weight",
                                  "multi_modal_projector.linear_2.bias"])  # fmt: skip
def test_a_tensor_that_is_missing_or_of_another_shape_or_unknown_is_refused(
    gone: str, cases: Callable[[str], Case], tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(cases(NAMES[0]).whole.folder, folder)
    edited(folder, gone, lambda value: value[:-1].clone())
    with pytest.raises(EncoderError, match=rf"tensor .*{gone.rpartition('model.')[2]} in .* has shape"):
        loaded(NAMES[0], folder)
    edited(folder, gone, None)
    with pytest.raises(EncoderError, match="lack 1 tensor"):
        loaded(NAMES[0], folder)


def test_a_tensor_that_the_model_has_not_is_refused(cases: Callable[[str], Case], tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(cases(NAMES[0]).whole.folder, folder)
    respelt(folder, lambda key: key.replace("layers.2.mlp.up_proj", "layers.2.mlp.side_proj"))
    with pytest.raises(EncoderError, match=r"lack 1 tensor|hold 1 tensor"):
        loaded(NAMES[0], folder)


def edited(folder: Path, name: str, change: Callable[[Any], Any] | None) -> None:
    """One tensor of a sharded checkpoint changed, or dropped as if it had never been there."""
    from safetensors.torch import load_file, save_file

    index = folder / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    file = folder / told["weight_map"][name]
    state = load_file(file)
    value = state.pop(name)
    if change is not None:
        state[name] = change(value)
    else:
        del told["weight_map"][name]
        index.write_text(json.dumps(told))
    save_file(state, file, metadata={"format": "pt"})


def test_tokenizer_and_processor_are_part_of_who_it_is(cases: Callable[[str], Case], tmp_path: Path) -> None:
    case = cases(NAMES[0])
    folder = tmp_path / "other"
    shutil.copytree(case.whole.folder, folder)
    told = json.loads((folder / "tokenizer.json").read_text())
    told["model"]["vocab"]["A"], told["model"]["vocab"]["B"] = told["model"]["vocab"]["B"], told["model"]["vocab"]["A"]
    (folder / "tokenizer.json").write_text(json.dumps(told))
    assert loaded(NAMES[0], folder).fingerprint != case.ours.fingerprint
    assert words(case.whole.processor.tokenizer)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EncoderError, match="has no tokenizer"):
        loaded(NAMES[0], folder)
    names = {path.name for path in case.ours.files}
    assert {"config.json", "tokenizer.json", "chat_template.json", "preprocessor_config.json"} <= names
    assert "model.safetensors.index.json" in names


def test_a_processor_that_shows_the_answer_other_pixels_is_refused(
    cases: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder = cases(NAMES[0]).whole.folder
    made = transformers.LlavaProcessor.__call__

    def brighter(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = made(self, *args, **kwargs)
        if "pixel_values" in found:
            found["pixel_values"] = found["pixel_values"] + 1e-3
        return found

    monkeypatch.setattr(transformers.LlavaProcessor, "__call__", brighter)
    with pytest.raises(EncoderError, match="would not see the same pixels"):
        loaded(NAMES[0], folder)


def test_positions_that_are_not_the_connectors_are_refused(
    cases: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    case = cases(NAMES[0])
    made = transformers.LlavaProcessor.replace_image_token
    monkeypatch.setattr(
        transformers.LlavaProcessor, "replace_image_token", lambda self, *a, **k: made(self, *a, **k) + "<image>"
    )
    with pytest.raises(EncoderError, match="gives the image 17 positions where the connector has 16 tokens"):
        case.ours.next_token([Prompt(text="Never asked before", image=IMAGES[0])], [3])


# the authors' layout


def authors(case: Case, to: Path, model_type: str, *, image: bool) -> dict[str, Any]:
    """The same weights as their authors publish them: other keys, a flat configuration, no token for the image."""
    import torch
    from safetensors.torch import save_file

    tiny_llava.vocabulary(to, pieces=True, image=image)
    state = {}
    for name, value in case.whole.model.state_dict().items():
        name = name.replace("model.language_model.", "model.").replace(
            "model.vision_tower.", "model.vision_tower.vision_tower.vision_model."
        )
        name = name.replace("model.multi_modal_projector.linear_1.", "model.mm_projector.0.")
        state[name.replace("model.multi_modal_projector.linear_2.", "model.mm_projector.2.")] = value.clone()
    for layer in range(case.ours.layers) if model_type == "llava_qwen2" else ():  # which the tiny model has not
        for part, rows in (("q", 48), ("k", 24), ("v", 24)):
            state[f"model.layers.{layer}.self_attn.{part}_proj.bias"] = torch.zeros(rows)
    save_file(state, to / "model.safetensors", metadata={"format": "pt"})
    text = case.whole.model.config.text_config.to_dict()
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "vocab_size", "rms_norm_eps", "max_position_embeddings", "tie_word_embeddings")  # fmt: skip
    declared = {name: text[name] for name in kept}
    more = {"mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 32, "rope_theta": 10000.0, "sliding_window": None}
    (to / "config.json").write_text(
        json.dumps({**declared, **more, "model_type": model_type, "torch_dtype": "bfloat16"})
    )
    return declared | more


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tower of a descendant of LLaVA in the size of the tiny one: its authors' config.json tells none of it."""
    from encoders.answering import llava
    from encoders.networks import llava as network

    monkeypatch.setattr(llava, "TOWER", tiny_llava.VISION)
    monkeypatch.setattr(network, "TOWER", tiny_llava.VISION)
    monkeypatch.setattr(network, "SQUARE", tiny_llava.SQUARE)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["llava-med", "llava-med-stock", "huatuo-vision-7b"])
def test_a_descendant_in_its_authors_layout_answers_as_the_converted_model(
    name: str, cases: Callable[[str], Case], tmp_path: Path
) -> None:
    """Positions of the image are marked with another token, which no tensor that follows depends on."""
    from safetensors.torch import load_file, save_file

    case, folder = cases("llava-1.5-7b"), tmp_path / "authors"
    foreign = find(name).model_type.foreign[0]
    authors(case, folder, foreign, image=False)
    if name == "llava-med-stock":
        tower = folder / "clip-vit-large-patch14-336"
        tower.mkdir()
        state = load_file(folder / "model.safetensors")
        mine = {k.removeprefix("model.vision_tower.vision_tower."): v for k, v in state.items() if "vision_tower" in k}
        save_file(mine, tower / "model.safetensors", metadata={"format": "pt"})
        other = {k: v + 1 if "vision_tower" in k else v for k, v in state.items()}
        save_file(other, folder / "model.safetensors", metadata={"format": "pt"})
    ours = loaded(name, folder)
    assert "authors' code" in ours.template
    for image in (*IMAGES[:2], None):
        prompt = {
            "llava-med": "<s>[INST] {}Is A up? [/INST]",
            "huatuo-vision-7b": "<|user|>\n{}Is A up?\n<|assistant|>\n",
        }
        text = prompt[name.removesuffix("-stock")].format("<image>\n" * (image is not None))
        padded = Whole(folder=folder, model=case.whole.model, processor=with_pad(case.whole.processor))
        told = padded.told(text, image)
        found = ours.next_token([Prompt(text=TEXT, image=image)], [3, 40])[0]
        np.testing.assert_allclose(
            found, told["logits"][-1].double().log_softmax(-1)[[3, 40]].numpy(), rtol=0, atol=5e-6
        )
    reader = ours.reader(TEXT)
    assert encoders.encode(reader, IMAGES, {"lm.0": ["mean", "last"]})["lm.0/last"].shape == (4, 48)
    with pytest.raises(EncoderError, match=r"special token|placeholder"):
        ours.next_token([Prompt(text="<unk>", image=IMAGES[0])], [3])


def with_pad(processor: Any) -> Any:
    """The same processor over images that are padded to a square, as the authors do."""
    import copy

    import transformers

    made = copy.copy(processor)
    made.image_processor = transformers.LlavaImageProcessorPil(**tiny_llava.SQUARE, do_pad=True)
    return made


def test_the_language_model_of_an_authors_layout_has_the_settings_that_it_declares() -> None:
    import transformers

    declared = {"model_type": "llava_mistral", "hidden_size": 64, "vocab_size": 96, "rope_theta": 1e6,
                "sliding_window": None, "max_position_embeddings": 32768, "rms_norm_eps": 3e-5, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 80, "torch_dtype": "bfloat16",
                "mm_vision_tower": "openai/clip-vit-large-patch14-336"}  # fmt: skip
    made = find("llava-med").model_type.answers.config(transformers, declared)
    text = made.text_config
    assert (text.rope_parameters["rope_theta"], text.sliding_window, text.rms_norm_eps) == (1e6, None, 3e-5)
    assert (made.image_token_id, made.vision_config.hidden_size, text.vocab_size) == (0, 1024, 96)
    assert find("huatuo-vision-7b").model_type.answers.config(transformers, declared).image_token_id == 95


# registry, hub, memory


def test_what_cannot_be_had_whole_says_what_can_be_had(cases: Callable[[str], Case]) -> None:
    assert {"llava-1.5-7b", "llava-1.6-mistral", "llava-med", "llava-med-stock"} <= set(encoders.whole_names())
    assert "biomedclip" not in encoders.whole_names()
    for name in ("pmc-clip", "biomedclip", "pixels"):
        with pytest.raises(EncoderError, match="has no language model that answers"):
            encoders.load_whole(name)
    custom = [
        n for n, c in checkpoints().items() if "connector" in c.card.sites and c.whole is None and c.model_type is None
    ]
    assert {"med-flamingo", "radfm", "molmo-7b-d"} & set(custom) or custom
    for name in custom:
        with pytest.raises(EncoderError, match=r"tower and connector can be had .* imported"):
            encoders.load_whole(name)
    with pytest.raises(EncoderError, match="no whole model"):
        encoders.load_whole("random:llava-1.5-7b")
    with pytest.raises(encoders.UnknownName, match="did you mean"):
        encoders.load_whole("llava-1.5-7")
    with pytest.raises(EncoderError, match="is not the network of that name"):
        encoders.load_whole(NAMES[0], weights=cases(NAMES[0]).whole.folder)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, cases: Callable[[str], Case], tmp_path: Path) -> Iterator[Hub]:
    folder = cases(NAMES[0]).whole.folder
    found = {
        "llava-hf/llava-1.5-7b-hf": Repository(folder=folder, commit="a" * 40),
        "me/mine": Repository(folder=folder, commit="b" * 40),
    }
    with serving(Hub(repositories=found)) as running:
        running.set_client(monkeypatch.setattr, tmp_path / "hub")
        yield running


def test_a_whole_model_comes_from_its_repository_and_stays(
    hub: Hub, cases: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    from encoders.answering import memory

    case = cases(NAMES[0])
    monkeypatch.setattr(memory, "available", lambda _: None)  # as if this machine had room for seven billion
    prompts = [Prompt(text=TEXT, image=IMAGES[0])]
    for spec in (NAMES[0], "hf:me/mine@main"):
        encoders.load(spec, other_weights=True)  # tower and connector alone, by byte ranges
        with pytest.raises(EncoderError, match="only in part"):
            encoders.load_whole(spec, other_weights=True, offline=True)
        ours = encoders.load_whole(spec, other_weights=True)
        assert ours.card.revision == {NAMES[0]: "a" * 40}.get(spec, "b" * 40)
        if spec == NAMES[0]:
            assert np.array_equal(ours.next_token(prompts, [3]), case.ours.next_token(prompts, [3]))
        asked = len(hub.asked)
        again = encoders.load_whole(spec, other_weights=True, offline=True)
        assert len(hub.asked) == asked
        assert again.fingerprint == ours.fingerprint


def test_the_shards_are_asked_of_the_commit_of_their_index(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from encoders.answering.files import fetch
    from hub import snapshots

    asked, real = [], snapshots.download

    def noted(repository: Any, patterns: Any) -> tuple[Path, str]:
        asked.append(repository.revision)
        return real(repository, patterns)

    monkeypatch.setattr(snapshots, "download", noted)
    model_type = find(NAMES[0]).model_type
    _, commit = fetch(encoders.Card(name="mine", repo="me/mine", revision="main"), model_type, False)
    assert commit == hub.repositories["me/mine"].commit
    assert asked == ["main", commit], "between the two the newest commit may be another"


def test_no_index_of_a_hub_leads_out_of_its_snapshot(
    hub: Hub, cases: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("encoders.answering.memory.available", lambda _: None)
    folder = tmp_path / "led"
    shutil.copytree(cases(NAMES[0]).whole.folder, folder)
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace('"model-00002', '"../other/model-00002'))
    hub.repositories["me/mine"] = Repository(folder=folder, commit="c" * 40)
    with pytest.raises(EncoderError, match="which is no file beside it"):
        encoders.load_whole("hf:me/mine@main", other_weights=True)
    assert not any("other/model" in str(one) for one in hub.asked)


def test_too_little_memory_is_told_before_a_tensor_is_read(
    cases: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    from encoders.answering import memory

    folder = cases(NAMES[0]).whole.folder
    monkeypatch.setattr("hub.tensors.floats", lambda *_: pytest.fail("a tensor was read"))
    monkeypatch.setattr(memory, "available", lambda _: 6_000_000_000)
    for name, needs in (("llava-1.5-7b", "28.3 GB"), ("llava-1.6-mistral", "30.3 GB")):
        with pytest.raises(
            EncoderError,
            match=rf"float32 .*parameters, {needs}.* 6.0 GB of memory are free; tower and connector fit \(1.3 GB\)",
        ):
            encoders.load_whole(name)
    monkeypatch.setattr(memory, "available", lambda _: 20_000_000_000)
    with pytest.raises(EncoderError, match="in bfloat16 it would fit"):
        encoders.load_whole("llava-1.5-7b")
    monkeypatch.setattr(memory, "available", lambda _: 1000)
    with pytest.raises(EncoderError, match="not even tower and connector fit"):
        loaded(NAMES[0], folder)


def test_a_models_need_is_its_weights_and_one_pass(
    cases: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    from encoders.answering import memory

    model = cases(NAMES[0]).whole.model
    full, half = (memory.needed(transformers.LlavaForConditionalGeneration, model.config, dtype)
                  for dtype in ("float32", "bfloat16"))  # fmt: skip
    count = sum(value.numel() for value in model.parameters())
    assert (full.parameters, full.weights, half.weights) == (count, 4 * count, 2 * count)
    # twelve states of 48, three of 64, keys and values of three layers for two heads of four, of 4096 positions
    numbers, logits = 4096 * (12 * 48 + 3 * 64 + 2 * 3 * 24), 8 * model.config.text_config.vocab_size
    assert (full.working, half.working) == (4 * numbers + logits, 2 * numbers + logits)
    monkeypatch.setattr(memory, "available", lambda _: full.all - 1)
    with pytest.raises(EncoderError, match=r"GB for a pass\) and 0.0 GB of memory are free"):
        memory.require_memory(cases(NAMES[0]).ours.card, full, "float32", "cpu")
    monkeypatch.setattr(memory, "available", lambda _: full.all)
    memory.require_memory(cases(NAMES[0]).ours.card, full, "float32", "cpu")


def test_memory_is_what_system_and_container_leave(tmp_path: Path) -> None:
    from encoders.answering import memory

    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 8 kB\nMemAvailable:  3 kB\n")
    assert memory.of_linux(info) == 3072
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 400\nfile 300\n")
    assert memory.of_container(tmp_path) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.of_container(tmp_path) is None
    assert memory.of_container(tmp_path / "no") is None
    assert memory.of_linux(tmp_path / "no") is None


def test_another_version_of_the_library_is_named(
    cases: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = cases(NAMES[0]).whole.folder  # made first: the library is whole before its version is exchanged
    tested = ", ".join(f"{major}.{minor}" for major, minor in TESTED)
    for version in ("6.1.0", "5.25.1", "5.19.0"):
        monkeypatch.setattr("transformers.__version__", version)
        ours = loaded(NAMES[0], folder)
        assert f"transformers {version} is outside the tested {tested}" in ours.card.unverified
        assert f"transformers {version} is outside the tested {tested}" in caplog.text
    caplog.clear()
    for version in ("5.20.0", "5.24.0.dev0"):
        monkeypatch.setattr("transformers.__version__", version)
        assert "outside the tested" not in loaded(NAMES[0], folder).card.unverified
    assert "outside the tested" not in caplog.text


def test_a_model_that_ships_with_the_project_is_loaded_by_the_same_code(cases: Callable[[str], Case]) -> None:
    from encoders._registry import Checkpoint
    from encoders.answering.files import sources
    from encoders.multimodal.checkpoint import checkpoint

    case = cases(NAMES[0])
    card = replace(encoders.card(NAMES[0]), name="shipped", repo=None, revision=None)
    made: Checkpoint = checkpoint(card, find(NAMES[0]).model_type, shipped=case.whole.folder)
    assert made.whole is not None
    card, [(folder, _)] = made.whole(made.card, None, True)
    assert (folder, card.revision) == (case.whole.folder, None)
    assert made.load(made.card, "cpu", None, True).card.name == "shipped"
    with pytest.raises(EncoderError, match="ship with the project"):
        sources(card, made.model_type, None, True, case.whole.folder / "nothing")
