"""What a family must tell, beyond its image side, for its whole model to answer.

A `ModelType` says how tower and connector are built and read. Its `answers` is a `LanguageSide`, which says

- how the library's own processor is made of image processor and tokenizer (`processor`). It prepares image and text
  together, so that how many positions an image takes is its count and not ours. What it makes of an image must be what
  `ModelParts.preprocess` makes of it, for tower and connector are read from the very tensors that it gives; one image
  is compared at each load. Whatever takes `text=[…], images=[…] or None, return_tensors="pt", add_special_tokens` and
  returns tensors whose first axis joins prompts (or patches of prompts) will do;
- which text stands for the image in a rendered prompt (`placeholder`), which no user's turn may then hold, and what
  the content of a user's turn is for the chat template (`content`): parts for most;
- where the repository has no chat template, the documented one of the family (`template`, and whose it is,
  `template_of`); without either the model is refused in one line;
- where the connector's tokens come in: `entry` is the module and `receives` the keyword argument of it that holds
  them, [prompts, positions, width], or None where they are what it gives; `added(model)` is a vector that each of them
  is added to there, if any; `places(inputs, config, sites)` gives, for one prompt's inputs, the positions at which the
  tokens of the site "connector" lie in it, in raster order (newlines and separators are left out). The default takes
  every position of the image's token (`image_token_id` of the configuration) and wants as many as the site has tokens;
- where the blocks and the last norm of the language model are (`blocks`, `norm`), by their names in the module. A
  block's output is the site lm.i, the norm's lm.final. `in_sequence` is False where images are attended to from the
  side (Llama 3.2 Vision, Idefics): such a language model has no positions of an image, and is read at the last token;
- what of a processor's tensors only the image side's layout rests on, and no model is given (`aside`), and what must
  change where those of several prompts are joined (`join(inputs, prompts)`);
- which function of the model computes tower and connector (`shared`, by its dotted name): in a pass that reads sites it
  runs once, and the language model receives what it gave then; for answers it runs once for an image. It is all of its
  arguments that determine what it gives, and `entry` lies outside of it;
- what becomes of the tensors on disk beside `ModelType.rename` (`state(tensors, folder)`), and a module that no answer
  about an image needs, by its name, which is neither read nor kept (`unread`);
- what is to be known of its sites, for the card (`note`);
- how a configuration of the authors' own layout becomes the library's (`config`), where `ModelType.foreign` names any.

Everything else is common: prompts of one length and images of one layout make a batch, so that nothing is ever padded;
log-probabilities come from the logits of one pass; no generation_config of the repository is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders._base import EncoderError, Site


def parts(text: str, image: bool) -> Any:
    """The content of a user's turn as most templates want it: the image first, then the text."""
    return [*([{"type": "image"}] if image else []), {"type": "text", "text": text}]


def tokens_of(site: Site) -> int:
    """How many tokens a site has for an image: its views, its grid, or its queries."""
    if site.queries:
        return site.queries
    grids = [view.grid for view in site.views] or ([site.grid] if site.grid else [])
    return sum(site.prefix + h * w for h, w in grids)  # type: ignore[misc]


def every_place(inputs: Mapping[str, Any], config: Any, sites: Mapping[str, Site]) -> Any:
    """The positions [t] of the image's token in one prompt, which must be as many as the connector has tokens.

    Raises:
        EncoderError: another number.
    """
    found = (inputs["input_ids"][0] == config.image_token_id).nonzero()[:, 0]
    if len(found) != tokens_of(sites["connector"]):
        raise EncoderError(
            f"its processor gives the image {len(found)} positions where the connector has "
            f"{tokens_of(sites['connector'])} tokens"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class LanguageSide:
    """How a whole model of a family is asked; see the module."""

    processor: Callable[[Any, Any, Any, Any], Callable[..., Mapping[str, Any]]]  # of library, images, tokenizer, config
    placeholder: str = "<image>"
    content: Callable[[str, bool], Any] = parts
    template: str = ""
    template_of: str = ""
    entry: str = "model.language_model"
    receives: str | None = "inputs_embeds"
    added: Callable[[Any], Any] | None = None
    places: Callable[[Mapping[str, Any], Any, Mapping[str, Site]], Any] = every_place
    blocks: str = "model.language_model.layers"
    norm: str = "model.language_model.norm"
    in_sequence: bool = True
    shared: str = "model.get_image_features"
    note: str = ""
    aside: tuple[str, ...] = ()
    join: Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None = None
    pixels: str = "pixel_values"  # what the processor calls that of which `ModelParts.preprocess` makes one tensor
    config: Callable[[Any, Mapping[str, Any]], Any] | None = None
    state: Callable[[Mapping[str, Any], Path], Mapping[str, Any]] | None = None
    unread: str = ""
