"""What of the hub an encoder is made of, by the spec that names it: what `experiments.fetch` brings."""

from encoders._base import Card, EncoderError
from encoders._loading import as_encoder_error, model_type_of, tower_of
from encoders._registry import draw_of, find, split
from hub.wanted import Wanted


def sources(spec: str, *, whole: bool = False) -> tuple[Wanted, ...]:
    """The repositories and files that `spec` is loaded from; with `whole` those of its language model too.

    Of `hf:` the repository's configuration is read, from the hub where it is not on this machine. Raises UnknownName
    for a name that nothing holds, EncoderError where there is nothing to bring.
    """
    kind, rest = split(spec)
    if kind == "random":
        inner = draw_of(rest)[0]
        raise EncoderError(f"{spec} is untrained and needs no weights; {inner} is what can be fetched")
    if kind == "file":
        raise EncoderError(f"{spec} reads its own weights; carry the file and what it reads")
    with as_encoder_error(spec, None):
        if kind == "name":
            return _of_name(rest, whole)
        if whole and kind != "hf":
            raise EncoderError(f"{spec} has no language model; leave --whole out")
        if kind == "timm":
            from encoders.libraries.timm.load import source as of_timm

            return (of_timm(spec, rest),)
        if kind == "open_clip":
            from encoders.libraries.open_clip.load import source as of_open_clip

            return (of_open_clip(Card(name=spec), rest),)
        return (_of_repository(rest, whole),)


def _of_name(name: str, whole: bool) -> tuple[Wanted, ...]:
    checkpoint = find(name)
    if whole and checkpoint.whole is None:
        raise EncoderError(f"{name} has no language model that is read here; leave --whole out")
    found = checkpoint.sources_whole if whole else checkpoint.sources
    if not found:
        why = checkpoint.card.note if checkpoint.untrained and checkpoint.card.parameters else ""
        shipped = checkpoint.card.repo is None and not why
        raise EncoderError(
            f"{name} ships with the project, or is a formula: there is nothing to fetch"
            if shipped or name.startswith("phantom-")
            else f"{name} lies in no repository that can be pinned: {why}"
        )
    return found


def _of_repository(rest: str, whole: bool) -> Wanted:
    from encoders.libraries.open_clip.files import CONFIG
    from encoders.multimodal.checkpoint import sources_of
    from hub.snapshots import parse_repository, snapshot

    repo, revision = parse_repository(rest)
    folder, revision = snapshot(repo, revision, weights=(CONFIG, "config.json"), needed=(), offline=False)
    model_type = None if (folder / CONFIG).is_file() else model_type_of(folder / "config.json")
    image, every = sources_of(repo, revision, model_type) if model_type else (tower_of(repo, revision, folder), None)
    if not whole:
        return image
    if every is None:
        raise EncoderError(f"hf:{rest} has no language model that is read here; leave --whole out")
    return every
