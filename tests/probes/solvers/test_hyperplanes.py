"""The hyperplanes of probes give the scores that the probes gave, item by item."""

from dataclasses import replace

import numpy as np
import pytest

import probes
from probes import FeatureSet, ProbeError
from probes.solvers.hyperplanes import exchanged, hyperplanes


def given(k: int | None, n: int, d: int, seed: int = 0) -> FeatureSet:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, d)) * rng.uniform(0.01, 50, d) + rng.normal(size=d) * 20).astype(np.float32)
    x[:, 1] = 3.0  # a column that does not vary
    y = x[:, 0] * 2.5 + rng.normal(size=n) if k is None else np.arange(n) % k
    if k is not None:
        x[:, 0] += 40 * y
    return FeatureSet(
        x=x, y=y.astype(np.float64 if k is None else np.int64), groups=np.arange(n) // 2,
        ids=[str(i) for i in range(n)], classes=None if k is None else tuple("abcdef"[:k]),
    )  # fmt: skip


@pytest.mark.parametrize(("probe", "k"), [("ridge", 2), ("ridge", 3), ("ridge", None), ("linear", 2), ("linear", 3)])
@pytest.mark.parametrize(("n", "d"), [(48, 90), (96, 12)])
def test_hyperplanes_give_the_held_out_scores(probe: str, k: int | None, n: int, d: int) -> None:
    features = given(k, n, d)
    plan = probes.plan(features.y, features.groups, classes=features.classes, folds=4, repeats=2, permutations=19)
    penalty = plan.penalty
    found = probes.load(probe)(features, plan.folds, np.random.default_rng(7))
    items = np.array([0, 3, 17, n - 1])
    planes = hyperplanes(features, plan.folds, items, np.random.default_rng(7), probe=probe, penalty=penalty)
    due = found.score.mean(axis=0)[items]
    assert np.allclose(planes.scores(features.x[items]), due, rtol=1e-6, atol=1e-6 * np.abs(due).max())
    elsewhere = planes.scores(features.x[items[::-1]])
    assert not np.allclose(elsewhere, due, rtol=1e-2)


def test_a_probe_without_hyperplane_is_refused() -> None:
    features = given(2, 40, 5)
    with pytest.raises(ProbeError, match="has no hyperplane"):
        hyperplanes(features, np.zeros((1, 40), int), [0], np.random.default_rng(0), probe="knn")


@pytest.mark.parametrize("probe", ["ridge", "linear"])
def test_every_item_has_the_labels_of_its_draw(probe: str) -> None:
    features = given(2, 48, 30)
    plan = probes.plan(features.y, features.groups, classes=features.classes, folds=4, repeats=1, permutations=19)
    items, labels = np.array([1, 9, 20, 33, 40]), plan.draws(2, 5)
    found = exchanged(features, plan.folds, items, labels, np.random.default_rng(7), probe=probe)
    for b in (0, 1):
        one = replace(features, y=labels[b])
        due = hyperplanes(one, plan.folds, items[b::2], np.random.default_rng(7), probe=probe)
        assert np.allclose(found.scores(features.x[items])[b::2], due.scores(features.x[items[b::2]]), atol=1e-6)
