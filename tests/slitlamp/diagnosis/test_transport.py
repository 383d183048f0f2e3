"""A transport is kept beside the cells, whole, and computed again where anything it rests on is another."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import probes
from probes import FeatureSet
from slitlamp.diagnosis import transport
from slitlamp.probing.cells import cells_in, pack


def test_what_was_carried_over_is_kept_and_of_other_stages_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    y, groups = np.arange(48) % 2, np.array([f"g{i // 2}" for i in range(48)])
    plan = probes.plan(y, groups, classes=("a", "b"), seed=1, folds=5, repeats=2, permutations=19)
    x = {name: y[:, None] + rng.normal(size=(48, 3)) for name in ("tower", "connector", "lm", "pool")}
    computed: list[int] = []
    plain = transport.transported

    def counted(*given: Any, **more: Any) -> Any:
        computed.append(1)
        return plain(*given, **more)

    def features(_run: Any, _question: Any, cell: Any) -> FeatureSet:
        return FeatureSet(x=x[cell.tag], y=y, ids=[str(i) for i in range(48)], groups=groups, classes=("a", "b"))

    monkeypatch.setattr(transport, "transported", counted)
    monkeypatch.setattr(transport, "features", features)
    monkeypatch.setattr(transport, "_pooled", lambda *_: x["pool"])
    settings, question = SimpleNamespace(probe=SimpleNamespace(seed=0)), SimpleNamespace(pool=None)
    run = SimpleNamespace(
        cells=cells_in(tmp_path), settings=settings, plan=lambda _: plan, plan_key=lambda _: "p", key=lambda c: c.tag
    )
    at = {name: SimpleNamespace(tag=name, readout="mean") for name in x}

    def ask(before: str, after: str, run: Any = run, question: Any = question) -> tuple[Any, int]:
        computed.clear()
        found = transport.carried(run, question, SimpleNamespace(cell=at[before]), [at[after]])  # type: ignore[arg-type]
        return found, len(computed)

    def whole(found: Any) -> Any:
        arrays: dict[str, np.ndarray] = {}
        return pack(found, arrays), {name: array.tolist() for name, array in arrays.items()}

    first, count = ask("tower", "connector")
    again, none = ask("tower", "connector")
    assert (count, none) == (1, 0)
    assert whole(again) == whole(first)
    assert again.linear.loss.state == first.linear.loss.state

    def pooled(*contents: str) -> Any:
        source = SimpleNamespace(policy={})
        return SimpleNamespace(pool=SimpleNamespace(pictures=SimpleNamespace(contents=contents), source=source))

    others = [
        ask("connector", "lm"), ask("tower", "lm"), ask("lm", "connector"),
        ask("tower", "connector", run=SimpleNamespace(**vars(run) | {"plan_key": lambda _: "q"})),
        ask("tower", "connector", run=SimpleNamespace(
            **vars(run) | {"settings": SimpleNamespace(probe=SimpleNamespace(seed=1))}
        )),
        ask("tower", "connector", question=pooled("a")), ask("tower", "connector", question=pooled("b")),
    ]  # fmt: skip
    assert [count for _, count in others] == [1] * len(others)
    assert ask("tower", "connector", question=pooled("a"))[1] == 0
    assert ask("tower", "connector")[1] == 0
    for path in tmp_path.glob("cells/*.npz"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert ask("tower", "connector")[1] == 1
