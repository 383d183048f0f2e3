"""What `experiments.calibrate` answers: a calibration, a table of several, or the matrix of verdicts; or its price."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from slitlamp import verdict_matrix
from slitlamp.calibrate import RUNS_OF, asked, calibrate, kind_of, table
from slitlamp.errors import UsageError
from slitlamp.log import progress

OF_OUTPUT = ("json", "standard", "verdicts", "jobs", "out", "replace", "dry_run", "debug")


def answered(flags: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    """The text, or with `json` the document, that the flags of the command ask for; `plain` are their defaults.

    Raises:
        UsageError: flags that do not fit together, or data that cannot be judged.
    """
    given = {name: value for name, value in flags.items() if name not in OF_OUTPUT}
    as_json, standard, jobs = flags["json"], flags["standard"], flags["jobs"]
    if flags["verdicts"]:
        setting = verdict_matrix.asked(given | {"standard": standard}, plain)
        if flags["dry_run"]:
            return _priced(_of_matrix(setting, jobs), as_json=as_json)
        matrix = verdict_matrix.matrix(setting, jobs, flags["out"], replace=flags["replace"])
        return json.dumps(matrix.document(), indent=1) if as_json else matrix.text()
    if flags["out"] or jobs:
        raise UsageError(f"--{'out' if flags['out'] else 'jobs'} has nothing to act on without --verdicts")
    settings = asked(given, standard=standard)
    if flags["dry_run"]:
        each = [(one.runs, _expected(kind_of(one), one.items, one.width)) for one in settings]
        known = [runs * seconds for runs, seconds in each if seconds is not None]
        plan = {"data_sets": RUNS_OF * sum(runs for runs, _ in each), "seconds": sum(known)}
        return _priced(plan if len(known) == len(each) else plan | {"seconds": None}, as_json=as_json)
    with progress(len(settings) * RUNS_OF * given["runs"], "calibrate") as bar:
        found = [calibrate(setting, bar.update) for setting in settings]
    document = {"schema": 2, "experiment": "calibrate", "settings": [asdict(one) for one in found]}
    return json.dumps(document, indent=1) if as_json else table(found) if standard else found[0].text()


def _of_matrix(setting: verdict_matrix.MatrixSetting, jobs: int | None) -> dict[str, Any]:
    from joblib import effective_n_jobs

    from probes.stages.planted import TRUTHS
    from probes.stages.planted_texts import TEXT_TRUTHS

    count = (len(TRUTHS) + len(TEXT_TRUTHS)) * setting.runs
    each = _expected(verdict_matrix.KIND, setting.items, setting.width)
    return {"data_sets": count, "seconds": None if each is None else each * count / effective_n_jobs(jobs or -1)}


def _expected(kind: str, items: int, width: int) -> float | None:
    from slitlamp.probing.pace import expected

    return expected(kind, items, width)


def _priced(plan: Mapping[str, Any], *, as_json: bool) -> str:
    """What a plan takes, as text or as a document."""
    from slitlamp.ablation.plan import time_of

    if as_json:
        return json.dumps({"experiment": "calibrate", "plan": dict(plan)}, indent=1)
    time = "Time: not known: such data sets were never timed here; --runs 1 times them."
    if plan["seconds"] is not None:
        time = time_of(plan["seconds"], "data sets")
    return f"{plan['data_sets']} data sets to plant and to measure.\n{time}"
