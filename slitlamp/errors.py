"""What the library raises when it cannot do what was asked."""


class UsageError(Exception):
    """The command line cannot be carried out as written (exit 2)."""


class WorkerKilledError(Exception):
    """A worker process was killed from outside; what was finished is kept (exit 5)."""
