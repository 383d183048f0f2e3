"""Can a linear probe read the answer off an encoder's features, at each site and readout, against the controls?

$ python -m experiments.linear_probe --encoder phantom-clip --task orientation contrast-turned
$ python -m experiments.linear_probe --encoder biomedclip dinov2-b14 --data films.csv --label age --group patient
$ python -m experiments.linear_probe --encoder path/to/mine.py --task mirror --data films/ --dry-run
"""

import json
import sys
from collections.abc import Sequence

from experiments._cli import parse, told
from experiments._exit import DONE, PARTIAL, guard
from slitlamp.settings import with_folder

NAME = "linear_probe"


def _body(argv: Sequence[str]) -> int:
    settings = with_folder(parse(argv, NAME, __doc__ or ""), NAME)
    if settings.output.dry_run:
        from slitlamp.ablation.priced import priced
        from slitlamp.log import each_line_once
        from slitlamp.probing.run import plan_of
        from slitlamp.questions import Opened
        from slitlamp.settings import command_line

        opened: Opened = {}
        with each_line_once(set()):
            price = priced(settings, command_line(settings, NAME), NAME, cells=True, opened=opened)
            if not settings.output.json:
                return told(price, as_json=False)
            document = plan_of(settings, opened) | {"totals": price.table("totals")[0], "failed": [*price.failed]}
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return PARTIAL if price.failed else DONE
    from slitlamp.api import run_probe
    from slitlamp.log import say

    result = run_probe(settings)
    if settings.output.json:
        print(result.to_json(), end="")
    else:
        print(result.text(full=settings.output.table == "full"))
    say(result.summary)
    return PARTIAL if result.failed else DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every site and readout beside the controls; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
