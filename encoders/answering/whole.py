"""The functions of a whole model: what it says next, how likely a text is, what it writes, what it receives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from encoders._base import EncoderError
from encoders.answering.model import Edit, Prompt, Reply
from encoders.answering.passes import Loaded, Row, batches, changed, extended, joined, logits, received, row_of


def rows_of(loaded: Loaded, prompts: Sequence[Prompt]) -> list[Row]:
    """The prompts made ready; EncoderError for none at all."""
    if not prompts:
        raise EncoderError(f"{loaded.name} was asked nothing: there are no prompts")
    return [row_of(loaded, i, prompt) for i, prompt in enumerate(prompts)]


def next_token(loaded: Loaded, prompts: Sequence[Prompt], ids: Sequence[int], edit: Edit | None = None) -> np.ndarray:
    """See `WholeModel.next_token`."""
    found = np.empty((len(prompts), len(ids)))
    for batch in batches(rows_of(loaded, prompts)):
        said = logits(loaded, batch, 1, edit)[:, 0].double().log_softmax(-1)
        if not 0 <= min(ids) <= max(ids) < said.shape[-1]:
            raise EncoderError(
                f"{loaded.name} has {said.shape[-1]} tokens; asked for is number {max(ids)} or {min(ids)}"
            )
        found[[row.number for row in batch]] = said[:, list(ids)].cpu().numpy()
    return _finite(loaded, found)


def continuations(
    loaded: Loaded, prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], edit: Edit | None = None
) -> list[list[np.ndarray]]:
    """See `WholeModel.continuations`; texts that differ in their last token alone share one pass."""
    if len(texts) != len(prompts):
        raise EncoderError(f"{loaded.name}: {len(texts)} lists of texts for {len(prompts)} prompts")
    asked = [
        [loaded.talk.tokens(text, prompt.start) for text in each] for prompt, each in zip(prompts, texts, strict=True)
    ]
    found: list[list[Any]] = [[None] * len(each) for each in texts]
    stems: dict[int, dict[tuple[int, ...], list[int]]] = {}
    for i, each in enumerate(asked):
        for k, ids in enumerate(each):
            stems.setdefault(i, {}).setdefault(ids[:-1], []).append(k)
    rows = rows_of(loaded, prompts)
    lengths = sorted({len(stem) for each in stems.values() for stem in each})
    for length in lengths:
        longer = [(extended(rows[i], stem), stem) for i, each in stems.items() for stem in each if len(stem) == length]
        stem_of = {id(row): stem for row, stem in longer}
        for batch in batches([row for row, _ in longer]):
            said = logits(loaded, batch, length + 1, edit).double().log_softmax(-1)
            for row, scores in zip(batch, said, strict=True):
                for k in stems[row.number][stem_of[id(row)]]:
                    ids = torch.tensor(asked[row.number][k], device=scores.device)
                    found[row.number][k] = _finite(loaded, scores.gather(1, ids[:, None])[:, 0].cpu().numpy())
    return found


def _finite(loaded: Loaded, values: np.ndarray) -> np.ndarray:
    """The values, none of which is no number; a token may be impossible, which is minus infinity."""
    if np.isnan(values).any():
        raise EncoderError(
            f"{loaded.name} gives log-probabilities that are no numbers; in a lower precision it may overflow: use "
            "--dtype float32"
        )
    return values


def generate(loaded: Loaded, prompts: Sequence[Prompt], limit: int, edit: Edit | None = None) -> list[Reply]:
    """See `WholeModel.generate`."""
    import transformers

    if limit < 1:
        raise EncoderError(f"{loaded.name}: a reply of at most {limit} tokens is none")
    tokenizer, ends = loaded.talk.tokenizer, loaded.talk.ends(loaded.model.config)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends[0] if ends else 0)
    own = transformers.GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=limit, eos_token_id=list(ends) or None, pad_token_id=pad
    )
    found: list[Any] = [None] * len(prompts)
    for batch in batches(rows_of(loaded, prompts)):
        given = joined(loaded, batch)
        with torch.inference_mode(), loaded.images_once(), changed(loaded, batch, edit):
            made = loaded.model.generate(**given, generation_config=own)
        for row, ids in zip(batch, made[:, given["input_ids"].shape[1] :].tolist(), strict=True):
            stop = next((k for k, token in enumerate(ids) if token in ends), None)
            text = tokenizer.decode(ids[:stop], skip_special_tokens=True)
            found[row.number] = Reply(text=text, finished=stop is not None)
    return found


def connector(loaded: Loaded, prompts: Sequence[Prompt]) -> list[np.ndarray]:
    """See `WholeModel.connector`."""
    if any(prompt.image is None for prompt in prompts):
        raise EncoderError(f"{loaded.name}: a prompt without an image has no tokens of one")
    found: list[Any] = [None] * len(prompts)
    for batch in batches(rows_of(loaded, prompts)):
        tokens = received(loaded, batch)
        for i, row in enumerate(batch):
            found[row.number] = tokens[i, row.places.to(tokens.device)].float().cpu().numpy()
    return found
