"""Where the project and the shared images are: tests that want the latter skip where there are none."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("SLITLAMP_SHARED", ROOT.parent / "shared" / "data"))
