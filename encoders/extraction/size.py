"""Encoders for images of another size than their own: which can be had so, and what a size must be."""

from dataclasses import replace

from encoders._base import Card, Encoder, EncoderError

MOST = 4096  # pixels; a transformer of patches of 16 has 65 536 tokens there
KNOWN = (
    "transformers and convolutional networks of timm, open_clip's transformers, CLIP, SigLIP, DINOv2, DINOv3 and ViT "
    "of the transformers library, and a file of your own whose load(device, image_size=None) takes one"
)


def require_size(spec: str, card: Card, side: int) -> None:
    """Refuse a size that no encoder has, and one that the card of a registered name says it cannot have.

    `spec` is what was asked and `card` its card, from which nothing is known of an encoder that is not registered.
    Raises EncoderError in one line.
    """
    if not 1 <= side <= MOST:
        raise EncoderError(f"{spec}: --image-size {side}: it is a number of pixels from 1 to {MOST}")
    if not card.sites or card.any_size or _is_own(card, side):
        return
    if not card.parameters:
        raise EncoderError(
            f"{spec}: it is a control, made of the image as it is, and has no size for --image-size {side}"
        )
    raise of_one_size(spec, side)


def of_one_size(name: str, side: int) -> EncoderError:
    """The error of an encoder that no other size can be asked of, with those that could be."""
    return EncoderError(
        f"{name}: --image-size {side} cannot be had: it reads images at the size that it was made for, or cuts them "
        f"into tiles; other sizes are read by {KNOWN}"
    )


def at_size(encoder: Encoder, side: int) -> Encoder:
    """The encoder for images of side x side pixels: itself where that is its size.

    Its card is as it was but for input, sites and the count of parameters, in which positions are.
    Raises EncoderError where it has no other size, or not this one.
    """
    if _is_own(encoder.card, side):
        return encoder
    if encoder.at_size is None:
        raise of_one_size(encoder.card.name, side)
    try:
        made = encoder.at_size(side)
    except (AssertionError, RuntimeError, ValueError) as error:  # of a library's layer that holds the size
        first = " ".join(str(error).split())[:200]
        raise EncoderError(f"{encoder.card.name}: --image-size {side} does not pass its network ({first})") from error
    known = made.card
    card = replace(encoder.card, sites=known.sites, input=known.input, parameters=known.parameters)
    return replace(made, card=card, files=encoder.files)


def whole_patches(name: str, side: int, patch: int) -> None:
    """Refuse a side in pixels that is no whole number of patches, with the nearest that are."""
    if side % patch:
        below = side // patch * patch
        near = f"{below} or {below + patch}" if below else str(patch)
        raise EncoderError(f"{name}: --image-size {side} is no multiple of its patch of {patch} pixels; give {near}")


def _is_own(card: Card, side: int) -> bool:
    return card.input is not None and card.input.size == (side, side)
