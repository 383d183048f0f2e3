"""Lines and progress bars for whoever watches a run.

The library prints nothing: lines go to the logger `slitlamp`, and bars are drawn in notebooks. A command calls
`shown_on_stderr` and has both on stderr.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hub.objects import scrubbed

LOGGER = logging.getLogger("slitlamp")
LOGGER.addHandler(logging.NullHandler())
LOGGER.propagate = False  # a library that configures the root logger would print our lines
_BARS: list[bool] = []  # filled once a command has asked for bars on stderr


def printable(text: str, *, lines: bool = True) -> str:
    r"""A text that a terminal shows and does not obey: control characters and turns of direction as `\x1b`, `\u202e`.

    Line breaks are kept where there may be `lines`.
    """
    kept = "\n" if lines else ""
    return text if text.isprintable() else "".join(
        c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text
    )  # fmt: skip


def say(text: str) -> None:
    """Log one line: a warning where it says that it is one. What does not print, as in a file's name, is escaped.

    An address is shown without credentials, wherever the line came from.
    """
    text = printable(scrubbed(text), lines=False)
    LOGGER.log(logging.WARNING if text.startswith(("warning:", "error:")) else logging.INFO, text)


class _Stderr(logging.StreamHandler):
    """A handler that writes to stderr as it is now, not as it was when the handler was made."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _value: Any) -> None: ...


@contextmanager
def shown_on_stderr() -> Iterator[None]:
    """Write the lines and draw the bars on stderr until the end of the block, as commands do."""
    handler, before = _Stderr(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    _BARS.append(True)
    try:
        yield
    finally:
        _BARS.pop()
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before)


@contextmanager
def each_line_once(shown: set[str]) -> Iterator[None]:
    """Leave out lines that were said before, by what is in `shown`, until the end of the block."""

    def new(record: logging.LogRecord) -> bool:
        line = record.getMessage()
        known = line in shown
        shown.add(line)
        return not known

    LOGGER.addFilter(new)
    try:
        yield
    finally:
        LOGGER.removeFilter(new)


@contextmanager
def named_lines() -> Iterator[None]:
    """Begin each line with the rank that torchrun gave this process, until the end of the block; without one, nothing.

    Each line is written at once, so that those of ranks do not run into one another.
    """

    def named(record: logging.LogRecord) -> bool:
        record.msg, record.args = f"[rank {rank}] {record.getMessage()}", ()
        return True

    rank = os.environ.get("RANK")
    if rank is not None:
        LOGGER.addFilter(named)
    try:
        yield
    finally:
        LOGGER.removeFilter(named)


@contextmanager
def without_bars() -> Iterator[None]:
    """Draw no bars until the end of the block: several processes would draw over one another."""
    _BARS.append(False)
    try:
        yield
    finally:
        _BARS.pop()


def progress(total: int, what: str) -> Any:
    """A progress bar: on stderr for a command (twice a minute where stderr is a log), else in a notebook alone."""
    from tqdm import tqdm

    if not _BARS or not _BARS[-1]:
        from tqdm.auto import tqdm as notebook_or_terminal

        in_notebook = notebook_or_terminal.__module__.endswith("notebook")
        return (notebook_or_terminal if in_notebook else tqdm)(
            total=total, desc=what, disable=not in_notebook, leave=False
        )
    lively = sys.stderr.isatty()
    return tqdm(total=total, desc=what, file=sys.stderr, mininterval=0.1 if lively else 30.0,
                leave=False, dynamic_ncols=lively, delay=1.0)  # fmt: skip
