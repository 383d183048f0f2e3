"""What a whole model needs of memory, told before a tensor is read, and what there is."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders._base import Card, EncoderError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
POSITIONS = 4096  # of all prompts of a batch together, and of the pass that is counted
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a whole model takes in bytes: its weights, and one pass over a long prompt."""

    parameters: int
    weights: int
    working: int

    @property
    def all(self) -> int:
        """Both together."""
        return self.weights + self.working


def needed(build: Any, config: Any, dtype: str) -> Need:
    """What the model that `build(config)` makes will need; it is built without memory.

    A pass is counted as twelve hidden states and three inner ones of the widest layer at 4096 positions,
    with keys and values of every layer, and the logits of one position in float64.
    """
    import copy

    from encoders.identity.architecture import without_memory

    with without_memory():
        model = build(copy.deepcopy(config))
    parameters = sum(value.numel() for value in model.parameters())
    text = config.get_text_config(decoder=True)
    hidden, inner = text.hidden_size, getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    heads = text.num_attention_heads
    shared = (getattr(text, "num_key_value_heads", None) or heads) / heads
    cached = 2 * text.num_hidden_layers * hidden * shared
    numbers = POSITIONS * (12 * hidden + 3 * inner + cached)
    return Need(
        parameters=parameters,
        weights=parameters * BYTES[dtype],
        working=int(numbers * BYTES[dtype]) + 8 * int(text.vocab_size),
    )


def available(device: str) -> int | None:
    """Bytes that may still be taken on a device, None where the system does not say."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    found = [bytes_free for bytes_free in (of_linux(), of_container()) if bytes_free is not None]
    return min(found) if found else None


def of_linux(path: Path = Path("/proc/meminfo")) -> int | None:
    """What Linux says that a new process can take."""
    if not path.is_file():
        return None
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def of_container(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container may still take: its limit less what it holds, pages of files not counted."""
    limit, held, stat = folder / "memory.max", folder / "memory.current", folder / "memory.stat"
    if sys.platform != "linux" or not all(path.is_file() for path in (limit, held, stat)):
        return None
    told = limit.read_text(encoding="ascii").strip()
    if told == "max":
        return None
    pages = dict(line.split() for line in stat.read_text(encoding="ascii").splitlines())
    return int(told) - int(held.read_text(encoding="ascii")) + int(pages.get("file", 0))


def require_memory(card: Card, need: Need, dtype: str, device: str) -> None:
    """Refuse, in one line, a model that does not fit; it says which of its stages do.

    Raises:
        EncoderError: less is free than weights and one pass need.
    """
    free = available(device)
    if free is None or need.all <= free:
        return
    side = (card.parameters or 0) * BYTES["float32"]
    if side and 2 * side <= free:
        rest = f"tower and connector fit ({side / GB:.1f} GB): ask for the stages up to the connector alone"
    else:
        rest = "not even tower and connector fit" if side else "try the stages up to the connector alone"
    half = need.all // 2
    lower = "; in bfloat16 it would fit (--dtype bfloat16)" if dtype == "float32" and half <= free else ""
    where = "on " + device if device != "cpu" else "of memory"
    raise EncoderError(
        f"{card.name}: the whole model needs {need.all / GB:.1f} GB in {dtype} ({need.parameters / 1e6:,.0f} million "
        f"parameters, {need.weights / GB:.1f} GB, and {need.working / GB:.1f} GB for a pass) and {free / GB:.1f} GB "
        f"{where} are free; {rest}{lower}"
    )
