"""Files of answers in the formats of public tools, with replies of our own."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

Row = tuple[str, str, str]  # item, reply, right letter
OPTIONS = ("upright", "upside down")
PROMPT = "Is the image upright?\n(A) upright\n(B) upside down\nAnswer with the letter."
ROWS: tuple[Row, ...] = (
    ("0", "A", "A"), ("1", "The correct answer is (B).", "B"), ("2", "It is not upright, it is upside down.", "B"),
    ("3", "I cannot answer a question about this image.", "A"), ("4", "B. Upside down", "A"),
    ("5", "The answer isn't (A).", "A"), ("6", "Both (A) and (B) are possible", "B"), ("7", "**A**", "A"),
)  # fmt: skip
OURS = ("A", "B", "B", "", "B", "", "", "A")  # the letter of each reply, by hand
FIRST = ("A", "T", "A", "A", "B", "A", "A", "A")  # what a tool that takes the first letter of A to T makes of them
RIGHT = tuple(float(a == b) for a, (_, _, b) in zip(FIRST, ROWS, strict=True))


def lmms(folder: Path, shape: str, rows: Sequence[Row] = ROWS, task: str = "blink_upright") -> Path:
    """lmms-eval samples: `absent` (resps left out), `flat`, or `nested` log-likelihoods of both options."""
    home = folder / "org__model"
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"20260101_120000_samples_{task}.jsonl"
    lines = []
    for (item, reply, target), theirs in zip(rows, [*FIRST] + ["A"] * len(rows), strict=False):
        line: dict[str, Any] = {"doc_id": int(item), "target": target, "input": PROMPT, "doc_hash": "x"}
        if shape == "absent":
            line |= {"filtered_resps": [reply]}
        elif shape == "flat":
            line |= {"resps": [reply], "filtered_resps": [reply.split("</think>")[-1].strip(" .")]}
        elif shape == "deep":
            line |= {"resps": [[reply]], "filtered_resps": [reply.upper()]}
        else:
            better = ("-0.5", "-1.5") if target == "A" else ("-1.5", "-0.5")
            line |= {"resps": [[[better[0], "False"]], [[better[1], "True"]]], "filtered_resps": [[*better]]}
        if shape != "nested":
            line["blink_acc"] = {"parsed_pred": theirs, "score": float(theirs == target)}
        else:
            line["acc"] = 1.0
        lines.append(json.dumps(line))
    path.write_text("\n".join(lines) + "\n")
    return path


def xlsx(path: Path, rows: Sequence[Sequence[Any]], *, inline: bool = False) -> Path:
    """A workbook of one sheet, as Excel writes it: shared strings, or strings in their cells; empty cells left out."""
    shared: list[str] = []

    def cell(value: Any, place: str) -> str:
        if value is None or value == "":
            return ""
        if isinstance(value, bool):
            return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
        if isinstance(value, int | float):
            return f'<c r="{place}"><v>{float(value)}</v></c>'
        if inline:
            return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        if value not in shared:
            shared.append(value)
        return f'<c r="{place}" t="s"><v>{shared.index(value)}</v></c>'

    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    body = "".join(
        f'<row r="{n}">' + "".join(cell(v, f"{chr(65 + k)}{n}") for k, v in enumerate(row)) + "</row>"
        for n, row in enumerate(rows, 1)
    )
    strings = "".join(f"<si><r><t>{escape(s[:1])}</t></r><r><t>{escape(s[1:])}</t></r></si>" for s in shared)
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/workbook.xml", f"<workbook {space}/>")
        book.writestr("xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{body}</sheetData></worksheet>")
        if shared:
            book.writestr("xl/sharedStrings.xml", f"<sst {space}>{strings}</sst>")
    return path


def vlmevalkit(folder: Path, kind: str, rows: Sequence[Row] = ROWS) -> Path:
    """A VLMEvalKit table with a right answer, a prediction and a hit; the options C and D are empty."""
    head = ["index", "question", "A", "B", "C", "D", "answer", "category", "prediction", "hit"]
    table: list[list[Any]] = [head]
    for (item, reply, target), right in zip(rows, [*RIGHT] + [1.0] * len(rows), strict=False):
        table.append([int(item), "Is the image upright?", *OPTIONS, "", "", target, "turned", reply, int(right)])
    path = folder / f"Model_BLINK.{kind}"
    if kind == "xlsx":
        return xlsx(path, table)
    mark = "\t" if kind == "tsv" else ","
    quoted = ['"' + str(v).replace('"', '""') + '"' for row in table for v in row]
    lines = [mark.join(quoted[k : k + len(head)]) for k in range(0, len(quoted), len(head))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def inspect(folder: Path, kind: str, rows: Sequence[Row] = ROWS, *, epochs: int = 1) -> Path:
    """An inspect log, as JSON or as an archive; the last reply was cut off at the bound."""
    about = {"task": "upright", "model": "lab/model-1", "dataset": {"samples": len(rows)}}
    samples = [
        {
            "id": item, "epoch": epoch, "input": [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}],
            "choices": list(OPTIONS), "target": target,
            "output": {
                "model": "lab/model-1",
                "choices": [
                    {
                        "message": {"role": "assistant", "content": [
                            {"type": "reasoning", "reasoning": "A or B?"}, {"type": "text", "text": reply}]},
                        "stop_reason": "max_tokens" if item == "7" else "stop",
                    }
                ],
            },
            "scores": {"choice": {"value": "C" if right else "I", "answer": theirs}},
        }
        for epoch in range(1, epochs + 1)
        for (item, reply, target), right, theirs in zip(rows, RIGHT, FIRST, strict=True)
    ]  # fmt: skip
    log = {"version": 2, "status": "success", "eval": about}
    if kind == "json":
        path = folder / "log.json"
        path.write_text(json.dumps({**log, "samples": samples}))
        return path
    path = folder / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(log))
        for sample in samples:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    return path


def mediconfusion(
    folder: Path, choices: Mapping[str, tuple[str, str]], scores: Mapping[str, Any] | None = None
) -> Path:
    """A MediConfusion result file of replies; a reply that holds a letter is rated 10, as its own rule rates."""
    from probes.pairs.answers import mediconfusion_letter

    found = {}
    for pair, both in choices.items():
        sides = {}
        for side, reply in zip(("im1", "im2"), both, strict=True):
            letter = mediconfusion_letter(reply)
            sides[side] = {"full_answer": reply, "A": 10 * (letter == "A"), "B": 10 * (letter == "B")}
        found[pair] = {"answer": sides, "score": (scores or {}).get(pair, {})}
    path = folder / "model_mc.json"
    path.write_text(json.dumps(found))
    return path


def blink(folder: Path, task: str, replies: Sequence[tuple[str, str, str]]) -> Path:
    """A BLINK output file of (right letter, reply, what its own tool read) in the order of the questions."""
    home = folder / "ModelX"
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{task}.json"
    val = [
        {"idx": f"val_{task}_{k}", "answer": f"({right})", "full_prediction": reply, "prediction": f"({theirs})"}
        for k, (right, reply, theirs) in enumerate(replies, 1)
    ]
    hidden = [{"idx": f"test_{task}_1", "answer": "hidden", "full_prediction": "(A)", "prediction": "(A)"}]
    path.write_text(json.dumps({"val": val, "test": hidden}))
    return path
