"""The state of this machine: whether what a run needs is there, each tried as a run would, and where it lies."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "torchvision", "timm", "open-clip-torch", "transformers", "numpy", "scipy", "h5py",
             "pillow", "highdicom", "nibabel", "matplotlib")  # fmt: skip
MODULES = ("torch", "torchvision", "timm", "open_clip", "transformers", "numpy", "scipy", "h5py", "PIL", "highdicom",
           "nibabel", "matplotlib", "joblib", "pyarrow", "pydicom", "imagecodecs", "tifffile", "safetensors",
           "threadpoolctl", "filelock", "platformdirs", "tqdm", "huggingface_hub")  # fmt: skip
LEAST_FREE = 1e9  # bytes: a run of a few hundred images needs less


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _imports() -> str:
    """Import every library that a run may need, and see that none is older than it may be."""
    from encoders.libraries.floors import too_old

    for name in MODULES:
        import_module(name)
    if found := too_old():
        raise ImportError(f"{'; '.join(found)}; `./uv sync` brings the tested versions")
    return f"{len(MODULES)} libraries can be imported"


def _device() -> str:
    import torch

    from slitlamp.encoding.encoder import described_device, resolve_device

    device = resolve_device("auto")
    return f"cpu, {torch.get_num_threads()} threads" if device == "cpu" else described_device(device)


def _store() -> str:
    """Write into the feature store as a run does, with the words of a run where that fails."""
    from cache import Store, default_root

    root = default_root()
    Store(root).memo("doctor").put_many({"written": True}, required=True)
    for left in (root / "memo").glob("doctor.sqlite*"):
        left.unlink()
    return f"{root}, {_free(root)}"


def _out() -> str:
    """Write where a run without --out would put its results."""
    from slitlamp.disk import require_writable

    runs = Path("runs").absolute()
    made = not runs.exists()
    require_writable(runs)
    free = _free(runs)
    if made:
        runs.rmdir()
    return f"{runs}, {free}"


def _free(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise OSError(28, f"only {free / 1e6:.0f} MB are free, and a run needs some hundreds", str(folder))
    return f"{free / 1e9:.0f} GB free"


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


def _probe() -> str:
    """Probe made features on worker processes, as a run does."""
    import numpy as np

    import probes
    from slitlamp.probing.workers import Job, run_jobs

    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    given = probes.feature_set(rng.standard_normal((60, 4)) + 3.0 * y[:, None], [str(label) for label in y])
    plan = probes.plan(given.y, given.groups, classes=given.classes, repeats=1, permutations=19)
    made = {"probe": None, "level": "screen", "seed": 0, "pool": None, "detect": False}
    jobs = (Job(key=str(k), features=given, plan=plan, nested=False, **made) for k in range(4))  # type: ignore[arg-type]
    scores = [measured.estimate.score for _, measured, _ in run_jobs(jobs, 4, 2, "doctor")]
    if len(scores) < 4 or min(scores) < 0.9:
        raise RuntimeError(f"an answer that is plain to see was read with {scores}")
    return f"two worker processes read a planted answer (balanced accuracy {min(scores):.2f})"


def _pictures() -> str:
    """Draw text and lines into each format of the figures."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from slitlamp.reports.plots import STYLE, SUFFIXES, save

    with tempfile.TemporaryDirectory() as folder, mpl.rc_context(STYLE):
        figure = Figure(figsize=(2, 1))
        figure.subplots().set_title("R² · 3 × 3")
        names = save(figure, Path(folder) / "doctor")
    if len(names) < len(SUFFIXES):
        raise RuntimeError("not every format of a figure can be written; the lines above say why")
    return f"{', '.join(SUFFIXES)}, {STYLE['font.family']}"


def examine() -> tuple[dict[str, Any], Exception | None]:
    """What is found, in order, and the first error of what was tried; each that fails is a row that says so."""
    rows: dict[str, Any] = {"python": platform.python_version()}
    rows |= {name: _version(name) for name in LIBRARIES}
    first: Exception | None = None
    tried: dict[str, Callable[[], str]] = {
        "libraries": _imports,
        "device": _device,
        "store": _store,
        "results": _out,
        "smoke run": _smoke,
        "probing": _probe,
        "pictures": _pictures,
    }
    for what, attempt in tried.items():
        try:
            rows[what] = attempt()
        except Exception as error:  # the doctor reports whatever is ill
            text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
            rows[what] = f"FAILED: {type(error).__name__}: {' '.join(str(text).split())}"
            first = first or error
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    rows["hub"] = "offline (HF_HUB_OFFLINE)" if offline else "asked when weights are missing"
    return rows, first
