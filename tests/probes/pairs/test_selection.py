"""Selection: identical encoders are ranked apart on pairs that one of them selected, and on no others (METHOD 5.3)."""

import numpy as np

from probes.pairs.inference import components, mean_difference, sign_flip
from probes.pairs.matching import two_afc
from probes.pairs.mining import Box, Filter, Miner, Tally, at_quantile, cosine_space

N, LATENT, D, NOISE = 1500, 10, 64, 1.2


def difference(selected: bool, seed: int) -> tuple[float, float]:
    """2AFC of the first encoder less that of the second, and its p, on mined or on random pairs of unlike labels."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(2 * N, LATENT))
    label = (z[:, 0] > 0).astype(int)
    views = [(z + NOISE * rng.normal(size=z.shape)) @ rng.normal(size=(LATENT, D)) for _ in "ab"]
    scores = []
    for x in views:  # a direction learnt on other images
        weights = np.linalg.lstsq(x[N:], label[N:] - 0.5, rcond=None)[0]
        scores.append(x[:N] @ weights)
    y = label[:N]
    if selected:
        first, second = (
            cosine_space(x[:N].astype(np.float32), name, centre=True) for x, name in zip(views, "ab", strict=True)
        )
        box = Box(at_least=at_quantile(first, 0.999), at_most=at_quantile(second, 1.0))
        miner = Miner(first=first, second=second, box=box, filters=[Filter(name="label", codes=y)])
        hits = [h for strip in miner.strips for h in miner.strip(*strip, Tally())]
        i, j = np.concatenate([h.first for h in hits]), np.concatenate([h.second for h in hits])
    else:
        i, j = rng.permutation(np.flatnonzero(y == 1))[:200], rng.permutation(np.flatnonzero(y == 0))[:200]
    up = np.where(y[i] == 1, i, j)
    down = np.where(y[i] == 1, j, i)
    told = [two_afc(s[up], s[down]) for s in scores]
    component = components(i, j)
    return mean_difference(told[0] - told[1], component).value, sign_flip(told[0] - told[1], component)


def test_the_encoder_that_selected_looks_worse_though_both_are_the_same() -> None:
    found = [difference(True, seed) for seed in range(6)]
    assert np.mean([gap for gap, _ in found]) < -0.05
    assert np.mean([p <= 0.05 for _, p in found]) >= 0.5


def test_on_pairs_that_neither_selected_identical_encoders_are_not_ranked_apart() -> None:
    found = [difference(False, seed) for seed in range(24)]
    assert abs(np.mean([gap for gap, _ in found])) < 0.02
    assert np.mean([p <= 0.05 for _, p in found]) <= 0.13
