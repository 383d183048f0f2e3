"""Find copies of one image in a source, above all those that lie in more than one group.

$ python -m experiments.duplicates --data films/manifest.csv --group patient_id
$ python -m experiments.duplicates --data films/ --write groups.csv
$ python -m experiments.duplicates --data films/ --encoder pixels --thumbnails pairs.png

Exit 0 where no copies cross groups, 3 where some do.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from experiments._cli import flags_of, make_parser
from experiments._exit import DATA, DONE, guard
from slitlamp.log import say
from slitlamp.settings import Settings, check_bounds

FLAGS = ("data", "group", "spelling", "volumes", "image_column", "window", "intercept", "exif", "unreadable",
         "weights", "other_weights", "image_size", "device", "batch_size", "offline", "json", "debug")  # fmt: skip


def _body(argv: Sequence[str]) -> int:
    parser = make_parser("duplicates", __doc__ or "", FLAGS, required=("data",))
    parser.add_argument("--encoder", nargs=1, metavar="NAME", help="also list pairs near in this encoder's features")
    parser.add_argument("--write", metavar="FILE.csv", help="write a manifest whose `group` keeps copies together")
    parser.add_argument("--replace", action="store_true", default=False, help="write over files of these names")
    parser.add_argument("--thumbnails", metavar="FILE.png", help="draw the pairs that cross groups, least alike first")
    given: dict[str, Any] = flags_of(parser, argv)
    files = {name: given.pop(name, None) for name in ("write", "thumbnails", "replace")}
    given.setdefault("encoder", ())
    settings = Settings.of(**given)
    check_bounds(settings)
    from slitlamp.duplicates.search import find_duplicates, page
    from slitlamp.log import printable

    found, write = find_duplicates(settings, **files), files["write"]
    noun = "volumes" if settings.source.volumes else "images"
    print(json.dumps(found, indent=1, ensure_ascii=False) if settings.output.json else printable(page(found, noun)))
    if write:
        say(f"{write} written; use it as --data {write} --group group{' --volumes' * settings.source.volumes}")
    return DATA if found["clusters_across_groups"] else DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Print the copies that cross groups; returns the exit code."""
    return guard(_body, argv, "duplicates")


if __name__ == "__main__":
    sys.exit(main())
