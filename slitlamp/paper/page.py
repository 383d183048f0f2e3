"""The page of a report: one HTML file that needs nothing else, lets nothing in and runs no script.

What is shown is laid out in `report.html.j2`; here it is gathered into plain values. Every text passes `visible`, which
shows what does not print, and is escaped by the template.
"""

import base64
import importlib.resources
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slitlamp.paper.answers import (
    READS,
    answer,
    asked,
    questions,
    reads,
    short,
    stamps,
    used,
    warnings_of,
    who_reads_most,
)
from slitlamp.paper.checklist import MISSING, STANDS, Entry, Item, counted
from slitlamp.paper.design import marked
from slitlamp.paper.gathered import Claim, Gathered, Other
from slitlamp.paper.methods import licence
from slitlamp.probing.state import CONTROLS
from slitlamp.records import Record
from slitlamp.reports.pages import POLICY
from slitlamp.reports.result import shown_rows
from slitlamp.reports.table import COLUMNS, DASH, RIGHT, is_blind, p_text, rows_of, verdict_text
from slitlamp.reports.table import number as three_digits
from slitlamp.reports.text import listed, question_line

TEMPLATE = "report.html.j2"
FIRST = 8  # encoders of a question that stand open; more are folded
ANSWERS = 60  # claims that are said in full, and shown point by point
POINTS = 1500  # rows of points on the whole page; beyond, each claim shows its highest
ENTRIES = 40  # of an item of the checklist
LONGEST = 1500  # letters of a text that are shown
ROWS = 40  # of a table of another command
PICTURES = 12  # of another command
BYTES = 6_000_000  # of all pictures of another command
FEW = 4  # encoders, and questions, that the title names
NAMED = 6  # claims that an entry names; of more it says how many
COLUMNS_OF = (  # of the table with controls: head, key, whether it ends in line, whether it may be left out
    ("question", "task", False, False), ("encoder", "encoder", False, False), ("run", "run", False, True),
    ("score [95 %]", "score", True, False), ("p (Holm)", "p", True, False), ("verdict", "verdict", False, False),
    ("credit", "credit", False, True), ("chance", "chance", True, False), ("image statistics", "lowlevel", True, True),
    ("thumb-nail", "pixels", True, True), ("un-trained", "untrained", True, True), ("list order", "order", True, True),
    ("shuf-fled", "shuffled", True, True), ("reads less", "loss", False, True), ("items / groups", "data", True, False),
    ("best point", "point", False, False),
)  # fmt: skip
PICTURE = "data:image/png;base64,"
TURNING = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def page(
    gathered: Gathered, items: Sequence[Item], drawn: Mapping[str, Any], files: Mapping[str, bytes], out: Path,
    title: str, command: str, notes: Sequence[str] = (),
) -> str:  # fmt: skip
    """The page as HTML.

    `drawn` are the figures, whose files lie among `files` by their name below `out`; `notes` what could not be
    compared.
    """
    claims = gathered.claims
    asked_in = list(questions(claims).items())
    return _template().render(
        title=title or _title(gathered),
        policy=f"{POLICY}; base-uri 'none'; form-action 'none'",
        alarms=_alarms(gathered),
        questions=[_question(gathered, source, task, some) for (source, task), some in asked_in],
        used=used(claims),
        answers=[
            {"label": gathered.label(c), "state": c.verdict["verdict"], "reads": READS[c.said],
             "text": answer(c), "stamps": stamps(c), "warnings": warnings_of(c)}
            for c in claims[:ANSWERS]
        ],
        more_answers=max(0, len(claims) - ANSWERS),
        counted=counted(items),
        claims=_claims(gathered) if claims else None,
        figures=list(_figures(drawn, files)),
        compared=_compared(gathered, notes),
        points=[_points(gathered, claim) for claim in claims[:ANSWERS]],
        failed=gathered.failed,
        others=[_other(one, out) for one in gathered.others],
        missing=[(item, [_entry(e, claims) for e in item.entries if e.status == MISSING]) for item in items
                 if item.status == MISSING],
        items=[
            (item, [_entry(e, claims) for e in item.entries[:ENTRIES]], len(item.entries) - ENTRIES) for item in items
        ],
        encoders=list(_weights(claims)),
        data=list(_data(claims)),
        runs=list(_runs(gathered)),
        commands=_commands(gathered),
        command=command,
        links=[name for name in files if "/" not in name or name.startswith("tables/")],
        status={MISSING: "missing", STANDS: "stands"},
    )  # fmt: skip


def visible(value: Any) -> Any:
    """A value as the page shows it: a dash for None, and in text a visible sign for what does not print."""
    if value is None:
        return DASH
    if type(value) is not str or value.startswith(PICTURE):
        return value
    cut = value if len(value) <= LONGEST else f"{value[: LONGEST - 100]} … {value[-100:]}"
    spaced = re.sub(r"[\t\r\n\x0b\x0c\x85\u2028\u2029]+", " ", cut)
    return "".join("�" if c in TURNING or unicodedata.category(c) in ("Cc", "Cs") else c for c in spaced)


def _template() -> Any:
    import jinja2

    text = (importlib.resources.files("slitlamp.paper") / TEMPLATE).read_text(encoding="utf-8")
    made = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=visible, trim_blocks=True, lstrip_blocks=True
    )
    return made.from_string(text)


def _title(gathered: Gathered) -> str:
    """Who was asked what, where no title is given."""
    claims = gathered.claims
    if not claims:
        names = [f"{_words(one.experiment)} ({one.folder.name})" for one in gathered.others[:FEW]]
        return listed(names) or "Report"
    encoders, tasks = (list(dict.fromkeys(getattr(c, name) for c in claims)) for name in ("encoder", "task"))
    who, what = (
        listed(some) if len(some) <= FEW else f"{len(some)} {kind}"
        for some, kind in ((encoders, "encoders"), (tasks, "questions"))
    )
    return f"What {who} read{'s' * (len(encoders) == 1)}: {what}"


def _words(experiment: str) -> str:
    return experiment.replace("_", " ")


def _alarms(gathered: Gathered) -> list[str]:
    """What holds for the whole report and must be seen first."""
    claims, found = gathered.claims, []
    if gathered.failed:
        found.append(f"FAILED OR MISSING: {len(gathered.failed)} of the grid's runs, see “What failed”")
    if any(claim.best.limited for claim in claims):
        found.append("LIMITED: some runs used only a part of the images (--limit)")
    made = "images or weights are made by this project; nothing here is a finding about patients"
    if claims and all(claim.synthetic for claim in claims):
        found.append(f"SYNTHETIC: {made}")
    elif others := [one for one in gathered.others if one.synthetic]:
        names = listed([f"{_words(one.experiment)} ({one.folder.name})" for one in others])
        found.append(f"SYNTHETIC, {names}: {made}")
    if not claims and not gathered.others:
        found.append("No run is finished: there is no claim to report")
    return found


def _question(gathered: Gathered, source: str, task: str, claims: Sequence[Claim]) -> dict[str, Any]:
    """A question with a line for each encoder, those that read it and read most first, controls last."""
    by: dict[str, list[Claim]] = {}
    for claim in claims:
        by.setdefault(claim.encoder, []).append(claim)
    places = list(READS)
    ordered = sorted(
        by.values(),
        key=lambda some: (
            some[0].control,
            min(places.index(c.said) for c in some),
            -max(c.score for c in some),
        ),
    )
    rows = [
        {
            "encoder": some[0].encoder,
            "state": some[0].verdict["verdict"] if len({c.verdict["verdict"] for c in some}) == 1 else "mixed",
            "reads": reads(some),
            "text": short(some),
            "leak": any("LEAK" in stamps(c) for c in some),
        }
        for some in ordered
    ]
    first = claims[0].best
    several = sum(name == task for _, name in questions(gathered.claims)) > 1
    heads = ((line, *line.partition(": ")[::2]) for line in who_reads_most(gathered))
    said = [rest for line, head, rest in heads
            if line.startswith(f"{task}, ") and (not several or f" · {source}" in head)]  # fmt: skip
    lines = list(dict.fromkeys(question_line(claim.question) for claim in claims))
    return {
        "asked": asked(task),
        "source": source,
        "data": f"{lines[0].partition(': ')[2].removesuffix('; LIMITED')}; {first.metric}, chance {first.chance:.2f}",
        "more": len(lines) - 1,
        "said": said[:1],
        "stamps": _stamps(claims, synthetic=not all(c.synthetic for c in gathered.claims)),
        "warnings": list(dict.fromkeys(line for c in claims for line in warnings_of(c)))[:2],
        "first": rows[:FIRST],
        "rest": rows[FIRST:],
    }


def _stamps(claims: Sequence[Claim], *, synthetic: bool) -> list[str]:
    """The stamps of a question's claims, each once; what is synthetic in one, with its encoders where not in all."""
    every = list(dict.fromkeys(stamp for claim in claims for stamp in stamps(claim)))
    made = [stamp for stamp in every if stamp.startswith("SYNTHETIC")]
    plain = [stamp for stamp in every if stamp not in made]
    if not made or not synthetic:
        return plain
    names = dict.fromkeys(c.encoder for c in claims if c.synthetic)
    of = "" if all(c.synthetic for c in claims) else f" of {listed(list(names))}"
    return [*plain, max(made, key=len) + of]


def _claims(gathered: Gathered) -> dict[str, Any]:
    """The table with controls: a row for each claim, without columns that hold nothing."""
    rows = [_claim(gathered, claim) for claim in gathered.claims]
    around = ", or around marks" * any(map(marked, gathered.claims))
    kept = [one for one in COLUMNS_OF if not one[3] or any(row[one[1]] not in (DASH, "", None) for row in rows)]
    return {
        "heads": [(head.replace("-", "\u00ad") + around * (key == "pixels"), end) for head, key, end, _ in kept],
        "rows": [[(key, row[key], end) for _, key, end, _ in kept] for row in rows],
        "states": [row["state"] for row in rows],
        "stamps": [[stamp for stamp in row["stamps"] if not stamp.startswith("SYNTHETIC")] for row in rows],
        "chosen": any(row["chosen"] for row in rows),
    }


def _claim(gathered: Gathered, claim: Claim) -> dict[str, Any]:
    r, ends = claim.best, claim.ends
    chosen = len(claim.records) > 1 and not claim.nested
    return {
        "task": claim.task,
        "encoder": claim.encoder,
        "run": claim.run.name if len(gathered.runs) > 1 else "",
        "data": f"{r.n_items} / {r.n_groups}",
        "score": three_digits(claim.score)
        + "*" * chosen
        + ("" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"),
        "chance": three_digits(r.chance),
        "lowlevel": three_digits(r.control_lowlevel),
        "pixels": three_digits(r.control_pixels),
        "untrained": three_digits(r.control_random),
        "order": three_digits(r.control_order),
        "shuffled": three_digits(r.control_shuffled, 2),
        "p": p_text(claim.p),
        "state": claim.verdict["verdict"],
        "verdict": verdict_text(replace(r, limit=claim.limit))
        if r.verdict == claim.verdict["verdict"] and not is_blind(r)
        else claim.said,
        "credit": r.credit or DASH,
        "loss": _loss(claim.records),
        "point": f"{r.site}/{r.readout}",
        "stamps": stamps(claim),
        "chosen": chosen,
    }


def _loss(records: Sequence[Record]) -> str:
    """At how many points the encoder surely reads less than a reference."""
    known = [r for r in records if r.loss_state is not None]
    less = [r for r in known if r.loss_state in ("material", "reads less")]
    if not known:
        return DASH
    return f"less at {len(less)} of {len(known)}" if less else "none shown"


def _figures(drawn: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterable[dict[str, Any]]:
    for name, one in drawn.items():
        mine = [file for file in files if re.fullmatch(rf"figures/{re.escape(name)}-\d+mm\.\w+", file)]
        wide = [file for file in mine if file.endswith(".png")]
        yield {
            "title": one.title,
            "caption": one.caption,
            "alt": one.alt,
            "source": _png(files[wide[-1]]) if wide else None,
            "files": [file for file in mine if not file.endswith(".png")],
        }


def _png(content: bytes) -> str:
    return PICTURE + base64.b64encode(content).decode()


def _points(gathered: Gathered, claim: Claim) -> dict[str, Any]:
    """Every site and readout of a claim, or the highest of them where the page would grow too long."""
    mine = [r for r in claim.run.records if r.task == claim.task]
    rows = rows_of(mine, claim.encoder)
    own = len(claim.records)
    most = max(5, POINTS // min(ANSWERS, len(gathered.claims)))
    left = 0
    if own > most:
        controls, points = rows[: len(rows) - own], rows[len(rows) - own :]
        order = sorted(range(own), key=lambda k: -claim.records[k].score)[:most]
        rows, left = controls + [points[k] for k in sorted(order)], own - most
    return {
        "label": gathered.label(claim),
        "heads": [(column, column in RIGHT) for column in COLUMNS],
        "rows": [[(cell, column in RIGHT) for cell, column in zip(row, COLUMNS, strict=True)] for row in rows],
        "left": left,
        "sentences": list(claim.verdict["sentences"]),
        "best": f"{claim.best.site}/{claim.best.readout}",
    }


def _compared(gathered: Gathered, notes: Sequence[str]) -> dict[str, Any] | None:
    found = gathered.compared
    if found is None:
        return {"sentences": [], "notes": list(notes), "tables": []} if notes else None
    shown = {"comparisons": _difference, "ranking": _rank}
    tables = [
        _table(name, [shown[name](row) if name in shown else row for row in rows])
        for name, rows in found.tables.items()
        if rows
    ]
    return {"sentences": list(found.sentences), "notes": [*found.notes, *notes], "tables": tables}


def _difference(row: Mapping[str, Any]) -> dict[str, Any]:
    """A paired difference as the page shows it, with the interval that holds for all of them at once."""
    wide = row["simultaneous_low"] is not None
    return {
        **{key: row[key] for key in ("task", "over", "at", "a", "b", "score_a", "score_b", "difference")},
        "difference_low": row["simultaneous_low"] if wide else row["low"],
        "difference_high": row["simultaneous_high"] if wide else row["high"],
        "p (Holm)": row["p_holm"],
        "paired": row["paired"],
        "says": row["says"],
    }


def _rank(row: Mapping[str, Any]) -> dict[str, Any]:
    """A place in a ranking with its uncertainty."""
    ranks = dict.fromkeys(str(row[key]) for key in ("rank_low", "rank_high") if row[key] is not None)
    return {
        **{key: row[key] for key in ("task", "over", "at", "name", "score")},
        "score_low": row["low"],
        "score_high": row["high"],
        "best with probability": row["p_best"],
        "rank": " to ".join(ranks),
        "not told apart": row["group"],
    }


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A table of any command: numbers in four digits, intervals beside their values, without empty columns."""
    every = list(dict.fromkeys(key for row in rows for key in row))
    whole = [{key: _flat(row.get(key)) for key in every} for row in rows[:ROWS]]
    shown = shown_rows(whole) if whole else []
    right = [any(isinstance(row[key], int | float) and not isinstance(row[key], bool) for row in whole) for key in
             (shown[0] if shown else {})]  # fmt: skip
    return {
        "name": name.replace("_", " "),
        "heads": [(key.replace("_", " "), end) for key, end in zip(shown[0] if shown else {}, right, strict=True)],
        "rows": [[(_said(value), end) for value, end in zip(row.values(), right, strict=True)] for row in shown],
        "left": max(0, len(rows) - ROWS),
    }


def _flat(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_flat(one)) for one in value)
    return value


def _said(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if value != "" else None


def _other(one: Other, out: Path) -> dict[str, Any]:
    """A run of another command: its sentences, tables and pictures, and its page where it lies inside the report."""
    document = one.document
    home, inside = one.folder.resolve(), out.resolve()
    names = [name for name in document.get("files", ()) if isinstance(name, str)]
    there = [name for name in names if (home / name).resolve().is_relative_to(home) and (home / name).is_file()]
    pictures, left, spent = [], 0, 0
    for name in dict.fromkeys(name for name in there if name.endswith(".png")):
        content = (home / name).read_bytes()
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            continue
        if len(pictures) >= PICTURES or spent + len(content) > BYTES:
            left += 1
            continue
        spent += len(content)
        words = name.removesuffix(".png").replace("-", " ").replace("_", " ")
        pictures.append({"alt": f"{one.experiment}: {words}", "name": words, "source": _png(content)})
    pages = [
        {"name": name, "link": (home / name).relative_to(inside).as_posix() if home.is_relative_to(inside) else None}
        for name in there
        if name.endswith(".html")
    ]
    return {
        "experiment": _words(one.experiment),
        "folder": one.folder.name or str(one.folder),
        "sentences": list(document.get("sentences", ())),
        "notes": list(document.get("notes", ())),
        "tables": [_table(name, rows) for name, rows in document.get("tables", {}).items() if rows],
        "pictures": pictures,
        "left": left,
        "pages": pages,
        "command": document.get("command", ""),
    }


def _entry(entry: Entry, claims: Sequence[Claim]) -> dict[str, Any]:
    many = f"{len(entry.claims)} of {len(claims)} claims"
    return {
        "status": entry.status,
        "who": many if len(entry.claims) > NAMED else "; ".join(entry.claims),
        "evidence": entry.evidence,
        "fill": entry.fill,
        "command": entry.fill.startswith("python "),
    }


def _weights(claims: Sequence[Claim]) -> Iterable[dict[str, Any]]:
    for encoder, weights in {(claim.encoder, claim.best.weights): None for claim in claims}:
        mine = next(claim.best for claim in claims if (claim.encoder, claim.best.weights) == (encoder, weights))
        yield {
            "encoder": encoder,
            "weights": weights,
            "licence": "none needed: it has no weights" if encoder in CONTROLS else licence(encoder, weights),
            "computed": f"{mine.dtype} on {mine.device}",
        }


def _data(claims: Sequence[Claim]) -> Iterable[dict[str, Any]]:
    for claim in {(c.best.data_key, c.task): c for c in claims}.values():
        facts = claim.question
        yield {
            "task": claim.task,
            "source": facts["source"],
            "key": claim.best.data_key,
            "line": question_line(facts).partition(": ")[2],
            "decode": ", ".join(f"{name}: {value}" for name, value in facts["decode"].items()),
            "notes": list(facts["notes"]),
        }


def _runs(gathered: Gathered) -> Iterable[dict[str, Any]]:
    for run in gathered.runs:
        r = next((claim.best for claim in gathered.claims if claim.run is run), None)
        if r is None:
            continue
        yield {
            "name": run.name,
            "settings": ", ".join(f"{name} {_flat(value)}" for name, value in run.settings.items()),
            "code": r.code_version,
            "seed": r.seed,
            "folds": f"{r.repeats} × {r.folds}",
            "permutations": r.permutations,
        }


def _commands(gathered: Gathered) -> list[dict[str, Any]]:
    """Each command with the numbers that it makes."""
    found: dict[str, list[str]] = {}
    for claim in gathered.claims:
        found.setdefault(claim.best.command, []).append(gathered.label(claim))
    for one in gathered.others:
        found.setdefault(str(one.document.get("command", "")), []).append(f"{one.experiment} ({one.folder.name})")
    return [
        {"line": line, "makes": listed(names) if len(names) <= NAMED else f"{len(names)} claims: {listed(names[:2])} …"}
        for line, names in found.items()
        if line
    ]
