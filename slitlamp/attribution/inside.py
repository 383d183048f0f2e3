"""The inside of an encoder as methods of attribution ask for it: layers of tokens, and the attention of blocks."""

from dataclasses import fields
from typing import TYPE_CHECKING

from encoders import Encoder, EncoderError
from probes import attribution
from probes.attribution import Attention, Layer

if TYPE_CHECKING:
    import torch


def layers(encoder: Encoder, site: str) -> tuple[Layer, ...]:
    """The layers of tokens up to the last that a site reads, first to last: blocks, or stages of maps.

    None where an encoder cuts images into tiles or windows, or computes without torch. Learnt in two passes over an
    image of noise. Raises EncoderError for a site that the encoder does not have.
    """
    from encoders.attention.reading import layers

    names = [field.name for field in fields(Layer)]
    return tuple(Layer(**{name: getattr(one, name) for name in names}) for one in layers(encoder, site))


def attention_of(encoder: Encoder, site: str, readout: str) -> Attention:
    """The attention of the blocks up to the last that a readout reads, to be watched.

    Raises EncoderError, in one line that names the methods which need none, where there is no one attention over all
    tokens: convolutional networks, windows, tiles, and readouts of several blocks or pooling heads.
    """
    from encoders.attention.watch import attention

    try:
        found = attention(encoder, site, readout)
    except EncoderError as error:
        if encoder.module is None or encoder.layout is not None:
            others = "`experiments.pairs explain` leaves regions out of the images of any encoder"
        else:
            others = f"{', '.join(without_attention(bool(layers(encoder, site))))} need none"
        raise EncoderError(f"{error}; {others}") from None
    return Attention(**{field.name: getattr(found, field.name) for field in fields(Attention)})


def without_attention(layered: bool) -> tuple[str, ...]:
    """The methods that explain a subject without attention, with or without layers of tokens on a grid."""
    import torch

    def score(batch: "torch.Tensor", rows: "torch.Tensor") -> "torch.Tensor":
        raise NotImplementedError  # nothing is explained here: a method is asked what it lacks

    none = torch.zeros(0, 3, 1, 1)
    one = Layer(name="any", module=torch.nn.Identity(), tokens=lambda out: out, prefix=0, grid=(1, 1))
    subject = attribution.Subject(
        name="any", images=none, blurred=none, score=score, layers=(one,) if layered else (), absent="no attention"
    )
    return tuple(name for name in attribution.names() if not attribution.load(name).lacks(subject))
