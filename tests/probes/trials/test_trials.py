"""Trials of maps against networks whose truth is known: what explains, what is salience, and what is nothing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.attribution import Subject
from probes.trials.cells import border, cell_of, cell_sums, edges, grid_of
from probes.trials.perturbed import ends, margins
from probes.trials.trial import (
    CONTROL,
    EDGES,
    PROBE,
    RANDOM,
    UNTRAINED,
    Evidence,
    Ground,
    Trial,
    attempt,
    evidence,
    spearman,
)  # fmt: skip
from probes.trials.verdict import EXPLAINS, NOTHING, OPEN, SALIENT, judge, lying

GRID, SIDE, N = (7, 7), 28, 12


def world(seed: int = 0, n: int = N) -> tuple[Subject, np.ndarray, np.ndarray]:
    """Images of noise, and a score that adds up two cells of each image: Subject, its weights and those of a control.

    The network sees the inner 3 x 3 cells alone; the probe reads two of them, the control two others.
    """
    rng = np.random.default_rng(seed)
    images = torch.as_tensor(rng.normal(size=(n, 1, SIDE, SIDE)).astype(np.float32))
    images = images + torch.as_tensor(np.kron(rng.normal(size=(n, 1, 7, 7)), np.ones((4, 4)))).float()
    weights, control = np.zeros((n, *GRID)), np.zeros((n, *GRID))
    for k in range(n):
        cells = [(2 + i, 2 + j) for i in range(3) for j in range(3)]
        own, other = cells[rng.integers(4)], cells[4 + rng.integers(5)]
        value = float(images[k, 0, 4 * own[0] : 4 * own[0] + 4, 4 * own[1] : 4 * own[1] + 4].mean())
        weights[(k, *own)] = 1.0 if value > 0 else -1.0  # the cell speaks for the answer
        control[(k, *other)] = rng.choice((-1.0, 1.0))
    table = torch.as_tensor(weights).float()

    def score(batch: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        cells = batch[:, 0].reshape(len(batch), 7, 4, 7, 4).mean(dim=(2, 4))
        return (cells * table[rows]).sum(dim=(1, 2))

    return Subject(name="sum", images=images, blurred=torch.zeros_like(images), score=score), weights, control


def product(subject: Subject, weights: np.ndarray) -> np.ndarray:
    """Gradient x input of a sum over cells."""
    fine = np.kron(weights, np.ones((1, 4, 4))) / 16
    return (fine * subject.images[:, 0].numpy()).astype(np.float32)


def tried(
    maps: Callable[[Subject, np.ndarray, np.ndarray], dict[str, np.ndarray]], n: int = N, **more: object
) -> Trial:
    subject, weights, control = world(n=n)
    return attempt(subject, Ground.of(subject, GRID), maps(subject, weights, control), method="m", signed=True, **more)  # type: ignore[arg-type]


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def true_map(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
    return {PROBE: product(s, w), CONTROL: product(s, c), UNTRAINED: noise((len(w), SIDE, SIDE), 3)}


def salient_map(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
    del c
    inner = np.zeros((len(w), *GRID))
    inner[:, 2:5, 2:5] = 1.0
    where = np.kron(inner, np.ones((1, 4, 4))) * s.images[:, 0].numpy().__abs__()
    both = (product(s, w) * 0.3 + 0.01 * where).astype(np.float32)
    return {PROBE: both, CONTROL: both, UNTRAINED: noise((len(w), SIDE, SIDE), 3)}


def random_map(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
    del s, c
    return {PROBE: noise((len(w), SIDE, SIDE), 1), CONTROL: noise((len(w), SIDE, SIDE), 2),
            UNTRAINED: noise((len(w), SIDE, SIDE), 3)}  # fmt: skip


def architecture_map(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
    """Nothing of the score, and the same map from the untrained network."""
    one = noise((len(w), SIDE, SIDE), 1)
    return random_map(s, w, c) | {UNTRAINED: one + 0.1 * noise((len(w), SIDE, SIDE), 9), PROBE: one}


@pytest.mark.parametrize(
    ("maps", "state"),
    [(true_map, EXPLAINS), (salient_map, SALIENT), (random_map, NOTHING), (architecture_map, NOTHING)],
)
def test_maps_of_known_truth_get_their_verdict(maps: Callable, state: str) -> None:
    (verdict,) = judge([tried(maps, n=40)], np.arange(40))
    assert verdict.state == state, verdict.reason


def test_what_may_be_half_as_good_as_the_best_map_is_open() -> None:
    """Twelve images leave a random map open by itself, and not beside one that knows the score."""
    (alone,) = judge([tried(random_map)], np.arange(N))
    assert alone.state == OPEN
    assert "is open" in alone.reason
    trial = tried(true_map)
    better = {PROBE: 4 * trial.margin[PROBE]}
    _, beside = judge([replace(trial, margin={**trial.margin, **better}), tried(random_map)], np.arange(N))
    assert beside.state == NOTHING


def test_an_untrained_network_with_the_same_map_is_named() -> None:
    (verdict,) = judge([tried(architecture_map)], np.arange(N))
    assert "untrained gives much the same map" in verdict.reason
    (verdict,) = judge([tried(random_map)], np.arange(N))
    assert "untrained" not in verdict.reason


def test_the_untrained_network_s_map_is_called_worthless_where_it_is() -> None:
    (noise_alone,) = judge([tried(true_map)], np.arange(N))
    assert noise_alone.untrained.startswith("worthless")

    def knowing(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
        return true_map(s, w, c) | {UNTRAINED: product(s, w)}

    (known,) = judge([tried(knowing)], np.arange(N))
    assert known.untrained.startswith("better than chance")


def test_a_map_that_knows_more_than_a_like_one_of_the_untrained_network_is_kept() -> None:
    def bare(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
        return true_map(s, w, c) | {UNTRAINED: np.abs(product(s, w)) * np.where(np.arange(N) % 2, 1, -1)[:, None, None]}

    (verdict,) = judge([tried(bare)], np.arange(N))
    assert verdict.like_untrained == pytest.approx(1)
    assert verdict.state == EXPLAINS
    assert any("no sign of what was learnt" in line for line in verdict.cautions)


def test_what_may_beat_the_control_by_half_of_chance_is_open() -> None:
    trial = tried(true_map)
    own = trial.margin[PROBE] - np.where(np.arange(N) % 2, 1.0, -0.8) * trial.margin[PROBE].mean()
    (verdict,) = judge([replace(trial, margin={**trial.margin, CONTROL: own})], np.arange(N))
    assert verdict.state == OPEN
    assert "whether also the control's map is open" in verdict.reason


def test_few_groups_decide_nothing_and_names_of_groups_do_not_matter() -> None:
    trial = tried(true_map)
    (few,) = judge([trial], np.arange(N) % 5)
    assert few.state == OPEN
    assert "5 independent images" in few.reason
    (many,), (named,) = judge([trial], np.arange(N)), judge([trial], np.arange(N) * 17 + 3)
    assert many == named
    assert many.state == EXPLAINS
    (single,) = judge([trial], np.zeros(N, int))
    assert single.state == OPEN


def test_many_methods_pay_for_their_number() -> None:
    trial = tried(true_map, n=7)
    (alone,) = judge([trial], np.arange(7))
    crowd = judge([trial, *[tried(random_map, n=7)] * 9], np.arange(7))
    assert alone.over[CONTROL].p < crowd[0].over[CONTROL].p
    assert alone.state == EXPLAINS
    assert crowd[0].state != EXPLAINS


def test_a_map_that_does_not_add_up_explains_nothing() -> None:
    (good,) = judge([tried(true_map, completeness=np.full(N, 0.004))], np.arange(N))
    (bad,) = judge([tried(true_map, completeness=np.full(N, 0.05))], np.arange(N))
    (few,) = judge([tried(true_map, completeness=np.r_[0.3, np.full(N - 1, 0.004)])], np.arange(N))
    assert good.state == EXPLAINS
    assert not good.cautions
    assert bad.state == NOTHING
    assert "does not add up" in bad.reason
    assert few.state == EXPLAINS
    assert "1 of 12 maps" in few.cautions[-1]


def test_mass_on_the_border_or_on_few_tokens_is_called_an_artefact() -> None:
    def at_border(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
        rim = np.kron(border(GRID)[None] * 1.0, np.ones((len(w), 4, 4)))
        return true_map(s, w, c) | {PROBE: rim + product(s, w)}

    norms = np.ones((N, 7, 7))
    norms[:, 6, 6] = 50.0

    def on_token(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
        one = np.zeros((len(w), SIDE, SIDE))
        one[:, 24:, 24:] = 1.0
        return true_map(s, w, c) | {PROBE: one + 0.1 * product(s, w)}

    (rim,) = judge([tried(at_border)], np.arange(N))
    assert any("border patches" in line for line in rim.cautions)
    (token,) = judge([tried(on_token, norms=norms)], np.arange(N))
    assert any("largest norm" in line for line in token.cautions)

    def even(s: Subject, w: np.ndarray, c: np.ndarray) -> dict[str, np.ndarray]:
        return true_map(s, w, c) | {PROBE: np.kron(1 + 0.5 * border(GRID)[None], np.ones((len(w), 4, 4)))}

    (level,) = judge([tried(even)], np.arange(N))
    assert 0.5 < level.border < 0.65  # of 49 % of the image
    assert not level.cautions
    (plain,) = judge([tried(true_map, norms=norms)], np.arange(N))
    assert not plain.cautions


def test_evidence_is_found_where_the_score_reads_and_not_beside_it() -> None:
    subject, weights, control = world()
    there = np.abs(weights)
    beside = np.zeros_like(there)
    beside[:, 5:, 5:] = 1.0
    whole = np.ones_like(there)
    trial = attempt(
        subject, Ground.of(subject, GRID), true_map(subject, weights, control), method="m", signed=True,
        regions={"there": there, "beside": beside, "whole": whole},
    )  # fmt: skip
    found = {row.region: row for row in lying(trial.evidence, np.arange(N))}
    assert found["there"].rests
    assert found["there"].share > 0.6 > 0.2 > abs(found["there"].control_share)
    assert found["there"].hits == N
    assert found["there"].p_hits < 1e-6
    assert not found["beside"].rests
    assert abs(found["beside"].share) < 0.05
    assert not found["whole"].rests  # the whole image holds every map
    assert found["whole"].own is not None
    assert abs(found["whole"].own.value) < 1e-9


def test_a_region_that_speaks_against_the_answer_is_none_it_rests_on() -> None:
    """Less against it than the control's map is more than the control's, and yet not for it."""
    share, mine, control = np.zeros((3, N, 7, 7))
    share[:, 3, 3], control[:, 3, 3] = 1.0, -1.0
    mine[:, 3, 3], mine[:, 0, 0] = -0.3, 1.0
    (against,) = lying({"r": evidence(mine, control, share, signed=True)}, np.arange(N))
    assert against.own is not None
    assert against.own.p < 0.05
    assert not against.rests
    (towards,) = lying({"r": evidence(-mine, control, share, signed=True)}, np.arange(N))
    assert towards.rests


def test_a_region_at_one_border_does_not_reach_the_other() -> None:
    for at in ((0, 3), (6, 3), (3, 0), (3, 6)):
        share, far = np.zeros((2, 1, 7, 7))
        share[(0, *at)] = 1.0
        far[0, 6 - at[0], 6 - at[1]] = 1.0
        assert evidence(far, far, share, signed=True).hit[0] == 0
        assert evidence(share, far, share, signed=True).hit[0] == 1


def test_likeness_is_of_where_maps_are_large_and_not_of_their_signs() -> None:
    trial = tried(lambda s, w, c: true_map(s, w, c) | {CONTROL: -product(s, w)})
    assert np.allclose(trial.likeness[CONTROL], 1)


def test_regions_pay_for_their_number_and_five_images_name_none() -> None:
    def found(n: int) -> Evidence:
        share, mine, control = np.zeros((3, n, 7, 7))
        share[:, 3, 3], mine[:, 3, 3], control[:, 0, 0] = 1.0, 1.0, 1.0
        return evidence(mine, control, share, signed=True)

    assert [row.rests for row in lying({"r": found(5)}, np.arange(5))] == [False]  # p = 1/32
    assert [row.rests for row in lying({"r": found(6)}, np.arange(6))] == [True]
    assert not any(row.rests for row in lying({f"r{k}": found(6) for k in range(5)}, np.arange(6)))


def test_how_often_a_map_is_wrongly_and_rightly_said_to_explain() -> None:
    """Over seeds: random maps, and maps that know the score by salience as the control's does, and the planted truth.

    A region that is drawn for each image is no evidence of a random map.
    """
    said: dict[str, list[str]] = {"random": [], "salient": [], "true": []}
    rests = []
    for seed in range(20):
        subject, weights, control = world(seed=seed, n=8)
        rng = np.random.default_rng(seed)
        ground = Ground.of(subject, GRID)
        product_of, shape = product(subject, weights), (8, SIDE, SIDE)
        level = 0.1 * float(np.abs(product_of).max())
        region = (rng.random((8, *GRID)) < 0.1).astype(float)
        maps = {
            "random": [rng.normal(size=shape), rng.normal(size=shape)],
            "salient": [product_of + level * rng.normal(size=shape) for _ in range(2)],
            "true": [product_of, product(subject, control)],
        }
        for name, (mine, other) in maps.items():
            trial = attempt(
                subject, ground, {PROBE: mine, CONTROL: other}, method="m", signed=True, regions={"r": region}
            )
            (verdict,) = judge([trial], np.arange(8))
            said[name].append(verdict.state)
            rests += [row.rests for row in lying(trial.evidence, np.arange(8)) if name != "true"]
    assert said["random"].count(EXPLAINS) == 0
    assert said["salient"].count(EXPLAINS) <= 1
    assert said["true"].count(EXPLAINS) >= 18
    assert sum(rests) <= 2


def test_images_without_a_region_take_no_part() -> None:
    mine, share = np.zeros((3, 7, 7)), np.full((3, 7, 7), np.nan)
    mine[:, 3, 3], share[0] = 1.0, 0.0
    share[0, 3, 3] = 0.02  # a sliver of a cell
    found = evidence(mine, -mine, share, signed=True)
    assert isinstance(found, Evidence)
    assert np.isnan(found.mass[1:]).all()
    assert found.mass[0] == 1
    assert found.control[0] == -1
    assert found.hit[0] == 1
    assert found.control_hit[0] == 0
    unsigned = evidence(-mine, mine, share, signed=False)
    assert unsigned.mass[0] == 1
    (row,) = lying({"sliver": found}, np.arange(3))
    assert row.images == 1
    assert row.own is None
    assert not row.rests


def test_deletion_and_insertion_know_the_best_and_the_worst_order() -> None:
    subject, weights, _ = world()
    best = cell_sums(product(subject, weights), GRID)
    top, bottom = margins(subject, best, GRID), margins(subject, -best, GRID)
    chance = margins(subject, noise((N, *GRID), 5), GRID)
    scores = ends(subject)
    assert (scores[:, 0] > 0).all()
    assert np.allclose(scores[:, 1], 0)
    assert np.allclose(top, -bottom, atol=1e-6)
    assert (top > 0.5 * scores[:, 0]).all()
    assert abs(chance.mean()) < 0.6 * top.mean()
    assert set(tried(true_map).margin) == {PROBE, CONTROL, UNTRAINED, RANDOM, EDGES}


@pytest.mark.parametrize(("have", "want"), [((28, 28), (7, 7)), ((5, 9), (7, 4)), ((3, 3), (14, 14)), ((1, 6), (2, 2))])
def test_cells_keep_sums_and_places(have: tuple[int, int], want: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=(2, *have))
    cells = cell_sums(values, want)
    assert cells.shape == (2, *want)
    assert np.allclose(cells.sum(axis=(1, 2)), values.sum(axis=(1, 2)))
    spot = np.zeros((1, *have))
    spot[0, 0, -1] = 1.0
    assert cell_sums(spot, want)[0, 0, -1] >= cell_sums(spot, want).max() - 1e-12


def test_cells_of_pixels_and_grids() -> None:
    assert cell_of((4, 4), (2, 2)).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert np.bincount(cell_of((5, 7), (2, 3)).ravel()).min() > 0
    assert grid_of((16, 16), (224, 224)) == (16, 16)
    assert grid_of((37, 37), (518, 518)) == (28, 28)
    assert grid_of((2, 2), (224, 224)) == (7, 7)
    assert grid_of(None, (64, 64)) == (14, 14)
    assert border((4, 5)).sum() == 14


def test_edges_and_ranks() -> None:
    images = np.zeros((1, 3, 28, 28))
    images[..., 14:] = 1.0
    found = edges(images, (7, 7))[0]
    assert set(np.flatnonzero(found.sum(axis=0) > 0).tolist()) == {3}
    a = noise((2, 7, 7), 0)
    assert np.allclose(spearman(a, np.exp(a)), 1)
    assert np.allclose(spearman(a, -a), -1)
    assert spearman(a, np.ones_like(a)).tolist() == [0, 0]
