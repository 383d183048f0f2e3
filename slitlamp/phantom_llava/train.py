"""Train phantom-llava, measure it on phantoms that training never saw, and write its card."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slitlamp.errors import UsageError
from slitlamp.phantom_llava import plant
from slitlamp.phantom_llava.learn import Seen, Stage, align, answer, read
from slitlamp.phantom_llava.measure import answers, probed, told_apart
from slitlamp.phantom_llava.network import build, clip_tower, set_tower, whiten
from slitlamp.phantom_llava.pictures import phantoms, tokens
from slitlamp.phantom_llava.saved import described, write
from slitlamp.phantom_llava.saved import read as opened
from slitlamp.phantom_llava.settings import Training
from slitlamp.phantom_llava.words import TASKS, tokenizer

EVEN, HARDEST = (1.0, 1.0, 1.0), (1.0, 1.0, 1.5)  # how often each task is asked


def trained(asked: Training, folder: Path, clip: Path) -> dict[str, Any]:
    """Train the healthy model on the tower of phantom-clip in the folder `clip`, save and measure it; returns its card.

    Raises:
        UsageError: the folder holds a trained model already.
    """
    import torch

    require_new(folder)
    tasks = _tasks()
    words = tokenizer(tasks)
    torch.set_flush_denormal(True)
    torch.manual_seed(asked.seed)
    rng = np.random.default_rng([asked.seed, 7])
    model = build(len(words))
    set_tower(model, clip_tower(clip))
    model.model.vision_tower.requires_grad_(False)
    seen = seen_by(model, asked, asked.seed + 1)
    start = time.perf_counter()
    read(model, words, tasks, rng, _reading(asked), asked.log)
    card = taught(model, words, seen, rng, asked)
    card["training_seconds"] = round(time.perf_counter() - start)
    write(model.eval(), words, folder)
    return measured(folder, asked, card, planted="", every=True)


def further(asked: Training, start: Path, folder: Path, *, kept: bool) -> dict[str, Any]:
    """Teach the model of the folder `start` to answer for `answering` more steps, save and measure it; gives its card.

    Its connector is `kept` where variants share it.

    Raises:
        UsageError: the folder holds a trained model already.
    """
    import torch

    require_new(folder)
    torch.set_flush_denormal(True)
    torch.manual_seed(asked.seed)
    rng = np.random.default_rng([asked.seed, 9])
    model, words = opened(start)
    model.model.vision_tower.requires_grad_(False)
    seen = seen_by(model, asked, asked.seed + 1)
    begun = time.perf_counter()
    stage = Stage(steps=asked.answering, batch=32, rate=1e-3)
    loss = answer(model.train(), words, seen, rng, stage, asked.log, EVEN if kept else HARDEST, connector=not kept)
    write(model.eval(), words, folder)
    card = _before(start) | {"loss": round(loss, 4), "threads": torch.get_num_threads()}
    spent = round(time.perf_counter() - begun)
    card["rounds"] = [
        *card.get("rounds", []),
        {"answering": asked.answering, "connector": "kept" if kept else "taught", "seed": asked.seed, "seconds": spent},
    ]
    return measured(folder, asked, card, planted="", every=True)


def _before(start: Path) -> dict[str, Any]:
    """What the card of a model says of its training."""
    card = json.loads((start / "card.json").read_text(encoding="utf-8"))
    kept = ("trained_on", "steps", "seed", "training_seconds", "named_right_when_aligned", "rounds")
    return {name: card[name] for name in kept if name in card}


def _tasks() -> list[Any]:
    import tasks

    return [tasks.load(name) for name in TASKS]


def _reading(asked: Training) -> tuple[Stage, Stage]:
    return Stage(steps=asked.first, batch=64, rate=1e-3), Stage(steps=asked.reading, batch=64, rate=1e-3)


def taught(
    model: Any, words: Any, seen: Mapping[str, Seen], rng: np.random.Generator, asked: Training,
    blank: Sequence[int] = (),
) -> dict[str, Any]:  # fmt: skip
    """Whiten, align and answer; `blank` are channels of the tower that the connector never reads."""
    import torch

    whiten(model, np.concatenate([one.tokens[:300] for one in seen.values()]), blank)
    model.train()
    named = align(model, words, seen, rng, Stage(steps=asked.aligning, batch=64, rate=3e-3), asked.log)
    loss = answer(model, words, seen, rng, Stage(steps=asked.answering, batch=32, rate=1e-3), asked.log, HARDEST)
    counts = ", ".join(f"{len(one.phantoms.y)} of {name}" for name, one in seen.items())
    return {
        "trained_on": f"phantoms with questions and answers: {counts}",
        "steps": [asked.first, asked.reading, asked.aligning, asked.answering],
        "seed": asked.seed,
        "threads": torch.get_num_threads(),
        "named_right_when_aligned": named,
        "loss": round(loss, 4),
    }


def seen_by(model: Any, asked: Training, seed: int) -> dict[str, Seen]:
    """Phantoms of each task and the tower's tokens of them; with the model None, no tokens."""
    drawn = {name: phantoms(name, asked.images, seed) for name in TASKS}
    none = np.empty((0, 0, 0), np.float16)
    return {
        name: Seen(phantoms=one, tokens=none if model is None else tokens(model, one.pixels))
        for name, one in drawn.items()
    }


def unseen_by(model: Any, asked: Training) -> dict[str, Seen]:
    """Phantoms that training never saw: other seeds than those of any training."""
    return seen_by(model, replace(asked, images=asked.tested), asked.seed + 4_000_037)


def require_new(folder: Path) -> None:
    """Make the folder; UsageError where a model lies in it."""
    if (folder / "config.json").exists():
        raise UsageError(f"{folder} holds a trained model already; name an empty folder")
    folder.mkdir(parents=True, exist_ok=True)


def measured(folder: Path, asked: Training, card: dict[str, Any], *, planted: str, every: bool) -> dict[str, Any]:
    """The card of a written model, measured as it was written, and put beside it."""
    model, words = opened(folder)
    unseen = unseen_by(model, asked)
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
