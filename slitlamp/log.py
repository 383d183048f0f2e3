"""Lines and progress bars for whoever watches a run."""

import sys
from typing import Any


def say(text: str) -> None:
    """Write one line to stderr, where progress and logs belong."""
    print(text, file=sys.stderr, flush=True)


def progress(total: int, what: str) -> Any:
    """A bar on stderr; twice a minute where stderr is a log, so that logs stay readable."""
    from tqdm import tqdm

    lively = sys.stderr.isatty()
    return tqdm(total=total, desc=what, file=sys.stderr, mininterval=0.1 if lively else 30.0,
                leave=False, dynamic_ncols=lively, delay=1.0)  # fmt: skip
