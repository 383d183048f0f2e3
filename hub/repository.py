"""Repositories at a revision: models and data sets, what of them is cached here, and errors of the hub's client."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.errors import HubError, UnreachedError
from hub.files import shards_of

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".zip")


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository at a revision; `kind` is "model" or "dataset".

    `patterns` are the files wanted of a data set. `remedy` is the sentence that says how a person obtains the
    repository by hand; without it the weights of an encoder are meant.
    """

    repo: str
    revision: str | None
    kind: str = "model"
    patterns: tuple[str, ...] = ()
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.repo} at revision {self.revision or 'main'}"

    @property
    def page(self) -> str:
        """Where a person reads about it and asks for access."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' * (self.kind == 'dataset')}{self.repo}"


def folder_of(repository: Repository) -> Path | None:
    """The folder of a snapshot in the hub's own cache, None where there is none; what it holds is not looked at."""
    from huggingface_hub import constants

    store = Path(constants.HF_HUB_CACHE) / f"{repository.kind}s--{repository.repo.replace('/', '--')}"
    named = store / "refs" / (repository.revision or "main")
    commit = named.read_text().strip() if named.is_file() else repository.revision
    folder = store / "snapshots" / (commit or "")
    return folder if commit and folder.is_dir() else None


def cached_state(repo: str, revision: str | None) -> str:
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
def hub_errors(repository: Repository) -> Iterator[None]:
    """Turn whatever a hub's client raises into one HubError that says what to do."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:  # the client raises its own, its transport's and the system's errors
        raise _translated(repository, error) from error


def _translated(repository: Repository, error: Exception) -> HubError:
    from huggingface_hub import constants, errors

    repo, page, hub = repository.repo, repository.page, constants.ENDPOINT
    cause = error if getattr(error, "response", None) is not None else error.__cause__
    status = getattr(getattr(cause, "response", None), "status_code", None)
    no_access = f"is gated or private (ask for access at {page}, then `hf auth login`)"
    if isinstance(error, errors.GatedRepoError):
        what = no_access
        weights = (
            f"{repo} is gated: ask for access at {page}, then run `hf auth login` (or set HF_TOKEN), or pass "
            "--weights PATH; `phantom-clip` needs no access"
        )
    elif isinstance(error, errors.RepositoryNotFoundError):
        what = f"is not at {hub}, or is private (`hf auth login`)"
        weights = (
            f"{repo} does not exist at {hub}, or is private: check the name, or run `hf auth login`; or pass "
            "--weights PATH"
        )
    elif isinstance(error, errors.RevisionNotFoundError):
        what = f"is not at {hub}, which has other commits of it"
        weights = f"{repo} has no revision {repository.revision}; give a commit that it has, or --weights PATH"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return HubError(
            f"the disk is full while {repository} is fetched into {constants.HF_HUB_CACHE}; what was written of it is "
            "removed: make room there, or set HF_HOME to another disk"
        )
    elif status in (401, 403):
        what = no_access
        weights = (
            f"the hub refuses {repository} ({status}): visit {page}, then run `hf auth login`, or pass --weights PATH; "
            "`phantom-clip` works offline"
        )
    else:
        line = (str(error).splitlines() or [""])[0][:160]
        return unavailable(repository, f"could not be fetched ({type(error).__name__}: {line})")
    return unavailable(repository, what) if repository.remedy else HubError(weights)


def unavailable(repository: Repository, what: str) -> HubError:
    """The error for a repository that is neither here nor to be had, with the way to obtain it by hand."""
    repo, revision = repository.repo, repository.revision
    pin = (f" --revision {revision}" if revision else "") + " --repo-type dataset" * (repository.kind != "model")
    if not repository.remedy:
        return UnreachedError(f"{repository} {what}", f"hf download {repo}{pin}")
    return HubError(f"{repository} {what}: {repository.remedy}")
