"""How long cells took on this machine, by what they are and how large: what an estimate of time rests on."""

import math
from collections.abc import Mapping

from cache import Store, default_root
from slitlamp.probing.workers import Job

NEAR = 2.0  # times as many items, or features, as were measured: further away nothing is told


def kind_of(probe: str, level: str, permutations: int, repeats: int, *, nested: bool, detect: bool) -> str:
    """What kind of cell it is, as far as that decides how long it takes."""
    extras = "+nested" * nested + "+detect" * detect
    return f"{probe}:{level}{extras}:{permutations}x{repeats}"


class Measured:
    """Seconds of the cells of one call, kept in the store when they are done."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[str, str]] = {}
        self._seconds: dict[str, dict[str, float]] = {}

    def begun(self, job: Job) -> Job:
        """The job, whose size is noted."""
        items, width = job.features.x.shape
        plan = job.plan
        kind = kind_of(
            job.probe or plan.headline, job.level, len(plan.permuted), plan.repeats,
            nested=job.nested, detect=job.detect,
        )  # fmt: skip
        self._jobs[job.key] = kind, f"{items}x{width}"
        return job

    def done(self, key: str, seconds: float) -> None:
        """A job took so many seconds."""
        kind, size = self._jobs.pop(key)
        self._seconds.setdefault(kind, {})[size] = seconds

    def keep(self, store: Store) -> None:
        """Remember them beside what was known."""
        _keep(store, self._seconds)


def remember(kind: str, items: int, width: int, seconds: float) -> None:
    """Keep what one piece of work of a kind and size took on this machine."""
    _keep(Store(default_root()), {kind: {f"{items}x{width}": seconds}})


def _keep(store: Store, seconds: Mapping[str, Mapping[str, float]]) -> None:
    memo = store.memo("pace")
    known = memo.get_many(list(seconds))
    memo.put_many({kind: known.get(kind, {}) | sizes for kind, sizes in seconds.items()})


def expected(kind: str, items: int, width: int) -> float | None:
    """Seconds of one piece of work, by what was kept of its kind; None where nothing near its size was timed."""
    return seconds_of(Store(default_root()).memo("pace").get_many([kind]).get(kind, {}), items, width)


def seconds_of(known: Mapping[str, float], items: int, width: int) -> float | None:
    """Seconds of a cell, from the nearest size (items x width) that was measured here; None where none is near.

    >>> seconds_of({"100x64": 2.0}, 150, 64)
    3.0
    >>> seconds_of({"100x64": 2.0}, 1000, 64) is None
    True
    """
    found = []
    for size, seconds in known.items():
        n, d = (int(part) for part in size.split("x"))
        far = max(abs(math.log(items / n)), abs(math.log(width / d)))
        if far <= math.log(NEAR) + 1e-9:
            found.append((far, seconds * items / n))
    return min(found)[1] if found else None
