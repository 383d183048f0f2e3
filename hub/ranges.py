"""Byte ranges of a hub's files, read through the client's own session and taken up where a transfer broke."""

import re
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

TIMEOUT = 20.0  # seconds without a byte
TRIES = 6  # attempts in a row that bring nothing
PAUSE = 0.5  # seconds before the second attempt, doubled with each that follows
PATIENCE = 300.0  # seconds of pauses in all, those that the hub asks for included
LATER = (408, 425, 429, 500, 502, 503, 504)


class NoRangesError(Exception):
    """The server answers a range with the whole file."""


class BrokenTransferError(Exception):
    """The bytes did not come, however often they were asked for."""


class _AgainError(Exception):
    """An answer that another attempt may better, after `pause` seconds where the hub names them."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


def read_range(url: str, start: int, stop: int, sink: Callable[[int, bytes], None], halt: threading.Event) -> int:
    """Pass the bytes from `start` up to `stop` of the file at `url` to `sink(offset, bytes)`; the file's size.

    A transfer that breaks is taken up where it stopped. `halt` ends it between two chunks, or a pause at once.
    Raises NoRangesError, BrokenTransferError, and what the client raises for a refusal.
    """
    transport, at, size, tries, waited = _transport(), start, 0, 0, 0.0
    while True:
        before, pause = at, None
        try:
            with closing(_once(url, at, stop)) as answer:
                for declared, chunk in answer:
                    size = declared
                    if halt.is_set():
                        raise BrokenTransferError("stopped")
                    sink(at, chunk)
                    at += len(chunk)
            reason = "it ended early"
        except _AgainError as error:
            pause, reason = error.pause, str(error)
        except transport as error:
            if getattr(error, "response", None) is not None:  # the hub's refusal, not a broken connection
                raise
            reason = f"{type(error).__name__} {error}".strip()
        if at == stop:
            return size
        tries = 1 if at > before else tries + 1
        pause = PAUSE * 2 ** (tries - 1) if pause is None else pause
        waited += pause
        if tries == TRIES or waited > PATIENCE:
            raise BrokenTransferError(f"{url.rpartition('/')[2]} stopped at byte {at}: {reason}")
        if halt.wait(pause):
            raise BrokenTransferError("stopped")


def _once(url: str, start: int, stop: int) -> Generator[tuple[int, bytes]]:
    """One request: the file's size with each chunk of the range as it arrives."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    # the client's session keeps the token from any other host that it is sent on to
    headers = build_hf_headers() | {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT) as response:
        if response.status_code in LATER:
            raise _AgainError(f"the hub answers {response.status_code}", _asked_pause(response.headers))
        hf_raise_for_status(response)
        if response.status_code == 200:
            raise NoRangesError(url)
        declared = response.headers.get("Content-Range", "")
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", declared)
        length = response.headers.get("Content-Length")
        if not span or int(span[1]) != start or int(span[2]) >= stop:
            raise _AgainError(f"asked for bytes {start}-{stop - 1}, told {declared or 'nothing'}")
        left = int(span[2]) + 1 - start
        if length is not None and int(length) != left:
            raise _AgainError(f"a range of {left} bytes comes as {length}")
        for chunk in response.iter_raw():  # as they arrive: a buffer would be lost with the connection
            left -= len(chunk)
            if left < 0:
                raise _AgainError("more bytes came than were asked for")
            yield int(span[3]), chunk


def _asked_pause(headers: Any) -> float | None:
    """Retry-After, as seconds or as a date."""
    asked = headers.get("Retry-After")
    if asked is None:
        return None
    if asked.strip().isdigit():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _transport() -> type[Exception]:
    """What the client's HTTP library raises for a connection that breaks; its name differs between releases."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
