"""Do answers about coloured marks follow the place of a mark or its colour, its size and position, or the upright?

$ python -m experiments.visual_prompts --encoder phantom-clip --task depth
$ python -m experiments.visual_prompts --task depth --answers answers.csv
$ python -m experiments.visual_prompts --encoder phantom-clip --task orientation --items 60
"""

import json
import sys
from collections.abc import Sequence

from experiments._cli import flags_of, make_parser, told
from experiments._exit import DONE, guard
from slitlamp.prompts.settings import DEFAULT, KEPT, NAME, asked_for, command_line

ABOUT = {
    "task": "the question: depth, wave-depth and their like, or orientation",
    "site": "sites to read (omitted: the last grid)",
    "readout": "readouts to read (omitted: mean, grid3, at-mark)",
}


def _body(argv: Sequence[str]) -> int:
    parser = make_parser(NAME, __doc__ or "", KEPT, default=DEFAULT, about=ABOUT)
    parser.add_argument("--sizes", nargs="*", type=float, metavar="SHARE", help="radii besides the marks' own, as "
                        "shares of the shorter side (default: 0.009 0.018)")  # fmt: skip
    parser.add_argument("--answers", metavar="FILE.csv", help="answers of a model: item, assignment (rgb … bgr from "
                        "left to right, none, moved), answer; for orientation item, turned, answer")  # fmt: skip
    parser.add_argument("--images", action="store_true", help="write every picture as PNG, to show it to a model")
    parser.add_argument("--details", action="store_true", help="print every responder in full, not a table of them")
    asked = asked_for(flags_of(parser, argv))
    output = asked.settings.output
    from slitlamp.disk import output_folder
    from slitlamp.log import printable, say
    from slitlamp.probing.workers import spare_threads
    from slitlamp.prompts.files import deliver
    from slitlamp.prompts.page import page
    from slitlamp.prompts.run import run

    if output.dry_run:
        from slitlamp.prompts.priced import priced

        return told(priced(asked), as_json=output.json)
    with spare_threads(), output_folder(asked.out, "audit.json", command_line(asked), replace=output.replace):
        found = run(asked)
        document, files = deliver(found, asked)
    text = page(found, asked, full=asked.details)
    print(json.dumps(document, indent=1, ensure_ascii=False) if output.json else printable(text))
    say(f"files in {asked.out}: {', '.join(files)}")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Audit a probe's or a model's answers; returns the exit code."""
    return guard(_body, argv, NAME)


if __name__ == "__main__":
    sys.exit(main())
