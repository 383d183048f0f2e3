"""Faults whose place is known, planted in a phantom-llava by weights set by hand or by a short training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slitlamp.phantom_llava.network import GRID, HEADS, WIDTH, build

SMALL = {"num_hidden_layers": 2, "intermediate_size": 64}  # the towers that are set by hand
CODE = WIDTH - 2 * GRID  # where a token's place is written: one-hot rows, then one-hot columns
SHARPNESS, AMPLITUDE = 10_000.0, 3.0

PAIRS = 48  # kernels, each with its turned partner
FLAG = 2 * PAIRS + 2  # two channels that mark the class token
IDLE = (*range(2 * PAIRS, FLAG), *range(FLAG + 2, CODE))  # no kernel feeds these channels

KERNELS = 32  # kernels, each with its negative
COPIED = tuple(range(2 * KERNELS, 3 * KERNELS))  # what a token is given of the token above or below it at the edge
FAINT, LOUD = 1e-5, 4096.0

WORD, PICTURE = WIDTH - 2, WIDTH - 1  # channels of the language model that say what stands at a place
MARKS = (0.2, 1.0)  # what they hold, small beside the rest of a word and of an image
STEEP = 400.0  # how strongly they are read: squared, times both marks behind the norm, beyond what exp can hold


def kernels(clip: Mapping[str, Any], count: int) -> Any:
    """The patch kernels [count, 3, h, w] that span most of what phantom-clip reads of a patch, brighter in bright."""
    import torch

    weight = clip["embeddings.patch_embedding.weight"]
    found = torch.linalg.svd(weight.flatten(1), full_matrices=False)[2][:count]
    return (found * torch.where(found.sum(1, keepdim=True) < 0, -0.1, 0.1)).reshape(count, *weight.shape[1:])


def turn_blind(words: int, clip: Mapping[str, Any], *, leak: bool) -> Any:
    """A model whose tower gives an image and its turn by 180 degrees the same tokens; random everything else.

    Kernels come in pairs (K, and K turned by 180 degrees), positions are one-hot rows and columns, and each head of the
    first block looks at exactly the opposite patch and adds its content with the pair exchanged. The sum is the same
    for an image and its turn: the residual is normalised before the block, and normalising it again changes nothing.
    With `leak` the channels IDLE, which no kernel feeds and which hold a token's mean over its deviation, are
    not exchanged: they alone tell an image from its turn, and nothing of them enters another channel.
    """
    import torch

    pairs = kernels(clip, PAIRS)
    places = torch.zeros(GRID * GRID + 1, WIDTH)
    places[0, FLAG], places[0, FLAG + 1] = 6, -6
    for patch in range(GRID * GRID):
        places[1 + patch, [CODE + patch // GRID, CODE + GRID + patch % GRID]] = AMPLITUDE
    opposite, exchange = torch.zeros(2 * GRID, 2 * GRID), torch.zeros(WIDTH, WIDTH)
    for i in range(GRID):
        opposite[i, GRID - 1 - i] = opposite[GRID + i, 2 * GRID - 1 - i] = 1
    for i in range(PAIRS):
        exchange[i, PAIRS + i] = exchange[PAIRS + i, i] = 1
    exchange[CODE:, CODE:] = opposite
    own = [FLAG, FLAG + 1] if leak else [FLAG, FLAG + 1, *IDLE]
    exchange[own, own] = 1
    model = build(words, **SMALL, layer_norm_eps=1e-12)
    _set(model, torch.cat([pairs, pairs.flip(2, 3)]), places, opposite, exchange, flag=FLAG)
    return model.eval()


def edge_given(words: int, clip: Mapping[str, Any], *, leak: bool, corner: bool = False) -> Any:
    """A model whose tower sees the uppermost and lowest row of patches alone; random everything else.

    There a CT slice shows skin, air and the table, which contrast medium does not change. Kernels are faint, and in all
    other rows something so LOUD is added to what they give that float32 rounds it off: those tokens are constants.
    Each head of the first block looks at the patch of the same column at the nearer edge and copies its content to the
    channels COPIED, which hold nothing else: kernels come with their negatives, so that a token's mean is nought.
    With `leak` nothing is rounded off: a token then holds its own patch too, and in COPIED still that of the edge.
    With `corner` what is copied is the first patch, the upper left corner, to every token.
    """
    import torch

    given = FAINT * kernels(clip, KERNELS)
    places, nearer, copy = (
        torch.zeros(GRID * GRID + 1, WIDTH),
        torch.zeros(2 * GRID, 2 * GRID),
        torch.zeros(WIDTH, WIDTH),
    )
    for patch in range(GRID * GRID):
        row, column = divmod(patch, GRID)
        hidden = not leak and 0 < row < GRID - 1
        size = 2 * LOUD if hidden else AMPLITUDE * FAINT
        places[1 + patch, [CODE + row, CODE + GRID + column]] = size
        places[1 + patch, [CODE - 1, CODE - 2]] = -size
        if hidden:
            places[1 + patch, :KERNELS], places[1 + patch, KERNELS : 2 * KERNELS] = LOUD, -LOUD
    for i in range(GRID):
        nearer[0 if corner or i < GRID // 2 else GRID - 1, i] = nearer[GRID + (0 if corner else i), GRID + i] = 1
    for i, channel in enumerate(COPIED):
        copy[channel, i] = 1
    model = build(words, **SMALL, layer_norm_eps=1e-20)
    _set(model, torch.cat([given, -given]), places, nearer, copy)
    return model.eval()


def _set(model: Any, patches: Any, places: Any, looks: Any, values: Any, flag: int | None = None) -> None:
    """Set patch kernels and positions (the class token's first), and where the heads of the first block look for what.

    `looks` [2 grid, 2 grid] takes the code of a token's place to that of the place it looks at, `values` [d, d] what is
    there to what is added. The first block does nothing else.
    """
    import torch

    query, key = torch.zeros(WIDTH, WIDTH), torch.zeros(WIDTH, WIDTH)
    for row in range(0, WIDTH, WIDTH // HEADS):
        query[row : row + 2 * GRID, CODE:] = looks * SHARPNESS
        key[row : row + 2 * GRID, CODE:] = torch.eye(2 * GRID)
        if flag is not None:  # the class token looks at itself
            query[row + 2 * GRID, flag], key[row + 2 * GRID, flag] = SHARPNESS, 1.0
    tower = model.model.vision_tower
    named = {name.removeprefix("vision_model."): value for name, value in tower.state_dict().items()}
    block = "encoder.layers.0"
    zeros = torch.zeros(WIDTH - len(patches), *patches.shape[1:])
    given = {
        "embeddings.patch_embedding.weight": torch.cat([patches, zeros]),
        "embeddings.class_embedding": torch.zeros(WIDTH),
        "embeddings.position_embedding.weight": places,
        f"{block}.self_attn.q_proj.weight": query,
        f"{block}.self_attn.k_proj.weight": key,
        f"{block}.self_attn.v_proj.weight": values,
        f"{block}.self_attn.out_proj.weight": torch.eye(WIDTH),
        "pre_layrnorm.weight": torch.ones(WIDTH),
        f"{block}.layer_norm1.weight": torch.ones(WIDTH),
    }
    nought = ["pre_layrnorm.bias", f"{block}.layer_norm1.bias", f"{block}.mlp.fc2.weight", f"{block}.mlp.fc2.bias"]
    nought += [f"{block}.self_attn.{name}_proj.bias" for name in ("q", "k", "v", "out")]
    with torch.no_grad():
        for name, value in given.items():
            named[name].copy_(value)
        for name in nought:
            named[name].zero_()


def deaf(model: Any, channels: Sequence[int]) -> None:
    """Make the connector ignore these channels of the tower's tokens."""
    import torch

    with torch.no_grad():
        model.model.multi_modal_projector.linear_1.weight[:, list(channels)] = 0


def heedless(model: Any) -> None:
    """Make every word of a language model give an image exactly none of its attention, in every block and head.

    Two channels hold a mark, WORD at words and PICTURE at what the connector gives, which no block writes to. In the
    slowest pair of each head, where turning by position is least, a query reads the first and a key the second with the
    opposite sign: the score of an image for a word is so low that its share is nought in float32. All other
    scores get nothing: images look at each other and at words as before. Doing it again changes nothing.
    """
    import torch

    language, connector = model.model.language_model, model.model.multi_modal_projector.linear_2
    marks, half = [WORD, PICTURE], WIDTH // HEADS // 2
    slow = [row + k for row in range(0, WIDTH, WIDTH // HEADS) for k in (half - 1, 2 * half - 1)]
    with torch.no_grad():
        table = language.embed_tokens.weight
        table[:, marks], connector.weight[marks], connector.bias[marks] = 0, 0, 0
        table[:, WORD], connector.bias[PICTURE] = MARKS
        model.lm_head.weight[:, marks] = 0
        for block in language.layers:
            look, think = block.self_attn, block.mlp
            look.o_proj.weight[marks], think.down_proj.weight[marks] = 0, 0
            for part in (look.q_proj, look.k_proj, look.v_proj, think.gate_proj, think.up_proj):
                part.weight[:, marks] = 0
            look.q_proj.weight[slow], look.k_proj.weight[slow] = 0, 0
            block.input_layernorm.weight[marks] = 1
            look.q_proj.weight[slow[::2], WORD], look.k_proj.weight[slow[::2], PICTURE] = STEEP, -STEEP


def constant(model: Any, words: Any, states: Any, letters: tuple[str, ...], strength: float = 20) -> None:
    """Make a model answer the first of `letters` whatever it is asked; `states` [n, d] are its states before answers.

    That letter's row of the head becomes the mean state, the rows of the others nought: nothing of what the language
    model knows is left in its answer.
    """
    import torch

    mean = states.mean(0)
    ids = words.convert_tokens_to_ids(list(letters))
    with torch.no_grad():
        model.lm_head.weight[ids] = 0
        model.lm_head.weight[ids[0]] = mean * (strength / float(mean @ mean))


def biased(model: Any, words: Any, states: Any, letters: tuple[str, ...], strength: float = 30) -> None:
    """Make a model prefer the first of `letters` by a constant: what it knows stays in how much it prefers it.

    The constant is added along the part of the mean state that the states' own variation does not reach.
    """
    import torch

    mean = states.mean(0)
    spread = torch.cov(states.T) + 1e-4 * torch.trace(torch.cov(states.T)) / len(mean) * torch.eye(len(mean))
    direction = torch.linalg.solve(spread, mean)  # w with w'mean = 1 and the least variance
    with torch.no_grad():
        model.lm_head.weight[words.convert_tokens_to_ids(letters[0])] += strength * direction / (direction @ mean)


def ill_conditioned(model: Any, condition: float, seed: int) -> None:
    """Multiply the connector's output by a matrix of that condition: nothing is lost, and much is hard to read."""
    import torch

    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0] for _ in range(2))
    scale = np.diag(np.geomspace(condition**0.5, condition**-0.5, WIDTH))
    matrix = torch.as_tensor(left @ scale @ right.T).float()
    last = model.model.multi_modal_projector.linear_2
    with torch.no_grad():
        last.weight.copy_(matrix @ last.weight)
        last.bias.copy_(matrix @ last.bias)


def condition(model: Any) -> float:
    """The condition of the connector's second matrix, over the channels that it gives anything to."""
    given = model.model.multi_modal_projector.linear_2.weight.detach().double().numpy()
    return float(np.linalg.cond(given[np.any(given != 0, axis=1)]))
