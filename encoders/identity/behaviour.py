"""What an encoder does, as part of who it is: its features of two fixed images, rounded.

Weights that are no parameters or buffers (a plain tensor, a Python list of layers) show in nothing else.
"""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from encoders._base import Encoder
from encoders.identity.fingerprint import digest

FLAT = ((224, 224), (192, 256, 3))  # grey and colour
VOLUMES = ((16, 64, 64), (12, 48, 80))
BITS = 14  # of the largest value at a site


def behaviour(encoder: Encoder) -> str:
    """A digest of the features at every site, of a grey and a colour image or of two volumes.

    They are computed one by one and on one thread, so that equal encoders give equal digests, however busy the
    machine is. An encoder may be unable to read one of the two (a colour image, say), which is its behaviour too.
    Raises what it raises for the first where it can read neither.
    """
    faults: list[Exception] = []
    shown: list[Any] = []
    for k, shape in enumerate(VOLUMES if encoder.card.volumes else FLAT):
        image = _image(shape, k)
        try:
            with _one_thread():
                prepared = encoder.preprocess(image)
                batch = [prepared] if encoder.module is None else _batch(prepared)
                found = encoder.forward(batch, tuple(encoder.card.sites), reduce=lambda _, tokens: _rounded(tokens))
            shown.append({site: found[site] for site in encoder.card.sites})
        except Exception as error:  # whatever a user's code raises
            faults.append(error)
            shown.append(type(error.__cause__ or error).__name__)
    if len(faults) == len(shown):
        raise faults[0]
    return digest(shown)


def _image(shape: tuple[int, ...], k: int) -> np.ndarray:
    """The first is noise, the second smooth: a network may treat the two differently."""
    if not k:
        return np.random.default_rng(k).integers(0, 256, shape, dtype=np.uint8)
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    wave = sum(np.cos(2 * np.pi * (i + 1) * axis + i) for i, axis in enumerate(axes)) / len(shape)
    return np.rint(127.5 + 127.5 * wave).astype(np.uint8)


def _batch(prepared: Any) -> Any:
    from encoders.extraction.encode import collate

    return collate([prepared])


def _rounded(tokens: Any) -> list[Any]:
    """Shape and hash of tokens in units of 2^-14 of the power of two above the largest; NaN and infinity are one."""
    values = tokens if isinstance(tokens, np.ndarray) else tokens.detach().float().cpu().numpy()
    values = values.astype(np.float64)
    finite = np.isfinite(values)
    largest = np.abs(values[finite]).max(initial=0.0)
    exponent = int(np.frexp(largest)[1])
    units = np.rint(np.ldexp(np.where(finite, values, 0.0), BITS - exponent)).astype(np.int32)
    units[~finite] = 2 << BITS
    return [units.shape, exponent, hashlib.sha256(units.tobytes()).hexdigest()]


@contextmanager
def _one_thread() -> Iterator[None]:
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    if torch is None:
        with threadpool_limits(1):
            yield
        return
    threads = torch.get_num_threads()
    try:
        with threadpool_limits(1), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            torch.set_num_threads(1)
            yield
    finally:
        torch.set_num_threads(threads)
