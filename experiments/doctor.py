"""Say whether this machine is ready: versions, device, store, a ten-image run.

$ python -m experiments.doctor
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from experiments._cli import _Parser
from experiments._exit import DONE, ENCODER, guard
from slitlamp.reports.text import table

LIBRARIES = ("torch", "torchvision", "timm", "open-clip-torch", "transformers", "numpy", "scipy", "h5py",
             "pillow", "highdicom", "nibabel", "matplotlib")  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name(0)}"
    return f"cpu, {torch.get_num_threads()} threads"


def _smoke() -> str:
    """Encode ten phantoms with the shipped encoder and read them back from a store of their own."""
    import encoders
    import tasks
    from cache import Store, content_digest

    start = time.perf_counter()
    encoder = encoders.load("phantom-clip")
    task = tasks.load("orientation")
    assert task.phantoms is not None
    images = [row.picture.read() for row in task.phantoms(20, 0).rows[:10]]
    arrays = encoders.encode(encoder, images, {"pooled": ["vector"]})
    contents = [content_digest(image) for image in images]
    with tempfile.TemporaryDirectory() as folder:
        space = Store(Path(folder)).space({"doctor": encoder.fingerprint}, label="doctor")
        with space.writer({"pooled/vector": arrays["pooled/vector"].shape[1]}, total=len(images)) as writer:
            writer.add(contents, arrays)
        back = space.read(contents, "pooled/vector")
    error = float(abs(back - arrays["pooled/vector"]).max())
    return f"{len(images)} images encoded, stored, read back (error {error:.1e}) in {time.perf_counter() - start:.1f} s"


def _body(argv: Sequence[str]) -> int:
    parser = _Parser(
        prog="python -m experiments.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    asked = parser.parse_args(list(argv))
    from cache import default_root

    root = default_root()
    held = next(p for p in [root, *root.parents] if p.exists())
    rows: dict[str, Any] = {"python": platform.python_version()}
    rows |= {name: _version(name) for name in LIBRARIES}
    rows["device"] = _device()
    rows["store"] = f"{shutil.disk_usage(held).free / 1e9:.0f} GB free" + (
        "" if os.access(held, os.W_OK) else ", NOT WRITABLE"
    )
    rows["hub"] = (
        "offline (HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") == "1" else "asked when weights are missing"
    )
    code = DONE
    try:
        rows["smoke run"] = _smoke()
    except Exception as error:  # the doctor reports whatever is ill
        if asked.debug:
            raise
        rows["smoke run"] = f"FAILED: {type(error).__name__}: {error}"
        code = ENCODER
    listing = [{"what": k, "found": v} for k, v in rows.items()]
    print(json.dumps(rows, indent=1) if asked.json else table(listing))
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Print the state of the machine; returns the exit code."""
    return guard(_body, argv, "doctor")


if __name__ == "__main__":
    sys.exit(main())
