"""What the library raises when it cannot do what was asked."""


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
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
