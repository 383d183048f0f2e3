"""How each family's language model receives an image: what stands for it in the prompt, and what the model is given.

The pixels are those that the family's encoder prepares, so that tower, connector and answer see the same. What
stands in the prompt is spelt as the library's processor spells it (transformers 5.23): the mark that a chat template
leaves is replaced by one token for each token of the connector and what separates them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Prepared = Any


@dataclass(frozen=True, kw_only=True)
class Places:
    """How a family's language model receives an image.

    `language` is the path of the module that has the blocks (`layers`) and `norm` is the last norm's name in it.
    `mark(tokenizer, config)` is what a chat template, or we, leave in the text for the image, and
    `spelt(tokenizer, config, prepared)` what takes its place. `token(config)` is the id of the tokens that receive
    the connector's, None where the language model has no place for an image and attends to it across.
    `rows(prepared)` are, in raster order, the numbers among these tokens of those that the connector's site has.
    `images(many)` are the images of a batch as the model takes them, and `aside(ids, tokenizer, config, many)` what
    else it must be told of a batch of ids [b, t].
    `lead(tokenizer)` begins every text, where the template does not begin with it already.
    `before` says that the image stands before everything, the beginning of the text included.
    """

    language: str
    mark: Callable[[Any, Any], str]
    spelt: Callable[[Any, Any, Prepared], str]
    images: Callable[[Sequence[Prepared]], Mapping[str, Any]]
    token: Callable[[Any], int | None] = lambda config: config.image_token_id
    norm: str = "norm"
    rows: Callable[[Any, Prepared], Any] | None = None
    aside: Callable[[Any, Any, Any, Sequence[Prepared] | None], Mapping[str, Any]] = lambda *_: {}
    lead: Callable[[Any], str] = lambda _tokenizer: ""
    before: bool = False


def _word(tokenizer: Any, config: Any) -> str:
    """The token that receives the connector's, as text."""
    return str(tokenizer.convert_ids_to_tokens(config.image_token_id))


def _joined(key: str) -> Callable[[Sequence[Prepared]], Any]:
    def join(many: Sequence[Prepared]) -> Any:
        import torch

        return torch.cat([torch.as_tensor(one[key]) for one in many])

    return join


def _stacked(*keys: str) -> Callable[[Sequence[Prepared]], dict[str, Any]]:
    def stack(many: Sequence[Prepared]) -> dict[str, Any]:
        import torch

        return {key: torch.stack([torch.as_tensor(one[key]) for one in many]) for key in keys}

    return stack


def _tensors(many: Sequence[Prepared]) -> dict[str, Any]:
    import torch

    return {"pixel_values": torch.stack([torch.as_tensor(one) for one in many])}


# Qwen2-VL, Qwen2.5-VL, Qwen3-VL


def _qwen_spelt(tokenizer: Any, config: Any, prepared: Prepared) -> str:
    merge = config.vision_config.spatial_merge_size
    return _word(tokenizer, config) * (int(prepared["image_grid_thw"].prod()) // merge**2)


def _kinds(ids: Any, _tokenizer: Any, config: Any, _many: Any) -> dict[str, Any]:
    """Which tokens are an image's: Qwen's rotary positions and Molmo's mask rest on it."""
    return {"mm_token_type_ids": (ids == config.image_token_id).long()}


QWEN = Places(
    language="model.language_model",
    mark=_word,
    spelt=_qwen_spelt,
    images=lambda many: {"pixel_values": _joined("pixel_values")(many), **_stacked("image_grid_thw")(many)},
    aside=_kinds,
)

# InternVL


def _internvl_spelt(tokenizer: Any, config: Any, prepared: Prepared) -> str:
    vision = config.vision_config
    side = round(vision.image_size[0] // vision.patch_size[0] * config.downsample_ratio)
    return f"<img>{_word(tokenizer, config) * (side**2 * len(prepared['pixel_values']))}</img>"


INTERNVL = Places(
    language="model.language_model",
    mark=_word,
    spelt=_internvl_spelt,
    images=lambda many: {"pixel_values": _joined("pixel_values")(many)},
)

# Gemma 3


def _gemma_mark(tokenizer: Any, config: Any) -> str:
    return str(tokenizer.convert_ids_to_tokens(config.boi_token_index))


def _gemma_spelt(tokenizer: Any, config: Any, _prepared: Prepared) -> str:
    first, last = (tokenizer.convert_ids_to_tokens(i) for i in (config.boi_token_index, config.eoi_token_index))
    return f"\n\n{first}{_word(tokenizer, config) * config.mm_tokens_per_image}{last}\n\n"


GEMMA = Places(
    language="model.language_model",
    mark=_gemma_mark,
    spelt=_gemma_spelt,
    images=_tensors,
    aside=lambda ids, _tokenizer, config, _many: {"token_type_ids": (ids == config.image_token_id).long()},
)

# Phi-4-multimodal: rows end with a separator, and one stands between the tiles and the whole


def _phi_grids(config: Any, prepared: Prepared) -> list[tuple[int, int]]:
    """Rows and columns of the tiles' tokens that are not white, and those of the whole image."""
    import torch

    vision = config.vision_config
    side = vision.crop_size // vision.patch_size
    tall, wide = (int(size) // vision.crop_size for size in prepared["image_sizes"])
    mask = torch.as_tensor(prepared["image_attention_mask"])[1 : tall * wide + 1, ::2, ::2]
    across = mask.reshape(tall, wide, side // 2, side // 2).transpose(1, 2).flatten(2, 3).flatten(0, 1)
    return [(int(across[:, 0].sum()), int(across[0].sum())), (side // 2, side // 2)]


def _phi_spelt(tokenizer: Any, config: Any, prepared: Prepared) -> str:
    count = sum(rows * (columns + 1) for rows, columns in _phi_grids(config, prepared)) + 1
    return str(tokenizer.convert_ids_to_tokens(config.vision_config.image_token_id)) * count


def _phi_rows(config: Any, prepared: Prepared) -> Any:
    import torch

    (rows, columns), (tall, wide) = _phi_grids(config, prepared)
    first = torch.arange(rows * (columns + 1)).reshape(rows, -1)[:, :-1].flatten()
    second = torch.arange(tall * (wide + 1)).reshape(tall, -1)[:, :-1].flatten()
    return torch.cat([first, second + rows * (columns + 1) + 1])


def _phi_images(many: Sequence[Prepared]) -> dict[str, Any]:
    import torch

    most = max(len(one["image_pixel_values"]) for one in many)

    def widened(value: Any) -> Any:
        value = torch.as_tensor(value)
        return torch.cat([value, value.new_zeros(most - len(value), *value.shape[1:])])

    keys = ("image_pixel_values", "image_attention_mask")
    found = {key: torch.stack([widened(one[key]) for one in many]) for key in keys}
    return {**found, **_stacked("image_sizes")(many)}


PHI4 = Places(
    language="model",
    mark=lambda tokenizer, config: str(tokenizer.convert_ids_to_tokens(config.vision_config.image_token_id)),
    spelt=_phi_spelt,
    images=_phi_images,
    token=lambda config: config.vision_config.image_token_id,
    rows=_phi_rows,
)

# Molmo 2: the whole image, then the crops, each row of both ending with a separator

MOLMO = ("<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>",
         "<im_low>")  # fmt: skip


def _molmo_spelt(_tokenizer: Any, _config: Any, prepared: Prepared) -> str:
    tall, wide, rows, columns = (int(count) for count in prepared["image_grids"])
    whole = "<low_res_im_start>" + ("<im_patch>" * wide + "<im_col>") * tall + "<im_end>"
    return whole + "<im_start>" + ("<im_patch>" * columns + "<im_col>") * rows + "<im_end>"


def _molmo_images(many: Sequence[Prepared]) -> dict[str, Any]:
    import torch

    first, indices = 0, []
    for one in many:
        index = torch.as_tensor(one["image_token_pooling"])
        indices.append(torch.where(index < 0, index, index + first))
        first += one["pixel_values"].shape[0] * one["pixel_values"].shape[1]
    return {
        "pixel_values": _joined("pixel_values")(many),
        "image_token_pooling": torch.cat(indices),
        **_stacked("image_grids")(many),
    }


def _molmo_kinds(ids: Any, tokenizer: Any, _config: Any, _many: Any) -> dict[str, Any]:
    import torch

    among = torch.tensor(tokenizer.convert_tokens_to_ids(list(MOLMO)), device=ids.device)
    return {"mm_token_type_ids": torch.isin(ids, among).long()}


MOLMO2 = Places(
    language="model.language_model",
    mark=lambda _tokenizer, _config: "<|image|>",
    spelt=_molmo_spelt,
    images=_molmo_images,
    aside=_molmo_kinds,
    lead=lambda tokenizer: str(tokenizer.bos_token or tokenizer.eos_token),
)

# BLIP-2 and InstructBLIP: the queries stand before everything, the beginning of the text included

BLIP2 = Places(
    language="language_model.model.decoder",
    norm="final_layer_norm",
    mark=_word,
    spelt=lambda tokenizer, config, _prepared: _word(tokenizer, config) * config.num_query_tokens,
    images=_tensors,
    before=True,
)
INSTRUCTBLIP = replace(BLIP2, language="language_model.model", norm="norm")

# Families whose language model attends to the image across: it has no place of its own there


def _mllama_across(ids: Any, _tokenizer: Any, config: Any, many: Sequence[Prepared] | None) -> dict[str, Any]:
    """What is behind the image's mark attends to its tiles; [b, t, 1, tiles]."""
    import torch

    if many is None:
        return {}
    seen = (ids == config.image_token_id).cumsum(1).bool()
    masks = torch.stack([torch.as_tensor(one["aspect_ratio_mask"])[0] for one in many]).to(ids.device)
    return {"cross_attention_mask": (seen[:, :, None, None] & masks[:, None, None, :].bool()).long()}


MLLAMA = Places(
    language="model.language_model",
    mark=_word,
    spelt=lambda tokenizer, config, _prepared: _word(tokenizer, config),
    images=_stacked("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask"),
    token=lambda _config: None,
    aside=_mllama_across,
)


def _idefics_across(ids: Any, tokenizer: Any, config: Any, many: Sequence[Prepared] | None) -> dict[str, Any]:
    import torch

    image = tokenizer.convert_tokens_to_ids("<image>")
    seen = (ids == image).cumsum(1).bool()[..., None].long()
    if many is None:  # it must be given an image, which nothing attends to
        size, three = config.vision_config.image_size, config.vision_config.num_channels
        blank = torch.zeros(len(ids), 1, three, size, size, device=ids.device)
        return {"image_attention_mask": seen, "pixel_values": blank}
    return {"image_attention_mask": seen}


IDEFICS = Places(
    language="model",
    mark=lambda _tokenizer, _config: "<image>",
    spelt=lambda *_: "<fake_token_around_image><image><fake_token_around_image>",
    images=lambda many: {"pixel_values": _tensors(many)["pixel_values"][:, None]},
    token=lambda _config: None,
    aside=_idefics_across,
    lead=lambda tokenizer: str(tokenizer.bos_token),
)
