"""Weights of registered encoders: the pinned snapshot on the hub, or the folder or file given with --weights."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from encoders._base import Card, EncoderError
from hub.files import FORMS, IMAGES, Needed, lacking
from hub.snapshots import snapshot
from hub.wanted import Wanted

WEIGHTS = FORMS
NEEDED: tuple[Needed, ...] = ("config.json", IMAGES)
OTHERS = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "spiece.model")
FLOAT32 = 4  # bytes


def source(
    card: Card, files: Sequence[str] = WEIGHTS, needed: Sequence[Needed] = NEEDED, others: Sequence[str] = OTHERS
) -> tuple[Wanted, ...]:
    """What `weights_folder` reads of the card's repository."""
    assert card.repo is not None
    beside = {"needed": tuple(needed), "others": tuple(others)}
    return (Wanted(repo=card.repo, revision=card.revision, weights=tuple(files), **beside),)


def weights_folder(
    card: Card,
    weights: Path | None,
    offline: bool,
    *,
    files: Sequence[str] = WEIGHTS,
    needed: Sequence[Needed] = NEEDED,
    others: Sequence[str] = OTHERS,
) -> tuple[Card, Path]:
    """The folder to load and the card with the commit it holds; a local folder has no commit.

    The first of `files` that is there holds the weights, beside the files `needed` and what matches `others`.
    """
    assert card.repo is not None
    wanted = ", ".join([*lacking(lambda _: False, needed), " or ".join(files)])
    if weights is None:
        folder, commit = snapshot(
            card.repo, card.revision, weights=files, needed=needed, others=others, offline=offline
        )
        return replace(card, revision=commit), folder
    if not weights.is_dir():
        raise EncoderError(
            f"{card.name}: --weights {weights} is not a folder; give one with {wanted}, "
            f"as `hf download {card.repo}` makes it"
        )
    if absent := lacking(lambda name: (weights / name).exists(), needed):
        raise EncoderError(f"{card.name}: --weights {weights} has no {absent[0]}")
    if not any((weights / name).exists() for name in files):
        raise EncoderError(f"{card.name}: --weights {weights} has none of {', '.join(files)}")
    return replace(card, repo=None, revision=None), weights


def weights_file(
    card: Card, weights: Path | None, offline: bool, *, files: Sequence[str], states: Sequence[str] = ()
) -> tuple[Card, Path]:
    """The one weight file of a checkpoint that needs nothing beside it, and the card with its commit.

    `weights` may be the file itself, or the folder where one of `files` lies. `states` are the keys under which the
    reader looks for the tensors, where they are not the usual ones.
    """
    from hub.choices import which_state
    from hub.torch_files import WRAPPED

    if weights is not None and weights.is_file():
        card, file = replace(card, repo=None, revision=None), weights
    else:
        card, folder = weights_folder(card, weights, offline, files=files, needed=(), others=())
        file = next(folder / name for name in files if (folder / name).exists())
    return replace(card, read=which_state(file, states or WRAPPED)), file
