"""What a phantom-llava answers on phantoms that training never saw, and what a probe reads at its stages."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from encoders.answering.prompts import FORMATS
from slitlamp.phantom_llava.asking import accuracy, hidden_at_image
from slitlamp.phantom_llava.learn import Seen
from slitlamp.phantom_llava.words import options, stated


def answers(model: Any, words: Any, seen: Mapping[str, Seen], *, every: bool) -> dict[str, Any]:
    """Share of right answers by task: as asked, with another item's image, with none, and where a sentence tells.

    `every` asks in all formats and words too. Lists are the options in order and in reverse.
    """
    found: dict[str, Any] = {}
    rng = np.random.default_rng(11)
    for name, one in seen.items():
        task, y = one.phantoms.task, one.phantoms.y
        other = one.tokens[rng.permutation(len(y))]
        told = [stated(task, int(c), rng, plain=True) for c in y]
        found[name] = {
            "plain": accuracy(model, words, task, one.tokens, y),
            "another_image": accuracy(model, words, task, other, y),
            "no_image": accuracy(model, words, task, None, y),
            "told_without_image": accuracy(model, words, task, None, y, before=told),
            "told_with_another_image": accuracy(model, words, task, other, y, before=told),
        }
        if every:
            few = slice(0, 100)
            found[name]["asked_otherwise"] = [
                accuracy(model, words, task, one.tokens[few], y[few], ask=k + 1) for k in range(len(task.asks))
            ]
            found[name]["formats"] = {
                form: [
                    accuracy(model, words, task, one.tokens[few], y[few], form=form, way=way)
                    for way in range(1 if form == "free" else len(options(task)))
                ]
                for form in FORMATS
            }
    return found


def pooled(tokens: np.ndarray) -> np.ndarray:
    """Means over a grid of 4 x 4 of tokens [n, t, d] in raster order, float32 [n, 16 d]."""
    n, t, d = tokens.shape
    side = math.isqrt(t)
    cells = tokens.astype(np.float32).reshape(n, 4, side // 4, 4, side // 4, d)
    return cells.mean((2, 4)).reshape(n, -1)


def probed(model: Any, words: Any, seen: Mapping[str, Seen], seed: int) -> dict[str, dict[str, str]]:
    """Ridge probe of a 4 x 4 grid of means at tower, connector and each block of the language model, with interval."""
    import torch

    import probes

    found: dict[str, dict[str, str]] = {}
    for name, one in seen.items():
        held = one.phantoms
        classes = held.task.classes
        with torch.no_grad():
            connector = model.model.multi_modal_projector(torch.as_tensor(one.tokens).float()).numpy()
        blocks = hidden_at_image(model, words, held.task, one.tokens)
        sites = {"tower": one.tokens, "connector": connector} | {f"lm.{i}": x for i, x in enumerate(blocks)}
        plan = probes.plan(held.y, held.groups, classes=classes, seed=seed)
        found[name] = {}
        for site, tokens in sites.items():
            x = pooled(tokens)
            if not np.ptp(x, axis=0).any():
                found[name][site] = "constant"
                continue
            given = probes.FeatureSet(x=x, y=held.y, groups=held.groups, ids=held.ids, classes=classes)
            e = probes.measure(given, plan, probe="ridge", detect=False, nested=False).estimate
            found[name][site] = f"{e.score:.3f} [{e.low:.3f}, {e.high:.3f}]"
    return found


def told_apart(model: Any, seen: Mapping[str, Seen]) -> dict[str, dict[str, float]]:
    """How far the tokens of images lie from those of the same images turned by 180 degrees, over their own spread.

    The largest difference of any token at tower and connector, in the deviation of all tokens there.
    """
    import torch

    from slitlamp.phantom_llava.network import tower_tokens
    from slitlamp.phantom_llava.pictures import normalised

    found: dict[str, dict[str, float]] = {}
    for name, one in seen.items():
        few = one.phantoms.pixels[:40]
        with torch.no_grad():
            a, b = (tower_tokens(model, normalised(x)) for x in (few, few[:, ::-1, ::-1].copy()))
            pairs = {"tower": (a, b), "connector": tuple(model.model.multi_modal_projector(x) for x in (a, b))}
        found[name] = {k: float(f"{float((x - z).abs().max() / x.std()):.2g}") for k, (x, z) in pairs.items()}
    return found
