"""A whole model of a few lines with known faults: it sees a bright square on the left or on the right, and says so.

The tower is a user's file, so that the command loads it as any encoder; the language model is this.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE, N = 24, 48
NAME = "tiny.py"
TOWER = """
import numpy as np

import encoders

GRID = encoders.Site(width=6, grid=(3, 3))
CARD = encoders.Card(name="tiny", licence="Apache-2.0",
                     sites={"block.0": GRID, "block.1": GRID, "connector": encoders.Site(width=5, grid=(3, 3))})
RNG = np.random.default_rng(7)
EMBED, INNER, HANDS_ON = (RNG.standard_normal(shape) for shape in ((64, 6), (6, 6), (6, 5)))
EMBED[:, 0] = 1 / 8
TOWER, CONNECTOR = "sees", "keeps"


def small(image):
    grey = image if image.ndim == 2 else image.mean(axis=2)
    rows, columns = (np.linspace(0, side - 1, 24).astype(int) for side in grey.shape)
    return grey[np.ix_(rows, columns)]


def features(images):
    cut = np.stack([small(i).reshape(3, 8, 3, 8).swapaxes(1, 2).reshape(9, 64) for i in images]) / 64.0 - 1.5
    if TOWER == "blind":
        cut = np.broadcast_to(cut.mean(axis=1, keepdims=True), cut.shape)
    first = cut @ EMBED
    second = first + np.tanh(first @ INNER / 8)
    out = second @ HANDS_ON
    if CONNECTOR == "nulls":
        out = np.broadcast_to(out.mean(axis=1, keepdims=True), out.shape).copy()
    if CONNECTOR == "skewed":
        out = out @ np.diag(0.1 ** np.arange(5))
    return {"block.0": first, "block.1": second, "connector": out}


def load(device):
    return encoders.from_function(CARD, features)
"""


def files(folder: Path, tower: str = "sees", connector: str = "keeps", *, remembered: bool = False) -> None:
    """Images with a manifest, and the tower's file, with its faults, in a folder.

    With `remembered` the file says that it rests on nothing else, so that who it is is remembered.
    """
    rng = np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "name", "patient", "side", "tilt"])
        for k in range(N):
            image = rng.integers(60, 140, (SIDE, SIDE)) + rng.integers(-15, 15)
            x, y = (16 if k % 2 else 0), int(rng.integers(0, 16))
            image[y : y + 8, x : x + 8] += 60
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{k:02}.png")
            rows.writerow([f"{k:02}.png", f"square{k}", f"p{k}", "right" if k % 2 else "left", f"{rng.normal():.4f}"])
    text = TOWER.replace('TOWER, CONNECTOR = "sees", "keeps"', f'TOWER, CONNECTOR = "{tower}", "{connector}"')
    (folder / NAME).write_text(text + "\n\nFILES = ()\n" * remembered)


def whole(answers: str) -> Any:
    """What stands in for `encoders.load_whole`: a model that works, ignores its images, or has one answer only."""
    import encoders
    from encoders.answering.model import WholeModel

    def load_whole(spec: str, **_: Any) -> WholeModel:
        tower = encoders.load(spec, device="cpu")
        sites = dict(tower.card.sites)
        layer = encoders.Site(width=5, grid=(3, 3), last=True)
        card = _card(tower.card, sites | {"lm.0": layer, "lm.final": layer})

        known: dict[bytes, np.ndarray] = {}

        def tokens_of(image: np.ndarray | None) -> np.ndarray:
            if image is None:
                return np.zeros((9, 5), np.float32)
            if image.tobytes() not in known:
                made = tower.forward([image], ["connector"])["connector"][0]
                known[image.tobytes()] = np.asarray(made, np.float32)
            return known[image.tobytes()]

        def received(prompts: Sequence[Any]) -> list[np.ndarray]:
            return [tokens_of(prompt.image) for prompt in prompts]

        def next_token(prompts: Sequence[Any], ids: Sequence[int], edit: Any = None) -> np.ndarray:
            import torch

            found = np.full((len(prompts), len(ids)), -9.0)
            for i, (prompt, tokens) in enumerate(zip(prompts, received(prompts), strict=True)):
                given = tokens
                if edit is not None and prompt.image is not None:
                    given = edit(i, torch.as_tensor(tokens)).numpy()
                odds = _right(given, answers)
                lines = [line for line in prompt.text.splitlines() if line[1:3] == ". "]
                for line in lines:
                    says = ("right" in line) - ("left" in line)
                    found[i, [k for k, one in enumerate(ids) if one == ord(line[0])]] = says * odds
            return found - np.logaddexp.reduce(found, axis=1, keepdims=True)

        def reader(text: str) -> Any:
            def forward(batch: Any, wanted: Sequence[str], reduce: Any = None, **_: Any) -> dict[str, Any]:
                given = {name: np.asarray(v) for name, v in tower.forward(batch, list(sites)).items()}
                tokens = given["connector"]
                odds = np.array([_right(one, answers) for one in tokens])[:, None, None]
                last = np.concatenate([odds, np.zeros((len(tokens), 1, 4))], axis=2)
                layers = dict.fromkeys(("lm.0", "lm.final"), np.concatenate([tokens, last], axis=1))
                every = given | layers
                return {site: reduce(site, every[site]) if reduce else every[site] for site in wanted}

            import dataclasses

            return dataclasses.replace(
                tower, card=card, forward=forward, fingerprint=f"{tower.fingerprint}{answers}{len(text)}"
            )

        return WholeModel(
            card=card, encoder=tower, fingerprint=tower.fingerprint + answers, layers=1, template="none",
            next_token=next_token, continuations=lambda *_: [], generate=lambda *_: [],
            tokens=lambda text, *_: (ord(text.strip()),), connector=received, reader=reader,
            files=tower.files, libraries=tower.libraries,
        )  # fmt: skip

    return load_whole


def _card(card: Any, sites: dict[str, Any]) -> Any:
    import dataclasses

    return dataclasses.replace(card, sites=sites)


def _right(tokens: np.ndarray, answers: str) -> float:
    """Log-odds of "right": how much brighter the tokens of the right column are than those of the left."""
    if answers == "constant":
        return 0.0
    columns = (tokens @ BRIGHT).reshape(3, 3)
    if answers == "ignores":
        return 0.05 * float(np.cos(37 * columns.sum()))
    return float(2 * (columns[:, 2] - columns[:, 0]).sum())


def _bright() -> np.ndarray:
    """What reads brightness off the tokens that the connector hands on, [5]."""
    rng = np.random.default_rng(7)
    hands_on = [rng.standard_normal(shape) for shape in ((64, 6), (6, 6), (6, 5))][-1]
    return np.linalg.pinv(hands_on)[:, 0]


BRIGHT = _bright()
