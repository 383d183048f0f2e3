"""What a card says, held against what was loaded: weights of another network must not go by a published name."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, Input, Site
from encoders.identity.fingerprint import file_digest

SHOWN = 4  # differences that a line names


def differences(
    published: Card, encoder: Encoder, both_towers: int | None = None, *, untrained: bool = False
) -> list[str]:
    """What of an encoder is not as its published card says, each as "field: it says so, found is so".

    Held against each other are the sites (how many blocks, how wide, on which grid of tokens), the parameters of the
    image side, whether there is a text tower, the parameters of `both_towers` where these are known, and the size and
    normalisation of the images.
    """
    found = encoder.card
    pairs: list[tuple[str, Any, Any]] = []
    said, made = _blocks(published.sites), _blocks(found.sites)
    for family in dict.fromkeys([*said, *made]):
        pairs.append((family, said.get(family, "none"), made.get(family, "none")))
    if published.parameters is not None:
        pairs.append(("parameters of the image side", f"{published.parameters:,}", f"{found.parameters or 0:,}"))
    if not untrained:  # which is the image side alone
        pairs.append(("text tower", "yes" if published.text else "no", "yes" if found.text else "no"))
    if both_towers is not None and found.text:
        counted = sum(value.numel() for value in encoder.module.parameters())
        pairs.append(("parameters of both towers", f"{both_towers:,}", f"{counted:,}"))
    if published.input is not None and found.input is not None:
        pairs += _of_images(published.input, found.input)
    return [f"{what}: the card says {a}, found is {b}" for what, a, b in pairs if a != b]


def _blocks(sites: Mapping[str, Site]) -> dict[str, str]:
    """Sites by family (`block`, `stage`, `final` …): how many, and how each kind of them is."""
    families: dict[str, list[str]] = {}
    for name, site in sites.items():
        families.setdefault(name.partition(".")[0], []).append(_described(site))
    return {
        family: ", ".join(f"{count} x {how}" if count > 1 else how for how, count in Counter(each).items())
        for family, each in families.items()
    }


def _described(site: Site) -> str:
    grid = f" on {' x '.join(map(str, site.grid))}" if site.grid else ""
    queries = f" of {site.queries} queries" if site.queries else ""
    prefix = f" behind {site.prefix} prefix token{'s' * (site.prefix > 1)}" if site.prefix else ""
    views = f" in {len(site.views)} views" if site.views else ""
    return f"width {site.width}{grid}{prefix}{queries}{views}"


def _of_images(said: Input, found: Input) -> list[tuple[str, str, str]]:
    def sized(spec: Input) -> str:
        return f"{spec.size[0]} x {spec.size[1]}"

    def normed(values: tuple[float, ...]) -> str:
        return ", ".join(f"{value:.3f}" for value in values)

    return [
        ("size of the images in pixels", sized(said), sized(found)),
        ("mean of the images", normed(said.mean), normed(found.mean)),
        ("deviation of the images", normed(said.std), normed(found.std)),
    ]


def refusal(name: str, found: list[str], published: Card, where: str) -> str:
    """The line that refuses what goes by a name and is another network."""
    more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
    doubt = f"; of this card not verified: {published.unverified}" if published.unverified else ""
    return (
        f"{name}: {where} is not the network of that name: {'; '.join(found[:SHOWN])}{more}; name the encoder that it "
        f"is, give it as hf:REPO@REV, timm:MODEL or a file of your own, or pass --other-weights (other_weights=True): "
        f"it is then shown everywhere as {name} (other weights){doubt}"
    )


def as_other(encoder: Encoder, found: list[str]) -> Encoder:
    """The encoder as one with other weights: what its card says of its own weights alone is not claimed for these."""
    own = encoder.card.note and f"; of the card's own weights: {encoder.card.note}"
    note = "other weights than those of the card" + (f" ({'; '.join(found)})" if found else "") + own
    card = replace(
        encoder.card, other_weights=True, licence="unknown", gated=False, bytes=None, bytes_whole=None, note=note,
        unverified="", synthetic=False,
    )  # fmt: skip
    return replace(encoder, card=card)


def with_origin(encoder: Encoder) -> Encoder:
    """The encoder, said to be trained on synthetic images alone where its weights are of a phantom-… of this project.

    Whatever name these are loaded by.
    """
    from encoders.phantom_clip import FOLDER

    shipped = [path for path in FOLDER.parent.glob("phantom-*/*model*") if path.suffix in (".safetensors", ".bin")]
    sizes = {path.stat().st_size: path for path in shipped}
    for file in encoder.files:
        twin = sizes.get(_size(file))
        if twin is not None and file_digest(twin) == file_digest(file):
            return replace(encoder, card=replace(encoder.card, synthetic=True))
    return encoder


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
