"""The transported probe: equal to refits by hand, right on planted connectors, silent where it cannot tell."""

from dataclasses import replace

import numpy as np
import pytest

import probes
from probes.solvers.ridge import Ridge
from probes.stages.contrast import Contrast, contrast, margins_of, paired, repeats, scored_margin, scored_order
from probes.stages.transport import GRID, Reader, _Smoother, _state, transported
from probes.stats.measurement import Difference
from probes.stats.scores import Scored

N, D, POOL = 120, 16, 240


def features(x: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None, classes: int = 2) -> probes.FeatureSet:
    return probes.FeatureSet(
        x=x,
        y=y,
        groups=np.arange(len(y)) if groups is None else groups,
        ids=[str(i) for i in range(len(y))],
        classes=None if not classes else tuple(str(c) for c in range(classes)),
    )


def turn(rng: np.random.Generator, d: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def plan_of(given: probes.FeatureSet, repeats: int = 2) -> probes.Plan:
    return probes.plan(given.y, given.groups, classes=given.classes, permutations=99, repeats=repeats)


def behind(kind: str, x: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    d = x.shape[1]
    if kind == "bad":
        return ((x @ turn(rng, d)) * np.logspace(0, -3, d)) @ turn(rng, d)
    left = {"whole": 1.0, "halved": 0.5, "gone": 0.0}[kind]
    return (x - (1 - left) * (x @ v)[:, None] * v) @ turn(rng, d)


def planted(kind: str, n: int = N, d: int = D, pool: int = POOL, seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    y = np.concatenate([rng.permutation(np.arange(n) % 2), rng.integers(0, 2, pool)])
    v = turn(rng, d)[0]
    x = rng.standard_normal((n + pool, d)) + (2 * y[:, None] - 1) * 1.3 * v
    z = behind(kind, x, v, rng)
    return features(x[:n], y[:n]), features(z[:n], y[:n]), x[n:], z[n:]


def test_the_probe_before_is_the_ridge_probe() -> None:
    before, after, x, z = planted("whole")
    plan = plan_of(before)
    found = transported(before, after, plan, pool_before=x, pool_after=z)
    ridge = probes.measure(before, plan, probe="ridge", level="screen", detect=False)
    assert np.abs(found.before - margins_of(ridge)).max() < 1e-9
    assert found.scored.mean == pytest.approx(ridge.estimate.score)
    again = probes.measure(after, plan, probe="ridge", level="screen", detect=False)
    assert np.abs(found.readers[2].margin - margins_of(again)).max() < 1e-9
    label_trained = probes.compare(ridge, again, plan)
    assert found.readers[2].loss.loss == pytest.approx(label_trained.score)
    assert found.readers[2].loss.high == pytest.approx(label_trained.high, abs=2e-3)  # permuted refits in float32 there


@pytest.mark.parametrize("shape", [(40, 12), (30, 60)])
def test_rows_left_out_are_refits_without_them(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal(shape), rng.standard_normal((shape[0], 2, 1))
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    unit = np.square(z).sum() / len(z)
    held = np.array([3, 7, 20])

    def refit(rows: np.ndarray, new: np.ndarray, penalty: float, c: int) -> np.ndarray:
        a, y = z[rows] - z[rows].mean(axis=0), t[rows, c, 0]
        w = np.linalg.solve(a.T @ a + penalty * unit * np.eye(a.shape[1]), a.T @ (y - y.mean()))
        return (z[new] - z[rows].mean(axis=0)) @ w + y.mean()

    smoother, others = _Smoother.of(Ridge.of(x)), np.setdiff1d(np.arange(len(x)), held)
    press = {}
    for penalty in GRID[1:]:
        got = smoother.left_out(held, t, penalty).predicted[..., 0]
        want = np.stack([refit(others, held, penalty, c) for c in range(2)], axis=1)
        assert np.abs(got - want).max() < 1e-5
        press[penalty] = sum(
            (t[i, c, 0] - refit(others[others != i], np.array([i]), penalty, c)[0]) ** 2
            for c in range(2)
            for i in others
        )
    chosen = smoother.left_out(held, t)
    assert chosen.penalty == min(press, key=lambda p: press[p])
    moved = t.copy()
    moved[held] += 100  # what they are told is not looked at
    assert np.array_equal(smoother.left_out(held, moved).predicted, chosen.predicted)


@pytest.mark.parametrize(("kind", "state"), [("bad", "none"), ("halved", "none"), ("gone", "material")])
def test_planted_connectors(kind: str, state: str) -> None:
    before, after, x, z = planted(kind)
    found = transported(before, after, plan_of(before), pool_before=x, pool_after=z)
    assert found.state == found.loss.state == state, found.reason
    assert found.needed is None
    assert (found.linear.fidelity or 0) > 0.999 or kind == "gone"
    assert found.linear.order.state == state
    assert found.reason.startswith("Lost" if kind == "gone" else "Nothing material is lost")


def test_a_lossless_connector_is_not_blamed_for_few_images_and_a_loss_is_still_seen() -> None:
    before, after, *_ = planted("bad", n=160, d=220, pool=0, seed=5)
    plan = plan_of(before)
    found = transported(before, after, plan)
    assert all(one.loss.some for one in found.readers), "the case must be one that fools all three"
    assert found.state == "unknown"
    assert found.needed == 660
    assert "660 images" in found.reason
    before, after, *_ = planted("gone", n=160, d=220, pool=0, seed=5)
    assert transported(before, after, plan).state in ("material", "some")


def test_a_loss_needs_the_curved_regressor_too() -> None:
    rng = np.random.default_rng(5)
    y = rng.permutation(np.arange(N) % 2)
    more = rng.integers(0, 2, POOL)
    x = 1.4 * (2 * np.concatenate([y, more]) - 1) + rng.standard_normal(N + POOL)
    sign = rng.choice((-1.0, 1.0), N + POOL)
    before, after = np.stack([x, sign], axis=1), np.stack([x * sign, sign], axis=1)
    found = transported(
        features(before[:N], y), features(after[:N], y), plan_of(features(before[:N], y)),
        pool_before=before[N:], pool_after=after[N:],
    )  # fmt: skip
    assert found.linear.loss.material
    assert found.readers[2].loss.material
    assert found.readers[1].loss.none
    assert found.state == "none"
    assert found.loss.loss == found.readers[1].loss.loss


@pytest.mark.parametrize(
    ("losses", "limits", "state"),
    [
        ("mmm", "...", "material"),
        ("mms", "...", "some"),
        ("mmu", "...", "unknown"),
        ("mmn", "...", "none"),
        ("mmm", "mm.", "material"),
        ("mmm", "ms.", "some"),
        ("mmm", "mu.", "unknown"),
        ("sss", "us.", "unknown"),
    ],
)
def test_a_loss_needs_every_reader_and_none_needs_one(losses: str, limits: str, state: str) -> None:
    of = {"m": (0.2, 0.05), "s": (0.1, 0.05), "n": (0.0, 0.05), "u": (0.1, 0.2)}

    def one(kind: str) -> Contrast:
        score, half = of[kind]
        return contrast(Difference(score=score, low=score - half, high=score + half, p=0.01), 0.1)

    nothing = np.zeros((1, 1, 1))
    scored = Scored(score=np.zeros(1), part=np.zeros((1, 1)))
    readers = [
        Reader(
            name="linear", margin=nothing, scored=scored, loss=one(a), order=one(a), limit=None if b == "." else one(b)
        )
        for a, b in zip(losses, limits, strict=True)
    ]
    assert _state(readers) == state


@pytest.mark.parametrize("pooled", [True, False])
def test_a_stage_that_is_the_same_for_every_image_carries_nothing_and_from_it_nothing_is_lost(pooled: bool) -> None:
    before, after, x, z = planted("whole")
    still = [features(np.full_like(one.x, 2.5), one.y) for one in (before, after)]
    even = [np.full_like(one, 2.5) for one in (x, z)]
    plan = plan_of(before)
    for first, second, pool, state in (
        (still[0], after, (even[0], z), "none"), (still[0], still[1], even, "none"),
        (before, still[1], (x, even[1]), "material"),
    ):  # fmt: skip
        pools = {"pool_before": pool[0], "pool_after": pool[1]} if pooled else {}
        assert transported(first, second, plan, **pools).loss.state == state


def test_three_classes_numbers_and_groups() -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((99, 8))
    y = np.arange(99) % 3
    x[np.arange(99), y] += 2.5
    groups = np.arange(99) // 3
    w = turn(rng, 8) * np.logspace(0, -2, 8)
    given = features(x, y, groups, 3)
    plan = plan_of(given, 1)
    kept = transported(given, features(x @ w, y, groups, 3), plan)
    assert kept.before.shape == (1, 99, 3)
    assert kept.state == "none"
    blind = x.copy()
    blind[:, :3] = rng.standard_normal((99, 3))
    assert transported(given, features(blind, y, groups, 3), plan).state == "material"
    number = x[:, 0] + 0.3 * rng.standard_normal(99)
    given = features(x, number, groups, 0)
    plan = plan_of(given, 1)
    assert transported(given, features(x @ w, number, groups, 0), plan).state == "none"
    lost = transported(given, features(blind, number, groups, 0), plan)
    assert lost.state == "material"
    assert lost.reason.startswith("Lost: no reader that was tried gets it back: concordance")


def test_what_does_not_fit_is_said() -> None:
    before, after, x, z = planted("whole", n=40, pool=10)
    plan = plan_of(before)
    with pytest.raises(probes.ProbeError, match="a pool is needed at both stages"):
        transported(before, after, plan, pool_before=x)
    with pytest.raises(probes.ProbeError, match="the same images are wanted at both, of widths 16 and 16"):
        transported(before, after, plan, pool_before=x, pool_after=z[:, :5])
    with pytest.raises(probes.ProbeError, match="hold other items"):
        transported(before, replace(after, ids=[f"o{i}" for i in range(40)]), plan)


def test_contrasts_of_scores_by_hand() -> None:
    rng = np.random.default_rng(7)
    y = rng.permutation(np.arange(60) % 2)
    plan = probes.plan(y, np.arange(60), classes=("a", "b"), permutations=99, repeats=2)
    m, other = (rng.standard_normal((2, 60, 1)) + y[None, :, None] - 0.5 for _ in range(2))
    ok, no = ((v[..., 0] > 0) == (y > 0) for v in (m, other))
    a, b = repeats(m, plan), repeats(other, plan)
    assert a.mean == pytest.approx(np.mean([[o[y == c].mean() for c in (0, 1)] for o in ok]))
    d = paired(a, b, plan)
    part = sum((ok.astype(float) - no)[:, y == c].mean() for c in (0, 1)) / 2
    assert d.score == pytest.approx(part)
    order = scored_order(m[:1], y, plan)
    pos, neg = m[0, y == 1, 0], m[0, y == 0, 0]
    assert order.score[0] == pytest.approx((pos[:, None] > neg).mean(), abs=1e-6)
    same = paired(a, a, plan)
    assert same.score == 0
    assert same.high == pytest.approx(0.5 * (1 - 0.025 ** (1 / 30)))  # what may have escaped, not nothing
    three = np.eye(3)[np.arange(6) % 3][None]
    plan3 = probes.plan(np.arange(6) % 3, np.arange(6), classes=("a", "b", "c"), folds=2, permutations=9, repeats=1)
    assert scored_margin(three, plan3.y, plan3).mean == 1
    assert scored_margin(np.zeros((1, 6, 3)), plan3.y, plan3).mean == pytest.approx(1 / 3)
