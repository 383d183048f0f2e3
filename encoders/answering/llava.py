"""How LLaVA-1.5 and LLaVA-1.6, and those trained further from them, are asked as whole models."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from encoders._base import EncoderError, Site
from encoders.answering.kind import LanguageSide, tokens_of
from encoders.networks.llava import TOWER


def _processor(name: str) -> Callable[[Any, Any, Any, Any], Any]:
    def make(library: Any, images: Any, tokenizer: Any, config: Any) -> Any:
        return getattr(library, name)(
            images,
            tokenizer,
            patch_size=config.vision_config.patch_size,
            vision_feature_select_strategy=config.vision_feature_select_strategy,
            num_additional_image_tokens=1,  # CLS, which the strategy "default" takes away again
        )

    return make


def _without_newlines(inputs: Mapping[str, Any], config: Any, sites: Mapping[str, Site]) -> Any:
    """Positions of the whole image and of the merged tiles, whose rows each end with a newline's position."""
    import torch

    found = (inputs["input_ids"][0] == config.image_token_id).nonzero()[:, 0]
    site = sites["connector"]
    base, high = site.views[0].grid, site.views[-1].grid
    if len(site.views) != 2 or len(found) != base[0] * base[1] + high[0] * (high[1] + 1):
        raise EncoderError(
            f"its processor gives the image {len(found)} positions, newlines among them, where the connector has "
            f"{tokens_of(site)} tokens"
        )
    rows = found[base[0] * base[1] :].reshape(high[0], high[1] + 1)
    return torch.cat([found[: base[0] * base[1]], rows[:, :-1].flatten()])


LLAVA = LanguageSide(processor=_processor("LlavaProcessor"))
LLAVA_NEXT = LanguageSide(processor=_processor("LlavaNextProcessor"), places=_without_newlines)


def authors(family: str, image_token: int, template: str, template_of: str) -> LanguageSide:
    """A descendant of LLaVA-1.5 in its authors' layout, whose vocabulary has no token for the image.

    `family` is the language model's in the library. Positions of the image are marked with the id `image_token`, which
    the model's vocabulary has and no text gives; a negative one counts from its end.
    """

    def config(library: Any, declared: Mapping[str, Any]) -> Any:
        """The library's configuration, with sizes and settings of the language model as the authors' declares them."""
        known = getattr(library, f"{family}Config")
        taken = {*inspect.signature(known.__init__).parameters, "rope_theta", "rope_scaling"} - {"dtype"}
        text = known(**{name: value for name, value in declared.items() if name in taken})
        return library.LlavaConfig(
            vision_config=library.CLIPVisionConfig(**TOWER),
            text_config=text,
            image_token_index=image_token % text.vocab_size,
            tie_word_embeddings=bool(declared.get("tie_word_embeddings", False)),
        )

    def processor(library: Any, images: Any, tokenizer: Any, config: Any) -> Callable[..., Mapping[str, Any]]:
        marked = config.image_token_id
        tokenizer.add_tokens(["<image>"], special_tokens=True)
        made = _processor("LlavaProcessor")(library, images, tokenizer, config)
        placed = tokenizer.convert_tokens_to_ids("<image>")

        def apply(**given: Any) -> Mapping[str, Any]:
            found = made(**given)
            ids = found["input_ids"]
            if (ids == marked).any():
                raise EncoderError(f"a prompt holds the token {marked}, by which the positions of an image are marked")
            found["input_ids"] = ids.masked_fill(ids == placed, marked)
            return found

        return apply

    return LanguageSide(processor=processor, template=template, template_of=template_of, config=config)
