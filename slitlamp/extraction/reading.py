"""Images that cannot be read: left out, said, and too many of them refused."""

from slitlamp.extraction.asked import Asked
from slitlamp.log import say
from tasks import DataError, Undecided
from tasks.sources.check import refuse_above


class Unreadable:
    """Takes what cannot be read of a set that was not decoded before; of any other it ends the pass.

    Raises DataError once they are more than the set's limit accepts, and Undecided.
    """

    def __init__(self, one: Asked) -> None:
        self.asked, self.bad = one, list(one.before)
        self.total = len(one.pictures.pictures) + len(one.before)

    def __call__(self, place: int, error: DataError) -> None:
        """Take the error of the picture at that place."""
        cause = error.__cause__ if isinstance(error.__cause__, DataError) else error
        if isinstance(cause, Undecided) or not self.asked.lazily:
            raise cause
        self.bad.append((self.asked.pictures.names[place], str(cause)))
        say(f"unreadable, left out: {self.bad[-1][0]}: {self.bad[-1][1]}")
        if len(self.bad) > self.asked.limit * self.total:
            refuse_above(self.bad, self.total, self.asked.limit, noun_of(self.asked))


def noun_of(one: Asked) -> str:
    """What an item is called in a sentence."""
    return "volumes" if one.pictures.volumes else "images"
