"""The text split on planted spaces: each term where it was planted, and nowhere else."""

import numpy as np
import pytest

import probes
from probes.stages.alignment import Alignment, alignment

N, D = 200, 128


def planted(cosine: float, offset: float, distance: float, seed: int = 0) -> tuple[np.ndarray, list, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(N) % 2)
    v, other = np.linalg.qr(rng.standard_normal((D, 2)))[0].T
    t = cosine * v + np.sqrt(1 - cosine**2) * other
    x = rng.standard_normal((N, D)) + distance * (y[:, None] - 0.5) * v + offset * t
    texts = [rng.standard_normal(D) * 0 + 2 + (c - 0.5) * 10 * t + 0.3 * rng.standard_normal((6, D)) for c in (0, 1)]
    return x, texts, y


def of(cosine: float, offset: float, distance: float, seed: int = 0) -> Alignment:
    x, texts, y = planted(cosine, offset, distance, seed)
    return alignment(x, texts, probes.plan(y, np.arange(N), classes=("a", "b"), permutations=99, repeats=2))


def test_aligned_texts_lose_nothing() -> None:
    a = of(0.9, 0.0, 4.5)
    assert (a.direction.state, a.threshold.state) == ("none", "none")
    assert a.zero_shot.value > 0.9
    assert a.correlation.low is not None
    assert a.correlation.low > 0.8
    assert a.cosine > 3 * a.cosine_bound == pytest.approx(3 * 1.96 / np.sqrt(D))
    assert a.cross_modal is not None
    assert a.cross_modal.value > 0.95
    assert len(a.per_template) == 6


def test_an_offset_is_a_threshold_and_taking_off_the_mean_mends_it() -> None:
    a = of(0.9, 4.0, 4.5)
    assert a.threshold.material
    assert not a.direction.some
    assert a.zero_shot.value < 0.6
    assert a.auc.value > 0.95
    assert a.zero_shot_centred.value > 0.9


def test_texts_along_another_direction_are_a_direction() -> None:
    a = of(0.05, 0.0, 4.5)
    assert a.direction.material
    assert not a.threshold.some
    assert a.auc.value < 0.7
    assert a.correlation.high is not None
    assert a.correlation.high < 0.5
    assert a.cross_modal is not None
    assert a.cross_modal.value < 0.7


def test_nothing_to_read_is_nothing_lost() -> None:
    a = of(0.5, 0.0, 0.0)
    assert not a.direction.some
    assert not a.threshold.some
    assert abs(a.correlation.value) < 0.2
    assert abs(a.cosine) < 2 * a.cosine_bound


def test_terms_sum_and_numbers_by_hand() -> None:
    x, texts, y = planted(0.5, 1.0, 3.0)
    a = of(0.5, 1.0, 3.0)
    assert a.direction.loss + a.threshold.loss == pytest.approx(a.gap.loss)
    assert a.probe.value - a.zero_shot.value == pytest.approx(a.gap.loss)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    one = [np.mean([t / np.linalg.norm(t) for t in text], axis=0) for text in texts]
    score = u @ (one[1] / np.linalg.norm(one[1]) - one[0] / np.linalg.norm(one[0]))
    assert np.allclose(a.zero_shot_margin[:, 0], score)
    assert a.zero_shot.value == pytest.approx(np.mean([((score > 0) == y)[y == c].mean() for c in (0, 1)]))
    pairs = score[y == 1][:, None] - score[y == 0]
    assert a.auc.value == pytest.approx((pairs > 0).mean(), abs=1e-3)
    whole = np.concatenate(texts)
    gap = u.mean(axis=0) - (whole / np.linalg.norm(whole, axis=1, keepdims=True)).mean(axis=0)
    assert np.allclose(a.modality_gap, gap)
    assert a.gap_norm == pytest.approx(np.linalg.norm(gap))
    r = np.mean([np.corrcoef(m[:, 0], score)[0, 1] for m in a.probe_margin])
    assert a.correlation.value == pytest.approx(r)


def test_three_classes_and_swapped_texts() -> None:
    rng = np.random.default_rng(4)
    y = np.arange(150) % 3
    ways = np.linalg.qr(rng.standard_normal((32, 3)))[0].T
    x = rng.standard_normal((150, 32)) + 4 * ways[y]
    texts = [5 * ways[c] + 0.3 * rng.standard_normal((3, 32)) for c in range(3)]
    plan = probes.plan(y, np.arange(150), classes=("a", "b", "c"), permutations=99, repeats=1)
    good = alignment(x, texts, plan)
    assert good.zero_shot.value > 0.9
    assert good.direction.none
    assert good.threshold.none
    assert good.auc.value > 0.95
    swapped = alignment(x, [texts[1], texts[2], texts[0]], plan)
    assert swapped.zero_shot.value < 0.1
    assert swapped.threshold.material  # the scores hold it, in another order
    assert swapped.direction.none
    assert swapped.correlation.value < 0
    uneven = alignment(x, [texts[0], texts[1][:2], texts[2]], plan, captions=(x, y))
    assert uneven.per_template == ()
    assert uneven.cross_modal is not None
    assert uneven.cross_modal.value > 0.95


def test_what_does_not_fit_is_said() -> None:
    x, texts, y = planted(0.5, 0.0, 2.0)
    plan = probes.plan(y, np.arange(N), classes=("a", "b"), permutations=9, repeats=1)
    for given, words in (
        ((x, texts[:1], plan), "texts of 1 classes are given for 2"),
        ((x[:, :5], texts, plan), "do not fit"),
        ((x * 0, texts, plan), "without length"),
        ((x, texts, probes.plan(x[:, 0], np.arange(N), permutations=9, repeats=1)), "target is a number"),
    ):
        with pytest.raises(probes.ProbeError, match=words):
            alignment(*given)
