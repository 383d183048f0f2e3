"""Where is a fact lost on its way through a model: encoder, connector, alignment with text, language model?

$ python -m experiments.diagnose --model phantom-clip --task contrast depth
$ python -m experiments.diagnose --model llava-med --task orientation --data films/manifest.csv --group patient
$ python -m experiments.diagnose --model phantom-llava --task orientation --causal off
"""

import sys
from collections.abc import Sequence

from experiments._cli import answer
from experiments._exit import guard
from slitlamp.diagnosis.settings import COMMAND


def _body(argv: Sequence[str]) -> int:
    return answer(COMMAND, __doc__ or "", argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Follow what was asked through the model; returns the exit code."""
    return guard(_body, argv, COMMAND.name)


if __name__ == "__main__":
    sys.exit(main())
