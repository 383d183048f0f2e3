"""Answers that were made elsewhere, read through the importer of `answers import`."""

from slitlamp.answers.answered import AnsweredQuestion
from slitlamp.diagnose.settings import DiagnoseSettings
from slitlamp.errors import UsageError
from slitlamp.questions import Question


def answers_from(path: str, question: Question, own: DiagnoseSettings) -> AnsweredQuestion:
    """The answers of a file to the items of a question."""
    raise UsageError(f"--answers {path}: not read yet for {question.name} of {own.model}")
