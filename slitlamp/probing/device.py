"""On which device the probe's linear algebra is computed, cell by cell."""

from probes.solvers.algebra import HOST, TORCH_ON_HOST, DeviceError, of
from slitlamp.encoding.encoder import resolve_device
from slitlamp.errors import UsageError
from slitlamp.log import say

AUTO = "auto"
# Numbers of a cell's features from which `auto` takes a GPU: 5,200 items x 768. Below it a cell takes a core less time
# than a worker takes to import torch and to open the device. It is no measurement of a GPU.
WORTH = 4_000_000


def begin_on_device(asked: str) -> None:
    """Say where the probe computes, where that may be another device than the processor.

    Raises:
        UsageError: a device that is asked for by name cannot be used, which is said before anything is computed.
    """
    if asked not in (AUTO, HOST, TORCH_ON_HOST):
        try:
            of(asked)
        except DeviceError as error:
            raise UsageError(str(error)) from None
    if told := said_of_probe_device(asked):
        say(told)


def probe_device(asked: str, items: int, width: int) -> str:
    """The device for features [items, width]; one that is asked for by name is never replaced."""
    if asked != AUTO:
        return asked
    if items * width < WORTH:
        return HOST
    found = resolve_device(AUTO)
    return found if found.startswith("cuda") else HOST


def said_of_probe_device(asked: str) -> str:
    """A sentence on where the probe computes, empty where that is the processor."""
    if asked != AUTO:
        return "" if asked == HOST else f"the probe's linear algebra is computed on {asked}, in float64"
    found = resolve_device(AUTO)
    if not found.startswith("cuda"):
        return ""
    return (
        f"the probe's linear algebra is computed on {found}, in float64, where features hold {WORTH:,} numbers or "
        "more; --probe-device cpu keeps it here"
    )
