"""Who reads what a model wrote: our own parser, MediConfusion's, or a user's judge."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache import Store
from plugins import UserFile, load_user_file
from probes.pairs.answers import ALPHABET, ahead, mediconfusion_letter
from probes.pairs.scores import INVALID as NO_LETTER
from slitlamp.answers.answered import INVALID
from slitlamp.answers.reply import read_reply
from slitlamp.answers.settings import MEDICONFUSION, AskSettings
from slitlamp.errors import UsageError
from slitlamp.keys import digest

SCHEMA = 1
PATIENCE = 120.0  # seconds that a judge may take for one reply
HUNG = 2  # replies at which it may overrun them before it is asked no more


def read_choice(reply: str, options: Sequence[str], finished: bool, parser: str) -> tuple[int, str]:
    """The place of the option that a reply names among `options`, or INVALID and why."""
    if parser == MEDICONFUSION:
        letter = mediconfusion_letter(reply, len(options))
        if letter == NO_LETTER:
            return INVALID, "MediConfusion's parser finds no letter, or several"
        return ALPHABET.index(letter), ""
    return _read(reply, options, finished=finished)


def _read(reply: str, options: Sequence[str], **more: Any) -> tuple[int, str]:
    """Our parser's reading; options whose words it cannot tell apart make the reply invalid, and nothing else."""
    try:
        read = read_reply(reply, options, **more)
    except UsageError as error:
        return INVALID, f"not read: {error}"
    return (INVALID, read.why) if read.choice is None else (read.choice, "")


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Raises TimeoutError in a block that takes longer than PATIENCE, where the system has alarms (not on Windows)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: Any) -> None:
        raise TimeoutError(f"no answer within {PATIENCE:g} s")

    handler = signal.signal(signal.SIGALRM, late)
    timer = signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


@dataclass(kw_only=True)
class Judging:
    """A judge of free replies, with what it said before; one that fails gives invalid answers, which are counted."""

    store: Store
    threshold: float
    file: UserFile | None = None
    function: Any = None
    fresh: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    hung: int = 0

    @classmethod
    def of(cls, settings: AskSettings, store: Store) -> "Judging":
        """The judge of --judge, or our own parser without one."""
        made = cls(store=store, threshold=settings.threshold)
        if settings.judge is not None:
            made.file = load_user_file(Path(settings.judge), "judge", {"judge": (None, "a function")})
            made.function = made.file.function(made.file.module.judge)
        return made

    def read(self, question: str, wordings: Sequence[Sequence[str]], reply: str, finished: bool) -> tuple[int, str]:
        """The place of the option that a free reply means, in any of its wordings, or INVALID and why."""
        options = wordings[0]
        if self.function is None:
            others = [[some[c] for some in wordings[1:]] for c in range(len(options))]
            return _read(reply, options, finished=finished, synonyms=others, letters=False)
        try:
            scores = self._scores(question, options, reply)
        except Exception as error:
            self.hung += f"within {PATIENCE:g} s" in str(error)
            line = " ".join(str(error).split())[:200] or type(error).__name__
            self.failed.append(line)
            return INVALID, f"the judge failed: {line}"
        place = ahead(scores, self.threshold)
        if place is None:
            shown = ", ".join(f"{score:g}" for score in scores)
            return INVALID, f"the judge's scores {shown} are not {self.threshold:g} apart"
        return place, ""

    def _scores(self, question: str, options: Sequence[str], reply: str) -> list[float]:
        assert self.file is not None
        key = digest([SCHEMA, self.file.digest(), question, list(options), reply])
        memo = self.store.memo("judged")
        found = self.fresh.get(key) or memo.get_many([key]).get(key)
        if found is None:
            if self.hung >= HUNG:
                raise ValueError(f"it is asked no more since it gave no answer {HUNG} times")
            with _bounded(), contextlib.redirect_stdout(sys.stderr):  # stdout is the result's
                given = self.function(question, list(options), reply)
            scores = np.asarray(given, np.float64)
            if scores.shape != (len(options),) or not np.isfinite(scores).all():
                raise ValueError(f"judge() gave {scores.tolist()} for {len(options)} options: a number for each is due")
            found = self.fresh[key] = scores.tolist()
            memo.put_many({key: found})
        return found

    def failures(self) -> list[str]:
        """A sentence where the judge failed, with its first error."""
        if not self.failed:
            return []
        count = len(self.failed)
        what = "1 reply, which is" if count == 1 else f"{count} replies, which are"
        return [f"the judge failed on {what} invalid: {self.failed[0]}"]
