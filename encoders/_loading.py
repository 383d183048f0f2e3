"""Loading of encoders: the loader that a spec names, the random state of an untrained one, the precision."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, EncoderError
from encoders._registry import card as card_of
from encoders._registry import checkpoints, draw_of, find, split
from encoders.extraction.own_features import require_finite, require_own_features
from encoders.extraction.size import at_size, of_one_size, require_size
from encoders.identity.published import as_other, differences, refusal, with_origin
from encoders.libraries.floors import require_floors
from hub.contents import require_no_delta, require_whole
from hub.errors import OFFLINE, HubError, UnreachedError, one_line
from hub.files import IMAGES, Needed, images_said, settings
from hub.given import given
from hub.wanted import Wanted
from plugins import UnknownName

DTYPES = ("float32", "bfloat16", "float16")


def load(
    spec: str,
    *,
    device: str,
    dtype: str,
    weights: Path | None,
    offline: bool,
    other_weights: bool = False,
    image_size: int | None = None,
    compile: bool = False,  # noqa: A002  the flag's name
) -> Encoder:
    """The encoder that `spec` names; see `encoders.load`."""
    require_dtype(dtype, device)
    kind, rest = split(spec)
    if kind == "name":
        find(rest)  # an unknown name is said before anything heavy is imported
    if image_size is not None:
        require_size(spec, card_of(spec), image_size)
    require_device(device)
    if not _file(spec):  # a user's own file may rest on another version
        require_floors(spec)
    with as_encoder_error(spec, weights):
        build = _untrained if kind == "random" else _trained
        if weights is not None and (weights.exists() or weights.is_symlink()):
            weights = given(spec, weights)
            require_whole(spec, weights)
        made = build(spec, device, weights, offline, image_size)
    made = with_origin(held(spec, made, weights, other_weights))
    if image_size is not None and not _file(spec):  # held against its card before, at its own size
        made = at_size(made, image_size)
    made = replace(made, at_size=None)
    require_finite(made)
    require_own_features(made)
    if dtype != "float32":
        from encoders.extraction.precision import lowered

        made = lowered(made, dtype)
    if compile:
        from encoders.extraction.compiled import compiled

        made = compiled(made)
    return made


@contextmanager
def as_encoder_error(spec: str, weights: Path | None, *, whole: bool = False) -> Iterator[None]:
    """Inside, what the hub refuses and what of `weights` cannot be read is an EncoderError of one line."""
    try:
        yield
    except EncoderError:
        raise
    except UnreachedError as error:
        if _file(spec):  # it fetches what it likes
            raise EncoderError(str(error)) from error
        name = draw_of(spec.removeprefix("random:"))[0] + " --whole" * whole
        raise EncoderError(
            f"{error.what}: where the hub can be reached run `python -m experiments.fetch {name} --out DIR`, and pass "
            f"its folder here with --weights (or the one that `{error.by_hand}` makes); {OFFLINE}"
        ) from error
    except HubError as error:
        raise EncoderError(str(error)) from error
    except OSError as error:
        if weights is None:
            raise
        raise EncoderError(f"{spec}: --weights {weights} cannot be read ({error})") from error


def require_dtype(dtype: str, device: str) -> None:
    """Refuse a precision that is none, or that the device is slower and less exact in."""
    if dtype not in DTYPES:
        raise EncoderError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    if dtype == "float16" and device.startswith("cpu"):
        raise EncoderError("float16 on a CPU is slower than float32 and less exact; use float32 or bfloat16")


def _file(spec: str) -> bool:
    """Whether a spec is a user's own file, or untrained draws of one."""
    kind, rest = split(spec)
    return kind == "file" or (kind == "random" and split(draw_of(rest)[0])[0] == "file")


def held(spec: str, made: Encoder, weights: Path | None, other_weights: bool) -> Encoder:
    """The encoder, once it is the network that it is called; with `other_weights` it is said to have others."""
    kind, rest = split(spec)
    name = draw_of(rest)[0] if kind == "random" else spec
    kind, rest = split(name)
    found: list[str] = []
    if kind == "name":
        checkpoint = find(rest)
        published = checkpoint.card
        found = differences(published, made, checkpoint.both_towers, untrained=spec != name)
    elif kind in ("timm", "open_clip"):
        published = Card(name=name)
        found = _architecture(kind, rest, made)
    else:
        published = Card(name=name)
    if found and not other_weights:
        where = f"--weights {weights}" if weights is not None else f"what {made.card.repo or 'its repository'} holds"
        raise EncoderError(refusal(spec, found, published, where))
    given = weights is not None and kind not in ("file",)
    return as_other(made, found) if other_weights and (given or found) else made


def _architecture(kind: str, name: str, made: Encoder) -> list[str]:
    """What of a loaded model of timm or open_clip is not as the architecture of its name, built without memory."""
    if kind == "timm":
        from encoders.libraries.timm.load import differences as of_timm

        return of_timm(name, made)
    from encoders.libraries.open_clip.load import differences as of_open_clip

    return of_open_clip(name, made)


def architecture(spec: str) -> Card:
    """The card of `timm:MODEL` or `open_clip:MODEL[/TAG]` by its architecture; see `encoders.architecture`."""
    kind, rest = split(spec)
    require_floors(spec)
    with as_encoder_error(spec, None):
        if kind == "timm":
            from encoders.libraries.timm.load import architecture as of_timm

            return of_timm(Card(name=spec), rest)
        if kind == "open_clip":
            from encoders.libraries.open_clip.load import architecture as of_open_clip

            return of_open_clip(Card(name=spec), rest)
    raise EncoderError(f"{spec} names no architecture of a library; give timm:MODEL or open_clip:MODEL")


def require_device(device: str) -> None:
    if device == "cpu":
        return
    import torch

    try:
        known = torch.device(device)
    except RuntimeError:
        raise EncoderError(f"device {device!r} is not known; give cpu, cuda, cuda:0 or mps") from None
    if known.type == "cuda" and (known.index or 0) >= torch.cuda.device_count():
        raise EncoderError(
            f"device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices; give cpu or auto"
        )
    if known.type == "mps" and not torch.backends.mps.is_available():
        raise EncoderError(f"device {device!r} is not there: torch sees no Apple GPU; give cpu or auto")


def _trained(spec: str, device: str, weights: Path | None, offline: bool, image_size: int | None) -> Encoder:
    kind, rest = split(spec)
    if weights is not None and not weights.exists():
        raise EncoderError(f"--weights {weights} does not exist; give a file or folder in the library's format")
    if kind == "name":
        checkpoint = find(rest)
        if checkpoint.untrained is None and weights is not None:
            raise EncoderError(f"{rest} has no weights, so --weights {weights} cannot be meant for it")
        return checkpoint.load(checkpoint.card, device, weights, offline)
    if kind == "file":
        if weights is not None:
            raise EncoderError(f"{spec} reads its own weights: leave --weights out, or name the file in it")
        from encoders.custom.file import load as user

        return user(Path(rest), device, image_size)
    card = Card(name=spec)
    if kind == "timm":
        from encoders.libraries.timm.load import load as timm

        return timm(card, rest, device, weights, offline)
    if kind == "open_clip":
        from encoders.libraries.open_clip.load import load as open_clip

        return open_clip(card, rest, device, weights, offline)
    return _from_hub(card, rest, device, weights, offline, image_size)


def _from_hub(
    card: Card, rest: str, device: str, weights: Path | None, offline: bool, image_size: int | None
) -> Encoder:
    """A repository, by what it holds: open_clip's or timm's format, a multimodal model's, or a plain tower's."""
    from encoders.libraries.open_clip.files import CONFIG
    from hub.snapshots import parse_repository, snapshot

    repo, revision = parse_repository(rest)
    require_no_delta(card.name, repo)
    folder = weights
    if folder is None:  # the configuration comes first: of a multimodal model most is never fetched
        folder, revision = snapshot(repo, revision, weights=(CONFIG, "config.json"), needed=(), offline=offline)
    model_type = model_type_of(folder / "config.json")
    if model_type and not (folder / CONFIG).is_file():
        if image_size is not None:  # before its tensors are fetched
            raise of_one_size(card.name, image_size)
        from encoders.multimodal.load import load as multimodal

        return multimodal(replace(card, repo=repo, revision=revision), model_type, device, weights, offline)
    if weights is None:
        tower = tower_of(repo, revision, folder)
        folder, commit = snapshot(
            repo, revision, weights=tower.weights, needed=tower.needed, others=tower.others, offline=offline
        )
        card = replace(card, repo=repo, revision=commit)
    if not folder.is_dir():
        raise EncoderError(f"{card.name}: --weights {folder} is not a folder; give a snapshot of {repo}")
    if (folder / CONFIG).is_file():
        from encoders.libraries.open_clip.load import from_folder

        return from_folder(card, folder, device)
    config = folder / "config.json"
    if not config.is_file():
        raise EncoderError(f"{card.name}: {folder} has neither config.json nor {CONFIG}")
    if _of_timm(config):
        from encoders.libraries.timm.load import from_folder as timm

        return timm(card, folder, device)
    from encoders.libraries.transformers.load import load as transformers

    return transformers(card, folder, device)


def tower_of(repo: str, revision: str | None, folder: Path) -> Wanted:
    """What is read of a repository of a plain tower, whose configuration lies in `folder`."""
    from encoders._weights import OTHERS, WEIGHTS
    from encoders.libraries.open_clip.files import CONFIG, TOKENIZER
    from encoders.libraries.open_clip.files import WEIGHTS as OPEN_CLIP

    return Wanted(
        repo=repo, revision=revision, weights=(*OPEN_CLIP, *WEIGHTS), needed=needed_beside(folder),
        others=(CONFIG, "config.json", *OTHERS, *TOKENIZER),
    )  # fmt: skip


def _of_timm(config: Path) -> bool:
    """Whether a configuration names an architecture of timm."""
    return '"architecture"' in config.read_text(encoding="utf-8")


def model_type_of(config: Path) -> Any:
    """The ModelType that reads the model of a configuration, None where it is of no multimodal family."""
    try:
        declared = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None  # absent or broken: said by whoever needs it
    every = [checkpoint.model_type for checkpoint in checkpoints().values() if checkpoint.model_type]
    foreign = [one for one in every if declared in one.foreign]
    known = next((one for one in every if declared in one.types or (one in foreign and one.read_config)), None)
    # a type of the authors' own that declares no sizes is read where one size alone is published under it
    sizes = {id(one.config): one for one in foreign}
    return known or (next(iter(sizes.values())) if len(sizes) == 1 else None)


def _untrained(spec: str, device: str, weights: Path | None, offline: bool, image_size: int | None) -> Encoder:
    """`random:NAME#seed`: NAME's architecture, as its library initialises it, drawn from the name.

    With `weights` it is the architecture that the configuration in that folder describes, where it has one.
    """
    rest = split(spec)[1]
    inner = draw_of(rest)[0]
    kind, name = split(inner)
    card = replace(
        card_of(inner), name=spec, repo=None, revision=None, note=f"{inner}, untrained", bytes=0, bytes_whole=0,
        unverified="",
    )  # fmt: skip
    if kind == "random":
        raise UnknownName(f"{spec!r}: random: goes before a registered name, timm:, open_clip:, hf: or a file")
    if kind == "name" and find(name).untrained is None:
        raise UnknownName(f"{spec!r}: {name} has nothing to train, so it has no untrained draw")
    with drawn(f"random:{rest}"):
        if kind == "name":
            return _untrained_name(card, name, device, weights)
        if kind in ("timm", "open_clip") and weights is not None and weights.is_dir():
            return _untrained_folder(card, device, weights)
        if kind == "timm":
            from encoders.libraries.timm.load import untrained as timm

            return timm(card, name, device)
        if kind == "open_clip":
            from encoders.libraries.open_clip.load import untrained as open_clip

            return open_clip(card, name, device)
        if kind == "hf":
            return _untrained_repository(card, name, device, weights, offline)
        from encoders.custom.file import untrained as user

        return user(Path(name), card, device, image_size)


def _untrained_name(card: Card, name: str, device: str, weights: Path | None) -> Encoder:
    """A registered encoder untrained, in the sizes of the folder that stands for its weights."""
    checkpoint = find(name)
    assert checkpoint.untrained is not None
    if weights is None or not weights.is_dir():
        return checkpoint.untrained(card, device)
    with one_line(card.name, str(weights)):
        made = _in_sizes_of(weights, card, checkpoint.model_type, device)
    if made is None:
        return checkpoint.untrained(card, device)
    return replace(made, files=settings(weights))


def _untrained_repository(card: Card, name: str, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The untrained network that a repository's configuration describes; none of its weights is fetched."""
    from encoders.libraries.open_clip.files import CONFIG
    from hub.snapshots import parse_repository, snapshot

    folder = weights
    if folder is None:
        repo, revision = parse_repository(name)
        others = ("*.json", "*.txt", "*.model")
        first = (CONFIG, "config.json")
        folder, commit = snapshot(repo, revision, weights=first, needed=(), others=others, offline=offline)
        # a fetch of the weights that broke off leaves the configuration alone
        more = needed_beside(folder)
        snapshot(repo, revision or commit, weights=first, needed=more, others=others, offline=offline)
    return _untrained_folder(card, device, folder)


def needed_beside(folder: Path) -> tuple[Needed, ...]:
    """The files that tell, beside the configuration in a folder, what an untrained network is."""
    from encoders.libraries.open_clip.files import CONFIG

    config = folder / "config.json"
    if (folder / CONFIG).is_file() or _of_timm(config):
        return ()
    model_type = model_type_of(config)
    if model_type is None:
        return (IMAGES,)
    return (*model_type.needed, *([IMAGES] if model_type.others and not model_type.says_images(folder) else []))


def _untrained_folder(card: Card, device: str, folder: Path) -> Encoder:
    """The untrained network that the configuration in a folder describes."""
    from encoders.libraries.open_clip.files import CONFIG

    with one_line(card.name, str(folder)):
        config = folder / "config.json"
        made = _in_sizes_of(folder, card, model_type_of(config), device)
        if made is None and config.is_file() and _of_timm(config):
            from encoders.libraries.timm.load import untrained_folder

            made = untrained_folder(card, folder, device)
    if made is None:
        raise EncoderError(f"{card.name}: {folder} tells no architecture ({CONFIG} or config.json)")
    return replace(made, files=tuple(sorted(p for p in folder.glob("*.json") if ".index." not in p.name)))


def _in_sizes_of(folder: Path, card: Card, model_type: Any, device: str) -> Encoder | None:
    """The untrained network that the configuration in a folder describes, None where it holds none."""
    from encoders.libraries.open_clip.files import CONFIG

    if model_type:
        from encoders.multimodal.load import untrained as multimodal

        return multimodal(card, model_type, device, folder)
    if (folder / CONFIG).is_file():
        from encoders.libraries.open_clip.tower import from_config

        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return from_config(card, found["model_cfg"], found.get("preprocess_cfg", {}), device)
    if (folder / "config.json").is_file() and images_said(folder):
        from encoders.libraries.transformers.load import untrained as transformers

        return transformers(card, folder, device)
    return None


@contextmanager
def drawn(text: str) -> Iterator[None]:
    """A torch random state that only `text` determines; the caller's state is as before afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]))
        yield
