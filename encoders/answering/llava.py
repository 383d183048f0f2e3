"""How LLaVA-1.5 and LLaVA-1.6, and those trained further from them, are asked as whole models."""

from collections.abc import Callable, Mapping
from typing import Any

from encoders._base import EncoderError, Site
from encoders.answering.kind import LanguageSide, tokens_of


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
    name = "LlavaProcessor"

    def config(library: Any, declared: Mapping[str, Any]) -> Any:
        """The library's configuration of the sizes and settings of the language model that the authors' one declares."""
        known = getattr(library, f"{family}Config")
        import inspect

        taken = set(inspect.signature(known.__init__).parameters) | {"rope_theta", "rope_scaling"}
        text = known(**{k: v for k, v in declared.items() if k in taken and k not in ("model_type", "torch_dtype")})
        vision = declared.get("vision_config") or {
            "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
            "image_size": 336, "patch_size": 14, "projection_dim": 768,
        }  # fmt: skip
        return library.LlavaConfig(
            vision_config=library.CLIPVisionConfig(**vision),
            text_config=text,
            image_token_index=image_token % text.vocab_size,
            tie_word_embeddings=bool(declared.get("tie_word_embeddings", False)),
        )

    def processor(library: Any, images: Any, tokenizer: Any, config: Any) -> Callable[..., Mapping[str, Any]]:
        marked = config.image_token_id
        tokenizer.add_tokens(["<image>"], special_tokens=True)
        made = _processor(name)(library, images, tokenizer, config)
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
