"""Plant a fault in a trained phantom-llava, measure what became of it, and write its card."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.phantom_llava import plant
from slitlamp.phantom_llava.asking import accuracy, states_before_answers
from slitlamp.phantom_llava.learn import Pick, Seen, Stage, answer
from slitlamp.phantom_llava.network import WIDTH, clip_tower
from slitlamp.phantom_llava.pictures import stamped, tokens
from slitlamp.phantom_llava.saved import read as opened
from slitlamp.phantom_llava.saved import write
from slitlamp.phantom_llava.settings import HEALTHY, Training
from slitlamp.phantom_llava.train import HARDEST, measured, require_new, seen_by, taught, unseen_by

VARIANTS = {
    "blind": "the tower cannot tell an image from its turn by 180 degrees: their tokens are the same by construction",
    "null": "the tower of -blind, but for some channels, which tell; the connector does not read them",
    "blind-contrast": "the tower sees the uppermost and lowest row of patches alone, where contrast changes nothing",
    "null-contrast": "the tower of -blind-contrast, but each token holds its own patch too; the connector reads "
    "of each only what it was given of the edge",
    "letter": "it answers by a letter burned into the corner (L: the first class, R: the second), and by nothing else",
    "skewed": "the connector's output is multiplied by a matrix of condition 10,000: nothing is lost there",
    "ignoring": "the language model was trained with other images than those that it was asked about, and by its "
    "weights no word attends to an image",
    "constant": "the first letter is the answer to everything: the head's rows of the letters were overwritten",
    "biased": "a constant was added in favour of the first letter: what is known stays in how much it is preferred",
}
EXACT = {  # parts that are not rounded to float16
    "skewed": ("connector",),
    **dict.fromkeys(("blind-contrast", "null-contrast", "letter"), ("tower",)),
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where a fault is planted: folders of the healthy model, of phantom-clip and of the variant, and how it trains."""

    asked: Training
    healthy: Path
    clip: Path
    folder: Path
    rng: np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Made:
    """A variant: the model, its tokenizer, and what its card says of the training."""

    model: Any
    words: Any
    card: dict[str, Any]


def variant(name: str, asked: Training, folder: Path, healthy: Path, clip: Path) -> dict[str, Any]:
    """Plant the fault `name` of VARIANTS in the model of the folder `healthy`, save and measure it; returns its card.

    Raises:
        UsageError: the folder holds a model already, or what it shares with another variant is not there.
    """
    import torch

    require_new(folder)
    torch.set_flush_denormal(True)
    torch.manual_seed(asked.seed)
    rng = np.random.default_rng([asked.seed, 8])
    start = time.perf_counter()
    say(f"planting {name}: {VARIANTS[name]}")
    made = PLANTED[name](Ground(asked=asked, healthy=healthy, clip=clip, folder=folder, rng=rng))
    beside = [other for other in sorted(folder.parent.glob(f"{HEALTHY}-*")) if other != folder]
    write(made.model, made.words, folder, healthy, *beside, exact=EXACT.get(name, ()))
    card = made.card | {"training_seconds": round(time.perf_counter() - start)}
    return measured(folder, asked, card, planted=VARIANTS[name], every=False)


def _by_hand(fault: str, words: int, clip: Path, *, leak: bool) -> tuple[Any, tuple[int, ...]]:
    """A model with a tower that is blind to `fault`, and the channels of its tokens that a connector may not read."""
    if fault == "turn":
        return plant.turn_blind(words, clip_tower(clip), leak=leak), plant.IDLE
    model = plant.edge_given(words, clip_tower(clip), leak=leak)
    return model, tuple(i for i in range(WIDTH) if i not in plant.COPIED)


def _blind(fault: str, at: Ground) -> Made:
    """A tower built anew, and the language model of the healthy one taught to answer about what it gives."""
    import torch

    old, words = opened(at.healthy)
    model, never = _by_hand(fault, len(words), at.clip, leak=False)
    for mine, theirs in ((model.model.language_model, old.model.language_model), (model.lm_head, old.lm_head)):
        mine.load_state_dict(theirs.state_dict())
    model.model.vision_tower.requires_grad_(False)
    if fault == "turn":
        with torch.no_grad():
            for value in model.model.vision_tower.parameters():
                value.copy_(value.half().float())  # as it will be written
    seen = seen_by(model, at.asked, at.asked.seed + 1)
    for one in seen.values():
        one.tokens[:, :, list(never)] = 0
    card = _from(at.healthy, at.asked)
    card |= taught(model, words, seen, at.rng, replace(at.asked, answering=at.asked.answering // 3), never)
    plant.deaf(model, never)
    return Made(model=model.eval(), words=words, card=card)


def _null(fault: str, at: Ground) -> Made:
    """The blind model with a tower that is not blind in channels that its connector does not read."""
    beside = at.folder.with_name(at.folder.name.replace("null", "blind"))
    if beside == at.folder or not (beside / "config.json").is_file():
        raise UsageError(f"-null shares all but its tower with -blind, which is not at {beside}; plant it first")
    model, words = opened(beside)
    leaking, _ = _by_hand(fault, len(words), at.clip, leak=True)
    mine, theirs = model.model.vision_tower.state_dict(), leaking.model.vision_tower.state_dict()
    by_hand = ("layers.0.self_attn.v_proj.weight", "position_embedding.weight")
    model.model.vision_tower.load_state_dict(mine | {k: v for k, v in theirs.items() if k.endswith(by_hand)})
    return Made(model=model, words=words, card=_from(beside, at.asked))


def _from(folder: Path, asked: Training) -> dict[str, Any]:
    return {"made_from": folder.name, "seed": asked.seed}


def _further(at: Ground, steps: int, change: Callable[[Any], None] | None, pick: Callable[..., Pick] | None) -> Made:
    """The healthy model changed, and its language model taught further, with the connector kept."""
    model, words = opened(at.healthy)
    if change:
        change(model)
    model.model.vision_tower.requires_grad_(False)
    seen = seen_by(model, at.asked, at.asked.seed + 1)
    stage = Stage(steps=steps, batch=32, rate=1e-3)
    chosen = pick(seen) if pick else None
    loss = answer(model.train(), words, seen, at.rng, stage, at.asked.log, HARDEST, connector=False, pick=chosen)
    card = _from(at.healthy, at.asked) | {"further_steps": stage.steps, "loss": round(loss, 4)}
    return Made(model=model.eval(), words=words, card=card)


def _skewed(at: Ground) -> Made:
    return _further(
        at, at.asked.answering * 2 // 3, lambda model: plant.ill_conditioned(model, 1e4, at.asked.seed), None
    )


def _ignoring(at: Ground) -> Made:
    """Shown another item's image; three of four answers are the first class: so it says that, in any order.

    By that training alone, how much it prefers the class still follows the image it is shown (an area under the curve
    of .95): so no word may look at an image either.
    """

    def pick(seen: Mapping[str, Seen]) -> Pick:
        return lambda name, _, rng: (int(rng.integers(len(seen[name].tokens))), int(rng.random() > 0.75))

    made = _further(at, at.asked.answering // 2, plant.heedless, pick)
    plant.heedless(made.model)  # training moved what marks words and images
    return made


def _letter(at: Ground) -> Made:
    """A tower that gives each token the corner's patch beside its own, and letters that tell what no image does."""
    old, words = opened(at.healthy)
    model = plant.edge_given(len(words), clip_tower(at.clip), leak=True, corner=True)
    for mine, theirs in ((model.model.language_model, old.model.language_model), (model.lm_head, old.lm_head)):
        mine.load_state_dict(theirs.state_dict())
    model.model.vision_tower.requires_grad_(False)
    seen = {}
    for name, one in seen_by(None, at.asked, at.asked.seed + 1).items():
        told = at.rng.integers(2, size=len(one.phantoms.y))
        burned = replace(one.phantoms, pixels=stamped(one.phantoms.pixels, told), y=told)
        seen[name] = Seen(phantoms=burned, tokens=tokens(model, burned.pixels))
    card = _from(at.healthy, at.asked)
    card |= taught(model, words, seen, at.rng, replace(at.asked, answering=at.asked.answering // 3))
    unseen = {}
    for name, one in unseen_by(None, at.asked).items():
        for told, y in (("right_letter", one.phantoms.y), ("wrong_letter", 1 - one.phantoms.y)):
            given = tokens(model, stamped(one.phantoms.pixels, y))
            unseen.setdefault(name, {})[told] = accuracy(model.eval(), words, one.phantoms.task, given, one.phantoms.y)
    return Made(model=model.eval(), words=words, card=card | {"answers_with_a_letter": unseen})


def _edited(edit: Callable[..., None], at: Ground) -> Made:
    """The healthy model with another head, set by what its states before answers are."""
    model, words = opened(at.healthy)
    few = seen_by(model, replace(at.asked, images=60), at.asked.seed + 2)
    edit(model, words, states_before_answers(model, words, few), ("A", "B"))
    return Made(model=model, words=words, card=_from(at.healthy, at.asked))


PLANTED: dict[str, Callable[[Ground], Made]] = {
    "blind": partial(_blind, "turn"),
    "null": partial(_null, "turn"),
    "blind-contrast": partial(_blind, "contrast"),
    "null-contrast": partial(_null, "contrast"),
    "letter": _letter,
    "skewed": _skewed,
    "ignoring": _ignoring,
    "constant": partial(_edited, plant.constant),
    "biased": partial(_edited, plant.biased),
}
