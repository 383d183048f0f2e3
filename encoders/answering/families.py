"""How Qwen-VL, InternVL, Gemma 3, BLIP-2, InstructBLIP, Idefics, Llama 3.2 Vision, Phi-4 and Molmo 2 are asked.

Where the connector's tokens enter differs. Most put them in place of the embeddings of the image's positions. Molmo 2
adds them to those embeddings. BLIP-2's OPT adds its learnt positions behind them. Qwen3-VL adds the outputs of three
more mergers behind its first three blocks, so that what block 1 receives is lm.0 and such an output. Llama 3.2 Vision
and Idefics attend to the tokens from the side and have no position for an image.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from encoders._base import EncoderError, Site
from encoders.answering.kind import LanguageSide, tokens_of

PLAIN = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)
"""The user's words behind the image and nothing else, for models that were trained on no turns."""
ACROSS = (
    "the language model attends to the image from the side and has no position for it: it is read at the last token "
    "of the prompt alone"
)
PHI4_IMAGE = "<|image_1|>"
PLAIN_OF = "the user's words alone: the model was trained on no turns"

Processor = Callable[..., Mapping[str, Any]]
Make = Callable[[Any, Any, Any, Any], Processor]


def _with_videos(name: str, videos: str) -> Make:
    """The library's processor of a family that also reads videos, which are never given."""

    def make(library: Any, images: Any, tokenizer: Any, _config: Any) -> Processor:
        return getattr(library, name)(
            image_processor=images, tokenizer=tokenizer, video_processor=getattr(library, videos)()
        )

    return make


def _sized(key: str, make: Make) -> Make:
    """A processor that also tells the height and width of its one image, under `key`: its layout rests on them."""

    def made(library: Any, images: Any, tokenizer: Any, config: Any) -> Processor:
        import torch

        inner = make(library, images, tokenizer, config)

        def apply(images: Sequence[Any] | None = None, **given: Any) -> Mapping[str, Any]:
            found = dict(inner(images=images, **given))
            if images is not None:
                found[key] = torch.tensor([[image.height, image.width] for image in images])
            return found

        return apply

    return made


def squashed(side: LanguageSide, squash: Callable[[np.ndarray, Any], np.ndarray]) -> LanguageSide:
    """The same, of images that `squash(image, processor)` has made one square first."""

    def make(library: Any, images: Any, tokenizer: Any, config: Any) -> Processor:
        from encoders.extraction.images import pil

        made: Any = side.processor(library, images, tokenizer, config)

        def apply(images: Sequence[Any] | None = None, **given: Any) -> Mapping[str, Any]:
            squares = images and [pil(squash(np.asarray(image), made.image_processor)) for image in images]
            return made(images=squares, **given)

        return apply

    return replace(side, processor=make)


def _internvl(cut: bool) -> Make:
    def make(library: Any, images: Any, tokenizer: Any, config: Any) -> Processor:
        vision = config.vision_config
        side = round(vision.image_size[0] // vision.patch_size[0] * config.downsample_ratio)
        made = library.InternVLProcessor(
            image_processor=images, tokenizer=tokenizer, video_processor=library.InternVLVideoProcessor(),
            image_seq_length=side**2,
        )  # fmt: skip
        return lambda **given: made(crop_to_patches=cut, **given)

    return make


def _gemma(library: Any, images: Any, tokenizer: Any, config: Any) -> Processor:
    return library.Gemma3Processor(images, tokenizer, image_seq_length=config.mm_tokens_per_image)


def _mllama(library: Any, images: Any, tokenizer: Any, _config: Any) -> Processor:
    return library.MllamaProcessor(images, tokenizer)


def _mllama_places(inputs: Mapping[str, Any], config: Any, _sites: Mapping[str, Site]) -> Any:
    """The tokens of an image's own tiles: those that pad it to the most tiles follow behind."""
    import torch

    vision = config.vision_config
    each = (vision.image_size // vision.patch_size) ** 2 + 1
    return torch.arange(int(inputs["aspect_ratio_mask"][0].sum()) * each)


def _molmo2_joined(inputs: Mapping[str, Any], prompts: int) -> Mapping[str, Any]:
    """The windows of each image point at its own patches, which lie behind those of the images before it."""
    import torch

    if "image_token_pooling" not in inputs:
        return inputs
    crops, patches = inputs["pixel_values"].shape[:2]
    index = inputs["image_token_pooling"].unflatten(0, (prompts, -1))
    first = torch.arange(prompts, device=index.device)[:, None, None] * (crops // prompts * patches)
    return {**inputs, "image_token_pooling": torch.where(index < 0, index, index + first).flatten(0, 1)}


def _molmo2_added(model: Any) -> Any:
    """The embedding of the image's positions, to which Molmo 2 adds what the connector gives."""
    return model.get_input_embeddings().weight[model.config.image_token_id]


def _phi4(_library: Any, images: Any, tokenizer: Any, config: Any) -> Processor:
    """As the library's own, which wants a tokenizer that names the image's token; the published one does not."""
    word, read = str(tokenizer.convert_ids_to_tokens(config.vision_config.image_token_id)), images

    def apply(text: Sequence[str], images: Sequence[Any] | None = None, **given: Any) -> Mapping[str, Any]:
        made: dict[str, Any] = {}
        if images is not None:
            made = dict(read(images=list(images), return_tensors=given["return_tensors"]))
            counts = [int(count) for count in made.pop("num_img_tokens")]
            text = [one.replace(PHI4_IMAGE, word * count) for one, count in zip(text, counts, strict=True)]
        return {**tokenizer(text, **given), **made}

    return apply


def _phi4_content(text: str, image: bool) -> str:
    """A turn is one string, in which images are numbered."""
    return (PHI4_IMAGE if image else "") + text


def _phi4_places(inputs: Mapping[str, Any], config: Any, sites: Mapping[str, Site]) -> Any:
    """Positions of the tiles' tokens and of the whole image's; a separator ends each row, and one stands between."""
    import torch

    found = (inputs["input_ids"][0] == config.vision_config.image_token_id).nonzero()[:, 0]
    site = sites["connector"]
    grids = [(int(view.grid[0]), int(view.grid[1])) for view in site.views]
    counts = [rows * (columns + 1) for rows, columns in grids]
    if len(grids) != 2 or len(found) != sum(counts) + 1:
        raise EncoderError(
            f"its processor gives the image {len(found)} positions, separators among them, where the connector has "
            f"{tokens_of(site)} tokens"
        )
    parts = (found[: counts[0]], found[counts[0] + 1 :])
    kept = [part.reshape(rows, columns + 1)[:, :-1] for part, (rows, columns) in zip(parts, grids, strict=True)]
    return torch.cat([part.flatten() for part in kept])


def _in_front(make: Make) -> Make:
    """A processor that sets an image before everything; where there is none the class still wants pixels.

    A blank image then goes through the tower, and no position receives what becomes of it.
    """

    def made(library: Any, images: Any, tokenizer: Any, config: Any) -> Processor:
        import torch

        inner = make(library, images, tokenizer, config)

        def apply(text: Sequence[str], images: Sequence[Any] | None = None, **given: Any) -> Mapping[str, Any]:
            found = dict(inner(text=[one.replace("<image>", "", 1) for one in text], images=images, **given))
            if images is None:
                side = config.vision_config.image_size
                found["pixel_values"] = torch.zeros(len(text), 3, side, side)
            return found

        return apply

    return made


def _blip2(library: Any, images: Any, tokenizer: Any, config: Any) -> Processor:
    return library.Blip2Processor(images, tokenizer, num_query_tokens=config.num_query_tokens)


def _instructblip(library: Any, images: Any, tokenizer: Any, config: Any) -> Processor:
    return library.InstructBlipProcessor(
        images.image, tokenizer, images.tokenizer, num_query_tokens=config.num_query_tokens
    )


def _idefics(library: Any, images: Any, tokenizer: Any, _config: Any) -> Processor:
    """The library's own takes images and texts in turn; it sets the beginning of the sequence, and marks the image."""
    made = library.IdeficsProcessor(images, tokenizer)

    def apply(text: Sequence[str], images: Sequence[Any] | None = None, **given: Any) -> Mapping[str, Any]:
        turns = [[one.replace("<image>", "", 1)] for one in text]
        if images is not None:
            turns = [[image, *turn] for image, turn in zip(images, turns, strict=True)]
        found = dict(made(text=turns, return_tensors=given["return_tensors"]))
        return {**found, "pixel_values": found["pixel_values"][:, 0]}  # one image each, as the tower takes them

    return apply


def _idefics_joined(inputs: Mapping[str, Any], _prompts: int) -> Mapping[str, Any]:
    """The model takes several images of each prompt."""
    return {**inputs, "pixel_values": inputs["pixel_values"][:, None]}


def _idefics_places(_inputs: Mapping[str, Any], _config: Any, sites: Mapping[str, Site]) -> Any:
    import torch

    return torch.arange(sites["connector"].queries)


QWEN2 = LanguageSide(processor=_with_videos("Qwen2VLProcessor", "Qwen2VLVideoProcessor"), placeholder="<|image_pad|>")
QWEN2_5 = replace(QWEN2, processor=_with_videos("Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor"))
QWEN3 = replace(
    QWEN2,
    processor=_with_videos("Qwen3VLProcessor", "Qwen3VLVideoProcessor"),
    note="behind its first blocks the deepstack tokens are added to lm.0, lm.1 and lm.2; an edit leaves them as they are",
)
INTERNVL = LanguageSide(
    processor=_sized("image_size", _internvl(cut=True)), placeholder="<IMG_CONTEXT>", aside=("image_size",)
)
INTERNVL_WHOLE = replace(INTERNVL, processor=_sized("image_size", _internvl(cut=False)))
GEMMA = LanguageSide(processor=_gemma, placeholder="<start_of_image>")
MOLMO2 = LanguageSide(
    processor=_sized("size", _with_videos("Molmo2Processor", "Molmo2VideoProcessor")),
    placeholder="<|image|>",
    aside=("size",),
    join=_molmo2_joined,
    added=_molmo2_added,
    note="the connector's tokens are added to the embedding of the image's positions",
)
PHI4 = LanguageSide(
    processor=_sized("size", _phi4),
    placeholder=PHI4_IMAGE,
    content=_phi4_content,
    places=_phi4_places,
    blocks="model.layers",
    norm="model.norm",
    pixels="image_pixel_values",
    entry="model.embed_tokens_extend",
    receives=None,
    aside=("size",),
    shared="model.embed_tokens_extend.image_embed.get_img_features",
)
MLLAMA = LanguageSide(
    processor=_sized("image_size", _mllama),
    placeholder="<|image|>",
    receives="cross_attention_states",
    places=_mllama_places,
    in_sequence=False,
    note=f"{ACROSS}; words before the image see the tiles that pad it too, which an edit leaves as they are",
    shared="model.vision_model.forward",
    aside=("image_size",),
)
BLIP2 = LanguageSide(
    processor=_in_front(_blip2),
    template=PLAIN,
    template_of=PLAIN_OF,
    entry="language_model",
    blocks="language_model.model.decoder.layers",
    norm="language_model.model.decoder.final_layer_norm",
    shared="get_image_features",
    note="learnt positions are added to the connector's tokens before the first block",
)
INSTRUCTBLIP = replace(
    BLIP2,
    processor=_in_front(_instructblip),
    blocks="language_model.model.layers",
    norm="language_model.model.norm",
    note="asked, its queries read the question in place of that instruction",
)
IDEFICS = LanguageSide(
    processor=_idefics,
    join=_idefics_joined,
    template=PLAIN,
    template_of=PLAIN_OF,
    entry="model.perceiver_resampler",
    receives=None,
    places=_idefics_places,
    blocks="model.layers",
    norm="model.norm",
    in_sequence=False,
    note=ACROSS,
    shared="model.vision_model.forward",
)
