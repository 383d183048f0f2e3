"""Where a fact is lost, against planted truth in whole models: the verdicts on phantom-llava and its variants.

$ python -m benchmarks.verdicts --items 120 --seeds 20 > verdicts.md
A row for each model and task with what was planted, and how often the verdict was right, wrong or left open over
so many sets of phantoms; then every verdict that is not right, with its reason. A line for each verdict goes to the
standard error as it is reached. Stopped, it goes on from the store.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import encoders
from slitlamp.diagnosis.api import diagnose
from slitlamp.errors import UsageError

TASKS = ("orientation", "contrast", "orientation-pelvis")
WORKS, TOWER, CONNECTOR, LANGUAGE, BIAS = "none", "encoder", "connector", "language_model", "RESPONSE_BIAS"
UNUSED = "LM_NOT_USED"  # a failure of the language model that is no preference for an option
# What is right, for each task: a failure or a code, several where the variant is built so that two links lose it, None
# where what was planted says nothing of the task. Probes and answers of the cards are named where they are the reason.
PLANTED: dict[str, tuple[tuple[str, ...] | None, ...]] = {
    "phantom-llava": ((WORKS,), (WORKS,), (WORKS,)),
    "phantom-llava-skewed": ((WORKS,), (WORKS,), (WORKS,)),  # an invertible matrix behind the connector
    "phantom-llava-blind": ((TOWER,), None, (TOWER,)),  # contrast: tower .81, answers .6, neither planted
    "phantom-llava-blind-contrast": (None, (TOWER,), None),  # what it answers elsewhere was trained, not planted
    "phantom-llava-null": ((CONNECTOR,), None, (CONNECTOR,)),
    "phantom-llava-null-contrast": (None, (CONNECTOR,), None),
    "phantom-llava-ignoring": ((UNUSED,), (UNUSED,), (UNUSED,)),
    "phantom-llava-constant": ((LANGUAGE,), (LANGUAGE,), (LANGUAGE,)),
    "phantom-llava-biased": ((BIAS,), (BIAS,), (BIAS,)),
    # without a letter; its connector was trained for letters alone: contrast is .97 before and .78 behind it
    "phantom-llava-letter": ((LANGUAGE,), (LANGUAGE, CONNECTOR), (LANGUAGE, CONNECTOR)),
}


def planted(model: str, task: str) -> tuple[str, ...] | None:
    """What a definite verdict on this model and task should say; None where nothing of it was planted."""
    return PLANTED[model][TASKS.index(task)]


def judged(found: dict[str, Any], right: Sequence[str]) -> str:
    """Whether a verdict is right, wrong, or left open."""
    if found["failure"] == "inconclusive":
        return "open"
    said = {found["failure"], found["code"]}
    if found["failure"] == LANGUAGE and found["code"] != BIAS:
        said.add(UNUSED)
    return "right" if said & set(right) else "wrong"


def verdict(model: str, task: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """The verdict of the instrument on one model and one set of phantoms."""
    found = diagnose(
        model, task, items=given.items, permutations=given.permutations, seed=seed, jobs=given.jobs,
        causal=given.causal, offline=True, out="",
    )  # fmt: skip
    if found.failed:
        raise UsageError("; ".join(found.failed))
    return found.tables["verdicts"][0]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and the verdicts that are not right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=PLANTED, default=list(PLANTED), metavar="MODEL")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--items", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=1, help="sets of phantoms for each model and task")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--causal", default="auto", choices=("auto", "on", "off"))
    parser.add_argument("--jobs", type=int, default=None)
    given = parser.parse_args(argv)
    missing = sorted(set(PLANTED) - set(encoders.whole_names()))
    if missing:
        raise UsageError(f"not registered: {', '.join(missing)}")
    cells = [(m, t) for m in given.models for t in given.tasks if planted(m, t) is not None]
    ended: dict[tuple[str, str], Counter[str]] = {cell: Counter() for cell in cells}
    said: dict[tuple[str, str], Counter[str]] = {cell: Counter() for cell in cells}
    seconds = dict.fromkeys(cells, 0.0)
    lines: list[str] = []
    for seed, (model, task) in ((s, c) for s in range(given.first, given.first + given.seeds) for c in cells):
        began = time.perf_counter()
        found = verdict(model, task, seed, given)
        end = judged(found, planted(model, task) or ())
        seconds[model, task] += time.perf_counter() - began
        ended[model, task][end] += 1
        said[model, task][f"{found['code']} ({found['confidence']})"] += 1
        print(f"{end}: {model}, {task}, seed {seed}: {found['code']}", file=sys.stderr, flush=True)
        if end != "right":
            lines.append(f"- {end}: {model}, {task}, seed {seed}: {found['code']}: {found['reason']}")
    print("| model | task | planted | right | wrong | open | said | s each |")
    print("|---|---|---|--:|--:|--:|---|--:|")
    for model, task in cells:
        codes = ", ".join(f"{code} {count}" for code, count in said[model, task].most_common())
        counts = " | ".join(str(ended[model, task][end]) for end in ("right", "wrong", "open"))
        due = " or ".join(planted(model, task) or ())
        print(f"| {model} | {task} | {due} | {counts} | {codes} | {seconds[model, task] / given.seeds:.0f} |")
    ends = sum(ended.values(), Counter[str]())
    print(f"\nright {ends['right']}, wrong {ends['wrong']}, open {ends['open']}\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
