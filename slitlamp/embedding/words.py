"""What maps show and what it is worth, in sentences."""

from collections.abc import Sequence

from probes.embedding.agreement import Agreement
from slitlamp.embedding.looked import EMPTY, TITLES, Looked, Seen
from slitlamp.reports.text import listed

MORE = 0.1  # of strength, by which a nuisance is shown more than the answer
NAMED = 4  # nuisances that a sentence names
ALWAYS = (
    "A map is for looking: axes, distances and sizes of clusters in a UMAP have no meaning, and two UMAPs cannot be "
    "compared by where things lie. What may be concluded stands in the numbers from the features, held out by group."
)


def number(value: float) -> str:
    """A score in two digits, without the nought before the point.

    >>> number(0.934), number(-0.05), number(1.0)
    ('.93', '-.05', '1.00')
    """
    text = f"{value:.2f}"
    return (
        "0" if text in ("0.00", "-0.00") else text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
    )


def plain(value: float) -> str:
    """A value in three digits, or in all that stand before its point.

    >>> plain(2048.0), plain(0.01383), plain(75.81)
    ('2,048', '0.0138', '75.8')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def score(found: Agreement, *, chance: bool = True) -> str:
    """A score with its interval and chance: `.86 [.82, .90], chance .50`."""
    ends = "" if found.low is None or found.high is None else f" [{number(found.low)}, {number(found.high)}]"
    name = "concordance " if found.metric == "concordance" else ""
    return f"{name}{number(found.score)}{ends}" + (f", chance {number(found.chance)}" if chance else "")


def sentences(looked: Sequence[Looked]) -> list[str]:
    """What every point's maps show, and what bears it out."""
    return [line for one in looked for line in _of_point(one)]


def _of_point(one: Looked) -> list[str]:
    by_kind = {kind: [s for s in one.seen if s.colouring.kind == kind] for kind in ("answer", "group", "nuisance")}
    lines = [_answer(one, s) for s in by_kind["answer"]]
    if not lines:
        lines = [_probe(one)]
    lines += [_group(one, s) for s in by_kind["group"] if any(s.shown(name) for name in s.maps)]
    lines += _nuisances(one, by_kind["answer"], by_kind["nuisance"])
    empty = [s for s in by_kind["nuisance"] if s.reading() == EMPTY]
    if empty:
        them = "it" if len(empty) == 1 else "them"
        lines.append(
            f"{one.name}: {listed([s.colouring.name for s in empty[:NAMED]])} "
            f"{'is a pretty cluster' if len(empty) == 1 else 'are pretty clusters'} without substance: the eye sees "
            f"{them} in a map, and neighbours of other groups tell {them} neither there nor in the features"
        )
    poor = {name: t for name, t in one.trusts.items() if t.preserved < 0.1 + t.chance}
    for name, t in poor.items():
        lines.append(
            f"{one.name}: the {TITLES[name]} keeps {t.preserved:.0%} of the {t.neighbours} nearest neighbours "
            f"({t.chance:.0%} by chance): it is no picture of who lies near whom"
        )
    return lines


def _answer(one: Looked, s: Seen) -> str:
    found = s.original
    assert found is not None
    shown = [TITLES[name] for name in s.maps if s.shown(name)]
    told = score(found)
    probe = f"the probe {'reads' if one.read_by_probe else 'does not read'} it ({_estimate(one)})"
    if shown and s.reading() != EMPTY:
        out = "bear it out" if s.borne_out else "leave it open"
        return (
            f"{one.name}: the {listed(shown)} show{'s' * (len(shown) == 1)} the answer, and the features {out} "
            f"(neighbours of other groups: {told}); {probe}"
        )
    if shown:
        return (
            f"{one.name}: the {listed(shown)} show{'s' * (len(shown) == 1)} the answer as a pretty cluster without "
            f"substance: neighbours of other groups tell it neither there nor in the features ({told}); {probe}"
        )
    if one.read_by_probe:
        near = "" if not s.borne_out else f", and neighbours of other groups tell it a little ({told})"
        return f"{one.name}: the answer is readable by the probe ({_estimate(one)}) though no map shows it{near}"
    if s.borne_out:
        return f"{one.name}: no map shows the answer, but neighbours of other groups tell it ({told}); {probe}"
    return f"{one.name}: no map shows the answer, neighbours do not tell it ({told}), and {probe}"


def _probe(one: Looked) -> str:
    return f"{one.name}: the probe {'reads' if one.read_by_probe else 'does not read'} the answer ({_estimate(one)})"


def _estimate(one: Looked) -> str:
    found = one.measurement.estimate
    ends = "" if found.low is None else f" [{number(found.low)}, {number(found.high)}]"
    name = "concordance " if found.metric == "concordance" else ""
    return f"{name}{number(found.score)}{ends}, chance {number(found.chance)}"


def _group(one: Looked, s: Seen) -> str:
    best = max(s.maps.values(), key=lambda found: found.score)
    name = next(n for n, found in s.maps.items() if found is best)
    assert s.original is not None
    return (
        f"{one.name}: in the {TITLES[name]} the nearest neighbour of {best.score:.0%} of the images is of their own "
        f"group, in the features of {s.original.score:.0%} ({best.chance:.1%} by chance): clusters are groups "
        "first, so only what holds across groups counts"
    )


def _nuisances(one: Looked, answer: Sequence[Seen], nuisances: Sequence[Seen]) -> list[str]:
    """Which nuisances a map shows more than the answer."""
    lines = []
    for name in one.maps:
        own = answer[0].maps[name].strength if answer else 0.0
        more = [s for s in nuisances if s.shown(name) and s.maps[name].strength > own + MORE]
        more.sort(key=lambda s: -s.maps[name].strength)
        if not more:
            continue
        told = ", ".join(f"{s.colouring.name} ({score(s.maps[name])})" for s in more[:NAMED])
        left = len(more) - NAMED
        rest = f", and {left} other{'s' * (left > 1)}" if left > 0 else ""
        beside = f" than the answer ({score(answer[0].maps[name])})" if answer else ""
        lines.append(f"{one.name}: the {TITLES[name]} shows more of {told}{rest}{beside}")
    return lines


def moved(pair: tuple[Looked, Looked], shared: float, chance: float, k: int) -> str:
    """How many neighbours two points have in common."""
    a, b = pair
    return (
        f"{a.name} and {b.name} share {shared:.0%} of the {k} nearest neighbours of an image in the features "
        f"({chance:.1%} by chance)"
    )
