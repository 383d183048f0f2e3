"""The table on the terminal, a function of records alone."""

from collections.abc import Sequence

from encoders import draw_of
from encoders.extraction.readouts import VECTOR
from probes.stats.credit import CONTROLS
from slitlamp.records import Record
from slitlamp.reports.text import table as aligned

DASH = "–"
COLUMNS = ("site", "readout", "score", "95 % interval", "p", "nested", "untrained", "shuffled", "verdict", "credit")
MAY_BE_EMPTY = ("nested", "untrained", "shuffled")
SHOWN = tuple(one.name for one in CONTROLS if one.is_encoder)  # controls that every table shows
RIGHT = {"score", "p", "nested", "untrained", "shuffled"}


def number(value: float | None, digits: int = 3) -> str:
    """A score as text; a dash where there is none."""
    return DASH if value is None else f"{value:.{digits}f}"


def interval(record: Record) -> str:
    """The interval as [low, high]; a dash where the data allow none."""
    if record.low is None or record.high is None:
        return DASH
    return f"[{record.low:.3f}, {record.high:.3f}]"


def p_text(p: float | None) -> str:
    """A p-value to the resolution that permutations give."""
    if p is None:
        return DASH
    if p < 0.0001:
        return "<0.0001"
    return f"{p:.4f}" if p < 0.001 else f"{p:.3f}"


def _row(record: Record) -> list[str]:
    return [
        record.site,
        record.readout,
        number(record.score) + ("*" if record.screened else ""),
        interval(record),
        p_text(record.p_value if record.p_adjusted is None else record.p_adjusted),
        number(record.nested),
        number(record.control_random),
        number(record.control_shuffled),
        record.verdict + ", LEAK" * record.reason.startswith("LEAK:"),
        record.credit or DASH,
    ]


def rows_of(records: Sequence[Record], encoder: str) -> list[list[str]]:
    """The cells of one question and one encoder as text, the controls first, under `COLUMNS`."""
    controls = [r for r in records if r.role == "control" and r.encoder in SHOWN]
    own = [r for r in records if r.role == "encoder" and r.encoder == encoder]
    return [["control", _named(r), *_row(r)[2:]] for r in controls] + [_row(r) for r in own]


def heading(records: Sequence[Record], encoder: str) -> tuple[str, str]:
    """Who was asked what, and of how much data, on two lines."""
    first = next(r for r in records if r.role == "encoder" and r.encoder == encoder)
    head = f"{first.task} · {encoder} ({first.weights})"
    data = (
        f"{first.source} · {first.n_items} items in {first.n_groups} groups · {first.metric}, chance "
        f"{first.chance:.3f} · {first.repeats} × {first.folds} folds"
    )
    return head, data + " · LIMITED RUN" * first.limited


def table(records: Sequence[Record], encoder: str) -> str:
    """One question and one encoder: a heading, the controls, then every site and readout in order."""
    own = [r for r in records if r.role == "encoder" and r.encoder == encoder]
    rows = rows_of(records, encoder)
    kept = [i for i, column in enumerate(COLUMNS) if column not in MAY_BE_EMPTY or any(r[i] != DASH for r in rows)]
    heads, *lines = aligned([{COLUMNS[i]: row[i] for i in kept} for row in rows], right=RIGHT).split("\n")
    controls = len(lines) - len(own)
    lines[controls + max(range(len(own)), key=lambda i: own[i].score)] += "  ← best"
    rule = "-" * max(len(line) for line in (heads, *lines))
    return "\n".join([*heading(records, encoder), heads, rule, *lines[:controls], rule, *lines[controls:]])


def _named(control: Record) -> str:
    return control.encoder if control.readout == VECTOR.name else f"{control.encoder} {control.readout}"


PERMUTABLE = ("linear", "ridge", "marks")  # probes whose p comes from refits to permuted labels


def drawn(name: str, encoder: str) -> bool:
    """Whether `name` is that of an untrained draw of `encoder`."""
    return draw_of(name)[0] == f"random:{encoder}"


def _draws(records: Sequence[Record]) -> str:
    """How many untrained draws the column stands for."""
    asked = {r.encoder for r in records if r.role == "encoder"}
    counts = {sum(drawn(name, one) for name in {r.encoder for r in records if r.role == "control"}) for one in asked}
    most = max(counts, default=0)
    return f", the hardest to beat of {most} draws" if most > 1 else ""


def legend(records: Sequence[Record]) -> str:
    """What the columns mean, in as many lines as this table needs."""
    own = [r for r in records if r.role == "encoder"]
    probes = list(dict.fromkeys(r.probe for r in own if not r.screened))
    names = probes or [own[0].probe]
    permuted = all(name.split()[0] in PERMUTABLE for name in names)
    how = "permutation" if permuted else "from the spread over folds, as this probe is not refitted to permuted labels"
    lines = [
        f"score: {' / '.join(names)} on held-out groups; p: {how}, paid for all points of the "
        f"table; untrained: the same network with random weights{_draws(records)}; shuffled: permuted labels."
    ]
    if any(r.screened for r in own):
        lines.append("*: screened with closed-form ridge; the other scores are the nested probe.")
    if any(r.nested is not None for r in own):
        lines.append(
            "nested: logistic regression with its penalty chosen inside the training folds, beside the fixed ridge "
            "that is the headline below 200 groups."
        )
    return "\n".join(lines)
