"""Encode images into the feature store, and do nothing else: what a probe asks for later lies there already.

$ python -m experiments.extract --encoder biomedclip dinov2-b14 --data films/ --dry-run
$ python -m experiments.extract --encoder biomedclip --data films.csv --task orientation --controls
$ torchrun --nproc-per-node 8 -m experiments.extract --encoder biomedclip --data films/
$ python -m experiments.extract --encoder biomedclip --data films/ --shard 3/16
$ python -m experiments.extract --encoder biomedclip --data films/ --engine ray --address auto

Features lie under the keys, and are the bytes, that linear_probe would have written. docs/extract.md leads from a
laptop to a cluster.
"""

import contextlib
import io
import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import guard
from slitlamp.extraction.part import part_of
from slitlamp.extraction.settings import COMMAND
from slitlamp.log import named_lines


def _body(argv: Sequence[str]) -> int:
    rank = part_of("").rank
    with contextlib.redirect_stdout(io.StringIO()) if rank else contextlib.nullcontext():
        return answer(COMMAND, __doc__ or "", argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the store; returns the exit code."""
    with named_lines():
        return guard(_body, argv, COMMAND.name)


if __name__ == "__main__":
    sys.exit(main())
