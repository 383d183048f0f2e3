"""The files of a whole model: configuration, every tensor, tokenizer and chat template, from one commit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, EncoderError
from encoders._weights import OTHERS
from encoders.multimodal.kind import FILES, UNSAVED, ModelType
from encoders.multimodal.load import folder_of
from hub.errors import HubError
from hub.files import FORMS, shard_names, shards_of

TEMPLATES = ("chat_template.jinja", "chat_template.json")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")
Keep = Callable[[str], bool]


def every(name: str) -> bool:
    """Whether a tensor of that name is read: all are but what is computed and not learnt."""
    return not UNSAVED.search(name)


def sources(
    card: Card, model_type: ModelType, weights: Path | None, offline: bool, shipped: Path | None = None
) -> tuple[Card, list[tuple[Path, Keep]]]:
    """The card with its commit, and the folder where all of a model's tensors lie.

    Raises:
        HubError: a repository or file that cannot be had; EncoderError: a folder that is no snapshot.
    """
    if weights is not None:
        return replace(card, repo=None, revision=None), [(folder_of(card, model_type, weights), every)]
    if shipped is not None:
        return card, [(folder_of(card, model_type, shipped), every)]
    folder, commit = fetch(card, model_type, offline)
    return replace(card, revision=commit), [(folder, every)]


def fetch(card: Card, model_type: ModelType, offline: bool) -> tuple[Path, str]:
    """The snapshot of a whole repository: nothing is asked of the network where all of it is here."""
    from hub.repository import Repository
    from hub.repository import folder_of as local
    from hub.snapshots import download, listing, require_online

    assert card.repo is not None
    repository = Repository(repo=card.repo, revision=card.revision)
    folder = local(repository)
    state = "is not on this machine"
    if folder is not None:
        lacking = lacking_of(folder, model_type)
        if not lacking:
            return folder, folder.name
        state = f"is on this machine only in part (wanting: {', '.join(lacking[:3])})"
    require_online(repository, offline=offline, state=state)
    held = listing(repository)
    form = next((name for name in FORMS if name in held), None)
    if form is None:
        raise HubError(
            f"{repository} holds none of {', '.join(FORMS)}; name a revision that does, or pass --weights PATH"
        )
    folder, commit = download(repository, [*model_type.needed, *texts(model_type), form])
    if form.endswith(".json"):
        download(replace(repository, revision=commit), shard_names(folder / form))
    return folder, commit


def texts(model_type: ModelType) -> tuple[str, ...]:
    """Patterns of the files beside the weights of a whole model: tokenizer, template, image processor."""
    more = ("added_tokens.json", *FILES, "qformer_tokenizer/*", "vision-lora/adapter_config.json")
    return tuple(dict.fromkeys((*model_type.others, *OTHERS, *TEMPLATES, *more)))


def lacking_of(folder: Path, model_type: ModelType) -> list[str]:
    """What of a whole model is not in a folder: files by name."""
    lacking = [name for name in model_type.needed if not (folder / name).exists()]
    if not any((folder / name).is_file() for name in TOKENIZERS):
        lacking.append(TOKENIZERS[0])
    form = next((name for name in FORMS if (folder / name).is_file()), None)
    if form is None:
        return [*lacking, FORMS[0]]
    shards = sorted(set(shards_of(folder / form).values())) if form.endswith(".json") else []
    return [*lacking, *(name for name in shards if not (folder / name).is_file())]


def texts_of(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that say how a text becomes tokens, and a question a prompt."""
    named = {path for pattern in (*OTHERS, *TEMPLATES, "added_tokens.json") for path in folder.glob(pattern)}
    return tuple(sorted(path for path in named if path.is_file()))


def tokenizer_of(who: str, folder: Path) -> Any:
    """The tokenizer of a folder; EncoderError where it has none."""
    import transformers

    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise EncoderError(
            f"{who}: {folder} has no tokenizer ({', '.join(TOKENIZERS)}), without which a language model cannot be "
            "asked; give a snapshot of the whole repository"
        )
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
