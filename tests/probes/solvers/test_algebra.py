"""The seam of the linear algebra: what torch computes in float64 is what NumPy computes."""

import gc
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

import probes
from probes.solvers import algebra
from probes.solvers.algebra import TORCH_ON_HOST, DeviceError, Host, Torch
from probes.solvers.ridge import Ridge
from probes.stats.planting import Planting

SAME = 1e-6
CASES = {
    "more features than items": (44, 60, 60, 2, 1, "ridge"),
    "more items than features, five classes, groups": (120, 16, 16, 5, 4, "ridge"),
    "rank-deficient, groups": (80, 30, 8, 2, 2, "ridge"),
    "numbers": (60, 12, 12, None, 1, "ridge"),
    "numbers, groups, more features than items": (60, 70, 70, None, 2, "ridge"),
    "logistic": (60, 20, 20, 2, 1, "linear"),
    "logistic, five classes, rank-deficient": (90, 24, 9, 5, 1, "linear"),
}


def given_of(n: int, d: int, rank: int, classes: int | None, copies: int, strength: float = 0.5) -> probes.FeatureSet:
    rng = np.random.default_rng([n, d, rank])
    groups = np.arange(n) // copies
    if classes is None:
        y = rng.standard_normal(n)
    else:
        y = (np.arange(n) if copies == 1 else rng.permutation(np.arange(groups[-1] + 1))[groups]) % classes
    x = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d)) * np.geomspace(1, 1e-2, d)
    x += strength * np.outer(y - y.mean(), rng.standard_normal(d)) * x.std(axis=0)
    return probes.feature_set(x.astype(np.float32), y, groups=groups)


def both(given: probes.FeatureSet, **asked: Any) -> tuple[probes.Measurement, probes.Measurement]:
    plan = probes.plan(given.y, given.groups, classes=given.classes, permutations=49, repeats=1, folds=5)
    here = probes.measure(given, plan, **asked)
    there = probes.measure(given, plan, device=TORCH_ON_HOST, **asked)
    assert (here.device, there.device) == ("cpu", TORCH_ON_HOST)
    return here, there


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, text and truth value of an estimate, an exclusion or a mapping, by name."""
    if is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{name}.{key}")
    else:
        yield name, str(value) if isinstance(value, tuple) else value


def published(m: probes.Measurement) -> dict[str, Any]:
    """What a record says of a measurement."""
    assert m.permuted is not None
    return dict(
        numbers(
            {
                "estimate": m.estimate, "nested": m.nested, "limit": m.limit, "kernel_p": m.kernel_p, "p": m.null.p,
                "state": m.state, "error": m.error, "shuffled": float(m.permuted.score.mean()),
                "companions": dict(m.companions),
            }
        )
    )  # fmt: skip


def require_same(found: dict[str, Any], due: dict[str, Any]) -> None:
    """Numbers to SAME, all else as it is."""
    assert found.keys() == due.keys()
    for name, value in due.items():
        if isinstance(value, float) and isinstance(found[name], float):
            assert abs(found[name] - value) <= SAME, name
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("case", CASES)
def test_all_that_is_published_is_the_same_on_another_device(case: str) -> None:
    *shape, probe = CASES[case]
    here, there = both(given_of(*shape), probe=probe)  # type: ignore[arg-type]
    require_same(published(there), published(here))
    np.testing.assert_allclose(there.predictions.predicted, here.predictions.predicted, rtol=0, atol=SAME)
    if probe == "ridge":
        np.testing.assert_allclose(there.predictions.score, here.predictions.score, rtol=0, atol=SAME)
        np.testing.assert_allclose(there.inner, here.inner, rtol=SAME)  # type: ignore[arg-type]


def test_where_nothing_is_read_what_silence_excludes_is_the_same() -> None:
    here, there = both(given_of(80, 14, 14, 2, 2, strength=0.0), probe="ridge", detect="always")
    assert here.limit is not None
    require_same(published(there), published(here))


def test_a_credit_is_the_same_on_another_device() -> None:
    given, control = given_of(60, 20, 20, 2, 1, 0.7), given_of(60, 6, 6, 2, 1, 0.0)
    found = []
    for m, other in zip(both(given, probe="ridge"), both(control, probe="ridge"), strict=True):
        verdict = probes.verdict(m, controls={"pixels": (other, probes.compare(m, other, m.plan))})
        found.append({k: v for k, v in asdict(verdict).items() if not isinstance(v, str)} | {"credit": verdict.credit})
    assert found[0]["credit"] is not None
    require_same(found[1], found[0])


@pytest.mark.parametrize("classes", [2, 5])
def test_planted_directions_do_not_hang_on_the_signs_of_eigenvectors(classes: int) -> None:
    given = given_of(60, 20, 20, classes, 1)
    plan = probes.plan(given.y, given.groups, classes=given.classes, permutations=19, repeats=1, folds=5)
    ridge = Ridge.of(given.x)
    signs = np.where(np.arange(len(ridge.w)) % 3 == 0, -1.0, 1.0)
    planted = [
        Planting.in_population(one, plan, 20, draws=9, chosen=False)
        for one in (ridge, replace(ridge, u=ridge.u * signs))
    ]
    found = [one.margin(one.unplanted[0], 1.0) for one in planted]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-5)


def test_each_operation_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    x, tall = rng.standard_normal((30, 9)), rng.standard_normal((4, 30))
    here, there = Host(), Torch("cpu")
    square = here.gram(x)
    for found, due in (
        (there.gram(x), x.T @ x),
        (there.product(tall, x), tall @ x),
        (there.product(x, x, turned=True), x @ x.T),
        (there.product(x.T, x), x.T @ x),
        (there.inverse(square), here.inverse(square)),
        (there.inverse_definite(square), here.inverse_definite(square)),
        (there.solved(square.copy(), x.T), here.solved(square.copy(), x.T)),
        (there.eigh(square)[0], here.eigh(square)[0]),
    ):
        np.testing.assert_allclose(found, due, rtol=1e-9, atol=1e-12)
        assert found.dtype == np.float64
    w, v = there.eigh(square)
    np.testing.assert_allclose(v * w @ v.T, square, rtol=1e-9, atol=1e-12)


def test_a_product_of_float32_is_summed_in_float64_and_written_where_it_belongs() -> None:
    a, b = np.array([[1e8, 1, -1e8]], np.float32), np.ones((3, 1), np.float32)
    out = np.empty((1, 1), np.float32)
    assert Torch("cpu").product(a, b, out=out) is out
    assert out[0, 0] == 1


def test_what_is_kept_lies_on_the_device_as_long_as_it_lives_here() -> None:
    there, x = Torch("cpu"), np.ones((5, 2), np.float32)
    there.keep(x)
    there.keep(x)
    assert len(there._kept) == 1
    np.testing.assert_array_equal(there.product(np.ones((1, 5)), x), [[5, 5]])
    del x
    gc.collect()
    assert not there._kept
    np.testing.assert_array_equal(there.product(np.ones((1, 5)), np.zeros((5, 2))), [[0, 0]])


def test_no_memory_is_a_line_that_says_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch.linalg, "eigh", full)
    given = given_of(44, 60, 60, 2, 1)
    plan = probes.plan(given.y, given.groups, classes=given.classes, permutations=19, repeats=1)
    with pytest.raises(DeviceError, match=r"^torch-cpu has too little memory .* 44 x 44 .*--probe-device cpu") as found:
        probes.measure(given, plan, device=TORCH_ON_HOST)
    assert "\n" not in str(found.value)
    assert algebra.current().device == "cpu"
    probes.measure(given, plan, probe="ridge", level="screen")


@pytest.mark.parametrize(
    ("device", "why"), [("cuda:77", "is not there"), ("mps", "no float64"), ("gpu", "not known"), ("meta", "no CUDA")]
)
def test_a_device_that_cannot_be_used_is_refused_in_a_line(device: str, why: str) -> None:
    with pytest.raises(DeviceError, match=f"--probe-device {device} .*{why}.*give "):
        algebra.of(device)
