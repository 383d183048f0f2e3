"""The positive control of an erasure: that erasing another fact, which the model does report, changes its answers."""

from collections.abc import Mapping
from dataclasses import replace

from slitlamp.diagnosis.causal import ERASED, LOST
from slitlamp.diagnosis.stages import Stages

SURE = 0.05


def share_controls(found: Mapping[str, Stages]) -> None:
    """Give each task with a causal check the erasure of the fact that the model reports best, of the others.

    It is chosen by its answers, not by what its erasure did. Where no other fact is reported that is said.
    """
    reported = {
        name: one.told.score
        for name, one in found.items()
        if one.causal is not None and one.causal.erasure is not None and one.told is not None
        and one.told.p is not None and one.told.p <= SURE and one.told.low is not None and one.told.low > 0.5
    }  # fmt: skip
    given = {name: one.causal.erasure for name, one in found.items() if one.causal is not None}
    for name, one in found.items():
        if one.causal is None or one.causal.erasure is None:
            continue
        others = [other for other in reported if other != name]
        if not others:
            one.notes.append(
                "no other fact that the model is shown to report was asked: that an erasure can change its answers is "
                "not shown (name a --task that it answers too)"
            )
            continue
        best = max(others, key=lambda other: reported[other])
        control = given[best]
        assert control is not None
        one.causal = replace(one.causal, control=control)
        row = {
            "task": name, "edit": f"{ERASED}: {best}, which is answered, of its own images", "measure": LOST,
            "auc": None, "effect": control.loss, "low": control.low, "high": control.high, "state": control.state,
            "answers_changed": None, "moved": None,
        }  # fmt: skip
        one.tables["causal"].append(row)
