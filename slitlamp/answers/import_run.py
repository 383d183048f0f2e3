"""Answers made elsewhere, read again from their raw text and scored beside what their own tool made of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cache import write_atomically
from encoders.answering.prompts import LETTERS
from plugins import hint
from probes.pairs.inference import mean_difference
from probes.pairs.scores import consistent
from probes.prompts.bias import histogram
from slitlamp.answers.formats import AnswerFile, Record, read_answers
from slitlamp.answers.import_settings import ImportSettings
from slitlamp.answers.paired import pair_tables
from slitlamp.answers.reply import PUBLIC, Parsed, counted_reasons, read_reply
from slitlamp.answers.rescored import NONE, OURS, THEIRS, UNKNOWN, Answered, Read, ends, shown_reader
from slitlamp.answers.truth import Known, Truth, by_place, place, truth_of, truth_of_file
from slitlamp.errors import UsageError
from slitlamp.reports.result import CommandResult
from slitlamp.reports.spreadsheet import as_csv
from slitlamp.reports.text import cut, listed
from slitlamp.settings import Settings
from tasks import DataError
from tasks.sources.values import spelling

EXAMPLES = 8  # replies that are shown without --rescore
COUNTED = ("items", "unscored", "replies", "missing", "read")


def import_answers(settings: Settings, own: ImportSettings, command: str) -> CommandResult:
    """Read files of answers and score them again; see `slitlamp.import_answers`."""
    files = _told_apart([read_answers(path, own.format) for path in own.files], own.files)
    truth = truth_of(settings)
    answered, notes = read_again(files, truth, own)
    notes = [*dict.fromkeys([*notes, *(truth.notes if truth is not None else ())])]
    readers = [OURS, THEIRS, *(PUBLIC if own.rescore else ())]
    tables: dict[str, list[dict[str, Any]]] = {"scores": _scores(answered, readers)}
    differences = [_difference(one) for one in answered]
    if any(differences):
        tables["changes"] = [row for row in differences if row is not None]
    tables["answers"] = [row for one in answered for row in _histogram(one)]
    examples = [row for one in answered for row in _examples(one)]
    if examples:
        tables["read otherwise"] = examples if own.rescore else examples[:EXAMPLES]
    more_tables, lines = pair_tables(answered, files, readers)
    tables |= more_tables
    words = [line for one, change in zip(answered, differences, strict=True) for line in _words(one, change)]
    sentences = [*words, *lines, *_claimed(own, answered)]
    count = sum(len(one.read) for one in answered)
    rows = [row for one in answered for row in _rows(one, readers)]
    return CommandResult(
        experiment="answers import", tables=tables, sentences=sentences, notes=notes, command=command,
        data={"answers.csv": lambda path: write_atomically(path, as_csv(rows))},
        summary=f"{count} {'reply' if count == 1 else 'replies'} of "
        f"{listed(dict.fromkeys(one.model for one in answered))} read again",
    )  # fmt: skip


def read_again(
    files: Sequence[AnswerFile], truth: Truth | None, own: ImportSettings
) -> tuple[list[Answered], list[str]]:
    """The replies of files by model and task, and sentences on what is doubled, unknown or missing.

    Without a `truth` the files themselves say what is right.

    Raises:
        DataError: none of the items is known, answers contradict each other, or options are other ones.
    """
    found: list[Answered] = []
    notes = [note for file in files for note in file.notes]
    for model, some in _by_model(files).items():
        answered, more = _answered(model, some, truth, own)
        found += answered
        notes += more
    return found, notes


def _told_apart(files: Sequence[AnswerFile], paths: Sequence[str]) -> list[AnswerFile]:
    """The files, those of one name called with as much of their folders as tells them apart."""
    parts = [Path(path).expanduser().resolve().parts for path in paths]
    found = []
    for file, own in zip(files, parts, strict=True):
        others = {other for other in parts if other != own}
        depth = next(n for n in range(1, len(own) + 1) if own[-n:] not in {other[-n:] for other in others})
        found.append(replace(file, name="/".join(own[-depth:])) if depth > 1 else file)
    return found


def _by_model(files: Sequence[AnswerFile]) -> dict[str, list[AnswerFile]]:
    found: dict[str, list[AnswerFile]] = {}
    for file in files:
        found.setdefault(file.model, []).append(file)
    return found


# items and replies brought together


def _answered(
    model: str, files: Sequence[AnswerFile], truth: Truth | None, own: ImportSettings
) -> tuple[list[Answered], list[str]]:
    """The replies of one model by task, and sentences on what is doubled, unknown or missing."""
    every = [(file, record) for file in files for record in file.records]
    name = listed(dict.fromkeys(file.name for file in files))
    notes: list[str] = []
    if truth is None:
        truth = truth_of_file([record for _, record in every], name)
        notes += truth.notes
    matched, unknown = _matched(files, truth)
    notes += unknown
    kept, doubled = _once_each(matched, own)
    notes += doubled
    read = [_read(record, known, truth, own) for record, known in kept]
    notes += _other_keys(read, truth)
    tasks_ = list(dict.fromkeys(one.known.task for one in read))
    have = {one.known.id for one in read} if not truth.own else set()
    found = []
    for task in tasks_:
        missing = [] if truth.own else [k for k in truth.items.values() if k.task == task and k.id not in have]
        found.append(Answered(model=model, task=task, read=[r for r in read if r.known.task == task], missing=missing))
        if missing:
            total = len(missing) + len({r.known.id for r in found[-1].read})
            keyless = sum(known.answer is None for known in missing)
            but = f", but for {keyless} whose right answer is not known" if keyless else ""
            notes.append(
                f"{model}: {len(missing)} of {total} items of {task or truth.name} have no answer (the first is "
                f"{truth.called(missing[0].id)!r}); they count as wrong in `accuracy`{but}, and are not in `of_read`"
            )
    absent = [] if truth.own else sorted({k.task for k in truth.items.values()} - set(tasks_))
    if absent:
        notes.append(f"{model}: nothing is answered of {listed(absent)}; these are in no score")
    return found, notes


def _matched(files: Sequence[AnswerFile], truth: Truth) -> tuple[list[tuple[Record, Known]], list[str]]:
    """Every record with its item; DataError where a file names none of the items."""
    matched: list[tuple[Record, Known]] = []
    notes = []
    for file in files:
        if truth.own:
            pairs = [(r, truth.items.get(f"{r.task}/{r.item}")) for r in file.records]
        else:
            pairs = [(r, truth.find(r.item)) for r in file.records]
            if file.format == "lmms-eval" and not any(known for _, known in pairs):
                names = by_place(truth)
                pairs = [(r, truth.items.get(names.get(r.item, ""))) for r in file.records]
                if any(known for _, known in pairs):
                    _check_places(file, pairs, truth)
                    notes.append(f"{file.name}: a doc_id is the place of an item in {truth.name}, from 0")
        unknown = [r for r, known in pairs if known is None]
        if len(unknown) == len(pairs):
            one = unknown[0].item
            there = [truth.called(name) for name in truth.items]
            raise DataError(
                f"{file.name}: none of its {len(pairs)} items is in {truth.name} ({one!r} is not; "
                f"{hint(one, there) or 'an item there is ' + repr(there[0])}): another benchmark, "
                "or another version of it"
            )
        if unknown:
            notes.append(
                f"{file.name}: {len(unknown)} of {len(pairs)} answers are to items that {truth.name} does not have "
                f"(the first is {unknown[0].item!r}); they are left out"
            )
        where = f"{file.name} " if len(files) > 1 else ""
        matched += [(replace(r, where=f"{where}{r.where}"), known) for r, known in pairs if known is not None]
    return matched, notes


def _check_places(file: AnswerFile, pairs: Sequence[tuple[Record, Known | None]], truth: Truth) -> None:
    """Raises DataError where numbers are no places in the data: the right answers of the file are other ones."""
    keys = [
        (place(record.target, record.options or known.options), _places(record, known, truth), known.answer)
        for record, known in pairs
        if known is not None and record.target and known.answer is not None
    ]
    other = sum(key is not None and (key if order is None else order[key]) != answer for key, order, answer in keys)
    if 5 * other > len(keys):
        raise DataError(
            f"{file.name}: its doc_ids are no places in {truth.name}: {other} of {len(keys)} right answers would be "
            "others; name the part of the benchmark that was asked (NAME+TASK:PATH)"
        )


def _once_each(
    matched: Sequence[tuple[Record, Known]], own: ImportSettings
) -> tuple[list[tuple[Record, Known]], list[str]]:
    """Every presentation of an item once; DataError where two answers to it contradict each other, but with --last."""
    held: dict[tuple[str, str, str], tuple[Record, Known]] = {}
    same = other = 0
    for record, known in matched:
        key = (known.task, known.id, record.repeat)
        if key not in held:
            held[key] = (record, known)
            continue
        before = held[key][0]
        if (record.reply, record.scores) == (before.reply, before.scores):
            same += 1
        elif own.last:
            other += 1
            held[key] = (record, known)
        else:
            raise DataError(
                f"item {record.item!r} is answered twice and differently, {before.where} {_quoted(before.reply)} and "
                f"{record.where} {_quoted(record.reply)}: say --last for the last, or name presentations in a column "
                "order or prompt"
            )
    notes = [f"{same} answers are there twice, word for word; each counts once"] if same else []
    if other:
        notes.append(f"{other} items are answered twice and differently: the last answer counts (--last)")
    return list(held.values()), notes


def _quoted(reply: str | None) -> str:
    return repr(cut(" ".join((reply or "").split()), 30))


def _read(record: Record, known: Known, truth: Truth, own: ImportSettings) -> Read:
    """A reply read again, in the order of options that its own file shows, and given in that of its item."""
    order = _order(record, known, truth)
    shown = [known.options[k] for k in order]
    synonyms = [known.synonyms[k] for k in order] if known.synonyms else []
    if record.options and not truth.own:
        extra = [() if spelling(a) == spelling(b) else (a,) for a, b in zip(record.options, shown, strict=True)]
        synonyms = [(*s, *e) for s, e in zip(synonyms or [()] * len(shown), extra, strict=True)]
        synonyms = [tuple(dict.fromkeys(s)) for s in synonyms]
    parsed = _likeliest(record.scores, len(shown)) if record.scores else _parsed(record, shown, synonyms)
    theirs = UNKNOWN
    if record.theirs is not None:
        named = place(record.theirs, record.options or shown) if record.theirs else None
        theirs = NONE if named is None else order[named]
    rules = {}
    if own.rescore:
        for name, rule in PUBLIC.items():
            found = None if record.reply is None else rule(record.reply, len(shown))
            rules[name] = NONE if found is None else order[found]
    return Read(
        record=record, known=known, parsed=parsed, theirs=theirs, right=record.right, rules=rules,
        ours=NONE if parsed.choice is None else order[parsed.choice],
    )  # fmt: skip


def _parsed(record: Record, shown: Sequence[str], synonyms: Sequence[Sequence[str]]) -> Parsed:
    """Our reading; options whose words cannot be told apart make the reply invalid, and nothing else."""
    try:
        return read_reply(record.reply, shown, finished=record.finished, synonyms=synonyms)
    except UsageError as error:
        return Parsed(choice=None, why=str(error))


def _likeliest(scores: Sequence[float], count: int) -> Parsed:
    if len(scores) != count or not np.isfinite(scores).all():
        return Parsed(choice=None, why=f"{len(scores)} likelihoods for {count} options")
    best = max(scores)
    if sum(score == best for score in scores) > 1:
        return Parsed(choice=None, why="two options are equally likely")
    return Parsed(choice=list(scores).index(best), why="likeliest")


def _order(record: Record, known: Known, truth: Truth) -> list[int]:
    """The item's options in the order in which the record shows them; DataError where these are other ones."""
    order = _places(record, known, truth)
    if order is None:
        raise DataError(
            f"item {record.item!r} has the options {' | '.join(record.options)} in the file and "
            f"{' | '.join(known.options)} in {truth.name}: another version of the benchmark"
        )
    return order


def _places(record: Record, known: Known, truth: Truth) -> list[int] | None:
    """The item's option at each place of the record; None where the record shows other ones."""
    if truth.own or not record.options:
        return list(range(len(known.options)))
    words = {}
    for k, option in enumerate(known.options):
        for text in (option, *(known.synonyms[k] if known.synonyms else ())):
            words[spelling(text)] = k
    order = [words.get(spelling(option), -1) for option in record.options]
    return order if sorted(order) == list(range(len(known.options))) else None


def _other_keys(read: Sequence[Read], truth: Truth) -> list[str]:
    """A sentence where the file holds other right answers than the data."""
    if truth.own:
        return []
    held = [(r, place(r.record.target, r.record.options or r.known.options)) for r in read if r.record.target]
    order = [(r, None if key is None else _order(r.record, r.known, truth)[key]) for r, key in held]
    other = [r for r, key in order if r.known.answer is not None and key != r.known.answer]
    if not other:
        return []
    return [
        f"the file counts another answer as right than {truth.name} in {len(other)} of {len(held)} items (the first is "
        f"{other[0].record.item!r}: {other[0].record.target!r}); {truth.name}'s counts here"
    ]


# tables


def _scores(answered: Sequence[Answered], readers: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for model in dict.fromkeys(one.model for one in answered):
        own = [one for one in answered if one.model == model]
        for reader in readers:
            made = [_score_row(one, reader) for one in own]
            rows += [row for row in made if row is not None]
            scored = [row for row in made if row is not None and row["accuracy"] is not None]
            if len(own) > 1 and len(scored) == len(own):
                mean = float(np.mean([row["accuracy"] for row in scored]))
                counted = {key: _total(row[key] for row in scored) for key in COUNTED}
                rows.append(
                    {**dict.fromkeys(scored[0]), "model": model, "task": f"mean of {len(own)} tasks", "reader": reader}
                    | counted | {"accuracy": mean, "chance": float(np.mean([row["chance"] for row in scored]))}
                )  # fmt: skip
    return rows


def _total(values: Iterable[int | None]) -> int | None:
    """The sum of counts; None where one of them is not known."""
    found = [*values]
    return None if None in found else sum(value for value in found if value is not None)


def _score_row(one: Answered, reader: str) -> dict[str, Any] | None:
    """A reader's score of a task: `accuracy` is of `items`, `of_read` of `read`; `unscored` have no right answer.

    Where nothing has a right answer there is no score, and `items` and `read` are of all of them.
    """
    values, group = one.values(reader)
    known = any(r.chosen(reader) != UNKNOWN for r in one.read)
    if not known and not any(r.right is not None for r in one.read):
        return None
    counted = [r for r in one.read if r.hit(reader) == r.hit(reader)]
    scored = bool(counted)
    low, high = ends(values, group) if scored else (None, None)
    total = len(one.read) + len(one.missing)
    counted = counted or one.read
    hits = [r.hit(reader) for r in counted if r.chosen(reader) >= 0]
    every = [*(r.known for r in counted), *(k for k in one.missing if k.answer is not None or not scored)]
    keys = Counter(known.answer for known in every if known.answer is not None)
    shared = one.options is not None
    return {
        "model": one.model, "task": one.task, "reader": shown_reader(reader),
        "items": len(every), "unscored": total - len(values) if scored else total,
        "replies": len(one.read), "missing": len(one.missing), "read": len(hits) if known else None,
        "accuracy": float(values.mean()) if scored else None, "accuracy_low": low, "accuracy_high": high,
        "of_read": float(np.mean(hits)) if hits and known and scored else None,
        "chance": float(np.mean([1 / len(known.options) for known in every])),
        "majority": max(keys.values()) / sum(keys.values()) if keys and shared else None,
    }  # fmt: skip


def _difference(one: Answered) -> dict[str, Any] | None:
    """How many replies are read otherwise than by the file's own tool, and what that does to the score."""
    known = [r for r in one.read if r.theirs != UNKNOWN]
    both = [r for r in one.read if r.hit(THEIRS) == r.hit(THEIRS) and r.hit(OURS) == r.hit(OURS)]
    if not known and not both:
        return None
    change, low, high = None, None, None
    if both:
        values = np.array([r.hit(OURS) - r.hit(THEIRS) for r in both])
        names = {g: k for k, g in enumerate(dict.fromkeys(r.known.group for r in both))}
        group = np.array([names[r.known.group] for r in both])
        change = float(values.mean())
        if len(names) > 1 and values.any():
            found = mean_difference(values, group)
            low, high = max(-1.0, found.low), min(1.0, found.high)
    return {
        "model": one.model, "task": one.task, "compared": len(known) or len(both),
        "letters_differ": sum(r.ours != r.theirs for r in known) if known else None,
        "only_theirs_read": sum(r.ours < 0 <= r.theirs for r in known) if known else None,
        "only_ours_read": sum(r.theirs < 0 <= r.ours for r in known) if known else None,
        "scored": len(both), "scores_differ": sum(r.hit(OURS) != r.hit(THEIRS) for r in both) if both else None,
        "change": change, "change_low": low, "change_high": high,
    }  # fmt: skip


def _named(one: Answered, chosen: int, known: Known) -> str:
    """An option as tables call it: its words where all items share them, else its letter."""
    if chosen < 0:
        return ""
    return known.options[chosen] if one.options is not None else LETTERS[chosen]


def _histogram(one: Answered) -> list[dict[str, Any]]:
    right = Counter(_named(one, -1 if r.known.answer is None else r.known.answer, r.known) for r in one.read)
    ours = Counter(_named(one, r.ours, r.known) for r in one.read)
    theirs = Counter(_named(one, r.theirs, r.known) for r in one.read if r.theirs != UNKNOWN)
    names = one.options or sorted(set(right) | set(ours) | set(theirs) - {""})
    have = sum(theirs.values())
    rows = [
        {
            "model": one.model, "task": one.task, "answer": name,
            "right": right[name] if sum(right.values()) > right[""] else None, "ours": ours[name],
            "theirs": theirs[name] if have else None,
        }
        for name in names if name
    ]  # fmt: skip
    unread = {"answer": "(none)", "right": None, "ours": ours[""], "theirs": theirs[""] if have else None}
    return [*rows, {"model": one.model, "task": one.task} | unread]


def _otherwise(one: Answered) -> list[Read]:
    """Replies that are read otherwise than the file says, or scored otherwise where it does not say what it read."""
    found = []
    for r in one.read:
        if r.theirs != UNKNOWN:
            differs = r.ours != r.theirs
        else:
            differs = r.right is not None and r.hit(OURS) == r.hit(OURS) and r.hit(OURS) != r.right
        found += [r] if differs else []
    return found


def _examples(one: Answered) -> list[dict[str, Any]]:
    return [
        {
            "item": r.record.item, "reply": cut(" ".join((r.record.reply or "").split()), 70),
            "ours": _shown(r, r.ours), "why": r.parsed.why, "theirs": _theirs(r), "right": _shown(r, r.known.answer),
        }
        for r in _otherwise(one)
    ]  # fmt: skip


def _shown(r: Read, chosen: int | None) -> str:
    if chosen is None or chosen == UNKNOWN:
        return ""
    if chosen < 0:
        return "(none)"
    letter, words = LETTERS[chosen], r.known.options[chosen]
    return letter if words == letter else cut(f"{letter} {words}", 30)


def _theirs(r: Read) -> str:
    if r.theirs != UNKNOWN:
        return _shown(r, r.theirs)
    return "" if r.right is None else {1.0: "scored right", 0.0: "scored wrong"}.get(r.right, f"scored {r.right:g}")


def _rows(one: Answered, readers: Sequence[str]) -> Iterable[dict[str, Any]]:
    """A line per reply for `answers.csv`, and one per item without any."""
    for r in one.read:
        rules = {f"rule_of_{name}": _word(r, r.rules[name]) for name in readers if name in r.rules}
        yield {
            "model": one.model, "task": one.task, "item": r.record.item, "presentation": r.record.repeat,
            "group": r.known.group, "options": " | ".join(r.known.options), "reply": r.record.reply,
            "ours": _word(r, r.ours), "why": r.parsed.why, "theirs": _word(r, r.theirs),
            "right_answer": "" if r.known.answer is None else r.known.options[r.known.answer],
            "ours_right": _number(r.hit(OURS)), "theirs_right": _number(r.hit(THEIRS)), **rules,
        }  # fmt: skip
    for known in one.missing:
        yield {
            "model": one.model, "task": one.task, "item": known.id, "group": known.group,
            "options": " | ".join(known.options), "why": "missing",
            "right_answer": "" if known.answer is None else known.options[known.answer],
            "ours_right": None if known.answer is None else 0,
        }  # fmt: skip


def _word(r: Read, chosen: int) -> str:
    return "" if chosen < 0 else r.known.options[chosen]


def _number(value: float) -> float | None:
    return None if value != value else int(value) if value in (0, 1) else value


# words


def _words(one: Answered, difference: dict[str, Any] | None) -> list[str]:
    name = f"{one.model}{f', {one.task}' if one.task else ''}"
    lines = []
    row = _score_row(one, OURS)
    if row is not None and row["accuracy"] is not None:
        items, left = row["items"], row["unscored"]
        within = "" if row["accuracy_low"] is None else f" [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
        of_read = f", {row['of_read']:.3f} of the {row['read']} that can be read" if 0 < row["read"] < items else ""
        of_read += ", of which none can be read" * (not row["read"])
        verbs = ("has", "is") if left == 1 else ("have", "are")
        rest = f"; {left} of {items + left} {verbs[0]} no known right answer and {verbs[1]} not scored" if left else ""
        lines.append(
            f"{name}: {row['accuracy']:.3f}{within} of {items} answers are right, by our reading{of_read}{rest}"
        )
    if difference is not None:
        letters, scores = difference["letters_differ"], difference["scores_differ"]
        what = f"{letters} of {difference['compared']} replies are read otherwise" if letters is not None else (
            f"{scores} of {difference['compared']} replies are scored otherwise"
        )  # fmt: skip
        change = ""
        if difference["change"] is not None:
            low, high = difference["change_low"], difference["change_high"]
            within = "" if low is None else f" [{low:+.3f}, {high:+.3f}]"
            both = difference["scored"]
            of = "" if both == difference["compared"] else f" over the {both} that both score"
            change = f", which changes the score by {difference['change']:+.3f}{within}{of}"
        lines.append(f"{name}: {what} than by the file's own tool{change}")
    unread = [r.parsed.why for r in one.read if r.ours < 0]
    if unread:
        lines.append(f"{name}: {len(unread)} of {len(one.read)} replies cannot be read: {counted_reasons(unread)}")
    given = [_named(one, r.ours, r.known) for r in one.read]
    keys = [_named(one, -1 if r.known.answer is None else r.known.answer, r.known) for r in one.read]
    constant = histogram(given, [key for key in keys if key]).constant if any(given) else None
    if constant is not None and len(one.read) >= 10:
        lines.append(
            f"{name}: nearly every readable answer is {constant!r} ({given.count(constant)} of "
            f"{sum(map(bool, given))}): a constant answer, whatever the image"
        )
    return lines


def _claimed(own: ImportSettings, answered: Sequence[Answered]) -> list[str]:
    """Whether three published percentages can be of one set of answers to so many pairs."""
    if not own.claimed:
        return []
    pairs = {r.known.pair for one in answered for r in one.read if r.known.pair} or {
        r.record.item.rpartition("-")[0] for one in answered for r in one.read
    }
    both, each, alike = (float(text) for text in own.claimed)
    decimals = max(len(text.partition(".")[2]) for text in own.claimed)
    found = consistent(
        set_accuracy=both,
        individual_accuracy=each,
        confusion=alike,
        pairs=len(pairs),
        all_valid=False,
        decimals=decimals,
    )
    said = f"claimed: set {both:g}, individual {each:g}, confusion {alike:g} %"
    if not found.possible:
        return [f"{said} is impossible: {found.reason}"]
    most = max(found.valids)
    if most < len(pairs):
        return [f"{said} needs unread answers: confusion is then over at most {most} of {len(pairs)} pairs"]
    return [f"{said} can be of one set of answers to {len(pairs)} pairs"]
