"""What comparisons say, in sentences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slitlamp.reports.plots import shown_names
from slitlamp.runs import StoredRun

if TYPE_CHECKING:
    from slitlamp.comparison.arms import Family

A_MORE, B_MORE, OPEN = "a reads more", "b reads more", "not told apart"
FEW_GROUPS = "with fewer than 20 groups no interval is given, and nothing is told apart."
LONG = 60  # letters of a name
NAMED = 4  # arms that a sentence names


def says(low: float | None, high: float | None, margin: float) -> str:
    """What a difference says by its interval, which holds for all comparisons at once."""
    if low is None or high is None:
        return OPEN
    if low > 0:
        return A_MORE
    if high < 0:
        return B_MORE
    return f"equal within {margin:g}" if -margin < low and high < margin else OPEN


def pair(row: dict[str, Any]) -> str:
    """One comparison in a sentence; a negative answer with the difference that would have been seen."""
    head = f"{called(row['task'])}, {called(row['at'])}: "
    a, b, low, high = called(row["a"]), called(row["b"]), row["simultaneous_low"], row["simultaneous_high"]
    d = row["difference"]
    if low is None:
        return f"{head}{a} {_n(row['score_a'])}, {b} {_n(row['score_b'])}; {FEW_GROUPS}"
    if row["says"] in (A_MORE, B_MORE):
        more, less, ends = (a, b, (low, high)) if d > 0 else (b, a, (-high, -low))
        digits = 2 if ends[0] >= 0.005 else 3 if ends[0] >= 0.0005 else 4  # what is told from 0 does not read as 0
        number, low, high = (_n(value, digits) for value in (abs(d), *ends))
        return f"{head}{more} reads {number} [{low}, {high}] more than {less}."
    if low == high == 0:
        return f"{head}{a} and {b} are one and the same measurement: the difference is exactly 0."
    return (
        f"{head}{a} and {b} are {row['says']}: the difference is {_n(d)} [{_n(low)}, {_n(high)}]; one of "
        f"{_n(row['detectable'])} would be seen 8 times in 10."
    )


def family(
    key: tuple[str, str, str], comparisons: Sequence[dict[str, Any]], ranking: Sequence[dict[str, Any]]
) -> list[str]:
    """The sentences on one family, named by (task, over, at): what reads most, and how sure that is."""
    rows = [row for row in comparisons if (row["task"], row["over"], row["at"]) == key]
    ranked = [row for row in ranking if (row["task"], row["over"], row["at"]) == key]
    found = [pair(rows[0])] if len(rows) == 1 else [_most(key, rows, ranked)]
    if all(row["p"] is not None and row["p"] > 0.05 for row in ranked):
        found[0] += " None is shown to read more than chance."
    return found


def _most(key: tuple[str, str, str], rows: Sequence[dict[str, Any]], ranked: Sequence[dict[str, Any]]) -> str:
    what = key[1].replace("_", " ")
    head = f"{called(key[0])}, {what}s, {called(key[2])}: "
    first = ranked[0]
    if first["p_best"] is not None and len({row["b"] for row in rows}) == 1 and len(rows) == len(ranked) - 1:
        return head + _beside(rows)
    level = [row["name"] for row in ranked if row["score"] == first["score"]]
    highest = f"{_list(level)} {'have' if len(level) > 1 else 'has'} the highest score, {_n(first['score'])}"
    if first["p_best"] is None:
        return f"{head}{highest}; {FEW_GROUPS}"
    sure = f" (P {_p(first['p_best'])} best)" if len(level) == 1 else ""
    most = f"{called(first['name'])} reads most, {_n(first['score'])}{sure}" if len(level) == 1 else highest
    alike = [row["name"] for row in ranked[1:] if _shared(row, first)]
    told = len(ranked) - 1 - len(alike)
    seen = sorted(row["detectable"] for row in rows)[len(rows) // 2]
    would = f" A difference of about {_n(seen)} would be seen 8 times in 10."
    if not alike:
        return f"{head}{most}, and is told apart from every other."
    if not told:
        return f"{head}no {what} is told apart from the best: {highest}{sure}.{would}"
    rest = [name for name in alike if name not in level]
    they, others = "it is" if len(level) == 1 else "they are", len(ranked) - len(level)
    if not rest:
        return f"{head}{most}; {they} told apart from every other."
    return f"{head}{most}; {they} told apart from {told} of {others}, but not from {_list(rest)}.{would}"


def _beside(rows: Sequence[dict[str, Any]]) -> str:
    """What is said where each was compared with one reference alone."""
    said = {
        words: [row["a"] for row in rows if row["says"] == which]
        for words, which in (("reading more: ", A_MORE), ("reading less: ", B_MORE))
    }
    told = [words + _list(names) for words, names in said.items() if names]
    rest = [row["a"] for row in rows if row["says"] not in (A_MORE, B_MORE)]
    told += [f"not told apart from it: {_list(rest)}"] if rest else []
    seen = sorted(row["detectable"] for row in rows)[len(rows) // 2]
    would = f" A difference of about {_n(seen)} would be seen 8 times in 10." if rest else ""
    return f"beside {called(rows[0]['b'])} alone, {_n(rows[0]['score_b'])}, {'; '.join(told)}.{would}"


def _shared(row: dict[str, Any], first: dict[str, Any]) -> bool:
    """Whether two arms share a letter."""
    return bool(set(_letters(row["group"])) & set(_letters(first["group"])))


def _letters(group: str) -> list[str]:
    import re

    return re.findall(r"[a-z]|\(\d+\)", group)


def called(name: str) -> str:
    """A name as a line of text can hold it: what does not print is replaced, and of a long one the middle left out."""
    return shown_names([name], LONG)[0]


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(map(called, names[:NAMED]))
    return shown + f" and {len(names) - NAMED} more" * (len(names) > NAMED)


def curves(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each learning curve, on its last point."""
    last = {(row["task"], row["encoder"], row["at"]): row for row in rows}
    found = []
    for (task, encoder, at), row in last.items():
        ends = "" if row["low"] is None else f" [{_n(row['low'])}, {_n(row['high'])}]"
        state = {True: "still rising", False: "no rise is shown over half as many", None: "whether it rises is open"}
        mde = "" if row["mde"] is None else f"; with as many, {_n(row['mde'])} would be found at least 8 times in 10"
        head = ", ".join(map(called, (task, encoder, at)))
        found.append(f"{head}: with {row['groups']} groups {_n(row['score'])}{ends}, "
                     f"{state[row['rising']]}{mde}.")  # fmt: skip
    return found


def variations(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each encoder and question on its spread over runs, which is never part of an interval."""
    alike: dict[tuple[str, str, str, str], list[tuple[str, dict[str, Any]]]] = {}
    for row in rows:
        place, _, which = row["at"].partition(" · ")
        alike.setdefault((row["task"], row["encoder"], place, row["over"]), []).append((which, row))
    found = []
    for (task, encoder, place, over), many in alike.items():
        head = ", ".join(map(called, (task, encoder, place)))
        said = [f"{which}: {_spread(row, over)}".removeprefix(": ") for which, row in many]
        found.append(f"{head}, spread over {over}s beside the standard error over patients, which does not hold it: "
                     f"{'; '.join(said)}.")  # fmt: skip
    return found


def _spread(row: dict[str, Any], over: str) -> str:
    wide = f"sd {_n(row['sd'], 3)}" if row["sd"] is not None else f"{_n(row['lowest'])} to {_n(row['highest'])}"
    return f"{wide} of {row['runs']} {over}s beside {_n(row['se_patients'], 3)}"


def drawn_again(names: Sequence[str]) -> str:
    """What is said where runs of other seeds, draws or fewer groups, of these names, are no part of comparisons."""
    return (
        f"encoders are compared in one run of each; what differs from it in its seed, its draw or how many groups it "
        f"holds ({_list(names)}) is in the tables curve and variation"
    )


def notes_of(
    runs: Sequence[StoredRun], families: Sequence["Family"], comparisons: Sequence[dict[str, Any]]
) -> list[str]:
    """What the reader of the comparisons must know."""
    found = []
    if any(row["low"] is not None for row in comparisons):
        count = len(comparisons)
        many = f"the {count} comparisons of this command hold at once" if count > 1 else "there is one comparison"
        found.append(
            f"differences are paired, item by item on identical folds; {many}: simultaneous intervals decide what is "
            "said, p_holm and q_bh are adjusted for the same comparisons"
        )
    equal = [
        f"{called(row['a'])} and {called(row['b'])} ({called(row['task'])})"
        for row in comparisons
        if row["low"] == row["high"] == 0
    ]
    if equal:
        more = f" and {len(equal) - NAMED} more" * (len(equal) > NAMED)
        found.append(f"the difference is exactly 0 between {', '.join(equal[:NAMED])}{more}: they are one and the same "
                     "measurement")  # fmt: skip
    bare = [arm.name for one in families for arm in one.arms if arm.measurement.permuted is None]
    if bare:
        names = _list(list(dict.fromkeys(bare)))
        found.append(
            f"{names}: the probe is not refitted to permuted labels; errors of its differences come from folds"
        )
    versions = list(dict.fromkeys(r.code_version for run in runs for r in run.records[:1]))
    if len(versions) > 1:
        found.append(f"the runs are of different versions of the code ({', '.join(versions)})")
    limited = [run.name for run in runs if any(r.limited for r in run.records)]
    if limited:
        found.append(f"limited runs (--limit): {_list(limited)}")
    mixed = list(dict.fromkeys(
        f"{one.task}: {_list(kinds)}" for one in families
        if len(kinds := list(dict.fromkeys(arm.measurement.probe for arm in one.arms))) > 1 and one.over != "probe"
    ))  # fmt: skip
    if mixed:
        found.append(f"the arms are not all measured by one probe ({'; '.join(mixed)}): --probe ridge in the runs "
                     "measures all alike")  # fmt: skip
    return found


def _p(value: float) -> str:
    """A probability beside its sign: = .93, > .99."""
    return "> 0.99" if value >= 0.995 else "< 0.01" if value < 0.005 else f"= {_n(value)}"


def _n(value: float, digits: int = 2) -> str:
    """A number in a sentence; what rounds to nought has no sign."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text
