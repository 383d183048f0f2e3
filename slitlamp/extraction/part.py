"""Which part of the images this process encodes: the rank that torchrun gave it, the shard that a flag names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from slitlamp.ablation.settings import shard_of
from slitlamp.errors import UsageError

BLOCK = 16  # images next to one another that go to one part: copies of one image are decoded by one process


@dataclass(frozen=True, kw_only=True)
class Part:
    """Part `index` of `of`; `rank` of `world` is what torchrun calls this process, on the device number `local`.

    `run` names the start of all ranks, `attempt` counts the restarts after one of them died.
    """

    index: int = 0
    of: int = 1
    rank: int = 0
    world: int = 1
    local: int = 0
    run: str = ""
    attempt: str = ""

    def places(self, total: int) -> list[int]:
        """The places of the images of this part, of so many: blocks are dealt out in turn, whatever is known of them.

        >>> Part(index=1, of=2).places(40) == [*range(16, 32)]
        True
        >>> sorted(Part(index=0, of=3).places(6) + Part(index=1, of=3).places(6) + Part(index=2, of=3).places(6))
        [0, 1, 2, 3, 4, 5]
        """
        block = max(1, min(BLOCK, total // self.of))
        return [i for i in range(total) if i // block % self.of == self.index]


def part_of(shard: str, environ: Mapping[str, str] = os.environ) -> Part:
    """The part that --shard and torchrun's variables name; all of it where there are none.

    Raises:
        UsageError: variables of torchrun that do not belong together.
    """
    k, n = shard_of(shard) or (1, 1)
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    given = [name for name in names if name in environ]
    if not given:
        return Part(index=k - 1, of=n)
    lacking = [name for name in names if name not in environ]
    if lacking:
        raise UsageError(
            f"{given[0]} is set and {lacking[0]} is not: torchrun sets all of {', '.join(names)}; unset {given[0]}, or "
            "start with torchrun"
        )
    values = []
    for name in names:
        if not environ[name].isascii() or not environ[name].isdecimal():
            raise UsageError(f"{name}={environ[name]!r} is no whole number; torchrun sets it")
        values.append(int(environ[name]))
    rank, world, local = values
    if rank >= world:
        raise UsageError(f"RANK={rank} and WORLD_SIZE={world}: ranks count from 0 and are fewer than WORLD_SIZE")
    names_of_run = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")
    return Part(
        index=(k - 1) * world + rank, of=n * world, rank=rank, world=world, local=local,
        run=" ".join(environ.get(name, "") for name in names_of_run),
        attempt=environ.get("TORCHELASTIC_RESTART_COUNT", ""),
    )  # fmt: skip


def device_of(device: str, part: Part) -> str:
    """The device of a rank: each takes the CUDA device of its own number where CUDA is asked for, or found.

    Raises:
        UsageError: a machine with fewer CUDA devices than ranks.
    """
    if part.world == 1 or device not in ("auto", "cuda"):
        return device
    from slitlamp.encoding.encoder import resolve_device

    if resolve_device(device) != "cuda":
        return device
    import torch

    count = torch.cuda.device_count()
    if part.local >= count:
        raise UsageError(
            f"rank {part.rank} is number {part.local} on its machine, which has {count} CUDA devices: start "
            f"--nproc-per-node {count}, or say --device"
        )
    return f"cuda:{part.local}"
