"""All sites of a whole model as an encoder of images: tower, connector and language model, from one pass."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from encoders._base import Card, Encoder, EncoderError, Site
from encoders.answering.model import Prompt
from encoders.answering.passes import Loaded, Tensors, at_entry, row_of, taken
from encoders.answering.shared import run_once
from encoders.extraction.hooks import Hook, reader
from encoders.identity.fingerprint import digest

FINAL = "lm.final"


def language_sites(loaded: Loaded, sites: Mapping[str, Site]) -> dict[str, Site]:
    """The sites of the language model for an image with those `sites`: its blocks and what is behind its last norm."""
    width = loaded.model.config.get_text_config(decoder=True).hidden_size
    here = sites["connector"]
    plain = Site(width=width, last=True)
    if loaded.side.in_sequence:
        plain = replace(plain, grid=here.grid, queries=here.queries, views=here.views)
    count = len(loaded.model.get_submodule(loaded.side.blocks))
    return dict.fromkeys([f"lm.{i}" for i in range(count)] + [FINAL], plain)


def whole_card(loaded: Loaded, card: Card, sites: Mapping[str, Site]) -> Card:
    """The card of a whole model: with the sites of its language model, and what is to be known of them."""
    note = "; ".join(filter(None, (card.note, loaded.side.note)))
    return replace(card, sites=dict(sites) | language_sites(loaded, sites), note=note)


def reader_of(loaded: Loaded, image_side: Encoder, fingerprint: str, text: str) -> Encoder:
    """The encoder of images under one prompt; see `WholeModel.reader`."""
    loaded.talk.opening(text, image=True)
    name = loaded.name

    def preprocess(image: np.ndarray) -> dict[str, torch.Tensor]:
        return loaded.one(row_of(loaded, 0, Prompt(text=text, image=image)).inputs)

    def layout(prepared: Tensors) -> dict[str, Site]:
        sites = dict(loaded.parts.layout(loaded.of_image(prepared)))
        return sites | language_sites(loaded, sites)

    def places(batch: Tensors) -> torch.Tensor:
        """Positions of the connector's tokens, the same in all prompts of a batch."""
        one = {key: value[0] if key in loaded.flat else value[:1] for key, value in batch.items()}
        return loaded.side.places(one, loaded.model.config, loaded.layout(one)).to(batch["input_ids"].device)

    def pick(tokens: torch.Tensor, batch: Tensors) -> torch.Tensor:
        last = tokens[:, -1:]
        return torch.cat([tokens[:, places(batch)], last], 1) if loaded.side.in_sequence else last

    def run(batch: Tensors) -> Mapping[str, Any]:
        if not bool((batch["input_ids"] == batch["input_ids"][:1]).all()):
            raise EncoderError(f"{name}: the prompts of a batch differ; images of one layout go together")
        given = loaded.placed(batch)
        inputs = {key: value.flatten(0, 1) if key in loaded.flat else value for key, value in given.items()}
        prompts, seen = len(batch["input_ids"]), list[torch.Tensor]()
        with run_once(loaded.model, loaded.side.shared):
            with at_entry(loaded, prompts, seen.append):
                loaded.run(taken(loaded, inputs, prompts), 1)
            direct = loaded.parts.run(loaded.of_image(given))
        require_received(loaded, direct["connector"], seen[0][:, places(batch)])
        return direct

    def of_tower(hook: Hook) -> Hook:
        order = hook.order
        if order is None:
            return hook
        return replace(hook, order=lambda tokens, batch: order(tokens, loaded.of_image(batch)))

    hooks = {site: of_tower(hook) for site, hook in loaded.parts.hooks.items()}
    for i, block in enumerate(loaded.model.get_submodule(loaded.side.blocks)):
        hooks[f"lm.{i}"] = Hook(module=block, order=pick)
    hooks[FINAL] = Hook(module=loaded.model.get_submodule(loaded.side.norm), order=pick)
    sites = dict(image_side.card.sites)
    card = whole_card(loaded, image_side.card, sites)
    return replace(
        image_side,
        card=card,
        preprocess=preprocess,
        forward=reader(name, run, hooks, loaded.device),
        fingerprint=digest("reader", fingerprint, text),
        module=loaded.model,
        layout=layout if loaded.parts.varies else None,
        hooks=hooks,
        text=None,
        at_size=None,
    )


def require_received(loaded: Loaded, connector: torch.Tensor, tokens: torch.Tensor) -> None:
    """What the language model received at the image's positions must be what the connector gave, in its order.

    Raises:
        EncoderError: it received something else.
    """
    due = connector.reshape(len(tokens), -1, connector.shape[-1]).to(tokens)
    if loaded.side.added:
        due = due + loaded.side.added(loaded.model)
    if tokens.shape != due.shape or not torch.equal(tokens, due):
        raise EncoderError(
            f"{loaded.name}: the language model does not receive the connector's tokens {tuple(connector.shape)} "
            f"at the image's positions {tuple(tokens.shape)}"
        )
