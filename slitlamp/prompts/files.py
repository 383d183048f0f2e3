"""What an audit of visual prompts leaves: a document, every responder in full, the answers and one figure."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cache import write_atomically
from slitlamp.prompts.judged import Found
from slitlamp.prompts.page import details, rows, sentences
from slitlamp.records import as_json, rounded
from slitlamp.reports.spreadsheet import as_csv

if TYPE_CHECKING:
    from slitlamp.prompts.settings import Asked


def _document(found: Found, asked: "Asked", files: list[str]) -> dict[str, Any]:
    from slitlamp.prompts.settings import NAME, command_line

    records = [{k: v for k, v in asdict(j).items() if k != "answers"} for j in found.judged]
    return {
        "schema": 2, "experiment": NAME, "command": command_line(asked), "task": found.task, "source": found.source,
        "images": found.images, "groups": found.groups, "limited": found.limited, "notes": found.notes,
        "questions": [] if found.question is None else [rounded(dict(found.question))],
        "sentences": sentences(found), "tables": {"responders": rows(found)},
        "responders": rounded(records), "files": files,
    }  # fmt: skip


def deliver(found: Found, asked: "Asked") -> tuple[dict[str, Any], list[str]]:
    """Write audit.json, details.txt, answers.csv and then the figure under --out; the document and the files' names.

    A figure that cannot be drawn costs nothing but itself, and a line.
    """
    from slitlamp.disk import keep_earlier
    from slitlamp.prompts.plot import figure
    from slitlamp.reports.plots import written

    out = asked.out
    answers = [row for j in found.judged for row in j.answers]
    files = ["audit.json", "details.txt", "answers.csv"]
    document = _document(found, asked, files)
    keep_earlier(out, "audit.json", document)
    write_atomically(out / "audit.json", as_json(document))
    write_atomically(out / "answers.csv", as_csv(answers))
    write_atomically(out / "details.txt", details(found).encode("utf-8", "backslashreplace"))
    files += written(lambda: figure(found), out / "audit")
    document = _document(found, asked, files)
    write_atomically(out / "audit.json", as_json(document))
    return document, files
