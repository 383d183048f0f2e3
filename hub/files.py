"""Files of a checkpoint's folder: settings, weights, and the names whose presence decides which of them are read.

Other files in the folder do not matter: they may come and go without changing the encoder.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from hub.errors import HubError

IMAGES = ("preprocessor_config.json", "processor_config.json")  # where a library says how images are prepared
Needed = str | tuple[str, ...]  # a file that must be there, or alternatives of which one must
SETTINGS = ("config.json", "preprocessor_config.json", "processor_config.json", "open_clip_config.json")
FORMS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
INDEX = ".index.json"
OTHERS = (  # that a library may prefer to another file
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth", "pytorch_model.pth", "model.pth", "adapter_config.json",
)  # fmt: skip
PARTIAL = "vision-*.safetensors"  # a partial download: the image side's tensors alone


def settings(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that say what is built and how images are prepared."""
    return tuple(folder / name for name in SETTINGS if (folder / name).is_file())


def images_said(folder: Path) -> bool:
    """Whether a folder says how images are prepared: alone, or among the settings of a whole processor."""
    first, second = (folder / name for name in IMAGES)
    return first.is_file() or (second.is_file() and "image_processor" in json.loads(second.read_text("utf-8")))


def lacking(held: Callable[[str], bool], needed: Iterable[Needed]) -> list[str]:
    """What is not there of the files `needed`, where `held(name)` says whether one is."""
    groups = [(one,) if isinstance(one, str) else one for one in needed]
    return [" or ".join(names) for names in groups if not any(held(name) for name in names)]


def weights(folder: Path) -> tuple[Path, ...]:
    """The files that the transformers library reads tensors from: a single one, or the shards behind an index."""
    form = next((folder / name for name in FORMS if (folder / name).is_file()), None)
    if form is None or form.suffix != ".json":
        return () if form is None else (form,)
    shards = sorted(set(shards_of(form).values()))
    return (form, *(folder / name for name in shards if (folder / name).is_file()))


def shards_of(path: Path) -> dict[str, str]:
    """The file of every tensor, by the index of a sharded checkpoint.

    Raises:
        HubError: the file cannot be read, is cut short, or is no such index.
    """
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HubError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # JSON's and UTF-8's
        raise HubError(f"{path} is cut short or no JSON: delete it and fetch it again") from error
    found = parsed.get("weight_map") if isinstance(parsed, dict) else None
    if not isinstance(found, dict) or not found or not all(isinstance(file, str) for file in found.values()):
        raise HubError(f"{path} is no index of weights: its 'weight_map' must name a file for every tensor")
    return found


def shard_names(path: Path) -> list[str]:
    """The files that an index names; HubError where one does not lie beside it."""
    files = sorted(set(shards_of(path).values()))
    for file in files:
        if Path(file).name != file:
            raise HubError(f"{path} places tensors in {file!r}, which is no file beside it")
    return files


def decisive(files: Iterable[Path]) -> dict[str, list[str]]:
    """By folder of those `files`, the names in it that decide which of its files are read."""
    known, found = (*SETTINGS, *FORMS, *OTHERS), {}
    for folder in sorted({path.parent for path in files if path.name in known or path.match(PARTIAL)}):
        names = [name for name in known if (folder / name).exists()]
        found[str(folder)] = names + sorted(path.name for path in folder.glob(PARTIAL))
    return found
