"""What does an embedding look like in two dimensions, and may the picture be believed?

$ python -m experiments.embedding_plot --encoder biomedclip --task orientation
$ python -m experiments.embedding_plot --encoder biomedclip --data films/manifest.csv --label age --group patient
$ python -m experiments.embedding_plot --encoder phantom-clip --task mirror --site pooled --map pca --width 85
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import guard
from slitlamp.embedding.settings import COMMAND


def _body(argv: Sequence[str]) -> int:
    return answer(COMMAND, __doc__ or "", argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the maps; returns the exit code."""
    return guard(_body, argv, COMMAND.name)


if __name__ == "__main__":
    sys.exit(main())
