"""What a phantom-llava answers to whole prompts, from the tokens that its tower gave."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slitlamp.phantom_llava.learn import Seen
from slitlamp.phantom_llava.words import ASSISTANT, CHOICE, END, IMAGE, USER, asked, options, questions


def prompt(text: str, *, image: bool = True) -> str:
    """The whole prompt, as the chat template writes it."""
    return f"{USER} {IMAGE}\n {text}\n{ASSISTANT}" if image else f"{USER} {text}\n{ASSISTANT}"


def _hidden(
    model: Any, words: Any, tokens: Any, texts: Sequence[str], turns: Sequence[str]
) -> tuple[Any, list[int], list[list[int]]]:
    """States [n, l, d] of prompts with what the model's turns begin with, the prompts' lengths, and the turns' ids."""
    import torch

    patches = 0 if tokens is None else tokens.shape[1]
    heads = [words(prompt(t, image=patches > 0).replace(IMAGE, IMAGE * patches))["input_ids"] for t in texts]
    tails = [words(turn, add_special_tokens=False)["input_ids"] for turn in turns]
    ids = torch.zeros(len(texts), max(len(h) + len(t) for h, t in zip(heads, tails, strict=True)), dtype=torch.long)
    for i, (head, tail) in enumerate(zip(heads, tails, strict=True)):
        ids[i, : len(head) + len(tail)] = torch.tensor([*head, *tail])  # padded behind, where nothing looks
    hidden = model.model.language_model(inputs_embeds=_embedded(model, ids, tokens), use_cache=False).last_hidden_state
    return hidden, [len(head) for head in heads], tails


def next_words(
    model: Any, words: Any, tokens: Any, texts: Sequence[str], turns: Sequence[str] | None = None
) -> np.ndarray:
    """Log-probabilities [n, words] of the word behind prompts, and behind what the model's turns begin with.

    Before each text stands an image (its tokens [t, d] as the tower gives them), or with `tokens` None, none.
    """
    import torch

    with torch.no_grad():
        hidden, lengths, tails = _hidden(model, words, tokens, texts, turns or [""] * len(texts))
        last = torch.tensor([n + len(tail) - 1 for n, tail in zip(lengths, tails, strict=True)])
        return model.lm_head(hidden[torch.arange(len(texts)), last]).log_softmax(-1).numpy()


def turn_scores(model: Any, words: Any, tokens: Any, texts: Sequence[str], turns: Sequence[str]) -> np.ndarray:
    """Log-probability [n] of each whole turn behind its prompt."""
    import torch

    scores = np.empty(len(texts))
    with torch.no_grad():
        hidden, lengths, tails = _hidden(model, words, tokens, texts, turns)
        for i, (n, tail) in enumerate(zip(lengths, tails, strict=True)):
            table = model.lm_head(hidden[i, n - 1 : n + len(tail) - 1]).log_softmax(-1)
            scores[i] = float(table[torch.arange(len(tail)), torch.tensor(tail)].sum())
    return scores


def written(model: Any, words: Any, tokens: Any, texts: Sequence[str], limit: int = 8) -> list[str]:
    """What the model writes, greedily, up to its end or the limit of words."""
    turns, end = [""] * len(texts), words.convert_tokens_to_ids(END)
    unfinished = set(range(len(texts)))
    for _ in range(limit):
        best = next_words(model, words, tokens, texts, turns).argmax(-1)
        unfinished -= {i for i in unfinished if best[i] == end}
        for i in unfinished:
            turns[i] = f"{turns[i]} {words.convert_ids_to_tokens(int(best[i]))}".strip()
        if not unfinished:
            break
    return turns


def accuracy(
    model: Any, words: Any, task: Any, tokens: np.ndarray | None, y: np.ndarray, *, form: str = "plain", way: int = 0,
    ask: int = 0, before: Sequence[str] | None = None, batch: int = 50,
) -> list[float]:  # fmt: skip
    """Share of right answers with the options in order and in reverse (one number where none are listed).

    A letter counts where it is the likeliest of all words, a text where it is likelier than the others of its way, and
    for the format free where it is what the model writes, word for word. `before` are sentences before each question.
    """
    names, classes = options(task)[way], list(range(len(task.classes)))
    orders = [classes, classes[::-1]] if form in CHOICE else [classes]
    right: list[list[bool]] = [[] for _ in orders]
    for s in range(0, len(y), batch):
        rows = range(s, min(s + batch, len(y)))
        given = None if tokens is None else tokens[s : s + batch]
        for k, order in enumerate(orders):
            made = [asked(form, questions(task)[ask], names, order, int(y[i])) for i in rows]
            texts = [f"{before[i]} {one.text}" if before else one.text for i, one in zip(rows, made, strict=True)]
            said = _answers(model, words, form, given, texts, names)
            right[k] += [a == one.answer for a, one in zip(said, made, strict=True)]
    return [round(float(np.mean(r)), 4) for r in right]


def hidden_at_image(model: Any, words: Any, task: Any, tokens: np.ndarray, batch: int = 50) -> list[np.ndarray]:
    """States float32 [n, t, d] at the image's places behind each block, where the task's question is asked plainly."""
    import torch

    names = options(task)[0]
    text = asked("plain", task.question, names, range(len(names)), 0).text
    head = len(words(prompt(text).partition(IMAGE)[0])["input_ids"])
    found: list[list[np.ndarray]] = [[] for _ in model.model.language_model.layers]
    for s in range(0, len(tokens), batch):
        given = tokens[s : s + batch]
        ids = words([prompt(text).replace(IMAGE, IMAGE * given.shape[1])] * len(given), return_tensors="pt")[
            "input_ids"
        ]
        with torch.no_grad():
            hidden = _states(model, ids, given)
        for kept, state in zip(found, hidden, strict=True):
            kept.append(state[:, head : head + given.shape[1]].numpy())
    return [np.concatenate(kept) for kept in found]


def states_before_answers(model: Any, words: Any, seen: Mapping[str, Seen]) -> Any:
    """States [n, d] from which the head gives the first word of an answer: every task, format, order and words."""
    import torch

    found = []
    for one in seen.values():
        task = one.phantoms.task
        for form in CHOICE:
            for names in options(task):
                for order in ((0, 1), (1, 0)):
                    text = asked(form, task.question, names, order, 0).text
                    texts = [text] * len(one.tokens)
                    with torch.no_grad():
                        hidden, lengths, _ = _hidden(model, words, one.tokens, texts, [""] * len(texts))
                    found.append(hidden[:, lengths[0] - 1])
    return torch.cat(found)


def _states(model: Any, ids: Any, tokens: np.ndarray) -> list[Any]:
    """What each block of the language model gives [n, l, d]."""
    states: list[Any] = []
    hooks = [
        block.register_forward_hook(lambda _m, _i, out: states.append(out[0] if isinstance(out, tuple) else out))
        for block in model.model.language_model.layers
    ]
    try:
        model.model.language_model(inputs_embeds=_embedded(model, ids, tokens), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return states


def _embedded(model: Any, ids: Any, tokens: Any) -> Any:
    """Embeddings [n, l, d] of prompts, with the connector's tokens at the image's places."""
    import torch

    embedded = model.model.language_model.embed_tokens(ids)
    if tokens is None:
        return embedded
    places = (ids == model.config.image_token_id)[..., None].expand_as(embedded)
    return embedded.masked_scatter(places, model.model.multi_modal_projector(torch.as_tensor(tokens).float()))


def _answers(model: Any, words: Any, form: str, tokens: Any, texts: list[str], names: Sequence[str]) -> list[str]:
    if form in CHOICE:
        best = next_words(model, words, tokens, texts).argmax(-1)
        return [words.convert_ids_to_tokens(int(b)) for b in best]
    if form == "prefix":
        scores = [turn_scores(model, words, tokens, texts, [name] * len(texts)) for name in names]
        return [names[int(b)] for b in np.argmax(scores, axis=0)]
    return written(model, words, tokens, texts)
