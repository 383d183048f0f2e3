"""How a command speaks and ends: progress and one line per error on stderr, an exit code, no traceback."""

import codecs
import contextlib
import io
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from slitlamp.errors import WorkerKilledError, one_line
from slitlamp.log import say, shown_on_stderr

DONE, USAGE, DATA, ENCODER, PARTIAL, INTERRUPTED = 0, 2, 3, 4, 5, 130


def _code(error: BaseException) -> int | None:
    """The exit code of an error that was foreseen, None for any other."""
    from cache import StoreError
    from hub.errors import HubError
    from hub.objects import ObjectError
    from plugins import UnknownName, UserFileError
    from probes import DeviceError, ProbeError
    from slitlamp.errors import UsageError, WorkerKilledError
    from tasks import DataError

    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], int], ...] = (
        ((UsageError, UnknownName, UserFileError), USAGE),
        ((DataError, ObjectError, ProbeError), DATA),
        (HubError, ENCODER),  # an EncoderError is one
        ((StoreError, OSError, WorkerKilledError, DeviceError), PARTIAL),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), None)


def _resumes(error: Exception) -> bool:
    """Whether the machine ended the command, so that the same line goes on: a killed worker, no memory, a full disk."""
    from cache.errors import is_full
    from probes import DeviceError

    return isinstance(error, WorkerKilledError | DeviceError) or (isinstance(error, OSError) and is_full(error))


SIGNS = {"·": "-", "–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "≥": ">=", "≤": "<=", "←": "<-", "→": "->",
         "°": " deg", "²": "^2", "’": "'", "‘": "'", "“": '"', "”": '"'}  # fmt: skip


def _escaped(signs: Mapping[str, str]) -> Callable[[UnicodeError], tuple[str, int]]:
    r"""An error handler that writes a sign which a stream cannot show as in `signs`, or as JSON has it (`\u00e9`)."""

    def handle(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        found = error.object[error.start : error.end]
        return "".join(signs.get(sign) or json.dumps(sign)[1:-1] for sign in found), error.end

    return handle


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say_of_paths() -> None:
    """Say which whole paths were shortened, where a line that repeats a run was made."""
    settings = sys.modules.get("slitlamp.settings")
    if settings is not None and (told := settings.told_of_paths()):
        say(told)


def guard(body: Callable[[Sequence[str]], int], argv: Sequence[str] | None, command: str) -> int:
    """Run `body(argv)` and turn what it raises into one line and an exit code.

    A broken pipe (`… | head`) ends quietly. SIGTERM and SIGHUP are taken like Ctrl-C, so that a scheduler's warning, or
    the end of a connection, closes the open shard; under nohup, which ignores SIGHUP, it stays ignored. `command` is
    the module's name, for the line that resumes.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    codecs.register_error("slitlamp.signs", _escaped(SIGNS))  # what a terminal cannot show costs no table
    codecs.register_error("slitlamp.json", _escaped({}))
    for stream, errors in ((sys.stdout, "slitlamp.json" if "--json" in arguments else "slitlamp.signs"),
                           (sys.stderr, "slitlamp.signs")):  # fmt: skip
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    with contextlib.suppress(ValueError):  # not the main thread: the caller owns the signals
        for name in ("SIGTERM", "SIGHUP"):  # the second is none of Windows'
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
    kept = f"what was finished is kept. To resume: {shlex.join(['python', '-m', f'experiments.{command}', *arguments])}"
    with shown_on_stderr():
        try:
            code = body(arguments)
            _say_of_paths()
            return code
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
                say(
                    f"error: internal error ({type(error).__name__}): {one_line(error, whole=True)}; please report it "
                    "with --debug's output and `python -m experiments.doctor`"
                )
                return 1
            resume = f"; {kept}" if _resumes(error) else ""
            say(f"error: {one_line(error, whole=True)}{resume}")
            return code
