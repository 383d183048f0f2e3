"""How a command speaks and ends: progress and one line per error on stderr, an exit code, no traceback."""

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence

from slitlamp.log import say

DONE, USAGE, DATA, ENCODER, PARTIAL, INTERRUPTED = 0, 2, 3, 4, 5, 130


def _code(error: BaseException) -> int | None:
    """The exit code of an error that was foreseen, None for any other."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"UsageError", "UnknownName"}:
        return USAGE
    if names & {"DataError", "ProbeError"}:
        return DATA
    if "EncoderError" in names:
        return ENCODER
    if names & {"StoreError", "OSError", "WorkerKilledError"}:
        return PARTIAL
    return None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def guard(body: Callable[[Sequence[str]], int], argv: Sequence[str] | None, command: str) -> int:
    """Run `body(argv)` and turn what it raises into one line and an exit code.

    A broken pipe (`… | head`) ends quietly. SIGTERM is taken like Ctrl-C, so that a scheduler's
    warning closes the open shard. `command` is the module's name, for the line that resumes.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with contextlib.suppress(ValueError):  # not the main thread: the caller owns the signals
        signal.signal(signal.SIGTERM, _interrupt)
    kept = f"what was finished is kept. To resume: {shlex.join(['python', '-m', f'experiments.{command}', *arguments])}"
    try:
        return body(arguments)
    except KeyboardInterrupt:
        say(f"interrupted; {kept}")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        code = _code(error)
        if "--debug" in arguments:
            raise
        if code is None:
            say(f"error: unforeseen {type(error).__name__}: {_one_line(error)} (--debug shows where)")
            return 1
        say(f"error: {_one_line(error)}" + (f"; {kept}" if type(error).__name__ == "WorkerKilledError" else ""))
        return code


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
