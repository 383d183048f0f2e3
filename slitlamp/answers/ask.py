"""Asking a model: every item in every way, paraphrase, wording and order of options, and with its image taken away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from encoders import EncoderError
from encoders.answering import ways
from encoders.answering.prompts import FORMATS
from slitlamp.answers.answered import (
    BLIND,
    GREY,
    INVALID,
    NO_IMAGE,
    OTHER,
    SAME,
    UNASKED,
    AnsweredQuestion,
    Answers,
    Knowledge,
    Presentation,
)
from slitlamp.answers.inquiry import Inquiry, of_question
from slitlamp.answers.judge import Judging, read_choice
from slitlamp.answers.kept import SCORE_LETTERS, SCORE_TEXTS, WRITE, Put, answer_missing
from slitlamp.answers.settings import (
    BOTH,
    CHOICE,
    FREE,
    LETTER,
    MEDICONFUSION,
    NEITHER,
    PREFIX,
    STAMPED,
    STATED,
    AskSettings,
)
from slitlamp.answers.shown import Shown, grey, own, stamped
from slitlamp.answers.stored import StoredModel
from slitlamp.errors import one_line
from slitlamp.log import say
from slitlamp.questions import Question

OF_WAY = {LETTER: SCORE_LETTERS, CHOICE: WRITE, PREFIX: SCORE_TEXTS, FREE: WRITE}
TIES = {LETTER: ways.FIRST, PREFIX: ways.LAST}  # MediConfusion's
EACH_CLASS = 12  # images of a class into which its name is stamped

ShownFor = Callable[[int], Shown | None]


def asked(model: StoredModel, question: Question, settings: AskSettings, *, seed: int = 0) -> AnsweredQuestion:
    """A task's question as the model answers it, with its controls; answers that are known are taken from the store.

    Raises:
        UsageError, DataError: the question cannot be put as options. EncoderError: the model cannot be asked in any of
        the ways.
    """
    return ask(model, of_question(question, settings), settings, seed=seed)


def ask(model: StoredModel, inquiry: Inquiry, settings: AskSettings, *, seed: int = 0) -> AnsweredQuestion:
    """What the model answers to every item; a way that it cannot be asked in is left out and named in `notes`."""
    asking = Asking(model=model, inquiry=inquiry, settings=settings, notes=[])
    _ = model.identity  # one that cannot be had fails here, once for all ways
    found = {}
    for way in settings.ways:
        try:
            found[way] = asking.answers(way, presentations(inquiry, way), lambda i: own(inquiry.pictures, i), way)
        except EncoderError as error:
            if way == settings.ways[-1] and not found:
                raise
            asking.failed.append(asking.left_out(way, error))
    blind, shown = {}, {}
    if not settings.no_blind:
        blind, shown = _blind(asking, LETTER if LETTER in found else next(iter(found)), seed)
    return AnsweredQuestion(
        model=model.label, fingerprint=model.fingerprint, name=inquiry.name, ids=inquiry.ids, groups=inquiry.groups,
        y=inquiry.y, options=[every[0] for every in inquiry.options], classes=inquiry.classes, ways=found,
        prompts=inquiry.prompts, blind=blind, shown=shown, copies=inquiry.copies,
        knowledge=_knowledge(asking), notes=tuple(asking.notes), failed=tuple(asking.failed), facts=inquiry.record,
        asked=sum(asking.counted),
    )  # fmt: skip


def presentations(inquiry: Inquiry, way: str) -> tuple[Presentation, ...]:
    """The manners in which a way puts the question.

    The letter: every paraphrase, wording and cyclic order. Writing a letter: every paraphrase and order, the first
    wording. Where no options are listed there is no order: the prefix has every paraphrase and wording, the free reply
    every paraphrase.
    """
    prompts = range(max(len(some) for some in inquiry.prompts))
    wordings = range(max(len(some) for some in inquiry.options) if way in (LETTER, PREFIX) else 1)
    shifts = range(max(inquiry.counts) if way in (LETTER, CHOICE) else 1)
    return tuple(Presentation(prompt=p, wording=w, shift=s) for w in wordings for p in prompts for s in shifts)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A model, what it is asked, and how; `notes`, `failed` and `counted` (prompts put now) grow."""

    model: StoredModel
    inquiry: Inquiry
    settings: AskSettings
    notes: list[str]
    failed: list[str] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)

    def left_out(self, what: str, error: Exception) -> str:
        """Say and note what could not be asked; returns the line."""
        line = f"{self.model.label}, {what}: not asked: {one_line(error)}"
        say(f"warning: {line}")
        self.notes.append(line)
        return line

    def answers(
        self, way: str, every: Sequence[Presentation], shown: ShownFor, what: str, before: Sequence[str] = ()
    ) -> Answers:
        """What one way gives under these presentations, with the image that `shown` gives for each item.

        `before` [n] stands before each item's prompt.
        """
        puts, places = [], []
        for i in range(len(self.inquiry.ids)):
            image = shown(i)
            for j, one in enumerate(every):
                if self._put_at(i, one):
                    puts.append(self._put(way, i, one, image, before[i] if before else ""))
                    places.append((i, j))
        kept = answer_missing(self.model, puts, dict(self.inquiry.policy), what)
        self.counted.append(kept.asked)
        return self._read(way, every, places, kept.values)

    def _put_at(self, i: int, one: Presentation) -> bool:
        """Whether an item has this paraphrase, wording and order."""
        inquiry = self.inquiry
        return (
            one.prompt < len(inquiry.prompts[i])
            and one.wording < len(inquiry.options[i])
            and one.shift < inquiry.counts[i]
        )

    def format_of(self, way: str) -> str:
        """The name of the prompt's format."""
        return way if way in (PREFIX, FREE) else self.settings.format

    def _put(self, way: str, i: int, one: Presentation, image: Shown | None, before: str) -> Put:
        form, words = FORMATS[self.format_of(way)], self.inquiry.options[i][one.wording]
        options = tuple(words[c] for c in one.order(len(words)))
        text = form.text(self.inquiry.prompts[i][one.prompt], options if way in (LETTER, CHOICE) else ())
        return Put(
            what=OF_WAY[way], text=f"{before} {text}" if before else text, start=form.start, shown=image,
            options=options if way in (LETTER, PREFIX) else (),
            limit=self.settings.limit(way) if OF_WAY[way] == WRITE else 0,
        )  # fmt: skip

    def _read(
        self, way: str, every: Sequence[Presentation], places: Sequence[tuple[int, int]], values: Sequence[Any]
    ) -> Answers:
        n, m, k = len(self.inquiry.ids), len(every), max(self.inquiry.counts)
        chosen = np.full((n, m), UNASKED)
        replies, why = ([["" for _ in range(m)] for _ in range(n)] for _ in range(2))
        made = Answers(
            way=way, format=self.format_of(way), presentations=tuple(every), chosen=chosen, replies=replies, why=why
        )
        if OF_WAY[way] != WRITE:
            scores = np.full((n, m, k), np.nan)
            ties = TIES[way] if self.settings.ties == MEDICONFUSION else ways.REPORT
            for (i, j), value in zip(places, values, strict=True):
                order, one = every[j].order(self.inquiry.counts[i]), np.array(value, np.float64)
                scores[i, j, list(order)] = one - np.logaddexp.reduce(one)
                place = ways.best(one, ties)
                chosen[i, j] = order[place] if place >= 0 else place
                why[i][j] = "options tie" * (place < 0)
            return replace(made, logodds=scores)
        judging = Judging.of(self.settings, self.model.store) if way == FREE else None
        for (i, j), (text, finished) in zip(places, values, strict=True):
            wordings = self.inquiry.options[i]
            if judging is None:
                order = every[j].order(len(wordings[0]))
                options = [wordings[every[j].wording][c] for c in order]
                place, why[i][j] = read_choice(text, options, finished, self.settings.parser)
                place = order[place] if place >= 0 else INVALID
            else:
                place, why[i][j] = judging.read(self.inquiry.prompts[i][every[j].prompt], wordings, text, finished)
            chosen[i, j], replies[i][j] = place, text
        if judging is not None:
            for line in judging.failures():
                say(f"warning: {line}")
                self.notes.append(line)
                self.failed.append(f"{self.model.label}, {self.inquiry.name}: {line}")
        return made


def _blind(asking: Asking, way: str, seed: int) -> tuple[dict[str, Answers], dict[str, np.ndarray]]:
    """The way's answers without the image, with a grey one, and with images of other items; and whose those are."""
    inquiry = asking.inquiry
    every = [one for one in presentations(inquiry, way) if one.wording == 0]
    partner = {OTHER: partners(inquiry, same=False, seed=seed), SAME: partners(inquiry, same=True, seed=seed)}
    shown: dict[str, ShownFor] = {
        NO_IMAGE: lambda _: None,
        GREY: lambda i: grey(inquiry.pictures, i),
        OTHER: lambda i: own(inquiry.pictures, max(int(partner[OTHER][i]), 0)),
        SAME: lambda i: own(inquiry.pictures, max(int(partner[SAME][i]), 0)),
    }
    found = {}
    for name in BLIND:
        if name in partner and (partner[name] < 0).all():
            asking.notes.append(f"no item has a partner for the control with an image of the {name}")
            continue
        try:
            made = asking.answers(way, every, shown[name], name)
        except EncoderError as error:
            asking.left_out(name, error)
            continue
        if name in partner:
            without = partner[name] < 0
            made.chosen[without] = UNASKED
            if made.logodds is not None:
                made.logodds[without] = np.nan
        found[name] = made
    return found, {name: whose for name, whose in partner.items() if name in found}


def partners(inquiry: Inquiry, *, same: bool, seed: int) -> np.ndarray:
    """For each item another whose image is shown in its place, of the same answer or of another: int64 [n], -1 if none.

    It is drawn by the seed among items with the same options, of another group where there is one; an image of another
    answer may be of the same group (a turned copy, the other image of a pair) where no other group has one.
    """
    rng = np.random.default_rng([seed, len(inquiry.ids), 97])
    kinds: dict[tuple[str, ...], list[int]] = {}
    for i, every in enumerate(inquiry.options):
        kinds.setdefault(every[0], []).append(i)
    groups, found = inquiry.groups, np.full(len(inquiry.ids), -1)
    for members in kinds.values():
        some = np.array(members)
        for i in members:
            fits = some[((inquiry.y[some] == inquiry.y[i]) == same) & (some != i)]
            apart = fits[groups[fits] != groups[i]]
            free = apart if len(apart) or same else fits
            if len(free):
                found[i] = rng.choice(free)
    return found


def _knowledge(asking: Asking) -> Knowledge | None:
    """How often the letter is right where the fact stands in the prompt, or is stamped into the image."""
    inquiry, settings = asking.inquiry, asking.settings
    if settings.knowledge == NEITHER:
        return None
    counts: list[dict[str, int]] = [{}, {}, {}, {}]
    for name in (STATED, STAMPED):
        if settings.knowledge not in (BOTH, name) or (name == STATED and not inquiry.facts):
            continue
        chosen = few(inquiry, 1 if name == STATED else EACH_CLASS)
        part = _part_of(inquiry, chosen)
        told = replace(asking, inquiry=part)
        every = [one for one in presentations(part, LETTER) if one.wording == 0]
        try:
            if name == STATED:
                facts = [part.facts[i][part.y[i]] for i in range(len(chosen))]
                made = told.answers(LETTER, every, lambda _: None, f"knowledge {name}", facts)
            else:
                made = told.answers(LETTER, every, _stamps(part), f"knowledge {name}")
        except EncoderError as error:
            asking.left_out(f"knowledge {name}", error)
            continue
        put = made.chosen != UNASKED
        pairs, told_apart = _pairs(made, part)
        found = (int(put.sum()), int((made.chosen == part.y[:, None])[put].sum()), pairs, told_apart)
        for count, value in zip(counts, found, strict=True):
            count[name] = value
    asked_, right, pairs_, apart = counts
    return Knowledge(asked=asked_, right=right, pairs=pairs_, pairs_right=apart)


def _part_of(inquiry: Inquiry, chosen: np.ndarray) -> Inquiry:
    """The inquiry of some of its items."""
    every = inquiry.pictures
    pictures = replace(
        every, pictures=[every.pictures[i] for i in chosen], names=[every.names[i] for i in chosen],
        marks=[every.marks[i] for i in chosen] if every.marks else (), box={}, held=0,
    )  # fmt: skip
    return replace(
        inquiry, ids=tuple(inquiry.ids[i] for i in chosen), groups=inquiry.groups[chosen], y=inquiry.y[chosen],
        prompts=[inquiry.prompts[i] for i in chosen], options=[inquiry.options[i] for i in chosen],
        facts=[inquiry.facts[i] for i in chosen] if inquiry.facts else (), copies=None, pictures=pictures,
    )  # fmt: skip


def _stamps(inquiry: Inquiry) -> ShownFor:
    """Each item's image with the right option written into it."""
    return lambda i: stamped(inquiry.pictures, i, inquiry.options[i][0][inquiry.y[i]].upper())


def _pairs(made: Answers, inquiry: Inquiry) -> tuple[int, int]:
    """Pairs of items with the same options and different answers, by presentation, and how many are told apart."""
    assert made.logodds is not None
    count = right = 0
    for i in range(len(inquiry.ids)):
        for j in range(i):
            a, b = inquiry.y[i], inquiry.y[j]
            if a == b or inquiry.options[i][0] != inquiry.options[j][0]:
                continue
            first, second = made.logodds[i], made.logodds[j]  # [m, k]
            gap = first[:, a] - first[:, b] + second[:, b] - second[:, a]
            count += int((~np.isnan(gap)).sum())
            right += int((gap > 2 * ways.SAME).sum())
    return count, right


def few(inquiry: Inquiry, most: int) -> np.ndarray:
    """At most so many items of each answer, spread over the list: int64, ascending.

    Where items do not share their options, four times as many of all.
    """
    kinds = [np.arange(len(inquiry.ids))]
    if inquiry.classes is not None:
        kinds = [mine for c in range(len(inquiry.classes)) if len(mine := np.flatnonzero(inquiry.y == c))]
    count = most if inquiry.classes is not None else 4 * most
    taken = [mine[np.unique(np.linspace(0, len(mine) - 1, count).round().astype(int))] for mine in kinds]
    return np.sort(np.concatenate(taken))
