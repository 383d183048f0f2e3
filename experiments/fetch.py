"""Bring encoders into folders for a machine without a network: plain files, and of big models the image side alone.

$ python -m experiments.fetch clip-b16 llava-med --out carry --dry-run
$ python -m experiments.fetch clip-b16 llava-med --out carry
$ python -m experiments.linear_probe --encoder clip-b16 --weights carry/clip-b16 --offline --task mirror

The hub's token is that of `hf auth login`, or HF_TOKEN; it goes to the hub alone. Called again, it goes on where it was
cut. `sha256sum -c SHA256SUMS` in each folder says whether all of it arrived.
"""

import json
import sys
from collections.abc import Sequence

from experiments._cli import command_parser
from experiments._exit import DONE, ENCODER, PARTIAL, guard


def _body(argv: Sequence[str]) -> int:
    parser = command_parser("fetch", __doc__)
    parser.add_argument(
        "name", nargs="+", metavar="NAME", help="a registered encoder, hf:REPO@REV, timm: or open_clip:"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where a folder for each is made")
    parser.add_argument("--whole", action="store_true", help="the language model too, for `answers` and `diagnose`")
    parser.add_argument("--dry-run", action="store_true", help="say what would be fetched, and of what size")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a line")
    asked = parser.parse_args(list(argv))
    from slitlamp.fetching import carried, fetch

    found = fetch(asked.name, asked.out, whole=asked.whole, dry_run=asked.dry_run)
    if asked.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    elif found["folders"] and not asked.dry_run:
        print(carried(found["folders"]))
    return DONE if not found["failed"] else PARTIAL if found["folders"] else ENCODER


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch; returns the exit code."""
    return guard(_body, argv, "fetch")


if __name__ == "__main__":
    sys.exit(main())
