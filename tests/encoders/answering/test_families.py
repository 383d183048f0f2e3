"""Sites and answers of each family's whole model equal those of its library's own class and processor."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encoders
from encoders import EncoderError, Prompt, WholeModel
from encoders.answering import shared
from encoders.extraction.encode import collate
from tests.stand_in_hub import Hub, Repository, serving
from tests.tiny_whole import FAMILIES, Whole, images, publish

NAMES = sorted(FAMILIES)
ASIDE = ("idefics-9b", "llama-3.2-vision-11b")  # their language models attend to the image from the side
QUESTION = "Is it A or B?"
IMAGES = images()
PROMPTS = [Prompt(text=text, image=image) for text, image in zip((QUESTION, "Which?", QUESTION), IMAGES, strict=True)]
Shelf = Callable[[str], tuple[Whole, WholeModel]]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Each tiny model, published and loaded once."""
    made: dict[str, tuple[Whole, WholeModel]] = {}

    def get(name: str) -> tuple[Whole, WholeModel]:
        if name not in made:
            tiny = publish(name, tmp_path_factory.mktemp("whole") / name)
            made[name] = (tiny, encoders.load_whole(name, weights=tiny.folder, other_weights=True))
        return made[name]

    return get


def close(ours: Any, theirs: Any, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=atol)


def log_softmax(logits: Any) -> np.ndarray:
    return logits.double().log_softmax(-1).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_every_site_of_one_pass_is_the_whole_models_own(name: str, shelf: Shelf) -> None:
    tiny, whole = shelf(name)
    reader = whole.reader(QUESTION)
    sites = [f"lm.{i}" for i in range(whole.layers)] + ["lm.final", "connector", "block.0"]
    assert set(sites) <= set(reader.card.sites)
    prepared = [reader.preprocess(image) for image in IMAGES]
    alone = [reader.forward(collate([one]), sites) for one in prepared]
    both = reader.forward(collate([prepared[0], prepared[2]]), sites)
    given = whole.connector([Prompt(text=QUESTION, image=image) for image in IMAGES])
    for i, image in enumerate(IMAGES):
        told = tiny.told(QUESTION, image)
        at = [] if name in ASIDE else told["at"].tolist()
        assert len(told["states"]) == whole.layers + 1
        for layer in range(whole.layers):
            site = f"lm.{layer}" if layer < whole.layers - 1 else "lm.final"
            close(alone[i][site][0], told["states"][layer + 1][[*at, -1]])
        connector = alone[i]["connector"][0]
        assert (name in ASIDE) == (len(connector) != len(at))
        close(given[i], connector)
        if name not in ASIDE:
            close(connector, _received(name, tiny, told))
        instructed = name.startswith("instructblip")  # its image side reads a fixed instruction, here it is the prompt
        due = whole.encoder.forward(collate([whole.encoder.preprocess(image)]), ["block.0", "connector"])
        close(alone[i]["block.0"], due["block.0"])
        assert np.allclose(connector, due["connector"][0], atol=1e-5) != instructed
    for site in sites:
        close(both[site][0], alone[0][site][0])
        close(both[site][1], alone[2][site][0])


def _received(name: str, tiny: Whole, told: dict[str, Any]) -> Any:
    """The connector's tokens in what the first block of the language model receives."""
    import torch

    rows = told["states"][0][told["at"]]
    if name.startswith("blip2"):  # OPT adds a learnt position to each
        decoder = tiny.model.language_model.model.decoder
        rows = rows - decoder.embed_positions(torch.ones(1, len(told["ids"]), dtype=torch.long))[0][told["at"]]
    if name.startswith("molmo2"):  # it adds to the embedding of the image's mark
        rows = rows - tiny.model.get_input_embeddings().weight[tiny.model.config.image_token_id]
    return rows.detach()


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_the_whole_models_own_alone_and_in_a_batch(name: str, shelf: Shelf) -> None:
    tiny, whole = shelf(name)
    letters = [whole.tokens(letter)[-1] for letter in ("A", "B")]
    theirs = [log_softmax(tiny.told(one.text, one.image)["logits"][-1])[letters] for one in PROMPTS]
    together = whole.next_token(PROMPTS, letters)
    close(together, theirs, 1e-4)
    close(together, [whole.next_token([one], letters)[0] for one in PROMPTS], 1e-4)
    whole.reader(QUESTION).forward(collate([whole.reader(QUESTION).preprocess(IMAGES[0])]), ["lm.0"])
    np.testing.assert_array_equal(whole.next_token(PROMPTS, letters), together)  # no hook stays behind
    blind = whole.next_token([Prompt(text=QUESTION)], letters)[0]
    close(blind, log_softmax(tiny.told(QUESTION, None)["logits"][-1])[letters], 1e-4)
    assert abs(blind - together[0]).max() > 1e-4
    ids = whole.tokens("AB 7")
    assert len(ids) > 2
    said = log_softmax(tiny.told(QUESTION, IMAGES[0], more=ids[:-1])["logits"])[-len(ids) :]
    close(whole.continuations(PROMPTS[:1], [["AB 7"]])[0][0], said[range(len(ids)), ids], 1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_put_in_place_of_the_connectors_tokens_is_what_the_language_model_answers_to(
    name: str, shelf: Shelf
) -> None:
    tiny, whole = shelf(name)
    letters = [whole.tokens(letter)[-1] for letter in ("A", "B")]
    seen: list[tuple[int, tuple[int, ...]]] = []

    def same(number: int, tokens: Any) -> Any:
        seen.append((number, tuple(tokens.shape)))
        return tokens

    plain = whole.next_token(PROMPTS, letters)
    np.testing.assert_array_equal(whole.next_token(PROMPTS, letters, edit=same), plain)
    shapes = [one.shape for one in whole.connector(PROMPTS)]
    assert sorted(seen) == sorted((i, tuple(shape)) for i, shape in enumerate(shapes))
    emptied = whole.next_token(PROMPTS, letters, edit=lambda _, tokens: tokens * 0)
    theirs = [log_softmax(tiny.told(one.text, one.image, emptied=True)["logits"][-1])[letters] for one in PROMPTS]
    close(emptied, theirs, 1e-4)
    assert abs(emptied - plain).max() > 1e-4
    one = whole.next_token(PROMPTS, letters, edit=lambda i, tokens: tokens * (i != 2))
    np.testing.assert_array_equal(one[:2], plain[:2])  # the others of its batch are left as they are
    close(one[2], emptied[2], 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_tower_and_connector_gave_before_gives_the_same_answers(
    name: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = shelf(name)
    loaded = whole.next_token.args[0]  # pyright: ignore[reportFunctionMemberAccess]
    prompts = [Prompt(text="Which one?", image=image) for image in IMAGES]
    ran: list[int] = []
    handle = loaded.parts.hooks["block.0"].module.register_forward_hook(lambda *_: ran.append(1))

    def answers() -> tuple[int, list[Any]]:
        ran.clear()
        said = [whole.next_token(some, [40, 50]).tolist() for some in (PROMPTS, prompts, [*prompts[1:], prompts[0]])]
        edited = whole.next_token(prompts, [40, 50], edit=lambda _, tokens: tokens * 0.5).tolist()
        given = [one.tolist() for one in whole.connector(prompts)]
        return len(ran), [said, edited, given, whole.generate(prompts[:1], 1)]

    with monkeypatch.context() as patch:
        patch.setattr(shared, "LARGEST", 0)
        loaded.given.found.clear()
        loaded.given.held[0] = 0
        every, due = answers()
        assert loaded.given.held == [0]
    first, found = answers()
    assert found == due
    assert every > first > 0
    ran.clear()
    assert whole.next_token(prompts, [40, 50]).tolist() == due[0][1]
    handle.remove()
    assert not ran
    assert shared.LARGEST > loaded.given.held[0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_reply_is_what_is_likeliest_word_by_word(name: str, shelf: Shelf) -> None:
    tiny, whole = shelf(name)
    ids: list[int] = []
    for _ in range(3):
        ids.append(int(tiny.told(QUESTION, IMAGES[0], more=ids)["logits"][-1].argmax()))
    reply = whole.generate(PROMPTS[:1], 3)[0]
    assert reply.text == tiny.processor.tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("name", ASIDE)
def test_where_no_position_is_the_images_the_language_model_is_read_at_the_last_token(name: str, shelf: Shelf) -> None:
    _, whole = shelf(name)
    assert {whole.card.sites[f"lm.{i}"].readouts for i in range(whole.layers)} == {("last",)}
    assert "last token" in whole.card.note


@pytest.mark.parametrize("name", ["instructblip-vicuna-7b", "molmo2-8b"])
def test_in_half_precision_the_answers_are_nearly_the_same(name: str, shelf: Shelf) -> None:
    tiny, whole = shelf(name)
    half = encoders.load_whole(name, weights=tiny.folder, other_weights=True, dtype="bfloat16")
    said = half.next_token(PROMPTS, [40, 50])
    close(said, whole.next_token(PROMPTS, [40, 50]), 0.05)
    np.testing.assert_array_equal(half.next_token(PROMPTS, [40, 50], edit=lambda _, tokens: tokens), said)
    reader = half.reader(QUESTION)
    assert reader.fingerprint != whole.reader(QUESTION).fingerprint
    reader.forward(collate([reader.preprocess(IMAGES[0])]), ["lm.0"])


def test_a_family_comes_from_the_hub_with_all_that_its_prompts_need(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, whole = shelf("instructblip-vicuna-7b")
    repo = str(encoders.card("instructblip-vicuna-7b").repo)
    monkeypatch.setattr("encoders.answering.memory.available", lambda _: None)  # that of the published sizes
    with serving(Hub(repositories={repo: Repository(folder=tiny.folder, commit="a" * 40)})) as hub:
        hub.set_client(monkeypatch.setattr, tmp_path / "hub")
        fetched = encoders.load_whole("instructblip-vicuna-7b", other_weights=True)
        assert fetched.card.revision == "a" * 40
        assert fetched.fingerprint == whole.fingerprint
        asked = len(hub.asked)
        again = encoders.load_whole("instructblip-vicuna-7b", other_weights=True, offline=True)
        assert len(hub.asked) == asked
    np.testing.assert_array_equal(again.next_token(PROMPTS, [40, 50]), whole.next_token(PROMPTS, [40, 50]))


@pytest.mark.parametrize("name", ["llama-3.2-vision-11b", "internvl3-1b", "molmo2-8b", "phi-4-multimodal"])
def test_images_of_one_tiling_and_two_sizes_keep_their_own_layouts(name: str, shelf: Shelf) -> None:
    _, whole = shelf(name)
    reader, alone = whole.reader(QUESTION), whole.encoder
    assert reader.layout is not None
    assert alone.layout is not None
    for image in (IMAGES[0], IMAGES[0][:88], IMAGES[0]):
        found = reader.layout(reader.preprocess(image))
        due = alone.layout(alone.preprocess(image))
        assert {site: found[site] for site in due} == dict(due)


@pytest.mark.parametrize("name", ["qwen2-vl-7b-448", "internvl3-1b-448"])
def test_a_squashed_image_is_squashed_for_the_answer_too(name: str, shelf: Shelf) -> None:
    tiny, native = shelf(name.removesuffix("-448"))
    whole = encoders.load_whole(name, weights=tiny.folder, other_weights=True)
    reader = whole.reader(QUESTION)
    found = reader.forward(collate([reader.preprocess(image) for image in IMAGES]), ["connector", "lm.0"])
    assert found["lm.0"].shape[1] == found["connector"].shape[1] + 1
    letters = [40, 50]
    assert abs(whole.next_token(PROMPTS, letters) - native.next_token(PROMPTS, letters)).max() > 1e-4
    if name.startswith("qwen"):
        from PIL import Image

        square = np.asarray(Image.fromarray(IMAGES[1]).resize((448, 448), Image.Resampling.BICUBIC))
        close(
            whole.next_token(PROMPTS[1:2], letters),
            native.next_token([Prompt(text=PROMPTS[1].text, image=square)], letters),
        )


def test_what_no_whole_model_is_built_of_is_said_with_what_remains(shelf: Shelf, tmp_path: Path) -> None:
    tiny, _ = shelf("internvl3-1b")
    with pytest.raises(EncoderError, match=r"transformers \d.*tower and connector.*imported") as caught:
        encoders.load_whole("molmo-7b-d")
    assert "\n" not in str(caught.value)
    folder = Path(shutil.copytree(tiny.folder, tmp_path / "authors"))
    declared = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**declared, "model_type": "internvl_chat"}))
    with pytest.raises(EncoderError, match=r"'internvl_chat'.*transformers \d.*tower and connector.*imported"):
        encoders.load_whole("internvl3-1b", weights=folder, other_weights=True)


def test_phi4_answers_with_its_vision_adapter_in_the_authors_layout_and_in_the_librarys(
    shelf: Shelf, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tiny, whole = shelf("phi-4-multimodal")
    state: dict[str, Any] = {}
    for file in tiny.folder.glob("*.safetensors"):
        state |= load_file(file)
    rng = torch.Generator().manual_seed(4)
    plain, adapter, apart = dict(state), {}, {}
    for name in [one for one in state if one.startswith("model.layers.") and state[one].ndim == 2]:
        a, b = (torch.randn(*size, generator=rng) * 0.1 for size in ((4, state[name].shape[1]), (len(state[name]), 4)))
        stem = name.removesuffix(".weight")
        plain[name] = state[name] - 2.0 * b @ a
        adapter |= {f"{stem}.lora_A.vision.weight": a, f"{stem}.lora_B.vision.weight": b}
        adapter |= {f"{stem}.lora_A.speech.weight": a + 1, f"{stem}.lora_B.speech.weight": b + 1}
        apart |= {f"base_model.model.{stem}.lora_A.weight": a, f"base_model.model.{stem}.lora_B.weight": b}
    declared = json.loads((tiny.folder / "config.json").read_text())

    def folder(name: str, tensors: dict[str, Any]) -> Path:
        made = Path(shutil.copytree(tiny.folder, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors*")))
        save_file({key: value.contiguous() for key, value in tensors.items()}, made / "model.safetensors")
        return made

    def spelt(name: str) -> str:
        held = name.startswith("model.layers.") and state[name].ndim == 2
        return name.replace(".weight", ".base_layer.weight") if held else name

    authors = folder("authors", {spelt(k): v for k, v in plain.items() if ".audio_embed." not in k} | adapter)
    told = {**declared, "model_type": "phi4mm", "vision_lora": {"r": 4, "lora_alpha": 8}, "audio_processor": {}}
    (authors / "config.json").write_text(json.dumps(told))
    library = folder("library", plain)
    (library / "vision-lora").mkdir()
    (library / "vision-lora" / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    due = whole.next_token(PROMPTS[:1], [40, 50])
    with pytest.raises(EncoderError, match=r"vision-lora/adapter_model\.safetensors"):
        encoders.load_whole("phi-4-multimodal", weights=library, other_weights=True)
    save_file({k: v.contiguous() for k, v in apart.items()}, library / "vision-lora" / "adapter_model.safetensors")
    for place in (authors, library):
        found = encoders.load_whole("phi-4-multimodal", weights=place, other_weights=True)
        close(found.next_token(PROMPTS[:1], [40, 50]), due)


def test_a_tokenizer_that_cannot_mark_an_image_is_refused_in_one_line(shelf: Shelf, tmp_path: Path) -> None:
    tiny, _ = shelf("medgemma-4b")
    folder = Path(shutil.copytree(tiny.folder, tmp_path / "older"))
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "extra_special_tokens": {}}))
    with pytest.raises(EncoderError, match=r"older.*way of marking an image.*boi_token") as caught:
        encoders.load_whole("medgemma-4b", weights=folder, other_weights=True)
    assert "\n" not in str(caught.value)
