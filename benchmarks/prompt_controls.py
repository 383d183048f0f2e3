"""How often the controls of `visual_prompts` find what is not there: features that hold nothing, planted at random.

$ python benchmarks/prompt_controls.py [--full]

Prints the share of sets in which each test has p below .05. There is no peer.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
from itertools import permutations  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

from probes.prompts import controls, readout  # noqa: E402
from probes.prompts.audit import Presentations  # noqa: E402


def shown(rng: np.random.Generator, n: int, place: float) -> Presentations:
    """Presentations of n images whose marks are chosen for their place with that probability, else at random."""
    where = np.repeat(np.sort(rng.uniform(-1, 1, (n, 3, 2)), axis=1), 6, axis=0)
    correct, predicted = np.repeat(rng.integers(0, 3, n), 6), rng.integers(0, 3, 6 * n)
    predicted = np.where(rng.uniform(size=6 * n) < place, correct, predicted)
    return Presentations(
        item=np.repeat(np.arange(n), 6), colour=np.tile(np.array(list(permutations(range(3)))), (n, 1)), place=where,
        correct=correct, predicted=predicted, phase=np.repeat(rng.uniform(0, 0.5, (n, 3)), 6, axis=0),
    )  # fmt: skip


def found(seed: int, n: int, width: int) -> dict[str, float]:
    """The p of every test on one set of features without any signal."""
    rng = np.random.default_rng([77, seed, n])
    given = shown(rng, n, 0.5)
    fold = readout.folds(np.arange(n), rng)
    each, kind = np.repeat(fold, 6), np.tile(np.arange(6), n)
    scene = np.repeat(rng.normal(size=(n, width)), 6, axis=0) + 0.3 * rng.normal(size=(6 * n, width))
    label = rng.integers(0, 3, n)
    p = {}
    blank = controls.without_marks("without marks", rng.normal(size=(n, width)), label, fold, np.arange(n), rng)
    moved = controls.marker_control("marks elsewhere", rng.integers(0, 3, n), label, np.arange(n))
    colour = rng.permuted(np.tile(np.arange(3), (n, 2, 1)), axis=2)
    tokens = [rng.normal(size=(n, 6 * 8)) for _ in range(2)]
    read = controls.tokens_at_marks(tokens[0], tokens[1], colour, fold, np.arange(n), rng)
    read += controls.binding(np.concatenate([scene, given.place.reshape(6 * n, 6)], axis=1), given, each)
    for one in (blank, moved, *read):
        assert one is not None
        p[one.name] = one.p
    near = controls.by_phase(given)
    assert near is not None
    answer = given.colour[np.arange(6 * n), given.correct]
    predicted = readout.answers(scene, answer, each, kind, rng, marks=False)
    transfer = controls.paired_change(predicted.seen == answer, predicted.unseen == answer, given.item)
    return p | {"borders of tokens": near.p, "transfer": transfer.p}


def main() -> None:
    """Print how often each test finds something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="400 sets of each size, not 100")
    sets = 400 if parser.parse_args().full else 100
    for n, width in ((60, 20), (120, 20), (120, 200)):
        every = [found(seed, n, width) for seed in range(sets)]
        print(f"{n} images, {width} features, {sets} sets: p below .05 in")
        for name in every[0]:
            print(f"  {name:28} {np.mean([one[name] < 0.05 for one in every]):.3f}")


if __name__ == "__main__":
    main()
