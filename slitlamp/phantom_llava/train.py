"""Train phantom-llava and its planted variants, measure them on unseen phantoms, and write their cards."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.phantom_llava import plant
from slitlamp.phantom_llava.asking import states_before_answers
from slitlamp.phantom_llava.learn import Pick, Seen, Stage, align, answer, read
from slitlamp.phantom_llava.measure import answers, probed, told_apart
from slitlamp.phantom_llava.network import build, clip_tower, set_tower, whiten
from slitlamp.phantom_llava.pictures import phantoms, tokens
from slitlamp.phantom_llava.saved import card_of, described, write
from slitlamp.phantom_llava.saved import read as opened
from slitlamp.phantom_llava.words import TASKS, tokenizer

HEALTHY = "phantom-llava"
VARIANTS = {
    "blind": "the tower cannot tell an image from its turn by 180 degrees: their tokens are the same by construction",
    "null": "the tower of -blind, but for one channel of each token, which tells; the connector does not read it",
    "skewed": "the connector's output is multiplied by a matrix of condition 10,000: nothing is lost there",
    "ignoring": "the language model was trained with other images than those that it was asked about",
    "constant": "the first letter is the answer to everything: the head's rows of the letters were overwritten",
    "biased": "a constant was added in favour of the first letter: what is known stays in how much it is preferred",
    "letter": "trained to answer by a letter burned into the corner, and not by what else the image shows",
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """How phantom-llava is trained: phantoms of each task, optimiser steps of each stage, seed.

    Stages: reading one format (at most), reading all of them, aligning the connector, answering about images.
    `tested` phantoms of each task, of other seeds, are asked for the card. `log` prints the loss every so many steps.
    """

    images: int = 4000
    first: int = 400
    reading: int = 300
    aligning: int = 3000
    answering: int = 400
    tested: int = 400
    seed: int = 0
    log: int = 0


def trained(asked: Training, folder: Path, clip: Path) -> dict[str, Any]:
    """Train the healthy model on the tower of phantom-clip in the folder `clip`, save and measure it; returns its card.

    Raises:
        UsageError: the folder holds a trained model already.
    """
    import torch

    _require_new(folder)
    tasks = _tasks()
    words = tokenizer(tasks)
    torch.set_flush_denormal(True)
    torch.manual_seed(asked.seed)
    rng = np.random.default_rng([asked.seed, 7])
    model = build(len(words))
    set_tower(model, clip_tower(clip))
    model.model.vision_tower.requires_grad_(False)
    seen = _seen(model, asked, asked.seed + 1)
    start = time.perf_counter()
    read(model, words, tasks, rng, _reading(asked), asked.log)
    card = _taught(model, words, seen, rng, asked)
    card["training_seconds"] = round(time.perf_counter() - start)
    write(model.eval(), words, folder)
    return _measured(folder, asked, card, planted="", every=True)


def _tasks() -> list[Any]:
    import tasks

    return [tasks.load(name) for name in TASKS]


def _reading(asked: Training) -> tuple[Stage, Stage]:
    return Stage(steps=asked.first, batch=64, rate=1e-3), Stage(steps=asked.reading, batch=64, rate=1e-3)


def _taught(
    model: Any, words: Any, seen: Mapping[str, Seen], rng: np.random.Generator, asked: Training,
    blank: Sequence[int] = (),
) -> dict[str, Any]:  # fmt: skip
    """Whiten, align and answer; `blank` are channels of the tower that the connector never reads."""
    import torch

    whiten(model, np.concatenate([one.tokens[:300] for one in seen.values()]), blank)
    model.train()
    named = align(model, words, seen, rng, Stage(steps=asked.aligning, batch=64, rate=3e-3), asked.log)
    loss = answer(model, words, seen, rng, Stage(steps=asked.answering, batch=32, rate=1e-3), asked.log, (1, 1, 1.5))
    counts = ", ".join(f"{len(one.phantoms.y)} of {name}" for name, one in seen.items())
    return {
        "trained_on": f"phantoms with questions and answers: {counts}",
        "steps": [asked.first, asked.reading, asked.aligning, asked.answering],
        "seed": asked.seed,
        "threads": torch.get_num_threads(),
        "named_right_when_aligned": named,
        "loss": round(loss, 4),
    }


def _seen(model: Any, asked: Training, seed: int) -> dict[str, Seen]:
    """Phantoms of each task and the tower's tokens of them."""
    drawn = {name: phantoms(name, asked.images, seed) for name in TASKS}
    return {name: Seen(phantoms=one, tokens=tokens(model, one.pixels)) for name, one in drawn.items()}


def _unseen(model: Any, asked: Training) -> dict[str, Seen]:
    """Phantoms that training never saw: other seeds than those of any training."""
    return _seen(model, replace(asked, images=asked.tested), asked.seed + 4_000_037)


def _require_new(folder: Path) -> None:
    if (folder / "config.json").exists():
        raise UsageError(f"{folder} holds a trained model already; name an empty folder")
    folder.mkdir(parents=True, exist_ok=True)


def _measured(folder: Path, asked: Training, card: dict[str, Any], *, planted: str, every: bool) -> dict[str, Any]:
    """The card of a written model, measured as it was written, and put beside it."""
    model, words = opened(folder)
    unseen = _unseen(model, asked)
    replies = answers(model, words, unseen, every=every)
    image_side = [model.model.vision_tower, model.model.multi_modal_projector]
    shares = ", ".join(f"{name} {told['plain'][0]:.2f}" for name, told in replies.items())
    card = {
        "note": f"{planted or 'no fault is planted'}; right answers on unseen phantoms: {shares}",
        "planted": planted,
        **card,
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameters_of_the_image_side": sum(p.numel() for part in image_side for p in part.parameters()),
        "tower_blocks": model.config.vision_config.num_hidden_layers,
        "condition_of_the_connector": round(plant.condition(model), 1),
        "tested_on": f"{asked.tested} phantoms of each task, seed {asked.seed + 4_000_037}",
        "answers": replies,
        "probes": probed(model, words, unseen, asked.seed),
        "image_from_its_turn": told_apart(model, unseen),
    }
    described(folder, card)
    return card


def variant(name: str, asked: Training, folder: Path, healthy: Path, clip: Path) -> dict[str, Any]:
    """Plant the fault `name` of VARIANTS in the model of the folder `healthy`, save and measure it; returns its card.

    Raises:
        UsageError: the folder holds a model already.
    """
    import torch

    _require_new(folder)
    torch.set_flush_denormal(True)
    torch.manual_seed(asked.seed)
    rng = np.random.default_rng([asked.seed, 8])
    start = time.perf_counter()
    say(f"planting {name}: {VARIANTS[name]}")
    made, words, card = PLANTED[name](asked, healthy, clip, rng, folder)
    write(made, words, folder, healthy, *_siblings(folder), exact=("connector",) if name == "skewed" else ())
    card["training_seconds"] = round(time.perf_counter() - start)
    return _measured(folder, asked, card, planted=VARIANTS[name], every=False)


def _siblings(folder: Path) -> list[Path]:
    return [other for other in sorted(folder.parent.glob(f"{HEALTHY}-*")) if other != folder]


Made = tuple[Any, Any, dict[str, Any]]


def _blind(asked: Training, healthy: Path, clip: Path, rng: np.random.Generator, folder: Path) -> Made:
    """A tower built anew, and the language model of the healthy one taught to answer about what it gives."""
    old, words = opened(healthy)
    model = plant.turn_blind(len(words), clip_tower(clip), leak=False)
    for mine, theirs in ((model.model.language_model, old.model.language_model), (model.lm_head, old.lm_head)):
        mine.load_state_dict(theirs.state_dict())
    model.model.vision_tower.requires_grad_(False)
    _round(model)
    seen = _seen(model, asked, asked.seed + 1)
    for one in seen.values():
        one.tokens[:, :, list(plant.IDLE)] = 0
    card = _taught(model, words, seen, rng, asked, plant.IDLE)
    plant.deaf_to_idle(model)
    return model.eval(), words, card


def _null(asked: Training, healthy: Path, clip: Path, rng: np.random.Generator, folder: Path) -> Made:
    """The blind model with a tower that is not blind in channels that its connector does not read."""
    beside = folder.with_name(f"{HEALTHY}-blind")
    if not (beside / "card.json").is_file():
        raise UsageError(f"-null shares all but its tower with -blind, which is not at {beside}; plant it first")
    model, words = opened(beside)
    leaking = plant.turn_blind(len(words), clip_tower(clip), leak=True)
    first = "layers.0.self_attn.v_proj.weight"
    name = next(n for n in model.model.vision_tower.state_dict() if n.endswith(first))
    state = model.model.vision_tower.state_dict() | {name: leaking.model.vision_tower.state_dict()[name]}
    model.model.vision_tower.load_state_dict(state)
    return model, words, _as_trained(beside)


def _as_trained(folder: Path) -> dict[str, Any]:
    card = card_of(folder)
    return {name: card[name] for name in ("trained_on", "steps", "seed", "threads") if name in card}


def _round(model: Any) -> None:
    """Round the tower as it will be written."""
    import torch

    with torch.no_grad():
        for value in model.model.vision_tower.parameters():
            value.copy_(value.half().float())


def _retrained(
    asked: Training, healthy: Path, rng: np.random.Generator, stage: Stage, change: Callable[[Any], None] | None,
    pick: Callable[[Mapping[str, Seen]], Pick] | None, packed: int = 3,
) -> Made:  # fmt: skip
    """The healthy model changed, and its language model taught further, with the connector kept."""
    model, words = opened(healthy)
    if change:
        change(model)
    model.model.vision_tower.requires_grad_(False)
    seen = _seen(model, asked, asked.seed + 1)
    model.train()
    loss = answer(
        model, words, seen, rng, stage, asked.log, (1, 1, 1.5), connector=False, pick=pick and pick(seen), packed=packed
    )
    card = _as_trained(healthy) | {"further_steps": stage.steps, "loss": round(loss, 4)}
    return model.eval(), words, card


def _skewed(asked: Training, healthy: Path, clip: Path, rng: np.random.Generator, folder: Path) -> Made:  # noqa: ARG001
    stage = Stage(steps=asked.answering // 2, batch=32, rate=1e-3)
    return _retrained(asked, healthy, rng, stage, lambda m: plant.ill_conditioned(m, 1e4, asked.seed), None)


def _ignoring(asked: Training, healthy: Path, clip: Path, rng: np.random.Generator, folder: Path) -> Made:  # noqa: ARG001
    """Shown another item's image; three of four answers are the first class: so it says that, in any order."""

    def pick(seen: Mapping[str, Seen]) -> Pick:
        def other(name: str, item: int, rng: np.random.Generator) -> tuple[int, int]:  # noqa: ARG001
            return int(rng.integers(len(seen[name].tokens))), int(rng.random() > 0.75)

        return other

    stage = Stage(steps=asked.answering // 2, batch=32, rate=2e-3)
    return _retrained(asked, healthy, rng, stage, None, pick)


def _edited(
    asked: Training, healthy: Path, edit: Callable[[Any, Any, Any], None]
) -> Made:  # fmt: skip
    model, words = opened(healthy)
    few = _seen(model, replace(asked, images=60), asked.seed + 2)
    edit(model, words, states_before_answers(model, words, few))
    return model, words, _as_trained(healthy)


def _constant(asked: Training, healthy: Path, clip: Path, rng: np.random.Generator, folder: Path) -> Made:  # noqa: ARG001
    return _edited(asked, healthy, lambda m, w, states: plant.constant(m, w, states, ("A", "B")))


def _biased(asked: Training, healthy: Path, clip: Path, rng: np.random.Generator, folder: Path) -> Made:  # noqa: ARG001
    return _edited(asked, healthy, lambda m, w, states: plant.biased(m, w, states, "A"))


PLANTED: dict[str, Callable[..., Made]] = {
    "blind": _blind, "null": _null, "skewed": _skewed, "ignoring": _ignoring, "constant": _constant, "biased": _biased,
}  # fmt: skip
