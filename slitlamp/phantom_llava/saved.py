"""Write and read a phantom-llava: one file for tower, connector, blocks and head, so that variants share what is equal.

The index of a variant names the files of another folder beside it for the parts in which the two do not differ.
"""

import tempfile
from pathlib import Path
from typing import Any

from cache import write_atomically
from slitlamp.phantom_llava.network import PATCH, SIDE
from slitlamp.phantom_llava.words import save
from slitlamp.records import as_json

INDEX = "model.safetensors.index.json"
PARTS = {"vision_tower": "tower", "multi_modal_projector": "connector", "lm_head": "head", "language_model": "language"}


def part_of(name: str) -> str:
    """The part that a tensor belongs to, by its name on disk.

    >>> part_of("language_model.lm_head.weight"), part_of("vision_tower.vision_model.post_layernorm.bias")
    ('head', 'tower')
    """
    return next(part for word, part in PARTS.items() if word in name)


def write(model: Any, words: Any, folder: Path, *beside: Path, exact: tuple[str, ...] = ()) -> None:
    """Write a model in the library's layout, in float16 but for the parts `exact`, with its words.

    A part that equals that of a checkpoint `beside` it is not written again. The model itself is rounded as written.
    """
    import torch
    from safetensors.torch import load_file, save_file

    with torch.no_grad():
        for name, value in model.state_dict().items():
            if part_of(name) not in exact:
                value.copy_(value.half().float())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place, safe_serialization=True)
        state = load_file(Path(place) / "model.safetensors")
        for name in ("config.json", "generation_config.json"):
            write_atomically(folder / name, (Path(place) / name).read_bytes())
    placed: dict[str, str] = {}
    for part in sorted(set(PARTS.values())):
        own = {k: v if part in exact else v.half() for k, v in state.items() if part_of(k) == part}
        file = f"model-{part}.safetensors"
        for other in beside:
            held = load_file(other / file) if (other / file).is_file() else {}
            if held.keys() == own.keys() and all(held[k].dtype == v.dtype and held[k].equal(v) for k, v in own.items()):
                placed |= dict.fromkeys(own, f"../{other.name}/{file}")
                break
        else:
            save_file({k: v.contiguous() for k, v in own.items()}, folder / file, metadata={"format": "pt"})
            placed |= dict.fromkeys(own, file)
    size = sum(v.numel() * 2 for v in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(placed.items()))}
    write_atomically(folder / INDEX, as_json(index))
    save(words, PATCH, SIDE, folder)


def read(folder: Path) -> tuple[Any, Any]:
    """Model in float32 and tokenizer, as the library loads them."""
    import torch
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def described(folder: Path, card: dict[str, Any]) -> None:
    """Write what the card says of a model: card.json."""
    write_atomically(folder / "card.json", as_json(card))
