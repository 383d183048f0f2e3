"""What the terminal shows: the table and the sentences under it, functions of records alone."""

from collections.abc import Sequence

from experiments._records import Record

DASH = "–"
COLUMNS = (
    "site",
    "readout",
    "score",
    "95 % interval",
    "p",
    "nested",
    "untrained",
    "shuffled",
    "verdict",
    "credit",
)
RIGHT = {"score", "p", "nested", "untrained", "shuffled"}


def number(value: float | None, digits: int = 3) -> str:
    """A score as text; a dash where there is none."""
    return DASH if value is None else f"{value:.{digits}f}"


def interval(record: Record) -> str:
    """The interval as [low, high]; a dash where the data allow none."""
    if record.low is None or record.high is None:
        return DASH
    return f"[{record.low:.3f}, {record.high:.3f}]"


def chance_of(p: float | None) -> str:
    """A p-value to the resolution that permutations give."""
    if p is None:
        return DASH
    return f"{p:.4f}" if p < 0.001 else f"{p:.3f}"


def _row(record: Record) -> tuple[str, ...]:
    screened = "*" if record.screened else ""
    return (
        record.site,
        record.readout,
        number(record.score) + screened,
        interval(record),
        chance_of(record.p_adjusted if record.p_adjusted is not None else record.p_value),
        number(record.companion),
        number(record.control_random),
        number(record.control_shuffled),
        record.verdict,
        record.credit or DASH,
    )


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(h), *(len(r[i]) for r in rows)) for i, h in enumerate(heads)]
    lines = []
    for row in [heads, *rows]:
        cells = [c.rjust(w) if h in RIGHT else c.ljust(w) for c, w, h in zip(row, widths, heads, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def table(records: Sequence[Record]) -> str:
    """One block per task and encoder: a heading, the controls, then site x readout in the encoder's order."""
    blocks = []
    for task in dict.fromkeys(r.task for r in records):
        mine = [r for r in records if r.task == task]
        for encoder in dict.fromkeys(r.encoder for r in mine if r.role == "encoder"):
            blocks.append(_block(task, encoder, mine))
    return "\n\n".join(blocks)


def _block(task: str, encoder: str, mine: Sequence[Record]) -> str:
    own = [r for r in mine if r.role == "encoder" and r.encoder == encoder]
    first = own[0]
    best = sorted(own, key=lambda r: -r.score)[:1]
    heading = (
        f"{task} · {encoder} ({first.weights}) · {first.source}: {first.n_items} items in {first.n_groups} groups · "
        f"{first.metric}, chance {first.chance:.3f} · {first.probe}"
    )
    if first.limited:
        heading = "LIMITED RUN · " + heading
    controls = [r for r in mine if r.encoder in ("lowlevel", "pixels")]
    rows = [_row(r) for r in own]
    extra = [(f"{r.encoder}", "control", *_row(r)[2:]) for r in controls]
    lines = _lines(COLUMNS, extra + rows)
    mark = {id(r): n for n, r in enumerate(own)}
    top = 1 + len(extra) + mark[id(best[0])]
    lines = [line + ("   ← best" if i == top else "") for i, line in enumerate(lines)]
    lines.insert(1 + len(extra), "")
    return "\n".join([heading, "", *lines])
