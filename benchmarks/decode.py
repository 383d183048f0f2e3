"""Image files to model input: our decoder and Pillow-greys beside PIL, RGB and torchvision's transforms.

Both read the same temporary files, in turn and in rotating order, and both end in float32 [3, 224, 224];
the arrays must be the same bits. CPU seconds of one thread; the median over rounds of the ratio.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

ROOT = Path(__file__).parents[1]
SIZE = 224
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
ROUNDS = 5
COUNT = 6  # files of each kind
KINDS = {  # name -> height, width, channels, extension
    "JPEG 1024x1024 grey": (1024, 1024, 1, "jpg"),
    "JPEG 375x500 colour": (375, 500, 3, "jpg"),
    "PNG 600x800 grey": (600, 800, 1, "png"),
    "PNG 512x512 colour": (512, 512, 3, "png"),
}


def scene(rng: np.random.Generator, h: int, w: int, channels: int) -> np.ndarray:
    """Smooth shapes with a little noise, so that files have the size of films rather than of noise."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    planes = []
    for _ in range(channels):
        plane = sum(
            rng.uniform(20, 60) * np.sin(x * rng.uniform(0.005, 0.05) + y * rng.uniform(0.005, 0.05)) for _ in range(4)
        )
        planes.append(plane + 128 + rng.normal(0, 4, (h, w)))
    return np.clip(np.squeeze(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def write(folder: Path) -> dict[str, Path]:
    """One folder of files per kind."""
    from PIL import Image

    rng = np.random.default_rng(0)
    places = {}
    for k, (name, (h, w, channels, ext)) in enumerate(KINDS.items()):
        places[name] = folder / str(k)
        places[name].mkdir()
        for i in range(COUNT):
            extra: dict[str, Any] = {"quality": 90} if ext == "jpg" else {}
            Image.fromarray(scene(rng, h, w, channels)).save(places[name] / f"{i}.{ext}", **extra)
    return places


def peer() -> Callable[[Path], np.ndarray]:
    """What probing code usually does: PIL, RGB, Resize, CenterCrop, ToTensor, Normalize."""
    from PIL import Image
    from torchvision import transforms as t

    chain = t.Compose(
        [
            t.Resize(SIZE, interpolation=t.InterpolationMode.BICUBIC),
            t.CenterCrop(SIZE),
            t.ToTensor(),
            t.Normalize(MEAN, STD),
        ]
    )

    def load(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return chain(image.convert("RGB")).numpy()

    return load


def ours() -> Callable[[Any], np.ndarray]:
    """A picture of an opened source, through the transform that every encoder of ours shares."""
    from encoders import Input
    from encoders.extraction.images import transform

    spec = Input(
        size=(SIZE, SIZE),
        resize="shortest",
        crop="center",
        mean=MEAN,
        std=STD,
        interpolation="bicubic",
        backend="open_clip",
    )
    prepare = transform(spec)
    return lambda picture: prepare(picture.read())


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it returned."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> int:
    """Print one line per kind; 1 where the two differ in any bit."""
    sys.path.insert(0, str(ROOT))
    import torch

    import tasks

    torch.set_num_threads(1)
    theirs, mine = peer(), ours()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name, place in write(Path(folder)).items():
            opening, source = seconds(lambda place=place: tasks.open_source(str(place)))
            paths = sorted(place.iterdir(), key=lambda p: int(p.stem))
            pictures = [row.picture for row in source.rows]
            runs = {
                "theirs": lambda paths=paths: [theirs(p) for p in paths],
                "ours": lambda pictures=pictures: [mine(p) for p in pictures],
            }
            spent: dict[str, list[float]] = {key: [] for key in runs}
            results: dict[str, Any] = {}
            for turn in range(ROUNDS + 1):
                for key in list(runs)[:: 1 if turn % 2 else -1]:
                    cost, results[key] = seconds(runs[key])
                    if turn:  # the first round warms up
                        spent[key].append(cost)
            same = all(np.array_equal(a, b) for a, b in zip(results["theirs"], results["ours"], strict=True))
            failed |= not same
            ratio = np.median(np.array(spent["theirs"]) / np.array(spent["ours"]))
            a, b = (1000 * np.median(spent[key]) / COUNT for key in ("theirs", "ours"))
            print(
                f"{name:22} PIL + torchvision {a:6.2f} ms, ours {b:6.2f} ms: x{ratio:.2f}, "
                f"{'same bits' if same else 'DIFFERENT PIXELS'}; opening {1000 * opening / COUNT:.2f} ms"
            )
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
