"""MedBLINK (arXiv 2508.02951): eight questions of perception, put to medical images, one row per question.

Options are not published: those of a task are its distinct answers in lower case, sorted.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tasks._base import DataError, Source
from tasks.benchmarks._open import Pinned, folder_of
from tasks.benchmarks._rows import Entry, OpenSettings, assemble, by_content
from tasks.images.decode import LastOpened, digest
from tasks.images.kinds import File
from tasks.sources.embedded import questions

PINNED = Pinned(
    name="medblink",
    repo="MahtabBg/MedBLINK",
    revision="e492d79e6d6d3319d5d82b954708c3be2c5e42ef",
    patterns=("*.parquet",),
)
COUNTS = {  # questions per task at that commit; a task that is not here is kept and not counted
    "image_enhancement_detection": 134,
    "visual_depth_estimation": 144,
    "histology_structure": 141,
    "imaging_orientation_cxr": 200,
    "imaging_orientation_pelvic": 200,
    "relative_position": 176,
    "morphology_quantification": 88,
    "age_estimation": 200,
}
TOTAL = 1429  # questions, as the paper counts them
FIELDS = ("task", "question_id", "question", "answer")
UNGROUPED = (
    "medblink names no patient: rows are grouped only where they share an image byte for byte, so two images of "
    "one patient, or a film and its turned copy, may lie in different folds"
)

Question = tuple[dict[str, Any], list[File]]


def source(path: str | None, options: Sequence[str], settings: OpenSettings) -> Source:
    """The questions of the whole benchmark, or of the tasks that `options` name (`*` allowed).

    Raises DataError: another commit or count, a question without a field, a task that is not there.
    """
    folder = folder_of(PINNED, path, offline=settings.offline)
    found = _read(folder)
    _count(found)
    chosen, name = _chosen(found, options)
    answers = _options(chosen)
    entries = [_entry(values, files, answers[str(values["task"])]) for values, files in chosen]
    notes = [UNGROUPED, *_other(found)]
    return by_content(assemble(name, "medblink", entries, settings, warnings=notes))


def _read(folder: Path) -> list[Question]:
    files = [p for p in sorted(folder.rglob("*.parquet")) if ".cache" not in p.relative_to(folder).parts]
    files = [p for p in files if p.name.startswith("val")] or files
    if not files:
        raise DataError(f"{folder.name} holds no Parquet file; {PINNED.remedy}")
    last_opened = LastOpened()
    found = [question for file in files for question in questions(file, last_opened)]
    for values, _ in found[:1]:
        bare = [field for field in FIELDS if field not in values]
        if bare:
            raise DataError(f"{files[0].name} has no column {bare[0]!r}; it has {', '.join(values)}: not MedBLINK")
    for values, _ in found:
        empty = [field for field in FIELDS if not str(values[field] if values[field] is not None else "").strip()]
        if empty:
            raise DataError(f"medblink: question {values['question_id']!r} of {values['task']!r} has no {empty[0]}")
    return found


def _count(found: Sequence[Question]) -> None:
    have = Counter(str(values["task"]) for values, _ in found)
    for task, n in COUNTS.items():
        if have[task] != n:
            raise DataError(
                f"medblink: {task} has {have[task]} questions and {n} at commit {PINNED.revision}: this is another "
                f"copy; {PINNED.remedy}"
            )


def _other(found: Sequence[Question]) -> list[str]:
    return [f"medblink: {len(found)} questions are there; the paper counts {TOTAL}"] if len(found) != TOTAL else []


def _chosen(found: Sequence[Question], options: Sequence[str]) -> tuple[Sequence[Question], str]:
    if not options:
        return found, PINNED.name
    have = sorted({str(values["task"]) for values, _ in found})
    for option in options:
        if not any(fnmatchcase(task, option) for task in have):
            raise DataError(f"medblink has no task {option!r}; its tasks are {', '.join(have)}")
    kept = [(v, p) for v, p in found if any(fnmatchcase(str(v["task"]), option) for option in options)]
    return kept, "+".join([PINNED.name, *options])


def _options(found: Sequence[Question]) -> dict[str, tuple[str, ...]]:
    found_answers: dict[str, set[str]] = defaultdict(set)
    for values, _ in found:
        found_answers[str(values["task"])].add(str(values["answer"]).strip().lower())
    return {task: tuple(sorted(words)) for task, words in found_answers.items()}


def _entry(values: Mapping[str, Any], files: Sequence[File], options: tuple[str, ...]) -> Entry:
    fields = {name: str(values[name]).strip() for name in FIELDS}
    fields["answer"] = fields["answer"].lower()
    number = fields["question_id"]
    number = number if re.fullmatch(r"[\w.-]+", number) else digest(number)[:12]
    name = f"{fields['task']}-{number}"
    return Entry(
        id=name,
        group=name,
        files=files,
        columns={**fields, "options": "; ".join(options), "images": str(len(files))},
        text={"question": fields["question"], "options": options, "answer": fields["answer"]},
    )
