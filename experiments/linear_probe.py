"""Can a linear probe read the answer off an encoder's features, at each site and readout, against the controls?

$ python -m experiments.linear_probe --encoder biomedclip --task orientation
"""

import json
import sys
from collections.abc import Sequence

from experiments._cli import parse
from experiments._exit import DONE, guard

NAME = "linear_probe"


def _body(argv: Sequence[str]) -> int:
    options = parse(argv, NAME, __doc__ or "")
    from slitlamp.probing.run import plan_of, run

    if options.dry_run:
        print(json.dumps(plan_of(options), indent=1, ensure_ascii=False))
        return DONE
    return run(options, NAME)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every site and readout beside the controls; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
