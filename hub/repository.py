"""A repository at a revision: where its snapshot lies on this machine, and what is said where it cannot be had."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.errors import HubError
from hub.files import shards_of

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".zip")


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository at a revision; `kind` is "model" or "dataset"."""

    repo: str
    revision: str | None
    kind: str = "model"

    def __str__(self) -> str:
        return f"{self.repo} at revision {self.revision or 'main'}"

    @property
    def page(self) -> str:
        """Where a person reads about it and asks for access."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' * (self.kind == 'dataset')}{self.repo}"


def folder_of(place: Repository) -> Path | None:
    """The folder of a snapshot in the hub's own cache, None where there is none; what it holds is not looked at."""
    from huggingface_hub import constants

    store = Path(constants.HF_HUB_CACHE) / f"{place.kind}s--{place.repo.replace('/', '--')}"
    named = store / "refs" / (place.revision or "main")
    commit = named.read_text().strip() if named.is_file() else place.revision
    folder = store / "snapshots" / (commit or "")
    return folder if commit and folder.is_dir() else None


def standing(repo: str, revision: str | None) -> str:
    """Whether weights of a repository lie in the hub's cache: "yes", "part" or "no", from the names of the files."""
    folders = (folder_of(Repository(repo=repo, revision=revision, kind=kind)) for kind in ("model", "dataset"))
    folder = next((folder for folder in folders if folder), None)
    if folder is None:
        return "no"
    files = {path.name for path in folder.iterdir()}
    weights = {name for name in files if name.endswith(WEIGHTS)}
    if any(name.startswith("vision-") for name in weights):
        return "yes"
    for name in sorted(name for name in files if name.endswith(".index.json")):
        try:
            shards = shards_of(folder / name).values()
        except HubError:  # a broken index is no whole checkpoint; what reads it says so
            return "part"
        return "yes" if weights.issuperset(shards) else "part"
    return "yes" if weights else "part"


@contextmanager
def said(place: Repository) -> Iterator[None]:
    """Turn whatever a hub's client raises into one HubError that says what to do."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:  # the client raises its own, its transport's and the system's errors
        raise _translated(place, error) from error


def _translated(place: Repository, error: Exception) -> HubError:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{place.repo} is gated: ask for access at {place.page}, then run `hf auth login` "
            f"(or set HF_TOKEN), or pass --weights PATH; `phantom-clip` needs no access"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"{place.repo} does not exist at {constants.ENDPOINT}, or is private: check the name, or run "
            "`hf auth login`; or pass --weights PATH"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"{place.repo} has no revision {place.revision}; give a commit that it has, or --weights PATH")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return full(place)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return HubError(
            f"the hub refuses {place} ({status}): visit {place.page}, then run `hf auth login`, "
            "or pass --weights PATH; `phantom-clip` works offline"
        )
    line = (str(error).splitlines() or [""])[0][:160]
    return unavailable(place, f"could not be fetched ({type(error).__name__}: {line})")


def full(place: Repository) -> HubError:
    """The error for a disk that has no room for what is being fetched."""
    from huggingface_hub import constants

    return HubError(
        f"the disk is full while {place} is fetched into {constants.HF_HUB_CACHE}; what was written of it is "
        "removed: make room there, or set HF_HOME to another disk"
    )


def unavailable(place: Repository, what: str) -> HubError:
    """The error for a repository that is neither here nor to be had, with the way to bring it by hand."""
    pin = (f" --revision {place.revision}" if place.revision else "") + " --repo-type dataset" * (place.kind != "model")
    return HubError(
        f"{place} {what}: run `hf download {place.repo}{pin}` where the hub can be "
        "reached and pass the folder with --weights PATH; `phantom-clip` works offline"
    )
