"""How phantom-llava is trained, and which faults can be planted in it: what is known before anything is loaded."""

from dataclasses import dataclass

HEALTHY = "phantom-llava"
FAULTS = (
    "blind", "null", "blind-contrast", "null-contrast", "letter", "skewed", "ignoring", "constant", "biased",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Training:
    """How phantom-llava is trained: phantoms of each task, optimiser steps of each stage, seed.

    Stages: reading one format (at most), reading all of them, aligning the connector, answering about images.
    `tested` phantoms of each task, of other seeds, are asked for the card. `log` prints the loss every so many steps.
    """

    images: int = 4000
    first: int = 300
    reading: int = 200
    aligning: int = 2000
    answering: int = 300
    tested: int = 400
    seed: int = 0
    log: int = 0
