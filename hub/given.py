"""What was given with --weights, as it lies on disk: a copy of the hub's cache is followed, dead links are named."""

from pathlib import Path

from hub.errors import HubError


def given(who: str, path: Path) -> Path:
    """The folder or file that is meant: of a folder `models--ORG--NAME` of the hub's cache, its snapshot.

    Raises HubError where links in it lead nowhere, and where it is not clear which snapshot is meant.
    """
    if path.is_dir() and (path / "snapshots").is_dir():
        path = _snapshot(who, path)
    elif path.is_dir() and path.name.startswith(("models--", "datasets--")):
        raise HubError(f"{who}: --weights {path} is a folder of the hub's cache and holds no snapshot; fetch it again")
    within = [*path.glob("*"), *path.glob("*/*")] if path.is_dir() else [path]
    dead = sorted(one for one in within if one.is_symlink() and not one.exists())
    if dead:
        more = f" (and {len(dead) - 1} more)" if len(dead) > 1 else ""
        raise HubError(
            f"{who}: {dead[0].name} in --weights {path} is a link to {dead[0].readlink()} that leads nowhere{more}: "
            "the hub's cache keeps its files elsewhere; copy it with `cp -rL`, or make a folder without links by "
            "`python -m experiments.fetch`"
        )
    return path


def _snapshot(who: str, path: Path) -> Path:
    found = sorted(one for one in (path / "snapshots").iterdir() if one.is_dir())
    head = path / "refs" / "main"
    named = path / "snapshots" / head.read_text(encoding="utf-8").strip() if head.is_file() else None
    if named is not None and named.is_dir():
        return named
    if len(found) == 1:
        return found[0]
    if not found:
        raise HubError(f"{who}: --weights {path} is a folder of the hub's cache and holds no snapshot; fetch it again")
    raise HubError(
        f"{who}: --weights {path} holds {len(found)} snapshots ({', '.join(one.name[:8] for one in found)}); "
        f"name one of them, e.g. {found[0]}"
    )
