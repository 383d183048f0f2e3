"""BLINK (arXiv 2404.12390): fourteen questions of perception about one to four photographs, with choices."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plugins import nearest
from tasks._base import DataError, Source
from tasks.benchmarks._open import Pinned, commits_of, folder_of
from tasks.benchmarks._rows import Entry, OpenSettings, assemble, by_content
from tasks.images.decode import LastOpened, digest
from tasks.images.kinds import File
from tasks.sources.embedded import questions

REVISION = "a3666eb249237ba3d5eca8db21176cc47967e040"
COUNTS = {  # questions of the validation split
    "Art_Style": 117,
    "Counting": 120,
    "Forensic_Detection": 132,
    "Functional_Correspondence": 130,
    "IQ_Test": 150,
    "Jigsaw": 150,
    "Multi-view_Reasoning": 133,
    "Object_Localization": 122,
    "Relative_Depth": 124,
    "Relative_Reflectance": 134,
    "Semantic_Correspondence": 139,
    "Spatial_Relation": 143,
    "Visual_Correspondence": 172,
    "Visual_Similarity": 135,
}
CORRECTED = "Relative_Reflectance"  # its answers were wrong until 2025-09-03: zeyofu/BLINK_Benchmark issue 13
# Its 134 answers in the authors' outputs of 2024 (eval/saved_outputs/GPT4o of zeyofu/BLINK_Benchmark at 90490185a710):
BEFORE = (
    "ACBACBCCCBCAABCAABBBABCBBAACCCABCCAABBAABBBCCCCCACBCCCABAABAAAAAAAABCC"
    "CBCCAABCBAACBBCCBCCCAACCCCBCBBABBBBCCBBCCABABBCBCCBCBAAACCCBCAAC"
)
LETTERS = ("(A)", "(B)", "(C)", "(D)", "(E)")
HIDDEN = "the answers of BLINK's test split are hidden, so nothing can be held against them; only val can be asked"
FIELDS = ("idx", "question", "choices", "answer")
UNGROUPED = "blink names no scene: rows are grouped only where they share an image byte for byte"


def source(path: str | None, options: Sequence[str], settings: OpenSettings) -> Source:
    """The validation questions of every config, or of those that `options` name.

    Raises DataError: an unknown config, the test split, another commit or count, an answer beyond the choices.
    """
    if any(o.lower() == "test" for o in options):
        raise DataError(HIDDEN)
    configs = [o for o in options if o != "val"] or list(COUNTS)
    for config in configs:
        if config not in COUNTS:
            near = nearest(config, COUNTS)
            hint = f"did you mean {near}? " if near else ""
            raise DataError(f"blink has no config {config!r}; {hint}there are {', '.join(COUNTS)}")
    patterns = tuple(f"{config}/val*" for config in configs)
    pinned = Pinned(name="blink", repo="BLINK-Benchmark/BLINK", revision=REVISION, patterns=patterns)
    folder = folder_of(pinned, path, offline=settings.offline)
    found = _read(folder, pinned)
    entries = [_entry(values, files) for values, files in found]
    kept = [e for e in entries if e.columns["config"] in configs]
    have = Counter(e.columns["config"] for e in kept)
    for config in configs:
        if have[config] != COUNTS[config]:
            raise DataError(
                f"blink: {config} has {have[config]} questions and {COUNTS[config]} at commit {REVISION}: this is "
                f"another copy; {pinned.remedy}"
            )
    name = "+".join(["blink", *(configs if len(configs) < len(COUNTS) else ())])
    warnings = [UNGROUPED, *(_before_correction(kept, known=path is None or bool(commits_of(folder))))]
    return by_content(assemble(name, "blink", kept, settings, licence="Apache-2.0", warnings=warnings))


def _before_correction(entries: Sequence[Entry], *, known: bool) -> list[str]:
    """A sentence where the answers of Relative_Reflectance are those before the correction, or a copy may hold them.

    `known` says that the copy is that of the pinned commit. About nine tenths of the answers were corrected, so that a
    copy that agrees with most of the old ones is old.
    """
    answers = {e.id: e.columns["answer"] for e in entries if e.columns["config"] == CORRECTED}
    if not answers:
        return []
    old = {f"val_{CORRECTED}_{k}": f"({letter})" for k, letter in enumerate(BEFORE, 1)}
    same = sum(old.get(name) == answer for name, answer in answers.items())
    wrong = f"the answers of {CORRECTED} were wrong until they were corrected on 2025-09-03 (BLINK_Benchmark issue 13)"
    if 2 * same > len(answers):
        return [
            f"{wrong}, and this copy is from before: {same} of its {len(answers)} answers are those of 2024; no score "
            "of it means anything"
        ]
    if known:
        return []
    return [
        f"{wrong}, and this copy does not say of which commit it is ({same} of its {len(answers)} answers are those of "
        f"2024, digest {digest('answers', *(answers[k] for k in sorted(answers)))[:12]}): hold it against {REVISION}"
    ]


def _read(folder: Path, pinned: Pinned) -> list[tuple[dict[str, Any], list[File]]]:
    files = [p for p in sorted(folder.rglob("*.parquet")) if ".cache" not in p.relative_to(folder).parts]
    asked = [p for p in files if not re.match(r"test\b", p.name) and p.parent.name != "test"]
    if files and not asked:
        raise DataError(HIDDEN)
    if not files:
        raise DataError(f"{folder.name} holds no Parquet file; {pinned.remedy}")
    last_opened = LastOpened()
    found = [question for file in asked for question in questions(file, last_opened)]
    bare = [name for name in FIELDS if found and name not in found[0][0]]
    if bare:
        raise DataError(f"{asked[0].name} has no column {bare[0]!r}; it has {', '.join(found[0][0])}: not BLINK")
    return found


def _entry(values: Mapping[str, Any], files: Sequence[File]) -> Entry:
    name = str(values["idx"])
    match = re.fullmatch(r"(val|test)_(.+)_\d+", name)
    answer, choices = str(values["answer"]).strip(), tuple(str(c) for c in values["choices"] or ())
    if answer.lower() == "hidden" or (match and match[1] == "test"):
        raise DataError(HIDDEN)
    if match is None:
        raise DataError(f"blink: the question {name!r} is not named val_CONFIG_NUMBER")
    legal = LETTERS[: len(choices)]
    if answer not in legal:
        raise DataError(f"blink: {name} has the answer {answer!r}; its choices are {', '.join(legal)}")
    return Entry(
        id=name,
        group=name,
        files=files,
        columns={
            "task": match[2],
            "config": match[2],
            "question": str(values["question"]),
            "answer": answer,
            "answer_text": choices[legal.index(answer)],
            "choices": "; ".join(choices),
            "images": str(len(files)),
        },
        text={
            "question": str(values["question"]),
            "prompt": str(values.get("prompt") or ""),
            "options": choices,
            "answer": answer,
        },
    )
