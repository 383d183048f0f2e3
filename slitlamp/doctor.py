"""The state of this machine: versions, device, store, a ten-image run."""

import os
import platform
import shutil
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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


def examine() -> tuple[dict[str, Any], Exception | None]:
    """What is found, in order, and the error of the smoke run where it failed."""
    from cache import default_root

    root = default_root()
    held = next(p for p in [root, *root.parents] if p.exists())
    writable = "" if os.access(held, os.W_OK) else ", NOT WRITABLE"
    rows: dict[str, Any] = {"python": platform.python_version()}
    rows |= {name: _version(name) for name in LIBRARIES}
    rows["device"] = _device()
    rows["store"] = f"{shutil.disk_usage(held).free / 1e9:.0f} GB free{writable}"
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    rows["hub"] = "offline (HF_HUB_OFFLINE)" if offline else "asked when weights are missing"
    try:
        rows["smoke run"] = _smoke()
    except Exception as error:  # the doctor reports whatever is ill
        rows["smoke run"] = f"FAILED: {type(error).__name__}: {error}"
        return rows, error
    return rows, None
