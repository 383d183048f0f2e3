"""What a library says about a bad weight file, in one line for the user."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class HubError(Exception):
    """A repository, a file or a tensor cannot be had or read as asked; the text is one line for the user."""


_MISSING = re.compile(r"Missing key\(s\) in state_dict: (.*?)\.\s*(?:$|\n)", re.S)
_UNEXPECTED = re.compile(r"Unexpected key\(s\) in state_dict: (.*?)\.\s*(?:$|\n)", re.S)
_SHAPE = re.compile(
    r"size mismatch for ([^\s:]+): copying a param with shape torch\.Size\((\[[^\]]*\])\) from checkpoint, "
    r"the shape in current model is torch\.Size\((\[[^\]]*\])\)"
)
_BROKEN = ("incomplete", "not fully covered", "pytorchstreamreader", "unexpected eof", "invalid magic", "header",
           "central directory", "corrupt", "unpickl", "pickle data was truncated", "ran out of input",
           "invalid load key", "not a zip", "file size", "metadata")  # fmt: skip


def lacks(who: str, missing: Sequence[str], where: str) -> HubError:
    """The error for tensors that the architecture has and the weights have not."""
    rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return HubError(
        f"{who}: the weights in {where} lack {len(missing)} tensor{'s' * (len(missing) > 1)} "
        f"({sorted(missing)[0]}{rest}); another architecture, or an incomplete file"
    )


def strange(who: str, names: Sequence[str], where: str) -> HubError:
    """The error for tensors that the weights have and the architecture has not."""
    return HubError(
        f"{who}: the weights in {where} hold {len(names)} tensors that the architecture has not "
        f"(first: {sorted(names)[0]}); these are another model's weights"
    )


@contextmanager
def one_line(who: str, where: str) -> Iterator[None]:
    """Turn whatever a library raises while it loads `where` into one HubError of one line."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:  # libraries raise everything from OSError to AttributeError on a bad file
        raise explain(who, where, error) from error


def explain(who: str, where: str, error: Exception) -> HubError:
    """One line about `error`: tensors that lack, shapes that differ, a file that is cut short, or its text."""
    text = str(error)
    if found := _MISSING.search(text):
        return lacks(who, re.findall(r'"([^"]+)"', found[1]), where)
    if found := _SHAPE.search(text):
        total = len(_SHAPE.findall(text))
        more = f" (and {total - 1} more)" if total > 1 else ""
        return HubError(
            f"{who}: tensor {found[1]} in {where} has shape {found[2]} where the architecture has {found[3]}"
            f"{more}; these are another model's weights"
        )
    if found := _UNEXPECTED.search(text):
        names = re.findall(r'"([^"]+)"', found[1])
        return strange(who, names, where)
    if any(word in text.lower() for word in _BROKEN) or isinstance(error, EOFError):
        return HubError(
            f"{who}: {where} is not a complete weight file ({_first_line(text) or type(error).__name__}); "
            "it may be truncated: fetch it again"
        )
    return HubError(f"{who}: {where} cannot be loaded ({type(error).__name__}: {_first_line(text)})")


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
