"""What the library raises when it cannot do what was asked."""

LONGEST = 2000  # letters of an error that are shown


class UsageError(Exception):
    """The command line cannot be carried out as written (exit 2)."""


class WorkerKilledError(Exception):
    """A worker process was killed from outside; what was finished is kept (exit 5)."""


def one_line(error: BaseException) -> str:
    """What an error says, in one line: of the system's errors the file and the reason, of one without words its type.

    >>> one_line(FileNotFoundError(2, "No such file or directory", "films.csv"))
    'films.csv: No such file or directory'
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{str(error.filename)[:LONGEST]}: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more letters)"
