"""Answers made elsewhere, as public tools write them: one record per item and reply, whatever the file."""

import csv
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encoders.answering.prompts import LETTERS
from plugins import hint
from slitlamp.answers.xlsx import DAMAGED, read_sheet
from slitlamp.errors import UsageError
from tasks import DataError
from tasks.sources.cells import plain
from tasks.sources.table import split_lines, table_lines


@dataclass(frozen=True, kw_only=True)
class Record:
    """One reply to one item, as a file holds it.

    `theirs` is the answer that the file says was read from it (a letter, an option's text, or "" where it says none),
    `right` whether the file counts it as right (None where it does not say, a number for a part of a point). `scores`
    are one number per option, of files that hold likelihoods and no text. `repeat` tells presentations of one item
    apart: prompt, order of the options, epoch.
    """

    item: str
    reply: str | None
    where: str
    question: str = ""
    options: tuple[str, ...] = ()
    target: str = ""
    theirs: str | None = None
    right: float | None = None
    task: str = ""
    repeat: str = ""
    finished: bool = True
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AnswerFile:
    """The records of one file, the format that it is in, whose answers they are, and what the reader must know."""

    name: str
    format: str
    model: str
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a file holds before its format is known: a JSON value, lines of JSON, a table, or an archive."""

    path: Path
    value: Any = None
    lines: Sequence[Mapping[str, Any]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Mapping[str, str]] = ()
    members: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def keys(self) -> tuple[str, ...]:
        """The names by which formats are told apart: columns, or the keys of the first entry."""
        if self.columns:
            return tuple(self.columns)
        if self.lines:
            return tuple(self.lines[0])
        return tuple(map(str, self.value)) if isinstance(self.value, Mapping) else ()


def read_answers(path: str, format: str | None = None) -> AnswerFile:  # noqa: A002 - the flag's name
    """The records of a file of answers; the format is known by its content, or named.

    Raises:
        UsageError: no such file, or no such format.
        DataError: the file cannot be read, is of no known format, or not of the one named.
    """
    where = Path(path).expanduser()
    if not where.is_file():
        raise UsageError(f"answers {path} cannot be read: {'it is a folder' if where.is_dir() else 'no such file'}")
    if format is not None and format not in FORMATS:
        raise UsageError(f"no format {format!r}; {hint(format, FORMATS)}there are {', '.join(FORMATS)}")
    opened = _open(where)
    fits = [name for name, one in FORMATS.items() if one.fits(opened)]
    chosen = format or (fits[0] if fits else None)
    if chosen is None:
        raise DataError(f"{opened.name} is none of {', '.join(FORMATS)}: {_seen(opened)}")
    if format is not None and format not in fits:
        raise DataError(f"{opened.name} is no {format}: {_seen(opened)}")
    try:
        found = FORMATS[chosen].read(opened)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:  # of another shape
        raise DataError(
            f"{opened.name} is not as {chosen} files are: {type(error).__name__}, {' '.join(str(error).split())[:120]}"
        ) from error
    if not found.records:
        raise DataError(f"{opened.name} ({chosen}) holds no answer")
    odd = [r for r in found.records if r.reply is not None and not isinstance(r.reply, str)]
    if odd:
        raise DataError(f"{opened.name} {odd[0].where}: the reply is no text but {json.dumps(odd[0].reply)[:60]}")
    return found


def _seen(opened: Opened) -> str:
    if opened.members:
        return f"it is an archive of {', '.join(opened.members[:4])}"
    if set(opened.keys) >= {"set_score", "individual_score"}:
        return "it holds MediConfusion's scores, not its answers; give the file without `_score` beside it"
    if set(opened.keys) >= {"results", "configs"}:
        return "it holds scores of tasks, not answers; give the file `…_samples_TASK.jsonl` beside it"
    kind = "a table with the columns" if opened.columns else "JSON with the keys"
    keys = ", ".join(list(opened.keys)[:8]) or "none"
    return f"it is {kind} {keys}; a plain file has a column item and a column answer"


# opening


def _open(path: Path) -> Opened:
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        except (*DAMAGED, RuntimeError) as error:
            raise DataError(f"{path.name} is a damaged archive ({error})") from None
        if "xl/workbook.xml" in members:
            return _tabled(path, read_sheet(path))
        return Opened(path=path, members=members)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} {_unread(head, error)}") from None
    if not text.strip():
        raise DataError(f"{path.name} is empty")
    if text.lstrip()[0] in "{[":
        return _json(path, text)
    csv.field_size_limit(2**31 - 1)
    lines, mark, _ = split_lines(table_lines(text), "\t")
    try:
        rows = list(csv.reader(lines, delimiter=mark, strict=True))
    except csv.Error as error:
        raise DataError(f"{path.name} is no table that can be read: {error}") from None
    return _tabled(path, rows)


def _unread(head: bytes, error: UnicodeDecodeError) -> str:
    """What a file that is no UTF-8 text is, by its first bytes, and what would do."""
    for start, kind in KINDS_OF_BYTES.items():
        if head.startswith(start):
            return kind
    line = 1 + error.object[: error.start].count(b"\n")
    return f"is not UTF-8 text (line {line}), nor a workbook or an archive: save it as UTF-8"


KINDS_OF_BYTES = {
    b"\x1f\x8b": "is packed with gzip: unpack it first",
    b"\xd0\xcf\x11\xe0": "is a workbook of the old format, or an encrypted one: save it as XLSX or CSV",
    b"\xff\xfe": "is UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text: save it as UTF-8",
}


def _json(path: Path, text: str) -> Opened:
    try:
        value = json.loads(text)
    except RecursionError:
        raise DataError(f"{path.name} is nested deeper than any file of answers") from None
    except ValueError as whole:
        lines = []
        for number, line in enumerate(table_lines(text), 1):
            if not line.strip():
                continue
            try:
                lines.append(json.loads(line))
            except RecursionError:
                raise DataError(f"{path.name} line {number} is nested deeper than any file of answers") from None
            except ValueError as error:
                reason = whole if number == 1 else error
                raise DataError(f"{path.name} line {number} is not JSON ({reason})") from None
        value = lines
    if isinstance(value, Mapping) and ("doc_id" in value or {"item", "reply"} <= set(_chosen(value))):
        value = [value]  # one line alone
    if isinstance(value, list):
        odd = next((k for k, one in enumerate(value, 1) if not isinstance(one, Mapping)), None)
        if odd is not None or not value:
            raise DataError(f"{path.name}: " + (f"entry {odd} is no JSON object" if odd else "an empty list"))
        return Opened(path=path, lines=value)
    return Opened(path=path, value=value)


def _tabled(path: Path, rows: Sequence[Sequence[str]]) -> Opened:
    if not rows:
        raise DataError(f"{path.name} is an empty table")
    columns = [" ".join(plain(str(c)).split()) for c in rows[0]]
    twice = sorted({c for c in columns if c and columns.count(c) > 1})
    if twice:
        raise DataError(f"{path.name} has more than one column {twice[0]!r}")
    found = []
    for number, row in enumerate(rows[1:], 2):
        if not any(str(v).strip() for v in row):
            continue
        if len(row) != len(columns):
            raise DataError(f"{path.name} row {number} has {len(row)} values for {len(columns)} columns")
        found.append(dict(zip(columns, (plain(str(v)) for v in row), strict=True)))
    return Opened(path=path, columns=[c for c in columns if c], rows=found)


# lmms-eval


def _leaves(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in _leaves(one)]
    return [] if value is None else [str(value)]


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|-?inf|nan", re.IGNORECASE)
_METRICS_OUT = ("doc_id", "target", "doc", "resps", "filtered_resps", "arguments", "input", "doc_hash", "prompt_hash",
                "target_hash", "submission", "filter", "metrics", "token_counts")  # fmt: skip
_THEIRS = ("parsed_pred", "parsed_prediction", "pred_answer", "extracted_answer", "pred", "prediction", "answer_pred")


def _likelihoods(value: Any) -> tuple[float, ...]:
    """The scores of options where a file holds a pair (log-likelihood, greedy or not) for each; else nothing."""
    leaves = _leaves(value)
    pairs = list(zip(leaves[::2], leaves[1::2], strict=False))
    if len(leaves) < 4 or len(leaves) % 2 or any(b.lower() not in ("true", "false") for _, b in pairs):
        return ()
    return tuple(float(a) for a, _ in pairs) if all(_NUMBER.fullmatch(a) for a, _ in pairs) else ()


def _lmms_record(number: int, line: Mapping[str, Any], task: str, name: str) -> tuple[Record, int]:
    if line.get("doc_id") is None:
        raise DataError(f"{name} line {number} has no doc_id, so that nobody knows what it answers")
    raw = line.get("resps") if line.get("resps") is not None else line.get("filtered_resps")
    scores = _likelihoods(raw)
    leaves = _leaves(raw)
    theirs, right = _metric(line)
    prompt = line.get("input")
    text = prompt if isinstance(prompt, str) else " ".join(_leaves(prompt))
    record = Record(
        item=str(line["doc_id"]), reply=None if scores or not leaves else leaves[0], where=f"line {number}",
        question=text, options=shown_options(text), target=str(line.get("target", "")), theirs=theirs, right=right,
        task=task, scores=scores,
    )  # fmt: skip
    return record, 0 if scores else len(leaves)


def _metric(line: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """The answer and the score that the tool's own metric holds."""
    theirs, right = None, None
    for name, value in line.items():
        if name in _METRICS_OUT:
            continue
        if isinstance(value, Mapping):
            own = next((value[k] for k in _THEIRS if k in value), None)
            theirs = theirs if own is None else str(own if not isinstance(own, list) else (own or [""])[0])
            hit = next((value[k] for k in ("score", "correct", "is_correct", "hit", "accuracy") if k in value), None)
            if hit is None and own is not None and "answer" in value:
                hit = str(own) == str(value["answer"])
            right = _score(hit) if right is None else right
        elif right is None and (
            isinstance(value, bool | int | float) or (isinstance(value, str) and value in ("0", "1"))
        ):
            right = _score(value)
    return theirs, right


def _score(value: Any) -> float | None:
    """A score from 0 to 1; None where it is none."""
    words = {"true": 1.0, "false": 0.0, "c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0, "correct": 1.0, "incorrect": 0.0}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if 0 <= number <= 1 else None


_SHOWN = re.compile(r"^\s*[(\[]?\"?([A-Z])\"?[)\]:.]{1,2}\s+(\S.*?)\)?\s*$", re.MULTILINE)


def shown_options(prompt: str) -> tuple[str, ...]:
    r"""The options that a prompt lists, one a line behind the letters A, B, …; nothing where it lists none so.

    >>> shown_options("Upright or not?\n(A) upright\n(B) upside down")
    ('upright', 'upside down')
    """
    found: list[str] = []
    for letter, text in _SHOWN.findall(prompt):
        if letter == LETTERS[len(found) % len(LETTERS)]:
            found.append(text)
        elif letter == "A":
            found = [text]
    return tuple(found) if len(found) > 1 else ()


def _read_lmms(opened: Opened) -> AnswerFile:
    named = re.search(r"samples_(.+?)(?:_\d{4}-.*)?\.jsonl?$", opened.name)
    task = named[1] if named else ""
    read = [_lmms_record(k, line, task, opened.name) for k, line in enumerate(opened.lines, 1)]
    several = sum(count > 1 for _, count in read)
    notes = [f"{opened.name}: {several} items have several replies, of which the first is read"] if several else []
    home = opened.path.resolve().parent.name
    model = home if named and "__" in home else opened.path.stem
    return AnswerFile(
        name=opened.name, format="lmms-eval", model=model, records=tuple(r for r, _ in read), notes=tuple(notes)
    )


# VLMEvalKit


def _read_vlmevalkit(opened: Opened) -> AnswerFile:
    letters = [c for c in LETTERS if c in opened.columns]
    records = []
    for number, row in enumerate(opened.rows, 2):
        options = tuple(row[c].strip() for c in letters)
        while options and options[-1].lower() in ("", "nan"):
            options = options[:-1]
        log = re.search(r"(?:rule result|gpt_? ?result|result)\s*:\s*([A-Z])\b", row.get("log", ""))
        records.append(
            Record(
                item=row["index"].strip(),
                reply=None if row["prediction"].strip() in ("", "nan") else row["prediction"],
                where=f"row {number}", question=row.get("question", ""), options=options,
                target=row.get("answer", "").strip(), theirs=log[1] if log else None,
                right=_score(row["hit"]) if row.get("hit", "").strip() else None,
                task=row.get("category", "").strip(),
            )
        )  # fmt: skip
    model = re.sub(r"_(?:gpt4|exact_matching|openai|result|chatgpt-\d+).*$", "", opened.path.stem)
    return AnswerFile(name=opened.name, format="vlmevalkit", model=model, records=tuple(records))


# inspect_ai


def _read_inspect(opened: Opened) -> AnswerFile:
    if opened.members:
        log, samples = _archive(opened)
    else:
        log, samples = opened.value, list(opened.value.get("samples") or [])
    about = log.get("eval") or {}
    if not samples:
        raise DataError(f"{opened.name} is a log without samples (status {log.get('status', 'unknown')})")
    epochs = {sample.get("epoch", 1) for sample in samples}
    records = tuple(
        _inspect_record(sample, number, str(about.get("task", "")), many=len(epochs) > 1)
        for number, sample in enumerate(samples, 1)
    )
    failed = sum(bool(sample.get("error")) for sample in samples)
    notes = [f"{opened.name}: {failed} samples ended in an error and have no reply"] if failed else []
    if log.get("status") not in (None, "success"):
        notes.append(f"{opened.name}: the log's status is {log.get('status')}: it may not hold all samples")
    return AnswerFile(
        name=opened.name,
        format="inspect",
        model=str(about.get("model") or opened.path.stem),
        records=records,
        notes=tuple(notes),
    )


def _archive(opened: Opened) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    try:
        with zipfile.ZipFile(opened.path) as archive:
            start = "header.json" if "header.json" in opened.members else "_journal/start.json"
            log = json.loads(archive.read(start))
            names = sorted(n for n in opened.members if n.startswith("samples/") and n.endswith(".json"))
            return log, [json.loads(archive.read(name)) for name in names]
    except (NotImplementedError, RuntimeError):
        raise DataError(
            f"{opened.name} is packed in a way that this Python cannot unpack; say "
            f"`inspect log convert {opened.name} --to json` and give that file"
        ) from None
    except (KeyError, *DAMAGED) as error:
        raise DataError(f"{opened.name} is a damaged log ({error})") from None


def _message(content: Any) -> str:
    """The text of a message, that of its thoughts left out."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(p.get("text", "")) for p in parts if isinstance(p, Mapping) and p.get("type", "text") == "text"
    )


def _inspect_record(sample: Mapping[str, Any], number: int, task: str, *, many: bool) -> Record:
    output = sample.get("output") or {}
    choice = (output.get("choices") or [{}])[0]
    reply = output.get("completion")
    if not reply and choice.get("message"):
        reply = _message(choice["message"].get("content"))
    given = sample.get("input")
    if isinstance(given, list):
        given = "\n".join(
            _message(m.get("content")) for m in given if isinstance(m, Mapping) and m.get("role") == "user"
        )
    target = sample.get("target")
    if isinstance(target, list):
        target = target[0] if len(target) == 1 else ", ".join(map(str, target))
    scores = sample.get("scores") or {}
    first = next(iter(scores.values()), None) if isinstance(scores, Mapping) else None
    first = first if isinstance(first, Mapping) else {}
    return Record(
        item=str(sample.get("id", number)), reply=None if sample.get("error") else reply, where=f"sample {number}",
        question=str(given or ""), options=tuple(map(str, sample.get("choices") or ())), target=str(target or ""),
        theirs=None if first.get("answer") is None else str(first["answer"]), right=_score(first.get("value")),
        task=task,
        repeat=f"epoch {sample.get('epoch', 1)}" if many else "",
        finished=choice.get("stop_reason") not in ("max_tokens", "model_length", "length"),
    )  # fmt: skip


# MediConfusion and BLINK


def _read_mediconfusion(opened: Opened) -> AnswerFile:
    from probes.pairs.answers import by_gap
    from probes.pairs.scores import INVALID

    records, claims, judged = [], {}, False
    for pair, entry in opened.value.items():
        for side in ("1", "2"):
            own = entry["answer"].get(f"im{side}")
            if not isinstance(own, Mapping):
                raise DataError(f"{opened.name}: pair {pair} has no answer for image {side}")
            a, b = (_rated(own.get(letter), opened.name, pair) for letter in "AB")
            judged |= "gpt_reason" in own
            letter = by_gap(a, b)
            records.append(
                Record(
                    item=f"{pair}-{side}", reply=own.get("full_answer"), where=f"pair {pair} im{side}",
                    theirs="" if letter == INVALID else letter, task="mediconfusion",
                )
            )  # fmt: skip
        for name, counts in (entry.get("score") or {}).items():
            claims[name] = claims.get(name, 0) + int((counts or {}).get("total", 0))
    notes = (
        (f"{opened.name}: free answers that a judge scored; theirs is the judge's choice, ours is read from the text",)
        if judged
        else ()
    )
    return AnswerFile(
        name=opened.name,
        format="mediconfusion",
        model=opened.path.stem,
        records=tuple(records),
        notes=notes,
        claims=claims,
    )


def _rated(value: Any, name: str, pair: str) -> int:
    if value is None:
        return 0
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError):
        raise DataError(f"{name}: pair {pair} has the score {value!r}, which is no number") from None


def _read_blink(opened: Opened) -> AnswerFile:
    records, hidden = [], 0
    for split in ("val", "test"):
        for number, entry in enumerate(opened.value.get(split) or [], 1):
            answer = str(entry.get("answer", "")).strip()
            if split == "test" and answer.lower() in ("", "hidden"):
                hidden += 1
                continue
            item = str(entry["idx"])
            task = re.fullmatch(r"(?:val|test)_(.+)_\d+", item)
            theirs = str(entry.get("prediction") or "").strip()
            records.append(
                Record(
                    item=item, reply=entry.get("full_prediction"), where=f"{split} {number}", target=answer,
                    theirs="" if theirs in ("(Z)", "None") else theirs.strip("()"), task=task[1] if task else "",
                )
            )  # fmt: skip
    notes = (
        (f"{opened.name}: {hidden} answers of the test split are left out: what is right there is hidden",)
        if hidden
        else ()
    )
    model = opened.path.resolve().parent.name or opened.path.stem
    return AnswerFile(name=opened.name, format="blink", model=model, records=tuple(records), notes=notes)


# a plain table

NAMES = {  # of columns, the first that is there
    "item": ("item", "id", "question_id", "idx", "image_id", "index", "doc_id"),
    "reply": (
        "answer",
        "reply",
        "response",
        "prediction",
        "model_answer",
        "output",
        "full_answer",
        "full_prediction",
        "text",
    ),
    "question": ("question",),
    "options": ("options", "choices"),
    "target": ("target", "truth", "label", "correct", "ground_truth", "gold"),
    "theirs": ("theirs", "parsed", "parsed_answer", "extracted", "choice"),
    "right": ("right", "score", "hit", "is_correct"),
    "task": ("task", "category"),
    "finished": ("finished",),
}
REPEATS = ("order", "prompt", "epoch", "presentation")


def _chosen(columns: Iterable[str]) -> dict[str, str]:
    """The column of each field; where a file has a reply under another name, its `answer` is what is right."""
    have = {c.strip().lower().replace(" ", "_"): c for c in columns}
    found = {field_: have[n] for field_, names in NAMES.items() for n in reversed(names) if n in have}
    others = [have[n] for n in NAMES["reply"][1:] if n in have]
    if "answer" in have and others and "target" not in found:
        found |= {"reply": others[0], "target": have["answer"]}
    return found


def _as_options(cell: Any) -> tuple[str, ...]:
    """Options of a cell: a list, its JSON, or words between `|` or `;`."""
    if isinstance(cell, list | tuple):
        return tuple(map(str, cell))
    if isinstance(cell, Mapping):
        return tuple(str(cell[k]) for k in sorted(cell))
    text = str(cell or "").strip()
    if text[:1] in "[{" and text:
        try:
            return _as_options(json.loads(text))
        except ValueError:
            return ()
    mark = "|" if "|" in text else ";"
    return tuple(part.strip() for part in text.split(mark) if part.strip())


def _read_plain(opened: Opened) -> AnswerFile:
    rows: Sequence[Mapping[str, Any]] = opened.rows or opened.lines
    columns = _chosen(opened.columns or opened.keys)
    first = 2 if opened.rows else 1
    records = []
    for number, row in enumerate(rows, first):
        cell = {name: row.get(column) for name, column in columns.items()}
        if cell["item"] is None or not str(cell["item"]).strip():
            raise DataError(f"{opened.name} line {number} names no item")
        repeat = ", ".join(f"{name} {row[name]}" for name in REPEATS if str(row.get(name, "") or "").strip())
        reply, finished = cell["reply"], str(cell.get("finished", "") or "").strip().lower()
        records.append(
            Record(
                item=str(cell["item"]).strip(), reply=None if reply is None else str(reply), where=f"line {number}",
                question=str(cell.get("question") or ""), options=_as_options(cell.get("options")),
                target="" if cell.get("target") is None else str(cell["target"]).strip(),
                theirs=None if cell.get("theirs") is None else str(cell["theirs"]).strip(),
                right=None if cell.get("right") in (None, "") else _score(cell["right"]),
                task=str(cell.get("task") or ""), repeat=repeat, finished=finished not in ("false", "no", "0"),
            )
        )  # fmt: skip
    return AnswerFile(
        name=opened.name, format="plain", model=opened.path.stem, records=tuple(records), notes=_no_scores(opened, rows)
    )


def _no_scores(opened: Opened, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A sentence where the column of scores holds something else, as the right answers themselves."""
    column = _chosen(opened.columns or opened.keys).get("right", "")
    said = [row[column] for row in rows if row.get(column) not in (None, "")]
    odd = [str(value) for value in said if _score(value) is None]
    if not odd:
        return ()
    return (
        f"{opened.name}: {len(odd)} of {len(said)} values of {column!r} are no scores from 0 to 1 (the first is "
        f"{odd[0][:40]!r}) and count as not there; what is right goes into a column target",
    )


# the formats


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format: whether a file is in it, by its content, and how it is read."""

    fits: Callable[[Opened], bool]
    read: Callable[[Opened], AnswerFile]


def _is_mediconfusion(opened: Opened) -> bool:
    value = opened.value
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(
            isinstance(one, Mapping) and isinstance(one.get("answer"), Mapping) and "im1" in one["answer"]
            for one in value.values()
        )
    )


def _is_blink(opened: Opened) -> bool:
    value = opened.value if isinstance(opened.value, Mapping) else {}
    entries = [e for split in ("val", "test") if isinstance(value.get(split), list) for e in value[split]]
    return bool(entries) and all(isinstance(e, Mapping) and "idx" in e and "full_prediction" in e for e in entries)


def _is_inspect(opened: Opened) -> bool:
    value = opened.value if isinstance(opened.value, Mapping) else {}
    held = "header.json" in opened.members or "_journal/start.json" in opened.members
    return held or ("eval" in value and "samples" in value)


FORMATS: dict[str, Format] = {
    "lmms-eval": Format(
        fits=lambda o: bool(o.lines) and {"doc_id"} <= set(o.keys) and bool({"resps", "filtered_resps"} & set(o.keys)),
        read=_read_lmms,
    ),
    "vlmevalkit": Format(fits=lambda o: {"index", "prediction"} <= set(o.columns), read=_read_vlmevalkit),
    "inspect": Format(fits=_is_inspect, read=_read_inspect),
    "mediconfusion": Format(fits=_is_mediconfusion, read=_read_mediconfusion),
    "blink": Format(fits=_is_blink, read=_read_blink),
    "plain": Format(fits=lambda o: {"item", "reply"} <= set(_chosen(o.keys)) and o.value is None, read=_read_plain),
}
