"""Errors about repositories and weight files, each one line for the user."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class HubError(Exception):
    """A repository, a file or a tensor cannot be had or read as asked; the text is one line for the user."""


OFFLINE = "`phantom-clip` works offline"


class UnreachedError(HubError):
    """Weights that are neither here nor to be had: `what` is so, and the command `by_hand` brings them elsewhere."""

    def __init__(self, what: str, by_hand: str) -> None:
        self.what, self.by_hand = what, by_hand
        super().__init__(
            f"{what}: run `{by_hand}` where the hub can be reached and pass the folder with --weights PATH; {OFFLINE}"
        )


_BROKEN = ("incomplete", "not fully covered", "pytorchstreamreader", "unexpected eof", "invalid magic", "header",
           "central directory", "corrupt", "unpickl", "pickle data was truncated", "ran out of input",
           "invalid load key", "not a zip", "file size", "metadata")  # fmt: skip


def missing_tensors(who: str, names: Sequence[str], where: str) -> HubError:
    """The error for tensors that the architecture has and the weights in `where` have not."""
    rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return HubError(
        f"{who}: the weights in {where} lack {len(names)} tensor{'s' * (len(names) > 1)} "
        f"({sorted(names)[0]}{rest}); another architecture, or an incomplete file"
    )


def unexpected_tensors(who: str, names: Sequence[str], where: str) -> HubError:
    """The error for tensors that the weights in `where` have and the architecture has not."""
    return HubError(
        f"{who}: the weights in {where} hold {len(names)} tensors that the architecture has not "
        f"(first: {sorted(names)[0]}); these are another model's weights"
    )


def other_shapes(who: str, found: Sequence[tuple[str, Sequence[int], Sequence[int]]], where: str) -> HubError:
    """The error for tensors of another shape; `found` holds name, shape in `where` and shape of the architecture."""
    name, on_disk, built = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return HubError(
        f"{who}: tensor {name} in {where} has shape {list(on_disk)} where the architecture has {list(built)}{more}; "
        "these are another model's weights"
    )


@contextmanager
def one_line(who: str, where: str) -> Iterator[None]:
    """Turn whatever a library raises while it loads `where` into one HubError of one line."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:  # libraries raise everything from OSError to AttributeError on a bad file
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        first, name = lines[0][:200] if lines else "", type(error).__name__
        if any(word in str(error).lower() for word in _BROKEN) or isinstance(error, EOFError):
            raise HubError(
                f"{who}: {where} is not a complete weight file ({first or name}); it may be truncated: fetch it again"
            ) from error
        raise HubError(f"{who}: {where} cannot be loaded ({name}: {first})") from error
