"""The credit rule: to what a `present` may be credited, the weakest explanation that its controls do not exclude."""

from collections.abc import Mapping
from dataclasses import dataclass

from probes._base import Credit
from probes.stats.measurement import Difference, Measurement


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control that an encoder must beat, what is credited where it does not, and how the control is called."""

    name: str
    credit: Credit
    words: str
    verb: str = "reads"
    as_well: str = "the score alone is no praise"
    is_encoder: bool = True  # an encoder of that name; else the untrained network


LOWLEVEL, PIXELS, UNTRAINED = "lowlevel", "pixels", "random"
CONTROLS = (  # from the weakest explanation on; a control more is an entry more
    Control(
        name=LOWLEVEL,
        credit="nuisance",
        words="plain image statistics (size, brightness, histogram; no layout)",
        verb="read",
    ),
    Control(name=PIXELS, credit="pixels", words="a thumbnail of 1024 pixels"),
    Control(
        name=UNTRAINED,
        credit="architecture",
        words="the same network untrained",
        is_encoder=False,
        as_well="the score proves nothing about training",
    ),
)


def credit_of(
    controls: Mapping[str, tuple[Measurement, Difference]], called: Mapping[str, str]
) -> tuple[Credit | None, str]:
    """The credit, and the sentence that says it; no credit where no control was run.

    `controls` maps names of CONTROLS to their measurement on the same folds and the paired difference to them. The
    credit is that of the first control that was not run or whose difference is not above 0 with its whole interval;
    `learned` where there is none. `called` names a control otherwise than usual.
    """
    if not controls:
        return None, ""
    for one in CONTROLS:
        words = called.get(one.name, one.words)
        if one.name not in controls:
            return one.credit, f"No comparison with {words} was made, so no more than that can be credited."
        control, difference = controls[one.name]
        if difference.low is None or difference.low <= 0:
            return one.credit, _not_excluded(one, words, control, difference)
    return "learned", (
        "More than plain image statistics, thumbnail pixels and the untrained network read: "
        "credited to what was learnt."
    )


def _not_excluded(one: Control, words: str, control: Measurement, difference: Difference) -> str:
    score = f"{control.estimate.score:.2f}"
    if difference.high is not None and difference.high < 0:
        return f"But {words} {one.verb} it better ({score}): no credit to the encoder."
    if control.estimate.low is not None and control.estimate.low > control.estimate.chance:
        return f"But {words} {one.verb} it as well ({score}; the difference may be zero): {one.as_well}."
    return (
        f"But with this many items the difference to {words} ({score}) may be zero, so no more than that can be "
        "credited."
    )
