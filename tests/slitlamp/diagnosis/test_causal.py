"""What the causal check does where an edit cannot be made, and against what an edit is held."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import probes
from probes import ProbeError
from probes.stats.measurement import Difference
from slitlamp.diagnosis import causal
from slitlamp.diagnosis.causal import (
    ASIDE,
    ERASED,
    EXCHANGED,
    NONE,
    OTHER,
    PUSHED,
    SAME,
    Trial,
    area_of,
    beyond,
    causal_check,
)

N = 40
PLAN = probes.plan(np.arange(N) % 2, np.arange(N), classes=("left", "right"), permutations=99, folds=5, repeats=1)
PARTNER = (np.arange(N) + 1) % N


def trial(tokens: list[np.ndarray]) -> Trial:
    nothing: Any = None
    return Trial(model=nothing, inquiry=nothing, asking=nothing, plan=PLAN, tokens=tokens, made={})


def tokens(rng: np.random.Generator) -> list[np.ndarray]:
    """Nine tokens each, of which the second tells the classes apart and the first is the same in all images."""
    found = rng.standard_normal((N, 9, 4))
    found[:, 0] = 1.0
    found[:, 1, 0] += 3 * (2 * PLAN.y - 1)
    found[:, 1:, 3] *= 9  # a direction in which tokens vary more
    return list(found)


def test_a_place_that_is_the_same_in_all_images_is_left_and_the_others_are_erased() -> None:
    given = tokens(np.random.default_rng(0))
    change = trial(given).erasure(PLAN.y, at_random=False)
    after = np.stack([change(i, one) for i, one in enumerate(given)])
    assert np.array_equal(after[:, 0], np.stack(given)[:, 0])
    apart = [abs(x[PLAN.y == 1, 1, 0].mean() - x[PLAN.y == 0, 1, 0].mean()) for x in (np.stack(given), after)]
    assert apart[0] > 5
    assert apart[1] < 1.5
    with pytest.raises(ProbeError):
        trial([np.ones((9, 4))] * N).erasure(PLAN.y, at_random=False)


def test_every_item_is_pushed_at_random_along_a_direction_of_its_own_and_as_far() -> None:
    given = tokens(np.random.default_rng(1))
    ways = {name: trial(given).push(1.0, at_random=name == ASIDE) for name in (PUSHED, ASIDE)}
    held = np.flatnonzero(PLAN.folds[0] == PLAN.folds[0][0])[:2]
    moved = {name: [change(int(i), given[i]) - given[i] for i in held] for name, change in ways.items()}
    assert np.allclose(moved[PUSHED][0], moved[PUSHED][1])
    assert not np.allclose(moved[ASIDE][0], moved[ASIDE][1])
    train = np.stack(given)[PLAN.folds[0] != PLAN.folds[0][0]]
    for place in range(9):
        cov = np.cov(train[:, place].T, bias=True)
        far = [float(x[place] @ np.linalg.pinv(cov) @ x[place]) for many in moved.values() for x in many]
        assert np.allclose(far, far[0])  # Mahalanobis, at each place; where nothing varies nothing is moved
        assert (far[0] == 0) == (place == 0)
    plain = [np.linalg.norm(x[1]) for x in (moved[PUSHED][0], *moved[ASIDE])]
    assert not np.allclose(plain, plain[0])


def asked(monkeypatch: pytest.MonkeyPatch, given: list[np.ndarray], partner: np.ndarray) -> causal.Checked:
    """The causal check of a model that never answers, so that only its edits are made."""

    def log_p(_: Trial, __: str, change: Any, ___: str = "", orders: int | None = None) -> np.ndarray:
        if change is not None:
            edit = change()
            for i, one in enumerate(given):
                edit(i, one)
        return np.log(np.full((orders or 2, N, 2), 0.5))

    monkeypatch.setattr(Trial, "connector", lambda _: given)
    monkeypatch.setattr(Trial, "log_p", log_p)
    monkeypatch.setattr(causal, "of_question", lambda *_: None)
    monkeypatch.setattr(causal, "partners", lambda *_, **__: partner)
    seed = SimpleNamespace(probe=SimpleNamespace(seed=0))
    run: Any = SimpleNamespace(plan=lambda _: PLAN, settings=seed)
    some: Any = SimpleNamespace(name="side")
    return causal_check(run, some, some, some)


def test_an_edit_that_cannot_be_made_is_named_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    uneven = [one[: 9 - i % 2] for i, one in enumerate(tokens(rng))]
    found = asked(monkeypatch, uneven, (np.arange(N) + 2) % N)
    assert {row["edit"] for row in found.rows} >= {NONE, SAME}
    assert [line.split(":")[0] for line in found.notes] == [
        f"not {name}" for name in (ERASED, EXCHANGED, "random direction erased",
                                   *(f"{name} {dose}" for name in (PUSHED, ASIDE) for dose in ("-1", "+1")))
    ]  # fmt: skip
    alone = asked(monkeypatch, tokens(rng), np.where(np.arange(N) < 3, -1, PARTNER))
    assert [line for line in alone.notes if "3 of 40 items have no partner" in line]
    assert alone.causal.swap is None
    assert alone.causal.erasure is not None


def test_every_item_is_asked_and_edited_as_itself_in_batches_and_in_every_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    def shown(number: int) -> np.ndarray:
        return np.full((2, 2), number, np.uint8)

    def scores(_: Any, prompts: list[Any], __: Any, edit: Any) -> list[np.ndarray]:
        """More for the option that is shown first in the alphabet; an edit adds the number of its item."""
        found = []
        for place, prompt in enumerate(prompts):
            first = float(prompt.text.index("left") < prompt.text.index("right"))
            more = float(edit(place, torch.zeros(1, 1))[0, 0]) if edit else 0.0
            found.append(np.array([first, 1 - first]) * (float(prompt.image[0, 0]) + more))
        return found

    nothing: Any = SimpleNamespace(
        prompts=[("which?",)] * N, options=[(("left", "right"),)] * N, pictures=SimpleNamespace(read=shown)
    )
    store = SimpleNamespace(memo=lambda _: SimpleNamespace(get_many=lambda _: {}, put_many=lambda _: None))
    model: Any = SimpleNamespace(
        settings=SimpleNamespace(batch_size=7), source="m", spec="m", device="cpu", load=lambda: None, store=store
    )
    asking: Any = SimpleNamespace(format="plain")
    monkeypatch.setattr(causal.ways, "letter_scores", scores)
    monkeypatch.setattr(Trial, "key", lambda *_: "key")
    one = Trial(model=model, inquiry=nothing, asking=asking, plan=PLAN, tokens=[], made={})
    for change, factor in ((None, 1), (lambda: lambda i, own: own + i, 2)):
        log_p = one.log_p("any", change)
        assert log_p.shape == (2, N, 2)
        assert np.allclose(log_p[..., 0] - log_p[..., 1], factor * np.arange(N))  # of "left", wherever it stands


def test_an_edit_is_held_against_the_same_orders_of_the_options() -> None:
    """One order alone shows the preferred letter, which the mean of both takes off."""
    odds = np.stack([np.full(N, 2.0), np.full(N, -2.0)]) + 0.1 * np.random.default_rng(3).standard_normal((2, N))
    both = np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], axis=-1)
    question: Any = SimpleNamespace(name="side")
    found = causal._told(question, PLAN, {NONE: both, f"{PUSHED} +1": both[:1]}, {OTHER: PARTNER, SAME: PARTNER}, [])
    row = next(row for row in found.rows if row["edit"] == f"{PUSHED} +1")
    assert (row["answers_changed"], row["moved"], row["effect"]) == (0.0, 0.0, 0.0)


def test_a_slope_is_held_against_the_spread_of_slopes_along_random_directions() -> None:
    spread = np.random.default_rng(4).standard_normal(N)
    small = beyond(Difference(score=0.5, low=0.3, high=0.7, p=None), spread, PLAN)
    assert small.low is not None
    assert small.low < 0
    large = beyond(Difference(score=9.0, low=8.8, high=9.2, p=None), spread, PLAN)
    assert large.low is not None
    assert large.low > 0


def test_a_slope_is_told_as_the_area_that_the_push_alone_gives_the_answers() -> None:
    """Against answers that were pushed: one class to each side, in standard deviations of the answers."""
    noise = np.random.default_rng(5).standard_normal((2, 4000))
    for slope in (-0.4, 0.0, 0.05, 0.7):
        apart = (noise[1] + slope)[:, None] > (noise[0] - slope)[None]
        found = area_of(Difference(score=slope, low=slope - 0.1, high=None, p=None))
        assert abs(found.score - (apart.mean() - 0.5)) < 0.02
        assert found.high is None
        assert found.low is not None
        assert found.low < found.score


@pytest.mark.parametrize(("scale", "state"), [(1.0, "material"), (1e-4, "none")])
def test_a_push_is_measured_in_what_the_answers_vary_by_but_for_a_model_that_says_the_same_to_all(
    scale: float, state: str
) -> None:
    """The same slope beside the same spread; below a hundredth of a nat neither says anything."""
    rng = np.random.default_rng(6)

    def said(move: float) -> np.ndarray:
        odds = scale * (move + rng.standard_normal(N))
        return np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], axis=-1)[None]

    pushes = {f"{name} {dose:+g}": said(2 * dose * (name == PUSHED)) for name in (PUSHED, ASIDE) for dose in (-1, 1)}
    found = causal._told(SimpleNamespace(name="side"), PLAN, {NONE: said(0), **pushes}, {}, [])  # type: ignore[arg-type]
    assert found.causal.steering is not None
    assert found.causal.steering.state == state
