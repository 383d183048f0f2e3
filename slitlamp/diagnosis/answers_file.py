"""Answers that were made elsewhere, read again from their raw text through the importer of `answers import`."""

import numpy as np

from slitlamp.answers.answered import INVALID, AnsweredQuestion, Answers, Presentation
from slitlamp.answers.formats import read_answers
from slitlamp.answers.import_run import read_again
from slitlamp.answers.import_settings import ImportSettings
from slitlamp.answers.settings import CHOICE
from slitlamp.answers.truth import truth_of
from slitlamp.errors import UsageError
from slitlamp.questions import Question
from slitlamp.settings import Settings
from tasks import DataError


def answers_from(path: str, question: Question, settings: Settings) -> AnsweredQuestion:
    """The answers of a file to the items of a question; an item without one, or without an option in it, is invalid.

    Raises:
        UsageError: no such file, or answers of several models. DataError: none of its items is asked, an item is
            answered twice and differently, or its options are other ones.
    """
    task = () if settings.source.label is not None and not settings.source.task else (question.task.name,)
    truth = truth_of(settings.but(task=task))
    assert truth is not None
    file = read_answers(path)
    found, notes = read_again([file], truth, ImportSettings(files=(path,)))
    if len({one.model for one in found}) > 1:
        raise UsageError(f"--answers {path} holds answers of {len(found)} models; give a file for each")
    read = [one for some in found for one in some.read if one.known.id in set(question.ids)]
    if not read:
        raise DataError(f"--answers {path}: none of its items is asked by {question.name}")
    place = {name: k for k, name in enumerate(question.ids)}
    repeats = list(dict.fromkeys(one.record.repeat for one in read))
    chosen = np.full((len(place), len(repeats)), INVALID)
    why = [["no answer"] * len(repeats) for _ in place]
    for one in read:
        row, column = place[one.known.id], repeats.index(one.record.repeat)
        chosen[row, column] = one.ours if one.ours >= 0 else INVALID
        why[row][column] = one.parsed.why if one.ours < 0 else ""
    invalid = int((chosen < 0).sum())
    if invalid:
        notes = [
            *notes, f"{invalid} of {chosen.size} answers name no option, or are missing; they count as wrong, and as "
            f"undecided where a preferred option is taken off: {chosen.size - invalid} are read"
        ]  # fmt: skip
    classes = question.classes or ()
    way = Answers(
        way=CHOICE, format=file.format, chosen=chosen, why=why,
        presentations=tuple(Presentation(prompt=k) for k in range(len(repeats))),
    )  # fmt: skip
    return AnsweredQuestion(
        model=file.model, fingerprint="", name=question.name, ids=question.ids, groups=question.groups, y=question.y,
        options=[tuple(classes)] * len(place), classes=classes, ways={CHOICE: way}, notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip
