"""What is asked of each item: the question and its paraphrases, the options and their wordings, and the right one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cache import Store
from encoders.answering.prompts import LETTERS
from slitlamp.answers.settings import AskSettings
from slitlamp.duplicates.guard import Copies, resolve_duplicates
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.questions import Question, facts_of
from slitlamp.settings import SourceSettings
from slitlamp.sources import open_source
from tasks import DataError, Row, Source


@dataclass(frozen=True, kw_only=True, eq=False)
class Inquiry:
    """Items with what is asked of each.

    `prompts` [n] are the question and its paraphrases, `options` [n] the wordings of the options, each a tuple of one
    text for each option; `y` int64 [n] is the number of the right one. `facts` [n] has for each option a sentence by
    which it is right, or is () where there is none. `classes` are the options where all items share them.
    """

    name: str
    ids: tuple[str, ...]
    groups: np.ndarray
    y: np.ndarray
    prompts: Sequence[tuple[str, ...]]
    options: Sequence[tuple[tuple[str, ...], ...]]
    pictures: ImageSet
    policy: Mapping[str, Any]
    classes: tuple[str, ...] | None = None
    facts: Sequence[tuple[str, ...]] = ()
    copies: tuple[str, ...] | None = None
    synthetic: bool = False
    warnings: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse options that do not fit, naming the first item."""
        for name, every in zip(self.ids, self.options, strict=True):
            for texts in every:
                _check_options(f"{self.name}, item {name}", texts)

    @cached_property
    def counts(self) -> list[int]:
        """How many options each item has."""
        return [len(every[0]) for every in self.options]


def _check_options(where: str, texts: Sequence[str]) -> None:
    if len(texts) < 2:
        raise DataError(f"{where}: {len(texts)} option{'s' * (len(texts) != 1)} ({', '.join(texts)}): two are needed")
    if len(texts) > len(LETTERS):
        raise DataError(f"{where}: {len(texts)} options, more than there are letters ({len(LETTERS)})")
    broken = next((text for text in texts if len(text.splitlines()) > 1), None)
    if broken is not None:
        raise DataError(f"{where}: the option {broken!r} has more than one line, so that it would look like several")
    plain = [" ".join(text.lower().split()) for text in texts]
    twice = next((text for text in plain if plain.count(text) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: two options are both {twice!r}, so that they cannot be told apart")
    if not all(plain):
        raise DataError(f"{where}: an option has no text")


def check_words(questions: Sequence[Question], own: AskSettings) -> None:
    """Raises UsageError where a question or options in the user's words would be put for tasks of other classes."""
    other = next((one for one in questions if one.classes != questions[0].classes), None)
    if other is not None and (own.question or own.options):
        flag = "question" if own.question else "options"
        raise UsageError(
            f"--{flag} would be put for {questions[0].name} and for {other.name}, whose classes are others: give each "
            "a command of its own"
        )


def of_question(question: Question, own: AskSettings) -> Inquiry:
    """What a task asks of its items: its question and paraphrases, with the classes' names and wordings as options.

    Raises:
        UsageError: a number is asked for, a column without a question in words, or words that do not fit the classes.
    """
    task = question.task
    if question.classes is None:
        raise UsageError(
            f"task {question.name} asks for a number, and a model is given options: make classes of it (--classes with "
            "a column of ranges), or read it with a probe"
        )
    if task.name == "label" and not own.question:
        raise UsageError(
            f"task {question.name}: a column has no question in words; say --question 'Does the film show …?' (and "
            "further paraphrases behind it)"
        )
    k = len(question.classes)
    if own.options and len(own.options) != k:
        raise UsageError(f"--options has {len(own.options)} texts for {k} classes: {', '.join(question.classes)}")
    wordings = (own.options or question.classes, *(() if own.options else _wordings(question)))[: own.wordings]
    prompts = (own.question or (task.question, *task.asks))[: own.paraphrases]
    facts = _of_classes(question, task.facts)
    n = len(question.ids)
    return Inquiry(
        name=question.name, ids=question.ids, groups=question.groups, y=question.y.astype(np.int64),
        prompts=[prompts] * n, options=[wordings] * n, facts=[facts or _stated(wordings[0])] * n,
        pictures=question.pictures, policy=question.source.policy, classes=question.classes, copies=question.copies,
        synthetic=question.source.synthetic, warnings=question.warnings, record=question.facts,
    )  # fmt: skip


def _stated(options: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each option by which it is right, where a task has none of its own."""
    return tuple(f"What is true of this image: {option}." for option in options)


def _wordings(question: Question) -> list[tuple[str, ...]]:
    """The task's other words for the classes that are there."""
    return [found for words in question.task.wordings if (found := _of_classes(question, words))]


def _of_classes(question: Question, words: Sequence[str]) -> tuple[str, ...]:
    """One text for each class of the question, () where the task has none or the classes are a benchmark's own."""
    classes = question.task.classes
    if not words or classes is None or question.classes is None or not set(question.classes) <= set(classes):
        return ()
    return tuple(words[classes.index(one)] for one in question.classes)


def of_rows(settings: SourceSettings, own: AskSettings, store: Store) -> Inquiry:
    """What a benchmark asks of each of its rows, in its own words.

    Raises:
        UsageError: the source's rows ask nothing, or words are given that cannot be theirs. DataError: no row has an
        answer among its options.
    """
    assert settings.data is not None
    source = resolve_duplicates(open_source(settings, settings.data, store), Copies(store=store), settings)
    asking = [row for row in source.rows if row.text and row.text.get("question")]
    if not asking:
        raise UsageError(
            f"{source.name} asks nothing of its images: say --task NAME, or --label COLUMN with --question TEXT"
        )
    if own.question or own.options:
        raise UsageError(f"--question and --options have nothing to act on: {source.name} has its own for every image")
    read = [(row, _right(row)) for row in asking]
    kept = [(row, right) for row, right in read if right is not None]
    left = len(source.rows) - len(kept)
    if not kept:
        raise DataError(f"{source.name}: no row has an answer that is one of its options")
    rows = [row for row, _ in kept]
    notes = [f"{left} of {len(source.rows)} rows have no answer among their options: they are not asked"] * bool(left)
    return Inquiry(
        name=source.name, ids=tuple(row.id for row in rows), groups=np.array([row.group for row in rows]),
        y=np.array([right for _, right in kept], np.int64),
        prompts=[(_question(row),) for row in rows], options=[(_options(row),) for row in rows],
        pictures=ImageSet(
            pictures=[row.picture for row in rows], names=[row.id for row in rows], store=store,
            volumes=settings.volumes,
        ),
        policy=source.policy, synthetic=source.synthetic, warnings=(*source.warnings, *notes),
        record=_facts(source, kept, settings, notes),
    )  # fmt: skip


def _facts(
    source: Source, kept: Sequence[tuple[Row, int]], settings: SourceSettings, notes: Sequence[str]
) -> dict[str, Any]:
    """Who is asked, how often, and how often each letter is right, for the record."""
    letters = Counter(LETTERS[right] for _, right in kept)
    items = [row.item(LETTERS[right]) for row, right in kept]
    return facts_of(source.name, source, items, settings, classes=sorted(letters), notes=notes)


def _question(row: Row) -> str:
    return str((row.text or {})["question"])


def _options(row: Row) -> tuple[str, ...]:
    """A row's options, each on one line."""
    every = (str(option) for option in (row.text or {}).get("options", ()))
    return tuple(" ".join(text.split()) if len(text.splitlines()) > 1 else text for text in every)


def _right(row: Row) -> int | None:
    """The number of the right option; None where a row names none of them."""
    answer = str((row.text or {}).get("answer", "")).strip().lower()
    plain = [option.strip().lower() for option in _options(row)]
    if answer in plain:
        return plain.index(answer)
    letter = answer.strip("().").upper()
    places = LETTERS[: len(plain)]
    return places.index(letter) if len(letter) == 1 and letter in places else None
