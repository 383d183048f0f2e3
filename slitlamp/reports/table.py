"""The table on the terminal, a function of records alone."""

import textwrap
from collections.abc import Sequence

from encoders import draw_of
from encoders.extraction.readouts import VECTOR
from probes.stats.credit import LOWLEVEL, ORDER, PIXELS
from slitlamp.records import Record, best_of, paid_p
from slitlamp.reports.text import filled, wide
from slitlamp.reports.text import table as aligned

DASH = "–"
OTHER = " (other weights)"  # behind the name of an encoder: see `slitlamp.encoding.encoder`
BLIND = "blind by construction"  # what is said of features that are equal for items of every answer
WIDTH = 110  # of the sentences and the legend
WIDEST = 200  # of the map, which is as wide as its columns
COLUMNS = (
    "site", "readout", "score", "95 % interval", "p", "nested", "untrained", "shuffled", "reads less by", "verdict",
    "credit",
)  # fmt: skip
FIRST_TO_GO = ("shuffled", "nested", "untrained", "p", "reads less by")  # where the terminal is narrow
MAY_BE_EMPTY = ("nested", "untrained", "shuffled", "reads less by", "credit")
SHOWN = (LOWLEVEL, ORDER, PIXELS)  # controls that every table shows
RIGHT = {"score", "p", "nested", "untrained", "shuffled", "reads less by"}


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


def verdict_text(record: Record) -> str:
    """The verdict with what belongs to it: the strength that an absent excludes, a size that is open, a leak."""
    if is_blind(record):
        return BLIND
    excluded = record.verdict == "absent" and record.limit is not None
    limit = f" ≥{_short(record.limit or 0)}" * excluded
    return record.verdict + limit + " (size open)" * record.size_open + ", LEAK" * record.reason.startswith("LEAK:")


def is_blind(record: Record) -> bool:
    """Whether the features of a record are blind to the question: equal for items of every answer."""
    return record.reason.startswith("Blind to this question")


def blind_throughout(records: Sequence[Record]) -> bool:
    """Whether an encoder is blind to a question: at some of its points, and at all others it is absent."""
    return any(is_blind(r) for r in records) and all(is_blind(r) or r.verdict == "absent" for r in records)


def shown_p(record: Record) -> float | None:
    """P with the search paid for; None of what is blind to the question, which no permutation tests."""
    return None if is_blind(record) else paid_p(record)


def _short(value: float) -> str:
    """Two digits without the leading zero."""
    return f"{value:.2f}".replace("0.", ".", 1)


def _shuffled(record: Record) -> str:
    low, high = record.control_shuffled_low, record.control_shuffled_high
    span = "" if low is None or high is None else f" ({_short(low)}–{_short(high)})"
    return number(record.control_shuffled, 2) + span


def _less(record: Record) -> str:
    """How much less than its reference the point reads, where that is sure; that it keeps what the reference reads."""
    if record.loss_state in (None, "open"):
        return DASH
    return "kept" if record.loss_state == "kept" else number(record.loss, 2) + "!" * (record.loss_state == "material")


def _row(record: Record) -> list[str]:
    return [
        record.site,
        record.readout,
        number(record.score) + ("*" if record.screened else ""),
        interval(record),
        p_text(shown_p(record)),
        number(record.nested),
        number(record.control_random),
        DASH if is_blind(record) else _shuffled(record),
        _less(record),
        verdict_text(record),
        record.credit or DASH,
    ]


def rows_of(records: Sequence[Record], encoder: str) -> list[list[str]]:
    """The cells of one question and one encoder as text, the controls first, under `COLUMNS`."""
    controls = [r for r in records if r.role == "control" and r.encoder in SHOWN]
    own = [r for r in records if r.role == "encoder" and r.encoder == encoder]
    return [["control", _named(r), *_row(r)[2:]] for r in controls] + [_row(r) for r in own]


def called(record: Record) -> str:
    """The encoder of a record with its weights, of which a name that tells of other ones says so once."""
    before, told = record.encoder.rpartition(OTHER)[::2]
    if before and not told:
        return f"{before}{OTHER[:-1]}, {record.weights.removeprefix('other weights, ')})"
    return f"{record.encoder} ({record.weights})"


def heading(records: Sequence[Record], encoder: str) -> tuple[str, str]:
    """Who was asked what, and of how much data, on two lines."""
    first = next(r for r in records if r.role == "encoder" and r.encoder == encoder)
    head = f"{first.task} · {called(first)}"
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
    left = []
    controls = len(rows) - len(own)
    while True:
        heads, *lines = aligned([{COLUMNS[i]: row[i] for i in kept} for row in rows], right=RIGHT).split("\n")
        if len(own) > 1:
            lines[controls + own.index(best_of(own))] += f"  ← best of {len(own)}"
        spare = next((COLUMNS.index(name) for name in FIRST_TO_GO if COLUMNS.index(name) in kept), None)
        if spare is None or max(map(len, (heads, *lines))) <= wide(WIDEST):
            break
        kept.remove(spare)
        left.append(COLUMNS[spare])
    rule = "-" * max(len(line) for line in (heads, *lines))
    more = [f"not shown in so few columns: {', '.join(left)}"] if left else []
    head = [filled(line) for line in heading(records, encoder)]
    return "\n".join([*head, heads, rule, *lines[:controls], rule, *lines[controls:], *more])


def _named(control: Record) -> str:
    if control.readout != VECTOR.name:
        return f"{control.encoder} {control.readout}"
    side = control.site.removeprefix("thumbnail.")
    return control.encoder + f" {side}" * (side != control.site)


def drawn(name: str, encoder: str) -> bool:
    """Whether `name` is that of an untrained draw of `encoder`."""
    return draw_of(name)[0] == f"random:{encoder}"


def _untrained(records: Sequence[Record]) -> str:
    """What the column of untrained networks holds, or why there is none."""
    asked = {r.encoder for r in records if r.role == "encoder"}
    counts = {sum(drawn(name, one) for name in {r.encoder for r in records if r.role == "control"}) for one in asked}
    most = max(counts, default=0)
    if not most:
        return (
            "untrained networks: none beside these points (of an encoder that is a network they are asked where it "
            "surpasses the controls of the image alone, or as --twins says)"
        )
    many = f", mean of {most} draws" if most > 1 else ", one draw"
    return f"untrained: the same network with random weights{many}"


HOW = {
    "permutation": "permutation test",
    "folds": "from the spread over folds, as this probe is not refitted to permuted labels",
}


def legend(records: Sequence[Record]) -> str:
    """What the columns mean, in as many lines as this table needs."""
    own = [r for r in records if r.role == "encoder"]
    names = list(dict.fromkeys(r.probe for r in own if not r.screened)) or [own[0].probe]
    how = "; ".join(HOW[one] for one in dict.fromkeys(r.p_from for r in own))
    paid = ", paid for all points, encoders and questions of the command (of a control its own)" * (len(own) > 1)
    lines = [f"score: {' / '.join(names)} on held-out groups. p: {how}{paid}. {_untrained(records)}."]
    if any(r.control_shuffled is not None for r in own):
        of = "" if all(r.p_from == "permutation" for r in own) else " of ridge"
        lines.append(f"shuffled: mean and range of refits{of} to permuted labels.")
    if any(r.loss_state not in (None, "open") for r in own):
        lines.append(
            "reads less by: difference to the best of what reads the same items (thumbnails, untrained networks, "
            "earlier points, other encoders), where it is sure for all points at once; !: more than the margin; kept: "
            "surely less."
        )
    if any(is_blind(r) for r in records):
        lines.append(
            "blind by construction: features that are equal for all copies of an image cannot tell them apart."
        )
    marked = [best_of(one) for one in _maps(own) if len(one) > 1]
    for r in marked:
        if r.simultaneous_low is not None and r.simultaneous_high is not None:
            count = next(len(one) for one in _maps(own) if r in one)
            lines.append(
                f"best of {count}: chosen on these data ({r.task}, {r.encoder}); with that paid for its interval is "
                f"[{r.simultaneous_low:.3f}, {r.simultaneous_high:.3f}]."
            )
    if any(r.screened for r in own):
        lines.append(f"*: screened with closed-form ridge; the other scores are those of {' / '.join(names)}.")
    if any(r.nested is not None for r in own):
        lines.append(
            "nested: logistic regression with its penalty chosen inside the training folds, beside the fixed ridge "
            "that is the headline of so few groups."
        )
    return "\n".join(textwrap.fill(line, wide(WIDTH), break_on_hyphens=False) for line in lines)


def _maps(own: Sequence[Record]) -> list[list[Record]]:
    """The records of each encoder and question."""
    found: dict[tuple[str, str], list[Record]] = {}
    for r in own:
        found.setdefault((r.task, r.encoder), []).append(r)
    return list(found.values())
