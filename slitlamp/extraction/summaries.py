"""What each rank leaves for the one that sums up: a small file in the store, and a sign of life before that."""

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cache
from slitlamp.extraction.part import Part
from slitlamp.keys import digest
from slitlamp.log import say

PATIENCE = 600.0  # seconds without a sign of life after which a rank is given up
LOOK = 0.5  # seconds between two looks
SLACK = 60.0  # seconds that a rank may begin after another has ended


class Summaries:
    """The summaries of the ranks of one start; those of an earlier one are not taken for them."""

    def __init__(self, store: cache.Store, line: str, part: Part) -> None:
        self.part, self.began = part, time.time()
        key = digest([line, part.index // part.world, part.of, part.run])[:16]
        self.folder = store.inside("extract", key)

    def leave(self, rows: Sequence[dict[str, Any]], *, finished: bool) -> None:
        """Say that this rank lives, or what it did."""
        if self.part.world > 1:
            said = {
                "rank": self.part.rank, "attempt": self.part.attempt, "at": time.time(), "finished": finished,
                "rows": [*rows],
            }  # fmt: skip
            cache.write_atomically(self.folder / f"rank-{self.part.rank}.json", json.dumps(said))

    def of_all(self, rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
        """The rows of all ranks, once they have ended, and a line for each that has left none.

        A rank that gives no sign of life for `PATIENCE` seconds is given up.
        """
        if self.part.world == 1:
            return [*rows], []
        found: dict[int, list[dict[str, Any]]] = {}
        heard = time.time()
        others = [rank for rank in range(self.part.world) if rank != self.part.rank]
        said = False
        try:
            while len(found) < len(others) and time.time() - heard < PATIENCE:
                for rank in others:
                    told = self._read(rank)
                    if told is None:
                        continue
                    heard = max(heard, told["at"])
                    if told["finished"]:
                        found[rank] = told["rows"]
                if len(found) < len(others):
                    if not said and time.time() - heard > LOOK:
                        say(f"{len(others) - len(found)} of {self.part.world} ranks are still at work")
                        said = True
                    time.sleep(LOOK)
        finally:
            missing = [f"rank {rank} left no summary: its images may lack; give the same line again"
                       for rank in others if rank not in found]  # fmt: skip
            for line in missing:
                say(f"error: {line}")
        for path in [*self.folder.glob("rank-*.json")]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        return [*rows, *(row for rank in sorted(found) for row in found[rank])], missing

    def _read(self, rank: int) -> dict[str, Any] | None:
        path: Path = self.folder / f"rank-{rank}.json"
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        mine = told["at"] > self.began - SLACK and told["attempt"] == self.part.attempt
        return told if mine else None
