"""What a command about pairs found; see `slitlamp.reports.result`."""

from slitlamp.reports.result import CommandResult

PairResult = CommandResult
