"""The command about comparisons: the runs that were named, opened and compared."""

from slitlamp.comparison.found import find
from slitlamp.comparison.settings import RESULTS, CompareSettings
from slitlamp.errors import UsageError
from slitlamp.reports.result import CommandResult
from slitlamp.runs import StoredRun, open_runs
from slitlamp.settings import Settings


def compare_runs(settings: Settings, own: CompareSettings, line: str) -> CommandResult:
    """The comparison of what was named: see `slitlamp.comparison.found.find`."""
    runs: list[StoredRun] = []
    for name in own.runs:
        given = RESULTS.get().get(name)
        if given is None:
            runs += open_runs([name])
        else:
            runs.append(StoredRun(folder=given.home, name=name, document=given.document))
    homes = [run.folder.resolve() for run in runs]
    twice = next((run for k, run in enumerate(runs) if homes[k] in homes[:k]), None)
    if twice is not None:
        raise UsageError(f"{twice.folder} is named twice: by itself, and as a run of its grid")
    encoder = settings.encoder
    return find(
        runs, over=own.over, unpaired=own.unpaired, site=encoder.site, readout=encoder.readout,
        task=settings.source.task, reference=own.reference, command=line,
    )  # fmt: skip
