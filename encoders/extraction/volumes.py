"""Volumes: which arrays they are, and which encoders read them."""

import numpy as np

from encoders._base import EncoderError


def is_volume(image: np.ndarray) -> bool:
    """Whether an array is [d, h, w]: [h, w, 3] is a colour image, so that no volume is three pixels wide."""
    return image.ndim == 3 and image.shape[2] != 3


def flat_only(name: str, shape: tuple[int, ...] | None = None) -> EncoderError:
    """The error of an encoder that is asked about volumes and reads flat images, with those that would do."""
    from encoders._registry import checkpoints

    known = [n for n, c in checkpoints().items() if c.card.volumes and c.untrained is not None]
    volume = f"a volume {shape}" if shape else "volumes"
    return EncoderError(
        f"{name} reads one image at a time, not {volume}: give slices as items (leave --volumes out), or use an "
        f"encoder of volumes ({', '.join(known)}, or a file of your own whose CARD says volumes=True)"
    )
