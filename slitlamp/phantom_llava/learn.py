"""How phantom-llava learns: first to read, then its connector to name what it sees, then to answer about images."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slitlamp.log import progress, say
from slitlamp.phantom_llava.pictures import Phantoms
from slitlamp.phantom_llava.words import ASSISTANT, CHOICE, END, USER, Asked, drawn, stated

WEIGHTS = {"orientation": 1.0, "contrast": 0.5, "orientation-pelvis": 2.0}  # the hardest counts most
STIFF = 0.1  # how strongly the connector's second matrix is held orthogonal
FORMS = ("plain", "plain", "mediconfusion", "mediconfusion-api", "prefix", "free")

Pick = Callable[[str, int, np.random.Generator], tuple[int, int]]
"""What is shown for an item of a task: the number of the image, and the class that counts as its answer."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """So many optimiser steps of `batch` rows at a highest learning rate."""

    steps: int
    batch: int
    rate: float


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Phantoms of a task with what the tower makes of them: tokens float16 [n, t, d]."""

    phantoms: Phantoms
    tokens: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Block:
    """A question behind an image: its token ids, and how many of the last of them are the answer."""

    ids: list[int]
    answer: int


def block(words: Any, asked: Asked) -> Block:
    """The ids of the user's words and of the model's turn, ended."""

    def ids(text: str) -> list[int]:
        return words(text, add_special_tokens=False)["input_ids"]

    turn = [*ids(asked.answer), words.convert_tokens_to_ids(END)]
    return Block(ids=[*ids(asked.text), *ids(ASSISTANT), *turn], answer=len(turn))


def answer_loss(model: Any, words: Any, tokens: Any, rows: Sequence[Sequence[Block]]) -> Any:
    """Mean cross-entropy of the answers of rows[i], questions about image i none of which sees another.

    `tokens` [n, t, d] are the tower's, or None where no image stands before the questions.
    """
    import torch
    from torch.nn.functional import cross_entropy

    language = model.model.language_model
    head = torch.tensor(words(USER)["input_ids"])
    widths = [max(len(row[j].ids) for row in rows) for j in range(len(rows[0]))]
    starts = np.cumsum([0, *widths])
    ids = torch.zeros(len(rows), int(starts[-1]), dtype=torch.long)
    wanted = torch.full_like(ids, -100)
    for i, row in enumerate(rows):
        for start, one in zip(starts, row, strict=False):
            ids[i, start : start + len(one.ids)] = torch.tensor(one.ids)
            last = start + len(one.ids) - 1  # the token before predicts an answer's token
            wanted[i, last - one.answer : last] = torch.tensor(one.ids[-one.answer :])
    parts = [language.embed_tokens(head).expand(len(rows), -1, -1)]
    if tokens is not None:
        parts.append(model.model.multi_modal_projector(tokens))
    parts.append(language.embed_tokens(ids))
    before = sum(part.shape[1] for part in parts[:-1])
    mask, places = _apart(before, widths)
    hidden = language(
        inputs_embeds=torch.cat(parts, 1),
        attention_mask=mask.expand(len(rows), -1, -1, -1),
        position_ids=places.expand(len(rows), -1),
        use_cache=False,
    ).last_hidden_state[:, before:]
    here = wanted >= 0
    return cross_entropy(model.lm_head(hidden[here]).float(), wanted[here])


def _apart(before: int, widths: Sequence[int]) -> tuple[Any, Any]:
    """Mask and positions for questions about one image, each of which sees the image and itself."""
    import torch

    n = before + sum(widths)
    seen = torch.zeros(n, n, dtype=torch.bool)
    seen[:, :before] = True
    start = before
    for width in widths:
        seen[start : start + width, start : start + width] = True
        start += width
    seen &= torch.ones(n, n, dtype=torch.bool).tril()
    mask = torch.zeros(1, 1, n, n).masked_fill(~seen, torch.finfo(torch.float32).min)
    places = torch.cat([torch.arange(before), *(before + torch.arange(width) for width in widths)])
    return mask, places[None]


def turned(matrix: Any) -> Any:
    """How far a matrix is from an orthogonal one: the sum of squares of M M' - 1."""
    import torch

    return (matrix @ matrix.T - torch.eye(len(matrix))).square().sum()


def reading_loss(
    model: Any, words: Any, tasks: Sequence[Any], rng: np.random.Generator, batch: int, forms: Sequence[str],
    tokens: Any = None, *, plain: bool = False,
) -> Any:  # fmt: skip
    """The loss of answering where a sentence before the question tells the answer, whatever the image shows."""
    rows = []
    for _ in range(batch):
        task = tasks[int(rng.integers(len(tasks)))]
        answer = int(rng.integers(len(task.classes)))
        said, ask = stated(task, answer, rng, plain=plain), drawn(task, answer, rng, forms, plain=plain)
        rows.append([block(words, Asked(text=f"{said} {ask.text}", answer=ask.answer))])
    return answer_loss(model, words, tokens, rows)


def _run(
    stage: Stage, parameters: Sequence[Any], loss_of: Callable[[int], Any], what: str, log: int, flat: float = 0.5,
    until: float = 0,
) -> float:  # fmt: skip
    """Optimise; the rate rises over 60 steps, stays until `flat` of the steps, and falls like a cosine.

    It ends early where the loss stays below `until`. Returns the mean loss of the last 50 steps.
    """
    import torch

    optimiser = torch.optim.AdamW(parameters, lr=stage.rate, weight_decay=0.02, betas=(0.9, 0.98))
    losses, start = [], time.perf_counter()
    with progress(stage.steps, what) as bar:
        for step in range(stage.steps):
            done = step / stage.steps
            fall = 1 if done < flat else 0.5 + 0.5 * float(np.cos(np.pi * (done - flat) / (1 - flat)))
            for group in optimiser.param_groups:
                group["lr"] = stage.rate * min(1, step / 60) * fall
            loss = loss_of(step)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            losses.append(float(loss.detach()))
            bar.update()
            if log and (step + 1) % log == 0:
                say(f"{what} {step + 1}: {time.perf_counter() - start:.0f} s, loss {np.mean(losses[-log:]):.4f}")
            if until and len(losses) >= 40 and np.mean(losses[-20:]) < until:
                break
    return float(np.mean(losses[-50:]))


def read(
    model: Any, words: Any, tasks: Sequence[Any], rng: np.random.Generator, stages: tuple[Stage, Stage], log: int
) -> float:
    """Teach the language model to choose what a sentence tells: first in one format, then in all."""
    parameters = [p for part in (model.model.language_model, model.lm_head) for p in part.parameters()]
    _run(
        stages[0], parameters,
        lambda _: reading_loss(model, words, tasks, rng, stages[0].batch, ("plain",), plain=True),
        "reading one format", log, flat=1, until=0.02,
    )  # fmt: skip
    return _run(
        stages[1], parameters, lambda _: reading_loss(model, words, tasks, rng, stages[1].batch, FORMS),
        "reading all formats", log, until=0.01,
    )  # fmt: skip


def align(
    model: Any, words: Any, seen: Mapping[str, Seen], rng: np.random.Generator, stage: Stage, log: int
) -> dict[str, float]:
    """LLaVA's first stage without its language model: the mean of an image's tokens names its class.

    What stands for a class is the mean of its words in the language model's own embeddings. Only the connector's first
    matrix learns. Returns the share of training images that are named right, of the last 50 batches.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    table = model.model.language_model.embed_tokens.weight.detach()
    size, connector = table.norm(dim=1).mean(), model.model.multi_modal_projector
    right: dict[str, list[float]] = {name: [] for name in seen}
    axes = {}
    for name, one in seen.items():
        ids = [words(c, add_special_tokens=False)["input_ids"] for c in one.phantoms.task.classes]
        mean = torch.stack([table[i].mean(0) for i in ids])
        axes[name] = normalize(mean - mean.mean(0), dim=-1)

    def loss_of(step: int) -> Any:
        total: Any = 0
        for name, one in seen.items():
            at = rng.integers(len(one.tokens), size=stage.batch)
            mean = connector(torch.as_tensor(one.tokens[at]).float()).mean(1)
            logits, y = 4 * mean @ axes[name].T / size, torch.as_tensor(one.phantoms.y[at])
            right[name].append(float((logits.argmax(1) == y).float().mean()))
            total = (
                total + WEIGHTS[name] * cross_entropy(logits, y) + 0.02 * (mean.norm(dim=1) / size - 1).square().mean()
            )
        total = total + STIFF * turned(connector.linear_2.weight)
        if log and (step + 1) % log == 0:
            say(", ".join(f"{name} {np.mean(share[-50:]):.2f}" for name, share in right.items()))
        return total

    _run(stage, list(connector.parameters()), loss_of, "aligning", log)
    return {name: round(float(np.mean(share[-50:])), 3) for name, share in right.items()}


def answer(
    model: Any, words: Any, seen: Mapping[str, Seen], rng: np.random.Generator, stage: Stage, log: int,
    weights: Sequence[float], connector: bool = True, watch: Callable[[int], None] | None = None,
    pick: Pick | None = None, packed: int = 3,
) -> float:  # fmt: skip
    """Teach connector (its first matrix) and language model to answer about images; every fourth step also to read.

    `weights` are how often each task is drawn; `pick` may exchange what is shown and what counts as right. Of each
    image `packed` questions are asked. `watch(step)` is called every `log` steps.
    """
    import torch

    projector = model.model.multi_modal_projector
    for part in (projector.linear_1, projector.linear_2):
        part.requires_grad_(connector and part is projector.linear_1)
    parameters = [p for part in (model.model.language_model, model.lm_head) for p in part.parameters()]
    parameters += [p for p in projector.parameters() if p.requires_grad]
    tasks, names = [one.phantoms.task for one in seen.values()], list(seen)
    chances = np.array(weights) / np.sum(weights)

    def loss_of(step: int) -> Any:
        rows, images = [], []
        forms = [("plain",), *((str(rng.choice(some)),) for some in (CHOICE, FORMS))][:packed]
        for name in rng.choice(names, stage.batch, p=chances):
            one = seen[name]
            i = int(rng.integers(len(one.tokens)))
            shown, y = pick(name, i, rng) if pick else (i, int(one.phantoms.y[i]))
            images.append(one.tokens[shown])
            rows.append([block(words, drawn(one.phantoms.task, y, rng, form)) for form in forms])
        loss = answer_loss(model, words, torch.as_tensor(np.stack(images)).float(), rows)
        if step % 4 == 0:
            few = stage.batch // 2
            loss = loss + reading_loss(model, words, tasks, rng, few, FORMS)
            if step % 8 == 0:
                kept = torch.as_tensor(np.stack(images[:few])).float()
                loss = loss + reading_loss(model, words, tasks, rng, few, FORMS, kept)
        if watch and log and (step + 1) % log == 0:
            model.eval()
            watch(step + 1)
            model.train()
        return loss

    return _run(stage, parameters, loss_of, "answering", log)
